"""The bonding graph: which atoms are bonded, by covalent radii, in a molecule or across the cells of a crystal.

Two atoms are bonded when they are closer than the sum of their covalent radii (Cordero et al., Dalton Trans. 2008,
2832) plus a slack that depends on the pair.  Metal-metal contacts get more slack, so that argentophilic contacts
(Ag-Ag up to 3.45 A) hold a cluster together; metal-hydrogen pairs get less, so that a C-H bond passing a metal is not
taken for a hydride.  A hydrogen bonded to a non-metal is bonded to that atom only.  An atom without any bond, inside a
cage of metals, is bonded to those a little farther away: a hydrogen, or an anion such as the chloride in [Ag14Cl]13+,
whose cages are larger than its bonds are long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clusterml.structure.elements import is_counter_ion_metal, is_metal
from clusterml.structure.points import pairs_within
from clusterml.typing import BoolArray, FloatArray, IntArray

SLACK = 0.40
"""Slack (A) of an ordinary bond; the value crystallographic databases use."""
METAL_METAL_SLACK = 0.55
"""Slack (A) between two metals: Ag-Ag 3.45, Au-Au 3.27, Cu-Cu 3.19 A."""
METAL_HYDROGEN_SLACK = 0.25
"""Slack (A) between a metal and hydrogen: Ag-H 2.01 A."""
CAGE_SLACK = 0.30
"""Additional slack (A) between a metal and a hydrogen without another bond: Ag-H 2.31 A (neutrons see 1.9 to 2.2 A)."""
ENCLOSED = (8, 9, 16, 17, 34, 35, 52, 53)
"""Elements of the anions that cages of metals hold."""
ENCLOSED_SLACK = 0.60
"""Additional slack (A) between a metal and an anion without another bond, in a cage: Ag-Cl 3.47 A (3.0 to 3.4 A are
found in Ag14 and Ag18)."""
_CAGE = 6
"""Metals that make a cage: outside of one, no anion has so many about it without touching one."""


@dataclass(frozen=True)
class AtomPairs:
    """Bonded pairs, each once: ``first``, ``second`` ``(m,)``, ``shift`` ``(m, 3)`` cells added to the second atom,
    ``distance`` ``(m,)`` in A."""

    first: IntArray
    second: IntArray
    shift: IntArray
    distance: FloatArray

    def select(self, keep: BoolArray) -> AtomPairs:
        """The pairs where ``keep`` ``(m,)`` is true."""
        return AtomPairs(self.first[keep], self.second[keep], self.shift[keep], self.distance[keep])


def bond_limit(first: IntArray, second: IntArray) -> FloatArray:
    """Longest bond (A) between atoms of the given atomic numbers (arrays that broadcast); 0 where none is possible."""
    from ase.data import covalent_radii

    metal_1, metal_2 = is_metal(first), is_metal(second)
    slack = np.where(metal_1 & metal_2, METAL_METAL_SLACK, SLACK)
    hydride = (metal_1 & (second == 1)) | (metal_2 & (first == 1))
    slack = np.where(hydride, METAL_HYDROGEN_SLACK, slack)
    limit = covalent_radii[first] + covalent_radii[second] + slack
    ionic = is_counter_ion_metal(first) | is_counter_ion_metal(second)
    return np.asarray(np.where(ionic, 0.0, limit), dtype=np.float64)


def close_pairs(positions: FloatArray, radius: float) -> AtomPairs:
    """All pairs of ``positions`` ``(n, 3)`` (A) within ``radius`` (A), without periodicity."""
    first, second, distance = pairs_within(positions, positions, radius)
    once = np.flatnonzero(first < second)
    order = once[np.lexsort((second[once], first[once]))]
    return AtomPairs(first[order], second[order], np.zeros((len(order), 3), dtype=np.int64), distance[order])


def close_periodic_pairs(fractional: FloatArray, cell: FloatArray, radius: float) -> AtomPairs:
    """All pairs within ``radius`` (A) of atoms at ``fractional`` ``(n, 3)`` in [0, 1), over all cell images.

    ``cell`` ``(3, 3)`` holds the lattice vectors as rows (A).  An atom close to its own image is a pair too.
    """
    ghosts, origin, shifts = _periodic_images(fractional, cell, radius)
    first, image, distance = pairs_within(fractional @ cell, ghosts @ cell, radius)
    second, shift = origin[image], shifts[image]
    # every pair is found from both ends: keep the one with the smaller index first, or the positive shift
    forward = (shift[:, 0] > 0) | ((shift[:, 0] == 0) & ((shift[:, 1] > 0) | ((shift[:, 1] == 0) & (shift[:, 2] > 0))))
    once = np.flatnonzero((first < second) | ((first == second) & forward))
    order = once[np.lexsort((*shift[once].T, second[once], first[once]))]
    return AtomPairs(first[order], second[order], shift[order], distance[order])


def bonds(numbers: IntArray, positions: FloatArray) -> AtomPairs:
    """The bonds of a molecule: atomic ``numbers`` ``(n,)``, ``positions`` ``(n, 3)`` (A)."""
    if len(numbers) < 2:
        return close_pairs(np.zeros((1, 3)), 1.0)
    return keep_bonds(numbers, close_pairs(positions, longest_bond(numbers)))


def longest_bond(numbers: IntArray) -> float:
    """Longest bond (A) possible between any two of the elements present."""
    kinds = np.unique(numbers)
    limits = bond_limit(kinds[:, None], kinds[None, :])
    limits += ENCLOSED_SLACK * (np.isin(kinds, ENCLOSED)[:, None] & is_metal(kinds) & (limits > 0.0))
    return float(max(limits.max(), 0.1))


def keep_bonds(numbers: IntArray, pairs: AtomPairs) -> AtomPairs:
    """The pairs that are bonds between atoms of the given atomic ``numbers`` ``(n,)``."""
    near = pairs
    pairs = near.select(near.distance <= bond_limit(numbers[near.first], numbers[near.second]))
    nearest = np.full(len(numbers), np.inf)  # distance from each hydrogen to its nearest non-metal
    metal = is_metal(numbers)
    ends = ((pairs.first, pairs.second), (pairs.second, pairs.first))
    for atom, partner in ends:
        counts = (numbers[atom] == 1) & ~metal[partner]
        # another hydrogen comes last: the halves of a disordered methyl group are nearer to each other than to carbon
        effective = pairs.distance + np.where(numbers[partner] == 1, SLACK, 0.0)
        np.minimum.at(nearest, atom[counts], effective[counts])
    keep = np.ones(len(pairs.first), dtype=np.bool_)
    for atom, partner in ends:
        bound = np.isfinite(nearest[atom])
        effective = pairs.distance + np.where(numbers[partner] == 1, SLACK, 0.0)
        keep &= (numbers[atom] != 1) | ~bound | (~metal[partner] & (effective <= nearest[atom] + 1e-6))
    return _with_caged(numbers, pairs.select(keep), near)


def _with_caged(numbers: IntArray, bonded: AtomPairs, near: AtomPairs) -> AtomPairs:
    """``bonded``, plus those of the ``near`` pairs of a metal and a hydrogen, or an anion in a cage, without a bond."""
    alone = np.isin(numbers, (1, *ENCLOSED))
    alone[bonded.first], alone[bonded.second] = False, False
    if not alone.any():
        return bonded
    metal = is_metal(numbers)
    caged = (alone[near.first] & metal[near.second]) | (alone[near.second] & metal[near.first])
    hydride = (numbers[near.first] == 1) | (numbers[near.second] == 1)
    limit = bond_limit(numbers[near.first], numbers[near.second])
    reach = np.where(limit > 0.0, limit + np.where(hydride, CAGE_SLACK, ENCLOSED_SLACK), 0.0)
    extra = near.select(caged & (near.distance <= reach))
    around = np.bincount(np.concatenate([extra.first, extra.second]), minlength=len(numbers))
    held = (numbers == 1) | metal | (around >= _CAGE)
    extra = extra.select(held[extra.first] & held[extra.second])
    return AtomPairs(
        np.concatenate([bonded.first, extra.first]),
        np.concatenate([bonded.second, extra.second]),
        np.concatenate([bonded.shift, extra.shift]),
        np.concatenate([bonded.distance, extra.distance]),
    )


def components(n_atoms: int, pairs: AtomPairs) -> list[IntArray]:
    """Groups of connected atoms: sorted index arrays, in order of their first atom."""
    if n_atoms == 0:
        return []
    label = _first_connected(n_atoms, pairs)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def _first_connected(n_atoms: int, pairs: AtomPairs) -> IntArray:
    """The first atom ``(n,)`` that each is connected to: both ends of a pair take the smaller label, and every label
    that of the atom it names, until nothing changes."""
    label, before = np.arange(n_atoms), np.zeros(0, dtype=np.int64)
    while not np.array_equal(label, before):
        before = label.copy()
        smaller = np.minimum(before[pairs.first], before[pairs.second])
        for ends in (pairs.first, pairs.second):
            np.minimum.at(label, before[ends], smaller)
        label = label[label]
    return label


def neighbours(n_atoms: int, pairs: AtomPairs) -> list[list[int]]:
    """For each atom the sorted indices of the atoms bonded to it."""
    table: list[list[int]] = [[] for _ in range(n_atoms)]
    for i, j in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        table[i].append(j)
        table[j].append(i)
    return [sorted(row) for row in table]


def outwards(n_atoms: int, pairs: AtomPairs) -> Iterator[tuple[int, int]]:
    """Every atom connected to atom 0 except itself, after the atom it is reached from: nearest first."""
    table, reached, shell = neighbours(n_atoms, pairs), {0}, [0]
    while shell:
        steps = {atom: parent for parent in reversed(shell) for atom in table[parent] if atom not in reached}
        yield from ((parent, atom) for atom, parent in steps.items())
        reached |= steps.keys()
        shell = list(steps)


def _periodic_images(fractional: FloatArray, cell: FloatArray, radius: float) -> tuple[FloatArray, IntArray, IntArray]:
    """Images (fractional), their atoms and their shifts, of everything within ``radius`` of the home cell."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    margin = radius / heights
    parts = [
        (fractional[near] + shift, near, np.repeat(shift[None, :], len(near), axis=0))
        for shift, near in _near_images(fractional, margin)
    ]
    return (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]),
            np.concatenate([p[2] for p in parts]))  # fmt: skip


def _near_images(fractional: FloatArray, margin: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    reach = np.ceil(margin).astype(np.int64)
    for index in np.ndindex(*(2 * reach + 1)):
        shift = np.asarray(index, dtype=np.int64) - reach
        image = fractional + shift
        near = np.flatnonzero(np.all((image >= -margin) & (image <= 1.0 + margin), axis=1))
        if len(near):
            yield shift, near
