"""GFN1-xTB: the Hamiltonian of a geometry, and what may correct it; charges: :mod:`~clusterml.engine.orbitals.newton`.

Source: S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017), in the form of tblite
(levels shifted by the coordination number in eV; shell hardnesses joined by their harmonic mean).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.atomic import distances, neighbour_shares
from clusterml.engine.basis import Basis, gfn_basis
from clusterml.engine.parameters import data_tables
from clusterml.typing import BoolArray, FloatArray, IntArray

_HARTREE_EV = 27.21138505
"""The hartree that the levels were converted with; an older value than :data:`clusterml.units.HARTREE_EV`."""

CN_CUTOFF_BOHR = 25.0
"""Atoms farther away do not count as neighbours."""


@dataclass(frozen=True)
class Gfn1Hamiltonian:
    """What the self-consistent cycle needs, in hartree, over ``basis``.

    ``overlap``, ``h0`` (n_ao, n_ao); ``kernel`` (n_shells, n_shells): gamma between shell charges;
    ``hardness_derivative`` (n_atoms,): Gamma of the third-order term Gamma_A q_A^3 / 3; ``reference`` (n_shells,): the
    electrons of the neutral shells; ``expected`` (n_shells,): charges near those of the molecule; ``atom_of_shell``
    (n_shells,), ``shell_of_ao`` (n_ao,).
    """

    basis: Basis
    overlap: FloatArray
    h0: FloatArray
    kernel: FloatArray
    hardness_derivative: FloatArray
    reference: FloatArray
    expected: FloatArray
    atom_of_shell: IntArray
    shell_of_ao: IntArray


@dataclass(frozen=True)
class FockCorrection:
    """What a method adds to the converged Fock matrix of GFN1; it has the orbitals of the sum, and GFN1's charges.

    method     as labels call it
    matrix     (Hamiltonian, symbols, shell charges (n_shells,)) -> (n_ao, n_ao), hartree
    warnings   symbols -> what to tell of such a molecule
    """

    method: str
    matrix: Callable[[Gfn1Hamiltonian, Sequence[str], FloatArray], FloatArray]
    warnings: Callable[[Sequence[str]], tuple[str, ...]] = lambda symbols: ()


@dataclass(frozen=True)
class Gfn1Shells:
    """Parameters of the shells of a molecule, in atomic units, whatever its geometry.

    Of shells (n_shells,): ``atom``, ``level`` and its fall by a neighbour ``level_cn``, ``polynomial``, ``softness``,
    ``reference`` electrons; of pairs of them ``between``, K; of atoms (n_atoms,): ``radius``, ``covalent`` (radii), and
    ``hardness_derivative``.
    """

    atom: IntArray
    level: FloatArray
    level_cn: FloatArray
    polynomial: FloatArray
    softness: FloatArray
    reference: FloatArray
    between: FloatArray
    radius: FloatArray
    covalent: FloatArray
    hardness_derivative: FloatArray

    @classmethod
    def of(cls, symbols: Sequence[str], basis: Basis) -> Gfn1Shells:
        """Those of the shells of ``basis``."""
        atom = np.array([shell.atom for shell in basis.shells], dtype=np.int64)
        entries = [data_tables("gfn1_hamiltonian")["elements"][symbol] for symbol in symbols]
        place = np.arange(len(atom)) - np.searchsorted(atom, atom)

        def per_atom(key: str) -> FloatArray:
            return np.array([entry[key] for entry in entries])

        def per_shell(key: str) -> FloatArray:
            return np.array([entries[a][key][k] for a, k in zip(atom, place, strict=True)])

        return cls(
            atom=atom,
            level=per_shell("levels_ev") / _HARTREE_EV,
            level_cn=per_shell("level_cn_ev") / _HARTREE_EV,
            polynomial=per_shell("shell_polynomial"),
            softness=1.0 / (per_atom("hardness_hartree")[atom] * per_shell("shell_hardness_factor")),
            reference=per_shell("reference_occupation"),
            between=_shell_scale(basis, symbols, atom, place),
            radius=per_atom("radius_bohr"),
            covalent=covalent_radii(symbols),
            hardness_derivative=per_atom("hardness_derivative_hartree"),
        )

    @property
    def same_atom(self) -> BoolArray:
        """Are two shells on one atom? (n_shells, n_shells)"""
        return np.asarray(np.equal.outer(self.atom, self.atom))

    def spread(self, of_atoms: FloatArray) -> FloatArray:
        """A matrix of pairs of atoms for pairs of shells."""
        return np.asarray(of_atoms[np.ix_(self.atom, self.atom)])

    def neighbours(self, r: FloatArray) -> FloatArray:
        """Shares of neighbours (n_atoms, n_atoms) at distances ``r``."""
        return neighbour_shares(r, self.covalent, CN_CUTOFF_BOHR)

    def levels(self, coordination: FloatArray) -> FloatArray:
        """Levels (n_shells,) of atoms with these coordination numbers (n_atoms,)."""
        return np.asarray(self.level - self.level_cn * coordination[self.atom])

    def stretch(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pi, and x of 1 + p x in it, both (n_shells, n_shells), at distances ``r`` of the atoms."""
        x = self.spread(np.sqrt(r / np.add.outer(self.radius, self.radius)))
        of_one = 1.0 + self.polynomial[:, None] * x
        return of_one * of_one.T, x

    def kernel(self, r: FloatArray) -> FloatArray:
        """Gamma between shells (n_shells, n_shells)."""
        return np.asarray(1.0 / np.hypot(self.spread(r), 0.5 * np.add.outer(self.softness, self.softness)))


def gfn1_hamiltonian(
    symbols: Sequence[str], coords_bohr: FloatArray, overlap: FloatArray | None = None
) -> Gfn1Hamiltonian:
    """The GFN1-xTB Hamiltonian of atoms at ``coords_bohr`` (n_atoms, 3), of a known ``overlap`` (n_ao, n_ao) too.

    Raises UnsupportedElementError.
    """
    basis = gfn_basis(symbols, coords_bohr, "gfn1")
    overlap = integrals.overlap(basis) if overlap is None else overlap
    shells = Gfn1Shells.of(symbols, basis)
    shell = np.asarray(basis.expand(np.arange(len(shells.atom))), dtype=np.int64)
    r = distances(np.asarray(coords_bohr, dtype=np.float64))
    neighbours = shells.neighbours(r)
    levels = shells.levels(neighbours.sum(axis=1))
    scale = np.where(shells.same_atom, 1.0, shells.between * shells.stretch(r)[0])
    scale *= 0.5 * np.add.outer(levels, levels)
    return Gfn1Hamiltonian(
        basis=basis,
        overlap=overlap,
        h0=overlap * scale[np.ix_(shell, shell)],
        kernel=shells.kernel(r),
        hardness_derivative=shells.hardness_derivative,
        reference=shells.reference,
        expected=expected_charges(symbols, neighbours, shells.atom),
        atom_of_shell=shells.atom,
        shell_of_ao=shell,
    )


def covalent_radii(symbols: Sequence[str]) -> FloatArray:
    """Radii in bohr that tell neighbours, (n_atoms,)."""
    return np.array([data_tables("gfn1_hamiltonian")["elements"][symbol]["covalent_radius_bohr"] for symbol in symbols])


def expected_charges(symbols: Sequence[str], neighbours: FloatArray, atom: IntArray) -> FloatArray:
    """Shell charges (n_shells,) of atoms by their element and how many neighbours of each kind they have.

    ``neighbours`` (n_atoms, n_atoms): shares of :func:`~clusterml.engine.atomic.neighbour_shares`; ``atom`` (n_shells,)
    of each shell.  Linear fits to clusters (scripts/make_start_charges.py); zero for an element that none contained.
    """
    fits = data_tables("gfn1_charges")["shells"]
    features, labels = neighbour_features(symbols, neighbours), np.array(symbols)
    charges = np.zeros(len(atom))
    for symbol in fits.keys() & set(symbols):
        charges[(labels == symbol)[atom]] = (features[labels == symbol] @ np.array(fits[symbol]).T).ravel()
    return charges


def neighbour_features(symbols: Sequence[str], neighbours: FloatArray) -> FloatArray:
    """One, and how many neighbours of each kind every atom has, (n_atoms, 1 + n_kinds)."""
    kinds = data_tables("gfn1_charges")["kinds"]
    of_kind = np.array([[symbol in kind for kind in kinds] for symbol in symbols], dtype=np.float64)
    return np.hstack([np.ones((len(symbols), 1)), neighbours @ of_kind])


def _shell_scale(basis: Basis, symbols: Sequence[str], atom: IntArray, place: IntArray) -> FloatArray:
    """K of the off-site elements: shells, pairs of elements and electronegativities, (n_shells, n_shells).

    The second s shell of hydrogen is a polarisation function, whose K depends on nothing but the shells.
    """
    tables = data_tables("gfn1_hamiltonian")
    between = {frozenset(pair): k for pair, k in tables["k_shell"].items()}
    labels = ["spd"[shell.l] for shell in basis.shells]
    diagonal = {l: between[frozenset(l)] for l in "spd"}
    k_shell = {(a, b): between.get(frozenset((a, b)), 0.5 * (diagonal[a] + diagonal[b])) for a in "spd" for b in "spd"}
    k_pair = {frozenset(pair.split("-")): k for pair, k in tables["k_pair"].items()}
    kinds = sorted(set(symbols))
    kind = np.array([kinds.index(symbol) for symbol in symbols])[atom]
    chi = np.array([tables["elements"][symbol]["electronegativity"] for symbol in kinds])
    pair = np.array([[k_pair.get(frozenset((a, b)), 1.0) for b in kinds] for a in kinds])
    pair *= 1.0 + tables["electronegativity_scale"] * np.subtract.outer(chi, chi) ** 2
    angular = np.array(["spd".index(label) for label in labels])
    valence_scale = np.array([[k_shell[a, b] for b in "spd"] for a in "spd"])[np.ix_(angular, angular)]
    polarisation = np.array([symbols[a] == "H" and k == 1 for a, k in zip(atom, place, strict=True)])
    own = np.where(polarisation, tables["k_polarisation"], np.array([diagonal[label] for label in labels]))
    return np.where(
        np.logical_or.outer(polarisation, polarisation),
        0.5 * np.add.outer(own, own),
        valence_scale * pair[np.ix_(kind, kind)],
    )
