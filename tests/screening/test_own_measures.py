"""Measures of the user's own: in screens, workers and designs, their derivatives, and what goes wrong in them."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import InputFileError, OptionError, ScreeningError, UserCodeError
from clusterml.run.launcher import Processes
from clusterml.screening.bench import MEASURE
from clusterml.screening.config import load_screen
from clusterml.screening.design.run import design
from clusterml.screening.measures.measure import Sample
from clusterml.screening.measures.own import own_measure
from clusterml.screening.run import screen
from clusterml.spectrum.spectrum import Spectrum

EXAMPLE = Path(__file__).parents[2] / "configs" / "screen" / "own" / "objectives-screen.yaml"
CODE = """
import numpy as np


def centre(spectrum, atoms):
    return np.average(spectrum.energy_ev, weights=spectrum.epsilon)


def radius(spectrum, atoms):
    atoms.positions *= 7.0  # a copy: it does no harm
    return np.linalg.norm(atoms.positions / 7.0 - atoms.positions.mean(axis=0) / 7.0, axis=1).max()


def odd(spectrum, atoms):
    if "0000001" in atoms.info["name"]:
        raise KeyError("no such thing")
    if "0000003" in atoms.info["name"]:
        return None
    if "0000004" in atoms.info["name"]:
        return float("nan")
    if "0000005" in atoms.info["name"]:
        raise SystemExit(3)
    return 1.0
"""


@pytest.fixture
def code(tmp_path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def line(code: Path, function: str, **more) -> dict:
    return {"file": str(code), "function": function, "unit": "eV", **more}


def test_a_screen_ranks_by_it_in_workers_too(code, make_screen, checkpoint, tmp_path):
    objectives = [line(code, "centre", goal="minimise", step=0.01)]
    chosen = make_screen(objectives=objectives, constraints=[line(code, "radius", at_most=50.0)])
    done = screen(chosen, tmp_path / "out", model=checkpoint, launcher=Processes(1))
    assert done.run.bench.merit.names == ("centre", "radius")
    rows = [entry.row for entry in done.board.ranked]
    assert [row.values[0].value for row in rows] == sorted(row.values[0].value for row in rows)
    best = next(iter(done.run.bench.predict([done.run.bench.maker.make(done.run.bench.space.recipe(rows[0].number))])))
    expected = np.average(best.spectrum.energy_ev, weights=best.spectrum.epsilon)
    assert rows[0].values[0].value == pytest.approx(expected, rel=1e-5)
    run = json.loads((done.folder / "run.json").read_text())
    assert len(run["inputs"]["code mine.py"]) == 64
    assert {key: run["lines"][0][key] for key in ("measure", "of", "unit", "step")} == {
        "measure": "centre", "of": "mine.py", "unit": "eV", "step": 0.01
    }  # fmt: skip
    assert "centre / eV" in (done.folder / "report.html").read_text()
    code.write_text(CODE.replace("7.0", "8.0"))
    with pytest.raises(ScreeningError, match=r"code mine\.py has changed"):
        screen(chosen, tmp_path / "out", model=checkpoint, resume=True)


def test_a_candidate_on_which_it_fails_is_dropped_and_named(code, make_screen, checkpoint, tmp_path):
    done = screen(make_screen(objectives=[line(code, "odd")]), tmp_path / "out", model=checkpoint)
    assert (done.board.valid, dict(done.board.rejections.counts)) == (5, {MEASURE: 4})
    told = done.board.rejections.examples[MEASURE]
    assert told.startswith(f"ag3-0000001: {code} odd: line 16: KeyError: 'no such thing'")


@pytest.mark.parametrize(
    ("text", "function", "error", "told"),
    [
        (None, "f", InputFileError, r"mine\.py: there is no such file"),
        ("def f(:", "f", UserCodeError, r"mine\.py: line 1: SyntaxError"),
        ("import nothing_like_it", "f", UserCodeError, r"mine\.py: line 1: ModuleNotFoundError"),
        ("def g(s, a): return 1.0", "f", OptionError, r"there is no function 'f' \(it has g\)"),
        ("f = 3", "f", OptionError, "is not a function"),
    ],
)
def test_code_that_cannot_be_used_is_refused_before_anything_is_written(
    code, make_screen, checkpoint, tmp_path, text, function, error, told
):
    code.unlink() if text is None else code.write_text(text)
    with pytest.raises(error, match=told):
        screen(make_screen(objectives=[line(code, function)]), tmp_path / "out", model=checkpoint)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{file: mine.py, function: f}", "function f needs its unit"),
        ("{max_g: 2..3 eV, unit: eV}", "unit belongs to a function of your own"),
        ("{file: mine.py, function: f, unit: eV, max_g: 2..3 eV}", "exactly one of ccm, opd"),
        ("{file: mine.py, function: score, unit: eV}", "this name is taken"),
        ("{file: mine.py, function: max_g_2, unit: eV}", "this name is taken"),
        ("{file: mine.py, function: max_g_std, unit: eV}", "this name is taken"),
        ("{file: mine.py, function: f, unit: eV, step: 0}", "not a number above 0"),
        ("{function: not-there, unit: eV}", "function is 'not-there'"),
    ],
)
def test_lines_that_cannot_be(tmp_path, given, told):
    (tmp_path / "s.yaml").write_text(f"name: s\nparents: {{a: {{build: {{name: ag3}}}}}}\nobjectives: [{given}]\n")
    with pytest.raises(InputFileError, match=told):
        load_screen(tmp_path / "s.yaml")


def test_an_installed_measure_is_found_by_its_name(code, make_screen, checkpoint, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(code.parent))
    entry = EntryPoint("centre", "mine:centre", "clusterml.measure_functions")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry] if group == entry.group else [])
    chosen = make_screen(objectives=[{"function": "centre", "unit": "eV"}])
    assert screen(chosen, tmp_path / "out", model=checkpoint).board.valid == 9
    with pytest.raises(OptionError, match="did you mean 'centre'"):
        screen(make_screen(objectives=[{"function": "center", "unit": "eV"}]), tmp_path / "b", model=checkpoint)


def test_derivatives_are_those_of_the_formula(tmp_path):
    file = tmp_path / "formula.py"
    file.write_text(
        "def f(spectrum, atoms):\n"
        "    x = atoms.get_distance(0, 1)\n"
        "    return x**2 + (spectrum.delta_epsilon**2).sum() * spectrum.energy_ev[0]\n"
    )
    energy = np.linspace(2.0, 3.0, 5)
    spectrum = Spectrum(energy, np.ones(5), np.array([1.0, -2.0, 0.5, 3.0, 0.0]))
    atoms = Atoms("Ag2", [[0.0, 0.0, 0.0], [1.0, 2.0, 2.0]])
    gauge = own_measure(str(file), "f", "1", 1.0).gauge("", energy)
    sample = Sample(atoms, 0, spectrum, 0.2, None)
    slope = gauge.slope(sample)
    assert gauge.value(sample).value == pytest.approx(9.0 + 2.0 * 14.25)
    assert slope.by_epsilon is None
    np.testing.assert_allclose(slope.by_delta_epsilon, 4.0 * spectrum.delta_epsilon, atol=1e-6)
    np.testing.assert_allclose(slope.by_positions, 2.0 * np.array([[-1, -2, -2], [1, 2, 2]]), rtol=1e-6, atol=1e-9)


def test_design_climbs_it_as_it_climbs_the_same_measure_of_ours(code, make_screen, checkpoint, tmp_path):
    code.write_text("import numpy as np\ndef f(s, a): return np.interp(3.51, s.energy_ev, s.delta_epsilon)\n")
    ways = []
    for at, objective in enumerate(({"cd_at": "3.51 eV"}, line(code, "f", step=10.0))):
        chosen = make_screen(
            objectives=[objective],
            conformers={"temperature_k": 300.0, "snapshots": 1},
            distortions=[{"modes": {"shear": "-6..6 %"}, "sampling": "sobol", "points": 8}],
            design={"starts": 3, "climbs": 1, "steps": 3},
        )
        (path,) = design(chosen, tmp_path / str(at), model=checkpoint).paths
        ways.append([step.point.evaluation.score for step in path])
    ours, own = ways
    assert len(ours) > 1
    assert ours == sorted(ours)
    assert own == pytest.approx(ours, rel=1e-2)


def test_the_example_can_be_run():
    example = load_screen(EXAMPLE)
    assert [line.kind.unit for line in (*example.objectives, *example.constraints)] == ["1", "A", "eV"]
