"""Linear regression of the terms of ``gfn1-pbe`` on the Kohn-Sham matrix of PBE in the basis of GFN1.

Orbitals psi_k of PBE, projected on the basis of GFN1 and made orthonormal, should be those of the new Fock matrix,
  <psi_j| F + sum_t c_t T_t |psi_k> = (e_k + offset) delta_jk,
with one offset for each molecule.  The left side is linear in c, so that the weighted squares over j and k have one
minimum.  An error of an element turns two orbitals by itself over their distance in energy: the weight falls with it.
Orbitals near the gap count most, and so do those that the basis has.  Directions that no orbital below 7 eV has are
joined with the eigenvectors of F within them, and may couple little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from clusterml.engine import integrals
from clusterml.engine.basis import Basis
from clusterml.engine.linalg import overlap_powers
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.engine.orbitals.gfn1 import Gfn1Hamiltonian, gfn1_hamiltonian
from clusterml.engine.orbitals.gfn1_pbe import refit, terms
from clusterml.engine.orbitals.newton import SelfConsistent, self_consistent
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.typing import FloatArray, IntArray
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV
from refit.reference import Reference

_KT = 300.0 * BOLTZMANN_HARTREE
_REACH_EV = 7.0
"""Virtual orbitals up to so far above the HOMO span the space."""
_FRONTIER_EV = (-7.0, 4.5)
"""Orbitals from so far below the HOMO to so far above the LUMO are fitted ..."""
_HALF_EV = 2.5
"""... with half the weight so far from the gap."""
_MIXING_EV = 0.7
"""Distance of two levels beyond which their coupling counts less."""
_LEVELS = 2.0
"""Weight of an error of a level beside that of a coupling of degenerate levels."""
_OUTSIDE = 1.0
"""Weight of couplings with directions that no orbital has."""
_INORGANIC = ("Ag", "S", "P")
_FIRM = 10.0
"""Ridge of terms that are of none of these elements, beside that of others."""


def ground_state(atoms: Atoms, charge: int) -> tuple[Gfn1Hamiltonian, SelfConsistent]:
    """That of GFN1 as published."""
    parts = gfn1_hamiltonian(atoms.get_chemical_symbols(), atoms.positions / BOHR_ANGSTROM)
    return parts, self_consistent(parts, charge, _KT, 2e-5, 100)


def refitted(atoms: Atoms, charge: int, coefficients: Mapping[str, float]) -> Orbitals:
    """Orbitals of ``gfn1-pbe`` with other ``coefficients``; none: those of GFN1."""
    return gfn_orbitals(atoms, charge, correction=refit(coefficients) if coefficients else None)


@dataclass(frozen=True)
class Projection:
    """Orbitals of PBE over the basis of GFN1: orthonormal ``coefficients`` (n_ao, n), ``energies_ev`` (n,) relative to
    the HOMO, the share of each that the basis has, ``norms`` (n,), and how many are occupied."""

    coefficients: FloatArray
    energies_ev: FloatArray
    norms: FloatArray
    n_occupied: int

    @classmethod
    def of(cls, orbitals: Orbitals, basis: Basis) -> Projection:
        """Project; occupied orbitals are made orthonormal first, and virtual ones beside them (Löwdin)."""
        theirs = orbitals.basis.translated((basis.coords_bohr - orbitals.basis.coords_bohr).mean(axis=0))
        moved = tuple(replace(shell, atom=shell.atom + basis.n_atoms) for shell in theirs.shells)
        both = Basis(np.vstack([basis.coords_bohr, theirs.coords_bohr]), (*basis.shells, *moved))
        overlap, n_ao, n = integrals.overlap(both), basis.n_ao, orbitals.n_occupied
        _, inverse = (x.numpy() for x in overlap_powers(torch.as_tensor(overlap[:n_ao, :n_ao])))
        loewdin = inverse @ overlap[:n_ao, n_ao:] @ orbitals.coefficients
        energies = orbitals.energies_ev - orbitals.energies_ev[n - 1]
        chosen = min(int((energies < _REACH_EV).sum()), n_ao)
        occupied = _orthonormal(loewdin[:, :n])
        virtual = loewdin[:, n:chosen] - occupied @ (occupied.T @ loewdin[:, n:chosen])
        columns = np.hstack([occupied, _orthonormal(virtual)])
        norms = (loewdin[:, :chosen] ** 2).sum(axis=0)
        return cls(inverse @ columns, energies[:chosen], norms, n)


def _orthonormal(columns: FloatArray) -> FloatArray:
    """The nearest orthonormal columns."""
    u, _, vt = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(u @ vt)


@dataclass(frozen=True)
class Equations:
    """Sums of weighted squares of one record: c.normal.c + 2 c.mixed + constant for coefficients c of ``names``."""

    name: str
    family: str
    names: tuple[str, ...]
    normal: FloatArray
    mixed: FloatArray
    constant: float

    @classmethod
    def of(cls, reference: Reference) -> Equations:
        """Those of a record; one ground state, and a product for each term."""
        parts, state = ground_state(reference.atoms, reference.record.charge)
        projection = Projection.of(reference.orbitals, parts.basis)
        target = _Target.of(projection, parts, state)
        symbols = tuple(reference.atoms.get_chemical_symbols())
        kinetic = integrals.kinetic(parts.basis)
        names, rows = [], []
        for term in terms(parts, symbols, state.shell_charges):
            names.append(term.name)
            rows.append(target.residual(target.element(term.kind, term.values, parts, kinetic)))
        matrix, base = np.array(rows), target.base
        normal = (matrix @ matrix.T).astype(np.float64)
        mixed = (matrix @ base).astype(np.float64)
        return cls(reference.name, reference.family, tuple(names), normal, mixed, float(base @ base))

    def misfit(self, coefficients: Mapping[str, float]) -> float:
        """Root mean square of the weighted residuals in eV."""
        c = np.array([coefficients.get(name, 0.0) for name in self.names])
        return float(np.sqrt(max(0.0, self.constant + 2.0 * c @ self.mixed + c @ self.normal @ c)))

    def save(self, path: Path) -> None:
        """Write to ``path``."""
        np.savez(
            path, family=self.family, names=self.names, normal=self.normal, mixed=self.mixed, constant=self.constant
        )

    @classmethod
    def load(cls, path: Path) -> Equations:
        """Read what :meth:`save` wrote."""
        with np.load(path) as data:
            names = tuple(str(name) for name in data["names"])
            normal, mixed, constant = data["normal"], data["mixed"], float(data["constant"])
            return cls(path.stem, str(data["family"]), names, normal, mixed, constant)


@dataclass(frozen=True)
class _Target:
    """``space`` (n_ao, m): all directions, of which ``chosen`` (k,) are fitted; weights of their pairs (k, m), and
    ``base``: the residual of GFN1 as published."""

    space: FloatArray
    chosen: IntArray
    weights: FloatArray
    levels: FloatArray
    base: FloatArray

    @classmethod
    def of(cls, projection: Projection, parts: Gfn1Hamiltonian, state: SelfConsistent) -> _Target:
        c, e, n = projection.coefficients, projection.energies_ev, projection.n_occupied
        dual = parts.overlap @ state.coefficients
        fock = (dual * (state.energies * HARTREE_EV)) @ dual.T
        inverse = state.coefficients @ state.loewdin.T
        outside, their_levels = _outside(c, parts.overlap, fock, inverse)
        homo = float(c[:, n - 1] @ fock @ c[:, n - 1])
        space, energies = np.hstack([c, outside]), np.concatenate([e, their_levels - homo])
        low, high = _FRONTIER_EV
        chosen = np.flatnonzero((e > low) & (e < e[n] + high))
        near = e[chosen]
        depth = np.where(near <= 0.0, -near, near - e[n])
        share = np.sqrt(projection.norms[chosen] / np.sqrt(1.0 + (depth / _HALF_EV) ** 4))
        weights = _pair_weights(energies, chosen, share, len(e))
        target = cls(space, chosen, weights, share**2 / (share**2).sum(), np.zeros(0))
        elements = space.T @ fock @ space[:, chosen]
        elements[chosen, np.arange(len(chosen))] -= near
        return replace(target, base=target.residual(elements))

    def element(self, kind: str, values: FloatArray, parts: Gfn1Hamiltonian, kinetic: FloatArray) -> FloatArray:
        """Matrix elements of a term per eV, (m, k)."""
        right, shell = self.space[:, self.chosen], parts.shell_of_ao
        if kind == "onsite":
            return np.asarray(self.space.T @ (values[shell][:, None] * right))
        if kind == "projector":
            return np.asarray((parts.overlap @ self.space).T @ (values[shell][:, None] * (parts.overlap @ right)))
        matrix = parts.overlap if kind == "overlap" else kinetic
        return np.asarray(self.space.T @ ((matrix * values[np.ix_(shell, shell)]) @ right))

    def residual(self, elements: FloatArray) -> FloatArray:
        """Weighted elements without the mean of the levels, in single precision."""
        moved, places = elements.copy(), (self.chosen, np.arange(len(self.chosen)))
        moved[places] -= float(self.levels @ moved[places])
        return np.asarray((moved.T * self.weights).ravel(), dtype=np.float32)


def _outside(
    c: FloatArray, overlap: FloatArray, fock: FloatArray, inverse: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Orthonormal directions without share in ``c``, eigenvectors of ``fock`` among them, with their levels."""
    loewdin = np.linalg.solve(inverse, c)
    rest, vectors = np.linalg.eigh(np.eye(len(c)) - loewdin @ loewdin.T)
    free = inverse @ vectors[:, rest > 0.5]
    levels, turn = np.linalg.eigh(free.T @ fock @ free)
    return free @ turn, levels


def _pair_weights(energies: FloatArray, chosen: IntArray, share: FloatArray, n_orbitals: int) -> FloatArray:
    """Weights (k, m) of pairs of fitted orbitals with all directions; pairs of two fitted ones occur twice."""
    distance = np.abs(energies[chosen][:, None] - energies[None, :])
    weights = share[:, None] / np.sqrt(1.0 + (distance / _MIXING_EV) ** 2)
    inside = np.zeros(len(energies))
    inside[chosen] = share
    weights *= np.where(np.isin(np.arange(len(energies)), chosen), inside, _OUTSIDE * np.sqrt(2.0))
    weights[np.arange(len(chosen)), chosen] *= np.sqrt(_LEVELS)
    return np.asarray(weights / np.sqrt((share**2).sum()))


def _is_organic(term: str) -> bool:
    elements = {word.split(".")[0] for word in term.split() if "." in word}
    return bool(elements) and elements.isdisjoint(_INORGANIC)


def solve(
    equations: Sequence[Equations], ridge: float, group: Mapping[str, str], weights: Mapping[str, float]
) -> dict[str, float]:
    """Coefficients of least squares, each group of records (by family) with its weight, and ``ridge`` c.c added.

    Terms of carbon, hydrogen, oxygen and fluorine alone are held more firmly: ligands differ more than cores.
    """
    names = sorted({name for e in equations for name in e.names})
    place = {name: k for k, name in enumerate(names)}
    firmness = [_FIRM if _is_organic(name) else 1.0 for name in names]
    normal, mixed = ridge * np.diag(firmness), np.zeros(len(names))
    groups = [group.get(e.family, e.family) for e in equations]
    for e, which in zip(equations, groups, strict=True):
        index = [place[name] for name in e.names]
        weight = weights.get(which, 1.0) / groups.count(which)
        normal[np.ix_(index, index)] += weight * e.normal
        mixed[index] += weight * e.mixed
    return dict(zip(names, (-np.linalg.solve(normal, mixed)).tolist(), strict=True))
