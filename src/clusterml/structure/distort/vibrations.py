"""Thermal snapshots and single vibrations of the elastic network, with covalent bond lengths kept.

A straight displacement along a soft mode stretches the bonds it turns, to second order.  The correction is the smallest
mass-weighted one that restores the lengths (Ryckaert, Ciccotti and Berendsen, J. Comput. Phys. 23, 327 (1977)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from clusterml.errors import OptionError, StructureError
from clusterml.structure.distort.network import hessian
from clusterml.structure.distort.subject import Subject
from clusterml.structure.elements import atomic_number
from clusterml.typing import FloatArray, IntArray
from clusterml.units import BOLTZMANN_EV

TOLERANCE = 1e-11
"""Largest remaining error (A) of a bond length."""
_MOST_STEPS = 50
_TINY = 1e-12  # keeps rings of bonds, whose lengths depend on each other, solvable
_BATCH_NUMBERS = 20_000_000  # floats in the largest temporary array


def keep_lengths(
    parent: FloatArray, moved: FloatArray, bonds: IntArray, lengths: FloatArray, masses: FloatArray
) -> FloatArray:
    """``moved`` ``(a, n, 3)`` corrected so that ``bonds`` ``(m, 2)`` have ``lengths`` ``(a, m)`` or ``(m,)`` (A).

    The correction acts along the bonds of ``parent`` ``(n, 3)``, weighted by the inverse ``masses`` ``(n,)``; it is
    zero where nothing is to be corrected, and smooth in ``moved``.  Raises :class:`StructureError` if the displacement
    is too large for lengths to be restored.
    """
    if len(bonds) == 0:
        return moved.copy()
    lengths = np.broadcast_to(lengths, (len(moved), len(bonds)))
    step = max(1, _BATCH_NUMBERS // (len(bonds) ** 2 + 9 * len(bonds)))
    parts = [
        _restore_lengths(parent, moved[k : k + step], bonds, lengths[k : k + step], 1.0 / masses)
        for k in range(0, len(moved), step)
    ]
    return np.concatenate(parts)


def _restore_lengths(
    parent: FloatArray, points: FloatArray, bonds: IntArray, lengths: FloatArray, mobility: FloatArray
) -> FloatArray:
    """Newton's method for the multipliers of all bonds; see :func:`keep_lengths`."""
    first, second = bonds.T
    guide = parent[first] - parent[second]
    coupling = 2.0 * (_touch(first, first, second, mobility) - _touch(second, first, second, mobility))
    atoms = np.arange(len(parent))[:, None]
    spread = mobility[:, None] * ((atoms == first) * 1.0 - (atoms == second))
    for _ in range(_MOST_STEPS):
        line = points[:, first] - points[:, second]
        error = np.sum(line**2, axis=2) - lengths**2
        worst = float(np.abs(error).max())
        if worst < 2.0 * TOLERANCE * lengths.min():
            return points
        if not worst < 1e3:  # diverging, or not a number
            break
        response = coupling * np.einsum("abx,cx->abc", line, guide) + _TINY * np.eye(len(bonds))
        push = np.linalg.solve(response, -error[..., None]) * guide
        points = points + spread @ push
    raise StructureError(
        f"bond lengths cannot be kept in a displacement this large (off by {worst:.2g} A^2)", "choose a smaller amount"
    )


def _touch(atom: IntArray, first: IntArray, second: IntArray, mobility: FloatArray) -> FloatArray:
    """How a push along each bond (column) moves ``atom`` of each bond (row): ``(m, m)``."""
    return np.asarray(((atom[:, None] == first) * 1.0 - (atom[:, None] == second)) * mobility[atom][:, None])


SOFTEST = 0.25
"""Stiffness (eV/A^2) given to softer modes: at 300 K none moves by more than 0.32 A (one standard deviation)."""
_WAVENUMBER = 521.4709  # cm-1 of sqrt(1 eV / (A^2 u))


@dataclass(frozen=True)
class Modes:
    """Eigenvalues ``(m,)`` ascending and displacements ``(m, n, 3)`` of the network, without rigid motions."""

    stiffness: FloatArray
    displacement: FloatArray


@lru_cache(maxsize=4)
def stiffness_modes(subject: Subject) -> Modes:
    """Modes of the bare Hessian: stiffness in eV/A^2, orthonormal displacements."""
    return _modes(subject, np.ones(len(subject.numbers)))


@lru_cache(maxsize=4)
def vibrations(subject: Subject) -> Modes:
    """Normal modes: stiffness in eV/(A^2 u); displacements with largest atom 1, largest component positive."""
    modes = _modes(subject, masses(subject))
    if len(modes.stiffness) == 0:
        return modes
    moved = modes.displacement / np.sqrt(masses(subject))[None, :, None]
    moved = moved / np.linalg.norm(moved, axis=2).max(axis=1)[:, None, None]
    flat = moved.reshape(len(moved), -1)
    largest = flat[np.arange(len(flat)), np.argmax(np.abs(flat) > np.abs(flat).max(axis=1)[:, None] - 1e-6, axis=1)]
    return Modes(modes.stiffness, moved * np.sign(largest)[:, None, None])


def wavenumbers(subject: Subject) -> FloatArray:
    """Wavenumbers ``(m,)`` of the network's vibrations in cm-1, ascending."""
    return _WAVENUMBER * np.sqrt(vibrations(subject).stiffness)


def masses(subject: Subject) -> FloatArray:
    """Atomic masses ``(n,)`` in u."""
    return np.asarray(subject.atoms.get_masses(), dtype=np.float64)


def expected_rms(subject: Subject, kelvin: float) -> FloatArray:
    """Root mean square displacement ``(n,)`` (A) of every atom expected at a temperature."""
    modes = stiffness_modes(subject)
    variance = BOLTZMANN_EV * kelvin / np.maximum(modes.stiffness, SOFTEST)
    return np.sqrt(np.einsum("m,mnx->n", variance, modes.displacement**2))


def rms_at(subject: Subject, kelvin: float) -> float:
    """Amount (A) of thermal noise that belongs to a temperature: expected rms displacement of non-hydrogen atoms.

    Raises :class:`OptionError` for a temperature that cannot be, and for a single atom.
    """
    if not (np.isfinite(kelvin) and kelvin >= 0.0):
        raise OptionError(f"temperature is {kelvin:g} K", "give a number that is not negative")
    _check_atoms(subject)
    return float(np.sqrt(np.mean(expected_rms(subject, kelvin)[_heavy(subject)] ** 2)))


def temperature_of(subject: Subject, amount: float) -> float:
    """Temperature (K) at which the expected rms displacement of non-hydrogen atoms is ``amount`` (A)."""
    return float((amount / rms_at(subject, 1.0)) ** 2)


def noise_direction(
    subject: Subject, rng: np.random.Generator, factors: Mapping[str, float] | None = None
) -> FloatArray:
    """A random displacement ``(n, 3)`` for an amount of 1 A.

    It is drawn from the Boltzmann distribution of the network (classical; masses play no part): the square root of its
    covariance times random numbers for every coordinate, which is the same whatever vectors stand for degenerate modes.
    ``factors`` multiply the displacement of elements by name, e.g. ``{"Ag": 0.5}``.  Raises :class:`OptionError` for an
    element that is not there, and for a single atom.
    """
    modes = stiffness_modes(subject)
    deviation = np.sqrt(BOLTZMANN_EV / np.maximum(modes.stiffness, SOFTEST)) / rms_at(subject, 1.0)
    coefficients = np.einsum("mnx,nx->m", modes.displacement, rng.standard_normal(subject.positions.shape))
    direction = np.einsum("m,mnx->nx", deviation * coefficients, modes.displacement)
    for symbol, factor in (factors or {}).items():
        direction[_atoms_of(subject, symbol, factor)] *= factor
    return direction


def vibration_direction(subject: Subject, index: int) -> tuple[FloatArray, float]:
    """Displacement ``(n, 3)`` of normal mode ``index`` (from 1) for an amount of 1 A, and its wavenumber in cm-1.

    Raises :class:`OptionError` for an index that does not exist, and for a single atom.
    """
    _check_atoms(subject)
    modes = vibrations(subject)
    if not 1 <= index <= len(modes.stiffness):
        raise OptionError(f"normal mode {index} does not exist", f"give an index from 1 to {len(modes.stiffness)}")
    return modes.displacement[index - 1], float(wavenumbers(subject)[index - 1])


def displace(subject: Subject, amounts: FloatArray, direction: FloatArray, *, rigid_bonds: bool) -> FloatArray:
    """Positions ``(a, n, 3)`` displaced by ``amounts`` ``(a,)`` times ``direction`` ``(n, 3)``, bonds corrected.

    ``rigid_bonds``: covalent bonds keep the parent's lengths (to 1e-11 A); otherwise they stretch as the direction says
    to first order, without the spurious stretch of turning along a straight line.
    """
    moved = subject.positions + amounts[:, None, None] * direction
    pairs = subject.pairs.select(~subject.metal[subject.pairs.first] & ~subject.metal[subject.pairs.second])
    lengths: FloatArray = pairs.distance
    if not rigid_bonds:
        line = subject.positions[pairs.first] - subject.positions[pairs.second]
        stretch = np.sum((direction[pairs.first] - direction[pairs.second]) * line, axis=1) / pairs.distance
        lengths = pairs.distance + amounts[:, None] * stretch
    bonds = np.stack([pairs.first, pairs.second], axis=1)
    return keep_lengths(subject.positions, moved, bonds, lengths, masses(subject))


def _modes(subject: Subject, mass: FloatArray) -> Modes:
    root = np.repeat(np.sqrt(mass), 3)
    dynamic = hessian(subject) / np.outer(root, root)
    rigid = _rigid_motions(subject.positions, np.sqrt(mass))
    shifted = dynamic + rigid.T @ rigid * (10.0 * np.abs(dynamic).sum(axis=1).max())  # rigid motions to the very top
    values, vectors = np.linalg.eigh(shifted)
    keep = len(values) - len(rigid)
    return Modes(np.maximum(values[:keep], 0.0), np.ascontiguousarray(vectors[:, :keep].T).reshape(keep, len(mass), 3))


def _rigid_motions(positions: FloatArray, root: FloatArray) -> FloatArray:
    """Orthonormal mass-weighted translations and rotations ``(k, 3n)``: k = 6, or 5 for a line, 3 for an atom."""
    weight = root[:, None]
    offset = positions - (positions * weight**2).sum(axis=0) / (weight**2).sum()
    moves = [np.broadcast_to(e, positions.shape) * weight for e in np.eye(3)]
    moves += [np.cross(e, offset) * weight for e in np.eye(3)]
    flat = np.array([move.ravel() for move in moves])
    _, size, vectors = np.linalg.svd(flat, full_matrices=False)
    return np.asarray(vectors[size > 1e-6 * size.max()])


def _check_atoms(subject: Subject) -> None:
    if len(subject.numbers) == 1:
        raise OptionError("a single atom has no vibrations", "give a structure of several atoms")


def _heavy(subject: Subject) -> IntArray:
    chosen = np.flatnonzero(subject.numbers != 1)
    return np.asarray(chosen if len(chosen) else np.arange(len(subject.numbers)), dtype=np.int64)


def _atoms_of(subject: Subject, symbol: str, factor: float) -> IntArray:
    chosen = np.flatnonzero(subject.numbers == (atomic_number(symbol) or 0))
    if len(chosen) == 0:
        raise OptionError(f"a factor is given for {symbol}, which is not in the structure", "leave it out")
    if not 0.0 <= factor <= 10.0:
        raise OptionError(f"the factor of {symbol} is {factor:g}", "give a number from 0 to 10")
    return np.asarray(chosen, dtype=np.int64)
