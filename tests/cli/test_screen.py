"""The screen verb end to end, with a network of random weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import random_release

SMALL = Path(__file__).parents[2] / "configs" / "screen" / "small.yaml"
FEW = (SMALL, "most=12", "top=1", "verify=1", "verify_random=1")
"""The example with few candidates and labels."""
NONE = (SMALL, "most=12", "top=1", "verify=0", "verify_random=0")


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return random_release(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def pair(tmp_path_factory) -> Path:
    return random_release(tmp_path_factory.mktemp("models") / "pair", 2)


@pytest.mark.slow
def test_a_screen_and_its_resumption(run, model):
    done = run("screen", *FEW, "-o", "out", "--model", model)
    assert done.code == 0, done.err
    assert "12 candidates: 12 valid" in done.out
    assert "verified: " in done.out
    assert "best and 1 random labels are too few for a hit rate: it takes 10 and 50 (verify=10" in done.out
    assert json.loads(Path("out/run.json").read_text())["status"] == "finished"
    again = run("screen", *FEW, "-o", "out", "--model", model)
    assert again.code == 1
    assert "--resume" in again.err
    assert run("screen", *FEW, "-o", "out", "--model", model, "--resume").code == 0


@pytest.mark.slow
def test_the_least_certain_are_labelled_and_the_report_is_made_anew(run, model):
    options = (*NONE, "-o", "out", "--model", model)
    refused = run("screen", *options, "--label-uncertain", "2")
    assert refused.code == 2
    assert "neither an uncertainty nor a domain" in refused.err
    before = Path("out/report.html").read_text()
    Path("out/report.html").unlink()
    done = run("screen", "--report", "out")
    assert (done.code, done.out) == (0, "report in out/report.html\n")
    assert Path("out/report.html").read_text() == before
    assert run("screen", "--report", "nowhere").err.startswith("error: nowhere: holds no results of a screen")


def test_labels_of_the_least_certain_are_not_asked_of_the_engine(run):
    refused = run("screen", *NONE, "-o", "out", "--model", "engine", "--label-uncertain", "2")
    assert refused.code == 2
    assert "the model is engine (leave it out: every candidate is labelled" in refused.err
    assert not Path("out").exists()


@pytest.mark.slow
def test_labels_of_the_least_certain_become_a_dataset(run, pair):
    options = (*NONE, "-o", "out", "--model", pair, "--label-uncertain", "2", "--dataset", "data")
    done = run("screen", *options)
    assert done.code == 0, done.err
    assert "2 of the least certain candidates labelled and added to data" in done.out
    again = run("screen", *options, "--resume")
    assert again.code == 0
    assert "0 of the least certain candidates labelled" in again.out
    assert "2 records were there before" in again.out
    assert "2 records" in run("dataset", "info", "data").out


def test_keys_are_listed_with_their_meaning(run):
    done = run("screen", "--keys")
    assert done.code == 0
    for key in (
        "parents.build",
        "objectives.max_g",
        "constraints.absorption_within",
        "engine.orbitals",
        "verify_random",
    ):
        assert key in done.out


@pytest.mark.parametrize(
    ("change", "options", "expected"),
    [
        (("shear", "sheer"), [], "did you mean 'shear'"),
        (("max_g", "max_q"), [], "did you mean 'max_g'"),
        (("ag3,", "ag3x,"), [], "did you mean 'ag3'"),
        (("name: small", "name: small"), ["--model", "nothing"], "no checkpoint 'nothing'"),
        (("name: small", "name: small"), ["--workers", "0"], "workers is 0"),
        (("name: small", "name: small"), ["--device", "abacus"], "abacus"),
    ],
)
def test_bad_input_is_one_line(run, model, change, options, expected):
    Path("screen.yaml").write_text(SMALL.read_text().replace(*change))
    given = options if "--model" in options else [*options, "--model", model]
    done = run("screen", "screen.yaml", "-o", "out", *given)
    assert done.code == (1 if "'max_g'" in expected or "--model" in options else 2)  # a file, a checkpoint, an option
    assert expected in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert not Path("out").exists()


def test_a_cluster_that_is_not_there_is_named_and_nothing_is_lost(run, model):
    done = run("screen", *NONE, "-o", "out", "--model", model, "--cluster", "ray://127.0.0.1:1")
    assert done.code == 2
    assert "no Ray cluster at ray://127.0.0.1:1" in done.err
    assert done.err.count("\n") == 1
    assert run("screen", *NONE, "-o", "out", "--model", model, "--resume").code == 0


@pytest.mark.slow
def test_ray_gives_the_same_as_this_process(model, tmp_path):
    command = [sys.executable, "-c", "from clusterml.cli.main import main; main()", "screen", str(SMALL)]
    command += ["--model", str(model), "-o"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for name, options in (("here", []), ("ray", ["--cluster", "local", "--workers", "2"])):
        subprocess.run([*command, str(tmp_path / name), *options], env=environment, check=True, timeout=300)
    tables = [(tmp_path / name / "ranked.csv").read_text().splitlines()[1:] for name in ("here", "ray")]
    names = [[line.split(",")[2] for line in lines] for lines in tables]
    assert sorted(names[0]) == sorted(names[1])
    assert names[0][0] == names[1][0]
    runs = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("here", "ray")]
    assert [run["status"] for run in runs] == ["finished", "finished"]
    assert runs[0]["fingerprint"] == runs[1]["fingerprint"]
    assert runs[1]["verification"]["labels"] == runs[0]["verification"]["labels"]


def test_a_screen_without_config_is_a_usage_error(run):
    assert run("screen").code == 2
    assert run("screen", SMALL, "--label-uncertain", "0").code == 2
