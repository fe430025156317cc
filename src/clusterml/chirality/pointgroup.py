"""The point group of a cluster: all operations that carry each atom to within a tolerance of an equal one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.chirality.groups import LARGEST_AXIS, operation_kind
from clusterml.structure.assign import Kinds
from clusterml.structure.nearest import NearestAtoms
from clusterml.structure.rotations import kabsch
from clusterml.structure.superpose import matching_frames
from clusterml.typing import FloatArray, IntArray

_SAME = 0.15  # largest difference between the matrices of one operation found twice


@dataclass(frozen=True)
class FoundGroup:
    """The point group ``name`` (Schoenflies) found within ``tolerance`` (A).

    ``operations`` ``(order, 3, 3)``; ``deviation`` (A): the largest distance of an atom's image from the equal atom.
    C*v, D*h and K*h stand for the infinite groups of linear molecules and of single atoms; they list no operations.
    """

    name: str
    tolerance: float
    operations: FloatArray
    deviation: float


def find_point_group(kinds: Kinds, positions: FloatArray, tolerance: float = 0.1) -> FoundGroup:
    """The point group of ``positions`` ``(n, 3)`` (A) about their centroid, with equal atoms given by ``kinds``."""
    return find_point_groups(kinds, positions, (tolerance,))[0]


def find_point_groups(kinds: Kinds, positions: FloatArray, tolerances: tuple[float, ...]) -> list[FoundGroup]:
    """The point group within each of several ``tolerances`` (A), which costs little more than one."""
    points = np.asarray(positions - positions.mean(axis=0), dtype=np.float64)
    spread = np.asarray(np.linalg.svd(points, compute_uv=False), dtype=np.float64)
    if len(points) == 1 or spread[1] < 1e-3 * max(spread[0], 1e-12):
        return [_linear(kinds, points, spread, tolerance) for tolerance in tolerances]
    operations, deviation = _operations(kinds, points, max(tolerances))
    found = []
    for tolerance in tolerances:
        kept = _closed(operations, deviation, tolerance)
        name = _name(operations[kept])
        found.append(FoundGroup(name, tolerance, operations[kept], float(deviation[kept].max())))
    return found


def _operations(kinds: Kinds, points: FloatArray, tolerance: float) -> tuple[FloatArray, FloatArray]:
    """Different operations ``(m, 3, 3)`` and the largest distance each leaves ``(m,)`` (A), the best first."""
    nearest = NearestAtoms(kinds, points, points)
    best: list[tuple[float, FloatArray]] = [(0.0, np.eye(3))]
    for improper in (False, True):
        candidates = matching_frames(kinds, points, points, improper, alike=2.0 * tolerance + 1e-3)
        score = nearest.score(candidates)  # a mean square below which no atom may be if the farthest is within reach
        for candidate in candidates[score <= (3.0 * tolerance) ** 2 + 1e-6]:
            permutation = kinds.match(points @ candidate.T, points)
            matrix = kabsch(points[permutation], points, improper)
            apart = float(np.linalg.norm(points[permutation] @ matrix.T - points, axis=1).max())
            known = next((k for k, (_, other) in enumerate(best) if np.abs(other - matrix).max() < _SAME), None)
            if apart > tolerance:
                continue
            if known is None:
                best.append((apart, matrix))
            elif apart < best[known][0]:
                best[known] = (apart, matrix)
    best.sort(key=lambda entry: entry[0])
    return np.stack([matrix for _, matrix in best]), np.array([apart for apart, _ in best])


def _closed(operations: FloatArray, deviation: FloatArray, tolerance: float) -> IntArray:
    """Numbers of the operations within ``tolerance`` that form a group, found by leaving out the worst."""
    kept = list(np.flatnonzero(deviation <= tolerance))
    while True:
        members = operations[kept]
        products = np.einsum("gab,hbc->ghac", members, members).reshape(-1, 9)
        # |P - M|^2 = 6 - 2 P.M for orthogonal matrices: is every product one of the members?
        gap = 6.0 - 2.0 * (products @ members.reshape(-1, 9).T).max(axis=1).min()
        if gap < (3 * _SAME) ** 2 or len(kept) == 1:
            return np.array(kept)
        kept.pop(int(np.argmax(deviation[kept])))


def _name(operations: FloatArray) -> str:
    """Schoenflies symbol of a group of matrices ``(order, 3, 3)``."""
    kinds = [operation_kind(matrix) for matrix in operations]
    turns = [(_fold(angle), axis) for angle, determinant, axis in kinds if determinant > 0]
    mirrors = [axis for angle, determinant, axis in kinds if determinant < 0 and angle < 0.2]
    inverts = any(determinant < 0 and angle > np.pi - 0.3 for angle, determinant, _ in kinds)
    proper, improper = len(turns), len(kinds) - len(turns)
    highest, main = max(turns, key=lambda turn: turn[0])
    if proper in (12, 24, 60) and highest == {12: 3, 24: 4, 60: 5}[proper]:
        letter = {12: "T", 24: "O", 60: "I"}[proper]
        return letter + ("" if not improper else "h" if inverts else "d")
    if proper == 1:
        return "C1" if not improper else "Cs" if mirrors else "Ci"
    horizontal = any(abs(axis @ main) > 0.9 for axis in mirrors)
    if proper == highest:
        if improper and not horizontal and not mirrors:
            return f"S{2 * highest}"
        return f"C{highest}" + ("" if not improper else "h" if horizontal else "v")
    if highest == 2:  # D2: any of the three axes may be the main one
        return "D2" + ("" if not improper else "h" if len(mirrors) == 3 else "d")
    return f"D{highest}" + ("" if not improper else "h" if horizontal else "d")


def _fold(angle: float) -> int:
    """Order of a rotation by ``angle`` (rad, 0 to pi): 72 and 144 degrees are of order 5."""
    orders = [n for n in range(1, LARGEST_AXIS + 1) if abs(np.sin(0.5 * n * angle)) < 0.06 * n]
    return min(orders, key=lambda n: (abs(np.sin(0.5 * n * angle)) > 0.02 * n, n), default=1)


def _linear(kinds: Kinds, points: FloatArray, spread: FloatArray, tolerance: float) -> FoundGroup:
    if spread[0] < 1e-9:
        return FoundGroup("K*h", tolerance, np.eye(3)[None], 0.0)
    permutation = kinds.match(-points, points)
    apart = float(np.linalg.norm(points[permutation] + points, axis=1).max())
    centred = apart <= tolerance
    return FoundGroup("D*h" if centred else "C*v", tolerance, np.eye(3)[None], apart if centred else 0.0)
