"""Bands of a spectrum: maxima, minima and, by the second derivative, shoulders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clusterml.errors import OptionError
from clusterml.spectrum.curves import maxima, pchip, second_derivative
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray
from clusterml.units import ev_to_nm

STEP_EV = 0.01
"""Step of the grid for finding bands and comparing spectra, eV."""
PROMINENCE = 0.02
"""A band must stand out by this share of the largest value."""
CURVATURE = 0.03
"""A shoulder's curvature must stand out by this share of the largest curvature."""
NEAR_EV = 0.06
"""A shoulder this close to a maximum belongs to it."""
SMOOTHING_EV = 0.11
"""Window of the cubic fit that gives the second derivative, eV."""


@dataclass(frozen=True)
class Peak:
    """One band: position in eV and nm, ``height`` (L mol-1 cm-1), ``sign`` of the height, ``kind`` peak or shoulder."""

    energy_ev: float
    wavelength_nm: float
    height: float
    sign: int
    kind: str

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def resample(energy_ev: FloatArray, values: FloatArray, grid_ev: FloatArray) -> FloatArray:
    """``values`` (m,) at ``energy_ev``, on ``grid_ev`` (k,) within their range, without overshoot (PCHIP)."""
    inside = np.clip(grid_ev, energy_ev[0], energy_ev[-1])
    with np.errstate(over="ignore"):  # far tails of bands are denormal numbers, whose reciprocals overflow harmlessly
        return pchip(energy_ev, values, inside)


def uniform_grid(low_ev: float, high_ev: float) -> FloatArray:
    """Equally spaced energies from ``low_ev`` to ``high_ev``, about 0.01 eV apart, 11 to 5001 points."""
    points = int(np.clip(round((high_ev - low_ev) / STEP_EV) + 1, 11, 5001))
    return np.linspace(low_ev, high_ev, points)


def find_bands(spectrum: Spectrum, quantity: str = "epsilon", shoulders: bool = True) -> list[Peak]:
    """The bands of ``quantity`` (``epsilon`` or ``delta_epsilon``), ascending in energy.

    A band is a maximum of |quantity| that stands out by 2 % of the largest value; for delta_epsilon both signs count.
    With ``shoulders`` minima of the second derivative count too, where it is negative and no maximum is
    nearby.  Values at the ends of the range are not bands.  Raises :class:`OptionError` for another quantity.
    """
    if quantity not in ("epsilon", "delta_epsilon"):
        raise OptionError(f"quantity '{quantity}' has no bands", "choose epsilon or delta_epsilon")
    values = getattr(spectrum, quantity)
    if np.isnan(values[0]) or not np.ptp(values) > 0.0:
        return []
    grid = uniform_grid(float(spectrum.energy_ev[0]), float(spectrum.energy_ev[-1]))
    y = resample(spectrum.energy_ev, values, grid)
    scale = float(np.abs(y).max())
    signs = (1,) if quantity == "epsilon" else (1, -1)
    return sorted((band for sign in signs for band in _lobes(grid, y / scale, sign, scale, shoulders)), key=_position)


def _position(band: Peak) -> float:
    return band.energy_ev


def _lobes(grid: FloatArray, y: FloatArray, sign: int, scale: float, shoulders: bool) -> list[Peak]:
    """Bands of one sign; ``y`` is scaled to a largest absolute value of 1."""
    part = sign * y
    peaks = [_vertex(grid, part, int(i)) for i in maxima(part, PROMINENCE, PROMINENCE)]
    bands = [_band(energy, height * sign * scale, "peak") for energy, height in peaks]
    if shoulders:
        curvature = _curvature(grid, part)
        for i in maxima(curvature, CURVATURE * float(np.abs(curvature).max() or 1.0)):
            alone = all(abs(grid[i] - energy) > NEAR_EV for energy, _ in peaks)
            if alone and curvature[i] > 0 and part[i] > PROMINENCE:
                bands.append(_band(float(grid[i]), float(part[i]) * sign * scale, "shoulder"))
    return bands


def _band(energy: float, height: float, kind: str) -> Peak:
    return Peak(energy, ev_to_nm(energy), height, 1 if height > 0 else -1, kind)


def _vertex(grid: FloatArray, y: FloatArray, i: int) -> tuple[float, float]:
    """Position and height of the parabola through point i and its neighbours."""
    left, mid, right = float(y[i - 1]), float(y[i]), float(y[i + 1])
    bend = left - 2.0 * mid + right
    move = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(grid[i] + move * (grid[1] - grid[0])), mid - 0.25 * (left - right) * move


def _curvature(grid: FloatArray, y: FloatArray) -> FloatArray:
    """Minus the second derivative, from local cubic fits; per eV2."""
    step = float(grid[1] - grid[0])
    window = int(np.clip(2 * round(SMOOTHING_EV / step / 2) + 1, 5, 2 * ((len(grid) - 1) // 2) + 1))
    return -second_derivative(y, step, window)


def match(first: Sequence[float], second: Sequence[float], farthest: float) -> list[tuple[int, int]]:
    """Pairs (i, j) of positions: each used once, none farther apart than ``farthest``, the sum of squares smallest.

    A position without a partner costs ``farthest`` squared, so that a good pair is not given up for two poor ones.
    """
    from scipy.optimize import linear_sum_assignment

    if not len(first) or not len(second):
        return []
    distance = np.abs(np.asarray(first)[:, None] - np.asarray(second)[None, :])
    rows, columns = linear_sum_assignment(np.minimum(distance, farthest) ** 2)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if distance[i, j] <= farthest]
