"""``gfn1-pbe``: charges of GFN1-xTB, and orbitals of a Hamiltonian that was fitted to those of PBE.

The ground state is that of GFN1, in vacuum or in a solvent.  Its Fock matrix F = H0 - S (v + v') / 2, in the field v of
its self-consistent charges, is then corrected and diagonalised once more,
  F + diag(d) + S diag(p) S + o * S + k * T      (* elementwise, S overlap, T kinetic energy),
with numbers of shells d and p, and of pairs of shells on two atoms o and k, each a sum of terms that are linear in
coefficients: constants by element and shell, shares of metal and ligand neighbours, charges, the field that GFN1 has
them make, and a slope with the distance.  So the fit is linear (docs/science/refit.md, scripts/fit_gfn1.py).

All terms are short-ranged, apart from the field, which is that of charges: fragments far apart do not feel each other
if they are neutral.  Pairs and shells of elements that the fit has not seen keep the Hamiltonian of GFN1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.atomic import distances, neighbour_shares
from clusterml.engine.linalg import product
from clusterml.engine.orbitals.gfn import gfn_source
from clusterml.engine.orbitals.gfn1 import CN_CUTOFF_BOHR, FockCorrection, Gfn1Hamiltonian, covalent_radii
from clusterml.engine.parameters import data_tables
from clusterml.typing import BoolArray, FloatArray
from clusterml.units import BOHR_ANGSTROM, HARTREE_EV

Kind = Literal["onsite", "projector", "overlap", "kinetic"]

METAL = "Ag"
SEEN = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "Ag")
"""Elements that have terms."""
_POLAR = ("O", "P", "S", "Ag")
"""Elements whose levels depend on their charge, and whose functions repel others."""
_RADIUS_ANGSTROM = {"Ag": 2.9, "S": 2.5, "P": 2.45, "O": 2.3, "Cl": 2.55, "Br": 2.65}
"""Bond lengths to silver, about which a coupling may rise or fall with the distance ..."""
_RANGE_ANGSTROM = 0.6
"""... over this length."""


@dataclass(frozen=True)
class Term:
    """One term of the correction per eV of its coefficient: ``values`` (n_shells,), of a pair (n_shells, n_shells)."""

    name: str
    kind: Kind
    values: FloatArray


def fitted() -> Mapping[str, Any]:
    """The data file: ``terms``, name -> coefficient in eV, and the fit they are from."""
    return data_tables("gfn1_pbe")


def terms(parts: Gfn1Hamiltonian, symbols: Sequence[str], shell_charges: FloatArray) -> Iterator[Term]:
    """All terms that a molecule can have, in a fixed order."""
    shells = _Shells.of(parts, symbols, shell_charges)
    for name, field in _fields(parts, shell_charges).items():
        yield Term(name, "overlap", -0.5 * np.add.outer(field, field))
    for name in shells.names:
        yield from shells.single(name)
    for k, name in enumerate(shells.names):
        for other in shells.names[k:]:
            yield from shells.pair(name, other)


def _fields(parts: Gfn1Hamiltonian, shell_charges: FloatArray) -> dict[str, FloatArray]:
    """By how much charges lower the levels of shells in GFN1, (n_shells,), eV: all, and those of other atoms alone."""
    atom = parts.atom_of_shell
    charge = np.bincount(atom, weights=shell_charges, minlength=len(parts.hardness_derivative))
    far = np.where(np.equal.outer(atom, atom), 0.0, parts.kernel) @ shell_charges
    everything = parts.kernel @ shell_charges + (parts.hardness_derivative * charge**2)[atom]
    return {"field of all charges": everything * HARTREE_EV, "field of far charges": far * HARTREE_EV}


@dataclass(frozen=True)
class _Shells:
    """What terms depend on: of each shell (n_shells,) its ``label`` (``Ag.d``), the neighbours ``metal`` and ``ligand``
    of its atom and the atom's ``charge``; of pairs (n_shells, n_shells) their ``distance`` in angstrom, which is 0
    within an atom."""

    label: Any
    metal: FloatArray
    ligand: FloatArray
    charge: FloatArray
    distance: FloatArray

    @classmethod
    def of(cls, parts: Gfn1Hamiltonian, symbols: Sequence[str], shell_charges: FloatArray) -> _Shells:
        atom = parts.atom_of_shell
        r = distances(np.asarray(parts.basis.coords_bohr, dtype=np.float64))
        shares = neighbour_shares(r, covalent_radii(symbols), CN_CUTOFF_BOHR)
        is_metal = np.array([symbol == METAL for symbol in symbols])
        charge = np.bincount(atom, weights=shell_charges, minlength=len(symbols)).astype(np.float64)
        return cls(
            label=np.array(list(_labels(parts, symbols))),
            metal=(shares @ is_metal)[atom],
            ligand=(shares @ ~is_metal)[atom],
            charge=charge[atom],
            distance=r[np.ix_(atom, atom)] * BOHR_ANGSTROM,
        )

    @property
    def names(self) -> list[str]:
        """Labels of elements that have terms."""
        return sorted({str(label) for label in self.label if label.split(".")[0] in SEEN})

    def single(self, name: str) -> Iterator[Term]:
        """Terms of the shells ``name``."""
        element, here = name.split(".")[0], (self.label == name).astype(np.float64)
        yield Term(f"onsite {name}", "onsite", here)
        if element in ("S", METAL):
            yield Term(f"onsite {name} metal", "onsite", here * self.metal)
        if element == METAL:
            yield Term(f"onsite {name} ligand", "onsite", here * self.ligand)
        if element not in _POLAR:
            return
        yield Term(f"onsite {name} charge", "onsite", here * self.charge)
        yield Term(f"projector {name}", "projector", here)
        if element == METAL:
            yield Term(f"projector {name} metal", "projector", here * self.metal)

    def pair(self, name: str, other: str) -> Iterator[Term]:
        """Terms of shells ``name`` with ``other`` on two atoms, where both are bonded in clusters."""
        elements = {name.split(".")[0], other.split(".")[0]}
        light = METAL not in elements
        if (light and elements <= {"H", "F"}) or (not light and elements & {"H", "C", "N", "F"}):
            return
        which = self._between(name, other)
        if not which.any():
            return
        here = which.astype(np.float64)
        yield Term(f"pair {name} {other}", "overlap", here)
        if not light:
            yield Term(f"pair {name} {other} kinetic", "kinetic", here)
            radius = _RADIUS_ANGSTROM[next(iter(elements - {METAL}), METAL)]
            slope = np.tanh((self.distance - radius) / _RANGE_ANGSTROM)
            yield Term(f"pair {name} {other} far", "overlap", here * slope)

    def _between(self, name: str, other: str) -> BoolArray:
        which = np.logical_and.outer(self.label == name, self.label == other)
        return np.asarray((which | which.T) & (self.distance > 0.0))


def _labels(parts: Gfn1Hamiltonian, symbols: Sequence[str]) -> Iterator[str]:
    """Element and letter of every shell; the second s shell of hydrogen is ``H.s'``."""
    before: set[tuple[int, int]] = set()
    for shell in parts.basis.shells:
        key = shell.atom, shell.l
        yield f"{symbols[shell.atom]}.{'spd'[shell.l]}" + ("'" if key in before else "")
        before.add(key)


def correction(
    parts: Gfn1Hamiltonian,
    symbols: Sequence[str],
    shell_charges: FloatArray,
    coefficients: Mapping[str, float],
    kinetic: FloatArray | None = None,
) -> FloatArray:
    """What is added to the Fock matrix, (n_ao, n_ao), hartree; ``coefficients`` in eV, those not named are 0.

    ``kinetic`` (n_ao, n_ao), hartree: where the kinetic energy is known already.
    """
    n, shell = len(parts.reference), parts.shell_of_ao
    sums: dict[Kind, FloatArray] = {
        "onsite": np.zeros(n),
        "projector": np.zeros(n),
        "overlap": np.zeros((n, n)),
        "kinetic": np.zeros((n, n)),
    }
    for term in terms(parts, symbols, shell_charges):
        sums[term.kind] += coefficients.get(term.name, 0.0) * term.values
    s = parts.overlap
    matrix = product(s * sums["projector"][shell], s)
    matrix += s * sums["overlap"][np.ix_(shell, shell)]
    if sums["kinetic"].any():
        known = integrals.kinetic(parts.basis) if kinetic is None else kinetic
        matrix += known * sums["kinetic"][np.ix_(shell, shell)]
    matrix.flat[:: len(matrix) + 1] += sums["onsite"][shell]
    return np.asarray(matrix / HARTREE_EV)


def foreign_elements(symbols: Sequence[str]) -> tuple[str, ...]:
    """A warning if the fit has not seen some of ``symbols``."""
    seen = fitted()["fit"]["elements"]
    foreign = [symbol for symbol in dict.fromkeys(symbols) if symbol not in seen]
    if not foreign:
        return ()
    return (
        f"gfn1-pbe was not fitted to {', '.join(foreign)}: their shells and bonds are those of GFN1-xTB as published; "
        "compare with --orbitals gfn1",
    )


def refit(coefficients: Mapping[str, float] | None = None) -> FockCorrection:
    """The correction of the Fock matrix of GFN1 with ``coefficients`` in eV, default: those of the data file."""

    def matrix(parts: Gfn1Hamiltonian, symbols: Sequence[str], shell_charges: FloatArray) -> FloatArray:
        values = fitted()["terms"] if coefficients is None else coefficients
        return correction(parts, symbols, shell_charges, values)

    return FockCorrection("GFN1-PBE", matrix, foreign_elements)


ORBITAL_SOURCES = (gfn_source("gfn1-pbe", "gfn1", refit()),)
