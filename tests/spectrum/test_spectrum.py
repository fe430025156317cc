"""Spectrum: validation, derived quantities, round trips through every format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jcamp
import numpy as np
import pytest

from clusterml.errors import InputFileError, OptionError, OutputError, SpectrumError
from clusterml.io.json import json_text
from clusterml.spectrum.export import (
    csv_text,
    jcamp_text,
    parse_spectrum_block,
    parse_states_block,
    spectrum_block,
    states_block,
)
from clusterml.spectrum.measured import read_spectrum
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions

ROUNDING = {"csv": 5e-7, "json": 0.0, "jcamp": 1e-14}
"""Relative errors that the formats allow themselves."""
ARRAYS = ("energy_ev", "epsilon", "delta_epsilon", "epsilon_std", "delta_epsilon_std")


def with_std(spectrum: Spectrum) -> Spectrum:
    return replace(spectrum, epsilon_std=0.1 * spectrum.epsilon, delta_epsilon_std=abs(spectrum.delta_epsilon))


def assert_same(a: Spectrum, b: Spectrum, rtol: float = 0.0) -> None:
    for name in ARRAYS:
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is not None:
            np.testing.assert_allclose(y, x, rtol=rtol, atol=0.0, err_msg=name)


def test_wavelength_and_mirror(spectrum: Spectrum) -> None:
    np.testing.assert_allclose(spectrum.wavelength_nm * spectrum.energy_ev, 1239.841984, rtol=1e-14)
    mirrored = spectrum.mirrored()
    np.testing.assert_array_equal(mirrored.delta_epsilon, -spectrum.delta_epsilon)
    np.testing.assert_array_equal(mirrored.epsilon, spectrum.epsilon)
    np.testing.assert_array_equal(mirrored.g_abs, -spectrum.g_abs)
    assert_same(mirrored.mirrored(), spectrum)


def test_g_is_nan_where_the_absorption_is_weak(spectrum: Spectrum) -> None:
    bright = spectrum.epsilon > 1e-3 * spectrum.epsilon.max()
    assert 0 < bright.sum() < len(bright)
    np.testing.assert_array_equal(np.isnan(spectrum.g_abs), ~bright)
    np.testing.assert_array_equal(spectrum.g_abs[bright], (spectrum.delta_epsilon / spectrum.epsilon)[bright])
    assert np.isnan(spectrum.g_factor(0.5)).sum() > np.isnan(spectrum.g_abs).sum()
    with pytest.raises(OptionError):
        spectrum.g_factor(1.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("energy_ev", [3.0, 2.0, 1.0]),
        ("energy_ev", [1.0, 1.0, 2.0]),
        ("energy_ev", [-1.0, 1.0, 2.0]),
        ("epsilon", [1.0, 2.0]),
        ("epsilon", [1.0, np.nan, 2.0]),
        ("delta_epsilon", [1.0, np.inf, 2.0]),
        ("delta_epsilon", "abc"),
        ("epsilon_std", [1.0, -1.0, 0.0]),
        ("delta_epsilon_std", [np.nan, np.inf, 0.0]),
    ],
)
def test_damaged_fields_are_named(field: str, value: object) -> None:
    fields = {"energy_ev": [1.0, 2.0, 3.0], "epsilon": [1.0] * 3, "delta_epsilon": [0.0] * 3, field: value}
    with pytest.raises(SpectrumError, match=field):
        Spectrum(**fields)


def test_a_quantity_may_be_unknown_but_not_both(spectrum: Spectrum) -> None:
    absent = np.full(len(spectrum), np.nan)
    half = replace(spectrum, delta_epsilon=absent)
    assert half.has_absorption
    assert not half.has_cd
    assert np.isnan(half.g_abs).all()
    with pytest.raises(SpectrumError, match="neither"):
        replace(half, epsilon=absent)


@pytest.mark.parametrize("std", [False, True])
@pytest.mark.parametrize("kind", ["csv", "json", "jcamp"])
def test_round_trip(spectrum: Spectrum, tmp_path: Path, kind: str, std: bool) -> None:
    original = with_std(spectrum) if std else spectrum
    path = tmp_path / f"x.{kind}"
    assert getattr(original, f"to_{kind}")(path) == path
    again = getattr(Spectrum, f"from_{kind}")(path)
    assert_same(original, again, rtol=ROUNDING[kind])
    assert_same(original, read_spectrum(path), rtol=ROUNDING[kind])
    if kind != "csv":
        assert again.meta["fwhm_ev"] == 0.2
        assert again.meta["gauge"] == "velocity"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["csv", "json", "jcamp"])
@pytest.mark.parametrize("lost", ["epsilon", "delta_epsilon"])
def test_round_trip_of_half_a_spectrum(spectrum: Spectrum, tmp_path: Path, kind: str, lost: str) -> None:
    half = replace(spectrum, **{lost: np.full(len(spectrum), np.nan)})
    path = tmp_path / "x"
    getattr(half, f"to_{kind}")(path)
    assert_same(half, read_spectrum(path), rtol=ROUNDING[kind])


@pytest.mark.parametrize("kind", ["csv", "json", "jcamp"])
def test_an_unknown_deviation_stays_unknown(spectrum: Spectrum, tmp_path: Path, kind: str) -> None:
    unknown = (spectrum.energy_ev < 1.9) | (spectrum.energy_ev > 5.0)
    std = {f"{key}_std": np.where(unknown, np.nan, 3.0) for key in ("epsilon", "delta_epsilon")}
    original = replace(spectrum, **std)
    assert_same(original, replace(original, meta={}))
    path = tmp_path / "x"
    getattr(original, f"to_{kind}")(path)
    assert_same(original, read_spectrum(path), rtol=ROUNDING[kind])
    if kind == "json":
        block = json.loads(path.read_text())["spectrum"]
        assert block["epsilon_std"][0] is None
        assert block["epsilon_std"][138] == 3.0
    if kind == "csv":
        assert path.read_text().splitlines()[1].endswith(",,")


def test_round_trip_of_an_irregular_grid(transitions: Transitions, tmp_path: Path) -> None:
    s = transitions.broaden(1239.841984 / np.linspace(800.0, 250.0, 111))
    s.to_jcamp(tmp_path / "x.jdx")
    assert "(XY..XY)" in (tmp_path / "x.jdx").read_text()
    assert_same(s, Spectrum.from_jcamp(tmp_path / "x.jdx"))


@pytest.mark.parametrize("regular", [True, False])
def test_an_independent_program_reads_our_jcamp(transitions: Transitions, tmp_path: Path, regular: bool) -> None:
    s = transitions.broaden(None if regular else 1239.841984 / np.linspace(800.0, 250.0, 111))
    data = jcamp.readfile(str(s.to_jcamp(tmp_path / "x.jdx", title="Ag29(BDT)12, hand R")))
    absorption, cd = data["children"]
    assert absorption["data type"] == "UV/VIS SPECTRUM"
    assert cd["yunits"] == "DELTA EPSILON"
    for child, values in ((absorption, s.epsilon), (cd, s.delta_epsilon)):
        np.testing.assert_allclose(child["x"], s.energy_ev, rtol=1e-12)
        np.testing.assert_allclose(child["y"], values, rtol=1e-14)


def test_jcamp_lines_are_short_and_titles_harmless(spectrum: Spectrum) -> None:
    text = jcamp_text(spectrum, title="a\n##END= $$ b")
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("##END=\n") == 3
    assert text.splitlines()[0] == "##TITLE=a ##END= b"


def test_csv_has_the_contract_columns(spectrum: Spectrum) -> None:
    lines = csv_text(spectrum).splitlines()
    assert lines[0] == "energy_ev,wavelength_nm,epsilon_l_mol_cm,delta_epsilon_l_mol_cm,g_abs"
    assert len(lines) == len(spectrum) + 1
    assert lines[1].startswith("0.5,2479.684,")
    assert lines[1].endswith(",")  # g is not given where nothing absorbs
    assert "nan" not in "".join(lines)


def test_json_is_strict_and_has_the_contract_keys(spectrum: Spectrum, tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    named = replace(spectrum, meta={**spectrum.meta, "name": "x", "odd": np.float64(np.nan)})
    data = json.loads(named.to_json(tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert data["schema_version"] == 1
    assert list(data["spectrum"])[:6] == ["energy_ev", "epsilon", "delta_epsilon", "g_abs", "fwhm_ev", "gauge"]
    assert data["spectrum"]["g_abs"][0] is None
    assert data["spectrum"]["meta"] == {"name": "x", "odd": None}
    again = Spectrum.from_json(tmp_path / "x.json")
    assert again.meta["name"] == "x"
    assert_same(parse_spectrum_block(json.loads(json_text(spectrum_block(spectrum))), "x"), spectrum)


@pytest.mark.parametrize("moments", [False, True])
def test_states_block_round_trip(transitions: Transitions, moments: bool) -> None:
    shares = {"hole": {"kernel": np.full(6, 0.5)}, "electron": {"kernel": np.full(6, 0.25)}}
    block = json.loads(json_text(states_block(replace(transitions, fractions=shares), moments)))
    assert list(block)[:5] == ["energy_ev", "f_length", "f_velocity", "r_length_cgs", "r_velocity_cgs"]
    again = parse_states_block(block, "x")
    np.testing.assert_array_equal(again.r_velocity_cgs, transitions.r_velocity_cgs)
    np.testing.assert_array_equal(again.magnetic_au, transitions.magnetic_au if moments else 0.0 * again.magnetic_au)
    assert again.fractions is not None
    assert again.fractions["electron"]["kernel"][0] == 0.25
    for damage in ({"f_length": None}, {"f_length": [1, "a"]}, {"fractions": 3}, {"fractions": {"hole": 1}}):
        with pytest.raises(InputFileError, match="x: "):
            parse_states_block({**block, **damage}, "x")
    with pytest.raises(InputFileError, match="f_length"):
        parse_states_block({"energy_ev": []}, "x")


@pytest.mark.parametrize("kind", ["csv", "json", "jcamp"])
def test_failing_writes_name_the_path_and_keep_the_old_file(spectrum: Spectrum, tmp_path: Path, kind: str) -> None:
    write = getattr(spectrum, f"to_{kind}")
    with pytest.raises(OutputError, match="missing"):
        write(tmp_path / "missing" / "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_crash_while_writing_keeps_the_old_file(
    spectrum: Spectrum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OutputError, match=r"x\.csv cannot be written: No space left"):
        spectrum.to_csv(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_reprs_fit_on_a_screen(spectrum: Spectrum, transitions: Transitions) -> None:
    assert repr(spectrum).startswith(
        "Spectrum(0.50 to 6.00 eV, 276 points, fwhm 0.20 eV, epsilon +1.76e+04 at 365 nm, "
    )
    assert repr(transitions).startswith("Transitions(6 from 2.20 to 4.50 eV, f ")
    for value in (spectrum, replace(spectrum, epsilon=np.full(276, np.nan), meta={}), transitions):
        assert all(len(line) <= 100 for line in repr(value).splitlines())
    assert "epsilon +" not in repr(replace(spectrum, epsilon=np.full(276, np.nan))).split("delta_epsilon")[0]
    nothing = Transitions(*[np.zeros(0)] * 5, *[np.zeros((0, 3))] * 3)
    assert repr(nothing) == "Transitions(none)"
