"""Distances between points, and which points are near each other.

Few points are compared one with another; many go through scipy's tree, which alone takes a fifth of a second to import.
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
