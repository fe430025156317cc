"""A network whose spectra start from the rapid response: trained on kept responses, then used as any other."""

from __future__ import annotations

import numpy as np
import pytest

import clusterml as cm
from clusterml.dataset.store import Dataset
from clusterml.engine.response import rapid
from clusterml.errors import OptionError
from clusterml.inference.judge import output_of
from clusterml.training.config import Config
from clusterml.training.responses import KeptResponses
from clusterml.training.run import train


def config(dataset, **data):
    return Config(
        name="from-response",
        network={"channels": 4, "layers": 1, "n_radial": 4, "start": "response", "head_options": {"bands": 2}},
        data={"dataset": str(dataset), "validation": 0.25, "test": 0.25, **data},
        loss={"opd": 0.0, "ccm": 0.0},
        schedule={"epochs": 1, "warmup_epochs": 0.0},
        optimizer={"lr": 1e-4},
    )


@pytest.fixture(scope="module")
def responses(tmp_path_factory):
    return tmp_path_factory.mktemp("responses")


@pytest.fixture(scope="module")
def release(dataset, responses, tmp_path_factory):
    return train(config(dataset, responses=str(responses)), tmp_path_factory.mktemp("run"), device="cpu").release


def test_responses_are_kept_and_computed_once(dataset, responses, release, tmp_path, monkeypatch):
    files = sorted(responses.rglob("*.npy"))
    assert len(files) == 18  # of 24 records a quarter is for the test
    files[0].write_bytes(b"torn")
    computed, original = [], rapid.rapid_response
    monkeypatch.setattr(
        rapid, "rapid_response", lambda *args, **options: computed.append(args) or original(*args, **options)
    )
    train(config(dataset, responses=str(responses)), tmp_path / "again", device="cpu")
    assert len(computed) == 1
    assert len(files[0].read_bytes()) > 1000
    train(config(dataset), tmp_path / "own", device="cpu")
    assert len(computed) == 19
    assert len(list((tmp_path / "own" / "responses").rglob("*.npy"))) == 18


def test_it_predicts_what_the_response_says_and_a_little_more(release):
    atoms = cm.build("ag4", thiolate="SH")
    atoms.positions += np.random.default_rng(2).normal(0.0, 0.05, (len(atoms), 3))
    predictor = cm.Predictor.load(release)
    said = predictor(atoms)
    response = rapid.rapid_response(atoms.get_chemical_symbols(), atoms.positions, atoms.info["charge"])
    wanted = response.broaden(predictor.energy_ev)
    for ours, theirs in ((said.spectrum.epsilon, wanted.epsilon), (said.spectrum.delta_epsilon, wanted.delta_epsilon)):
        assert 1e-6 < np.abs(ours - theirs).max() / np.abs(theirs).max() < 0.2
    assert said.gap_ev == pytest.approx(response.gap_ev, abs=0.1)


def test_records_are_judged_as_structures_are_predicted(dataset, responses, release):
    predictor = cm.Predictor.load(release)
    records = [Dataset(dataset).find(name) for name in Dataset(dataset).ids[:3]]
    judged = output_of(predictor.ensemble, records)
    kept = output_of(predictor.ensemble, records, KeptResponses(responses, predictor.ensemble.spec))
    np.testing.assert_allclose(kept.delta_epsilon, judged.delta_epsilon, rtol=1e-4, atol=1e-6)
    for row, record in enumerate(records):
        graph = predictor.prepare(_atoms(record), record.charge, allow_several=True).graphs[0]
        np.testing.assert_allclose(predictor.ensemble([graph]).epsilon[:, 0], judged.epsilon[:, row], rtol=1e-4)


def _atoms(record):
    from ase import Atoms

    return Atoms(record.numbers, record.positions)


def test_a_response_is_in_its_gauges_only(dataset, tmp_path):
    with pytest.raises(OptionError, match=r"data\.cd is length"):
        train(config(dataset, cd="length"), tmp_path / "run", device="cpu")


def test_the_shipped_network_is_nearly_as_good_as_a_label():
    atoms = cm.build("ag4", thiolate="SCH3")
    atoms.positions += np.random.default_rng(6).normal(0.0, 0.05, (len(atoms), 3))
    said = cm.Predictor.load("ag-response-v1")(atoms)
    truth = cm.label(atoms, grid=said.spectrum.energy_ev).spectrum
    for ours, theirs, least in (
        (said.spectrum.epsilon, truth.epsilon, 0.999),
        (said.spectrum.delta_epsilon, truth.delta_epsilon, 0.98),
    ):
        assert ours @ theirs > least * np.linalg.norm(ours) * np.linalg.norm(theirs)
    assert np.nanmax(said.spectrum.delta_epsilon_std) < np.abs(truth.delta_epsilon).max()


def test_shares_and_slopes_need_a_network_that_starts_from_zero(release, monkeypatch):
    predictor, atoms = cm.Predictor.load(release), cm.build("ag3", thiolate="SH")
    monkeypatch.setattr(predictor, "prepare", None)  # refused before anything is computed
    with pytest.raises(OptionError, match="whole cluster"):
        cm.explain(predictor, atoms, 3.0, 4.0)
    from clusterml.inference.explain import slopes

    with pytest.raises(OptionError, match="no derivative"):
        slopes(predictor.ensemble, atoms, 0)
