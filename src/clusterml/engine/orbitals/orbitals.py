"""Molecular orbitals of a ground state: what excited states need from any source, and whether they are fit for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.basis import Basis
from clusterml.engine.kernels import Kernels
from clusterml.errors import ElectronicStructureError, NoGapError
from clusterml.structure.charge import SMALL_GAP_EV
from clusterml.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Orbitals:
    """Closed-shell orbitals over the spherical functions of ``basis``.

    ``energies_ev`` (n_mo,) ascending within occupied and within virtual orbitals, ``coefficients`` (n_ao, n_mo),
    ``n_occupied`` doubly occupied orbitals first.  ``raw_gap_ev`` is the HOMO-LUMO gap before any level shift;
    ``virtual_shift_ev`` is the shift contained in the virtual energies. ``charges`` (n_atoms,) are the atomic charges
    the Hamiltonian was built with, ``shell_charges`` (n_shells,) those of shells.  ``kernels``: how excitations of
    these orbitals interact.  ``core_electrons`` (n_atoms,): those that are in no orbital, None where that is not known.
    ``loewdin`` (n_ao, n_mo): the coefficients S^(1/2) C over Löwdin's functions, of a source that has them anyway.
    ``n_cycles``: eigenproblems until charges were those of their field.
    """

    symbols: tuple[str, ...]
    basis: Basis
    energies_ev: FloatArray
    coefficients: FloatArray
    n_occupied: int
    method: str
    kernels: Kernels
    virtual_shift_ev: float = 0.0
    charges: FloatArray | None = None
    shell_charges: FloatArray | None = None
    core_electrons: IntArray | None = None
    loewdin: FloatArray | None = None
    n_cycles: int | None = None
    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def n_virtual(self) -> int:
        """Number of virtual orbitals kept."""
        return len(self.energies_ev) - self.n_occupied

    @property
    def occupations(self) -> FloatArray:
        """Occupation numbers, 2 or 0, shape (n_mo,)."""
        return np.where(np.arange(len(self.energies_ev)) < self.n_occupied, 2.0, 0.0)

    @property
    def gap_ev(self) -> float:
        """HOMO-LUMO gap as the excited states see it (with the level shift); infinite without virtual orbitals."""
        if self.n_virtual == 0 or self.n_occupied == 0:
            return float("inf")
        return float(self.energies_ev[self.n_occupied] - self.energies_ev[self.n_occupied - 1])

    @property
    def raw_gap_ev(self) -> float:
        """HOMO-LUMO gap of the Hamiltonian itself, before the level shift."""
        return self.gap_ev - self.virtual_shift_ev

    def populations(self, orbital: int, overlap: FloatArray) -> FloatArray:
        """Mulliken share of every atom in one orbital, shape (n_atoms,), sum 1; ``overlap`` (n_ao, n_ao)."""
        c = self.coefficients[:, orbital]
        return np.asarray(
            np.bincount(self.basis.atom_of_ao, weights=c * (overlap @ c), minlength=self.basis.n_atoms),
            dtype=np.float64,
        )


_ORTHONORMALITY = 1e-6
"""Largest deviation of C^T S C from one, with S over our basis and C from another program."""


def check_orthonormal(basis: Basis, coefficients: FloatArray, whose: str, remedy: str) -> None:
    """Raise ElectronicStructureError for ``coefficients`` (n_ao, n_mo) of a program whose basis is not ours."""
    deviation = coefficients.T @ integrals.overlap(basis) @ coefficients
    deviation.flat[:: len(deviation) + 1] -= 1.0
    largest = float(np.abs(deviation).max())
    if not largest < _ORTHONORMALITY:
        problem = f"{whose} orbitals do not fit the basis known here (deviation {largest:.1e})"
        raise ElectronicStructureError(problem, remedy)


def group_by_element(symbols: tuple[str, ...]) -> dict[str, IntArray]:
    """Atom indices of every element, in order of first appearance."""
    labels = np.array(symbols)
    return {s: np.flatnonzero(labels == s) for s in dict.fromkeys(symbols)}


ILL_CONDITIONED_GAP_EV = 0.01
"""Raw gaps below this make labels unfit for training (stda-xtb.md, section 17)."""


def composition(orbitals: Orbitals, orbital: int, groups: Mapping[str, IntArray] | None = None) -> dict[str, float]:
    """Mulliken shares of groups of atoms (default: elements) in one orbital, largest first."""
    shares = orbitals.populations(orbital, integrals.overlap(orbitals.basis))
    parts = groups or group_by_element(orbitals.symbols)
    return dict(sorted(((name, float(shares[atoms].sum())) for name, atoms in parts.items()), key=lambda x: -x[1]))


def _words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:2])


SMALLEST_GAP_EV = 1e-3
"""A smaller gap is none."""


def require_gap(method: str, gap_ev: float) -> None:
    """Raises NoGapError where the gap of ``method`` is not positive: not a closed shell."""
    if gap_ev < SMALLEST_GAP_EV:
        other = "" if method == "GFN1-xTB" else ", or use --orbitals gfn1"
        problem = f"the HOMO-LUMO gap of {method} is {gap_ev:.5f} eV: not a closed shell"
        raise NoGapError(problem, f"check charge and geometry{other}")


def gap_warnings(orbitals: Orbitals) -> list[str]:
    """What to tell the user about the raw gap; empty when it is at least 0.2 eV."""
    gap = orbitals.raw_gap_ev
    if gap >= SMALL_GAP_EV:
        return []
    homo = _words(composition(orbitals, orbitals.n_occupied - 1))
    lumo = _words(composition(orbitals, orbitals.n_occupied))
    remedy = "use --orbitals gfn1" if orbitals.method == "sTDA-xTB" else "check charge and geometry"
    fitness = "; the occupation is arbitrary and the label unfit for training" if gap < ILL_CONDITIONED_GAP_EV else ""
    parts = f"HOMO: {homo}; LUMO: {lumo}"
    return [f"the raw HOMO-LUMO gap of {orbitals.method} is only {gap:.3f} eV ({parts}){fitness}: {remedy}"]
