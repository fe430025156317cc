"""Instruments' exports and tables in the habits people have: each gives the numbers that it means."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import jcamp as jcamp_package
import numpy as np
import pytest

from clusterml.errors import InputFileError, OptionError
from clusterml.spectrum.export import csv_text, jcamp_text
from clusterml.spectrum.formats.format import REGISTRY, read_spectrum_text
from clusterml.spectrum.formats.headers import meaning
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.measured import read_spectrum
from clusterml.spectrum.spectrum import Spectrum

MOLAR = {"concentration": 2e-5, "path_cm": 0.5}  # c l = 1e-5
"""So that absorbance 1 is 1e5 L mol-1 cm-1, and 32.982 mdeg are 100."""


def read(text: str, **settings: Any) -> Spectrum:
    return read_spectrum_text(text, "m.txt", ReadSettings(**settings))


def at(spectrum: Spectrum, nm: float, field: str = "delta_epsilon") -> float:
    return float(getattr(spectrum, field)[np.argmin(abs(spectrum.wavelength_nm - nm))])


def jasco(rows: str, mark: str = "\t", units: tuple[str, ...] = ("CD [mdeg]", "HT [V]", "ABSORBANCE")) -> str:
    channels = [(f"Y{i if i > 1 else ''}UNITS", unit) for i, unit in enumerate(units, start=1)]
    labels = [
        ("TITLE", "S-cluster"),
        ("DATA TYPE", ""),
        ("ORIGIN", "JASCO"),
        ("DELTAX", "-10"),
        ("XUNITS", "NANOMETERS"),
    ]
    labels += [*channels, ("FIRSTX", "420.0"), ("LASTX", "400.0"), ("NPOINTS", "3")]
    head = "\r\n".join(mark.join(pair) for pair in labels)
    return f"{head}\r\nXYDATA\r\n{rows}\r\n\r\n##### Extended Information\r\n[Comments]\r\nCell length{mark}10 mm\r\n"


ROWS = "420.0000\t32.982\t301.1\t0.1\r\n410.0000\t-65.964\t302\t0.2\r\n400.0000\t16.491\t303\t0.3"


@pytest.mark.parametrize(
    "text",
    [
        jasco(ROWS),
        jasco(ROWS.replace("\t", ","), ","),
        jasco(ROWS.replace(".", ",").replace("\t", ";"), ";"),
        jasco(ROWS.replace(".", ",")),
    ],
    ids=["text", "csv", "semicolons", "decimal comma"],
)
def test_jasco(text: str) -> None:
    s = read(text, **MOLAR)
    np.testing.assert_allclose(s.wavelength_nm, [420, 410, 400])
    np.testing.assert_allclose(s.delta_epsilon, [100, -200, 50])
    np.testing.assert_allclose(s.epsilon, [1e4, 2e4, 3e4])
    assert "warnings" not in s.meta


def test_jasco_molar_ellipticity_needs_no_concentration() -> None:
    rows = "420.0000\t3298.2\t300\n410.0000\t-6596.4\t300\n400.0000\t0\t300"
    s = read(jasco(rows, units=("Mol. Ellip.", "HT[V]")))
    np.testing.assert_allclose(s.delta_epsilon, [1, -2, 0])
    assert not s.has_absorption
    with pytest.raises(OptionError, match="molar units: --concentration would change nothing"):
        read(jasco(rows, units=("Mol. Ellip.", "HT[V]")), concentration=1e-5)


def test_jasco_asks_for_what_is_missing() -> None:
    with pytest.raises(OptionError, match="give --concentration-b and --path-b"):
        read(jasco(ROWS), suffix="-b")
    unstated = jasco(ROWS, units=("CD", "HT", "X"))
    with pytest.raises(OptionError, match=r"in which unit its cd is \(give --unit: mdeg, .* or "):
        read(unstated)
    assert at(read(unstated, unit="delta_epsilon"), 420) == 32.982
    overruled = read(jasco(ROWS), unit="delta_epsilon", **MOLAR)
    assert at(overruled, 420) == 32.982
    assert overruled.meta["warnings"] == ["--unit is delta_epsilon: the file says mdeg"]
    with pytest.raises(InputFileError, match=r"among YUNITS.*'INTENSITY'.*--columns wavelength,cd"):
        read(jasco(ROWS, units=("INTENSITY",)))
    by_hand = read(jasco(ROWS, units=("INTENSITY",)), columns="wavelength,cd,skip,absorbance", unit="mdeg", **MOLAR)
    np.testing.assert_allclose(by_hand.delta_epsilon, [100, -200, 50])
    np.testing.assert_allclose(by_hand.epsilon, [1e4, 2e4, 3e4])


@pytest.mark.parametrize("columns", [("mdeg", "delta_epsilon"), ("delta_epsilon", "mdeg")])
def test_a_unit_that_a_file_has_beside_another_is_that_of_its_own_column(columns: tuple[str, str]) -> None:
    values = {"mdeg": 32.982, "delta_epsilon": 7}
    nm = (420, 410, 400, 390, 380)
    rows = "".join(f"{x},{','.join(str(values[c] * k) for c in columns)}\n" for k, x in enumerate(nm, start=1))
    s = read(f"wavelength_nm,{','.join(columns)}\n{rows}", unit="mdeg", **MOLAR)
    np.testing.assert_allclose(s.wavelength_nm, nm)
    np.testing.assert_allclose(s.delta_epsilon, [100, 200, 300, 400, 500])
    assert s.meta["warnings"] == ["--unit is mdeg: the delta_epsilon of the file is left out"]


def test_a_unit_may_be_written_with_a_greek_letter() -> None:
    text = "wavelength_nm,cd\n420,1\n410,2\n400,3\n390,4\n380,5\n"
    assert at(read(text, unit="\u0394epsilon"), 420) == at(read(text, unit="delta_epsilon"), 420) == 1.0


def test_a_title_too_long_to_be_split_is_named_with_its_file() -> None:
    text = f"{'a,' * 70_000}{'b' * 140_000}\nwavelength_nm,delta_epsilon\n420,1\n410,2\n400,3\n390,4\n380,5\n"
    with pytest.raises(InputFileError, match=r"^m\.txt: line 1 "):
        read(text)


def test_a_title_in_brackets_is_no_json() -> None:
    text = "[sample] Ag29\nwavelength_nm,delta_epsilon\n420,1\n410,2\n400,3\n390,4\n380,5\n"
    assert at(read(text), 420) == 1.0


def test_numbers_of_thousands_of_digits_are_no_counts() -> None:
    many = "9" * 5000
    assert at(read(jasco(ROWS).replace("NPOINTS\t3", f"NPOINTS\t{many}"), **MOLAR), 420) == pytest.approx(100.0)
    text = "##TITLE=x\n##JCAMP-DX=4.24\n##DATA TYPE=UV-VIS SPECTRUM\n##XUNITS=NANOMETERS\n##YUNITS=ABSORBANCE\n"
    text += f"##FIRSTX=400\n##LASTX=420\n##DELTAX=10\n##NPOINTS=3\n##XYDATA=(X++(Y..Y))\n400A{many}S{many}\n##END=\n"
    with pytest.raises(InputFileError):
        read(text, **MOLAR)


def test_warnings_of_a_result_are_words(tmp_path: Path) -> None:
    import json

    block = {"energy_ev": [2.0, 2.1, 2.2], "epsilon": [1.0, 2.0, 1.0], "delta_epsilon": [1.0, 2.0, 1.0]}
    for said, kept in ((5, []), (None, []), ("one", ["one"]), (["a", 5], ["a"])):
        spectrum = read(json.dumps({"spectrum": {**block, "meta": {"warnings": said}}}))
        assert spectrum.meta["warnings"] == kept


def test_a_short_jasco_file_is_told() -> None:
    s = read(jasco(ROWS.rsplit("\r\n", 1)[0]), **MOLAR)
    assert s.meta["warnings"] == ["NPOINTS is 3, but there are 2 rows: is the file cut off?"]


def test_jasco_at_several_temperatures() -> None:
    text = jasco("\t20\t40\n420\t1\t3\n410\t2\t4", units=("CD [mdeg]",))
    with pytest.raises(OptionError, match=r"holds 2 CD spectra: 1 'S-cluster 20' .mdeg.; 2 'S-cluster 40'.*--block"):
        read(text, **MOLAR)
    assert at(read(text, block="s-cluster 40", **MOLAR), 410) == pytest.approx(4e5 / 32982)


def chirascan(*blocks: str) -> str:
    head = "ProDataCSV\n0.0.0.1\nTitle,sample\nRepeats,1\nRemarks:,\nProperties:,3\nWavelength\nCircularDichroism\nHV\n"
    return f"{head}\nData:\n" + "\n\n".join(blocks) + "\n\nHistory:\nbaseline,7\n"


def section(name: str, *rows: str, cell: int = 1, conditions: str = "") -> str:
    return f"{name}\nCell,{cell}\nX:Wavelength,Y:{name}\n\nWavelength,{conditions}\n" + "\n".join(rows)


def test_chirascan() -> None:
    cd = section("CircularDichroism", "420,32.982", "410,-65.964", "400,16.491")
    hv = section("HV", "420,300", "410,310", "400,320")
    absorbance = section("Absorbance", "420,0.1", "410,0.2", "400,0.3")
    s = read(chirascan(cd, hv, absorbance), **MOLAR)
    np.testing.assert_allclose(s.wavelength_nm, [420, 410, 400])
    np.testing.assert_allclose(s.delta_epsilon, [100, -200, 50])
    np.testing.assert_allclose(s.epsilon, [1e4, 2e4, 3e4])
    assert not read(chirascan(cd, hv), **MOLAR).has_absorption
    semicolons = chirascan(cd, hv).replace(",", ";").replace(".", ",")
    np.testing.assert_allclose(read(semicolons, **MOLAR).delta_epsilon, [100, -200, 50])
    np.testing.assert_allclose(read(chirascan(cd).replace("\n\n", "\n,\n"), **MOLAR).delta_epsilon, [100, -200, 50])
    with pytest.raises(InputFileError, match=r"no CircularDichroism and no Absorbance.*found HV"):
        read(chirascan(hv))
    with pytest.raises(InputFileError, match="no line 'Data:'"):
        read(chirascan(cd).split("Data:")[0])


def test_chirascan_of_several_cells_and_temperatures() -> None:
    first, second = (section("CircularDichroism", f"420,{k}", f"400,{k}", cell=k) for k in (1, 2))
    with pytest.raises(OptionError, match=r"2 CD spectra: 1 'sample' .mdeg.; 2 'sample Cell 2'"):
        read(chirascan(first, second), **MOLAR)
    assert at(read(chirascan(first, second), block="2", **MOLAR), 400) == pytest.approx(2e5 / 32982)
    ramp = "CircularDichroism\nWavelength,Temperature\n,20,30\n420,1,3\n400,2,4"
    assert at(read(chirascan(ramp), block="30", **MOLAR), 400) == pytest.approx(4e5 / 32982)
    melt = "CircularDichroism\nTemperature,Wavelength\n,420,400\n20,1,3\n30,2,4"
    with pytest.raises(InputFileError, match="export a wavelength scan"):
        read(chirascan(melt), **MOLAR)


@pytest.mark.parametrize(
    "text",
    [
        "nm,epsilon,delta_epsilon\n500,10,-1\n250,30,2\n",
        "nm; epsilon; delta_epsilon\n500,0;10,0;-1,0\n250,0;30,0;2,0\n",
        "nm epsilon delta_epsilon\n500,0 10,0 -1,0\n250,0 30,0 2,0\n",
        "  Wavelength [nm]   ε [M-1 cm-1]  Δε [M-1 cm-1]\n  500.0   1.0E+01  -1.0\n  250.0   3.0E+01  2.0\n",
        "Wavelength,epsilon,CD\nnm,M-1 cm-1,M-1 cm-1\n500,10,-1\n250,30,2\n",
        "# a measurement of 3 May 2021\n# nm epsilon delta_epsilon\n500 10 -1\n250 30 2\n",
        "My cluster, in MeCN\nDate: 2021-05-03\n1 of 3\n\n"
        "nm,epsilon,delta_epsilon,\n500,10,-1,\n250,30,2,\n\nBaseline: on\n",
        '"Wavelength (nm)","ε (10^4 M-1 cm-1)","[θ] (10^3 deg cm2 dmol-1)","HT (V)"\n'
        "500,1e-3,-3.2982,300\n250,3e-3,6.5964,310\n",
        "E (eV)\tepsilon\tdelta_epsilon\n2.479683968\t10\t-1\n4.959367936\t30\t2\n",
        "wavenumber (cm-1)\tepsilon\tdelta_epsilon\n20000\t10\t-1\n40000\t30\t2\n",
        "delta_epsilon,epsilon,nm\n2,30,250\n-1,10,500\n",
    ],
)
def test_tables_in_their_habits(text: str) -> None:
    for content in (text, "\ufeff" + text, text.replace("\n", "\r\n"), text.replace("\n", "\r")):
        s = read(content.lstrip("\ufeff"))
        np.testing.assert_allclose(s.wavelength_nm, [500, 250], rtol=1e-6)
        np.testing.assert_allclose(s.epsilon, [10, 30])
        np.testing.assert_allclose(s.delta_epsilon, [-1, 2])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_sources_and_encodings(tmp_path: Path, encoding: str) -> None:
    content = "Wavelength (nm);CD (mdeg)\n500;-3,2982\n400;6,5964\n".encode(encoding)
    (tmp_path / "x.csv").write_bytes(content)
    for source in (tmp_path / "x.csv", str(tmp_path / "x.csv"), content, io.BytesIO(content)):
        np.testing.assert_allclose(read_spectrum(source, 2e-5, 0.5).delta_epsilon, [-10, 20])


def test_empty_and_endless_sources() -> None:
    with pytest.raises(InputFileError, match="empty"):
        read_spectrum(b" \n")

    class Endless(io.RawIOBase):
        name = "endless"

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            return b"1,2\n" * (size // 4 + 1)

    with pytest.raises(InputFileError, match="endless is larger than 64 MiB"):
        read_spectrum(Endless())


def test_columns_without_a_heading() -> None:
    text = "Run 7 on 3 May\n500 3.2982 300 0.1\n490 6.5964 300 0.2\n"
    with pytest.raises(InputFileError, match=r"line 1: no heading.*--columns-a wavelength,cd --unit-a mdeg"):
        read(text, suffix="-a")
    s = read(text, columns="wavelength,cd,skip,absorption", unit="mdeg,absorbance", **MOLAR)
    np.testing.assert_allclose(s.delta_epsilon, [10, 20])
    np.testing.assert_allclose(s.epsilon, [1e4, 2e4])
    s = read("2.5 3298.2\n3.0 6596.4\n", columns="energy,cd", unit="molar-ellipticity")
    np.testing.assert_allclose(s.energy_ev, [2.5, 3.0])
    np.testing.assert_allclose(s.delta_epsilon, [1, 2])
    s = read("400,1,0.1\n300,2,0.2\n", columns="wavelength,epsilon,epsilon_std")
    np.testing.assert_allclose(s.epsilon_std, [0.1, 0.2])
    s = read("0.4 1 0.2\n0.3 2 0.1\n", columns="wavelength (um),epsilon (10^3 M-1 cm-1),epsilon_std (mM-1 cm-1)")
    np.testing.assert_allclose(s.wavelength_nm, [400, 300])
    np.testing.assert_allclose(s.epsilon, [1e3, 2e3])
    np.testing.assert_allclose(s.epsilon_std, [200, 100])


def test_the_factor_of_a_logarithm_is_inside_of_it() -> None:
    heading = "wavelength (nm)\tlog eps (mM-1 cm-1)\terror"
    s = read(f"{heading}\n400\t1.0\t0.1\n300\t0.0\t0.1\n")
    np.testing.assert_allclose(s.epsilon, [1e4, 1e3])
    np.testing.assert_allclose(s.epsilon_std, np.log(10) * 0.1 * s.epsilon)


@pytest.mark.parametrize("write", [csv_text, jcamp_text])
def test_errors_come_back_from_the_tables_that_we_write(write: Any) -> None:
    n = np.linspace(0.0, 1.0, 9)
    errors = {"epsilon_std": 100 * (1 + n), "delta_epsilon_std": 1 + n**2, "label_error": 3 - n}
    written = Spectrum(2.0 + n, 1e4 * (1 + n), 20 * n - 7, **errors)
    s = read(write(written))
    for name, values in errors.items():
        np.testing.assert_allclose(getattr(s, name), values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"columns": "wavelength"}, "name one axis and at least one quantity"),
        ({"columns": "wavelength,energy,mdeg"}, "name one axis"),
        ({"columns": "cd,mdeg", "unit": "mdeg"}, "name one axis"),
        ({"columns": "wavelength,cd"}, "cd without a unit .give --unit: mdeg, molar-ellipticity, delta_epsilon or"),
        ({"columns": "wavelength,absorption", "unit": "mdeg"}, "absorption without a unit"),
        ({"columns": "wavelength,what"}, "'what' is not known"),
        ({"unit": "furlong"}, "--unit is 'furlong'"),
        ({"unit": "mdeg,delta_epsilon"}, "one for CD and one for absorption"),
        ({"path_cm": 0.0}, "--path is 0"),
        ({"concentration": float("nan")}, "--concentration is nan"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        ReadSettings(**settings)


def test_no_option_is_ignored(spectrum: Spectrum, tmp_path: Path) -> None:
    spectrum.to_json(tmp_path / "a.json")
    spectrum.to_jcamp(tmp_path / "a.jdx")
    for name, given in (("a.json", "unit"), ("a.json", "columns"), ("a.json", "block"), ("a.jdx", "columns")):
        value = {"unit": "mdeg", "columns": "wavelength,mdeg", "block": "1"}[given]
        with pytest.raises(OptionError, match=f"--{given} would change nothing"):
            read_spectrum(tmp_path / name, **{given: value})
    with pytest.raises(OptionError, match="--path would change nothing"):
        read_spectrum(tmp_path / "a.json", path_cm=1.0)
    with pytest.raises(OptionError, match="holds no cd: --unit mdeg would change nothing"):
        read("nm,epsilon\n500,10\n450,20\n400,15\n", unit="mdeg")
    with pytest.raises(OptionError, match="holds no absorption: --unit epsilon would change nothing"):
        read("nm,cd\n500,1\n450,2\n400,1.5\n", unit="delta_epsilon,epsilon")


def test_errors_of_measurement_have_the_factor_of_their_quantity() -> None:
    for heading in (
        "nm,mdeg,CD error (mdeg),absorbance,std",
        "nm,CD [mdeg],error,A,sigma",
        "nm,mdeg,mdeg_std,abs,abs_std",
    ):
        s = read(f"{heading}\n500,32.982,3.2982,1,0.1\n400,0,,2,0.2\n", **MOLAR)
        np.testing.assert_allclose(s.delta_epsilon_std, [10, np.nan])
        np.testing.assert_allclose(s.epsilon_std, [1e4, 2e4])


def test_several_spectra_in_a_table() -> None:
    cary = (
        "Baseline 100%T,,Ag25 in DCM,,\n"
        "Wavelength (nm),Abs,Wavelength (nm),Abs,\n500,0.01,500,0.1,\n400,0.02,400,0.2,\n"
        ",,300,0.3,\n\nCary 60\nScan Rate (nm/min),600.0\n"
    )
    with pytest.raises(OptionError, match=r"holds 2 absorption spectra: 1 'Baseline 100%T'.*2 'Ag25 in DCM'.*--block"):
        read(cary, **MOLAR)
    for block in ("2", "ag25", "Ag25 in DCM"):
        np.testing.assert_allclose(read(cary, block=block, **MOLAR).epsilon, [1e4, 2e4, 3e4])
    np.testing.assert_allclose(read(cary, block="1", **MOLAR).epsilon, [1e3, 2e3])
    for block in ("3", "0", "zinc", "1,2,3", "n"):
        with pytest.raises(OptionError, match="--block is"):
            read(cary, block=block, **MOLAR)
    one_axis = "nm,CD (mdeg),CD [mdeg],absorbance\n500,1,2,0.1\n400,3,4,0.2\n"
    with pytest.raises(OptionError, match="holds 2 CD spectra"):
        read(one_axis, **MOLAR)
    assert at(read(one_axis, block="1,3", **MOLAR), 400) == pytest.approx(4e5 / 32982)


def test_repeated_points() -> None:
    same = read("nm,epsilon\n500,1000\n450,2000\n450,2000\n400,1500\n")
    np.testing.assert_allclose(same.epsilon, [1000, 2000, 1500])
    assert "warnings" not in same.meta
    near = read("nm,epsilon\n500,1000\n450,2000\n450,2100\n400,1500\n")
    np.testing.assert_allclose(near.epsilon, [1000, 2050, 1500])
    assert near.meta["warnings"] == [
        "lines 3, 4 give different values at 450 nm: means were taken at 1 repeated energies"
    ]
    with pytest.raises(InputFileError, match="lines 3, 4 give different values at 450 nm, which contradict each other"):
        read("nm,epsilon\n500,1000\n450,2000\n450,5000\n400,1500\n")
    both_ways = read("nm,mdeg\n500,1\n450,2\n400,3\n400,3.1\n450,2.1\n500,1\n", **MOLAR)
    np.testing.assert_allclose(both_ways.delta_epsilon * 0.32982, [1, 2.05, 3.05])
    dx = "##TITLE=x\n##JCAMP-DX=4.24\n##XUNITS=NM\n##YUNITS=MOLAR ABSORPTIVITY\n"
    dx += "##XYPOINTS=(XY..XY)\n500 10\n450 20; 450 20\n400 15\n##END="
    np.testing.assert_allclose(read(dx).epsilon, [10, 20, 15])


def test_absorption_and_cd_of_different_length() -> None:
    s = read("nm,absorbance,mdeg\n500,0.1,\n450,0.2,3\n400,0.3,4\n350,0.4,\n", **MOLAR)
    np.testing.assert_allclose(s.wavelength_nm, [450, 400])
    assert s.meta["warnings"] == ["absorption and CD cover different energies: 2.76 to 3.10 eV are used"]


def test_three_decimals_are_no_thousands() -> None:
    for rows in ("500.000\t0.125\n450.000\t1.250\n", "500\t0.125\n450\t1.250\n400\t0\n", "500;0,125\n450;12,345\n"):
        mark = "\t" if "\t" in rows else ";"
        assert read(f"nm{mark}epsilon\n{rows}").epsilon.max() > 1.2


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("Wavelength (Å)", ("wavelength_nm", 0.1)),
        ("Wavelength (\u212b)", ("wavelength_nm", 0.1)),
        ("A (%)", None),
        ("Absorbance (-)", ("absorbance", 1.0)),
        ("θ (m°)", ("mdeg", 1.0)),
        ("ΔA (×10^4)", None),  # some have multiplied by it
        ("A (x 10^-3)", None),
        ("ε (×10⁴ M⁻¹ cm⁻¹)", ("epsilon", 1e4)),
        ("ε / 10⁴ M⁻¹ cm⁻¹", ("epsilon", 1e4)),
    ],
)
def test_what_units_of_signs_mean(heading: str, known: tuple[str, float] | None) -> None:
    assert meaning(heading) == known


def test_decimal_commas_of_jcamp_without_a_number_of_points() -> None:
    text = (
        "##TITLE=x\n##JCAMP-DX=4.24\n##DATA TYPE=UV SPECTRUM\n##XUNITS=NANOMETERS\n##YUNITS=EPSILON\n"
        "##FIRSTX=400\n##LASTX=402\n##XYDATA=(X++(Y..Y))\n400 0,1 0,2 0,3\n##END=\n"
    )
    with pytest.raises(InputFileError, match="line 9 has commas and blanks between its numbers"):
        read(text)
    assert len(read(text.replace(",", ".")).energy_ev) == 3


def test_a_blank_is_not_taken_unknowingly() -> None:
    block = "##TITLE={}\n##JCAMP-DX=4.24\n##XUNITS=NM\n##YUNITS=ABSORBANCE\n"
    block += "##FIRSTX=600\n##LASTX=300\n##NPOINTS=4\n##XYDATA=(X++(Y..Y))\n600 {} 0.4 0.3 0.9\n##END=\n"
    link = "##TITLE=titration\n##JCAMP-DX=4.24\n##DATA TYPE=LINK\n##BLOCKS=3\n"
    text = link + block.format("blank", 0.0) + block.format("sample 1", 0.1) + "##END=\n"
    with pytest.raises(OptionError, match=r"2 absorption spectra: 1 'blank' .absorbance.; 2 'sample 1' .absorbance."):
        read(text, **MOLAR)
    for choice in ("2", "Sample 1", "sample"):
        assert at(read(text, block=choice, **MOLAR), 600, "epsilon") == pytest.approx(1e4)
    alone = read(block.format("solvent blank", 0.0), **MOLAR)
    assert alone.meta["warnings"] == ["its title 'solvent blank' says that this is a blank, not a sample"]
    assert "warnings" not in read(block.format("solvent blank", 0.0), block="1", **MOLAR).meta
    assert "warnings" not in read(block.format("unblanked", 0.0), **MOLAR).meta


ORDINATES = [0, 12, 12, 12, -3, 250, 251, 252, 253, 253, -10, 0, 0, 7]
FORMS = {
    "AFFN": "400 0 12 12 12 -3 250 251\n393 252 253 253 -10 0 0 7",
    "PAC": "400+0+12+12+12-3+250+251\n393+252+253+253-10+0+0+7",
    "SQZ": "400@A2A2A2cB50B51\n393B52B53B53a0@@G",
    "SQZ DUP": "400@A2UcB50B51\n393B52B53Ta0@TG",
    "DIF": "400@J2%%j5K53J\n394B51JJ%k63J0%P",
    "DIF DUP": "400@J2%Tj5K53JU\n391B53%k63J0%P",
}


@pytest.mark.parametrize("form", FORMS)
def test_compressed_ordinates(form: str, tmp_path: Path) -> None:
    text = (
        "##TITLE=x\n##JCAMP-DX=4.24\n##DATA TYPE=UV/VIS SPECTRUM\n##XUNITS=NANOMETERS\n##YUNITS=MOLAR ABSORPTIVITY\n"
        "##XFACTOR=1\n##YFACTOR=0.5\n##FIRSTX=400\n##LASTX=387\n##NPOINTS=14\n##FIRSTY=0\n"
        f"##XYDATA=(X++(Y..Y))\n{FORMS[form]}\n##END=\n"
    )
    s = read(text)
    np.testing.assert_allclose(s.wavelength_nm, np.arange(400, 386, -1))
    np.testing.assert_allclose(s.epsilon, 0.5 * np.array(ORDINATES))
    if form == "SQZ DUP":
        return  # the other reader does not know repetitions without differences
    (tmp_path / "x.jdx").write_text(text)
    np.testing.assert_allclose(jcamp_package.readfile(str(tmp_path / "x.jdx"))["y"], s.epsilon)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("400@J2%%j5K53J\n394B52JJ%k63J0%P", "line 10 begins with 252, but the line before ended at 251"),
        ("400@J2%%j5K53J\n380B51JJ%k63J0%P", "line 10 begins at x = 380 where 394 is expected"),
        ("400S", "line 9 repeats nothing"),
        ("400@s999999999", "line 9 repeats nothing, or absurdly often"),
        ("400@A..5", "line 9 holds '1..5'"),
        ("400@\n\n", "holds 1 points"),
        ("400 1\n,;\n", "holds 1 points"),
    ],
)
def test_damaged_compression_names_the_line(rows: str, says: str) -> None:
    head = "##TITLE=x\n##JCAMP-DX=4.24\n##DATA TYPE=UV\n##XUNITS=NM\n"
    head += "##YUNITS=MOLAR ABSORPTIVITY\n##FIRSTX=400\n##LASTX=387\n"
    with pytest.raises(InputFileError, match=says):
        read(f"{head}##XYDATA=(X++(Y..Y))\n{rows}\n##END=\n")


def test_every_format_recognises_its_own(spectrum: Spectrum) -> None:
    samples = {
        "JASCO": jasco(ROWS),
        "Chirascan": chirascan(),
        "table": "nm,epsilon\n1,2\n",
        "JSON": "{}",
        "JCAMP-DX": "##TITLE=x",
    }
    for name, text in samples.items():
        assert next(kind.name for kind in REGISTRY.all() if kind.recognise(text)) == name


def test_shared_cases(shared: Path) -> None:
    folder = shared / "cases" / "spectra"
    np.testing.assert_allclose(read_spectrum(folder / "repeated-point.csv").epsilon, [1000, 2000, 1500, 4000])
    s = read_spectrum(folder / "jasco.txt", 2e-5, 0.5)
    assert at(s, 898) == pytest.approx(-0.317928e5 / 32982)
    assert at(s, 900, "epsilon") == pytest.approx(0.0947381e5)
    assert at(read_spectrum(folder / "chirascan.csv", 2e-5, 0.5), 889) == pytest.approx(-0.27013e5 / 32982)
    with pytest.raises(OptionError, match=r"1 'blank'.*2 'sample'"):
        read_spectrum(folder / "two_blocks.jdx", 2e-5, 0.5)
    assert at(read_spectrum(folder / "two_blocks.jdx", 2e-5, 0.5, block="sample"), 500, "epsilon") == pytest.approx(4e4)


def test_spectra_have_the_names_that_stand_above_their_units() -> None:
    table = "Wavelength\tAg29 R\tAg29 S\nnm\tmdeg\tmdeg\n450\t3.2982\t-3.2982\n440\t6.5964\t-6.5964\n"
    with pytest.raises(OptionError, match=r"1 'Ag29 R' \(mdeg\); 2 'Ag29 S' \(mdeg\)"):
        read(table, **MOLAR)
    np.testing.assert_allclose(read(table, block="Ag29 S", **MOLAR).delta_epsilon, [-10, -20])


AVIV = """_data_type_: Aviv CDS data file
Experiment Type: Wavelength
Bandwidth:1.00 nm
$MDCNAME:S-cluster
$MDCDATA:1:14:2:3:4:9
X  CD_Signal  CD_Error  CD_Current_(Abs)  CD_Delta_Absorbance  CD_Dynode  Jacket_Temp.
420.000  3.2982  0.032982  1.013  0.0001  242.9  19.98
410.000  -6.5964  0.065964  1.013  -0.0002  243.2  19.99
400.000  1.6491  0.0  1.013  0.00005  243.5  19.99
"""


def test_aviv() -> None:
    s = read(AVIV + "$ENDDATA\n", **MOLAR)
    assert (s.energy_ev.shape, np.isnan(s.epsilon).all()) == ((3,), True)
    assert [at(s, nm) for nm in (420, 410, 400)] == pytest.approx([10, -20, 5], rel=1e-4)
    assert at(s, 410, "delta_epsilon_std") == pytest.approx(0.2, rel=1e-4)
    several = AVIV + AVIV[AVIV.index("$MDCNAME") :].replace("S-cluster", "R-cluster").replace("CD_Error", "x_Error")
    with pytest.raises(OptionError, match=r"2 CD spectra: 1 'S-cluster' \(mdeg, mdeg_std\); 2 'R-cluster' \(mdeg\)"):
        read(several, **MOLAR)
    assert read(several, block="R-cluster", **MOLAR).delta_epsilon_std is None
    assert at(read(AVIV, unit="molar-ellipticity"), 420) == pytest.approx(0.001)
    assert at(read(AVIV, columns="wavelength,skip,skip,skip,delta_absorbance", **MOLAR), 410) == pytest.approx(-20)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Type: Wavelength", "Type: Temperature", "type 'Temperature'"),
        ("CD_Signal", "Fl_Signal", "line 5: no columns X and CD_Signal follow"),
        ("410.000  -6.5964", "410.000  ..", "line 8, column mdeg is '..'"),
        ("  243.2  19.99\n4", "  243.2  19.99  1\n4", "line 8 has 8 cells where the heading has 7"),
        (AVIV[AVIV.index("420.0") :], "", "line 6: no rows follow"),
        (AVIV[AVIV.index("X  CD") :], "", "line 5: no columns X"),
    ],
)
def test_what_an_aviv_file_lacks_is_named(old: str, new: str, says: str) -> None:
    assert old in AVIV
    with pytest.raises(InputFileError, match=says):
        read(AVIV.replace(old, new), **MOLAR)
