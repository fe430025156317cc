"""Point groups of finite clusters within a tolerance."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.chirality.pointgroups import find_point_group, find_point_groups, point_group
from clusterml.structure.superpose import Kinds

NAMES = (
    *("C1", "Ci", "Cs", "C2", "C3", "C5", "C2v", "C3v", "C6v", "C2h", "C4h", "D2", "D3", "D5", "D2d", "D3d", "D5d"),
    *("D2h", "D3h", "D6h", "S4", "S6", "S8", "T", "Td", "Th", "O", "Oh", "I", "Ih", "C12", "D12h"),
)


@pytest.mark.parametrize("name", NAMES)
def test_orbits_have_the_symmetry_they_are_made_with(rng, turn, name):
    group = point_group(name)
    positions = np.concatenate([group.elements @ seed for seed in rng.normal(size=(4, 3)) * 4]) @ turn.T + 3.0
    kinds = Kinds.of(np.repeat([1, 2, 3, 4], group.order))
    orbit_group = find_point_group(kinds, positions, 0.01)
    assert orbit_group.name == name
    assert len(orbit_group.operations) == group.order
    assert orbit_group.deviation < 1e-6


@pytest.mark.parametrize("name", ["C3v", "D3d", "Td", "Oh"])
def test_noise_within_the_tolerance_is_forgiven(rng, turn, name):
    group = point_group(name)
    positions = np.concatenate([group.elements @ seed for seed in ([3.1, 0.4, 1.7], [1.0, 4.2, 2.2])]) @ turn.T
    positions = positions + rng.normal(scale=0.01, size=positions.shape)
    kinds = Kinds.of(np.repeat([1, 2], group.order))
    loose, strict = find_point_groups(kinds, positions, (0.2, 0.001))
    assert (loose.name, strict.name) == (name, "C1")
    assert 0.001 < loose.deviation <= 0.2


@pytest.mark.parametrize(
    ("labels", "positions", "name"),
    [
        ([1], [[0, 0, 0]], "K*h"),
        ([1, 1], [[0, 0, 0], [1, 1, 1]], "D*h"),
        ([1, 2], [[0, 0, 0], [1, 1, 1]], "C*v"),
        ([2, 1, 1], [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]], "C2v"),
        ([1, 1, 1], [[1, 0, 0], [-0.5, 0.75**0.5, 0], [-0.5, -(0.75**0.5), 0]], "D3h"),
    ],
)
def test_small_molecules(turn, labels, positions, name):
    assert find_point_group(Kinds.of(np.array(labels)), np.array(positions) @ turn.T, 0.01).name == name


def test_the_twist_takes_td_to_t(ag70):
    for angle, name in ((0.0, "Td"), (3.0, "T")):
        atoms = ag70(angle)
        assert find_point_group(Kinds.of(atoms.numbers), atoms.positions, 0.02).name == name
