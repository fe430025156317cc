"""Choosing one of the alternatives a disordered crystal structure lists.

Labelled disorder (disorder groups) is decided here on the asymmetric unit; atoms of partial occupancy that still
overlap after the symmetry has been applied are decided by :func:`without_overlaps`.
"""

from __future__ import annotations

import numpy as np

from clusterml.structure.bonds import Pairs, bond_limit, close_periodic_pairs, components
from clusterml.structure.cif import Crystal
from clusterml.typing import BoolArray, FloatArray, IntArray

OVERLAP = 0.72
"""Two partly occupied sites nearer than this fraction of the sum of their covalent radii exclude each other."""
DUPLICATE = 0.1
"""Two sites of one element nearer than this (A) are one atom, listed twice."""


def major_component(crystal: Crystal) -> Crystal:
    """Drop all but the most occupied disorder group of each assembly, with a warning.

    Groups belong together by the assembly label, or, where the file gives none (as SHELXL does), by neighbourhood:
    atoms of one group that are bonded, and atoms of different groups that are within a bond length of each other.
    Between equal occupancies the group with the smallest number is kept.
    """
    drop = np.zeros(len(crystal.numbers), dtype=np.bool_)
    for members in _assemblies(crystal):
        groups = crystal.group[members]
        mean = {int(g): float(crystal.occupancy[members[groups == g]].mean()) for g in np.unique(groups)}
        kept = max(mean, key=lambda g: (round(mean[g], 3), -abs(g)))
        drop[members[groups != kept]] = True
    if not drop.any():
        return crystal
    return crystal.select(~drop, f"disorder: {int(drop.sum())} sites of minor components were left out")


def without_overlaps(numbers: IntArray, fractional: FloatArray, occupancy: FloatArray, cell: FloatArray) -> BoolArray:
    """Which atoms ``(n,)`` of a filled cell to keep so that no two exclude each other; earlier atoms win ties."""
    reach = max(DUPLICATE, 1.5 * OVERLAP * float(bond_limit(numbers, numbers).max()))
    pairs = close_periodic_pairs(fractional, cell, min(reach, 2.5))
    same = (numbers[pairs.first] == numbers[pairs.second]) & (pairs.distance < DUPLICATE)
    partial = np.minimum(occupancy[pairs.first], occupancy[pairs.second]) < 0.999
    excluded = pairs.select(same | (partial & (pairs.distance < OVERLAP * _radii(numbers, pairs))))
    keep = np.ones(len(numbers), dtype=np.bool_)
    rank = np.lexsort((np.arange(len(numbers)), -np.round(occupancy, 3)))
    place = np.empty_like(rank)
    place[rank] = np.arange(len(rank))
    first_better = place[excluded.first] < place[excluded.second]
    better = np.where(first_better, excluded.first, excluded.second)
    worse = np.where(first_better, excluded.second, excluded.first)
    for k in np.argsort(place[better], kind="stable"):
        if keep[better[k]] and better[k] != worse[k]:
            keep[worse[k]] = False
    return keep


def _assemblies(crystal: Crystal) -> list[IntArray]:
    disordered = np.flatnonzero(crystal.group != 0)
    if len(disordered) == 0:
        return []
    numbers, group = crystal.numbers[disordered], crystal.group[disordered]
    labels = np.array([crystal.assembly[i] for i in disordered])
    pairs = close_periodic_pairs(crystal.fractional[disordered] % 1.0, crystal.cell, 2.5)
    first, second = pairs.first, pairs.second
    limit = bond_limit(numbers[first], numbers[second])
    other = group[first] != group[second]
    near = pairs.distance < np.where(other, _radii(numbers, pairs), limit)
    near &= (labels[first] == "") & (labels[second] == "")
    by_distance = components(len(disordered), pairs.select(near))
    unlabelled = [disordered[part] for part in by_distance if labels[part[0]] == ""]
    return unlabelled + [disordered[labels == name] for name in np.unique(labels) if name != ""]


def _radii(numbers: IntArray, pairs: Pairs) -> FloatArray:
    from ase.data import covalent_radii

    total = covalent_radii[numbers[pairs.first]] + covalent_radii[numbers[pairs.second]]
    return np.asarray(total, dtype=np.float64)
