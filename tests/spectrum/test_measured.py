"""Measured files: units, headings, JCAMP-DX variants, and damage of every kind."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clusterml.errors import ClusterMLError, InputFileError, OptionError
from clusterml.io.json import json_text
from clusterml.spectrum.export import csv_text, jcamp_text, spectrum_block, spectrum_of
from clusterml.spectrum.formats.format import read_spectrum_text
from clusterml.spectrum.formats.headers import Meaning, meaning
from clusterml.spectrum.formats.jcamp import read as read_jcamp
from clusterml.spectrum.formats.settings import ReadSettings
from clusterml.spectrum.formats.table import read as read_table
from clusterml.spectrum.measured import read_spectrum
from clusterml.spectrum.spectrum import Spectrum


def table(text: str, **settings: Any) -> Spectrum:
    return read_table(text, "m.csv", ReadSettings(**settings))


def jcamp_spectrum(text: str, concentration: float | None = None, path_cm: float | None = None) -> Spectrum:
    return read_jcamp(text, "m.jdx", ReadSettings(concentration, path_cm))


def dx(labels: str, data: str) -> str:
    return f"##TITLE=x\n##JCAMP-DX=4.24\n##DATA TYPE=UV/VIS SPECTRUM\n{labels}\n{data}\n##END=\n"


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Wavelength (nm)", "wavelength_nm"),
        ("wavelength_nm", "wavelength_nm"),
        ("λ/nm", "wavelength_nm"),
        ("NM", "wavelength_nm"),
        ("NANOMETERS", "wavelength_nm"),
        ("Wavelength [µm]", ("wavelength_nm", 1e3)),
        ("Wellenlänge, nm", "wavelength_nm"),
        ("Wellenl\ufffdnge, nm", "wavelength_nm"),
        ("Wavelength (\u00c5)", ("wavelength_nm", 0.1)),
        ("Wavelength (\u212b)", ("wavelength_nm", 0.1)),
        ("λ / A\u030angström", ("wavelength_nm", 0.1)),
        ("ANGSTROMS", ("wavelength_nm", 0.1)),
        ("Wavelength (нм)", None),
        ("Wavelength (#)", None),
        ("Wavelength ()", "wavelength_nm"),
        ("A (%)", None),
        ("A [10^2 %]", None),
        ("% A", None),
        ("Abs%", None),
        ("Absorption_%", None),
        ("Absorbance (-)", "absorbance"),
        ("θ (m°)", "mdeg"),
        ("hν (eV)", "energy_ev"),
        ("HV", None),
        ("HT [V]", None),
        ("energy_ev", "energy_ev"),
        ("E (eV)", "energy_ev"),
        ("Energy (kJ/mol)", None),
        ("1/CM", "wavenumber_cm"),
        ("Abs.", "absorbance"),
        ("A", "absorbance"),
        ("Absorbance (a.u.)", "absorbance"),
        ("CD [mdeg]", "mdeg"),
        ("mdeg", "mdeg"),
        ("ellipticity_mdeg", "mdeg"),
        ("CD", "cd"),
        ("CD/deg", ("mdeg", 1e3)),
        ("θ (mdeg)", "mdeg"),
        ("[θ] (deg cm2 dmol-1)", "molar_ellipticity"),
        ("[θ] / 10^3 deg cm^2 dmol^-1", ("molar_ellipticity", 1e3)),
        ("Mol. Ellip.", "molar_ellipticity"),
        ("Mol. CD", "delta_epsilon"),
        ("mean residue ellipticity (deg cm2 dmol-1)", None),
        ("Absorbance (mAU)", ("absorbance", 1e-3)),
        ("ε (L mol⁻¹ cm⁻¹)", "epsilon"),
        ("ε (M⁻¹∙cm⁻¹)", "epsilon"),
        ("epsilon / M-1 cm-1", "epsilon"),
        ("MOLAR ABSORPTIVITY", "epsilon"),
        ("epsilon (mM-1 cm-1)", ("epsilon", 1e3)),
        ("epsilon (10^4 M-1 cm-1)", ("epsilon", 1e4)),
        ("ε / 10⁴ M⁻¹ cm⁻¹", ("epsilon", 1e4)),
        ("epsilon (1000 M-1 cm-1)", None),
        ("ε (m2 mol-1)", ("epsilon", 10.0)),
        ("Δε [M^-1 cm^-1]", "delta_epsilon"),
        ("delta_epsilon_l_mol_cm", "delta_epsilon"),
        ("delta_epsilon_std_l_mol_cm", "delta_epsilon_std"),
        ("CD error (mdeg)", "mdeg_std"),
        ("sd absorbance", "absorbance_std"),
        ("DELTA A", "delta_absorbance"),
        ("g_abs", None),
        ("", None),
    ],
)
def test_headings(heading: str, expected: str | tuple[str, float] | None) -> None:
    wanted = (expected, 1.0) if isinstance(expected, str) else expected
    assert meaning(heading) == (wanted and Meaning(*wanted))


@pytest.mark.parametrize(
    "text",
    [
        "wavelength_nm,epsilon,delta_epsilon\n500,10,-1\n250,30,2\n",
        "# comment\n\nWavelength (nm)\tepsilon\tDelta Epsilon\r\n500\t10\t-1\r\n250\t30\t2\r\n",
        "nm;epsilon;delta_epsilon\n500,0;10,0;-1,0\n250;30;2\n",
        "Wavelength (nm)  epsilon (L mol-1 cm-1)  delta_epsilon\n500 10 -1\n250 3e1 2\n",
        "HT,delta_epsilon,energy_ev,wavelength_nm,epsilon\n1,2,4.959367936,250,30\n,-1,2.479683968,500,10\n",
    ],
)
def test_tables_of_many_styles(text: str) -> None:
    s = table(text)
    np.testing.assert_allclose(s.energy_ev, [1239.841984 / 500, 1239.841984 / 250], rtol=1e-12)
    np.testing.assert_array_equal(s.epsilon, [10.0, 30.0])
    np.testing.assert_array_equal(s.delta_epsilon, [-1.0, 2.0])


def test_absorbance_and_ellipticity_become_molar() -> None:
    s = table("nm,absorbance,mdeg\n500,0.5,32.982\n400,1.0,-32.982\n", concentration=1e-5, path_cm=0.5)
    np.testing.assert_allclose(s.epsilon, [1e5, 2e5])
    np.testing.assert_allclose(s.delta_epsilon, [200.0, -200.0])
    s = table("nm,delta_absorbance\n500,1e-3\n400,2e-3\n", concentration=1e-5, path_cm=1)
    np.testing.assert_allclose(s.delta_epsilon, [100.0, 200.0])
    assert not s.has_absorption


@pytest.mark.parametrize(
    ("heading", "concentration", "says"),
    [
        ("absorbance,mdeg", 10.0, "epsilon of m.csv is at most 0.2 L mol-1 cm-1"),
        ("absorbance,mdeg", 1e-2, "epsilon of m.csv is at most 2e+02 L mol-1 cm-1"),
        ("absorbance", 1e-9, "epsilon of m.csv is at most 2e+09 L mol-1 cm-1"),
        ("epsilon,mdeg", 10.0, "|delta epsilon| of m.csv is at most 0.00012 L mol-1 cm-1"),
        ("delta_absorbance", 1e-8, "|delta epsilon| of m.csv is at most 2e+08 L mol-1 cm-1"),
    ],
)
def test_a_concentration_in_the_wrong_unit_is_noticed(heading: str, concentration: float, says: str) -> None:
    rows = ("500,1.0,-20", "400,0.5,10") if "," in heading else ("500,1.0", "400,0.5")
    text = "\n".join([f"nm,{heading}", *rows, ""])
    (note,) = table(text, concentration=concentration, path_cm=0.5).meta["warnings"]
    assert note == f"{says}: is the concentration in mol/L, and the path in cm?"


def test_a_plausible_concentration_is_not_doubted() -> None:
    text = "nm,absorbance,mdeg\n500,1.0,-20\n400,0.5,10\n"
    assert "warnings" not in table(text, concentration=1e-5, path_cm=0.5).meta
    nothing = "nm,absorbance\n500,0\n400,0\n"
    assert "warnings" not in table(nothing, concentration=9.0, path_cm=0.5).meta


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("nm,mdeg\n500,1\n400,2\n")
    with pytest.raises(OptionError, match=r"m\.csv gives mdeg.*--concentration-a and --path-a"):
        read_spectrum(path, option_suffix="-a")
    with pytest.raises(OptionError, match=r"give --path-b\)"):
        read_spectrum(path, concentration=1e-5, option_suffix="-b")
    with pytest.raises(OptionError, match="--path is -1"):
        read_spectrum(path, concentration=1e-5, path_cm=-1.0)
    assert read_spectrum(path, concentration=1e-5, path_cm=1.0).has_cd


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2\n3,4\n", "line 1: no heading names an energy"),
        ("nm,thing\n500,1\n400,2\n", "line 1: no heading names an absorption or CD .*'thing'"),
        ("nm,epsilon\n500,1,5\n400,2,0\n", "line 2 has 3 cells where the heading has 2 .*decimal"),
        ("nm,epsilon\n500,1\nsee below\n400,2\n", "line 3 is 'see below'"),
        ("nm,epsilon\n500,1\n400\n", "line 3 has 1 cells"),
        ("nm,epsilon\n500,1\n\n400,x\n", "line 4, column epsilon is 'x'"),
        ("nm,epsilon\n500,1\n400,\n300,2\n", "line 3 has no epsilon"),
        ("nm,epsilon\n500,1\n400,inf\n", "line 3, column epsilon is 'inf'"),
        ("nm,epsilon\n500,1\n0,2\n", "line 3: wavelength_nm is 0"),
        ("nm,epsilon\n500,1\n", "1 rows"),
        ("nm,epsilon\n500,1\n500,2\n", "lines 2, 3 give different values at 500 nm, which contradict"),
        ("nm,epsilon\n500,1\n500,1\n", "given at 1 energy"),
        ("nm,epsilon\n500,1_0\n400,2\n", "line 2"),
        ("nm,epsilon\n500,1\n400,\x00\n", "line 3"),
        ('nm,epsilon\n500,1\n400,"' + "9" * 200_000 + "\n", "line 3"),
    ],
)
def test_damaged_tables_name_the_line(text: str, says: str) -> None:
    with pytest.raises(InputFileError, match=r"m\.csv.*" + says):
        table(text)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("blank", b" \n"), ("binary", b"nm,epsilon\n\0\1"), ("half", b"\xff\xfea")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputFileError, match=name):
            read_spectrum(tmp_path / name)
    for name in ("absent", "", "a\0b"):
        with pytest.raises(InputFileError):
            read_spectrum(tmp_path / name)
    text = "λ (nm),ε\n500,1\n400,2\n"
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "x").write_bytes(text.encode(encoding))
        assert len(read_spectrum(tmp_path / "x")) == 2
    (tmp_path / "x").write_bytes("nm,epsilon\n500,1\n400,2\n# Küvette".encode("latin-1"))
    assert len(read_spectrum(tmp_path / "x")) == 2


@pytest.mark.parametrize(
    ("labels", "data"),
    [
        ("##XUNITS=NANOMETERS\n##YUNITS=MOLAR ABSORPTIVITY", "##XYPOINTS=(XY..XY)\n500,10; 400,20\n250 30"),
        ("##xunits=nm\n##yunits=Logarithm epsilon", "##XYDATA=(XY..XY)\n500 1.0\n400 1.301029995664\n250 1.4771212547"),
        (
            "##XUNITS=EV\n##YUNITS=ABSORBANCE\n##YFACTOR=0.01",
            "##XYPOINTS=(XY..XY)\n2.479683968 10\n3.09960496, 20\n4.959367936 30",
        ),
    ],
)
def test_single_block_jcamp(labels: str, data: str) -> None:
    s = jcamp_spectrum(dx(labels, data), *((1e-2, 1.0) if "ABSORBANCE" in labels else ()))
    np.testing.assert_allclose(s.wavelength_nm, [500, 400, 250], rtol=1e-9)
    np.testing.assert_allclose(s.epsilon, [10, 20, 30], rtol=1e-9)
    assert not s.has_cd


def test_equally_spaced_jcamp_with_factors_and_missing_points() -> None:
    labels = "##XUNITS=NM\n##YUNITS=MDEG\n##FIRSTX=500\n##LASTX=400\n##NPOINTS=6\n##XFACTOR=1\n##YFACTOR=3.2982"
    s = jcamp_spectrum(dx(labels, "##XYDATA=(X++(Y..Y)) $$ note\n500+1-2+3\n440? 5 -6"), 1e-4, 1.0)
    np.testing.assert_allclose(s.wavelength_nm, [500, 480, 460, 420, 400])
    np.testing.assert_allclose(s.delta_epsilon, [1, -2, 3, 5, -6])


def test_jcamp_blocks_on_different_grids_are_brought_together() -> None:
    absorption = dx("##XUNITS=NM\n##YUNITS=MOLAR ABSORPTIVITY", "##XYPOINTS=(XY..XY)\n600 1\n500 2\n400 3\n300 4")
    cd = dx("##XUNITS=EV\n##YUNITS=DELTA EPSILON", "##XYPOINTS=(XY..XY)\n2.4 24\n3.2 32")
    s = jcamp_spectrum(f"##TITLE=x\n##DATA TYPE=LINK\n##BLOCKS=3\n{absorption}{cd}##END=\n")
    np.testing.assert_allclose(s.epsilon, [2, 3])
    np.testing.assert_allclose(s.delta_epsilon, 10 * s.energy_ev)
    far = cd.replace("2.4", "9.4").replace("3.2 ", "9.5 ")
    with pytest.raises(InputFileError, match="do not overlap"):
        jcamp_spectrum(f"##TITLE=x\n##DATA TYPE=LINK\n{absorption}{far}##END=\n")


@pytest.mark.parametrize(
    ("labels", "data", "says"),
    [
        ("", "", "no XYDATA"),
        ("##XUNITS", "", "line 4 is '##XUNITS'"),
        (
            "##XUNITS=NM\n##YUNITS=TRANSMITTANCE",
            "##XYPOINTS=(XY..XY)\n1 2\n3 4",
            "known units .found NM / TRANSMITTANCE",
        ),
        ("##XUNITS=NM\n##YUNITS=ABSORBANCE", "##XYPOINTS=(XY..XY)\n1 2\n3", "line 8 holds 1 numbers"),
        ("##XUNITS=NM\n##YUNITS=ABSORBANCE", "##XYPOINTS=(R..A)\n1 2\n3", "line 6: the data are"),
        ("##XUNITS=NM\n##YUNITS=ABSORBANCE", "##XYDATA=(X++(Y..Y))\n400 1 2 3", "FIRSTX"),
        (
            "##XUNITS=NM\n##YUNITS=ABSORBANCE\n##FIRSTX=1\n##LASTX=2\n##NPOINTS=4",
            "##XYDATA=(X++(Y..Y))\n1 1 2 3",
            "NPOINTS is 4, but there are 3",
        ),
        (
            "##XUNITS=NM\n##YUNITS=ABSORBANCE\n##FIRSTX=1\n##LASTX=2\n##NPOINTS=1e12",
            "##XYDATA=(X++(Y..Y))\n1 1 2 3",
            "NPOINTS",
        ),
        (
            "##XUNITS=NM\n##YUNITS=ABSORBANCE\n##FIRSTX=1\n##LASTX=2",
            "##XYDATA=(X++(Y..Y))\n1A23k45*",
            "line 9 is neither plain nor compressed",
        ),
        (
            "##XUNITS=NM\n##YUNITS=ABSORBANCE\n##FIRSTX=1\n##LASTX=2",
            "##XYDATA=(X++(Y..Y))\n1 1e400 1",
            "line 9 holds an absurdly large",
        ),
        (
            "##XUNITS=NM\n##YUNITS=ABSORBANCE\n##FIRSTX=1\n##LASTX=4",
            "##XYDATA=(X++(Y..Y))\n1 5 6\n9 7 8",
            "line 10 begins at x = 9 where 3",
        ),
        ("##XUNITS=NM\n##YUNITS=MOLAR ABSORPTIVITY", "##XYPOINTS=(XY..XY)\n-1 2\n3 4", "wavelength_nm is -1"),
    ],
)
def test_damaged_jcamp_names_the_line(labels: str, data: str, says: str) -> None:
    with pytest.raises(InputFileError, match=r"m\.jdx.*" + says):
        jcamp_spectrum(dx(labels, data), 1e-4, 1.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "JSON list"),
        ("{}", "no 'spectrum'"),
        ('{"spectrum": 3}', "not an object"),
        ('{"spectrum": {"energy_ev": [1, 2], "epsilon": [1, 2]}}', "no 'delta_epsilon'"),
        ('{"energy_ev": [1, 2], "epsilon": [1, "a"], "delta_epsilon": [0, 0]}', "'epsilon' is not a list"),
        ('{"energy_ev": [1, 2], "epsilon": [1, true], "delta_epsilon": [0, 0]}', "'epsilon' is not a list"),
        ('{"energy_ev": [1, 2], "epsilon": [1], "delta_epsilon": [0, 0]}', "epsilon has shape"),
        ('{"energy_ev": [2, 1], "epsilon": [1, 1], "delta_epsilon": [0, 0]}', "not ascending"),
        ('{"energy_ev": [1, 2], "epsilon": [1, NaN], "delta_epsilon": [0, 0]}', "not finite"),
        ('{"schema_version": 2, "spectrum": {}}', "schema_version is 2"),
        ("[" * 100_000, "not usable JSON|not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not usable JSON"),
    ],
)
def test_damaged_json_names_the_file(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(InputFileError, match=r"m\.json.*" + says):
        read_spectrum(tmp_path / "m.json")


LABELS = ["TITLE=x", "XUNITS=NM", "YUNITS=MDEG", "FIRSTX=1", "LASTX=9", "NPOINTS=2", "YFACTOR=1e29", "END="]
LABELS += ["XYDATA=(X++(Y..Y))", "XYPOINTS=(XY..XY)"]
PIECES = [
    "nm",
    "epsilon",
    "mdeg",
    ",",
    ";",
    "\t",
    "\n",
    " ",
    "0",
    "1",
    "500",
    "-3e2",
    "1e308",
    "nan",
    "?",
    '"',
    "##",
    "$$",
]
WORDS = st.sampled_from([*PIECES, "\x0b", "é", *(f"##{label}\n" for label in LABELS)])
SOUP = st.lists(WORDS | st.text(max_size=4), max_size=40).map("".join)
CHOICES = (ReadSettings(), ReadSettings(1e-5, 1.0), ReadSettings(1e-5, 1.0, columns="wavelength,mdeg"))


def only_typed_errors(text: str) -> None:
    for choice in CHOICES:
        with suppress(ClusterMLError):
            s = read_spectrum_text(text, "f", choice)
            assert s.g_abs.shape == s.wavelength_nm.shape


@settings(max_examples=250)
@given(text=SOUP)
@example(text="nm,epsilon,mdeg\n500,1e-320,1e29\n400,1e-321,1e29\n")
def test_no_reader_fails_untyped_on_soup(text: str) -> None:
    only_typed_errors(text)


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_reader_fails_untyped_on_damaged_files(spectrum: Spectrum, data: st.DataObject) -> None:
    short = Spectrum(*(getattr(spectrum, name)[::40] for name in ("energy_ev", "epsilon", "delta_epsilon")))
    texts = (csv_text(short), jcamp_text(short), json_text({"spectrum": spectrum_block(short)}))
    text = data.draw(st.sampled_from(texts))
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 60) | st.just(len(text)))
    only_typed_errors(text[:start] + data.draw(SOUP | st.text(max_size=3)) + text[start + length :])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80))
def test_no_bytes_fail_untyped(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ClusterMLError):
        read_spectrum(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["meta", "gauge", "x"]), inner),
    max_leaves=8,
)


@settings(max_examples=200)
@given(changes=st.dictionaries(st.sampled_from(["energy_ev", "epsilon", "delta_epsilon", "epsilon_std", "meta"]), JSON))
def test_no_json_value_fails_untyped(changes: dict) -> None:
    block = {"energy_ev": [1.0, 2.0], "epsilon": [1.0, 2.0], "delta_epsilon": [0.0, 1.0], **changes}
    with suppress(ClusterMLError):
        spectrum_of({"spectrum": block}, "f")
