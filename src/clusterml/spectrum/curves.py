"""Curves as arrays: checks, interpolation, features, and integrals over a band, in numpy alone.

scipy has all of it (the tests compare), but takes a second to load: as long as a prediction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clusterml.errors import SpectrumError
from clusterml.typing import FloatArray, IntArray

LARGEST_VALUE = 1e30
"""Far above any spectral quantity in the units used here; products of two such numbers do not overflow."""
ENERGY_RANGE_EV = (1e-4, 1e5)
"""From microwaves to hard X-rays."""


def check_array(name: str, values: Any, shape: tuple[int, ...], finite: bool = True) -> FloatArray:
    """A float64 copy of ``values``, which must have ``shape``; :class:`SpectrumError` naming ``name`` otherwise."""
    array = as_floats(name, values)
    if array.shape != shape:
        raise SpectrumError(f"{name} has shape {array.shape}", f"its shape should be {shape}")
    if finite and not (np.abs(array) < LARGEST_VALUE).all():
        raise SpectrumError(f"{name} holds values that are not finite or absurdly large", "remove or correct them")
    return array


def as_floats(name: str, values: Any) -> FloatArray:
    """A float64 copy of ``values``; raises :class:`SpectrumError` naming ``name`` if they are not real numbers."""
    try:
        raw = np.asarray(values)
        if raw.dtype.kind not in "fiub":
            raise TypeError(f"data type {raw.dtype}")
        return np.array(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SpectrumError(f"{name} is not an array of real numbers: {error}", "give a list of numbers") from error


def check_axis(name: str, values: Any) -> FloatArray:
    """An energy axis (m,) in eV: at least 2 points, 1e-4 to 1e5, ascending; or :class:`SpectrumError`."""
    axis = as_floats(name, values)
    if axis.ndim != 1 or len(axis) < 2:
        raise SpectrumError(f"{name} has shape {axis.shape}", "an energy axis is a list of at least 2 numbers")
    if not ((axis >= ENERGY_RANGE_EV[0]) & (axis <= ENERGY_RANGE_EV[1])).all():
        raise SpectrumError(f"{name} holds energies outside 1e-4 to 1e5 eV", "give positive photon energies in eV")
    if not (np.diff(axis) > 0).all():
        raise SpectrumError(f"{name} is not ascending", "sort the points by energy and remove repeated ones")
    return axis


def pchip(x: FloatArray, y: FloatArray, at: FloatArray) -> FloatArray:
    """``y`` (m,) at ``x`` (m,), ascending, interpolated ``at`` (k,) within their range without overshoot.

    F. N. Fritsch and J. Butland, SIAM J. Sci. Stat. Comput. 5, 300 (1984).
    """
    steps, slopes = np.diff(x), np.diff(y) / np.diff(x)
    if len(x) == 2:
        return _hermite(x, y, np.repeat(slopes, 2), at)
    inner = np.zeros(len(slopes) - 1)
    same = slopes[:-1] * np.sign(slopes[1:]) > 0.0
    weights_before, weights_after = 2.0 * steps[1:] + steps[:-1], steps[1:] + 2.0 * steps[:-1]
    before, after = slopes[:-1][same], slopes[1:][same]
    inner[same] = 1.0 / (
        (weights_before[same] / before + weights_after[same] / after) / (weights_before[same] + weights_after[same])
    )
    first = _end_slope(steps[0], steps[1], slopes[0], slopes[1])
    last = _end_slope(steps[-1], steps[-2], slopes[-1], slopes[-2])
    return _hermite(x, y, np.array([first, *inner, last]), at)


def _end_slope(h0: float, h1: float, m0: float, m1: float) -> float:
    """Derivative at an end from the two intervals next to it, of three points, kept from overshooting."""
    slope = ((2.0 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    if np.sign(slope) != np.sign(m0):
        return 0.0
    if np.sign(m0) != np.sign(m1) and abs(slope) > 3.0 * abs(m0):
        return float(3.0 * m0)
    return float(slope)


def spline_matrix(x: FloatArray, at: FloatArray) -> FloatArray:
    """The matrix (k, m) that interpolates values at ``x`` (m,), at least four, to ``at`` (k,) by a cubic spline."""
    y = np.eye(len(x))
    return _hermite(x, y, spline_derivatives(x, y), at)


def spline_derivatives(x: FloatArray, y: FloatArray) -> FloatArray:
    """The derivatives (m, k) at ``x`` (m,), at least four, of the cubic splines through the columns of ``y`` (m, k).

    At the ends the third derivative is continuous across the second and the last but one point ("not a knot").
    """
    n = len(x)
    steps = np.diff(x)
    slopes = np.diff(y, axis=0) / steps[:, None]
    matrix, right = np.zeros((n, n)), np.zeros(y.shape)
    inner = np.arange(1, n - 1)
    matrix[inner, inner - 1], matrix[inner, inner + 1] = steps[1:], steps[:-1]
    matrix[inner, inner] = 2.0 * (steps[:-1] + steps[1:])
    right[1:-1] = 3.0 * (steps[1:, None] * slopes[:-1] + steps[:-1, None] * slopes[1:])
    for end, row, h0, h1, m0, m1 in (
        (0, 1, steps[0], steps[1], slopes[0], slopes[1]),
        (n - 1, n - 2, steps[-1], steps[-2], slopes[-1], slopes[-2]),
    ):
        matrix[end, end], matrix[end, row] = h1, h0 + h1
        right[end] = ((3.0 * h0 + 2.0 * h1) * h1 * m0 + h0**2 * m1) / (h0 + h1)
    return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)


def _hermite(x: FloatArray, y: FloatArray, derivative: FloatArray, at: FloatArray) -> FloatArray:
    """The cubics through values and derivatives (m, ..) at ``x`` (m,), ``at`` (k,): (k, ..)."""
    shape = (-1, *(1,) * (y.ndim - 1))
    steps = np.diff(x).reshape(shape)
    slopes = np.diff(y, axis=0) / steps
    bend = (derivative[:-1] + derivative[1:] - 2.0 * slopes) / steps
    interval = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    s = (at - x[interval]).reshape(shape)
    cubic, square = (bend / steps)[interval], ((slopes - derivative[:-1]) / steps - bend)[interval]
    return np.asarray(y[interval] + derivative[interval] * s + square * (s * s) + cubic * (s * s * s))


def maxima(y: FloatArray, prominence: float, height: float = -np.inf) -> IntArray:
    """Indices, ascending, of the maxima of ``y`` (m,) at least ``height`` high and ``prominence`` prominent.

    A flat top counts at its middle.  The prominence is the height above the higher of the two lowest points between the
    maximum and the next higher point, or the end, on either side.
    """
    change = np.flatnonzero(np.diff(y))
    starts, ends = np.r_[0, change + 1], np.r_[change, len(y) - 1]
    level = y[starts]
    top = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])) + 1
    candidates = (starts[top] + ends[top]) // 2
    return np.array([i for i in candidates if y[i] >= height and _prominence(y, int(i)) >= prominence], dtype=np.int64)


def _prominence(y: FloatArray, i: int) -> float:
    higher = np.flatnonzero(y > y[i])
    before, after = higher[higher < i], higher[higher > i]
    left = y[(before[-1] + 1 if len(before) else 0) : i + 1].min()
    right = y[i : (after[0] if len(after) else len(y))].min()
    return float(y[i] - max(left, right))


def second_derivative(y: FloatArray, step: float, window: int) -> FloatArray:
    """Second derivative of ``y`` (m,), ``step`` apart, from cubics fitted to ``window`` (odd) points about each.

    A. Savitzky and M. J. E. Golay, Anal. Chem. 36, 1627 (1964); at the ends that of the cubic of the first and the last
    window.
    """
    half = window // 2
    offsets = np.arange(-half, half + 1, dtype=np.float64)
    fit = np.linalg.pinv(np.vander(offsets, 4, increasing=True))
    curve = np.empty(len(y))
    curve[half : len(y) - half] = np.correlate(y, 2.0 * fit[2], mode="valid")
    for part, end in ((slice(None, half), y[:window]), (slice(len(y) - half, None), y[-window:])):
        _, _, square, cubic = fit @ end
        curve[part] = (2.0 * square + 6.0 * cubic * offsets)[part if part.start is None else slice(half + 1, None)]
    return curve / step**2


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
