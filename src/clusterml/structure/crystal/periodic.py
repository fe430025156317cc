"""Periodic structures as crystals without symmetry, so that their molecules can be made whole over the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.crystal.crystal import Crystal, Site, crystal_of
from clusterml.structure.crystal.symmetry import identity
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

_VACUUM = 20.0
"""How far (A) copies are apart along a direction in which the structure does not repeat."""


def periodic_crystal(atoms: Atoms, source: str) -> Crystal:
    """The crystal of ``atoms``, which repeat along the vectors of their cell that ``pbc`` names.

    Along the others they are set apart.  Raises :class:`StructureError` for vectors that enclose nothing, and
    coordinates that are not finite.
    """
    positions = np.asarray(atoms.positions, dtype=np.float64)
    if not np.all(np.isfinite(positions)):
        raise StructureError(f"{source}: coordinates are not finite numbers", "correct the coordinates")
    lattice, origin = _filled(np.asarray(atoms.cell.array, dtype=np.float64), np.asarray(atoms.pbc), positions, source)
    fractional = (positions - origin) @ np.linalg.inv(lattice)
    symbols = atoms.get_chemical_symbols()
    sites = [
        Site(f"{symbol}{k}", int(number), (float(x), float(y), float(z)))
        for k, (symbol, number, (x, y, z)) in enumerate(zip(symbols, atoms.numbers, fractional, strict=True), start=1)
    ]
    warnings = atoms.info.get("provenance", {}).get("warnings", ())
    return crystal_of("", lattice, sites, identity(), source, warnings=warnings)


def _filled(
    lattice: FloatArray, periodic: FloatArray, positions: FloatArray, source: str
) -> tuple[FloatArray, FloatArray]:
    """Three vectors (rows, A), those of directions without repetition at right angles and long; and their origin."""
    problem = StructureError(
        f"{source}: the lattice vectors {lattice.round(3).tolist()} enclose no cell",
        "correct the lattice (A), or leave it out if the structure is a molecule",
    )
    if not np.all(np.isfinite(lattice)):
        raise problem
    lattice = lattice.copy()
    own = [k for k in range(3) if periodic[k]]
    _, _, normal = np.linalg.svd(lattice[own])
    free = [k for k in range(3) if not periodic[k]]
    origin = np.zeros(3)
    for k, direction in zip(free, normal[len(own) :], strict=True):
        along = positions @ direction
        lattice[k] = direction * (np.ptp(along) + _VACUUM)
        origin += direction * (along.min() - _VACUUM / 2)
    lengths = np.linalg.norm(lattice, axis=1)
    volume = abs(float(np.linalg.det(lattice)))
    if lengths.min() < 1.0 or volume < 0.05 * np.prod(lengths):
        raise problem
    return lattice, origin
