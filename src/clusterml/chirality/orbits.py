"""A consistent choice of which atoms are equivalent, where the best permutation of each operation alone is not one.

Atoms are gathered into orbits of the group, the best fitting first: an orbit is the images of one point, which lies in
general position or on symmetry elements (its stabiliser keeps it in place).  What is left over ends up on the smallest
orbits, at worst at the centre, so that the choice never fails; it is a start for improvement, not an optimum.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from clusterml.chirality.groups import operation_kind, point_group
from clusterml.structure.assign import Kinds
from clusterml.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Stabiliser:
    """A subgroup that keeps a point in place, with the cosets that make the point's orbit.

    members   (h,): numbers of its operations
    reps      (m,): one operation of each left coset; the first is the identity
    coset     (order,): the coset in which each operation lies
    """

    members: IntArray
    reps: IntArray
    coset: IntArray


@cache
def stabilisers(name: str) -> tuple[tuple[Stabiliser, ...], ...]:
    """The stabilisers of points in the group ``name``: for each class, the subgroups conjugate to each other."""
    group = point_group(name)
    points = [np.zeros(3), np.array([0.3141, 0.2718, 0.5772])]  # the centre, and a general point
    for element in group.elements[1:]:
        angle, determinant, axis = operation_kind(element)
        if determinant > 0:
            points += [axis, -axis]
        elif angle < 1e-6:  # a mirror: a general point in its plane
            points.append(points[1] - (points[1] @ axis) * axis)
    found: dict[tuple[int, ...], list[Stabiliser]] = {}
    for point in points:
        fixed = np.flatnonzero(np.abs(group.elements @ point - point).max(axis=1) < 1e-6)
        key = min(tuple(sorted(_conjugate(group.table, fixed, g))) for g in range(group.order))
        if key not in found:
            members = {tuple(sorted(_conjugate(group.table, fixed, g))) for g in range(group.order)}
            found[key] = [_stabiliser(group.table, np.array(subgroup)) for subgroup in sorted(members)]
    return tuple(tuple(members) for members in found.values())


def orbit_permutations(
    kinds: Kinds, positions: FloatArray, operations: FloatArray, name: str, bias: Sequence[float] | None = None
) -> IntArray:
    """Consistent permutations ``(order, n)`` of centred ``positions`` ``(n, 3)`` for the ``operations`` of a group.

    ``bias``: a factor for the cost of each class of :func:`stabilisers`, to make other choices than the plain one.
    """
    bias = bias or (1.0,) * len(stabilisers(name))
    table = point_group(name).table
    permutations = np.tile(np.arange(len(positions)), (len(operations), 1))
    for atoms in kinds.mobile:
        for stabiliser, members in _gather(positions, atoms, operations, name, bias):
            # operation g carries the atom of coset c to the place of the atom of the coset of g * rep(c)
            permutations[:, members] = members[stabiliser.coset[table[:, stabiliser.reps]]]
    return permutations


def _gather(
    positions: FloatArray, atoms: IntArray, operations: FloatArray, name: str, bias: Sequence[float]
) -> Iterator[tuple[Stabiliser, IntArray]]:
    """Orbits of ``atoms``, which they use up: stabiliser, and the atom of each coset ``(m,)``; a lazy greedy choice."""
    from scipy.optimize import linear_sum_assignment

    entries: list[tuple[float, float, Stabiliser, FloatArray]] = [
        (factor * cost, factor, stabiliser, points)
        for factor, members in zip(bias, stabilisers(name), strict=True)
        for cost, stabiliser, points in _candidates(positions, atoms, operations, members)
    ]
    queue = [(entry[0], number, *entry[1:]) for number, entry in enumerate(entries)]
    heapq.heapify(queue)
    left = atoms
    while len(left):
        _, number, factor, stabiliser, points = heapq.heappop(queue)
        if len(points) > len(left):
            continue
        distance = ((points[:, None, :] - positions[left][None, :, :]) ** 2).sum(axis=-1)
        rows, columns = linear_sum_assignment(distance)
        cost = factor * float(distance[rows, columns].mean())
        if queue and cost > queue[0][0] + 1e-9:  # atoms it counted on are taken: others come first now
            heapq.heappush(queue, (cost, number, factor, stabiliser, points))
            continue
        yield stabiliser, left[columns]
        left = np.setdiff1d(left, left[columns])
        heapq.heappush(queue, (cost, number, factor, stabiliser, points))  # the centre may be taken more than once


def _candidates(
    positions: FloatArray, atoms: IntArray, operations: FloatArray, conjugates: tuple[Stabiliser, ...]
) -> Iterator[tuple[float, Stabiliser, FloatArray]]:
    """For every atom the orbit ``(m, 3)`` of its projection on the nearest element, with a bound of the misfit."""
    from scipy.spatial import cKDTree

    own = positions[atoms]
    projected = np.stack([own @ operations[s.members].mean(axis=0).T for s in conjugates])
    choice = np.argmin(((projected - own) ** 2).sum(axis=-1), axis=0)
    reps = np.stack([s.reps for s in conjugates])[choice]  # (atoms, m)
    points = np.einsum("imab,ib->ima", operations[reps], projected[choice, np.arange(len(own))])
    cost = (cKDTree(own).query(points)[0] ** 2).mean(axis=1)
    for seed, which in enumerate(choice):
        yield float(cost[seed]), conjugates[which], points[seed]


def _conjugate(table: IntArray, subgroup: IntArray, g: int) -> list[int]:
    inverse = int(np.flatnonzero(table[g] == 0)[0])
    return [int(table[table[g, h], inverse]) for h in subgroup]


def _stabiliser(table: IntArray, members: IntArray) -> Stabiliser:
    coset = np.full(len(table), -1, dtype=np.int64)
    reps: list[int] = []
    for g in range(len(table)):
        if coset[g] < 0:
            coset[table[g, members]] = len(reps)
            reps.append(g)
    return Stabiliser(members, np.array(reps), coset)
