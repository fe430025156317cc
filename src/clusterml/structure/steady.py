"""Choices that rounding errors practically never change.

Processors differ in the last digits of a sum.  Where symmetry makes several choices equally good, or where a minimiser
is stopped before it is at rest, such digits would decide what is built; with these functions they do not.
"""

from __future__ import annotations

import numpy as np

from clusterml.typing import FloatArray, IntArray

_SAME = 1e-9
"""Values that differ by less are equal."""
_NEAR = 1e-6
"""Values that follow each other more closely are ranked as equal."""
_GRID = 1e-6 * np.sqrt(2.0)
"""Spacing (A) of the grid: coordinates that somebody wrote down, and halves of them, do not lie between two points."""


def index_of_least(values: FloatArray) -> int:
    """Index of the first of the least ``values`` ``(n,)``, n > 0; they may be infinite but not NaN."""
    return int(np.argmax(values <= values.min() + _SAME))


def rank_stably(values: FloatArray) -> IntArray:
    """Indices ``(n,)`` that sort the finite ``values`` ``(n,)``; equal values keep their order."""
    order = np.argsort(values, kind="stable")
    group = np.cumsum(np.diff(values[order], prepend=-np.inf) > _NEAR)
    return order[np.lexsort((order, group))].astype(np.int64)


def snap_to_grid(positions: FloatArray) -> FloatArray:
    """``positions`` ``(n, 3)`` in A, moved onto a grid of 1.4e-6 A."""
    return np.asarray(np.round(positions / _GRID) * _GRID + 0.0)  # no negative zeros
