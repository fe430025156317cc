"""Which atom each symmetry operation carries to which: permutations that multiply as the operations do.

Atoms are gathered into orbits of the group, the best fitting first: an orbit is the images of one point, which lies in
general position or on symmetry elements (its stabiliser keeps it in place).  What is left over ends up on the smallest
orbits, at worst at the centre, so that the choice never fails; it is a start for improvement, not an optimum.

For a distorted geometry the best permutation of each operation alone need not fit those of the others (twice a mirror
must be the identity).  Only consistent permutations define a symmetric structure, and so a symmetry measure.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from clusterml.chirality.pointgroups import PointGroup, operation_kind, point_group
from clusterml.structure.superpose import Kinds
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
    classes: dict[tuple[int, ...], list[Stabiliser]] = {}
    for point in points:
        fixed = np.flatnonzero(np.abs(group.elements @ point - point).max(axis=1) < 1e-6)
        key = min(tuple(sorted(_conjugate(group.table, fixed, g))) for g in range(group.order))
        if key not in classes:
            members = {tuple(sorted(_conjugate(group.table, fixed, g))) for g in range(group.order)}
            classes[key] = [_stabiliser(group.table, np.array(subgroup)) for subgroup in sorted(members)]
    return tuple(tuple(members) for members in classes.values())


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


_DISFAVOUR = 6.0


def best_permutations(kinds: Kinds, positions: FloatArray, operations: FloatArray, table: IntArray) -> IntArray:
    """For each operation ``(..., order, 3, 3)`` of a group the best permutation of its own ``(..., order, n)``.

    ``permutation[g, i]`` is the atom nearest, in the sense of the best assignment, to the image of atom i under g.
    ``table``: products in the group, the identity first; an operation's inverse gets the inverse permutation.
    """
    count, inverse = len(positions), np.argmax(table == 0, axis=1)
    matched = np.flatnonzero(inverse >= np.arange(len(table)))[1:]
    images = positions @ np.swapaxes(operations[..., matched, :, :], -1, -2)
    permutations = np.empty((*operations.shape[:-2], count), dtype=np.int64)
    permutations[..., 0, :] = np.arange(count)
    best = kinds.match_all(positions, images.reshape(-1, count, 3)).reshape(images.shape[:-1])
    permutations[..., inverse[matched], :] = np.argsort(best, axis=-1)
    permutations[..., matched, :] = best
    return permutations


def is_consistent(permutations: IntArray, table: IntArray) -> bool:
    """Whether ``permutations`` ``(order, n)`` multiply as ``table`` says: a representation of the group."""
    return all(np.array_equal(permutations[g][permutations], permutations[table[g]]) for g in range(len(table)))


def consistent_permutations(
    kinds: Kinds, positions: FloatArray, group: PointGroup, orientation: FloatArray, thorough: bool = False
) -> list[IntArray]:
    """Permutations ``(order, n)`` that represent ``group`` in ``orientation`` and fit ``positions`` well.

    Those best for each operation alone if they are consistent, which is then the optimum; else a good choice, or, if
    ``thorough``, several that favour different kinds of orbits.
    """
    operations = orientation @ group.elements @ orientation.T
    permutations = best_permutations(kinds, positions, operations, group.table)
    if is_consistent(permutations, group.table):
        return [permutations]
    if group.order == 2:
        permutations[1] = _involution(kinds, permutations[1], positions @ operations[1].T @ positions.T)
        return [permutations]
    classes = len(stabilisers(group.name))
    biases = product((1.0, _DISFAVOUR), repeat=classes) if thorough else [(1.0,) * classes]
    return [orbit_permutations(kinds, positions, operations, group.name, bias) for bias in biases]


def project(positions: FloatArray, operations: FloatArray, permutations: IntArray) -> FloatArray:
    """The nearest structure ``(..., n, 3)`` that the operations ``(..., order, 3, 3)`` leave as it is.

    ``positions`` ``(..., n, 3)``; ``permutations`` ``(order, n)`` must be consistent.
    """
    images = positions[..., permutations, :]  # (..., order, n, 3)
    return np.asarray(np.einsum("...gba,...gnb->...na", operations, images) / len(permutations))


def relabel(permutations: IntArray, role: IntArray) -> IntArray:
    """The permutations ``(order, n)`` when atom ``role[i]`` takes the part of atom i."""
    renamed = np.empty_like(permutations)
    renamed[:, role] = role[permutations]
    return renamed


def _involution(kinds: Kinds, permutation: IntArray, gain: FloatArray) -> IntArray:
    """The permutation of the largest gain that is its own inverse, from the best ``permutation`` of all.

    ``gain`` ``(n, n)``: of carrying an atom to the place of another.  Cycles of even length split into pairs without
    loss; among equal atoms in a cycle of odd length the pairs are found by :func:`_pair_up`.
    """
    result = np.arange(len(permutation))
    for atoms in kinds.mobile:
        cycles = _long_cycles(permutation, atoms)
        if any(len(cycle) % 2 for cycle in cycles):
            result[atoms] = atoms[_pair_up(gain[np.ix_(atoms, atoms)])]
            continue
        for cycle in cycles:
            result[cycle[::2]], result[cycle[1::2]] = cycle[1::2], cycle[::2]
    return result


def _pair_up(gain: FloatArray) -> IntArray:
    """The involution of the largest ``gain`` ``(m, m)``: a matching in which atoms may stay alone, exact."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    count = len(gain)
    first, second = np.triu_indices(count)
    value = np.where(first == second, 0.5, 1.0) * (gain + gain.T)[first, second]
    columns = np.arange(len(first))
    rows, places = np.concatenate([first, second]), np.concatenate([columns, columns])
    table = coo_array((np.where(first == second, 0.5, 1.0)[places], (rows, places)), shape=(count, len(first))).tocsr()
    chosen = milp(
        -value, integrality=np.ones(len(first)), bounds=Bounds(0, 1), constraints=LinearConstraint(table, 1.0, 1.0)
    )
    if chosen.x is None:
        raise RuntimeError(f"pairs of {count} atoms: {chosen.message}")
    pairs = np.flatnonzero(chosen.x > 0.5)
    result = np.arange(count)
    result[first[pairs]], result[second[pairs]] = second[pairs], first[pairs]
    return result


def _long_cycles(permutation: IntArray, atoms: IntArray) -> list[list[int]]:
    """The cycles of more than one of the ``atoms``, which the permutation carries to each other."""
    seen = np.zeros(len(permutation), dtype=np.bool_)
    cycles = []
    for first in atoms.tolist():
        cycle = []
        atom = first
        while not seen[atom]:
            seen[atom] = True
            cycle.append(atom)
            atom = int(permutation[atom])
        if len(cycle) > 1:
            cycles.append(cycle)
    return cycles
