"""The compare verb: what it prints and writes, and that errors come through typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from clusterml.cli.compare import _labels, compare
from clusterml.errors import InputFileError, OptionError, OutputError, SpectrumError
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
    return lambda *args, stdin=None: CliRunner().invoke(app, list(args), input=stdin, catch_exceptions=True)


def test_tables(run: Run) -> None:
    result = run("a.json", "b.csv")
    assert result.exit_code == 0, result.output
    assert "-1.000" in result.stdout
    told = " ".join(result.stdout.split())
    hand = r"hand: opposite \(a random CD matches as well, in either hand, in 0\.\d % of the cases\); 0 % of the 3 "
    assert re.search(hand, told)
    assert "random spectra as good" in told
    absorption, _, cd = result.stdout.partition("Absorption bands")[2].partition("CD bands")
    assert "height" in absorption
    assert not re.search(r"sign|\+\d[.\d]*e", absorption)  # an absorption has no sign
    assert "opposite" in cd
    assert "broadened" not in result.stdout
    assert "results in" not in result.stdout


def test_a_structure_is_no_spectrum(run: Run) -> None:
    Path("a.cif").write_text("data_a\n_cell_length_a 10\n")
    error = run("a.cif", "b.csv").exception
    assert isinstance(error, InputFileError)
    assert error.problem == "a.cif is a structure, to go by its name, and holds no spectrum"
    assert "clusterml predict a.cif -o results" in error.remedy
    assert "there is no such file" in str(run("b.csv", "nothere.cif").exception)


def test_what_was_fitted_and_written_is_said(run: Run) -> None:
    shown = run("a.json", "b.csv", "--fit-width", "-o", "out").stdout
    assert "eV and broadened by 0.000 eV" in shown
    assert shown.endswith("results in out: compare.png, compare.json\n")


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


def test_chances_are_in_the_json(run: Run) -> None:
    chance = json.loads(run("a.json", "b.csv", "--json").stdout)["chance"]
    assert set(chance) == {"absorption", "cd", "sign_agreement", "random_spectra"}
    assert chance["random_spectra"] == 999
    assert 0.001 <= chance["cd"] < 0.02
    assert 0.001 <= chance["absorption"] <= 0.2


def test_picture_options(run: Run, tmp_path: Path) -> None:
    result = run("a.json", "b.csv", "-o", "out", "--axis", "nm", "--range", "250:900", "--fwhm", "0.3")
    assert result.exit_code == 0, result.output
    assert "note: A was broadened from 0.2 to 0.3 eV" in result.stdout
    assert "note: B states no width and is unchanged" in result.stdout
    for args, says in (
        (("--range", "250:900", "-o", "out"), "in eV, and looks like nm"),
        (("--range", "7:9", "-o", "out"), "holds no part of a spectrum"),
        (("--range", "x", "-o", "out"), "--range is 'x'"),
        (("--axis", "nm"), "with no --output --axis would change nothing"),
        (("--no-fit-shift", "--max-shift", "0.1"), "--max-shift would change nothing"),
    ):
        with pytest.raises(OptionError, match=says):
            raise run("a.json", "b.csv", *args).exception or AssertionError(args)
    with pytest.raises(SpectrumError, match=r"0\.2 eV wide and cannot become 0\.1"):
        raise run("a.json", "b.csv", "--fwhm", "0.1").exception or AssertionError
    with pytest.raises(OptionError, match="with bands:Ag29-BDT --path-b and --fit-width would change nothing"):
        raise run("a.json", "bands:Ag29-BDT", "--path-b", "1", "--fit-width").exception or AssertionError


def test_legends_tell_files_of_one_name_apart() -> None:
    assert _labels("x/a.csv", "y/b.csv") == ("A: a.csv", "B: b.csv")
    assert _labels("runs/x/a.csv", "runs/y/a.csv") == ("A: x/a.csv", "B: y/a.csv")
    assert _labels("a.csv", "y/a.csv") == ("A: a.csv", "B: y/a.csv")
    assert _labels("a.csv", "a.csv") == ("A: a.csv", "B: a.csv")


def test_an_instruments_file_and_standard_input(run: Run, spectrum: Spectrum) -> None:
    nm = spectrum.wavelength_nm
    cd = "".join(f"{x:.4f}\t{0.32982 * y:.6f}\t300\n" for x, y in zip(nm, spectrum.delta_epsilon, strict=True))
    head = "TITLE\tx\nXUNITS\tNANOMETERS\nYUNITS\tCD [mdeg]\nY2UNITS\tHT [V]\nXYDATA\n"
    Path("m.txt").write_text(head + cd)
    molar = ("--concentration-b", "1e-5", "--path-b", "1", "--json")
    data = json.loads(run("a.json", "m.txt", *molar).stdout)
    assert data["cd"]["cosine"] == pytest.approx(1.0, abs=1e-4)
    assert data["cd"]["scale"] == pytest.approx(1.0, abs=1e-3)
    assert data["hand"] == "same"
    bare = cd.replace("\t", " ")
    result = run("a.json", "-", "--columns-b", "wavelength,cd,skip", "--unit-b", "mdeg", *molar, stdin=bare)
    assert json.loads(result.stdout)["cd"]["scale"] == pytest.approx(1.0, abs=1e-3)
    assert isinstance(run("-", "-").exception, OptionError)


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


def test_one_spectrum_of_several_in_a_file(run: Run, spectrum: Spectrum) -> None:
    nm, cd = spectrum.wavelength_nm, 0.32982 * spectrum.delta_epsilon
    rows = "".join(f"{x:.4f},{y:.6f},{-y:.6f}\n" for x, y in zip(nm, cd, strict=True))
    Path("m.csv").write_text(f"First,,Second\nWavelength (nm),CD (mdeg),CD (mdeg)\n{rows}")
    hands = {}
    for block in ("1", "2"):
        result = run("a.json", "m.csv", "--block-b", block, "--concentration-b", "1e-5", "--path-b", "1", "--json")
        assert result.exit_code == 0, result.output
        hands[block] = json.loads(result.stdout)["hand"]
    assert hands == {"1": "same", "2": "opposite"}


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


def test_the_output_of_a_finished_calculation_is_compared(run: Run, outputs) -> None:
    Path("calc.out").write_text(outputs.orca(((2.2, 0.9, 10.0, 9.0), (2.8, 1.1, -30.0, -28.0), (3.4, 1.0, 20.0, 19.0))))
    done = run("calc.out", "a.json", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["absorption"]["cosine"] > 0.98
    assert result["cd"]["cosine"] > 0.99
    assert any("3 excitations up to 3.40 eV" in note for note in result["warnings"])
    Path("dark.out").write_text(outputs.orca(cd=False))
    without = json.loads(run("dark.out", "a.json", "--json", "--max-shift", "2.5").stdout)
    assert without["cd"] is None
    assert any("absorption alone" in note for note in without["warnings"])
