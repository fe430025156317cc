"""How excitations interact: atom-atom kernels of the Coulomb and exchange type, and the share of Fock exchange.

An orbital source says with its orbitals which kernels belong to them.  Sources: S. Grimme, J. Chem. Phys. 138, 244104
(2013); S. Grimme, C. Bannwarth, J. Chem. Phys. 145, 054103 (2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.engine.atomic import distances
from clusterml.engine.parameters import per_atom, tables
from clusterml.typing import FloatArray

ALPHA_K = 1.42
"""Exponent of gamma^K for density functionals, 1.42 + 0.48 a_x at a_x = 0 (Grimme 2013)."""


@dataclass(frozen=True)
class Kernels:
    """Atom-atom interaction kernels in hartree: ``j`` and ``k`` (n_atoms, n_atoms), and the Fock exchange ``ax``.

    Where ``ax`` is 0 the Coulomb-type ``j`` has no part in the excitations.
    """

    j: FloatArray
    k: FloatArray
    ax: float


def stda_kernels(symbols: tuple[str, ...], coords_bohr: FloatArray) -> Kernels:
    """gamma^J and gamma^K of sTDA-xTB (stda-xtb.md, 11.3). Raises UnsupportedElementError."""
    p = tables()["stda"]
    hardness = per_atom(symbols, "eta_stda_hartree")
    eta = 0.5 * np.add.outer(hardness, hardness)
    r = distances(coords_bohr)
    alpha, beta, ax = p["alphaK"], p["betaJ"], p["ax"]
    j = (r**beta + (ax * eta) ** -beta) ** (-1.0 / beta)
    k = (r**alpha + eta**-alpha) ** (-1.0 / alpha)
    return Kernels(j, k, ax)


def local_kernels(symbols: tuple[str, ...], coords_bohr: FloatArray) -> Kernels:
    """gamma^K of orbitals without Fock exchange (stda-xtb.md, section 18); gamma^J is zero."""
    eta = np.array([tables()["elements"][s]["eta_stda_hartree"] for s in symbols])
    mean = 0.5 * np.add.outer(eta, eta)
    k = np.asarray((distances(coords_bohr) ** ALPHA_K + mean**-ALPHA_K) ** (-1.0 / ALPHA_K))
    return Kernels(np.zeros_like(k), k, 0.0)
