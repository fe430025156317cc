"""Files that can be read in two ways: the right one is taken, or the file is refused with its line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clusterml.errors import InputFileError, OptionError
from clusterml.spectrum.formats.format import read_spectrum_text
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.spectrum import Spectrum

MOLAR = {"concentration": 2e-5, "path_cm": 0.5}
"""c l = 1e-5: absorbance 1 is 1e5 L mol-1 cm-1."""


def read(text: str, **settings: Any) -> Spectrum:
    return read_spectrum_text(text, "m.txt", ReadSettings(**settings))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('nm\tepsilon\n450.0\t999\n440.0\t"12,345"\n', r"line 2, column nm is '450.0' but line 3, .* is '12,345'"),
        ("nm;epsilon\n450,0;999\n440,0;12.345\n", r"line 2, column nm is '450,0' but line 3, .* is '12.345'"),
        ("nm epsilon\n450,0 1.250\n440,0 12.345\n", r"'450,0' but line 2, column epsilon is '1.250'.*which mark"),
        ("nm\tepsilon\n450\t999\n440\t1,250\n430\t12,345\n", r"line 3, column epsilon is '1,250', .* '999': thousands"),
        ("nm;epsilon\n450;12.345\n440;0\n430;-999\n", r"line 2, column epsilon is '12.345', .* '-999': thousands"),
        ("nm\tepsilon\n1,001\t7\n1,000\t8\n999\t9\n", r"line 2, column nm is '1,001', and another '999'"),
    ],
)
def test_marks_of_thousands_are_refused(text: str, says: str) -> None:
    with pytest.raises(InputFileError, match=rf"m\.txt: .*{says}"):
        read(text)
    rows = text.split("\n", 1)[1]
    with pytest.raises(InputFileError, match=r"m\.txt: .* is "):
        read(rows, columns="wavelength,epsilon")


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        ("200.000\t1.234\n201.000\t0.125\n", [1.234, 0.125]),
        ("200.000\t12.345\n201.000\t23.456\n", [12.345, 23.456]),
        ("200,000;12,345\n201,000;23,456\n", [12.345, 23.456]),
        ("200\t0,125\n201\t1,234\n202\t2\n", [0.125, 1.234, 2]),
        ("200\t1.234\n201\t12.5\n202\t2\n", [1.234, 12.5, 2]),
        ("200\t1.234\n201\t0\n202\t2.345\n", [1.234, 0, 2.345]),
        ("200\t1.234\n201\t1250\n202\t2\n", [1.234, 1250, 2]),
        ("200\t1.234\n201\t1e2\n202\t2\n", [1.234, 100, 2]),
        ("200,1.234\n201,2\n202,3.456\n", [1.234, 2, 3.456]),
    ],
)
def test_three_decimals_are_no_thousands(rows: str, values: list[float]) -> None:
    mark = next(mark for mark in "\t;," if mark in rows)
    s = read(f"nm{mark}delta_epsilon\n{rows}")
    np.testing.assert_allclose(s.delta_epsilon[::-1], values)
    assert "warnings" not in s.meta


@pytest.mark.parametrize("heading", ["epsilon", "[theta] (deg cm2 dmol-1)"])
def test_numbers_that_may_be_thousands_are_told(heading: str) -> None:
    rows = "450\t12,345\n440\t23,456\n"
    (note,) = read(f"nm\t{heading}\n{rows}").meta["warnings"]
    assert "three digits behind the decimal mark: is it a mark of thousands?" in note
    assert "warnings" not in read(f"nm\tmdeg\n{rows}", **MOLAR).meta
    assert "warnings" not in read(f"nm\t{heading}\n{rows.replace('12,345', '0,345')}").meta
    (named,) = read(rows, columns="wavelength,absorption", unit="epsilon").meta["warnings"]
    assert named.startswith("epsilon: all numbers have three digits")
    (axis,) = read("cm-1\tmdeg\n25,000\t1\n24,000\t2\n", **MOLAR).meta["warnings"]
    assert axis.startswith("wavenumber_cm: all numbers")


def chirascan(*rows: str) -> str:
    head = "ProDataCSV\nTitle,sample\n\nData:\nCircularDichroism\nCell,1\nX:Wavelength,Y:CircularDichroism\n\n"
    return head + "\n".join(["Wavelength,", *rows, "", "History:", "baseline,7", ""])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("410,Infinity", r"line 11, column mdeg is 'Infinity'"),
        ("410,-1.#IND", r"line 11, column mdeg is '-1.#IND'"),
        ("410,NaN", r"line 11 has no mdeg"),
        ("410", r"line 11 has 1 cells"),
        (",2", r"a row of line 10 ff\. has no wavelength"),
        ("NaN,2", r"line 11 is 'NaN,2'"),
        ("paused", r"line 11 is 'paused' .rows of numbers are expected"),
    ],
)
def test_no_row_of_chirascan_ends_the_rows(row: str, says: str) -> None:
    rows = ["420,1", row, "400,3", "390,4"]
    with pytest.raises(InputFileError, match=rf"m\.txt: .*{says}"):
        read(chirascan(*rows), **MOLAR)


def test_empty_cells_of_chirascan_hide_no_column() -> None:
    text = chirascan(",20,30", "420,,2.5", "410,1,3.5", "400,2,4.5")
    with pytest.raises(OptionError, match=r"holds 2 CD spectra: 1 'sample 20' .*; 2 'sample 30'"):
        read(text, **MOLAR)
    np.testing.assert_allclose(read(text, block="20", **MOLAR).wavelength_nm, [410, 400])
    np.testing.assert_allclose(read(text, block="30", **MOLAR).delta_epsilon * 0.32982, [2.5, 3.5, 4.5])
    second = chirascan(",,30", "420,,5", "410,,6")
    np.testing.assert_allclose(read(second, block="30", **MOLAR).delta_epsilon * 0.32982, [5, 6])


@pytest.mark.parametrize(
    ("units", "rows", "says"),
    [
        (("CD [mdeg]", "HT [V]"), "400,0,0,5,300,0\n399,0,1,5,300,0\n", "line 5 has 6 cells where YUNITS, .. name 3"),
        (("CD [mdeg]",), "400,1,5\n399,2,5\n", "line 4 has 3 cells where YUNITS, .. name 2 .*commas are decimal"),
        (("CD [mdeg]",), ",20,40\n400,1,5,2,5\n399,1,5,2,5\n", "line 5 has 5 cells where YUNITS, .. name 3"),
    ],
)
def test_decimal_commas_between_commas_of_jasco(units: tuple[str, ...], rows: str, says: str) -> None:
    channels = "".join(f"Y{i if i > 1 else ''}UNITS,{unit}\n" for i, unit in enumerate(units, start=1))
    text = f"XUNITS,NANOMETERS\n{channels}XYDATA\n{rows}"
    with pytest.raises(InputFileError, match=rf"m\.txt: {says}"):
        read(text, **MOLAR)


def test_columns_between_commas_are_named_one_by_one() -> None:
    named = {"columns": "wavelength,epsilon"}
    with pytest.raises(InputFileError, match=r"line 1 has 4 cells where --columns-b names 2 .*decimal"):
        read("400,5,1000,5\n401,5,1001,5\n", **named, suffix="-b")
    np.testing.assert_allclose(read("401,1000,\n400,1001,\n", **named).epsilon, [1000, 1001])
    np.testing.assert_allclose(read("401,5;1000,5;7\n400,5;1001,5;8\n", **named).epsilon, [1000.5, 1001.5])
    all_named = {"columns": "wavelength,epsilon,skip,skip"}
    np.testing.assert_allclose(read("401,5,1000,5\n400,6,1001,5\n", **all_named).epsilon, [5, 6])


@pytest.mark.parametrize("fine", ["mdeg", "absorbance"])
def test_the_finer_of_two_axes_is_kept(fine: str) -> None:
    coarse = "absorbance" if fine == "mdeg" else "mdeg"
    rows = [f"{500 - 5 * i},{(-1) ** i},{500 - 50 * i if i < 5 else ''},{i if i < 5 else ''}" for i in range(41)]
    s = read("\n".join([f"nm,{fine},nm,{coarse}", *rows, ""]), **MOLAR)
    np.testing.assert_allclose(s.wavelength_nm, 500 - 5 * np.arange(41))
    values, others = (s.delta_epsilon * 0.32982, s.epsilon * 1e-5)[:: 1 if fine == "mdeg" else -1]
    np.testing.assert_allclose(values, (-1.0) ** np.arange(41))
    np.testing.assert_allclose(others[::10], np.arange(5))
    assert "warnings" not in s.meta


def test_the_finer_axis_is_that_of_the_range_that_both_cover() -> None:
    absorption = [(nm, 1.0) for nm in range(900, 500, -1)] + [(500, 1.0), (400, 2.0), (300, 3.0)]
    cd = [(nm, nm / 10) for nm in range(500, 290, -10)]
    rows = [f"{a},{b},{','.join(map(str, cd[i])) if i < len(cd) else ','}" for i, (a, b) in enumerate(absorption)]
    s = read("\n".join(["nm,absorbance,nm,mdeg", *rows, ""]), **MOLAR)
    np.testing.assert_allclose(s.wavelength_nm, [nm for nm, _ in cd])
    assert s.meta["warnings"] == ["absorption and CD cover different energies: 2.48 to 4.13 eV are used"]


def test_a_cd_in_a_unit_that_is_not_known_is_told() -> None:
    s = read("Wavelength (nm),CD (x10^3),Absorbance\n450,0.1,0.1\n440,0.2,0.2\n", **MOLAR)
    np.testing.assert_allclose(s.epsilon, [1e4, 2e4])
    (note,) = s.meta["warnings"]
    assert "the unit of 'CD (x10^3)' is not known" in note
    assert "warnings" not in read("nm,CD (mdeg),CD (V)\n450,3.2982,0.1\n440,3.2982,0.2\n", **MOLAR).meta
