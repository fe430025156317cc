"""Groups of atoms for fragment analysis: where in the cluster an excitation lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.bonds import bonds
from clusterml.structure.elements import is_metal
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms

_CHALCOGENS = (16, 34, 52)


def element_groups(atoms: Atoms) -> dict[str, IntArray]:
    """Partition of the atoms into named groups; every atom is in exactly one, empty groups are left out.

    * ``metal kernel``: metals with no bond to a ligand atom;
    * ``metal shell``: all other metals;
    * ``sulfur``: S, Se and Te bonded to a metal (sulfides and thiolates alike);
    * ``ligands``: everything else.

    A molecule without metals is grouped by element symbol.  Bonds are those of :mod:`clusterml.structure.bonds`;
    "kernel" is therefore the part no ligand touches (the central atom of Ag25 or Ag29), which is smaller than the
    icosahedron that is often given that name.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    if not metal.any():
        symbols = np.array(atoms.get_chemical_symbols())
        return {str(symbol): np.flatnonzero(symbols == symbol).astype(np.int64) for symbol in dict.fromkeys(symbols)}
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    mixed = pairs.select(metal[pairs.first] != metal[pairs.second])
    touched = np.zeros(len(numbers), dtype=np.bool_)
    touched[mixed.first] = True
    touched[mixed.second] = True
    sulfur = np.isin(numbers, _CHALCOGENS) & touched
    masks = {
        "metal kernel": metal & ~touched,
        "metal shell": metal & touched,
        "sulfur": sulfur,
        "ligands": ~metal & ~sulfur,
    }
    return {name: np.flatnonzero(mask).astype(np.int64) for name, mask in masks.items() if mask.any()}
