"""Split-conformal factors: they cover what they promise, per band and per parent, and survive degenerate input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clusterml.errors import DatasetError, InputFileError
from clusterml.inference.calibration import (
    LARGEST_FACTOR,
    BandFactors,
    Calibration,
    Uncertainty,
    calibrate,
    normal_quantile,
    raw_spread,
)
from clusterml.inference.labelled import fit_reach
from clusterml.model.upgrade import UNCERTAINTY

ENERGY = np.linspace(0.5, 5.3, 121)
KEYS = ("epsilon", "delta_epsilon")


def ensemble(rng, records: int, members: int = 4):
    """Members that agree too well, all the more at high energies: (members, truth)."""
    truth = 1e3 * rng.normal(size=(records, 1)) * np.sin(ENERGY)[None] + 2e3
    too_small = 20.0 * (1.0 + ENERGY)
    shared = rng.normal(size=(records, 121)) * 50.0 * (1.0 + ENERGY) ** 2
    said = truth + shared + too_small * rng.normal(size=(members, records, 121))
    return dict.fromkeys(KEYS, said), dict.fromkeys(KEYS, truth)


def coverage(calibration, key, members, truth):
    return Uncertainty(calibration).coverage(key, ENERGY, members[key], truth[key], [None] * len(truth[key]))


def test_coverage_of_new_records_is_what_was_promised(rng):
    calibration = calibrate(ENERGY, *ensemble(rng, 200), ["a"] * 200)
    members, truth = ensemble(rng, 200)
    for key in KEYS:
        measured = coverage(calibration, key, members, truth)
        assert measured.shape == (200,)
        assert measured.mean() == pytest.approx(0.9, abs=0.02)


def test_every_band_gets_its_own_factor(rng):
    members, truth = ensemble(rng, 300)
    calibration = calibrate(ENERGY, members, truth, ["a"] * 300)
    assert len(calibration.epsilon.factors) == 10
    half = calibration.spread("epsilon", ENERGY, members["epsilon"]) * normal_quantile(0.9)
    inside = np.abs(truth["epsilon"] - members["epsilon"].mean(axis=0)) <= half
    bands = np.minimum(((ENERGY - 0.5) / 0.5 + 1e-9).astype(int), 9)
    for band in range(10):
        assert inside[:, bands == band].mean() == pytest.approx(0.9, abs=0.02)


def test_parents_count_equally(rng):
    members, truth = ensemble(rng, 110)
    worse = {key: values.copy() for key, values in truth.items()}
    for values in worse.values():
        values[:10] += 1e5  # ten records of one parent are far off, a hundred of another are not
    alone = calibrate(ENERGY, members, worse, ["a"] * 110)
    by_parent = calibrate(ENERGY, members, worse, ["bad"] * 10 + ["good"] * 100)
    size = [c.spread("epsilon", ENERGY, members["epsilon"]).mean() for c in (alone, by_parent)]
    assert size[1] > 5.0 * size[0]


def test_one_network_gets_its_spread_from_the_size_of_the_spectrum(rng):
    members, truth = ensemble(rng, 50, members=1)
    calibration = calibrate(ENERGY, members, truth, ["a"] * 50)
    assert calibration.epsilon.floor > 0.0
    measured = coverage(calibration, "epsilon", members, truth)
    assert measured.mean() > 0.88


def test_achiral_predictions_stay_exact(rng):
    members, truth = ensemble(rng, 50)
    calibration = calibrate(ENERGY, members, truth, ["a"] * 50)
    assert not calibration.spread("delta_epsilon", ENERGY, np.zeros((3, 2, 121))).any()


def test_agreement_on_a_wrong_answer_is_no_infinite_factor():
    truth = dict.fromkeys(KEYS, np.ones((8, 121)))
    calibration = calibrate(ENERGY, dict.fromkeys(KEYS, np.zeros((3, 8, 121))), truth, ["a"] * 8)
    assert max(calibration.epsilon.factors) == LARGEST_FACTOR


def test_the_factor_of_a_band_without_absorption_does_not_reach_into_the_next():
    bands = BandFactors(0.0, (1e5, 2.0, 3.0))
    calibration = Calibration(0.5, 0.5, 0.9, epsilon=bands, delta_epsilon=bands)
    members = np.stack([np.zeros((1, 3)), np.ones((1, 3))])
    even = np.sqrt(0.5)  # the standard deviation of 0 and 1, whatever it is pooled over
    at_centres = calibration.spread("epsilon", np.array([0.75, 1.25, 1.75]), members) / even
    np.testing.assert_allclose(at_centres[0] * normal_quantile(0.9), bands.factors)
    between = calibration.spread("epsilon", np.array([1.1, 1.15, 1.2]), members) / even
    assert between.max() < 100.0


def test_where_nothing_absorbs_there_is_no_factor_and_no_interval(rng):
    """Absorption begins at 2 eV: below, errors of nothing by members that agree on nothing say nothing."""
    members, truth = ensemble(rng, 60)
    silent = ENERGY < 2.0
    for values in (members["epsilon"], truth["epsilon"]):
        values[..., silent] = 0.0
    calibration = calibrate(ENERGY, members, truth, ["a"] * 60)
    for bands in (calibration.epsilon, calibration.delta_epsilon):
        assert bands.factors[:3] == (None, None, None)
        assert all(0.1 < factor < 100.0 for factor in bands.factors[3:])
    std = calibration.spread("epsilon", ENERGY, members["epsilon"])
    assert np.isnan(std[:, silent]).all()
    assert np.isfinite(std[:, ~silent]).all()
    again = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())), "x")
    assert again == calibration


def test_the_spread_is_pooled_over_a_band():
    """Members that cross at one energy still disagree there; far away nothing of it is left."""
    members = np.stack([ENERGY - 2.0, 2.0 - ENERGY])[:, None] * np.exp(-((ENERGY - 2.0) ** 2) / 0.1)
    spread = raw_spread(ENERGY, members, 0.0)[0]
    alone = raw_spread(ENERGY, members, 0.0, pool_ev=0.0)[0]
    at = int(np.argmin(np.abs(ENERGY - 2.0)))
    assert alone[at] < 0.2 * alone.max()
    assert spread[at] > 0.3 * alone.max()
    assert spread[-1] < 1e-3 * spread[at]


def test_a_calibration_of_version_0_1_is_not_pooled(rng):
    members, _ = ensemble(rng, 5)
    old = calibrate(ENERGY, *ensemble(rng, 20), ["a"] * 20).to_dict()
    del old["pool_ev"]
    upgraded = UNCERTAINTY.apply({"schema_version": 2, "calibration": old, "novel": {}}, "x")
    calibration = Calibration.from_dict(upgraded["calibration"], "x")
    assert calibration.pool_ev == 0.0
    ratio = calibration.spread("epsilon", ENERGY, members["epsilon"]) / raw_spread(
        ENERGY, members["epsilon"], calibration.epsilon.floor, pool_ev=0.0
    )
    np.testing.assert_allclose(ratio - ratio[:1], 0.0, atol=1e-9)


def test_json_and_back(rng):
    calibration = calibrate(ENERGY, *ensemble(rng, 20), ["a"] * 20)
    assert Calibration.from_dict(calibration.to_dict(), "x") == calibration


@pytest.mark.parametrize("damage", [{"level": 2.0}, {"epsilon": {"floor": 0.1, "factors": []}}, {"band_ev": "wide"}])
def test_damaged_calibrations_are_refused(rng, damage):
    values = calibrate(ENERGY, *ensemble(rng, 20), ["a"] * 20).to_dict() | damage
    with pytest.raises(InputFileError, match="here"):
        Calibration.from_dict(values, "here")
    with pytest.raises(InputFileError, match="here"):
        Calibration.from_dict(None, "here")


def test_no_records():
    with pytest.raises(DatasetError, match="no records"):
        calibrate(ENERGY, {}, {}, [])


def test_cd_that_is_rounding_says_nothing_of_the_error_of_a_cd(rng):
    """Nine of ten records are achiral: label and prediction have a CD of 1e-8 of the absorption, of their own signs."""
    members, truth = ensemble(rng, 100)
    parents = ["chiral"] * 10 + ["achiral"] * 90
    alone = calibrate(ENERGY, *({key: v[..., :10, :] for key, v in d.items()} for d in (members, truth)), ["a"] * 10)
    scale = truth["epsilon"].max()
    members["delta_epsilon"], truth["delta_epsilon"] = members["delta_epsilon"].copy(), truth["delta_epsilon"].copy()
    members["delta_epsilon"][:, 10:] = 1e-8 * scale * rng.normal(size=(90, 121))
    truth["delta_epsilon"][10:] = 1e-8 * scale * rng.normal(size=(90, 121))
    calibration = calibrate(ENERGY, members, truth, parents)
    np.testing.assert_allclose(calibration.delta_epsilon.factors, alone.delta_epsilon.factors, rtol=0.25)
    assert fit_reach(alone, ENERGY, members, truth, parents, np.ones(100)).delta_epsilon < 0.3
    covered = Uncertainty(calibration).coverages(ENERGY, members, truth, [None] * 100)
    assert np.isfinite(covered["epsilon"]).all()
    assert np.isfinite(covered["delta_epsilon"]).tolist() == [True] * 10 + [False] * 90
    members["delta_epsilon"][:, 10:] = 0.0
    truth["delta_epsilon"][10:] = members["epsilon"][0, 10:]  # a CD that is not predicted is an error
    assert calibrate(ENERGY, members, truth, parents).delta_epsilon.factors[0] == LARGEST_FACTOR


def test_energies_without_an_interval_do_not_count(rng):
    """Below the first band label and prediction are zero: there is no interval that could hold anything."""
    members, truth = ({key: 1e5 + values for key, values in d.items()} for d in ensemble(rng, 100))
    calibration = calibrate(ENERGY, members, truth, ["a"] * 100)
    low = [{key: np.where(ENERGY[60] > ENERGY, 0.0, values) for key, values in d.items()} for d in (members, truth)]
    covered = Uncertainty(calibration).coverages(ENERGY, *low, [None] * 100)
    inside = Uncertainty(calibration).spread("epsilon", ENERGY, low[0]["epsilon"], [None] * 100)
    half = normal_quantile(0.9) * inside[:, 60:]
    hits = np.abs(low[1]["epsilon"] - low[0]["epsilon"].mean(axis=0))[:, 60:] <= half
    np.testing.assert_allclose(covered["epsilon"], hits.mean(axis=1))
    assert covered["epsilon"].mean() < 0.95
    nothing = {key: np.zeros_like(values) for key, values in members.items()}
    assert np.isnan(Uncertainty(calibration).coverages(ENERGY, nothing, truth, [None] * 100)["epsilon"]).all()
