"""The compare verb: what it prints and writes, and that errors come through typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from clusterml.cli.compare import compare
from clusterml.errors import InputFileError, OptionError, OutputError
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions

Run = Callable[..., Result]


@pytest.fixture
def spectrum() -> Spectrum:
    energy = np.array([2.2, 2.8, 3.4])
    r = np.array([10.0, -30.0, 20.0])
    return Transitions(energy, *[np.ones(3)] * 2, r, r, *[np.zeros((3, 3))] * 3).broaden()


@pytest.fixture
def run(spectrum: Spectrum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    spectrum.to_json("a.json")
    spectrum.mirrored().to_csv("b.csv")
    app = typer.Typer()
    app.command()(compare)
    return lambda *args: CliRunner().invoke(app, list(args), catch_exceptions=True)


def test_tables(run: Run) -> None:
    result = run("a.json", "b.csv")
    assert result.exit_code == 0, result.output
    assert "-1.000" in result.stdout
    assert "hand: opposite; 0 % of the matched CD bands have the same sign" in result.stdout
    assert "Absorption bands" in result.stdout
    assert "CD bands" in result.stdout


def test_json_only_and_files(run: Run, tmp_path: Path) -> None:
    result = run("a.json", "b.csv", "--json", "--fit-width", "-o", "out/deep")
    data = json.loads(result.stdout)
    assert data["fitted"] == ["shift", "width"]
    assert (data["schema_version"], data["a"], data["b"]) == (1, "a.json", "b.csv")
    assert data["cd"]["cosine"] == pytest.approx(-1.0, abs=1e-4)
    folder = tmp_path / "out" / "deep"
    assert sorted(p.name for p in folder.iterdir()) == ["compare.json", "compare.png"]
    assert json.loads((folder / "compare.json").read_text()) == data
    assert json.loads(run("a.json", "b.csv", "--json", "--no-fit-shift").stdout)["shift_ev"] == 0.0


def test_bands(run: Run, tmp_path: Path) -> None:
    result = run("a.json", "bands:Ag29-BDT", "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "Measured bands of Ag29-BDT" in result.stdout
    assert "of 4 bands matched" in result.stdout
    assert (tmp_path / "compare.png").is_file()
    assert json.loads((tmp_path / "compare.json").read_text())["system"] == "Ag29-BDT"


def test_measured_units(run: Run) -> None:
    Path("m.txt").write_text("nm absorbance mdeg\n700 0.1 1\n500 0.4 -3\n300 0.2 2\n")
    assert isinstance(run("a.json", "m.txt").exception, OptionError)
    result = run("a.json", "m.txt", "--concentration-b", "1e-5", "--path-b", "1", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["range_ev"] == pytest.approx([1.771, 4.133], abs=0.3)


def test_errors_come_through_typed(run: Run) -> None:
    for args, kind in (
        (("absent.json", "b.csv"), InputFileError),
        (("a.json", "bands:Au25"), OptionError),
        (("a.json", "b.csv", "--max-shift", "-1"), OptionError),
        (("a.json", "b.csv", "-o", "a.json"), OutputError),
    ):
        result = run(*args)
        assert isinstance(result.exception, kind), args
        assert result.stdout == ""
    assert run("a.json").exit_code == 2


def test_file_names_are_not_read_as_markup(run: Run, spectrum: Spectrum) -> None:
    spectrum.to_json("[red]$x$.json")
    assert run("[red]$x$.json", "b.csv", "-o", "out").exit_code == 0
