"""Descriptors and baselines: invariant, odd in the mirror, and better than guessing where there is something."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from clusterml.training import baselines as module
from clusterml.training.baselines import (
    BASELINES,
    Samples,
    Spectra,
    descriptor,
    fit_kernel_ridge,
    fit_mean,
    fit_nearest,
)

NUMBERS = np.array([47, 47, 47, 16, 16, 6, 8, 1])


def cloud(rng) -> np.ndarray:
    """Eight atoms, none closer than 1.5 A."""
    while True:
        positions = rng.normal(size=(8, 3)) * 2.5
        gaps = np.linalg.norm(positions[:, None] - positions[None], axis=2)[np.triu_indices(8, 1)]
        if gaps.min() > 1.5:
            return positions


def test_descriptors_turn_with_nothing_but_the_mirror(rng):
    positions = cloud(rng)
    found = descriptor(NUMBERS, positions)
    order = rng.permutation(8)
    moved = descriptor(NUMBERS[order], (positions @ Rotation.random(random_state=1).as_matrix().T + 3.0)[order])
    mirrored = descriptor(NUMBERS, positions * [1.0, 1.0, -1.0])
    size = np.abs(found.pseudoscalar).max()
    assert size > 1e-3
    np.testing.assert_allclose(moved.invariant, found.invariant, atol=1e-10)
    np.testing.assert_allclose(mirrored.invariant, found.invariant, atol=1e-10)
    np.testing.assert_allclose(moved.pseudoscalar, found.pseudoscalar, atol=1e-10 * size)
    np.testing.assert_allclose(mirrored.pseudoscalar, -found.pseudoscalar, atol=1e-10 * size)


def test_an_achiral_structure_has_no_pseudoscalars(rng):
    flat = cloud(rng) * [1.0, 1.0, 0.0]
    flat[:, 0] += 3.0 * np.arange(8)
    assert np.abs(descriptor(NUMBERS, flat).pseudoscalar).max() < 1e-12


def test_structures_without_metal_or_with_one_atom():
    assert np.isfinite(descriptor(np.array([8, 1, 1]), np.eye(3)).invariant).all()
    assert np.isfinite(descriptor(np.array([47]), np.zeros((1, 3))).pseudoscalar).all()


@pytest.fixture
def material(rng):
    """Three parts of one parent's samples: absorption (m = 2) follows an invariant, CD a pseudoscalar."""

    def part(count: int) -> tuple[Samples, Spectra]:
        invariant, pseudoscalar = rng.normal(size=(count, 3)), rng.normal(size=(count, 2))
        samples = Samples(("a",) * count, np.zeros(count), np.full(count, 2.0), invariant, pseudoscalar)
        epsilon = 50.0 + 10.0 * np.tanh(invariant[:, :1]) * np.array([1.0, 2.0])
        cd = np.tanh(pseudoscalar[:, :1]) * np.array([1.0, -1.0])
        return samples, Spectra(epsilon, cd)

    return part(150), part(40), part(40)


def mirrored(samples: Samples) -> Samples:
    return Samples(samples.parent, -samples.hand, samples.metals, samples.invariant, -samples.pseudoscalar)


def errors(said: Spectra, truth: Spectra) -> tuple[float, float]:
    return tuple(
        float(np.sum((getattr(said, k) - getattr(truth, k)) ** 2) / np.sum((getattr(truth, k) - center) ** 2))
        for k, center in (("epsilon", truth.epsilon.mean(axis=0)), ("delta_epsilon", 0.0))
    )


def test_kernel_ridge_learns_what_the_mean_does_not(material):
    (train, spectra), (validation, wanted), (test, truth) = material
    mean = errors(fit_mean(train, spectra, validation, wanted)(test), truth)
    ridge = errors(fit_kernel_ridge(train, spectra, validation, wanted)(test), truth)
    nearest = errors(fit_nearest(train, spectra, validation, wanted)(test), truth)
    assert max(ridge) < 0.2 < min(mean)
    assert max(nearest) < 1.0


@pytest.mark.parametrize("name", ["nearest neighbour", "kernel ridge"])
def test_mirror_images_get_the_opposite_cd(material, name):
    (train, spectra), (validation, wanted), (test, _) = material
    predict = BASELINES[name](train, spectra, validation, wanted)
    one, other = predict(test), predict(mirrored(test))
    mean = fit_mean(train, spectra, validation, wanted)(test).delta_epsilon if name == "kernel ridge" else 0.0
    np.testing.assert_allclose(other.epsilon, one.epsilon, rtol=1e-9)
    np.testing.assert_allclose(other.delta_epsilon - mean, -(one.delta_epsilon - mean), atol=1e-9)


def test_the_mean_knows_hands_and_unknown_parents():
    samples = Samples(
        ("a", "a", "b"), np.array([1.0, -1.0, 0.0]), np.array([2.0, 2.0, 4.0]), np.zeros((3, 1)), np.zeros((3, 1))
    )
    spectra = Spectra(np.array([[10.0], [14.0], [40.0]]), np.array([[3.0], [-5.0], [1.0]]))
    asked = Samples(
        ("a", "a", "b", "c"), np.array([1.0, -1.0, 0.0, 0.0]), np.full(4, 2.0), np.zeros((4, 1)), np.zeros((4, 1))
    )
    said = fit_mean(samples, spectra, samples, spectra)(asked)
    np.testing.assert_allclose(said.epsilon[:, 0], [12.0, 12.0, 40.0, 2.0 * (5.0 + 7.0 + 10.0) / 3.0])
    np.testing.assert_allclose(said.delta_epsilon[:, 0], [4.0, -4.0, 1.0, 0.0])


def test_kernel_ridge_of_many_records_takes_some(material, monkeypatch):
    (train, spectra), (validation, wanted), (test, truth) = material
    monkeypatch.setattr(module, "MOST_OF_KERNEL", 60)
    ridge = errors(fit_kernel_ridge(train, spectra, validation, wanted)(test), truth)
    assert max(ridge) < min(errors(fit_mean(train, spectra, validation, wanted)(test), truth))


def test_the_nearest_neighbour_is_the_same_however_many_are_asked_at_once(material, monkeypatch):
    (train, spectra), (validation, wanted), (test, _) = material
    together = fit_nearest(train, spectra, validation, wanted)(test)
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    np.testing.assert_array_equal(
        fit_nearest(train, spectra, validation, wanted)(test).delta_epsilon, together.delta_epsilon
    )
