"""What the numbers of a Molden file mean: the habits of the programs that write it, and which of them a file has.

Programs differ in the norm of primitives and contractions, in the signs of functions and in the norm of Cartesian ones.
The orbitals of a calculation are orthonormal, C^T S C = 1 with S from our integrals, under the right habit alone.
Sources: https://www.theochem.ru.nl/molden/molden_format.html (the standard); what is known of the others from the
readers of IOData (T. Verstraelen et al., J. Comput. Chem. 42, 458 (2021)) and Molden2AIM (W. Zou).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.basis import SHELL_LETTERS, Basis, Shell, contracted_shells, molden_order
from clusterml.errors import InputFileError
from clusterml.structure.formats.molden import MoldenFile, MoldenOrbitals, MoldenShell
from clusterml.typing import FloatArray

TOLERANCE = 1e-4
"""Largest deviation of C^T S C from one."""
_ROUNDED = 0.03
"""A deviation below this comes from digits that were not written."""
_SAMPLE = 64
"""Orbitals that are tried first."""

_CARTESIAN: dict[int, str] = {
    2: "xx yy zz xy xz yz",
    3: "xxx yyy zzz xyy xxy xxz xzz yzz yyz xyz",
    4: "xxxx yyyy zzzz xxxy xxxz xyyy yyyz xzzz yzzz xxyy xxzz yyzz xxyz xyyz xyzz",
}
"""The order of Cartesian functions in the format."""

Components = Literal["normalised", "scaled", "as x^l", "as xyz.."]


@dataclass(frozen=True)
class Habit:
    """What a program means by its numbers.

    program     that writes so
    raw         coefficients are of primitives without a norm, not of normalised ones
    scaled      contractions are scaled to norm 1, whatever is written
    flipped     functions of m = 3 and 4 have the other sign
    components  Cartesian functions: each normalised, or then scaled by (2 l - 1)!!^1/2, or all with the norm of x^l, or
                of the mixed product (xy, xyz)
    """

    program: str
    raw: bool = False
    scaled: bool = False
    flipped: bool = False
    components: Components = "normalised"


HABITS = (
    Habit("standard"),
    Habit("standard, contractions not normalised", scaled=True),
    Habit("ORCA", raw=True, scaled=True, flipped=True),
    Habit("Psi4 before 1.0", raw=True, scaled=True),
    Habit("ORCA, contractions normalised", scaled=True, flipped=True),
    Habit("Turbomole", components="scaled"),
    Habit("CFOUR", components="as xyz.."),
    Habit("Psi4 up to 1.3", scaled=True, components="as x^l"),
)
"""In the order in which they are tried: where several fit, they mean the same."""


@dataclass(frozen=True)
class FittedOrbitals:
    """The orbitals of a file over our ``basis``: ``coefficients`` (n_ao, n_mo), and the ``habit`` that fits."""

    basis: Basis
    coefficients: FloatArray
    habit: Habit


def fit_habit(file: MoldenFile, orbitals: MoldenOrbitals) -> FittedOrbitals:
    """The orbitals under the first habit that makes them orthonormal to :data:`TOLERANCE`.

    Raises :class:`InputFileError` for coefficients that do not belong to the basis, and where no habit fits, saying
    what seems to be the matter.
    """
    nearest: tuple[float, FloatArray] | None = None
    for fitted, overlap in _candidates(file, orbitals):
        deviation = _largest_deviation(fitted.coefficients, overlap)
        if deviation <= TOLERANCE:
            return _by_atom(fitted)
        if nearest is None or deviation < nearest[0]:
            nearest = deviation, fitted.coefficients.T @ overlap @ fitted.coefficients
    if nearest is None:
        raise InputFileError(
            f"{file.where}: the orbitals are of Cartesian functions (6D) and no sum of spherical ones (5D)",
            "compute with spherical functions: Gaussian 5D 7F, GAMESS ISPHER=1, Psi4 puream true, NWChem spherical",
        )
    raise _misfit(file, orbitals, *nearest)


def _by_atom(fitted: FittedOrbitals) -> FittedOrbitals:
    """The same with the shells in the order of the atoms, which a file need not keep."""
    basis = fitted.basis
    order = np.argsort([shell.atom for shell in basis.shells], kind="stable")
    rows = np.split(fitted.coefficients, np.cumsum(basis.shell_sizes)[:-1])
    shells = tuple(basis.shells[k] for k in order)
    return replace(fitted, basis=replace(basis, shells=shells), coefficients=np.concatenate([rows[k] for k in order]))


def _candidates(file: MoldenFile, orbitals: MoldenOrbitals) -> Iterator[tuple[FittedOrbitals, FloatArray]]:
    """The orbitals under each habit that can be theirs, with the overlap of the basis."""
    spherical = _spherical(file, orbitals.coefficients)
    bases: dict[tuple[bool, bool], tuple[Basis, FloatArray]] = {}
    for habit in HABITS:
        if all(spherical.values()) and habit.components != "normalised":
            continue
        converted = _over_spherical(file.shells, orbitals.coefficients, spherical, habit)
        if converted is None:
            continue
        key = (habit.raw, habit.scaled)
        if key not in bases:
            basis = _basis(file, habit)
            bases[key] = basis, integrals.overlap(basis)
        yield FittedOrbitals(bases[key][0], converted, habit), bases[key][1]


def _misfit(file: MoldenFile, orbitals: MoldenOrbitals, deviation: float, product: FloatArray) -> InputFileError:
    """Why no habit fits, as far as ``product`` (n_mo, n_mo), C^T S C, and its ``deviation`` from one tell."""
    norms = np.abs(np.diag(product) - 1.0)
    bad = np.flatnonzero(norms > TOLERANCE)
    problem = f"{file.where}: the orbitals are not orthonormal, by {deviation:.1g}"
    if 0 < len(bad) <= max(1, len(norms) // 10) and len(norms) > 1:
        lines = ", ".join(str(line) for line in orbitals.lines[bad[:3]])
        problem = f"{file.where}: the orbital of line {lines} is damaged: its norm is off by {norms[bad[0]]:.1g}"
        return InputFileError(problem, "copy the file again, whole; all other orbitals have norm 1")
    if deviation < _ROUNDED:
        remedy = "write more digits, 9 of each coefficient and exponent (CP2K: NDIGITS 9 in &MO_MOLDEN)"
        return InputFileError(f"{problem}: too few digits are written", remedy)
    if "cell" in file.sections:
        remedy = "compute the cluster whole in the middle of a large cell, or without periodicity (CP2K: PERIODIC NONE)"
        return InputFileError(f"{problem}: they are those of a crystal, or their norms are unknown", remedy)
    known = ", ".join(dict.fromkeys(habit.program.split(",")[0] for habit in HABITS))
    return InputFileError(
        f"{problem}, whatever norms and signs are assumed",
        f"known are those of {known}; if the program is another, let Multiwfn or molden2molden write a standard file",
    )


def _sizes(shells: Sequence[MoldenShell], spherical: dict[int, bool]) -> list[int]:
    return [2 * s.l + 1 if spherical[s.l] else (s.l + 1) * (s.l + 2) // 2 for s in shells]


def _spherical(file: MoldenFile, coefficients: FloatArray) -> dict[int, bool]:
    """Angular momentum -> are its functions spherical: as the file declares, unless the coefficients are as many as
    those of all spherical or all Cartesian functions."""
    degrees = sorted({shell.l for shell in file.shells})
    declared = {l: file.declared_spherical(l) for l in degrees}
    n_rows = len(coefficients)
    for choice in (declared, dict.fromkeys(degrees, True), {l: l < 2 for l in degrees}):
        if sum(_sizes(file.shells, choice)) == n_rows:
            return choice
    n_functions = sum(_sizes(file.shells, declared))
    if n_rows < n_functions and (coefficients == 0.0).any():  # some programs leave out zeros
        return declared
    raise InputFileError(
        f"{file.where}: the orbitals have {n_rows} coefficients, the basis {n_functions} functions",
        "the sections [GTO] and [MO] do not belong together; write the file again",
    )


def _basis(file: MoldenFile, habit: Habit) -> Basis:
    """The basis under a habit; a raw coefficient is one of a normalised primitive times its norm."""
    shells: list[Shell] = []
    for s in file.shells:
        coefficients = s.coefficients / s.exponents ** (0.5 * s.l + 0.75) if habit.raw else s.coefficients
        if habit.scaled:
            shells += contracted_shells(s.atom, s.l, s.exponents, coefficients[:, None])
        else:
            shells.append(Shell(s.atom, s.l, s.exponents, coefficients))
    return Basis(file.coords_bohr, tuple(shells))


def _over_spherical(
    shells: Sequence[MoldenShell], written: FloatArray, spherical: dict[int, bool], habit: Habit
) -> FloatArray | None:
    """Coefficients over our functions (n_ao, n_mo); None where Cartesian ones are no sum of spherical ones."""
    sizes = _sizes(shells, spherical)
    rows = np.zeros((sum(sizes), written.shape[1]))
    rows[: len(written)] = written[: len(rows)]
    parts = []
    for shell, part in zip(shells, np.split(rows, np.cumsum(sizes)[:-1]), strict=True):
        if shell.l < 2:
            parts.append(part)
        elif spherical[shell.l]:
            parts.append(_ours(part, shell.l, habit.flipped))
        else:
            to_cartesian = _cartesian_of(shell.l, habit.components)
            ours = np.linalg.pinv(to_cartesian) @ part
            if np.abs(to_cartesian @ ours - part).max() > TOLERANCE:
                return None
            parts.append(ours)
    return np.concatenate(parts)


def _ours(part: FloatArray, l: int, flipped: bool) -> FloatArray:
    """Rows of a spherical shell in libcint's order, from the format's m = 0, +1, -1, .. (2 l + 1, n_mo)."""
    order = molden_order(l)
    ours = np.empty_like(part)
    ours[order] = part
    if flipped:
        ours[np.isin(np.abs(np.arange(-l, l + 1)), (3, 4))] *= -1.0
    return ours


@lru_cache(maxsize=16)
def _cartesian_of(l: int, components: Components) -> FloatArray:
    """Our spherical functions in the format's Cartesian ones, (n_cartesian, 2 l + 1)."""
    if l not in _CARTESIAN:
        problem = f"the order of Cartesian {SHELL_LETTERS[l]} functions in a Molden file is not defined"
        raise InputFileError(problem, "compute with spherical functions")
    single = Basis(np.zeros((1, 3)), (Shell(0, l, np.ones(1), np.ones(1)),))
    _, normalised = integrals.cartesian_overlap(single)
    names = ["x" * a + "y" * b + "z" * (l - a - b) for a in range(l, -1, -1) for b in range(l - a, -1, -1)]
    order = [names.index(name) for name in _CARTESIAN[l].split()]
    norms = np.array([_squared_norm(name) for name in _CARTESIAN[l].split()])
    if components == "as x^l":
        norms = norms / norms.max()
    elif components != "as xyz..":
        norms = np.full(len(norms), norms.max() if components == "scaled" else 1.0)
    return np.asarray(normalised[order] / np.sqrt(norms)[:, None])


def _squared_norm(name: str) -> float:
    """Of x^a y^b z^c, over that of a product of different coordinates: (2a - 1)!! (2b - 1)!! (2c - 1)!!."""
    return float(np.prod([np.prod(np.arange(2 * name.count(axis) - 1, 0, -2, dtype=float)) for axis in "xyz"]))


def _largest_deviation(coefficients: FloatArray, overlap: FloatArray) -> float:
    """Of C^T S C from one; of a sample of the orbitals where these are bad already."""
    n = coefficients.shape[1]
    if n > 2 * _SAMPLE:
        sample = coefficients[:, np.linspace(0, n - 1, _SAMPLE).astype(int)]
        if (rough := _largest_deviation(sample, overlap)) > _ROUNDED:
            return rough
    return float(np.abs(coefficients.T @ overlap @ coefficients - np.eye(n)).max())
