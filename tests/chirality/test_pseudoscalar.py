"""The signed index: against its definition as a sum over four atoms, and its signs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from clusterml.chirality.measures import opd_contributions, opd_index
from clusterml.structure.read import read


def four_atom_sum(positions, weights, reach=np.inf):
    """The definition, term by term: index and each atom's part."""
    count = len(positions)
    damping = np.exp(-((np.linalg.norm(positions[:, None] - positions[None], axis=-1) / reach) ** 2))
    parts = np.zeros(count)
    for i, j, k, l in product(range(count), repeat=4):
        if i in (j, l) or k in (j, l):
            continue
        ij, jk, kl, il = (positions[a] - positions[b] for a, b in ((i, j), (j, k), (k, l), (i, l)))
        term = np.cross(ij, kl) @ il * (ij @ jk) * (jk @ kl) / ((ij @ ij) * (jk @ jk) * (kl @ kl) * np.linalg.norm(il))
        term *= weights[[i, j, k, l]].prod() * damping[i, j] * damping[j, k] * damping[k, l] * damping[i, l]
        parts[[i, j, k, l]] += term / 4
    return 8.0 * parts / (count * (damping.sum() / count) ** 3)


@pytest.mark.parametrize("reach", [None, 1.3])
def test_matrix_products_give_the_sum_over_four_atoms(rng, reach):
    positions, weights = rng.normal(size=(6, 3)), rng.uniform(0.5, 2.0, 6)
    expected = four_atom_sum(positions, weights, reach or np.inf)
    assert opd_contributions(positions, weights, reach) == pytest.approx(expected, abs=1e-14)
    assert opd_index(positions, weights, reach) == pytest.approx(expected.sum(), abs=1e-14)


@pytest.mark.parametrize("reach", [None, 3.5])
def test_mirror_images_are_exactly_opposite(examples, turn, reach):
    atoms = read(examples / "ag29_model.xyz")
    value = opd_index(atoms.positions, reach=reach)
    assert abs(value) > 1e-5
    assert opd_index(-atoms.positions, reach=reach) == -value
    assert opd_index(atoms.positions * [1, -1, 1], reach=reach) == pytest.approx(-value, rel=1e-12)
    assert opd_index(atoms.positions @ turn.T + 4.0, reach=reach) == pytest.approx(value, rel=1e-9)
    assert opd_index(atoms.positions[::-1], reach=reach) == pytest.approx(value, rel=1e-9)


def test_scaling_changes_nothing_unless_there_is_a_reach(rng):
    positions = rng.normal(size=(9, 3))
    assert opd_index(3.0 * positions) == pytest.approx(opd_index(positions), rel=1e-12)
    assert opd_index(positions, reach=1e5) == pytest.approx(opd_index(positions), rel=1e-6)
    assert opd_index(3.0 * positions, reach=6.0) == pytest.approx(opd_index(positions, reach=2.0), rel=1e-12)


def test_helices_have_the_sign_of_their_screw():
    angle = np.linspace(0.0, 4.0 * np.pi, 30)
    right = np.stack([np.cos(angle), np.sin(angle), 0.3 * angle], axis=1)
    for reach in (None, 1.0, 2.0):
        assert opd_index(right, reach=reach) > 1e-4
        assert opd_index(right * [1, 1, -1], reach=reach) < -1e-4


def test_it_is_zero_for_achiral_geometries_and_grows_with_the_twist(ag70):
    for reach in (None, 3.5):
        assert abs(opd_index(ag70(0.0).positions, reach=reach)) < 1e-16
        angles = np.array([-20.0, -12.0, -8.0, -4.0, -2.0, 2.0, 4.0, 8.0, 12.0, 20.0])
        values = opd_index(np.stack([ag70(angle).positions for angle in angles]), reach=reach)
        assert np.all(np.diff(values) < 0)  # counter-clockwise trigons: left-handed in this measure
        assert values == pytest.approx(-values[::-1], rel=1e-9)


def test_it_is_smooth(rng):
    positions, direction = rng.normal(size=(12, 3)), rng.normal(size=(12, 3))
    along = opd_index(positions + np.linspace(0, 0.01, 21)[:, None, None] * direction, reach=2.0)
    slopes, curves, kinks = (np.abs(np.diff(along, order)).max() for order in (1, 2, 3))
    assert curves < 0.05 * slopes
    assert kinks < 0.05 * curves


def test_a_batch_is_many_single_ones(rng):
    positions = rng.normal(size=(2, 3, 8, 3))
    batch = opd_contributions(positions)
    assert batch.shape == (2, 3, 8)
    assert batch[1, 2] == pytest.approx(opd_contributions(positions[1, 2]), abs=1e-15)
    assert opd_index(np.zeros((0, 4, 3))).shape == (0,)
    assert opd_index(np.array([[1.0, 2.0, 3.0]])) == 0.0
