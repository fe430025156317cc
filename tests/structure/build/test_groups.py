"""Point groups from named generators, orbits and stabilisers."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.errors import OptionError
from clusterml.structure.build.operations import find_orbit, group, operation, permutations, same_points, symmetrise

T = ["C2[001]", "C3[111]"]


@pytest.mark.parametrize(
    ("generators", "order", "improper"),
    [
        ([], 1, 0),
        (["i"], 2, 1),
        (["m[1-10]"], 2, 1),
        (["S4[001]"], 4, 2),
        (["S6[001]"], 6, 3),
        (["C3[001]", "C2[100]", "m[001]"], 12, 6),
        (T, 12, 0),
        ([*T, "i"], 24, 12),
        ([*T, "m[1-10]"], 24, 12),
        (["C4[001]", "C3[111]", "i"], 48, 24),
    ],
)
def test_orders(generators, order, improper):
    matrices = group(generators)
    assert len(matrices) == order
    assert (np.linalg.det(matrices) < 0).sum() == improper
    np.testing.assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.broadcast_to(np.eye(3), matrices.shape), atol=1e-12
    )


def test_what_operations_do():
    np.testing.assert_allclose(operation("C4[001]") @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(operation("C3[111]") @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(operation("m[1-10]") @ [1, 2, 3], [2, 1, 3], atol=1e-12)
    np.testing.assert_allclose(operation("S4[001]") @ [1, 0, 1], [0, 1, -1], atol=1e-12)


@pytest.mark.parametrize("name", ["C3", "C3[11]", "x", "m[000]", "S[001]", ""])
def test_unknown_operations(name):
    with pytest.raises(OptionError):
        operation(name)


def test_generators_of_no_group():
    with pytest.raises(OptionError, match="no point group"):
        group(["C7[001]", "C3[111]"])


@pytest.mark.parametrize(
    ("point", "places", "stabiliser"), [([1, 1, 1], 4, 6), ([0, 0, 1], 6, 4), ([1, 1, 3], 12, 2), ([1, 2, 3], 24, 1)]
)
def test_orbits_in_td(point, places, stabiliser):
    orbit = find_orbit(np.array([point], dtype=float), group([*T, "m[1-10]"]))
    assert (len(orbit.operations), len(orbit.stabiliser)) == (places, stabiliser)
    np.testing.assert_allclose(orbit.operations[0], np.eye(3))


def test_a_pair_of_donors_may_be_swapped():
    pair = np.array([[1.0, 0.5, 0.0], [1.0, -0.5, 0.0]])
    assert len(find_orbit(pair, group(["m[010]"])).operations) == 1
    assert same_points(pair, pair[::-1])
    assert not same_points(pair, pair + 0.1)


def test_symmetrise_finds_the_nearest_symmetric_structure(rng):
    operations = group(T)
    ideal = find_orbit(np.array([[1.0, 2.0, 3.5]]), operations).operations @ np.array([1.0, 2.0, 3.5])
    numbers = np.full(12, 47)
    noisy = ideal + rng.normal(0.0, 0.05, ideal.shape)
    table, worst = permutations(noisy, numbers, operations)
    assert 0.02 < worst < 0.5
    exact = symmetrise(noisy, operations, table)
    assert permutations(exact, numbers, operations)[1] < 1e-12
    assert np.linalg.norm(exact - noisy) < np.linalg.norm(ideal - noisy)


def test_elements_are_not_mixed():
    positions = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    inversion = group(["i"])
    assert permutations(positions, np.array([47, 47]), inversion)[1] < 1e-12
    assert permutations(positions, np.array([47, 79]), inversion)[1] > 1.0
