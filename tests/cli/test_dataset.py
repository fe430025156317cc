from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ase.db import connect
from ase.io import read as ase_read

from clusterml.dataset.reader import Dataset
from clusterml.dataset.splits import load_split
from clusterml.dataset.store import Store

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


def test_info_counts_what_is_there(run, folder, tmp_path):
    result = run("dataset", "info", folder, "--json", "--plot", tmp_path / "info.png")
    found = json.loads(result.out)
    assert result.code == 0
    assert found["records"] == 3
    assert found["counts"]["parent"] == {"ag2": 3}
    assert found["jobs"] == {"done": 3}
    assert found["ranges"]["gap_ev"][0] > 0.0
    assert found["families"]["ag2"] == {"reference": 1, "mode": 2, "thermal": 0, "ensemble": 0, "imported": 0}
    low, middle, high = found["chirality"]["ccm_frame"]
    assert 0.0 <= low <= middle <= high < 1.0
    assert (tmp_path / "info.png").stat().st_size > 10_000
    shown = run("dataset", "info", folder).out
    assert "family" in shown
    assert "opd_local_frame" in shown


def test_verify_says_that_all_is_well_and_names_damage(run, folder, tmp_path):
    result = run("dataset", "verify", folder, "--share", "0.5")
    assert result.code == 0
    assert "2 records labelled again agree" in result.out
    store = Store(tmp_path / "d")
    for record in Dataset(folder):
        store.add(record)
    store.pack()
    shard = next((tmp_path / "d" / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-10] + b"0123456789")
    result = run("dataset", "verify", tmp_path / "d")
    assert result.code == 1
    assert shard.name in result.err


def test_all_splits_are_stored_in_the_folder(run, folder, tmp_path):
    store = Store(tmp_path / "d")
    record = Dataset(folder)[0]
    for number, (family, shell) in enumerate([("a", "2SH"), ("a", "1SH+1SiPr"), ("b", "2SH"), ("c", "2SH")]):
        moved = record.positions * (1.0 + 0.1 * number)
        store.add(replace(record, id=f"r{number}", pair=f"r{number}", family=family, shell=shell, positions=moved))
    store.pack()
    result = run("dataset", "split", tmp_path / "d", "--test", "0.3")
    assert result.code == 0
    assert {path.name for path in (tmp_path / "d" / "splits").iterdir()} == {"random.json", "shell.json", "parent.json"}
    assert "unseen: SiPr" in result.out
    assert run("dataset", "split", tmp_path / "d", "--by", "parent", "--held-out", "b").code == 0
    assert load_split(tmp_path / "d" / "splits" / "parent.json").test == ("r2",)
    result = run("dataset", "split", tmp_path / "d", "--by", "shell", "--held-out", "PPh3")
    assert result.code == 1
    assert "PPh3" in result.err


def test_a_split_is_extended(run, folder, tmp_path):
    old = tmp_path / "old.json"
    assert run("dataset", "split", folder, "-o", old, "--validation", "0.3", "--test", "0.3").code == 0
    before = load_split(old)
    assert run("dataset", "split", folder, "--extend", old, "-o", tmp_path / "new.json").code == 0
    assert load_split(tmp_path / "new.json") == before
    result = run("dataset", "split", folder, "--extend", old, "--by", "shell")
    assert result.code == 1
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
    assert run("dataset", "export", folder, "-o", tmp_path / "d.db").code == 1
    assert run("dataset", "export", folder, "-o", tmp_path / "d.txt").code == 1


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


def test_a_folder_that_is_no_dataset_is_named(run, tmp_path):
    for verb in (("info", tmp_path), ("verify", tmp_path), ("split", tmp_path, "-o", tmp_path / "s.json")):
        result = run("dataset", *verb)
        assert result.code == 1
        assert "is not a dataset" in result.err
        assert "Traceback" not in result.err
