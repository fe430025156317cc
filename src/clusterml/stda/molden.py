"""Molden files of the orbitals, for Multiwfn, VMD, Avogadro and others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clusterml.spectrum.files import write_text
from clusterml.stda.basis import Basis
from clusterml.stda.orbitals import Orbitals
from clusterml.stda.parameters import HARTREE_EV
from clusterml.typing import IntArray

_MOLDEN_ORDER = {0: (0,), 1: (0, 1, 2), 2: (2, 3, 1, 4, 0)}
"""Molden's order of spherical functions in terms of libcint's: d 0, +1, -1, +2, -2 against -2, -1, 0, +1, +2."""


def _ao_order(basis: Basis) -> IntArray:
    """Positions in our order of the functions in Molden's order (shells stay grouped by atom), shape (n_ao,)."""
    starts = np.concatenate([[0], np.cumsum(basis.shell_sizes)[:-1]])
    return np.concatenate([start + np.array(_MOLDEN_ORDER[s.l]) for start, s in zip(starts, basis.shells, strict=True)])


def _basis_section(basis: Basis) -> list[str]:
    lines = ["[GTO]"]
    for atom in range(basis.n_atoms):
        lines.append(f"{atom + 1} 0")
        for shell in (s for s in basis.shells if s.atom == atom):
            lines.append(f" {'spd'[shell.l]} {len(shell.exponents)} 1.00")
            pairs = zip(shell.exponents, shell.coefficients, strict=True)
            lines += [f"  {exponent:.12e} {coefficient:.12e}" for exponent, coefficient in pairs]
        lines.append("")
    return lines


def molden_text(orbitals: Orbitals) -> str:
    """The Molden text: geometry, contracted basis, and every kept orbital with energy (hartree) and occupation.

    Virtual energies contain the method's level shift, stated in the title.
    """
    from ase.data import atomic_numbers

    basis = orbitals.basis
    lines = [
        "[Molden Format]",
        "[Title]",
        f"{orbitals.method} orbitals, virtual levels +{orbitals.virtual_shift_ev:g} eV",
    ]
    lines.append("[Atoms] AU")
    for n, (symbol, xyz) in enumerate(zip(orbitals.symbols, basis.coords_bohr, strict=True), start=1):
        lines.append(f"{symbol} {n} {atomic_numbers[symbol]} " + " ".join(f"{x:.10f}" for x in xyz))
    lines += _basis_section(basis)
    lines += ["[5D]", "[7F]", "[9G]", "[MO]"]
    order = _ao_order(basis)
    for k, (energy, occupation) in enumerate(zip(orbitals.energies_ev, orbitals.occupations, strict=True)):
        lines += [f" Sym= {k + 1}a", f" Ene= {energy / HARTREE_EV:.10f}", " Spin= Alpha", f" Occup= {occupation:.6f}"]
        lines += [f"{n} {c:.10e}" for n, c in enumerate(orbitals.coefficients[order, k], start=1)]
    return "\n".join(lines) + "\n"


def write_molden(orbitals: Orbitals, path: str | Path) -> Path:
    """Write :func:`molden_text` atomically. Raises OutputError naming the path."""
    return write_text(path, molden_text(orbitals))
