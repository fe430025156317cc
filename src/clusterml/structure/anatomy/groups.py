"""Groups of atoms for fragment analysis: where in the cluster an excitation lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.frame import CHALCOGENS, metal_frame
from clusterml.structure.bonds import bonds
from clusterml.structure.elements import is_metal
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms


def element_groups(atoms: Atoms) -> dict[str, IntArray]:
    """Partition of the atoms into named groups; every atom is in exactly one, empty groups are left out.

    * ``metal kernel``: the kernel of :mod:`clusterml.structure.anatomy.frame` (the icosahedron of Ag25 or Ag29,
      Ag4@Ag12 of Ag70; left out where there is none);
    * ``metal shell``: all other metals;
    * ``sulfur``: S, Se and Te bonded to a metal (sulfides and thiolates alike);
    * ``ligands``: everything else.

    A molecule without metals is grouped by element symbol.
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
    sulfur = np.isin(numbers, CHALCOGENS) & touched
    kernel = np.zeros(len(numbers), dtype=np.bool_)
    kernel[metal_frame(atoms).kernel] = True
    masks = {
        "metal kernel": kernel,
        "metal shell": metal & ~kernel,
        "sulfur": sulfur,
        "ligands": ~metal & ~sulfur,
    }
    return {name: np.flatnonzero(mask).astype(np.int64) for name, mask in masks.items() if mask.any()}
