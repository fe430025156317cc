"""Where an excitation lives: shares of groups of atoms in the hole and the electron, and band assignments.

The hole of state X has the density X X^T over occupied orbitals, the electron X^T X over virtual ones; their Löwdin
populations summed over a group of atoms are the group's shares (each adds up to 1 over all groups).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine.response.response import BandKind, Response
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.anatomy.kernel import CHALCOGENS, metal_frame
from clusterml.structure.bonds import bonds
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


def element_groups(atoms: Atoms) -> dict[str, IntArray]:
    """Partition of the atoms into named groups; every atom is in exactly one, empty groups are left out.

    * ``metal kernel``: the kernel of :mod:`clusterml.structure.anatomy.kernel` (the icosahedron of Ag25 or Ag29,
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


@dataclass(frozen=True)
class Band:
    """One extremum of a spectrum and what it is made of.

    ``kind`` absorption or cd; ``height`` in L mol-1 cm-1 (signed for CD); ``hole``, ``electron``: group -> share.
    """

    kind: str
    energy_ev: float
    height: float
    hole: dict[str, float]
    electron: dict[str, float]


def extrema(values: FloatArray, threshold: float = 0.02) -> IntArray:
    """Indices of local maxima of |values| (m,) higher than ``threshold`` of the largest, shape (k,)."""
    height = np.abs(values)
    inner = (
        (height[1:-1] >= height[:-2]) & (height[1:-1] > height[2:]) & (height[1:-1] > threshold * height.max(initial=0))
    )
    return np.flatnonzero(inner).astype(np.int64) + 1


def band_assignments(response: Response, spectrum: Spectrum, groups: Mapping[str, IntArray]) -> list[Band]:
    """Hole and electron shares of ``groups`` (name -> atom indices) for every absorption and CD band of ``spectrum``.

    Empty when the response does not know them or there are no groups.
    """
    curves: dict[BandKind, FloatArray] = {"absorption": spectrum.epsilon, "cd": spectrum.delta_epsilon}
    places = [(kind, int(at)) for kind, curve in curves.items() for at in extrema(curve)]
    if not groups or not places:
        return []
    shares = response.shares([(kind, float(spectrum.energy_ev[at])) for kind, at in places], spectrum)
    if shares is None:
        return []
    bands = []
    for (kind, at), hole, electron in zip(places, *shares, strict=True):
        of_groups = [{name: float(side[atoms].sum()) for name, atoms in groups.items()} for side in (hole, electron)]
        bands.append(Band(kind, float(spectrum.energy_ev[at]), float(curves[kind][at]), *of_groups))
    return bands
