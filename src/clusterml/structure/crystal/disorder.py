"""Choosing one of the alternatives a disordered crystal structure lists.

Labelled disorder (disorder groups) is decided here on the asymmetric unit; atoms of partial occupancy that still
overlap after the symmetry has been applied are decided by :func:`without_overlaps`.
"""

from __future__ import annotations

import numpy as np

from clusterml.structure.bonds import SLACK, Pairs, bond_limit, close_periodic_pairs, components
from clusterml.structure.crystal.cif import Crystal
from clusterml.typing import BoolArray, FloatArray, IntArray

OVERLAP = 0.72
"""Two partly occupied sites nearer than this fraction of the sum of their covalent radii exclude each other."""
SPLIT_HYDROGENS = 1.1
"""Two partly occupied hydrogens nearer than this (A) exclude each other (in CH3 and H2O they are 1.5 A apart)."""
PARTIAL = 0.999
"""Occupancy below which a site counts as partly occupied."""
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
    pairs = close_periodic_pairs(fractional, cell, float(max(bond_limit(numbers, numbers).max(), 1.0)))
    excluded = pairs.select(_exclusive(numbers, occupancy, pairs))
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


def _exclusive(numbers: IntArray, occupancy: FloatArray, pairs: Pairs) -> BoolArray:
    """Which pairs cannot be present together."""
    first, second = pairs.first, pairs.second
    radii = _radii(numbers, pairs)
    duplicate = (numbers[first] == numbers[second]) & (pairs.distance < DUPLICATE)
    low, high = np.minimum(occupancy[first], occupancy[second]), np.maximum(occupancy[first], occupancy[second])
    hydrogens = (numbers[first] == 1) & (numbers[second] == 1) & (high < PARTIAL)
    overlap = (low < PARTIAL) & (pairs.distance < np.where(hydrogens, SPLIT_HYDROGENS, OVERLAP * radii))
    # 0.57 and 0.43 are the two sides of one refined occupancy: never bonded to each other
    complementary = (abs(low + high - 1.0) < 0.015) & (high - low > 0.02) & (pairs.distance < radii + SLACK)
    return np.asarray(duplicate | overlap | complementary, dtype=np.bool_)


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
