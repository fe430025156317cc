"""Is a built or changed structure sane: no atoms too close, and the ligands that were meant, each bound and whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.bonds import Pairs, bonds, close_pairs, neighbours
from clusterml.structure.build.conformers import donor_symbols
from clusterml.structure.build.packing import radii
from clusterml.structure.elements import is_metal
from clusterml.typing import BoolArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import LigandEntry

CLOSEST = 0.70
"""Closest sane contact of two atoms more than two bonds apart, as a fraction of their van der Waals radii's sum: H...H
1.68, C...H 2.03, C...C 2.38, Ag...H 2.04, Ag...C 2.39 A.  In crystals of such clusters contacts go down to about
0.75."""
_HYDROGEN_BOND = 0.75  # a hydrogen bond may be shorter by this factor: H...O 1.43 A
_ACCEPTORS = (7, 8, 9, 16, 17)
_RANGE = 4.0


@dataclass(frozen=True)
class Contact:
    """Two atoms (indices) not bonded to each other or to a common atom, their distance in A, and that distance divided
    by the sum of their van der Waals radii (by 0.75 of it for a hydrogen bond)."""

    first: int
    second: int
    distance: float
    ratio: float


def closest_contact(atoms: Atoms) -> Contact | None:
    """The tightest non-bonded contact within 4 A, metal-metal pairs left out; None if there is none."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions, dtype=np.float64)
    if len(numbers) < 2:
        return None
    near = close_pairs(positions, _RANGE)
    metal = is_metal(numbers)
    bonded = [set(row) for row in neighbours(len(numbers), bonds(numbers, positions))]
    size = radii(numbers)
    keep = ~(metal[near.first] & metal[near.second])
    best: Contact | None = None
    ratios = near.distance / (size[near.first] + size[near.second])
    ratios[_hydrogen_bonds(numbers, bonded, near)] /= _HYDROGEN_BOND
    for k in np.argsort(ratios).tolist():
        i, j = int(near.first[k]), int(near.second[k])
        if not keep[k] or j in bonded[i] or bonded[i] & bonded[j]:
            continue
        best = Contact(i, j, float(near.distance[k]), float(ratios[k]))
        break
    return best


def _hydrogen_bonds(numbers: IntArray, bonded: list[set[int]], near: Pairs) -> BoolArray:
    """Which close pairs are a hydrogen on N or O and an acceptor."""
    acidic = np.array(
        [z == 1 and any(numbers[j] in (7, 8) for j in row) for z, row in zip(numbers, bonded, strict=True)]
    )
    acceptor = np.isin(numbers, _ACCEPTORS)
    return (acidic[near.first] & acceptor[near.second]) | (acidic[near.second] & acceptor[near.first])


def check_contacts(atoms: Atoms, what: str = "structure", closest: float = CLOSEST) -> None:
    """Raise :class:`~clusterml.errors.StructureError`, naming the atoms, if a contact is tighter than ``closest``."""
    found = closest_contact(atoms)
    if found is not None and found.ratio < closest:
        names = " and ".join(f"{atoms.symbols[i]}{i + 1}" for i in (found.first, found.second))
        raise StructureError(
            f"{what}: {names} are {found.distance:.2f} A apart ({found.ratio:.2f} of the van der Waals distance)",
            "the ligands do not fit: choose smaller ones, fewer of them, or another seed",
        )


def check_ligands(
    atoms: Atoms, expected: Counter[LigandEntry] | dict[LigandEntry, int], what: str = "structure"
) -> None:
    """Raise :class:`~clusterml.errors.StructureError` unless the bonding graph has exactly the expected ligands.

    Each must have the formula and charge of its library entry and be bonded to a metal by atoms of the elements that
    are its donors; nothing else may be in the structure but metals.
    """
    wanted: Counter[tuple[str, int]] = Counter()
    for entry, count in expected.items():
        wanted[entry.formula, entry.charge] += count
    found = Counter((ligand.formula, ligand.charge) for ligand in find_ligands(atoms))
    if found != wanted:
        missing, extra = wanted - found, found - wanted
        raise StructureError(
            f"{what}: the bonds do not give the ligands that were placed: missing {_shown(missing)}, found instead "
            f"{_shown(extra)}",
            "the ligands do not fit: choose smaller ones, fewer of them, or another seed",
        )
    _check_donors(atoms, {entry.formula: entry for entry in expected}, what)


def _check_donors(atoms: Atoms, entries: dict[str, LigandEntry], what: str) -> None:
    for ligand in find_ligands(atoms):
        allowed = set(donor_symbols(entries[ligand.formula]))
        elements = {str(atoms.symbols[i]) for i in ligand.donors}
        if not elements or not elements & allowed:
            atom = int(ligand.atoms[0])
            state = "binds no metal" if not elements else "binds with the wrong atom"
            raise StructureError(
                f"{what}: {ligand.formula} (atom {atoms.symbols[atom]}{atom + 1} and others) {state}",
                "check the site of this ligand",
            )


def _shown(found: Counter[tuple[str, int]]) -> str:
    return ", ".join(f"{n} x {name} (charge {-q:+d})" for (name, q), n in sorted(found.items())) or "none"


def donors_of(atoms: Atoms) -> IntArray:
    """Indices of all atoms of ligands that are bonded to a metal, sorted."""
    found = [ligand.donors for ligand in find_ligands(atoms)]
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
