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
from clusterml.typing import FloatArray, IntArray

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


def gfn1_hamiltonian(
    symbols: Sequence[str], coords_bohr: FloatArray, overlap: FloatArray | None = None
) -> Gfn1Hamiltonian:
    """The GFN1-xTB Hamiltonian of atoms at ``coords_bohr`` (n_atoms, 3), of a known ``overlap`` (n_ao, n_ao) too.

    Raises UnsupportedElementError.
    """
    basis = gfn_basis(symbols, coords_bohr, "gfn1")
    overlap = integrals.overlap(basis) if overlap is None else overlap
    atom = np.array([shell.atom for shell in basis.shells], dtype=np.int64)
    entries = [data_tables("gfn1_hamiltonian")["elements"][symbol] for symbol in symbols]
    place = np.arange(len(atom)) - np.searchsorted(atom, atom)
    shell = np.asarray(basis.expand(np.arange(len(atom))), dtype=np.int64)

    def per_atom(key: str) -> FloatArray:
        return np.array([entry[key] for entry in entries])

    def per_shell(key: str) -> FloatArray:
        return np.array([entries[a][key][k] for a, k in zip(atom, place, strict=True)])

    r = distances(np.asarray(coords_bohr, dtype=np.float64))
    neighbours = neighbour_shares(r, covalent_radii(symbols), CN_CUTOFF_BOHR)
    levels = (per_shell("levels_ev") - per_shell("level_cn_ev") * neighbours.sum(axis=1)[atom]) / _HARTREE_EV
    radius = per_atom("radius_bohr")
    reduced = np.sqrt(r / np.add.outer(radius, radius))[np.ix_(atom, atom)]
    stretch = 1.0 + per_shell("shell_polynomial")[:, None] * reduced
    scale = _shell_scale(basis, symbols, atom, place) * stretch * stretch.T
    scale[atom[:, None] == atom] = 1.0
    scale *= 0.5 * np.add.outer(levels, levels)
    softness = 1.0 / (per_atom("hardness_hartree")[atom] * per_shell("shell_hardness_factor"))
    return Gfn1Hamiltonian(
        basis=basis,
        overlap=overlap,
        h0=overlap * scale[np.ix_(shell, shell)],
        kernel=1.0 / np.hypot(r[np.ix_(atom, atom)], 0.5 * np.add.outer(softness, softness)),
        hardness_derivative=per_atom("hardness_derivative_hartree"),
        reference=per_shell("reference_occupation"),
        expected=expected_charges(symbols, neighbours, atom),
        atom_of_shell=atom,
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
