"""Results for pandas, xarray, ASE and chemiscope: the numbers of the results, with units, and nothing else."""

from __future__ import annotations

import dataclasses
import gzip
import json
import sys
import weakref
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.calculators.calculator import PropertyNotImplementedError

import clusterml as cm
from clusterml.batch.tables import COLUMNS
from clusterml.errors import InputFileError, OptionError
from clusterml.screening.run import ScreenResult
from helpers import browser


@pytest.fixture(scope="module")
def predictor() -> cm.Predictor:
    return cm.Predictor.load(device="cpu")


@pytest.fixture(scope="module")
def twisted():
    """A ring turned out of its mirror plane, and its mirror image."""
    atoms = cm.build("ag3", thiolate="SH")
    atoms.positions += np.random.default_rng(1).normal(scale=0.1, size=(len(atoms), 3))
    mirror = atoms.copy()
    mirror.positions[:, 0] *= -1.0
    atoms.info["name"], mirror.info["name"] = "P", "M"
    return [atoms, mirror]


@pytest.fixture(scope="module")
def predictions(predictor, twisted):
    return predictor(twisted)


@pytest.fixture(scope="module")
def label(predictor):
    return cm.label(cm.build("ag3", thiolate="SH"), grid=predictor.energy_ev)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> ScreenResult:
    settings = {
        "name": "tiny",
        "title": "Tiny <b>",
        "parents": {"ag3": {"build": {"name": "ag3", "thiolate": "SH"}}},
        "distortions": [{"modes": {"mixture": "-1..1"}, "sampling": "sobol", "points": 3}],
        "objectives": [{"max_g": "2..5 eV"}, {"strain": "elastic"}],
        "constraints": [{"absorption_within": "1 %"}],
        "top": 2,
        "verify": 1,
    }
    folder = tmp_path_factory.mktemp("screens") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clusterml.screening.run.write_report", lambda _: None)  # its pictures take long
        return cm.screen(cm.Screen.model_validate(settings), folder, device="cpu")


def test_a_table_has_a_row_for_each_result(predictions, label):
    table = cm.to_pandas([*predictions, label])
    assert list(table.columns) == list(COLUMNS)
    assert list(table["computed_by"]) == ["network", "network", "engine"]
    assert list(table["gap_ev"]) == [predictions[0].gap_ev, predictions[1].gap_ev, label.orbitals.gap_ev]
    assert table["in_domain"].dtype == "boolean"
    assert list(table["in_domain"].isna()) == [False, False, True]
    assert np.isnan(table["ccm_frame"][2])
    assert table["dft_cosine"][2] == label.reliability.cosines[0]
    assert {table.attrs["units"][name] for name in ("cd_height", "cd_height_std")} == {"L mol-1 cm-1"}
    assert set(table.attrs["units"]) == set(table.columns)


def test_the_mirror_image_has_the_opposite_cd(predictions):
    table = cm.to_pandas(predictions)
    band = predictions[0].significance
    assert (table["cd_ev"][0], table["cd_height"][0]) == (band.energy_ev, band.height)
    assert table["cd_height"][1] == pytest.approx(-table["cd_height"][0], rel=1e-3)
    assert table["largest_g"][1] == pytest.approx(-table["largest_g"][0], rel=1e-3)
    assert table["opd_local_frame"][1] == pytest.approx(-table["opd_local_frame"][0], rel=1e-3)


def test_any_iterable_and_a_single_result_will_do(predictor, twisted, predictions):
    streamed = cm.to_pandas(predictor.stream(iter(twisted)))
    assert list(streamed["cd_height"]) == pytest.approx(list(cm.to_pandas(predictions)["cd_height"]))
    (name,) = cm.to_pandas(cm.predict(twisted[0], engine="never"))["name"]
    assert name == "P"


def test_a_table_keeps_nothing_of_a_stream_but_its_rows(predictions):
    alive = []

    def stream():
        for prediction in predictions * 3:
            copy = dataclasses.replace(prediction)
            alive.append(weakref.ref(copy))
            yield copy
            del copy
            assert sum(reference() is not None for reference in alive) <= 2

    assert len(cm.to_pandas(stream())) == len(alive) == 6


def test_spectra_lie_over_structure_and_energy(predictions, label, tmp_path):
    data = cm.to_xarray([*predictions, label])
    np.testing.assert_array_equal(data["delta_epsilon"].sel(structure="M"), predictions[1].spectrum.delta_epsilon)
    np.testing.assert_array_equal(data["label_error"].sel(structure="P"), predictions[0].full_spectrum.label_error)
    assert np.isnan(data["delta_epsilon_std"][2]).all()
    assert data["epsilon"].attrs["units"] == "L mol-1 cm-1"
    assert list(data["in_domain"].values) == ["yes", "yes", "unknown"]
    np.testing.assert_allclose(data["wavelength_nm"] * data["energy_ev"], 1239.84198, rtol=1e-6)
    data.to_netcdf(tmp_path / "spectra.nc")
    import xarray

    with xarray.open_dataset(tmp_path / "spectra.nc") as again:
        xarray.testing.assert_allclose(again["epsilon"], data["epsilon"])


def test_spectra_on_other_energies_are_refused(predictions):
    other = cm.label(cm.build("ag3", thiolate="SH"), emax_ev=4.0)
    for convert in (cm.to_xarray, lambda results: cm.to_chemiscope(results, "x.json")):
        with pytest.raises(OptionError, match=r"\[Ag3\(SH\)3\]: its energies are not those"):
            convert([*predictions, other])
    assert len(cm.to_pandas([*predictions, other])) == 3


def test_the_table_of_a_screen_is_its_ranking(done):
    table = cm.to_pandas(done)
    ranked = done.board.ranked
    assert list(table["rank"]) == [1, 2, 3]
    assert list(table["name"]) == [entry.row.name for entry in ranked]
    assert list(table["score"]) == pytest.approx([entry.standing.score for entry in ranked])
    assert list(table["max_g"]) == pytest.approx([entry.row.values[0].value for entry in ranked])
    assert table["max_g_std"].notna().all()
    assert table["strain_std"].isna().all()
    assert list(table["feasible"]) == [not entry.standing.violated for entry in ranked]
    assert table["recipe"][0]["parent"] == "ag3"
    assert table.attrs["units"]["strain"] == "eV"
    assert cm.to_pandas(str(done.folder)).equals(table)


def test_spectra_of_a_screen_have_the_engine_beside_them(done):
    data = cm.to_xarray(done)
    names = [frame.info["name"] for frame in ase.io.read(done.folder / "top.extxyz", ":")]
    assert list(data["structure"].values) == names
    (verified,) = (path.stem for path in (done.folder / "verified").glob("ag3*.json"))
    engine = json.loads((done.folder / "verified" / f"{verified}.json").read_text())["spectrum"]
    np.testing.assert_allclose(data["engine_delta_epsilon"].sel(structure=verified), engine["delta_epsilon"])
    others = data["engine_epsilon"].drop_sel(structure=verified)
    assert others.size
    assert np.isnan(others).all()


@pytest.mark.parametrize("spectra", [False, True])
def test_frames_come_back_from_extended_xyz(predictions, label, tmp_path, spectra):
    results = [*predictions, label]
    ase.io.write(tmp_path / "frames.xyz", cm.to_ase(results, spectra=spectra))
    frames = ase.io.read(tmp_path / "frames.xyz", ":")
    for frame, result, row in zip(frames, results, cm.to_pandas(results).to_dict("records"), strict=True):
        np.testing.assert_allclose(frame.positions, result.atoms.positions, atol=1e-7)
        assert frame.info["gap_ev"] == pytest.approx(row["gap_ev"])
        assert frame.info["cd_sign"] == row["cd_sign"]
        assert ("delta_epsilon" in frame.info) == spectra
        if spectra:
            np.testing.assert_allclose(frame.info["delta_epsilon"], result.spectrum.delta_epsilon, atol=1e-7)
            np.testing.assert_allclose(frame.info["energy_ev"], result.spectrum.energy_ev)
        assert "gap_ev" not in result.atoms.info
    assert "in_domain" not in frames[2].info  # nothing is known of it


def test_chemiscope_gets_structures_values_and_spectra(done, tmp_path):
    path = cm.to_chemiscope(done, tmp_path / "tiny.json.gz")
    data = json.loads(gzip.decompress(path.read_bytes()))
    assert data == json.loads(cm.to_chemiscope(done.folder, str(tmp_path / "tiny.json")).read_text())
    frames = cm.to_ase(done)
    assert data["meta"]["name"] == "Tiny <b>"
    assert [entry["size"] for entry in data["structures"]] == [len(frame) for frame in frames]
    np.testing.assert_allclose(data["structures"][1]["y"], frames[1].positions[:, 1])
    table = cm.to_pandas(done).set_index("name")
    values = data["properties"]
    assert values["max_g"]["values"] == pytest.approx(list(table["max_g"][values["name"]["values"]]))
    assert values["strain"]["units"] == "eV"
    curve = values["spectrum: circular dichroism"]
    np.testing.assert_allclose(curve["values"], cm.to_xarray(done)["delta_epsilon"])
    assert data["parameters"][curve["parameters"][0]]["units"] == "eV"
    assert [data["settings"]["map"][axis]["property"] for axis in ("x", "y")] == ["max_g", "strain"]


def test_chemiscope_is_given_no_null(predictions, label, tmp_path):
    path = cm.to_chemiscope([*predictions, label], tmp_path / "x.json", title="mine")
    assert "null" not in path.read_text()  # the viewer refuses it; it knows NaN
    data = json.loads(path.read_text())
    assert data["meta"]["name"] == "mine"
    for values in (entry["values"] for entry in data["properties"].values()):
        assert len(values) == 3
        assert len({isinstance(value, str) for value in values}) == 1
    assert data["properties"]["in_domain"]["values"] == ["yes", "yes", "unknown"]
    with pytest.raises(OptionError, match=r"x\.txt: chemiscope reads \.json"):
        cm.to_chemiscope(predictions, "x.txt")


@pytest.mark.parametrize(
    ("what", "error", "problem"),
    [
        ([], OptionError, "there are no results"),
        (3, OptionError, "a int is not a result"),
        (["x"], OptionError, "a str is not a result"),
        ("not-there", InputFileError, "not-there: holds no results of a screen"),
    ],
)
@pytest.mark.parametrize("convert", [cm.to_pandas, cm.to_xarray, cm.to_ase])
def test_what_is_no_result_is_refused(what, error, problem, convert):
    with pytest.raises(error, match=problem):
        convert(what)


@pytest.mark.parametrize("package", ["pandas", "xarray", "chemiscope"])
def test_a_package_that_is_missing_is_named(predictions, package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OptionError, match=f"to_{package}: {package} is not installed") as caught:
        getattr(cm, f"to_{package}")(predictions, *([tmp_path / "x.json"] if package == "chemiscope" else []))
    assert caught.value.remedy == 'pip install "clusterml[notebook]"'


def test_torch_geometric_that_is_missing_is_named(predictor, twisted, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric.data", None)
    (graph,) = predictor.prepare(twisted[0]).graphs
    with pytest.raises(OptionError, match=r"to_data: torch_geometric.* is not installed") as caught:
        graph.to_data()
    assert caught.value.remedy == 'pip install "clusterml[geometric]"'


@pytest.mark.parametrize("name", ["x.traj", "x.xyz", "x.json"])
def test_ase_writes_structures_that_have_the_calculator(predictor, twisted, tmp_path, name):
    atoms = twisted[0].copy()
    atoms.calc = cm.SpectrumCalculator(predictor)
    atoms.calc.get_spectrum(atoms)
    ase.io.write(tmp_path / name, atoms)
    np.testing.assert_allclose(ase.io.read(tmp_path / name).positions, atoms.positions, atol=1e-7)


def test_the_calculator_has_no_energy_and_says_who_has(predictor, twisted):
    atoms = twisted[0].copy()
    atoms.calc = cm.SpectrumCalculator(predictor)
    for ask in (atoms.get_potential_energy, atoms.get_forces):
        with pytest.raises(cm.ClusterMLError, match="SpectrumCalculator has no") as caught:
            ask()
        assert isinstance(caught.value, PropertyNotImplementedError)
        assert "Gfn1Calculator" in caught.value.remedy
    with pytest.raises(cm.ClusterMLError, match="has no gap ") as caught:
        atoms.calc.get_property("gap", atoms)
    assert "gap_ev" in caught.value.remedy


def test_screens_show_themselves(done):
    assert repr(done).startswith("ScreenResult(tiny: 3 candidates, 3 valid, ")
    assert f"best {done.board.ranked[0].row.name} with score" in repr(done)
    html = done._repr_html_()
    assert html.count("<tr>") == 1 + len(done.board.ranked)
    assert html.count("<polyline") == 6  # predicted, parent's and engine's absorption and CD
    assert html.count("<circle") == len(cm.to_ase(done)[0])
    assert "1. violates absorption_change" in html


def test_designs_show_themselves(tmp_path):
    settings = cm.Screen(
        name="climb",
        parents={"ag3": {"build": {"name": "ag3", "thiolate": "SH"}}},
        distortions=[{"modes": {"shear": "-4..4 %"}, "sampling": "sobol", "points": 2}],
        objectives=[{"cd_at": "4.5 eV"}],
        design={"starts": 1, "climbs": 1, "steps": 1},
    )
    made = cm.design(settings, tmp_path / "climb", device="cpu")
    assert repr(made).startswith("DesignResult(climb: 1 climb; best climb-1-")
    html = made._repr_html_()
    assert html.count("<tr>") == 2
    assert html.count("<polyline") == 4
    assert html.count("<circle") == len(made.best.point.evaluation.atoms)


@pytest.mark.slow
def test_the_viewer_of_chemiscope_shows_the_file(done, predictions, tmp_path):
    """Chemiscope's own program, in a browser, reads the files without a warning."""
    driver = pytest.importorskip("playwright.sync_api")
    import chemiscope

    path = browser()
    script = (Path(chemiscope.__file__).parent / "sphinx" / "static" / "chemiscope.min.js").read_text()
    load = """text => {
        const data = JSON.parse(text.replace(/\\bNaN\\b/g, '"***NaN***"'), (_, v) => v === '***NaN***' ? NaN : v);
        const said = [], warnings = new Chemiscope.Warnings();
        warnings.addHandler(message => said.push(message));
        const place = {map: 'map', info: 'info', meta: 'meta', structure: 'structure'};
        return Chemiscope.DefaultVisualizer.load(place, data, warnings).then(() => said, e => [String(e)]);
    }"""
    body = "".join(f"<div id='{name}' style='width:400px;height:400px'></div>" for name in ("map", "info", "meta"))
    with driver.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--use-gl=swiftshader"])
        for what in (done, predictions):
            page = opened.new_page()
            page.set_content(f"{body}<div id='structure' style='width:400px;height:400px'></div>")
            page.add_script_tag(content=script)
            text = cm.to_chemiscope(what, tmp_path / "x.json").read_text()
            assert page.evaluate(load, text) == []
            assert page.locator("#info table tr").count() > 10
        opened.close()
