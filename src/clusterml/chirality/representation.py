"""Which atom each symmetry operation carries to which: permutations that multiply as the operations do.

For a distorted geometry the best permutation of each operation alone need not fit those of the others (twice a mirror
must be the identity).  Only consistent permutations define a symmetric structure, and so a symmetry measure.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from clusterml.chirality.groups import PointGroup
from clusterml.chirality.orbits import orbit_permutations, stabilisers
from clusterml.structure.assign import Kinds
from clusterml.typing import FloatArray, IntArray

_DISFAVOUR = 6.0


def best_permutations(kinds: Kinds, positions: FloatArray, operations: FloatArray, table: IntArray) -> IntArray:
    """For each operation ``(order, 3, 3)`` of a group the best permutation of its own ``(order, n)``.

    ``permutation[g, i]`` is the atom nearest, in the sense of the best assignment, to the image of atom i under g.
    ``table``: products in the group; an operation's inverse gets the inverse permutation.
    """
    order, count = len(operations), len(positions)
    found = np.tile(np.arange(count), (order, 1))
    done = np.zeros(order, dtype=np.bool_)
    done[0] = True
    for g, matrix in enumerate(operations):
        if done[g]:
            continue
        found[g] = kinds.match(positions, positions @ matrix.T)
        inverse = int(np.flatnonzero(table[g] == 0)[0])
        if inverse != g:
            found[inverse, found[g]] = np.arange(count)
        done[[g, inverse]] = True
    return found


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
        permutations[1] = _involution(permutations[1], positions, positions @ operations[1].T)
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


def _involution(permutation: IntArray, positions: FloatArray, images: FloatArray) -> IntArray:
    """A permutation that is its own inverse, from the cycles of one that is not: each is split into pairs.

    An even cycle splits in two ways without loss; an odd one leaves one atom on the symmetry element.
    """
    result = np.arange(len(permutation))
    for cycle in _long_cycles(permutation):
        size = len(cycle)
        gain = images[cycle] @ positions[cycle].T
        best, choice = -np.inf, []
        for start in range(size if size % 2 else 2):
            turned = [(start + k) % size for k in range(size)]
            pairs = list(zip(turned[size % 2 :: 2], turned[size % 2 + 1 :: 2], strict=True))
            value = sum(2.0 * gain[a, b] for a, b in pairs) + (gain[turned[0], turned[0]] if size % 2 else 0.0)
            if value > best:
                best, choice = value, pairs
        for a, b in choice:
            result[cycle[a]], result[cycle[b]] = cycle[b], cycle[a]
    return result


def _long_cycles(permutation: IntArray) -> list[list[int]]:
    """The cycles of more than one atom."""
    seen = np.zeros(len(permutation), dtype=np.bool_)
    cycles = []
    for first in range(len(permutation)):
        cycle = []
        atom = first
        while not seen[atom]:
            seen[atom] = True
            cycle.append(atom)
            atom = int(permutation[atom])
        if len(cycle) > 1:
            cycles.append(cycle)
    return cycles
