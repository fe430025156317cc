"""Contributions add up to the CD they explain, follow the hand, and derivatives of spectra are those of the spectra."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms

from clusterml.engine.contributions import exclusive_parts
from clusterml.errors import OptionError
from clusterml.inference.ensemble import Ensemble
from clusterml.inference.explain import PredictedContributions, explain, slopes
from clusterml.inference.predictor import Predictor
from clusterml.spectrum.curves import band_weights
from clusterml.structure.build.build import build
from clusterml.structure.distort.apply import distort

HEADS = ("orbital", "resolvent", "moments", "atomic")
BAND = (2.0, 4.03)


@pytest.fixture(scope="module", params=HEADS)
def predictor(request) -> Predictor:
    return make(request.param, 2)


def make(head: str, members: int) -> Predictor:
    from clusterml.model.network import Network
    from clusterml.model.spec import read_spec

    networks = []
    for seed in range(members):
        torch.manual_seed(seed)
        networks.append(Network(read_spec({"head": head, "channels": 4, "n_radial": 4, "radial_width": 8})))
    states = [{name: value.clone() for name, value in each.state_dict().items()} for each in networks]
    return Predictor(head, Ensemble(networks[0], states, torch.device("cpu")))


@pytest.fixture(scope="module")
def cluster() -> Atoms:
    """Ag29 with its motifs turned: kernel, shells and ligands, and a CD."""
    return distort(build("ag29"), "motif-twist", 6.0)


@pytest.fixture(scope="module")
def shares(predictor, cluster) -> PredictedContributions:
    return explain(predictor, cluster, *BAND)


def integral(contributions: PredictedContributions) -> float:
    spectrum = contributions.prediction.spectrum
    return float(band_weights(spectrum.energy_ev, *BAND) @ spectrum.delta_epsilon)


def test_atoms_and_parts_add_up_to_the_integral(shares, cluster):
    total = integral(shares)
    size = np.abs(shares.per_atom).sum()
    assert size > 10.0 * np.finfo(np.float32).eps
    assert shares.per_atom.shape == (len(cluster),)
    assert shares.per_atom.sum() == pytest.approx(total, abs=1e-4 * size)
    assert shares.total.value == pytest.approx(total, abs=1e-4 * size)
    assert sum(part.value for part in shares.parts.values()) == pytest.approx(shares.total.value, abs=1e-6 * size)
    assert np.ptp(shares.per_atom) > 0.0
    for part in shares.parts.values():
        assert part.value == pytest.approx(shares.per_atom[part.atoms].sum(), abs=1e-6 * size)


def test_only_metals_and_donor_elements_contribute(shares, cluster):
    bare = ~np.isin(cluster.numbers, [47, 16, 15, 8, 7, 17])
    assert bare.any()
    assert not shares.per_atom[bare].any()


def test_the_mirror_image_has_the_opposite_contributions(shares, predictor, cluster):
    other = cluster.copy()
    other.positions[:, 2] *= -1.0
    mirrored = explain(predictor, other, *BAND)
    np.testing.assert_allclose(mirrored.per_atom, -shares.per_atom, atol=2e-3 * np.abs(shares.per_atom).max())
    assert mirrored.parts.keys() == shares.parts.keys()


def test_a_rotation_and_another_order_change_nothing(shares, predictor, cluster, rng):
    order = rng.permutation(len(cluster))
    turned = cluster[order]
    turned.rotate(70.0, (1.0, 2.0, -1.0))
    turned.positions += 3.0
    again = explain(predictor, turned, *BAND)
    np.testing.assert_allclose(again.per_atom, shares.per_atom[order], atol=2e-3 * np.abs(shares.per_atom).max())
    for name, part in shares.parts.items():
        assert sorted(order[again.parts[name].atoms].tolist()) == part.atoms.tolist()


def test_bands_add_up(shares, predictor, cluster):
    low, high = (explain(predictor, cluster, *band).per_atom for band in ((BAND[0], 3.0), (3.0, BAND[1])))
    np.testing.assert_allclose(low + high, shares.per_atom, atol=1e-3 * np.abs(shares.per_atom).max())


def test_the_spread_is_that_of_the_members(cluster):
    pair, one = make("moments", 2), make("moments", 1)
    both, first = explain(pair, cluster, *BAND), explain(one, cluster, *BAND)
    assert first.per_atom_std is None
    assert first.total.std is None
    second = 2.0 * both.per_atom - first.per_atom
    expected = np.abs(second - first.per_atom) / np.sqrt(2.0)
    assert both.per_atom_std is not None
    np.testing.assert_allclose(both.per_atom_std, expected, atol=1e-6 * np.abs(expected).max())
    assert both.total.std == pytest.approx(abs(second.sum() - first.per_atom.sum()) / np.sqrt(2.0), rel=1e-6)


def test_parts_share_no_atom_and_leave_none_out(cluster):
    salt = cluster + Atoms("Na", [[30.0, 0.0, 0.0]])
    parts = exclusive_parts(salt)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(salt)))
    assert list(parts)[:2] == ["kernel", "shell 1"]
    assert len(parts["kernel"]) == 13
    assert parts["not bonded"].tolist() == [len(cluster)]
    assert set(salt.numbers[np.concatenate([parts["kernel"], parts["shell 1"]])]) == {47}
    assert all(47 not in salt.numbers[at] for name, at in parts.items() if name[:5] not in ("kerne", "shell"))


def test_plain_values_keep_the_prediction_beside_the_contributions(cluster):
    result = explain(make("moments", 2), cluster, *BAND)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["contributions"]["band_ev"] == list(BAND)
    assert sum(plain["contributions"]["per_atom"]) == pytest.approx(plain["contributions"]["total"]["value"], abs=1e-6)
    assert plain["spectrum"]["delta_epsilon"] == result.prediction.spectrum.delta_epsilon.tolist()


@pytest.mark.parametrize("band", [(3.0, 2.0), (2.0, 2.0), (0.1, 2.0), (2.0, 9.0)])
def test_a_band_that_is_none_is_refused(cluster, band):
    with pytest.raises(OptionError, match="the band is"):
        explain(make("moments", 1), cluster, *band)


def test_slopes_are_those_of_the_predicted_spectra(predictor, rng):
    atoms = distort(build("ag3", thiolate="SCH3"), "mixture", 1.0, rng=rng)
    way = slopes(predictor.ensemble, atoms, 0)
    spectrum = predictor(atoms, 0).spectrum
    np.testing.assert_allclose(way.epsilon, spectrum.epsilon, rtol=1e-4, atol=1e-2)
    size = np.abs(spectrum.delta_epsilon).max()
    np.testing.assert_allclose(way.delta_epsilon, spectrum.delta_epsilon, atol=1e-3 * size)
    by_epsilon, by_cd = rng.normal(size=(2, len(spectrum.energy_ev)))
    by_cd *= np.abs(way.epsilon).max() / size
    gradient = way.back(by_epsilon, by_cd)
    along = rng.normal(size=(len(atoms), 3))
    step, values = 4e-3, []
    for sign in (-1.0, 1.0):
        moved = atoms.copy()
        moved.positions += sign * step * along
        there = slopes(predictor.ensemble, moved, 0)
        values.append(by_epsilon @ there.epsilon + by_cd @ there.delta_epsilon)
    numerical = (values[1] - values[0]) / (2.0 * step)
    assert np.sum(gradient * along) == pytest.approx(numerical, rel=2e-2)
    np.testing.assert_allclose(gradient.sum(axis=0), 0.0, atol=1e-3 * np.abs(gradient).sum())


def test_the_total_is_significant_or_not(shares):
    spectrum = shares.prediction.spectrum
    width = np.abs(band_weights(spectrum.energy_ev, *BAND)).sum()

    def with_std(std: float, in_domain: bool | None = True) -> PredictedContributions:
        curve = replace(spectrum, delta_epsilon_std=np.full(len(spectrum), std))
        return replace(shares, prediction=replace(shares.prediction, spectrum=curve, in_domain=in_domain))

    sure = with_std(0.5 * abs(shares.total.value) / width)
    assert sure.significance.sign_probability == pytest.approx(0.97725, abs=1e-5)  # two standard deviations
    assert sure.significance.std == pytest.approx(0.5 * abs(shares.total.value))
    assert sure.verdict == "as the engine: 97 %"
    wary = replace(sure, prediction=replace(sure.prediction, sign_error=2.0))
    assert wary.significance.sign_probability == pytest.approx(0.84134, abs=1e-5)  # one error
    assert wary.significance.std == sure.significance.std
    assert with_std(2.0 * abs(shares.total.value) / width).verdict == "not significant"
    outside = with_std(0.5 * abs(shares.total.value) / width, in_domain=False)
    assert outside.verdict == "not significant: the structure is out of the network's domain"
    assert outside.to_dict()["contributions"]["significance"]["sign_probability"] is None
