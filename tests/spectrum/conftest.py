"""A realistic set of transitions with a seed, and the spectrum it gives."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.units import HARTREE_EV, ROTATORY_AU_TO_CGS


def transitions_of(energy_ev: np.ndarray, seed: int = 5) -> Transitions:
    """Consistent intensities in both gauges from random moments."""
    rng = np.random.default_rng(seed)
    n = len(energy_ev)
    omega = energy_ev / HARTREE_EV
    v = rng.normal(size=(n, 3)) * 0.05
    r = v / omega[:, None] * 1.07
    m = rng.normal(size=(n, 3)) * 0.3
    return Transitions(
        energy_ev=energy_ev,
        f_length=4.0 / 3.0 * omega * (r**2).sum(1),
        f_velocity=4.0 / 3.0 * (v**2).sum(1) / omega,
        r_length_cgs=ROTATORY_AU_TO_CGS * (r * m).sum(1),
        r_velocity_cgs=ROTATORY_AU_TO_CGS * (v * m).sum(1) / omega,
        electric_au=r,
        velocity_au=v,
        magnetic_au=m,
    )


@pytest.fixture
def transitions() -> Transitions:
    return transitions_of(np.array([3.1, 2.2, 2.8, 3.4, 3.9, 4.5]))


@pytest.fixture
def spectrum(transitions: Transitions) -> Spectrum:
    return transitions.broaden()
