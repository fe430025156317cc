"""What version 0.1 wrote still loads, and says the same: checkpoints, datasets, splits, configurations."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from clusterml.dataset.campaign import load_campaign
from clusterml.dataset.record import FINE, stored_positions
from clusterml.dataset.split import load_split
from clusterml.dataset.store import Dataset, Store
from clusterml.errors import InputFileError, OptionError
from clusterml.inference.checkpoint import read_uncertainty
from clusterml.inference.predictor import Predictor
from clusterml.model.spec import read_spec
from clusterml.model.upgrade import Upgrades, upgrade_network
from clusterml.screening.config import load_screen
from clusterml.training.config import load_config
from clusterml.training.release import open_release, write_release

OLD = Path(__file__).parent / "data" / "v0.1"
EXPECTED = json.loads((OLD / "expected.json").read_text())
HEADS = ("resolvent", "orbital", "moments", "atomic")


@pytest.fixture(scope="module")
def cluster() -> Atoms:
    data = json.loads((OLD.parent / "engine" / "agsch3.json").read_text())
    return Atoms(data["symbols"], data["xyz_angstrom"], info={"charge": data["charge"]})


def check(prediction, expected) -> None:
    """The numbers that version 0.1 gave, to single precision, which leaves noise where the CD is weak."""
    found = prediction.spectrum
    np.testing.assert_allclose(found.energy_ev[::10], expected["energy_ev"], atol=1e-9)
    for name, least in (("epsilon", 0.0), ("delta_epsilon", 1e-3 * np.abs(expected["epsilon"]).max())):
        size = max(np.abs(expected[name]).max(), least)
        np.testing.assert_allclose(getattr(found, name)[::10], expected[name], atol=2e-5 * size, err_msg=name)
    assert prediction.gap_ev == pytest.approx(expected["gap_ev"], rel=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_a_checkpoint_predicts_what_it_did(cluster, head):
    check(Predictor.load(OLD / "checkpoints" / head, device="cpu")(cluster), EXPECTED[head])


@pytest.mark.parametrize("head", HEADS)
def test_written_anew_it_predicts_the_same(cluster, head, tmp_path):
    release = open_release(OLD / "checkpoints" / head)
    write_release(tmp_path / head, release.networks, release.spec, release.card, release.metrics)
    content = json.loads((tmp_path / head / "spec.json").read_text())
    assert content["schema_version"] == 3
    assert {"oscillators", "orbitals", "bins"} & set(content["network"]) == set()
    check(Predictor.load(tmp_path / head, device="cpu")(cluster), EXPECTED[head])


def test_uncertainty_and_domain_are_read_as_they_were_meant(cluster):
    folder = OLD / "checkpoints" / "resolvent"
    uncertainty, domain = read_uncertainty(folder)
    assert (uncertainty.reach.epsilon, uncertainty.sign_error, uncertainty.calibration.pool_ev) == (0.0, 1.0, 0.0)
    assert domain.size_power == 0.0
    prediction = Predictor.load(folder, device="cpu")(cluster)
    assert prediction.domain_score == pytest.approx(EXPECTED["resolvent"]["domain_score"], rel=1e-4)
    assert prediction.in_domain == EXPECTED["resolvent"]["in_domain"]


def test_a_split_beside_a_checkpoint_is_read():
    split = load_split(OLD / "checkpoints" / "resolvent" / "split.json")
    assert {part: list(getattr(split, part)) for part in ("train", "validation", "test")} == EXPECTED["split"]


def test_a_dataset_is_read(tmp_path):
    shutil.copytree(OLD / "dataset", tmp_path / "dataset")
    record = Dataset(tmp_path / "dataset").find("r004")
    expected = EXPECTED["record"]
    assert record.kind == expected["kind"]
    assert np.abs(record.positions).sum() == pytest.approx(expected["position_sum"], rel=1e-9)
    assert record.epsilon.max() == pytest.approx(expected["epsilon_max"], rel=1e-9)
    assert np.abs(record.delta_epsilon).sum() == pytest.approx(expected["cd_sum"], rel=1e-9)


def test_configurations_are_read():
    config = load_config(OLD / "configs" / "train.yaml")
    spec = read_spec(config.network)
    complete = json.loads((OLD / "configs" / "network.json").read_text())
    written = read_spec(upgrade_network(complete))
    new = {"elements", "metals"}  # networks learnt of copper since then
    assert spec.graph.model_dump(exclude=new) == written.graph.model_dump(exclude=new)
    assert {*spec.graph.elements} - {*written.graph.elements} == {29}
    assert spec.model_copy(update={"graph": written.graph}) == written
    assert (spec.channels, spec.graph.metal_cutoff, spec.head_options.bands) == (32, 5.5, 4)
    assert spec.head_options.model_dump() == complete["oscillators"]
    assert set(load_campaign(OLD / "configs" / "campaign.yaml").parents) == {"ag2-hcoo", "ag3-sch3"}
    assert load_screen(OLD / "configs" / "screen.yaml").top == 5


def test_options_of_another_head_are_not_ignored():
    with pytest.raises(OptionError, match=r"oscillators is of the head resolvent, not of moments .*head_options"):
        read_spec({"head": "moments", "oscillators": {"bands": 3}})


def test_steps_are_taken_from_the_version_of_the_file_and_leave_it_alone():
    upgrades = Upgrades((lambda c: c | {"a": c["a"] + 1}, lambda c: c | {"a": 10 * c["a"]}))
    old = {"schema_version": 1, "a": 1}
    assert upgrades.apply(old, "x") == {"schema_version": 3, "a": 20}
    assert old == {"schema_version": 1, "a": 1}
    assert upgrades.apply({"schema_version": 2, "a": 1}, "x")["a"] == 10
    assert upgrades.apply({"schema_version": 3, "a": 1}, "x")["a"] == 1
    with pytest.raises(InputFileError, match=r"x: has schema version 4, newer than 3 \(update clusterml\)"):
        upgrades.apply({"schema_version": 4}, "x")
    for bad in (None, "1", True, 0):
        with pytest.raises(InputFileError, match="x: has schema version"):
            upgrades.apply({"schema_version": bad}, "x")


def test_an_old_dataset_grows_and_keeps_its_shards(tmp_path):
    folder = Path(shutil.copytree(OLD / "dataset", tmp_path / "d"))
    before, shards = list(Dataset(folder)), {path: path.read_bytes() for path in (folder / "shards").iterdir()}
    store = Store(folder)
    assert store.grid == FINE
    store.add(replace(before[0], id="new", positions=stored_positions(before[0].positions)))
    assert store.pack() == len(before) + 1
    assert all(path.read_bytes() == content for path, content in shards.items())
    dataset = Dataset(folder)
    assert dataset.ids == (*(record.id for record in before), "new")
    old, new = before[0], dataset.find("new")
    np.testing.assert_allclose(new.epsilon, old.epsilon, atol=1e-4 * old.epsilon.max())
    np.testing.assert_allclose(new.rotatory_tensor, old.rotatory_tensor, atol=1e-3 * np.abs(old.rotatory_tensor).max())
    np.testing.assert_array_equal(dataset.column("gap_ev")[[0, -1]], [old.gap_ev] * 2)
    assert dataset.column("shell") == [record.shell for record in before] + [old.shell]
