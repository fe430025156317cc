"""Can this structure be computed: are there atoms, finite numbers, no overlapping atoms, a single molecule, a whole
charge?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import ChargeError, SeveralMoleculesError, StructureError, check_kind
from clusterml.structure.bonds import bonds, close_pairs, components
from clusterml.structure.elements import formula, formula_table
from clusterml.typing import IntArray
from clusterml.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

CLOSEST = 0.5
"""Two atoms nearer than this (A) are an error in the file, not a bond (H2 has 0.74 A)."""


_LOOSE = 0.8  # molecules for each atom: with more next to nothing is bonded
_FEW = 6  # fewer atoms may be ions apart
MOST_ATOMS = 5000
"""Largest structure whose anatomy is looked at and whose spectrum is computed."""


def check_structure(what: object, several: str = "give them one by one") -> None:
    """Raise :class:`OptionError` unless ``what`` is one structure; ``several`` says what to do with a list of them."""
    from ase import Atoms

    reading = isinstance(what, str | Path)
    check_kind(what, Atoms, "one structure (ase.Atoms)", "read it: clusterml.read(FILE)" if reading else several)


def check_size(atoms: Atoms) -> None:
    """Raise :class:`StructureError` for more than :data:`MOST_ATOMS` atoms, before work that grows as their square."""
    if len(atoms) > MOST_ATOMS:
        raise StructureError(
            f"{_where(atoms)}: {len(atoms)} atoms, and at most {MOST_ATOMS} can be computed",
            "cut one cluster out of it",
        )


def check_geometry(atoms: Atoms) -> None:
    """Raise :class:`StructureError` if there are no atoms, a coordinate is not finite, or two atoms coincide.

    The message names the atoms (symbol and number, counted from 1) and, for coincident ones, their distance in A.
    What is no structure is an :class:`OptionError`, see :func:`check_structure`.
    """
    check_structure(atoms)
    where = _where(atoms)
    if len(atoms) == 0:
        raise StructureError(f"{where}: there are no atoms", "check that the file holds a structure")
    bad = np.flatnonzero(~np.all(np.isfinite(atoms.positions), axis=1))
    if len(bad):
        names = ", ".join(_label(atoms, int(i)) for i in bad[:3]) + (" and more" if len(bad) > 3 else "")
        raise StructureError(f"{where}: coordinates of {names} are not finite numbers", "correct the coordinates")
    if len(atoms) == 1:
        return
    pairs = close_pairs(atoms.positions, CLOSEST)
    if len(pairs.first):
        worst = int(np.argmin(pairs.distance))
        first, second = _label(atoms, int(pairs.first[worst])), _label(atoms, int(pairs.second[worst]))
        raise StructureError(
            f"{where}: atoms {first} and {second} are {pairs.distance[worst]:.3f} A apart"
            + (f" ({len(pairs.first)} such pairs)" if len(pairs.first) > 1 else ""),
            f"no two atoms may be closer than {CLOSEST} A: remove duplicates or correct the coordinates (in A)",
        )


def connected_molecules(atoms: Atoms) -> list[IntArray]:
    """The molecules in ``atoms``: one sorted index array each, in order of their first atom."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    return components(len(numbers), bonds(numbers, np.asarray(atoms.positions, dtype=np.float64)))


def check_one_molecule(atoms: Atoms) -> None:
    """Raise :class:`SeveralMoleculesError`, listing the formulas, if ``atoms`` holds more than one molecule, and
    :class:`StructureError` if its coordinates seem to be in bohr."""
    molecules = connected_molecules(atoms)
    if _in_bohr(atoms, len(molecules)):
        raise StructureError(
            f"{_where(atoms)}: hardly two of the {len(atoms)} atoms are bonded, and as lengths in bohr they would be",
            "multiply the coordinates by 0.529177: they are read in A",
        )
    if len(molecules) > 1:
        formulas = formula_table(formula(atoms.numbers[part]) for part in molecules)
        raise SeveralMoleculesError(
            f"{_where(atoms)}: {len(molecules)} separate molecules where one cluster is expected: {formulas}",
            "keep one in the file; give the lattice if atoms are wrapped into a cell; "
            "--allow-several (allow_several in Python) computes them together",
        )


def _in_bohr(atoms: Atoms, n_molecules: int) -> bool:
    """Is next to nothing bonded, and almost all if the coordinates are taken for bohr?"""
    if len(atoms) < _FEW or n_molecules < _LOOSE * len(atoms):
        return False
    shrunk = atoms.copy()
    shrunk.positions *= BOHR_ANGSTROM
    return (
        len(close_pairs(shrunk.positions, CLOSEST).first) == 0 and len(connected_molecules(shrunk)) <= n_molecules // 4
    )


def stated_charge(atoms: Atoms) -> int | None:
    """The charge in ``atoms.info["charge"]``, None where there is none; raises as :func:`whole_charge` does."""
    stated = atoms.info.get("charge")
    return None if stated is None else whole_charge(stated, f"{_where(atoms)}: the stated charge")


def whole_charge(value: object, what: str = "charge") -> int:
    """``value`` as a charge; raises :class:`ChargeError`, which calls it ``what``, if it is no whole number."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return int(value)
    raise ChargeError(f"{what} is {value!r}", "give a whole number")


def _where(atoms: Atoms) -> str:
    return str(atoms.info.get("source") or atoms.info.get("name") or "structure")


def _label(atoms: Atoms, index: int) -> str:
    return f"{atoms.symbols[index]}{index + 1}"
