"""From the asymmetric unit to every atom of the cell: symmetry images, with atoms on symmetry elements merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.crystal.crystal import Crystal
from clusterml.structure.crystal.symmetry import product_table
from clusterml.typing import BoolArray, FloatArray, IntArray

SPECIAL_POSITION = 0.3
"""Symmetry images of a site nearer than this (A) are one atom on a symmetry element."""
MOST_ATOMS = 1_000_000
"""Largest number of atoms in a filled cell."""
MOST_PAIRS = 40_000_000
"""Largest number of neighbouring pairs that is gone through: a cell of a million atoms has about a tenth."""
_NEIGHBOURHOOD = 3.4  # A
DENSEST = 0.6
"""Atoms per A^3 beyond which cell and sites cannot belong together (diamond has 0.18)."""


@dataclass(frozen=True)
class Expanded:
    """All atoms of a cell and how the symmetry moves them.

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
        """What each operation makes of ``atoms`` ``(k,)``: ``(m, k)`` atom indices."""
        return np.asarray(self.atom_of[self.table[:, self.operation[atoms]], self.site[atoms]], dtype=np.int64)


def expand(crystal: Crystal, source: str = "crystal") -> Expanded:
    """Apply the symmetry operations; sites within 0.3 A of a symmetry element are put onto it.

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
    """Raise :class:`StructureError` if so many sites ``(n, 3)`` are on top of each other that no crystal is meant."""
    boxes = np.maximum(np.linalg.norm(cell, axis=1) // _NEIGHBOURHOOD, 1).astype(np.int64)
    place = np.minimum(((fractional - np.floor(fractional)) * boxes).astype(np.int64), boxes - 1)
    _, count = np.unique((place[:, 0] * boxes[1] + place[:, 1]) * boxes[2] + place[:, 2], return_counts=True)
    if float((count.astype(np.float64) ** 2).sum()) > MOST_PAIRS:
        raise StructureError(
            f"{source}: {int(count.max())} atoms lie within {_NEIGHBOURHOOD} A of each other",
            "check cell, symmetry and duplicate sites",
        )


def same_copy(expanded: Expanded, first: IntArray, second: IntArray) -> BoolArray:
    """Whether one operation makes both atoms of each pair ``(k,)`` of the listed sites."""
    found = np.zeros(len(first), dtype=np.bool_)
    sites = expanded.site[first], expanded.site[second]
    for row in expanded.atom_of:
        found |= (row[sites[0]] == first) & (row[sites[1]] == second)
    return found


def _merge(crystal: Crystal, table: IntArray) -> tuple[FloatArray, IntArray]:
    """Sites put onto their symmetry elements ``(s, 3)``, and for every image the first equal operation ``(m, s)``."""
    n_operations = len(table)
    fractional = crystal.fractional.copy()
    leader = np.repeat(np.arange(n_operations)[:, None], len(fractional), axis=1)
    moved = np.einsum("mij,nj->mni", crystal.rotations, fractional) + crystal.translations[:, None, :]
    near = _shortest(moved - fractional[None], crystal.cell) < SPECIAL_POSITION
    for site in np.flatnonzero(near[1:].any(axis=0)):
        stabilizer = _closed(np.flatnonzero(near[:, site]), table)
        back = moved[stabilizer, site] - fractional[site]
        fractional[site] += (back - np.rint(back)).mean(axis=0)
        leader[:, site] = table[:, stabilizer].min(axis=1)
    return fractional, leader


def _closed(operations: IntArray, table: IntArray) -> IntArray:
    """The smallest group that holds the given operations."""
    while True:
        larger = np.unique(table[np.ix_(operations, operations)])
        if len(larger) == len(operations):
            return np.asarray(larger, dtype=np.int64)
        operations = larger


def _shortest(difference: FloatArray, cell: FloatArray) -> FloatArray:
    """Length (A) of fractional differences, each component taken to the nearest cell; right for short ones."""
    return np.asarray(np.linalg.norm((difference - np.rint(difference)) @ cell, axis=-1))
