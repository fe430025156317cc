"""Bond lengths of a structure by kind, to set beside those of crystals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.bonds import bonds
from clusterml.structure.elements import is_metal

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class BondRange:
    """How many bonds of one kind there are, the shortest and the longest (A)."""

    count: int
    shortest: float
    longest: float

    def __str__(self) -> str:
        return f"{self.shortest:.2f}-{self.longest:.2f}"


def bond_ranges(atoms: Atoms) -> dict[str, BondRange]:
    """Ranges of all bonds with a metal, by elements (``"Ag-S"``; the metal first), metal-metal first, then by name.

    Bonds are those of :mod:`clusterml.structure.bonds`: Ag-Ag up to 3.45, Ag-S up to 2.90, Ag-O up to 2.51 A.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    found: dict[str, list[float]] = {}
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    for i, j, distance in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distance.tolist(), strict=True):
        if not (metal[i] or metal[j]):
            continue
        first, second = (i, j) if metal[i] else (j, i)
        found.setdefault(f"{atoms.symbols[first]}-{atoms.symbols[second]}", []).append(distance)
    order = sorted(found, key=lambda kind: (kind.split("-")[0] != kind.split("-")[1], kind))
    return {kind: BondRange(len(found[kind]), min(found[kind]), max(found[kind])) for kind in order}
