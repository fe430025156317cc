"""Choices that rounding errors do not change.

Processors differ in the last digits of a sum.  Where symmetry makes several choices equally good, or where a minimiser
is stopped before it is at rest, such digits would decide what is built; with these functions they do not.
"""

from __future__ import annotations

import numpy as np

from clusterml.typing import FloatArray, IntArray

_SAME = 1e-9
"""Values that differ by less are equal."""
_STEP = 1e-6
"""Values are ranked by their multiple of this."""
_GRID = 1e-6 * np.sqrt(2.0)
"""Spacing (A) of the grid: no multiple of it is a coordinate that somebody wrote down, so that none lies between two
points."""


def least(values: FloatArray) -> int:
    """Index of the first of the least ``values`` ``(n,)``."""
    return int(np.argmax(values <= values.min() + _SAME))


def ranked(values: FloatArray) -> IntArray:
    """Indices ``(n,)`` of ``values`` ``(n,)``, ascending; equal ones in the order they have."""
    return np.argsort(np.round(values / _STEP), kind="stable").astype(np.int64)


def on_grid(positions: FloatArray) -> FloatArray:
    """``positions`` ``(n, 3)`` in A, moved onto a grid of 1.4e-6 A."""
    return np.asarray(np.round(positions / _GRID) * _GRID + 0.0)  # no negative zeros
