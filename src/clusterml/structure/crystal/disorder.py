"""Disorder: which alternative of each disordered group is taken, and atoms that overlap without being declared.

Labelled alternatives are chosen among the listed sites (:func:`choose_component`), those without a label after the
symmetry has been applied (:func:`resolve_overlaps`).

Atoms are taken in units (:mod:`clusterml.structure.crystal.crystal`), which exclude each other where any two of their
atoms do; the more occupied unit stays, of equal ones the one nearest to the listed sites.  The choice is made once for
each molecule with all that excludes parts of it, and carried to the others by the symmetry, so that clusters that are
symmetry copies stay copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.errors import OptionError, StructureError, counted
from clusterml.structure.bonds import SLACK, AtomPairs, bond_limit, close_periodic_pairs, components, keep_bonds
from clusterml.structure.crystal import Disorder
from clusterml.structure.crystal.crystal import PARTIAL, Crystal, Expanded, check_crowding, find_units, share_operation
from clusterml.structure.crystal.spacegroup import determinants
from clusterml.structure.elements import is_metal
from clusterml.typing import BoolArray, FloatArray, IntArray

OVERLAP = 0.72
"""Two partly occupied sites nearer than this fraction of the sum of their covalent radii exclude each other."""
_NEIGHBOURHOOD = 2.5
_LISTED = 6  # labels named in a sentence


@dataclass(frozen=True)
class OmittedSites:
    """Sites left out of a crystal: labels, occupancies, disorder group (0: unlabelled), and the reason."""

    labels: tuple[str, ...]
    occupancy: tuple[float, ...]
    group: int
    reason: str

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        shown = [round(x, 4) for x in self.occupancy]
        return {"labels": list(self.labels), "occupancy": shown, "group": self.group, "reason": self.reason}


def choose_component(
    crystal: Crystal, choice: Disorder = "major", source: str = "crystal"
) -> tuple[Crystal, list[OmittedSites], BoolArray]:
    """Keep one disorder group of each assembly: the crystal, what was dropped, and which sites had an alternative.

    Groups belong together by the assembly label, or, where the file gives none (as SHELXL does) or gives every group
    its own, by neighbourhood: atoms of one group that are bonded, and atoms of different groups that are within a bond
    length of each other.  ``major`` keeps the group with the highest mean occupancy (of equal ones the smallest
    number), ``A`` the group with the smallest number (1 or -1) and ``B`` the next; an assembly of one group is kept.

    Raises :class:`StructureError` for ``error`` if anything is disordered, :class:`OptionError` for an unknown choice
    and for ``B`` where groups are labelled but no assembly has a second one.
    """
    if choice not in ("major", "A", "B", "error"):
        raise OptionError(f"disorder is '{choice}'", "it can be major, A, B or error")
    drop = np.zeros(len(crystal.numbers), dtype=np.bool_)
    contested = drop.copy()
    dropped: list[OmittedSites] = []
    assemblies = _find_assemblies(crystal, source)
    if choice == "B" and assemblies and all(len(np.unique(crystal.group[members])) == 1 for members in assemblies):
        raise OptionError(f"{source}: no disordered part of the crystal has a component B", "take major or A")
    for members in assemblies:
        groups = crystal.group[members]
        chosen = _choose_group(groups, crystal.occupancy[members], choice)
        for group in np.unique(groups[groups != chosen]).tolist():
            sites = members[groups == group]
            drop[sites] = True
            contested[members] = True
            occupancy = tuple(crystal.occupancy[sites].tolist())
            reason = f"disorder group {group}; group {chosen} was kept"
            dropped.append(OmittedSites(tuple(crystal.labels[i] for i in sites.tolist()), occupancy, group, reason))
    if not dropped:
        return crystal, [], contested
    if choice == "error":
        raise disorder_error(source, dropped)
    ordered = crystal.select(~drop, f"disorder: {describe(dropped)} left out ({_rule(choice)})")
    return ordered, dropped, contested[~drop]


def disorder_error(source: str, dropped: list[OmittedSites]) -> StructureError:
    """The error for a crystal whose disorder has not been decided."""
    return StructureError(
        f"{source}: the crystal is disordered: {describe(dropped)} would have to be left out",
        "choose the component: --disorder major, A or B",
    )


def describe(dropped: list[OmittedSites]) -> str:
    """``3 sites (S1A, C1A, C2A; occupancy 0.30)``."""
    labels = [label for entry in dropped for label in entry.labels]
    occupancy = [x for entry in dropped for x in entry.occupancy]
    names = ", ".join(labels[:_LISTED]) + (f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else "")
    low, high = min(occupancy), max(occupancy)
    span = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
    return f"{counted(len(labels), 'site')} ({names}; occupancy {span})"


def _rule(choice: Disorder) -> str:
    return "the most occupied component was kept" if choice == "major" else f"component {choice} was kept"


def _choose_group(groups: IntArray, occupancy: FloatArray, choice: Disorder) -> int:
    names = sorted((int(g) for g in np.unique(groups)), key=lambda g: (abs(g), -g))
    if choice in ("A", "B"):
        return names[min(choice == "B", len(names) - 1)]
    mean = {g: round(float(occupancy[groups == g].mean()), 3) for g in names}
    return max(names, key=lambda g: (mean[g], -abs(g)))


def _find_assemblies(crystal: Crystal, source: str) -> list[IntArray]:
    """Sites whose groups are alternatives of each other."""
    disordered = np.flatnonzero(crystal.group != 0)
    if len(disordered) == 0:
        return []
    numbers, group = crystal.numbers[disordered], crystal.group[disordered]
    labels = np.array([crystal.assembly[i] for i in disordered])
    pairs = find_close_sites(crystal, disordered, _NEIGHBOURHOOD, source)
    first, second = pairs.first, pairs.second
    other = group[first] != group[second]
    unlabelled = (labels[first] == "") & (labels[second] == "")
    radii = sum_radii(numbers, pairs)
    apart = pairs.distance < bond_limit(numbers[first], numbers[second])
    # two named assemblies are one if sites of different groups are on top of each other
    near = np.where(other, pairs.distance < np.where(unlabelled, radii, OVERLAP * radii), unlabelled & apart)
    chain = [np.flatnonzero(labels == name) for name in np.unique(labels) if name != ""]
    links = [(int(part[0]), int(k)) for part in chain for k in part[1:]]
    joined = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = AtomPairs(
        np.concatenate([first[near], joined[:, 0]]),
        np.concatenate([second[near], joined[:, 1]]),
        np.zeros((0, 3), dtype=np.int64),
        np.zeros(0),
    )
    return [disordered[part] for part in components(len(disordered), graph)]


def find_close_sites(crystal: Crystal, chosen: IntArray, radius: float, source: str) -> AtomPairs:
    """Pairs of ``chosen`` sites within ``radius`` (A) in the crystal, whichever symmetry image is the close one."""
    moved = np.einsum("mij,nj->mni", crystal.rotations, crystal.fractional[chosen]) + crystal.translations[:, None, :]
    inside = moved.reshape(-1, 3)
    inside = inside - np.floor(inside)
    inside[inside >= 1.0] = 0.0
    check_crowding(inside, crystal.cell, source)
    pairs = close_periodic_pairs(inside, crystal.cell, radius)
    first, second = pairs.first % len(chosen), pairs.second % len(chosen)
    keep = first != second  # a site and its own image are decided later
    return AtomPairs(first[keep], second[keep], pairs.shift[keep], pairs.distance[keep])


def sum_radii(numbers: IntArray, pairs: AtomPairs) -> FloatArray:
    """Sum of the covalent radii (A) of each pair ``(k,)``."""
    from ase.data import covalent_radii

    total = covalent_radii[numbers[pairs.first]] + covalent_radii[numbers[pairs.second]]
    return np.asarray(total, dtype=np.float64)


SPLIT_HYDROGENS = 1.1
"""Two partly occupied hydrogens nearer than this (A) exclude each other (in CH3 and H2O they are 1.5 A apart)."""
DUPLICATE = 0.1
"""Two sites of one element nearer than this (A) are one atom, listed twice."""
SPLIT_TERMINAL = 1.6
"""Two partly occupied F, Cl, Br or O nearer than this (A) exclude each other (F...F in BF4: 2.2, badly refined 1.7)."""
_ONE_PLACE = 1.03
_DONORS = 2.1  # A
_TERMINAL = (8, 9, 17, 35)


def resolve_overlaps(crystal: Crystal, expanded: Expanded, pairs: AtomPairs) -> tuple[BoolArray, BoolArray]:
    """Which atoms ``(n,)`` of the filled cell to keep so that no two exclude each other, and which had a rival.

    ``pairs``: all pairs of atoms within the longest bond.
    """
    numbers = expanded.numbers
    exclusive = _find_exclusive(crystal, expanded, pairs)
    keep = np.ones(len(numbers), dtype=np.bool_)
    if not exclusive.any():
        return keep, ~keep
    bonded = keep_bonds(numbers, pairs.select(~exclusive))
    against = pairs.select(exclusive)
    entangled = np.empty(len(numbers), dtype=np.int64)
    parts = components(len(numbers), _concatenate(bonded, against))
    for k, part in enumerate(parts):
        entangled[part] = k
    concerned = np.isin(entangled, entangled[against.first])
    units = find_units(crystal, expanded, bonded, against, concerned)
    contested = units.contested(against)
    proper = determinants(crystal.rotations) > 0
    decided = np.zeros(len(parts), dtype=np.bool_)
    for k in dict.fromkeys(entangled[against.first].tolist()):
        if decided[k]:
            continue
        part = parts[k]
        keep[part] = False
        keep[units.choose(part, against.select(entangled[against.first] == k))] = True
        decided[k] = True
        images = expanded.images(part)
        target = entangled[images[:, 0]]
        for other in np.unique(target).tolist():
            if not decided[other]:
                candidates = np.flatnonzero(target == other)
                # an operation that keeps the hand, if there is one
                operation = candidates[np.argmax(proper[candidates])]
                keep[images[operation]] = keep[part]
                decided[other] = True
    # a bond at the limit may be seen in one copy and not in another
    clashing = keep[against.first] & keep[against.second]
    keep[against.second[clashing]] = False
    return keep & ~_find_orphans(keep, bonded, expanded.occupancy), contested


def _find_exclusive(crystal: Crystal, expanded: Expanded, pairs: AtomPairs) -> BoolArray:
    """Which pairs cannot be present together."""
    first, second = pairs.first, pairs.second
    numbers, occupancy = expanded.numbers, expanded.occupancy
    radii = sum_radii(numbers, pairs)
    duplicate = (numbers[first] == numbers[second]) & (pairs.distance < DUPLICATE)
    low, high = np.minimum(occupancy[first], occupancy[second]), np.maximum(occupancy[first], occupancy[second])
    hydrogens = (numbers[first] == 1) & (numbers[second] == 1) & (high < PARTIAL)
    terminal = np.isin(numbers[first], _TERMINAL) & np.isin(numbers[second], _TERMINAL) & (high < PARTIAL)
    limit = np.where(hydrogens, SPLIT_HYDROGENS, np.where(terminal, SPLIT_TERMINAL, OVERLAP * radii))
    overlap = (low < PARTIAL) & (pairs.distance < limit)
    # 0.57 and 0.43 are the two sides of one refined occupancy: never bonded to each other
    complementary = (abs(low + high - 1.0) < 0.015) & (high - low > 0.02) & (pairs.distance < radii + SLACK)
    exclusive = duplicate | overlap | complementary
    # a negative group (PART -1) is never present together with its own symmetry images
    group = crystal.group[expanded.site]
    images = (group[first] < 0) & (group[first] == group[second]) & ~exclusive
    images &= pairs.distance < bond_limit(numbers[first], numbers[second])
    images[images] = ~share_operation(expanded, first[images], second[images])
    return np.asarray(exclusive | images | _find_shared_places(expanded, pairs), dtype=np.bool_)


def _find_shared_places(expanded: Expanded, pairs: AtomPairs) -> BoolArray:
    """Which pairs are images of one partly occupied site that compete for one place.

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


def _find_orphans(keep: BoolArray, bonded: AtomPairs, occupancy: FloatArray) -> BoolArray:
    """Partly occupied atoms all of whose bonded neighbours were left out: hydrogens of a group that is gone."""
    alive = np.zeros(len(keep), dtype=np.bool_)
    had = np.zeros(len(keep), dtype=np.bool_)
    for atom, partner in ((bonded.first, bonded.second), (bonded.second, bonded.first)):
        had[atom] = True
        alive[atom[keep[partner]]] = True
    return had & ~alive & (occupancy < PARTIAL)


def _concatenate(*parts: AtomPairs) -> AtomPairs:
    return AtomPairs(
        np.concatenate([p.first for p in parts]),
        np.concatenate([p.second for p in parts]),
        np.concatenate([p.shift for p in parts]),
        np.concatenate([p.distance for p in parts]),
    )
