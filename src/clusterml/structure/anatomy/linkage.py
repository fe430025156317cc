"""Clusters of points by average linkage, like scipy's, whose import takes a quarter of a second.

The two nearest clusters become one as long as they are near enough; the distance of two clusters is the mean over all
pairs of their points, which is kept up to date as Lance and Williams, Comput. J. 9, 373 (1967), do.
"""

from __future__ import annotations

import numpy as np

from clusterml.typing import FloatArray, IntArray


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
