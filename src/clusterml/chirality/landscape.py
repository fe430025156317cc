"""Where symmetry elements may lie: how badly each kind of operation fits a geometry, for axes all over the half sphere.

One scan, in torch, serves every point group: a group's orientation is judged by looking up its operations.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from clusterml.chirality.groups import PointGroup, operation, operation_kind, point_group
from clusterml.structure.assign import Kinds
from clusterml.structure.nearest import NearestAtoms
from clusterml.structure.rotations import frames, hemisphere, rotation_grid
from clusterml.typing import FloatArray, IntArray

DIRECTIONS = 1200
"""Axes that are tried: about 4 degrees apart."""
GRID = 24_000
"""Rotations, about 9 degrees apart, from which the orientations of groups with several axes are taken."""
_PROBES = 12


class Landscape:
    """Misfits of symmetry operations of one centred geometry ``(n, 3)`` with exchangeable atoms ``kinds``."""

    def __init__(self, kinds: Kinds, positions: FloatArray) -> None:
        self._nearest = NearestAtoms(kinds, positions, positions)
        self._axes = hemisphere(DIRECTIONS)
        self._table: dict[tuple[float, int], FloatArray] = {}

    def starts(self, group: PointGroup, count: int, apart: float = 12.0) -> FloatArray:
        """The ``count`` (or fewer) best orientations ``(m, 3, 3)`` of ``group``, at least ``apart`` degrees apart."""
        lookups = _lookups(group.name)
        if not lookups:
            return np.eye(3)[None]
        score = sum(self._misfit(angle, determinant)[closest] for angle, determinant, closest in lookups)
        return _apart(_orientations(group.name), np.asarray(score), group, count, np.cos(np.radians(apart)))

    def _misfit(self, angle: float, determinant: int) -> FloatArray:
        """Mean square distance (A^2) of the operation's image to the nearest atoms, for every axis."""
        key = (angle, determinant)
        if key not in self._table:
            self._table[key] = self._nearest.score(operation(angle, determinant, self._axes), _PROBES)
        return self._table[key]


def _upwards(axis: FloatArray) -> FloatArray:
    """The axis, or its opposite: the same for both."""
    largest = next(value for value in axis if abs(value) > 1e-6)
    return axis * np.sign(largest)


@cache
def _lookups(name: str) -> list[tuple[float, int, IntArray]]:
    """Angle and determinant of a group's operations, and in each orientation of :func:`_orientations` their axis.

    Axes are numbers of directions of the landscape ``(m,)``.  An operation and its inverse count once; the inversion,
    which fits in any orientation alike, is left out.
    """
    axes: dict[tuple[float, ...], FloatArray] = {}
    for element in point_group(name).elements[1:]:
        angle, determinant, axis = operation_kind(element)
        if determinant > 0 or angle < np.pi - 1e-6:
            axes[(round(angle, 6), determinant, *np.round(_upwards(axis), 6))] = axis
    orientations, directions = _orientations(name), hemisphere(DIRECTIONS)
    return [
        (angle, int(determinant), np.argmax(np.abs(orientations @ axis @ directions.T), axis=1))
        for (angle, determinant, *_), axis in axes.items()
    ]


@cache
def _orientations(name: str) -> FloatArray:
    """Different orientations of a group, spread evenly ``(m, 3, 3)``."""
    group = point_group(name)
    if group.axial:
        axes = hemisphere(DIRECTIONS)
        other = np.where(np.abs(axes[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
        return frames(axes, other)[..., [1, 2, 0]]
    grid = rotation_grid(GRID)
    angles = np.einsum("kab,nba->kn", grid, group.domain)  # traces: the larger, the smaller the angle
    return grid[angles[:, 0] >= angles.max(axis=1) - 1e-12]


def _apart(orientations: FloatArray, score: FloatArray, group: PointGroup, count: int, cosine: float) -> FloatArray:
    """The orientations with the lowest scores, leaving out those close, or equivalent, to a better one."""
    chosen: list[FloatArray] = []
    free = np.ones(len(score), dtype=np.bool_)
    order = np.argsort(score, kind="stable")
    for index in order:
        if not free[index]:
            continue
        best = orientations[index]
        chosen.append(best)
        if len(chosen) == count:
            break
        if group.axial:
            free &= np.abs(orientations[:, :, 2] @ best[:, 2]) < cosine
        else:
            traces = np.einsum("ab,ncb,kac->kn", best, group.domain, orientations, optimize=True)
            free &= (traces.max(axis=1) - 1.0) / 2.0 < cosine
    return np.stack(chosen)
