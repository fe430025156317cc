"""The bonding graph: cutoffs, hydrogens, periodic pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterml.structure.bonds import bond_limit, bonds, close_periodic_pairs, components, neighbours
from clusterml.structure.elements import atomic_number, formula, is_metal


def test_limits_of_the_pairs_that_matter():
    limit = lambda a, b: float(bond_limit(np.array([a]), np.array([b]))[0])  # noqa: E731
    assert limit(47, 47) == pytest.approx(3.45)
    assert limit(79, 79) == pytest.approx(3.27)
    assert limit(47, 16) == pytest.approx(2.90)
    assert limit(47, 1) == pytest.approx(2.01)
    assert limit(6, 6) == pytest.approx(1.92)
    assert limit(55, 16) == 0.0  # a caesium counter-ion is not part of the cluster


def test_a_hydrogen_on_carbon_is_no_hydride():
    numbers = np.array([6, 1, 47])
    positions = np.array([[0.0, 0, 0], [1.09, 0, 0], [2.9, 0, 0]])
    pairs = bonds(numbers, positions)
    assert list(zip(pairs.first, pairs.second, strict=True)) == [(0, 1)]
    hydride = bonds(numbers[1:], positions[1:])
    assert len(hydride.first) == 1


def brute_force_periodic(fractional, cell, radius):
    pairs = set()
    reach = range(-3, 4)
    for i in range(len(fractional)):
        for j in range(len(fractional)):
            for shift in ((a, b, c) for a in reach for b in reach for c in reach):
                d = np.linalg.norm((fractional[j] + shift - fractional[i]) @ cell)
                if d <= radius and (i < j or (i == j and shift > (0, 0, 0))):
                    pairs.add((i, j, shift))
    return pairs


@given(seed=st.integers(0, 10_000))
def test_periodic_pairs_agree_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(2.5, 6.0, 3)) + np.tril(rng.uniform(-1.0, 1.0, (3, 3)), -1)
    fractional = rng.uniform(0, 1, (4, 3))
    close = close_periodic_pairs(fractional, cell, 3.0)
    pairs = {
        (int(i), int(j), tuple(map(int, s))) for i, j, s in zip(close.first, close.second, close.shift, strict=True)
    }
    assert len(pairs) == len(close.first)
    assert pairs == brute_force_periodic(fractional, cell, 3.0)


def test_components_are_sorted_and_complete():
    numbers = np.array([8, 47, 1, 1])
    groups = components(4, bonds(numbers, np.array([[0.0, 0, 0], [9, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])))
    assert [part.tolist() for part in groups] == [[0, 2, 3], [1]]


def test_an_anion_in_a_cage_of_metals_is_bonded_to_it():
    """Chloride amid eight silver atoms at the corners of a cube, 3.35 A from it, and six over its faces, 3.05 A."""
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3))) * 3.35 / np.sqrt(3.0)
    positions = np.concatenate([[[0.0, 0.0, 0.0]], corners, 3.05 * np.eye(3), -3.05 * np.eye(3)])
    numbers = np.array([17] + 14 * [47])
    assert len(components(15, bonds(numbers, positions))) == 1
    assert len(neighbours(15, bonds(numbers, positions))[0]) == 14
    assert neighbours(6, bonds(numbers[:6], positions[:6]))[0] == []  # five do not enclose it
    outside = np.vstack([[[0.0, 0.0, 6.1]], positions[1:]])
    assert [len(part) for part in components(15, bonds(numbers, outside))] == [1, 14]


def test_symbols_and_formulas():
    assert [atomic_number(s) for s in ("Ag", "AG", "ag", "47", "D", "Xx", "", "0", "119", "x")] == [
        *[47] * 4,
        1,
        *[None] * 5,
    ]
    assert formula([47] * 25 + [6] * 18 + [1] * 54 + [16] * 18) == "Ag25C18H54S18"
    assert formula([78] + [79] * 24 + [17]) == "Au24PtCl"
    assert formula([8, 1, 1]) == "H2O"
    assert is_metal(np.array([47, 6, 55, 78])).tolist() == [True, False, False, True]


@pytest.mark.parametrize(("distance", "bonded"), [(1.9, 8), (2.25, 8), (2.4, 0)])
def test_a_hydrogen_in_a_cage_of_metals_is_bonded_to_it(distance, bonded):
    """As in [Ag8H(S2PR2)6]+, whose cube of silver breathes."""
    cube = np.array([(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)]) * distance / 3**0.5
    pairs = bonds(np.array([1, *[47] * 8]), np.concatenate([np.zeros((1, 3)), cube]))
    assert int(np.sum((pairs.first == 0) | (pairs.second == 0))) == bonded
