"""Point groups: orders, products, orientations that are the same."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.chirality.pointgroups import operation, operation_kind, point_group
from clusterml.chirality.representation import best_permutations, stabilisers
from clusterml.errors import OptionError
from clusterml.structure.rotations import rotation_grid
from clusterml.structure.superpose import Kinds

ORDERS = {
    "C1": 1, "Ci": 2, "Cs": 2, "C2": 2, "C5": 5, "S4": 4, "S6": 6, "S8": 8, "C2v": 4, "C3v": 6, "C4h": 8, "D2": 4,
    "D3": 6, "D2d": 8, "D3d": 12, "D5h": 20, "T": 12, "Td": 24, "Th": 24, "O": 24, "Oh": 48, "I": 60, "Ih": 120,
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_groups_are_groups(name):
    group = point_group(name)
    assert group.order == ORDERS[name]
    assert np.allclose(group.elements[0], np.eye(3))
    assert np.allclose(group.elements[group.table], np.einsum("gab,hbc->ghac", group.elements, group.elements))
    assert all(sorted(row) == list(range(group.order)) for row in group.table.tolist())
    assert group.achiral == (name in ("Ci", "Cs") or name[-1] in "vhd" or name[0] == "S")


@pytest.mark.parametrize("name", ["C2v", "D2", "D3d", "D2d", "T", "Td", "Oh", "Ih"])
def test_turns_of_the_domain_leave_the_group_as_it_is(name):
    group = point_group(name)
    for turn in group.domain:
        turned = turn @ group.elements @ turn.T
        assert all(np.abs(matrix - group.elements).max(axis=(1, 2)).min() < 1e-9 for matrix in turned)


@pytest.mark.parametrize("name", ["S8", "D5h", "Td", "Ih"])
def test_operations_are_rebuilt_from_their_kind(name):
    for element in point_group(name).elements:
        angle, determinant, axis = operation_kind(element)
        assert np.allclose(operation(angle, determinant, axis[None])[0], element, atol=1e-7)


@pytest.mark.parametrize("name", ["", "C", "X3", "Cv", "S3", "T2", "C13", "Dd", "C0", "Tv", "D3v", "c3"])
def test_unknown_names_are_refused(name):
    with pytest.raises(OptionError, match="no point group"):
        point_group(name)


def test_stabilisers_are_those_of_the_crystallographer():
    """Site symmetries of Td: 24 general, 12 on a mirror, 6 on C2v, 4 on C3v, the centre."""
    sizes = sorted(len(members[0].reps) for members in stabilisers("Td"))
    assert sizes == [1, 4, 6, 12, 24]
    assert sorted(len(members[0].reps) for members in stabilisers("D3")) == [1, 2, 3, 6]
    for members in stabilisers("Oh"):
        for stabiliser in members:
            assert len(stabiliser.members) * len(stabiliser.reps) == 48
            assert np.array_equal(np.bincount(stabiliser.coset), np.full(len(stabiliser.reps), len(stabiliser.members)))


def test_operations_in_several_orientations_are_matched_as_each_alone(rng):
    """The image under g is nearest to the atoms that the permutation names; an inverse has the inverse permutation."""
    group, positions = point_group("D3d"), rng.normal(size=(5, 3))
    kinds, turns = Kinds.of(np.array([1, 1, 2, 1, 2])), rotation_grid(12)[:4]
    operations = turns[:, None] @ group.elements @ np.swapaxes(turns[:, None], -1, -2)
    permutations = best_permutations(kinds, positions, operations, group.table)
    assert permutations.shape == (4, 12, 5)
    assert np.array_equal(permutations[:, 0], np.tile(np.arange(5), (4, 1)))
    for matrices, rows in zip(operations, permutations, strict=True):
        for g, (matrix, row) in enumerate(zip(matrices, rows, strict=True)):
            image = positions @ matrix.T
            misfit = ((positions[row] - image) ** 2).sum()
            assert misfit == pytest.approx(((positions[kinds.match(positions, image)] - image) ** 2).sum())
            inverse = int(np.argmax(group.table[g] == 0))
            assert np.array_equal(row[rows[inverse]], np.arange(5))
