"""What the objects of the Python functions look like: in an interpreter, and in a notebook."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from matplotlib.image import imread

import clusterml as cm
from clusterml.chirality.report import signed_index
from clusterml.errors import OptionError, counted
from clusterml.structure.picture import structure_picture

DATA = Path(__file__).parent / "data" / "engine" / "agsch3.json"
SVG = "{http://www.w3.org/2000/svg}"
NAME = "<script>alert('x')</script> & co"


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    data = json.loads(DATA.read_text())
    return Atoms(data["symbols"], data["xyz_angstrom"], info={"charge": 0, "name": "agsch3"})


@pytest.fixture(scope="module")
def label(atoms):
    return cm.label(atoms, emax_ev=4.0)


@pytest.fixture
def spectrum() -> cm.Spectrum:
    energy = np.linspace(2.0, 4.0, 101)
    absorption = 1e4 * np.exp(-((energy - 3.0) ** 2))
    std = np.where(energy > 2.5, 500.0, np.nan)
    return cm.Spectrum(energy, absorption, 10.0 * np.sin(4.0 * energy), std, 0.1 * std / 500.0, {"fwhm_ev": 0.2})


def fits(text: str) -> bool:
    """Does it fit on a screen?"""
    return max(map(len, text.splitlines())) <= 100 and len(text.splitlines()) <= 12


def parsed(html: str) -> ET.Element:
    """The HTML as XML, which fails for what is not escaped or not closed."""
    return ET.fromstring(html)


def count(html: str, name: str) -> int:
    return len(parsed(html).findall(f".//{SVG}{name}"))


def test_reprs_are_short(atoms, label, spectrum):
    assert repr(label).startswith("Label(agsch3: AgCH3S, charge 0; GFN1-PBE, gap ")
    assert repr(cm.anatomy(atoms)) == "Anatomy(metals 1, 1 SCH3, 0 superatom electrons)"
    report = cm.chirality_report(atoms, template=None, groups=["Cs"])
    assert repr(report).startswith("ChiralityReport(agsch3: AgCH3S; ccm ")
    comparison = cm.compare(spectrum, spectrum, random_spectra=20)
    assert repr(comparison).startswith("Comparison(2.00 to 4.00 eV, shift +0.000 eV; absorption cosine 1.000 (chance ")
    library = cm.load_library()
    assert repr(library).startswith(f"Library({len(library)}: SH, SCH3, ")
    for shown in (label, report, comparison, library, spectrum):
        assert fits(repr(shown)), repr(shown)
        assert "array" not in repr(shown)


def test_choices_show_what_is_not_at_its_default():
    assert repr(cm.ReadOptions(cluster=2)) == "ReadOptions(cluster=2)"
    assert repr(cm.RelaxSettings(steps=3)) == "RelaxSettings(steps=3)"
    assert repr(cm.Protocol(emax_ev=4.0, dtype="float32")) == "Protocol(emax_ev=4.0, dtype='float32')"
    assert repr(cm.Protocol()) == "Protocol()"
    assert fits(repr(cm.load_screen(cm.locate("shipped:configs/screen/small.yaml"))))


def test_arrays_and_networks_are_summed_up(atoms):
    batch = cm.chirality_batch(atoms.numbers, np.stack([atoms.positions] * 40), groups=("Cs",))
    assert repr(batch).startswith("BatchChirality(40 geometries: ccm ")
    assert fits(repr(batch))
    members = json.loads(cm.locate("shipped:checkpoints/ag-quick-v1/spec.json").read_text())["members"]
    networks = counted(len(members), "network")
    assert repr(cm.Predictor.load("ag-quick-v1", "cpu")) == f"Predictor(ag-quick-v1, {networks} on cpu)"


def test_a_long_name_is_cut(atoms):
    renamed = atoms.copy()
    renamed.info["name"] = "very " * 500
    assert fits(repr(cm.chirality_report(renamed, template=None, groups=["Cs"])))


def test_an_inspection_is_one_line(atoms, tmp_path):
    atoms.write(tmp_path / "x.xyz", comment="charge=0", format="xyz")
    found = cm.inspect(tmp_path / "x.xyz")
    assert repr(found) == "Inspection(x: AgCH3S, charge 0 from file; Anatomy(metals 1, 1 SCH3, 0 superatom electrons))"
    html = found._repr_html_()
    assert count(html, "circle") == len(atoms)
    cells = [cell.text for cell in parsed(html).iter("td")]
    assert cells[:4] == ["formula", "AgCH3S", "charge", "0 from file"]


def test_a_notebook_shows_spectrum_and_structure(atoms, label):
    html = label._repr_html_()
    assert count(html, "circle") == len(atoms)
    assert count(html, "polyline") == 2  # absorption and CD
    assert len(html) < 20_000
    assert {text.text for text in parsed(html).iter(f"{SVG}text")} >= {"photon energy / eV", "nm", "400"}


def test_a_spectrum_shows_what_it_has(spectrum):
    assert (count(spectrum._repr_html_(), "polyline"), count(spectrum._repr_html_(), "polygon")) == (2, 2)
    dark = replace(spectrum, delta_epsilon=np.full(101, np.nan), epsilon_std=None, delta_epsilon_std=None)
    assert (count(dark._repr_html_(), "polyline"), count(dark._repr_html_(), "polygon")) == (1, 0)
    curve = parsed(dark._repr_html_()).find(f".//{SVG}polyline").get("points").split()
    heights = [float(point.split(",")[1]) for point in curve]
    assert int(np.argmin(heights)) == int(np.argmax(spectrum.epsilon))  # up is less in a picture
    noted = replace(spectrum, meta={"warnings": ["a < b"]})
    assert [item.text for item in parsed(noted._repr_html_()).iter("li")] == ["a < b"]


def test_a_comparison_shows_both(spectrum):
    html = cm.compare(spectrum.mirrored(), spectrum, random_spectra=20)._repr_html_()
    assert count(html, "polyline") == 4
    rows = [[cell.text for cell in row] for row in parsed(html).iter("tr")]
    assert rows[0] == [None, "A / eV", "B / eV", "sign"]
    assert {row[3] for row in rows if row[0] == "CD" and "-" not in row} == {"opposite"}


def test_what_rounding_leaves_of_zero_is_zero():
    assert [signed_index(value) for value in (8.4e-24, -3e-5, 0.0)] == ["0", "-3.00e-05", "0"]


def test_a_chirality_report_colours_the_frame(atoms):
    report = cm.chirality_report(atoms, template=None, groups=["Cs"])
    html = report._repr_html_()
    assert count(html, "circle") == len(report.frame.atoms)
    assert [row[0].text for row in parsed(html).iter("tr")][1:] == [part.name for part in report.parts]


def test_names_are_escaped(atoms, label):
    renamed = atoms.copy()
    renamed.info["name"] = NAME
    for html in (
        replace(label, atoms=renamed, warnings=(NAME,))._repr_html_(),
        cm.chirality_report(renamed, template=None, groups=["Cs"])._repr_html_(),
        structure_picture(renamed),
    ):
        assert "<script" not in html
        assert "&lt;script" in html
        parsed(html)


def test_large_structures_are_drawn_without_hydrogen(atoms):
    many = Atoms()
    for k in range(120):
        copy = atoms.copy()
        copy.positions += [12.0 * k, 0.0, 0.0]
        many += copy
    heavy = int(np.sum(many.numbers > 1))
    assert str(structure_picture(many)).count("<circle") == heavy < len(many)


def test_tables_for_other_packages(spectrum):
    table = spectrum.to_pandas()
    assert list(table.columns) == [
        "wavelength_nm", "epsilon", "delta_epsilon", "g_abs", "epsilon_std", "delta_epsilon_std"
    ]  # fmt: skip
    assert table.index.name == "energy_ev"
    np.testing.assert_array_equal(table.index.to_numpy(), spectrum.energy_ev)
    np.testing.assert_array_equal(table["delta_epsilon"].to_numpy(), spectrum.delta_epsilon)
    assert table.attrs["fwhm_ev"] == 0.2
    assert table.attrs["units"]["epsilon_std"] == "L mol-1 cm-1"
    data = spectrum.to_xarray()
    assert float(data["epsilon"].sel(energy_ev=3.0, method="nearest")) == pytest.approx(1e4)
    assert data["wavelength_nm"].attrs["units"] == "nm"
    assert data.attrs == {"fwhm_ev": 0.2}
    dark = replace(spectrum, delta_epsilon=np.full(101, np.nan), epsilon_std=None, delta_epsilon_std=None)
    assert list(dark.to_pandas().columns) == ["wavelength_nm", "epsilon"]
    assert list(dark.to_xarray().data_vars) == ["epsilon"]


@pytest.mark.parametrize("name", ["pandas", "xarray"])
def test_a_package_that_is_missing_is_named(spectrum, name, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(OptionError, match=f"to_{name}: {name} is not installed") as caught:
        getattr(spectrum, f"to_{name}")()
    assert caught.value.remedy == 'pip install "clusterml[notebook]"'


def test_figures_are_shown_without_pyplot(spectrum, atoms, tmp_path):
    report = cm.chirality_report(atoms, template=None, groups=["Cs"])
    for number, plotted in enumerate((spectrum.plot(tmp_path / "0.png"), report.plot(tmp_path / "1.png"))):
        shown, file = plotted._repr_png_(), (tmp_path / f"{number}.png").read_bytes()
        width, height = (np.array(plotted.get_size_inches()) * 90).round()
        assert imread(io.BytesIO(shown)).shape[:2] == (height, width)
        assert imread(io.BytesIO(file)).shape[1] == round(width * 200 / 90)
        assert len(shown) < len(file)
