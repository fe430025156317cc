"""Choosing one of the labelled alternatives (disorder groups) that a disordered crystal structure lists.

Alternatives that carry no label are decided after the symmetry has been applied, in
:mod:`clusterml.structure.crystal.overlaps`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.errors import OptionError, StructureError
from clusterml.printable import counted
from clusterml.structure.bonds import Pairs, bond_limit, close_periodic_pairs, components
from clusterml.structure.crystal import Disorder
from clusterml.structure.crystal.crystal import Crystal
from clusterml.structure.crystal.expand import check_crowding
from clusterml.typing import BoolArray, FloatArray, IntArray

OVERLAP = 0.72
"""Two partly occupied sites nearer than this fraction of the sum of their covalent radii exclude each other."""
_NEIGHBOURHOOD = 2.5
_LISTED = 6  # labels named in a sentence


@dataclass(frozen=True)
class Dropped:
    """Sites left out of a crystal: their labels and occupancies, the disorder group (0: unlabelled), and why."""

    labels: tuple[str, ...]
    occupancy: tuple[float, ...]
    group: int
    reason: str

    def to_dict(self) -> dict[str, object]:
        """As plain values for JSON."""
        shown = [round(x, 4) for x in self.occupancy]
        return {"labels": list(self.labels), "occupancy": shown, "group": self.group, "reason": self.reason}


def choose_component(
    crystal: Crystal, choice: Disorder = "major", source: str = "crystal"
) -> tuple[Crystal, list[Dropped], BoolArray]:
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
    dropped: list[Dropped] = []
    assemblies = _assemblies(crystal, source)
    if choice == "B" and assemblies and all(len(np.unique(crystal.group[members])) == 1 for members in assemblies):
        raise OptionError(f"{source}: no disordered part of the crystal has a component B", "take major or A")
    for members in assemblies:
        groups = crystal.group[members]
        kept = _kept(groups, crystal.occupancy[members], choice)
        for group in np.unique(groups[groups != kept]).tolist():
            sites = members[groups == group]
            drop[sites] = True
            contested[members] = True
            occupancy = tuple(crystal.occupancy[sites].tolist())
            reason = f"disorder group {group}; group {kept} was kept"
            dropped.append(Dropped(tuple(crystal.labels[i] for i in sites.tolist()), occupancy, group, reason))
    if not dropped:
        return crystal, [], contested
    if choice == "error":
        raise disorder_error(source, dropped)
    ordered = crystal.select(~drop, f"disorder: {describe(dropped)} left out ({_rule(choice)})")
    return ordered, dropped, contested[~drop]


def disorder_error(source: str, dropped: list[Dropped]) -> StructureError:
    """The error for a crystal whose disorder nobody decided."""
    return StructureError(
        f"{source}: the crystal is disordered: {describe(dropped)} would have to be left out",
        "choose the component: --disorder major, A or B",
    )


def describe(dropped: list[Dropped]) -> str:
    """``3 sites (S1A, C1A, C2A; occupancy 0.30)``."""
    labels = [label for entry in dropped for label in entry.labels]
    occupancy = [x for entry in dropped for x in entry.occupancy]
    names = ", ".join(labels[:_LISTED]) + (f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else "")
    low, high = min(occupancy), max(occupancy)
    span = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
    return f"{counted(len(labels), 'site')} ({names}; occupancy {span})"


def _rule(choice: Disorder) -> str:
    return "the most occupied component was kept" if choice == "major" else f"component {choice} was kept"


def _kept(groups: IntArray, occupancy: FloatArray, choice: Disorder) -> int:
    names = sorted((int(g) for g in np.unique(groups)), key=lambda g: (abs(g), -g))
    if choice in ("A", "B"):
        return names[min(choice == "B", len(names) - 1)]
    mean = {g: round(float(occupancy[groups == g].mean()), 3) for g in names}
    return max(names, key=lambda g: (mean[g], -abs(g)))


def _assemblies(crystal: Crystal, source: str) -> list[IntArray]:
    """Sites whose groups are alternatives of each other."""
    disordered = np.flatnonzero(crystal.group != 0)
    if len(disordered) == 0:
        return []
    numbers, group = crystal.numbers[disordered], crystal.group[disordered]
    labels = np.array([crystal.assembly[i] for i in disordered])
    pairs = close_sites(crystal, disordered, _NEIGHBOURHOOD, source)
    first, second = pairs.first, pairs.second
    other = group[first] != group[second]
    unlabelled = (labels[first] == "") & (labels[second] == "")
    radii = radii_sum(numbers, pairs)
    apart = pairs.distance < bond_limit(numbers[first], numbers[second])
    # two named assemblies are one if sites of different groups are on top of each other
    near = np.where(other, pairs.distance < np.where(unlabelled, radii, OVERLAP * radii), unlabelled & apart)
    chain = [np.flatnonzero(labels == name) for name in np.unique(labels) if name != ""]
    links = [(int(part[0]), int(k)) for part in chain for k in part[1:]]
    joined = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = Pairs(
        np.concatenate([first[near], joined[:, 0]]),
        np.concatenate([second[near], joined[:, 1]]),
        np.zeros((0, 3), dtype=np.int64),
        np.zeros(0),
    )
    return [disordered[part] for part in components(len(disordered), graph)]


def close_sites(crystal: Crystal, chosen: IntArray, radius: float, source: str) -> Pairs:
    """Pairs of ``chosen`` sites within ``radius`` (A) in the crystal, whichever symmetry image is the close one."""
    moved = np.einsum("mij,nj->mni", crystal.rotations, crystal.fractional[chosen]) + crystal.translations[:, None, :]
    inside = moved.reshape(-1, 3)
    inside = inside - np.floor(inside)
    inside[inside >= 1.0] = 0.0
    check_crowding(inside, crystal.cell, source)
    pairs = close_periodic_pairs(inside, crystal.cell, radius)
    first, second = pairs.first % len(chosen), pairs.second % len(chosen)
    keep = first != second  # a site and its own image are decided later
    return Pairs(first[keep], second[keep], pairs.shift[keep], pairs.distance[keep])


def radii_sum(numbers: IntArray, pairs: Pairs) -> FloatArray:
    """Sum of the covalent radii (A) of each pair ``(k,)``."""
    from ase.data import covalent_radii

    total = covalent_radii[numbers[pairs.first]] + covalent_radii[numbers[pairs.second]]
    return np.asarray(total, dtype=np.float64)
