"""Which atoms of a filled cell can be present together: unlabelled disorder, and disorder about symmetry elements.

Atoms are taken in units (:mod:`clusterml.structure.crystal.units`), which exclude each other where any two of their
atoms do; the more occupied unit stays, of equal ones the one nearest to the listed sites.  The choice is made once for
each molecule with all that excludes parts of it, and carried to the others by the symmetry, so that clusters that are
symmetry copies stay copies.
"""

from __future__ import annotations

import numpy as np

from clusterml.structure.bonds import SLACK, Pairs, bond_limit, components, keep_bonds
from clusterml.structure.crystal.crystal import Crystal
from clusterml.structure.crystal.disorder import OVERLAP, radii_sum
from clusterml.structure.crystal.expand import Expanded, same_copy
from clusterml.structure.crystal.symmetry import determinants
from clusterml.structure.crystal.units import PARTIAL, find_units
from clusterml.structure.elements import is_metal
from clusterml.typing import BoolArray, FloatArray

SPLIT_HYDROGENS = 1.1
"""Two partly occupied hydrogens nearer than this (A) exclude each other (in CH3 and H2O they are 1.5 A apart)."""
DUPLICATE = 0.1
"""Two sites of one element nearer than this (A) are one atom, listed twice."""
SPLIT_TERMINAL = 1.6
"""Two partly occupied F, Cl, Br or O nearer than this (A) exclude each other (F...F in BF4: 2.2, badly refined 1.7)."""
_ONE_PLACE = 1.03
_DONORS = 2.1  # A
_TERMINAL = (8, 9, 17, 35)


def without_overlaps(crystal: Crystal, expanded: Expanded, pairs: Pairs) -> tuple[BoolArray, BoolArray]:
    """Which atoms ``(n,)`` of the filled cell to keep so that no two exclude each other, and which had a rival.

    ``pairs``: all pairs of atoms within the longest bond.
    """
    numbers = expanded.numbers
    exclusive = _exclusive(crystal, expanded, pairs)
    keep = np.ones(len(numbers), dtype=np.bool_)
    if not exclusive.any():
        return keep, ~keep
    bonded = keep_bonds(numbers, pairs.select(~exclusive))
    against = pairs.select(exclusive)
    entangled = np.empty(len(numbers), dtype=np.int64)
    parts = components(len(numbers), _joined(bonded, against))
    for k, part in enumerate(parts):
        entangled[part] = k
    concerned = np.isin(entangled, entangled[against.first])
    units = find_units(crystal, expanded, bonded, against, concerned)
    contested = units.contested(against)
    proper = determinants(crystal.rotations) > 0
    done = np.zeros(len(parts), dtype=np.bool_)
    for k in dict.fromkeys(entangled[against.first].tolist()):
        if done[k]:
            continue
        part = parts[k]
        keep[part] = False
        keep[units.choose(part, against.select(entangled[against.first] == k))] = True
        done[k] = True
        images = expanded.images(part)
        target = entangled[images[:, 0]]
        for other in np.unique(target).tolist():
            if not done[other]:
                ways = np.flatnonzero(target == other)
                way = ways[np.argmax(proper[ways])]  # an operation that keeps the hand, if there is one
                keep[images[way]] = keep[part]
                done[other] = True
    left = keep[against.first] & keep[against.second]  # a bond at the limit may be seen in one copy and not in another
    keep[against.second[left]] = False
    return keep & ~_orphans(keep, bonded, expanded.occupancy), contested


def _exclusive(crystal: Crystal, expanded: Expanded, pairs: Pairs) -> BoolArray:
    """Which pairs cannot be present together."""
    first, second = pairs.first, pairs.second
    numbers, occupancy = expanded.numbers, expanded.occupancy
    radii = radii_sum(numbers, pairs)
    duplicate = (numbers[first] == numbers[second]) & (pairs.distance < DUPLICATE)
    low, high = np.minimum(occupancy[first], occupancy[second]), np.maximum(occupancy[first], occupancy[second])
    hydrogens = (numbers[first] == 1) & (numbers[second] == 1) & (high < PARTIAL)
    terminal = np.isin(numbers[first], _TERMINAL) & np.isin(numbers[second], _TERMINAL) & (high < PARTIAL)
    limit = np.where(hydrogens, SPLIT_HYDROGENS, np.where(terminal, SPLIT_TERMINAL, OVERLAP * radii))
    overlap = (low < PARTIAL) & (pairs.distance < limit)
    # 0.57 and 0.43 are the two sides of one refined occupancy: never bonded to each other
    complementary = (abs(low + high - 1.0) < 0.015) & (high - low > 0.02) & (pairs.distance < radii + SLACK)
    found = duplicate | overlap | complementary
    # a negative group (PART -1) is never present together with its own symmetry images
    group = crystal.group[expanded.site]
    images = (group[first] < 0) & (group[first] == group[second]) & ~found
    images &= pairs.distance < bond_limit(numbers[first], numbers[second])
    images[images] = ~same_copy(expanded, first[images], second[images])
    return np.asarray(found | images | _shared_place(expanded, pairs), dtype=np.bool_)


def _shared_place(expanded: Expanded, pairs: Pairs) -> BoolArray:
    """Which pairs are images of one partly occupied site that have one place between them.

    Images on the same fully occupied atom whose occupancies add up to no more than one are orientations of one group,
    even where the file gives them no negative group and they do not overlap.
    """
    site, occupancy = expanded.site, expanded.occupancy
    full = occupancy >= PARTIAL
    near = pairs.select(pairs.distance < bond_limit(expanded.numbers[pairs.first], expanded.numbers[pairs.second]))
    around: dict[tuple[int, int], list[int]] = {}
    for atom, other in ((near.first, near.second), (near.second, near.first)):
        mixed = full[atom] & ~full[other]
        for a, b in zip(atom[mixed].tolist(), other[mixed].tolist(), strict=True):
            around.setdefault((a, int(site[b])), []).append(b)
    metal = is_metal(expanded.numbers)
    rivals: dict[tuple[int, int], bool] = {}
    for (centre, _), images in around.items():
        if len(images) > 1 and len(images) * occupancy[images[0]] < _ONE_PLACE:
            for a in images:
                rivals |= {(a, b): bool(metal[centre]) for b in images if a < b}
    if not rivals:
        return np.zeros(len(pairs.first), dtype=np.bool_)
    ends = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distance.tolist(), strict=True)
    # donors on a metal may be half there and independent, unless they are too near for two of them
    return np.array([(a, b) in rivals and (not rivals[a, b] or d < _DONORS) for a, b, d in ends], dtype=np.bool_)


def _orphans(keep: BoolArray, bonded: Pairs, occupancy: FloatArray) -> BoolArray:
    """Partly occupied atoms whose every bonded neighbour was left out: hydrogens of a group that is gone."""
    alive = np.zeros(len(keep), dtype=np.bool_)
    had = np.zeros(len(keep), dtype=np.bool_)
    for atom, partner in ((bonded.first, bonded.second), (bonded.second, bonded.first)):
        had[atom] = True
        alive[atom[keep[partner]]] = True
    return had & ~alive & (occupancy < PARTIAL)


def _joined(*several: Pairs) -> Pairs:
    return Pairs(
        np.concatenate([p.first for p in several]),
        np.concatenate([p.second for p in several]),
        np.concatenate([p.shift for p in several]),
        np.concatenate([p.distance for p in several]),
    )
