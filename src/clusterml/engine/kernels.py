"""How excitations interact: atom-atom kernels of the Coulomb and exchange type, and the share of Fock exchange.

An orbital source says with its orbitals which kernels belong to them.  Sources: S. Grimme, J. Chem. Phys. 138, 244104
(2013); T. Risthaus, A. Hansen, S. Grimme, Phys. Chem. Chem. Phys. 16, 14408 (2014); S. Grimme, C. Bannwarth, J. Chem.
Phys. 145, 054103 (2016).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clusterml.engine.atomic import distances
from clusterml.engine.parameters import per_atom, tables
from clusterml.errors import UnsupportedElementError
from clusterml.typing import FloatArray

ALPHA_K = 1.42
"""Exponent of gamma^K for density functionals, 1.42 + 0.48 a_x at a_x = 0 (Grimme 2013)."""
ALPHA_K_SLOPE = 0.48
BETA_J, BETA_J_SLOPE = 0.20, 1.83
"""Exponent of gamma^J for density functionals, 0.20 + 1.83 a_x (Grimme 2013)."""


@dataclass(frozen=True)
class Kernels:
    """Atom-atom interaction kernels in hartree: ``j`` and ``k`` (n_atoms, n_atoms), and the Fock exchange ``ax``.

    Where ``ax`` is 0 the Coulomb-type ``j`` has no part in the excitations.  ``k_shift``: are configurations raised
    by the K-shift of sTDA-xTB.
    """

    j: FloatArray
    k: FloatArray
    ax: float
    k_shift: bool = False


def stda_kernels(symbols: tuple[str, ...], coords_bohr: FloatArray) -> Kernels:
    """gamma^J and gamma^K of sTDA-xTB (stda-xtb.md, 11.3). Raises UnsupportedElementError."""
    p = tables()["stda"]
    kernels = _kernels(per_atom(symbols, "eta_stda_hartree"), coords_bohr, p["ax"], p["alphaK"], p["betaJ"])
    return replace(kernels, k_shift=True)


def hybrid_kernels(
    symbols: tuple[str, ...],
    coords_bohr: FloatArray,
    ax: float,
    alpha: float | None = None,
    beta: float | None = None,
) -> Kernels:
    """gamma^J and gamma^K of a functional with the share ``ax`` of Fock exchange; 0: those of a pure functional.

    ``alpha``, ``beta``: the exponents of gamma^K and gamma^J; None: those of global hybrids, 1.42 + 0.48 a_x and
    0.20 + 1.83 a_x (Grimme 2013), from which range-separated hybrids differ.  Raises UnsupportedElementError.
    """
    alpha = ALPHA_K + ALPHA_K_SLOPE * ax if alpha is None else alpha
    beta = BETA_J + BETA_J_SLOPE * ax if beta is None else beta
    known = tables()["elements"]
    if missing := [s for s in dict.fromkeys(symbols) if s not in known]:
        problem = f"the hardness of {', '.join(missing)}, which excitations need, is not known"
        raise UnsupportedElementError(problem, "the elements up to radon have one; remove or replace the atom")
    hardness = np.array([known[s]["eta_stda_hartree"] for s in symbols])
    return _kernels(hardness, coords_bohr, ax, alpha, beta)


def local_kernels(symbols: tuple[str, ...], coords_bohr: FloatArray) -> Kernels:
    """gamma^K of orbitals without Fock exchange (stda-xtb.md, section 18); gamma^J is zero."""
    return hybrid_kernels(symbols, coords_bohr, 0.0)


def _kernels(hardness: FloatArray, coords_bohr: FloatArray, ax: float, alpha: float, beta: float) -> Kernels:
    eta = 0.5 * np.add.outer(hardness, hardness)
    r = distances(coords_bohr)
    k = np.asarray((r**alpha + eta**-alpha) ** (-1.0 / alpha))
    j = np.zeros_like(k) if ax == 0.0 else np.asarray((r**beta + (ax * eta) ** -beta) ** (-1.0 / beta))
    return Kernels(j, k, ax)
