"""A crystal: its atoms as refined, their images by symmetry, and the finite units that bonds make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clusterml.errors import InputFileError, StructureError
from clusterml.structure.bonds import AtomPairs, components
from clusterml.structure.crystal.spacegroup import Symmetry, determinants, product_table
from clusterml.typing import BoolArray, FloatArray, IntArray

MOST_SITES = 50_000
"""Largest number of atom sites a file may list."""
_OCCUPANCY_NOISE = 0.2
"""A refined occupancy may overshoot 0 or 1 by this; codes such as 11.0 are errors."""
_LARGEST = 1000.0


@dataclass(frozen=True)
class AtomSite:
    """One atom site: ``number`` of its element, fractional coordinates, occupancy, disorder group and assembly."""

    label: str
    number: int
    fractional: tuple[float, float, float]
    occupancy: float = 1.0
    group: int = 0
    assembly: str = ""


@dataclass(frozen=True)
class Crystal:
    """The asymmetric unit of a crystal and the operations that fill its cell.

    ``cell`` ``(3, 3)`` lattice vectors as rows (A); ``numbers`` ``(n,)``; ``fractional`` ``(n, 3)``; ``occupancy``
    ``(n,)`` in (0, 1]; ``group`` ``(n,)`` disorder group (0: ordered); ``assembly`` and ``labels``: n strings;
    ``rotations`` ``(m, 3, 3)`` and ``translations`` ``(m, 3)`` act on fractional coordinates, the identity first.
    ``masked``: the file says that electron density of unresolved solvent or ions was removed (SQUEEZE, solvent mask).
    ``stated``: atomic numbers and how many of each the cell holds by the file's formula and Z; empty if not stated.
    """

    block: str
    cell: FloatArray
    numbers: IntArray
    fractional: FloatArray
    occupancy: FloatArray
    group: IntArray
    assembly: tuple[str, ...]
    labels: tuple[str, ...]
    rotations: IntArray
    translations: FloatArray
    space_group: str | None
    warnings: tuple[str, ...]
    masked: bool = False
    stated: tuple[tuple[int, float], ...] = ()

    @property
    def sohncke(self) -> bool:
        """Do all operations keep the hand (so that the crystal can hold one enantiomer only)?"""
        return bool(np.all(determinants(self.rotations) == 1))

    def select(self, keep: BoolArray, *warnings: str) -> Crystal:
        """The crystal with only the sites where ``keep`` ``(n,)`` is true, and further warnings."""
        chosen = np.flatnonzero(keep).tolist()
        return replace(
            self,
            numbers=self.numbers[keep],
            fractional=self.fractional[keep],
            occupancy=self.occupancy[keep],
            group=self.group[keep],
            assembly=tuple(self.assembly[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            warnings=(*self.warnings, *warnings),
        )


def make_crystal(
    block: str,
    lattice: FloatArray,
    sites: Sequence[AtomSite],
    symmetry: Symmetry,
    source: str,
    *,
    warnings: Sequence[str] = (),
    masked: bool = False,
    stated: tuple[tuple[int, float], ...] = (),
) -> Crystal:
    """The crystal of ``sites`` in the cell with vectors ``lattice`` ``(3, 3)`` (A); sites of occupancy 0 are left out.

    Raises :class:`InputFileError` for coordinates or an occupancy that cannot be, and :class:`StructureError` for too
    many sites or none that is occupied.
    """
    if len(sites) > MOST_SITES:
        raise StructureError(f"{source}: {len(sites)} atom sites", f"at most {MOST_SITES} can be read")
    for site in sites:
        _check(site, source)
    crystal = Crystal(
        block,
        lattice,
        np.array([site.number for site in sites], dtype=np.int64),
        np.array([site.fractional for site in sites], dtype=np.float64).reshape(-1, 3),
        np.array([min(site.occupancy, 1.0) for site in sites], dtype=np.float64),
        np.array([site.group for site in sites], dtype=np.int64),
        tuple(site.assembly for site in sites),
        tuple(site.label for site in sites),
        symmetry.rotations,
        symmetry.translations,
        symmetry.name,
        (*warnings, *symmetry.notes),
        masked,
        stated,
    )
    empty = crystal.occupancy <= 0.0
    if empty.all():
        raise StructureError(f"{source}: every atom site has occupancy 0", "correct the occupancies")
    return crystal.select(~empty, f"{int(empty.sum())} sites of occupancy 0 were left out") if empty.any() else crystal


def unit_cell(values: Sequence[float], source: str) -> FloatArray:
    """Lattice vectors ``(3, 3)`` as rows (A) of lengths (A) and angles (degrees).

    The first vector lies along x, the second in the xy plane.  Raises :class:`InputFileError` if they enclose nothing.
    """
    import gemmi

    if not all(np.isfinite(length) and length > 0.0 for length in values[:3]):
        raise InputFileError(f"{source}: the cell lengths {list(values[:3])} are not all positive", "correct the cell")
    cell = gemmi.UnitCell(*values)
    if not (np.isfinite(cell.volume) and cell.volume > 0.05 * values[0] * values[1] * values[2]):
        raise InputFileError(f"{source}: the cell angles {list(values[3:])} enclose no volume", "correct the cell")
    return np.array(cell.orth.mat.tolist(), dtype=np.float64).T


def _check(site: AtomSite, source: str) -> None:
    if not np.all(np.isfinite(site.fractional)) or max(abs(x) for x in site.fractional) > _LARGEST:
        shown = " ".join(f"{x:g}" for x in site.fractional)
        raise InputFileError(f"{source}: coordinates of site {site.label} are {shown}", "correct the numbers")
    if not -_OCCUPANCY_NOISE <= site.occupancy <= 1.0 + _OCCUPANCY_NOISE:
        raise InputFileError(
            f"{source}: occupancy of site {site.label} is {site.occupancy:g}", "a number from 0 to 1 is needed"
        )


SPECIAL_POSITION = 0.3
"""Symmetry images of a site nearer to each other than this (A) are one atom on a symmetry element."""
MOST_ATOMS = 1_000_000
"""Largest number of atoms in a filled cell."""
MOST_PAIRS = 40_000_000
"""Largest number of neighbouring pairs that is gone through: a cell of a million atoms has about a tenth."""
_NEIGHBOURHOOD = 3.4  # A
DENSEST = 0.6
"""Atoms per A^3 beyond which cell and sites cannot belong together (diamond has 0.18)."""


@dataclass(frozen=True)
class Expanded:
    """All atoms of a cell, and how the symmetry maps them onto each other.

    ``numbers`` ``(n,)``, ``fractional`` ``(n, 3)`` in [0, 1), ``occupancy`` ``(n,)``; atom i is the image of site
    ``site[i]`` under operation ``operation[i]``; ``atom_of`` ``(m, s)`` is the atom that operation h makes of a site;
    ``table`` ``(m, m)`` multiplies operations (see :func:`product_table`).
    """

    numbers: IntArray
    fractional: FloatArray
    occupancy: FloatArray
    operation: IntArray
    site: IntArray
    atom_of: IntArray
    table: IntArray

    def images(self, atoms: IntArray) -> IntArray:
        """The images of ``atoms`` ``(k,)`` under each operation: ``(m, k)`` atom indices."""
        return np.asarray(self.atom_of[self.table[:, self.operation[atoms]], self.site[atoms]], dtype=np.int64)


def expand(crystal: Crystal, source: str = "crystal") -> Expanded:
    """Apply the symmetry operations; sites whose images lie within 0.3 A of each other become one.

    Raises :class:`StructureError` if the cell would hold more than a million atoms or more than fit into it.
    """
    n_operations, n_sites = len(crystal.rotations), len(crystal.numbers)
    if n_sites * n_operations > MOST_ATOMS:
        raise StructureError(
            f"{source}: the filled cell would hold {n_sites * n_operations} atoms", f"at most {MOST_ATOMS} can be read"
        )
    table = product_table(crystal.rotations, crystal.translations)
    if table is None:
        raise StructureError(f"{source}: the symmetry operations form no group", "correct the list of operations")
    fractional, leader = _merge(crystal, table)
    images = np.einsum("mij,nj->mni", crystal.rotations, fractional) + crystal.translations[:, None, :]
    images -= np.floor(images)
    images[images >= 1.0] = 0.0
    distinct = leader == np.arange(n_operations)[:, None]
    operation, site = (np.asarray(x, dtype=np.int64) for x in np.nonzero(distinct))
    volume = abs(float(np.linalg.det(crystal.cell)))
    if len(site) > DENSEST * volume:
        raise StructureError(
            f"{source}: {len(site)} atoms in a cell of {volume:.0f} A^3", "check cell, symmetry and duplicate sites"
        )
    check_crowding(images[operation, site], crystal.cell, source)
    index = np.full(leader.shape, -1, dtype=np.int64)
    index[operation, site] = np.arange(len(site))
    atom_of = index[leader, np.arange(n_sites)[None, :]]
    return Expanded(
        crystal.numbers[site],
        images[operation, site],
        crystal.occupancy[site],
        operation,
        site,
        atom_of,
        table,
    )


def check_crowding(fractional: FloatArray, cell: FloatArray, source: str) -> None:
    """Raise :class:`StructureError` if the sites ``(n, 3)`` lie so close together that this cannot be a crystal."""
    boxes = np.maximum(np.linalg.norm(cell, axis=1) // _NEIGHBOURHOOD, 1).astype(np.int64)
    place = np.minimum(((fractional - np.floor(fractional)) * boxes).astype(np.int64), boxes - 1)
    _, count = np.unique((place[:, 0] * boxes[1] + place[:, 1]) * boxes[2] + place[:, 2], return_counts=True)
    if float((count.astype(np.float64) ** 2).sum()) > MOST_PAIRS:
        raise StructureError(
            f"{source}: {int(count.max())} atoms lie within {_NEIGHBOURHOOD} A of each other",
            "check cell, symmetry and duplicate sites",
        )


def share_operation(expanded: Expanded, first: IntArray, second: IntArray) -> BoolArray:
    """Whether a single operation generates both atoms of each pair ``(k,)`` from the listed sites."""
    shared = np.zeros(len(first), dtype=np.bool_)
    pair_sites = expanded.site[first], expanded.site[second]
    for row in expanded.atom_of:
        shared |= (row[pair_sites[0]] == first) & (row[pair_sites[1]] == second)
    return shared


def _merge(crystal: Crystal, table: IntArray) -> tuple[FloatArray, IntArray]:
    """Sites put onto their symmetry elements ``(s, 3)``, and for every image the first equal operation ``(m, s)``."""
    n_operations = len(table)
    fractional = crystal.fractional.copy()
    leader = np.repeat(np.arange(n_operations)[:, None], len(fractional), axis=1)
    moved = np.einsum("mij,nj->mni", crystal.rotations, fractional) + crystal.translations[:, None, :]
    near = _periodic_distances(moved - fractional[None], crystal.cell) < SPECIAL_POSITION
    for site in np.flatnonzero(near[1:].any(axis=0)):
        stabilizer = _close(np.flatnonzero(near[:, site]), table)
        back = moved[stabilizer, site] - fractional[site]
        fractional[site] += (back - np.rint(back)).mean(axis=0)
        leader[:, site] = table[:, stabilizer].min(axis=1)
    return fractional, leader


def _close(operations: IntArray, table: IntArray) -> IntArray:
    """The smallest group that holds the given operations."""
    while True:
        larger = np.unique(table[np.ix_(operations, operations)])
        if len(larger) == len(operations):
            return np.asarray(larger, dtype=np.int64)
        operations = larger


def _periodic_distances(difference: FloatArray, cell: FloatArray) -> FloatArray:
    """Length (A) of fractional differences by the nearest-image convention, right for short ones."""
    return np.asarray(np.linalg.norm((difference - np.rint(difference)) @ cell, axis=-1))


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

    def contested(self, against: AtomPairs) -> BoolArray:
        """Which atoms ``(n,)`` are in a unit that another one excludes; ``against``: exclusive pairs of atoms."""
        rival = np.zeros(self.n_atoms, dtype=np.bool_)
        rival[against.first] = True
        rival[against.second] = True
        contested = np.zeros(self.n_atoms, dtype=np.bool_)
        for atoms in self.atoms:
            contested[atoms] |= bool(rival[atoms].any())
        return contested

    def choose(self, part: IntArray, against: AtomPairs) -> IntArray:
        """The atoms of ``part`` that stay, given the exclusive pairs ``against`` among them."""
        members = set(part.tolist())
        candidates = [k for k, atoms in enumerate(self.atoms) if int(atoms[0]) in members]
        rivals = self._rivals(candidates, against)
        order = sorted(candidates, key=lambda k: (-self.occupancy[k], self.operation[k], self.site[k]))
        excluded: set[int] = set()
        chosen: list[IntArray] = []
        for k in order:
            if k not in excluded:
                chosen.append(self.atoms[k])
                excluded |= rivals[k]
        return np.unique(np.concatenate(chosen))

    def _rivals(self, candidates: list[int], against: AtomPairs) -> dict[int, set[int]]:
        holders: dict[int, list[int]] = {}
        for k in candidates:
            for atom in self.atoms[k].tolist():
                holders.setdefault(atom, []).append(k)
        rivals: dict[int, set[int]] = {k: set() for k in candidates}
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


def find_units(
    crystal: Crystal, expanded: Expanded, bonded: AtomPairs, against: AtomPairs, concerned: BoolArray
) -> Units:
    """The units among the ``concerned`` atoms ``(n,)``, given bonds and exclusive pairs of the filled cell.

    A unit is what one symmetry operation makes of a fragment: listed sites of one disorder group (without groups: of
    one occupancy) that are partly occupied and bonded.  Every other atom is a unit of its own.
    """
    fragment = _number_fragments(crystal, expanded, bonded, against)
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


def _number_fragments(crystal: Crystal, expanded: Expanded, bonded: AtomPairs, against: AtomPairs) -> IntArray:
    """Number of the fragment ``(s,)`` that each site belongs to."""
    group, occupancy = crystal.group, np.round(crystal.occupancy, 3)
    partial = crystal.occupancy < PARTIAL
    first, second = expanded.site[bonded.first], expanded.site[bonded.second]
    alike = partial[first] & partial[second] & (group[first] == group[second])
    alike &= (group[first] != 0) | (occupancy[first] == occupancy[second])
    alike[alike] = share_operation(expanded, bonded.first[alike], bonded.second[alike])
    links = AtomPairs(first[alike], second[alike], bonded.shift[alike], bonded.distance[alike])
    fragment = np.empty(len(group), dtype=np.int64)
    for k, part in enumerate(components(len(group), links)):
        fragment[part] = k
    # where atoms of one copy exclude each other, nothing says what belongs together: each site stands for itself
    first, second = expanded.site[against.first], expanded.site[against.second]
    inside = fragment[first] == fragment[second]
    inside[inside] = share_operation(expanded, against.first[inside], against.second[inside])
    torn = np.isin(fragment, fragment[first[inside]])
    fragment[torn] = len(group) + np.flatnonzero(torn)
    return fragment
