"""From excitation vectors to moments, oscillator and rotatory strengths (docs/science/stda-xtb.md, section 12)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.spectrum.transitions import Transitions
from clusterml.stda.parameters import HARTREE_EV_OUTPUT, tables
from clusterml.typing import FloatArray

SPIN_FACTOR = 2.0
"""Closed-shell singlets: both spins contribute."""


@dataclass(frozen=True)
class Moments:
    """Transition moments of n states, each (n, 3), atomic units, without the spin factor.

    ``r``, ``v``, ``m``: sums of X_ia <i|r|a>, <i|nabla|a>, <i|r x nabla|a>; ``bv``, ``bm``: sums of (B X)_ia with
    nabla and r x nabla, for the velocity correction.
    """

    r: FloatArray
    v: FloatArray
    m: FloatArray
    bv: FloatArray
    bm: FloatArray


def transitions(energy_hartree: FloatArray, moments: Moments, damped: bool = False) -> Transitions:
    """Intensities of states with energies (n,) in hartree.

    ``damped`` multiplies R_V by the reference program's omega^(1-h), h = 1 - exp(-150 omega^2).
    """
    p = tables()["stda"]
    regular = energy_hartree + p["omega_regulariser"]
    r, v, m = moments.r, moments.v, moments.m
    h = 1.0 - np.exp(-p["rv_damp"] * energy_hartree**2) if damped else 1.0
    to_cgs = SPIN_FACTOR * tables()["constants"]["rotatory_au_to_1e40cgs"]
    tensor = _outer(v, m) + (0.5 / regular)[:, None, None] * (_outer(moments.bv, m) + _outer(v, moments.bm))
    tensor *= (to_cgs / (energy_hartree**h + p["omega_regulariser"]))[:, None, None]
    return Transitions(
        energy_ev=energy_hartree * HARTREE_EV_OUTPUT,
        f_length=2.0 / 3.0 * SPIN_FACTOR * energy_hartree * (r**2).sum(1),
        f_velocity=2.0 / 3.0 * SPIN_FACTOR * (v**2).sum(1) / regular,
        r_length_cgs=to_cgs * (r * m).sum(1),
        r_velocity_cgs=np.trace(tensor, axis1=1, axis2=2),
        electric_au=r,
        velocity_au=v,
        magnetic_au=m,
        rotatory_tensor_cgs=tensor,
    )


def _outer(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.asarray(first[:, :, None] * second[:, None, :])


def no_transitions() -> Transitions:
    """The empty set of transitions: nothing absorbs below emax."""
    return transitions(np.zeros(0), Moments(*(np.zeros((0, 3)) for _ in range(5))))
