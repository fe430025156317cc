"""Line shapes on the energy axis, each of area 1, so that band areas do not depend on the width."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from clusterml.errors import OptionError
from clusterml.typing import FloatArray
from clusterml.units import FWHM_PER_SIGMA

BLOCK = 2048
"""Transitions summed at a time, to bound memory."""


def gaussian(offset_ev: FloatArray, fwhm_ev: float) -> FloatArray:
    """exp(-x^2 / 2 s^2) / (s sqrt(2 pi)), s = fwhm / 2.3548, in 1/eV; the shape of ``offset_ev``."""
    sigma = fwhm_ev / FWHM_PER_SIGMA
    return np.asarray(np.exp(-0.5 * (offset_ev / sigma) ** 2) / (sigma * math.sqrt(2.0 * math.pi)))


def lorentzian(offset_ev: FloatArray, fwhm_ev: float) -> FloatArray:
    """(w/2) / pi / (x^2 + (w/2)^2), w = fwhm, in 1/eV; the shape of ``offset_ev``."""
    half = 0.5 * fwhm_ev
    return np.asarray(half / math.pi / (offset_ev**2 + half**2))


SHAPES: dict[str, Callable[[FloatArray, float], FloatArray]] = {"gaussian": gaussian, "lorentzian": lorentzian}
"""Line shapes by name."""


def sum_of_bands(
    grid_ev: FloatArray, centre_ev: FloatArray, area: FloatArray, fwhm_ev: float, shape: str
) -> FloatArray:
    """sum_n area[n, k] G(E - centre[n]) on the grid.

    ``grid_ev`` (m,), ``centre_ev`` (n,), ``area`` (n, k); returns (k, m).  Raises :class:`OptionError` for an unknown
    ``shape`` or a width that is not positive.
    """
    if shape not in SHAPES:
        raise OptionError(f"shape '{shape}' is unknown", f"choose one of {', '.join(SHAPES)}")
    if not (math.isfinite(fwhm_ev) and fwhm_ev > 0):
        raise OptionError(f"fwhm_ev = {fwhm_ev} is not a band width", "give a positive number of eV, for example 0.2")
    line = SHAPES[shape]
    total = np.zeros((area.shape[1], len(grid_ev)))
    for start in range(0, len(centre_ev), BLOCK):
        block = slice(start, start + BLOCK)
        total += area[block].T @ line(grid_ev[None, :] - centre_ev[block, None], fwhm_ev)
    return total
