"""The Hausdorff chirality measure: the largest distance that remains between a geometry and its mirror image.

H = min h(Q, Q') / d(Q) over all positions of the mirror image Q', where h is the larger of the two distances "farthest
atom of one set from the nearest atom (of its element) of the other", and d the diameter of Q.  A. B. Buda, K. Mislow,
J. Am. Chem. Soc. 114, 6006 (1992).  Found by minimising the largest distance from many superpositions: an upper bound
of H.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.structure.assign import Kinds
from clusterml.structure.rotations import kabsch, rotation_vector_matrix
from clusterml.structure.superpose import superpositions
from clusterml.typing import FloatArray, IntArray

_LAWSON = 60
_STARTS = 16


@dataclass(frozen=True)
class HausdorffChirality:
    """The measure ``value`` (0 to 1) = ``distance`` / ``diameter``, both in A."""

    value: float
    distance: float
    diameter: float


def hausdorff_chirality(kinds: Kinds, positions: FloatArray, starts: int = _STARTS) -> HausdorffChirality:
    """The measure of ``positions`` ``(n, 3)`` (A) with equal atoms given by ``kinds``; ``starts``: local searches."""
    from scipy.spatial.distance import pdist

    points = positions - positions.mean(axis=0)
    diameter = float(pdist(points).max()) if len(points) > 1 else 0.0
    if diameter == 0.0:
        return HausdorffChirality(0.0, 0.0, diameter)
    pairs = _Pairs(kinds, points)
    found = [pairs.minimise(rotation) for rotation in superpositions(kinds, points, points, True, starts)]
    distance, rotation, shift = min(found, key=lambda result: result[0])
    distance = min(distance, pairs.polish(rotation, shift)) if distance > 1e-9 else distance
    return HausdorffChirality(distance / diameter, distance, diameter)


class _Pairs:
    """Distances between a geometry and its moved mirror image, both ways, within kinds of atoms."""

    def __init__(self, kinds: Kinds, points: FloatArray) -> None:
        self.kinds, self.points = kinds.mobile, points

    def nearest(self, rotation: FloatArray, shift: FloatArray) -> tuple[IntArray, IntArray]:
        """Pairs of atoms (of the image, of the geometry), each ``(2n,)``: nearest partners seen from either side."""
        image = self.points @ rotation.T + shift
        first, second = [], []
        for atoms in self.kinds:
            apart = ((image[atoms][:, None, :] - self.points[atoms][None, :, :]) ** 2).sum(axis=-1)
            first += [atoms, atoms[np.argmin(apart, axis=0)]]
            second += [atoms[np.argmin(apart, axis=1)], atoms]
        return np.concatenate(first), np.concatenate(second)

    def minimise(self, rotation: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Largest distance (A), rotation ``(3, 3)`` and shift ``(3,)``: Lawson's weights, larger where it is far."""
        shift = np.zeros(3)
        best = (np.inf, rotation, shift)
        weights = np.ones(2 * len(self.points)) / (2 * len(self.points))
        for _ in range(_LAWSON):
            image, target = self.nearest(rotation, shift)
            apart = np.linalg.norm(self.points[image] @ rotation.T + shift - self.points[target], axis=1)
            if apart.max() < best[0]:
                best = (float(apart.max()), rotation, shift)
            if apart.max() < 1e-12:
                break
            weights = weights * (apart / apart.max() + 1e-3)
            weights /= weights.sum()
            centre, aim = weights @ self.points[image], weights @ self.points[target]
            root = np.sqrt(weights)[:, None]
            rotation = kabsch(root * (self.points[image] - centre), root * (self.points[target] - aim), improper=True)
            shift = aim - rotation @ centre
        return best

    def polish(self, rotation: FloatArray, shift: FloatArray) -> float:
        """The largest distance (A) after minimising it exactly for the pairs that matter (SLSQP)."""
        from scipy.optimize import minimize

        image, target = self.nearest(rotation, shift)
        moved = self.points[image] @ rotation.T
        reached = float(np.linalg.norm(moved + shift - self.points[target], axis=1).max())
        near = np.linalg.norm(moved + shift - self.points[target], axis=1) > 0.7 * reached
        moved, fixed = moved[near], self.points[target[near]]

        def slack(x: FloatArray) -> FloatArray:
            turned = moved @ rotation_vector_matrix(x[:3]).T + x[3:6]
            return np.asarray(x[6] - ((turned - fixed) ** 2).sum(axis=1))

        start = np.concatenate([np.zeros(3), shift, [reached**2]])
        result = minimize(
            lambda x: x[6], start, method="SLSQP", constraints={"type": "ineq", "fun": slack}, options={"maxiter": 100}
        )
        turn = rotation_vector_matrix(result.x[:3]) @ rotation
        image, target = self.nearest(turn, result.x[3:6])
        after = np.linalg.norm(self.points[image] @ turn.T + result.x[3:6] - self.points[target], axis=1).max()
        return min(reached, float(after))
