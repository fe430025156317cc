"""Units of disorder: the bonded atoms of one copy of a disordered group, which are there together or not at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.structure.bonds import Pairs, components
from clusterml.structure.crystal.crystal import Crystal
from clusterml.structure.crystal.expand import Expanded, same_copy
from clusterml.typing import BoolArray, FloatArray, IntArray

PARTIAL = 0.999
"""Occupancy below which a site counts as partly occupied."""


@dataclass(frozen=True)
class Units:
    """Units of disorder: the ``atoms`` of each (an atom on a symmetry element can be in several), the first
    ``operation`` that makes it, its first ``site``, mean ``occupancy``, and the number of the ``fragment`` of listed
    sites that it is a copy of; ``exclusive`` fragments have copies that exclude each other where they share an atom."""

    n_atoms: int
    atoms: list[IntArray]
    operation: IntArray
    site: IntArray
    occupancy: FloatArray
    fragment: IntArray
    exclusive: BoolArray

    def contested(self, against: Pairs) -> BoolArray:
        """Which atoms ``(n,)`` are in a unit that another one excludes; ``against``: exclusive pairs of atoms."""
        rival = np.zeros(self.n_atoms, dtype=np.bool_)
        rival[against.first] = True
        rival[against.second] = True
        found = np.zeros(self.n_atoms, dtype=np.bool_)
        for atoms in self.atoms:
            found[atoms] |= bool(rival[atoms].any())
        return found

    def choose(self, part: IntArray, against: Pairs) -> IntArray:
        """The atoms of ``part`` that stay, given the exclusive pairs ``against`` among them."""
        wanted = set(part.tolist())
        mine = [k for k, atoms in enumerate(self.atoms) if int(atoms[0]) in wanted]
        rivals = self._rivals(mine, against)
        order = sorted(mine, key=lambda k: (-self.occupancy[k], self.operation[k], self.site[k]))
        gone: set[int] = set()
        kept: list[IntArray] = []
        for k in order:
            if k not in gone:
                kept.append(self.atoms[k])
                gone |= rivals[k]
        return np.unique(np.concatenate(kept))

    def _rivals(self, mine: list[int], against: Pairs) -> dict[int, set[int]]:
        holders: dict[int, list[int]] = {}
        for k in mine:
            for atom in self.atoms[k].tolist():
                holders.setdefault(atom, []).append(k)
        rivals: dict[int, set[int]] = {k: set() for k in mine}
        for a, b in zip(against.first.tolist(), against.second.tolist(), strict=True):
            for i in holders[a]:
                for j in holders[b]:
                    if i != j:
                        rivals[i].add(j)
                        rivals[j].add(i)
        for sharing in holders.values():
            for i in sharing:
                same = [j for j in sharing if j != i and self.fragment[j] == self.fragment[i]]
                if same and self.exclusive[self.fragment[i]]:
                    rivals[i].update(same)
        return rivals


def find_units(crystal: Crystal, expanded: Expanded, bonded: Pairs, against: Pairs, concerned: BoolArray) -> Units:
    """The units among the ``concerned`` atoms ``(n,)``, given bonds and exclusive pairs of the filled cell.

    A unit is what one symmetry operation makes of a fragment: listed sites of one disorder group (without groups: of
    one occupancy) that are partly occupied and bonded.  Every other atom is a unit of its own.
    """
    fragment = _fragments(crystal, expanded, bonded, against)
    sites = np.unique(expanded.site[concerned])
    atoms: list[IntArray] = []
    rows: list[tuple[int, int, float, int]] = []
    for number in np.unique(fragment[sites]).tolist():
        members = np.flatnonzero(fragment == number)
        copies = np.sort(expanded.atom_of[:, members], axis=1)
        _, first = np.unique(copies, axis=0, return_index=True)
        mean = round(float(crystal.occupancy[members].mean()), 3)
        for operation in np.sort(first).tolist():
            atoms.append(np.unique(copies[operation]))
            rows.append((operation, int(members[0]), mean, number))
    operation, site, occupancy, owner = (np.array(column) for column in zip(*rows, strict=True))
    exclusive = np.zeros(int(fragment.max()) + 1, dtype=np.bool_)
    exclusive[fragment] = crystal.group < 0
    return Units(len(expanded.numbers), atoms, operation, site, occupancy.astype(np.float64), owner, exclusive)


def _fragments(crystal: Crystal, expanded: Expanded, bonded: Pairs, against: Pairs) -> IntArray:
    """Number of the fragment ``(s,)`` that each site belongs to."""
    group, occupancy = crystal.group, np.round(crystal.occupancy, 3)
    partial = crystal.occupancy < PARTIAL
    first, second = expanded.site[bonded.first], expanded.site[bonded.second]
    alike = partial[first] & partial[second] & (group[first] == group[second])
    alike &= (group[first] != 0) | (occupancy[first] == occupancy[second])
    alike[alike] = same_copy(expanded, bonded.first[alike], bonded.second[alike])
    links = Pairs(first[alike], second[alike], bonded.shift[alike], bonded.distance[alike])
    fragment = np.empty(len(group), dtype=np.int64)
    for k, part in enumerate(components(len(group), links)):
        fragment[part] = k
    # where atoms of one copy exclude each other, nothing says what belongs together: each site stands for itself
    first, second = expanded.site[against.first], expanded.site[against.second]
    inside = fragment[first] == fragment[second]
    inside[inside] = same_copy(expanded, against.first[inside], against.second[inside])
    torn = np.isin(fragment, fragment[first[inside]])
    fragment[torn] = len(group) + np.flatnonzero(torn)
    return fragment
