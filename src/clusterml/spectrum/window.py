"""Integrals over a band as sums: the weight of every energy of a grid."""

from __future__ import annotations

import numpy as np

from clusterml.typing import FloatArray


def band_weights(energy_ev: FloatArray, low_ev: float, high_ev: float) -> FloatArray:
    """Weights (m,) in eV whose sum over a curve on ``energy_ev`` (m,) is its integral from ``low_ev`` to ``high_ev``.

    The curve is straight between points, and zero outside.
    """
    edges = np.clip(energy_ev, low_ev, high_ev)
    left, right = edges[:-1], edges[1:]
    step = energy_ev[1:] - energy_ev[:-1]
    share = (0.5 * (left + right) - energy_ev[:-1]) / step
    weights = np.zeros(len(energy_ev))
    weights[:-1] += (right - left) * (1.0 - share)
    weights[1:] += (right - left) * share
    return weights
