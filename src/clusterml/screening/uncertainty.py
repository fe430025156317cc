"""How uncertain a number is that is computed from a predicted spectrum with a standard deviation at every energy.

Errors at neighbouring energies belong together: they are taken to be noise that was broadened like the spectrum.  Noise
convolved with a Gaussian of the width fwhm has the correlation exp(-(E - E')^2 / (4 s^2)), s = fwhm / 2.355.  With the
slopes a_i = d value / d y_i the variance is sum_ij a_i d_i c_ij a_j d_j, to first order in the deviations d_i.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from clusterml.typing import FloatArray
from clusterml.units import FWHM_PER_SIGMA


def deviation(slopes: FloatArray, std: FloatArray | None, energy_ev: FloatArray, fwhm_ev: float) -> float | None:
    """Standard deviation of a value with ``slopes`` (m,) to a curve of deviations ``std`` (m,) at ``energy_ev`` (m,).

    NaN in ``std`` stands for energies at which nothing absorbs, or no error was measured: they add nothing.  None where
    ``std`` is None, or half of what the value depends on (the squared slopes) has no deviation.
    """
    if std is None:
        return None
    known = np.isfinite(std)
    if 2.0 * float(np.sum(slopes[known] ** 2)) < float(np.sum(slopes**2)):
        return None
    parts = np.where(known, slopes * std, 0.0)
    correlation = _correlation(energy_ev.tobytes(), fwhm_ev)
    return float(np.sqrt(max(float(parts @ correlation @ parts), 0.0)))


@lru_cache(maxsize=4)
def _correlation(energies: bytes, fwhm_ev: float) -> FloatArray:
    """The matrix (m, m) for the energies (float64 as bytes)."""
    energy = np.frombuffer(energies, dtype=np.float64)
    width = fwhm_ev / FWHM_PER_SIGMA
    return np.exp(-((energy[:, None] - energy[None, :]) ** 2) / (4.0 * width**2))
