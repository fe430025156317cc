"""Turning what a caller gives into checked float64 arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from clusterml.errors import SpectrumError
from clusterml.typing import FloatArray

LARGEST_VALUE = 1e30
"""No spectral quantity in the units used here comes near; products of two such numbers still do not overflow."""
ENERGY_RANGE_EV = (1e-4, 1e5)
"""From microwaves to hard X-rays."""


def checked(name: str, values: Any, shape: tuple[int, ...], finite: bool = True) -> FloatArray:
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


def checked_axis(name: str, values: Any) -> FloatArray:
    """An energy axis (m,) in eV: at least 2 points, 1e-4 to 1e5, ascending; or :class:`SpectrumError`."""
    axis = as_floats(name, values)
    if axis.ndim != 1 or len(axis) < 2:
        raise SpectrumError(f"{name} has shape {axis.shape}", "an energy axis is a list of at least 2 numbers")
    if not ((axis >= ENERGY_RANGE_EV[0]) & (axis <= ENERGY_RANGE_EV[1])).all():
        raise SpectrumError(f"{name} holds energies outside 1e-4 to 1e5 eV", "give positive photon energies in eV")
    if not (np.diff(axis) > 0).all():
        raise SpectrumError(f"{name} is not ascending", "sort the points by energy and remove repeated ones")
    return axis
