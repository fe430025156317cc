"""Numbers of points: which are near each other, which belong together, and choices that rounding does not change.

Few points are compared one with another; many go through scipy's tree, which alone takes a fifth of a second to import.
Processors differ in the last digits of a sum.  Where symmetry makes several choices equally good, or where a minimiser
is stopped before it is at rest, such digits would decide what is built; with :func:`index_of_least`,
:func:`rank_stably` and :func:`snap_to_grid` they do not.
"""

from __future__ import annotations

import numpy as np

from clusterml.typing import FloatArray, IntArray

_FEW = 4_000_000
"""Distances that are computed one and all: 32 MB, as many milliseconds."""


def distances(points: FloatArray, others: FloatArray) -> FloatArray:
    """Distance ``(n, m)`` of each of ``points`` ``(n, 3)`` from each of ``others`` ``(m, 3)``, in their unit."""
    squares = [(points[:, None, k] - others[None, :, k]) ** 2 for k in range(3)]
    return np.asarray(np.sqrt(squares[0] + squares[1] + squares[2]))


def pairs_within(points: FloatArray, others: FloatArray, radius: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Indices ``(k,)`` into ``points`` ``(n, 3)`` and ``others`` ``(m, 3)`` of all pairs within ``radius``, and their
    distances ``(k,)``; in no order that may be relied on."""
    if len(points) * len(others) <= _FEW:
        distance = distances(points, others)
        first, second = np.nonzero(distance <= radius)
        return first, second, distance[first, second]
    from scipy.spatial import cKDTree

    table = cKDTree(points).sparse_distance_matrix(cKDTree(others), radius, output_type="ndarray")
    return table["i"].astype(np.int64), table["j"].astype(np.int64), table["v"].astype(np.float64)


def nearest(points: FloatArray, count: int) -> tuple[FloatArray, IntArray]:
    """Distances and indices ``(n, count)`` of the nearest of ``points`` ``(n, 3)`` to each of them, itself first."""
    if len(points) ** 2 <= _FEW:
        distance = distances(points, points)
        index = np.argsort(distance, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(distance, index, axis=1), index
    from scipy.spatial import cKDTree

    distance, index = cKDTree(points).query(points, count)
    return distance, index


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


def average_linkage(points: FloatArray, farthest: float) -> list[IntArray]:
    """Sorted indices of ``points`` ``(n, d)`` in each cluster; clusters farther apart than ``farthest`` stay apart."""
    distance = np.linalg.norm(points[:, None, :] - points[None, :, :], axis=2)
    np.fill_diagonal(distance, np.inf)
    rows, size = np.arange(len(points)), np.ones(len(points))
    label, nearest = rows.copy(), distance.argmin(axis=1)
    while True:
        i = int(distance[rows, nearest].argmin())
        j = int(nearest[i])
        if not distance[i, j] <= farthest:
            return [np.flatnonzero(label == k) for k in np.unique(label)]
        mean = (size[i] * distance[i] + size[j] * distance[j]) / (size[i] + size[j])
        distance[i], distance[:, i] = mean, mean
        distance[j], distance[:, j] = np.inf, np.inf
        distance[i, i] = np.inf
        size[i] += size[j]
        label[label == j] = i
        # a mean is never nearer than the nearer of the two was: no other cluster has a new neighbour
        stale = np.flatnonzero((nearest == i) | (nearest == j) | (rows == i))
        nearest[stale] = distance[stale].argmin(axis=1)
