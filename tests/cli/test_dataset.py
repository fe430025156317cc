from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.db import connect
from ase.io import read as ase_read

from clusterml.dataset.record import GRID_EV, KINDS
from clusterml.dataset.split import load_split
from clusterml.dataset.store import Dataset, Store
from clusterml.spectrum.export import spectrum_block
from clusterml.spectrum.transitions import Transitions
from clusterml.training.targets import Broadening, Wanted, targets

CAMPAIGN = """
name: tiny
title: small test
seed: 3
protocol: {orbitals: stda-xtb}
parents:
  ag2:
    build: {name: ag2}
    family: ag2
    counts: {reference: 1, mode: 2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from clusterml.cli.main import main

    base = tmp_path_factory.mktemp("dataset")
    (base / "c.yaml").write_text(CAMPAIGN)
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "generate", str(base / "c.yaml"), "-o", str(base / "d")])
    assert ended.value.code in (0, None)
    return base / "d"


def test_info_counts_what_is_there(run, folder, tmp_path, figures):
    result = run("dataset", "info", folder, "--json", "--plot", tmp_path / "info.png")
    found = json.loads(result.out)
    assert result.code == 0
    assert found["records"] == 3
    assert found["counts"]["parent"] == {"ag2": 3}
    assert found["jobs"] == {"done": 3}
    assert found["distinct"] == {"cores": 1, "ligands": 1}
    assert found["ranges"]["gap_ev"][0] > 0.0
    assert found["families"]["ag2"] == {kind: {"reference": 1, "mode": 2}.get(kind, 0) for kind in KINDS}
    low, middle, high = found["chirality"]["ccm_frame"]
    assert 0.0 <= low <= middle <= high < 1.0
    assert (tmp_path / "info.png").read_bytes().startswith(b"\x89PNG")
    gaps, cd = figures[0].axes[0], figures[0].axes[4]
    assert sum(bar.get_height() for bar in gaps.patches) == 3
    assert [line.get_label() for line in cd.lines] == ["ag2"]
    assert cd.get_ylabel() == "mean |Δε| / L mol⁻¹ cm⁻¹"
    shown = run("dataset", "info", folder).out
    assert "family" in shown
    assert "opd_local_frame" in shown


def test_verify_says_that_all_is_well_and_names_damage(run, folder, tmp_path):
    result = run("dataset", "verify", folder, "--share", "0.5")
    assert result.code == 0
    assert "2 records labelled again: the same within 0.005" in result.out
    for share in ("0", "1.5", "nan"):
        refused = run("dataset", "verify", folder, "--share", share)
        assert refused.code == 2
        assert refused.err.startswith(f"error: share is {share} (")
    store = Store(tmp_path / "d")
    for record in Dataset(folder):
        store.add(record)
    store.pack()
    shard = next((tmp_path / "d" / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-10] + b"0123456789")
    result = run("dataset", "verify", tmp_path / "d")
    assert result.code == 1
    assert shard.name in result.err


def test_verify_says_where_no_record_can_be_labelled_again(run, folder, tmp_path):
    store = Store(tmp_path / "d")
    store.add(replace(Dataset(folder)[0], kind="imported"))
    store.pack()
    result = run("dataset", "verify", tmp_path / "d")
    assert result.code == 0
    assert "no record can be labelled again" in result.out


def test_all_splits_are_stored_in_the_folder(run, folder, tmp_path):
    store = Store(tmp_path / "d")
    record = Dataset(folder)[0]
    for number, (family, shell) in enumerate([("a", "2SH"), ("a", "1SH+1SiPr"), ("b", "2SH"), ("c", "2SH")]):
        moved = record.positions * (1.0 + 0.1 * number)
        store.add(replace(record, id=f"r{number}", pair=f"r{number}", family=family, shell=shell, positions=moved))
    store.pack()
    result = run("dataset", "split", tmp_path / "d", "--test", "0.3")
    assert (result.code, "leaves no validation records" in result.err) == (1, True)
    result = run("dataset", "split", tmp_path / "d", "--test", "0.3", "--validation", "0")
    assert result.code == 0
    assert {path.name for path in (tmp_path / "d" / "splits").iterdir()} == {"random.json", "shell.json", "parent.json"}
    assert "unseen: SiPr" in result.out
    assert run("dataset", "split", tmp_path / "d", "--by", "parent", "--held-out", "b", "--validation", "0").code == 0
    assert load_split(tmp_path / "d" / "splits" / "parent.json").test == ("r2",)
    result = run("dataset", "split", tmp_path / "d", "--by", "shell", "--held-out", "PPh3")
    assert result.code == 2
    assert "PPh3" in result.err


def test_a_split_is_extended(run, folder, tmp_path):
    old = tmp_path / "old.json"
    assert run("dataset", "split", folder, "-o", old, "--validation", "0.3", "--test", "0.3").code == 0
    before = load_split(old)
    assert run("dataset", "split", folder, "--extend", old, "-o", tmp_path / "new.json").code == 0
    assert load_split(tmp_path / "new.json") == replace(before, fractions=None)
    result = run("dataset", "split", folder, "--extend", old, "--by", "shell")
    assert result.code == 2
    assert "--extend goes with neither --by" in result.err
    result = run("dataset", "split", folder, "--extend", tmp_path / "none.json")
    assert result.code == 1
    assert "none.json" in result.err


def test_split_export_and_import(run, folder, tmp_path):
    assert run("dataset", "split", folder, "-o", tmp_path / "s.json", "--validation", "0.3", "--test", "0.3").code == 0
    split = load_split(tmp_path / "s.json")
    assert (len(split.train), len(split.validation), len(split.test)) == (1, 1, 1)
    assert run("dataset", "export", folder, "-o", tmp_path / "d.xyz").code == 0
    frames = ase_read(tmp_path / "d.xyz", index=":")
    record = Dataset(folder)[0]
    assert len(frames) == 3
    assert frames[0].info["clusterml_kind"] == record.kind
    assert abs(frames[0].info["clusterml_epsilon"] - record.epsilon).max() < 1e-3
    assert run("dataset", "export", folder, "-o", tmp_path / "d.db").code == 0
    rows = list(connect(tmp_path / "d.db").select(clusterml_parent="ag2"))
    assert len(rows) == 3
    assert abs(rows[0].data["clusterml_delta_epsilon"] - record.delta_epsilon).max() < 1e-6
    assert run("dataset", "export", folder, "-o", tmp_path / "d.db").code == 2
    assert run("dataset", "export", folder, "-o", tmp_path / "d.txt").code == 2


def test_a_users_own_labels_come_in(run, folder, tmp_path):
    store = Store(tmp_path / "d")
    store.add(Dataset(folder)[0])
    store.pack()
    (tmp_path / "x.xyz").write_text("2\n\nAg 0 0 0\nAg 0 0 2.6\n")
    label = {"structure": "x.xyz", "charge": 0, "transitions": {"energy_ev": [2.5], "f_length": [0.5]}}
    (tmp_path / "x.json").write_text(json.dumps(label))
    command = ("dataset", "import", tmp_path / "d", tmp_path / "x.json", "--method", "TDDFT", "--family", "ag2")
    result = run(*command)
    assert result.code == 1
    assert "transitions.r_velocity_cgs is missing" in result.err
    label["transitions"]["r_velocity_cgs"] = [30.0]
    (tmp_path / "x.json").write_text(json.dumps(label))
    assert run(*command).code == 0
    record = Dataset(tmp_path / "d").find("TDDFT-x")
    assert record.kind == "imported"
    assert record.epsilon.argmax() == 100  # 2.5 eV
    assert record.delta_epsilon.max() == pytest.approx(2.5 * 30.0 / 22.97 * 0.9394 / 0.1, rel=1e-3)
    assert "rotatory_tensor" in record.details["missing"]
    assert run(*command).code == 1


TRANSITIONS = {"energy_ev": [2.0, 6.0], "f_length": [0.5, 0.1], "r_velocity_cgs": [30.0, -5.0]}
SPECTRUM = Transitions(
    np.array([2.0, 6.0]), *[np.array([0.5, 0.1])] * 2, *[np.array([30.0, -5.0])] * 2, *[np.zeros((2, 3))] * 3
)


def spectrum_file(fwhm, grid=None, **changes):
    block = spectrum_block(SPECTRUM.broaden(np.arange(0.4, 6.2, 0.01) if grid is None else grid, fwhm))
    return {"structure": "x.xyz", "charge": 0, "spectrum": {**block, **changes}}


@pytest.fixture
def bring(run, tmp_path):
    """Content of a label file -> what ``dataset import`` does with it."""
    (tmp_path / "x.xyz").write_text("2\n\nAg 0 0 0\nAg 0 0 2.6\n")

    def command(content, method="TDDFT", family="ag2"):
        (tmp_path / "x.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return run("dataset", "import", tmp_path / "d", tmp_path / "x.json", "--method", method, "--family", family)

    return command


@pytest.mark.parametrize(("given", "stored"), [(0.05, 0.1), (0.1, 0.1), (0.15, 0.15), (0.2, 0.2)])
def test_a_spectrum_of_any_width_is_taught_with_the_networks_width(bring, tmp_path, given, stored):
    assert bring(spectrum_file(given)).code == 0
    record = Dataset(tmp_path / "d").find("TDDFT-x")
    assert record.fwhm_ev == pytest.approx(stored)
    exact = SPECTRUM.broaden(GRID_EV, stored)
    inside = GRID_EV < 5.0
    np.testing.assert_allclose(record.epsilon[inside], exact.epsilon[inside], atol=0.01 * exact.epsilon.max())
    wanted = np.arange(0.6, 5.0, 0.04)
    taught = targets(record, Wanted(), Broadening(wanted, 0.2))
    exact = SPECTRUM.broaden(wanted, 0.2)
    for name in ("epsilon", "delta_epsilon"):
        values = getattr(exact, name)
        np.testing.assert_allclose(taught[name][0], values, atol=0.01 * np.abs(values).max())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (spectrum_file(0.2, fwhm_ev=None), "spectrum.fwhm_ev is None (give the width of its bands in eV)"),
        (spectrum_file(0.2, fwhm_ev=-1.0), "spectrum.fwhm_ev is -1.0"),
        (spectrum_file(0.2, shape="lorentzian"), "its bands are 'lorentzian'"),
        (spectrum_file(0.2, np.arange(1.5, 4.0, 0.02)), "the spectrum is from 1.50 to 3.98 eV (0.50 to 5.50 eV are"),
        (spectrum_file(0.2, np.arange(0.5, 6.5, 0.5)), "energies are up to 0.5 eV apart"),
        (spectrum_file(0.2, delta_epsilon=[None] * 580), "lacks absorption or CD"),
        (spectrum_file(0.2, epsilon=[]), "epsilon"),
        ({"transitions": {"energy_ev": [], "f_length": [], "r_velocity_cgs": []}}, "transitions are empty lists"),
        ({"transitions": {**TRANSITIONS, "f_length": [1.0]}}, "lists of different length"),
        ('{"structure": "x.xyz", "charge": 0, "transitions": {"energy_ev": [NaN], "f_length": [1]}}', "finite numbers"),
        ({"transitions": {**TRANSITIONS, "energy_ev": [-1.0, 2.0]}}, "that are not positive"),
        ({"transitions": [1]}, "transitions.energy_ev is missing"),
        ({}, "has neither 'transitions' nor 'spectrum'"),
        ({"transitions": TRANSITIONS, "charge": None}, "charge is None"),
        ({"transitions": TRANSITIONS, "charge": 0.5}, "charge is 0.5"),
        ({"transitions": TRANSITIONS, "charge": 10**9}, "charge is 1000000000"),
        ({"transitions": TRANSITIONS, "gap_ev": "wide"}, "gap_ev is 'wide'"),
        ({"transitions": TRANSITIONS, "gap_ev": -1}, "gap_ev is -1"),
        ({"transitions": TRANSITIONS, "structure": None}, "key 'structure' is missing"),
        ({"transitions": TRANSITIONS, "structure": "/etc/passwd"}, "structure '/etc/passwd' lies elsewhere"),
        ({"transitions": TRANSITIONS, "structure": "../x.xyz"}, "structure '../x.xyz' lies elsewhere"),
        ("[1]", "x.json holds a JSON list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_label_that_cannot_be_is_refused_and_nothing_is_added(bring, tmp_path, content, problem):
    if isinstance(content, dict):
        content = {"structure": "x.xyz", "charge": 0} | content
    result = bring(content)
    assert result.code == 1
    assert problem in result.err
    assert "x.json" in result.err
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(("method", "family"), [("two words", "a"), ("../x", "a"), ("M", ""), ("M", "a/b")])
def test_methods_and_families_are_words(bring, tmp_path, method, family):
    result = bring({"structure": "x.xyz", "charge": 0, "transitions": TRANSITIONS}, method, family)
    assert result.code == 2
    assert "give one word" in result.err


def test_excitations_that_end_early_are_told(bring):
    early = {"energy_ev": [2.0], "f_length": [0.5], "r_velocity_cgs": [30.0]}
    result = bring({"structure": "x.xyz", "charge": 0, "transitions": early})
    assert result.code == 0
    assert result.err == "warning: x.json: excitations end at 2.00 eV: nothing is taught about energies above\n"


def test_a_changed_shard_is_neither_exported_nor_split_nor_shown(run, folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "d"))
    with h5py.File(next((copy / "shards").iterdir()), "r+") as file:
        file["gap_ev"][0] = 7.0
    for words in (("export", copy, "-o", tmp_path / "d.db"), ("split", copy), ("info", copy)):
        result = run("dataset", *words)
        assert result.code == 1
        assert "has changed since it was written (checksum)" in result.err
    assert not (tmp_path / "d.db").exists()
    assert not (copy / "splits").exists()


def test_an_export_does_not_follow_a_link(run, folder, tmp_path):
    (tmp_path / "precious").write_text("precious")
    for name in ("d.db", "d.xyz"):
        (tmp_path / name).symlink_to(tmp_path / "precious")
        run("dataset", "export", folder, "-o", tmp_path / name)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_folder_that_is_no_dataset_is_named(run, tmp_path):
    for verb in (("info", tmp_path), ("verify", tmp_path), ("split", tmp_path, "-o", tmp_path / "s.json")):
        result = run("dataset", *verb)
        assert result.code == 1
        assert "is not a dataset" in result.err
        assert "Traceback" not in result.err


@pytest.mark.parametrize("program", ["orca", "gaussian", "turbomole"])
def test_outputs_of_tddft_come_in(run, outputs, tmp_path, program):
    (tmp_path / "calc.out").write_text(getattr(outputs, program)(outputs.EXCITATIONS))
    command = ["dataset", "import", tmp_path / "d", tmp_path / "calc.out", "--method", "TDDFT", "--family", "h2o2"]
    if program == "turbomole":
        refused = run(*command)
        assert refused.code == 1
        assert "charge is None" in refused.err
        command += ["--charge=-2"]
    done = run(*command)
    assert done.code == 0, done.err
    (record,) = Dataset(tmp_path / "d")
    assert (record.id, record.charge, record.numbers.tolist()) == ("TDDFT-calc", -2, [8, 8, 1, 1])
    assert np.linalg.norm(record.positions[0] - record.positions[1]) == pytest.approx(1.46, abs=1e-5)
    np.testing.assert_allclose(record.lowest_ev[:4], [4.5, 5.0, 6.2, 0.0], atol=2e-5)
    np.testing.assert_allclose(record.lowest_r_cgs[:3], [3.0, 11.5, -42.25])
    height = 4.5 * 3.0 / 22.97 * 2.0 * np.sqrt(np.log(2.0) / np.pi) / 0.10
    assert record.delta_epsilon[200] == pytest.approx(height, rel=1e-3)  # at 4.50 eV
    if program != "turbomole":
        again = run(*command[:2], tmp_path / "e", *command[3:], "--charge", "0")
        assert again.code == 2
        assert "states the charge -2" in again.err


def test_outputs_without_cd_or_geometry_are_refused(run, outputs, tmp_path):
    (tmp_path / "calc.out").write_text(outputs.orca(cd=False))
    command = ("dataset", "import", tmp_path / "d", tmp_path / "calc.out", "--method", "TDDFT", "--family", "h2o2")
    assert "printed no rotatory strengths, which records need" in run(*command).err
    (tmp_path / "calc.out").write_text(outputs.orca().replace("CARTESIAN COORDINATES", "COORDINATES"))
    assert "has no geometry that can be read" in run(*command).err
