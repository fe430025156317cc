"""The design verb end to end, with a network of random weights."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from clusterml.io.shipped import DEFAULT_MODEL, QUICK_MODEL
from helpers import random_release

CONFIG = """
name: up
parents: {ag3: {build: {name: ag3, thiolate: SCH3}}}
conformers: {temperature_k: 300, snapshots: 1}
distortions:
  - {modes: {shear: -4..4 %}, sampling: sobol, points: 4}
objectives:
  - {max_g: 2..5 eV}
design: {starts: 3, climbs: 1, steps: 4}
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return random_release(tmp_path_factory.mktemp("models") / "tiny", seed=1)


def test_a_design_tells_its_steps_and_its_end(run, model):
    Path("up.yaml").write_text(CONFIG)
    done = run("design", "up.yaml", "--model", model)
    assert done.code == 0, done.err
    found = json.loads(Path("results/up-design/design.json").read_text())
    steps = [step for path in found["climbs"] for step in path]
    assert len([line for line in done.progress if line.startswith("climb 1, ")]) == len(steps) >= 2
    assert len(Path("results/up-design/clusterml.log").read_text().splitlines()) == len(done.progress)
    before, after = (steps[k]["values"]["max_g"][0] for k in (0, -1))
    assert after > before
    assert f"max_g: {before:.4g} to {after:.4g}" in done.out
    assert Path("results/up-design/design.html").is_file()
    again = run("design", "up.yaml", "--model", model)
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "holds a design already" in again.err


@pytest.mark.slow
def test_a_design_starts_from_the_screen_that_was_run(run, model):
    Path("up.yaml").write_text(CONFIG.replace("points: 4", "points: 12"))
    assert run("screen", "up.yaml", "--model", model, "-o", "results/screen").code == 0
    with Path("results/screen/ranked.csv").open() as handle:
        best = next(csv.DictReader(handle))
    done = run("design", "up.yaml", "--model", model, "-o", "results/design")  # results/screen has the same candidates
    assert done.code == 0, done.err
    assert "started from the screen in results/screen, whose best candidate has score " in done.out
    found = json.loads(Path("results/design/design.json").read_text())
    start = found["climbs"][0][0]
    assert found["screen"]["best"] == int(best["number"])
    assert start["values"]["max_g"][0] == pytest.approx(float(best["max_g"]), rel=3e-3)
    assert found["best"]["score"] >= start["score"]
    Path("up.yaml").write_text(CONFIG)
    other = run("design", "up.yaml", "--model", model, "-o", "results/other")
    assert other.code == 0
    assert "note: not started from a screen: results/screen: its candidates are not those" in other.err
    refused = run("design", "up.yaml", "--model", model, "-o", "third", "--from", "results/screen")
    assert (refused.code, "(distortions)" in refused.err) == (1, True)
    assert not Path("third").exists()


def test_free_coordinates_need_derivatives_and_take_a_network_that_has_them(run):
    few = CONFIG.replace("starts: 3", "starts: 1").replace("steps: 4", "steps: 1, free: {steps: 1}")
    Path("up.yaml").write_text(few)
    screened = run("screen", "up.yaml", "most=2", "-o", "screened")
    words = r"candidates: 0 of 2; ag-response-v1 takes about 0\.06\d* s of a core for each, 0 s on one core"
    assert (screened.code, bool(re.fullmatch(words, screened.progress[0]))) == (0, True)
    assert run("design", "up.yaml", "-o", "designed").code == 0
    results = [json.loads(Path(name).read_text()) for name in ("screened/run.json", "designed/design.json")]
    assert [result["provenance"]["model"] for result in results] == [DEFAULT_MODEL, QUICK_MODEL]
    other = run("screen", "up.yaml", "most=2", "-o", "screened", "--resume", "--model", QUICK_MODEL)
    assert (other.code, f"go on with --model {DEFAULT_MODEL}, or choose" in other.err) == (1, True)
    Path("named.yaml").write_text(f"{few}model: {DEFAULT_MODEL}\n")
    refused = run("design", "named.yaml", "-o", "refused")
    assert (refused.code, f"such as {QUICK_MODEL}" in refused.err) == (2, True)
    assert not Path("refused").exists()
    assert run("design", "named.yaml", "design.free=null", "-o", "amounts").code == 0
    assert json.loads(Path("amounts/design.json").read_text())["provenance"]["model"] == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("max_g: 2..5 eV}\ndesign: {", "opd: measured}\ndesign: {free: {}, "),
            "objective opd: measured has no derivative by positions",
        ),
        (("climbs: 1", "climb: 1"), "did you mean 'climbs'"),
        (("shear: -4..4", "shear: -99..4"), "amount of shear is -99 %"),
    ],
)
def test_bad_input_is_one_line(run, model, change, words):
    in_file = "did you mean" in words
    Path("up.yaml").write_text(CONFIG.replace(*change))
    done = run("design", "up.yaml", "-o", "out", "--model", model)
    assert done.code == (1 if in_file else 2)
    assert words in done.err
    assert done.err.count("\n") == 1
    assert not Path("out").exists()
