"""The asymmetric unit of a crystal and the operations that fill its cell, whatever file they were read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clusterml.errors import InputFileError, StructureError
from clusterml.structure.crystal.symmetry import Symmetry, determinants
from clusterml.typing import BoolArray, FloatArray, IntArray

MOST_SITES = 50_000
"""Largest number of atom sites a file may list."""
_OCCUPANCY_NOISE = 0.2
"""A refined occupancy may overshoot 0 or 1 by this; codes such as 11.0 are errors."""
_LARGEST = 1000.0


@dataclass(frozen=True)
class Site:
    """One listed atom: ``number`` of its element, fractional coordinates, occupancy, and its place in a disorder."""

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


def crystal_of(
    block: str,
    lattice: FloatArray,
    sites: Sequence[Site],
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

    cell = gemmi.UnitCell(*values)
    if not (np.isfinite(cell.volume) and cell.volume > 0.05 * values[0] * values[1] * values[2]):
        raise InputFileError(f"{source}: the cell angles {list(values[3:])} enclose no volume", "correct the cell")
    return np.array(cell.orth.mat.tolist(), dtype=np.float64).T


def _check(site: Site, source: str) -> None:
    if not np.all(np.isfinite(site.fractional)) or max(abs(x) for x in site.fractional) > _LARGEST:
        shown = " ".join(f"{x:g}" for x in site.fractional)
        raise InputFileError(f"{source}: coordinates of site {site.label} are {shown}", "correct the numbers")
    if not -_OCCUPANCY_NOISE <= site.occupancy <= 1.0 + _OCCUPANCY_NOISE:
        raise InputFileError(
            f"{source}: occupancy of site {site.label} is {site.occupancy:g}", "a number from 0 to 1 is needed"
        )
