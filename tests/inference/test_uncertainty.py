"""The uncertainty of what networks have not seen: measured on held-out ligands and clusters, used for new ones only."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from clusterml.dataset.split import load_split, save_split
from clusterml.dataset.store import Dataset, Store
from clusterml.errors import InputFileError, OptionError
from clusterml.inference.calibration import BandFactors, Calibration, Reach, Uncertainty
from clusterml.inference.checkpoint import UNCERTAINTY, read_uncertainty
from clusterml.inference.domain import KnownCompositions, composition
from clusterml.inference.evaluator import Evaluator
from clusterml.inference.labelled import fit_reach
from clusterml.inference.predictor import Predictor
from clusterml.model import upgrade

ENERGY = np.linspace(0.5, 5.3, 121)
KEYS = ("epsilon", "delta_epsilon")


def constant(factor: float, floor: float = 1.0) -> Calibration:
    bands = BandFactors(floor, (factor,) * 10)
    return Calibration(0.5, 0.5, 0.9, bands, bands)


@pytest.fixture
def held_out(checkpoint, dataset, split_file, tmp_path):
    """A function: a copy of the checkpoint as if it had been trained on one kind of molecule, by ``question``."""

    def make(question: str):
        data = Dataset(dataset)
        own = [name for name, parent in zip(data.ids, data.column("parent"), strict=True) if parent == "agsch3"]
        new = [name for name in data.ids if name not in own]
        folder = shutil.copytree(checkpoint, tmp_path / question)
        split = replace(load_split(split_file), question=question, train=tuple(own))
        save_split(replace(split, validation=tuple(new[:6]), test=tuple(new[6:])), folder / "split.json")
        return folder

    return make


@pytest.fixture
def measured(checkpoint, dataset, split_file, held_out, tmp_path):
    """A checkpoint with the split of ``agsch3`` alone, calibrated with what was measured on the other molecule."""
    folder = shutil.copytree(held_out("parent"), tmp_path / "measured")
    data = Dataset(dataset)
    split = load_split(folder / "split.json")
    known = replace(split, question="random", train=split.train[:6], validation=split.train[6:])
    errors, _ = Evaluator(folder, dataset, device="cpu").calibrate(known, [held_out("shell"), tmp_path / "parent"])
    assert len(data) == 24
    return folder, errors


def test_novel_rows_get_the_larger_spread(rng):
    members = rng.normal(size=(3, 4, 121)) * 0.01 + np.sin(ENERGY)
    both = Uncertainty(constant(0.1), {"ligand": constant(1.0), "cluster": constant(0.01)})
    spread = both.spread("epsilon", ENERGY, members, [None, "ligand", "cluster", None])
    alone = both.calibration.spread("epsilon", ENERGY, members)
    np.testing.assert_allclose(spread[[0, 2, 3]], alone[[0, 2, 3]], rtol=1e-12)
    expected = both.novel["ligand"].spread("epsilon", ENERGY, members.mean(axis=0, keepdims=True))[1]
    np.testing.assert_allclose(spread[1], expected, rtol=1e-12)
    assert (spread[1] > 5.0 * alone[1]).all()


def test_an_achiral_cluster_stays_exact_however_new():
    both = Uncertainty(constant(1.0), {"cluster": constant(9.0)})
    assert not both.spread("delta_epsilon", ENERGY, np.zeros((3, 1, 121)), ["cluster"]).any()


def test_novelty_of_compositions(make_molecule):
    silver, thiolate = composition(make_molecule("ag2_tfa2"), 0), composition(make_molecule("agsch3"), 0)
    known = KnownCompositions.of([silver])
    assert known.novelty(silver) == (None, "")
    assert known.novelty(thiolate) == ("cluster", "training data have no cluster with the core Ag")
    novelty, sentence = known.novelty(replace(thiolate, core=silver.core))
    assert (novelty, sentence) == ("ligand", "training data have no ligand CH3S")
    older = KnownCompositions.from_dict(known.to_dict() | {"cores": [], "species": []}, "x")
    assert older.novelty(thiolate) == (None, "")


def test_measured_on_held_out_records_and_used_for_new_clusters_only(measured, make_molecule):
    folder, errors = measured
    assert [(entry.novelty, entry.records, entry.tested, entry.parents) for entry in errors] == [
        ("ligand", 6, 6, 1),
        ("cluster", 6, 6, 1),
    ]
    assert all(0.5 < entry.cd_coverage <= 1.0 for entry in errors)
    predictor = Predictor.load(folder, device="cpu")
    known, new = predictor(make_molecule("agsch3")), predictor(make_molecule("ag2_tfa2"))
    assert (known.novelty, new.novelty) == (None, "cluster")
    assert any("no cluster with the core Ag2: the uncertainty is that of clusters" in line for line in new.warnings)
    assert new.to_dict()["novelty"] == "cluster"
    uncertainty, _ = read_uncertainty(folder)
    plain = replace(uncertainty, novel={})
    predictor.uncertainty = plain
    before = predictor(make_molecule("ag2_tfa2"))
    seen = np.isfinite(before.spectrum.epsilon_std)
    assert 0.1 < seen.mean() < 0.9  # the made-up spectra absorb about 2.0 and 3.5 eV only
    assert (new.spectrum.epsilon_std >= before.spectrum.epsilon_std)[seen].all()
    assert (new.spectrum.epsilon_std > before.spectrum.epsilon_std).any()
    assert any("the uncertainty is too small" in line for line in before.warnings)
    np.testing.assert_array_equal(predictor(make_molecule("agsch3")).spectrum.epsilon_std, known.spectrum.epsilon_std)


def test_the_first_schema_still_loads(measured):
    folder, _ = measured
    path = folder / UNCERTAINTY
    content = json.loads(path.read_text())
    del content["novel"]
    path.write_text(json.dumps(content | {"schema_version": 1}))
    uncertainty, _ = read_uncertainty(folder)
    assert uncertainty.novel == {}


def test_networks_of_other_splits_are_refused(checkpoint, dataset, split_file, held_out):
    evaluator = Evaluator(held_out("random"), dataset, device="cpu")
    with pytest.raises(OptionError, match="trained with a random split"):
        evaluator.calibrate(load_split(split_file), [evaluator.folder])
    with pytest.raises(OptionError, match="has no split"):
        evaluator.calibrate(load_split(split_file), [checkpoint])
    with pytest.raises(OptionError, match="same kind"):
        evaluator.calibrate(load_split(split_file), [held_out("shell")] * 2)


def test_the_spread_grows_towards_the_edge_of_the_domain(rng):
    members = rng.normal(size=(3, 3, 121)) * 0.01 + np.sin(ENERGY)
    far = Uncertainty(constant(0.1), reach=Reach(epsilon=0.5, delta_epsilon=2.0))
    plain = far.calibration.spread("epsilon", ENERGY, members)
    none = [None] * 3
    grown = far.spread("epsilon", ENERGY, members, none, np.array([0.0, 0.5, 7.0]))
    np.testing.assert_allclose(grown, plain * np.array([1.0, 1.25, 1.5])[:, None])
    np.testing.assert_array_equal(far.spread("epsilon", ENERGY, members, none), plain)
    cd = far.spread("delta_epsilon", ENERGY, members, none, np.ones(3))
    np.testing.assert_allclose(cd, 3.0 * far.calibration.spread("delta_epsilon", ENERGY, members))


def test_the_reach_makes_intervals_hold_what_they_promise(rng):
    """Errors that grow with the distance: 90 % are held on other records of the kind, nothing grows without need."""
    known = constant(1.0)
    scores = rng.uniform(0.2, 1.5, size=400)

    def made(growth: float):
        said = np.broadcast_to(np.sin(ENERGY) + 2.0, (1, 400, 121))
        std = known.spread("epsilon", ENERGY, said) * (1.0 + growth * np.minimum(scores, 1.0))[:, None]
        return dict.fromkeys(KEYS, said), dict.fromkeys(KEYS, said[0] + std * rng.normal(size=(400, 121)))

    reach = fit_reach(known, ENERGY, *made(2.0), ["a"] * 400, scores)
    assert reach.epsilon == pytest.approx(2.0, abs=0.15)
    members, truth = made(2.0)
    held = Uncertainty(known, reach=reach).coverage(
        "epsilon", ENERGY, members["epsilon"], truth["epsilon"], [None] * 400, scores
    )
    assert held.mean() == pytest.approx(0.9, abs=0.01)
    assert fit_reach(known, ENERGY, *made(-0.5), ["a"] * 400, scores) == Reach()


def test_calibrated_with_geometries_from_elsewhere(checkpoint, dataset, split_file, make_molecule, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "own")
    save_split(load_split(split_file), folder / "split.json")
    _, foreign = Evaluator(folder, dataset, device="cpu").calibrate(load_split(split_file), foreign=dataset)
    assert (foreign.records, foreign.parents) == (24, 2)
    assert 0.0 <= foreign.cd_coverage <= 1.0
    assert 0 <= foreign.right <= foreign.sure <= 24
    uncertainty, _ = read_uncertainty(folder)
    assert uncertainty.reach.epsilon >= 0.0
    assert uncertainty.sign_error > 1.0  # the networks have learnt nothing
    assert Predictor.load(folder, device="cpu")(make_molecule("ag2_tfa2")).sign_error == uncertainty.sign_error


def test_the_sign_error_is_the_larger_of_both(checkpoint, dataset, split_file, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "own")
    evaluator, split = Evaluator(folder, dataset, device="cpu"), load_split(split_file)
    evaluator.calibrate(split)
    alone, _ = read_uncertainty(folder)
    evaluator.calibrate(split, foreign=dataset)
    both, _ = read_uncertainty(folder)
    assert both.sign_error >= alone.sign_error > 1.0


def test_thermal_means_take_no_part(checkpoint, dataset, split_file, tmp_path):
    """Their labels are means over other snapshots than those of the predictions."""
    records = list(Dataset(dataset))
    mean = replace(records[0], id="mean", kind="ensemble", n_snapshots=2, delta_epsilon=-1e4 * records[0].delta_epsilon)
    store = Store(tmp_path / "with-a-mean")
    for record in (*records, mean):
        store.add(record)
    store.pack({"name": "with-a-mean"})
    split = load_split(split_file)
    measured = []
    for number, (data, validation) in enumerate(((dataset, ()), (store.folder, ("mean",)))):
        folder = shutil.copytree(checkpoint, tmp_path / str(number))
        own = replace(split, validation=(*split.validation, *validation), train=split.train[:4])
        Evaluator(folder, data, device="cpu").calibrate(own)
        measured.append(read_uncertainty(folder)[0])
    assert measured[0] == measured[1]


def test_damage_is_named():
    values = Uncertainty(constant(1.0), {"ligand": constant(2.0)}).to_dict()
    assert Uncertainty.from_dict(values, "x").novel["ligand"] == constant(2.0)
    for reach in ({"epsilon": -1.0}, {"energy": 1.0}, [], {"epsilon": "far"}, {"epsilon": 1e9}):
        with pytest.raises(InputFileError, match="here"):
            Uncertainty.from_dict(values | {"reach": reach}, "here")
    assert Uncertainty.from_dict(values | {"sign_error": 1.5}, "x").sign_error == 1.5
    older = {key: value for key, value in values.items() if key != "sign_error"}
    assert Uncertainty.from_dict(upgrade.UNCERTAINTY.apply({"schema_version": 3, **older}, "x"), "x").sign_error == 1.0
    for error in (0.5, 21.0, float("nan"), "large", None):
        with pytest.raises(InputFileError, match="here: sign_error is"):
            Uncertainty.from_dict(values | {"sign_error": error}, "here")
    for novel in ({"solvent": {}}, [], {"ligand": {}}):
        with pytest.raises(InputFileError, match="here"):
            Uncertainty.from_dict(values | {"novel": novel}, "here")
