"""Continuous symmetry measures: how far a geometry is from having a point group.

One scan, in torch, serves every point group: a group's orientation is judged by looking up its operations.

S(G) = 100 min sum_i |x_i - y_i|^2 / sum_i |x_i|^2 over all structures y that have the symmetry G, with x about its
centroid: 0 for a symmetric structure, 100 at most.  H. Zabrodsky, S. Peleg, D. Avnir, J. Am. Chem. Soc. 114, 7843
(1992); M. Pinsky et al., J. Comput. Chem. 29, 2712 (2008).  The minimum runs over orientations of the group and over
the permutations of equal atoms that represent it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from clusterml.chirality.pointgroups import (
    PointGroup,
    best_orientation,
    operation,
    operation_kind,
    overlap,
    point_group,
)
from clusterml.chirality.representation import best_permutations, consistent_permutations, project, relabel
from clusterml.structure.rotations import frames, hemisphere, rotation_grid
from clusterml.structure.superpose import Kinds, NearestAtoms
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
        return _select_separate(_orientations(group.name), np.asarray(score), group, count, np.cos(np.radians(apart)))

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


def _select_separate(
    orientations: FloatArray, score: FloatArray, group: PointGroup, count: int, cosine: float
) -> FloatArray:
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


_SHORTLIST = (5, 16)  # starts that are followed to the end: for large clusters, for small ones
_PROBED_OPERATIONS = 5
_ROUNDS = 12
_STARTS = 60
_FINE = 800
_SMALL, _SMALL_ORDER = 8, 8  # atoms and operations up to which more starts and more choices of orbits are followed,
_NEAR = 2.0  # unless the measure is below this


@dataclass(frozen=True)
class SymmetryMeasure:
    """The distance of a geometry from a point group.

    group          Schoenflies symbol
    value          S(G), 0 to 100, dimensionless
    orientation    (3, 3): columns are the group's x, y, z axes in the frame of the geometry
    operations     (order, 3, 3): the operations in the frame of the geometry
    permutations   (order, n): operation g carries atom i to the place of atom ``permutations[g, i]``
    nearest        (n, 3): the nearest structure with the symmetry, in A, about the geometry's centroid
    contributions  (n,): each atom's part of ``value``; they sum to it
    """

    group: str
    value: float
    orientation: FloatArray
    operations: FloatArray
    permutations: IntArray
    nearest: FloatArray
    contributions: FloatArray


class SymmetrySearch:
    """Measures of several groups for one geometry: ``positions`` ``(n, 3)`` (A), exchangeable atoms in ``kinds``."""

    def __init__(self, kinds: Kinds, positions: FloatArray) -> None:
        self.kinds = kinds
        self.positions = np.asarray(positions - positions.mean(axis=0), dtype=np.float64)
        self.norm = float((self.positions**2).sum())
        self._landscape = Landscape(kinds, self.positions)
        self._known: dict[str, SymmetryMeasure] = {}

    def measure(self, name: str) -> SymmetryMeasure:
        """The measure for the point group ``name``; raises OptionError for an unknown one."""
        self.below(name, np.inf)
        return self._known[name]

    def below(self, name: str, ceiling: float) -> SymmetryMeasure | None:
        """As :meth:`measure`, but None if it is not below ``ceiling``, which is decided sooner."""
        if name not in self._known:
            measure = self._search(point_group(name), ceiling)
            if measure is None:
                return None
            self._known[name] = measure
        return self._known[name] if self._known[name].value < ceiling else None

    def _search(self, group: PointGroup, ceiling: float) -> SymmetryMeasure | None:
        best = (np.inf, np.eye(3), np.empty((0, 0), dtype=np.int64))
        seen: set[bytes] = set()
        shortlist = self._shortlist(group)
        for search in (self._candidates(group, shortlist, ceiling), self._more_candidates(group)):
            for orientation, permutations in search:
                if permutations.tobytes() not in seen:
                    seen.add(permutations.tobytes())
                    candidate = improve(self.kinds, self.positions, group, orientation, permutations)
                    best = min(best, candidate, key=lambda result: result[0])
            hopeless = shortlist[0][0] > min(best[0], ceiling) - 1e-6
            if len(self.positions) > _SMALL or best[0] < _NEAR or hopeless:
                break
        value, orientation, permutations = best
        if value >= ceiling:
            return None
        operations = orientation @ group.elements @ orientation.T
        nearest = project(self.positions, operations, permutations)
        parts = 100.0 * ((self.positions - nearest) ** 2).sum(axis=1) / max(self.norm, 1e-300)
        return SymmetryMeasure(group.name, value, orientation, operations, permutations, nearest, parts)

    def _candidates(
        self, group: PointGroup, shortlist: list[tuple[float, FloatArray]], ceiling: float
    ) -> Iterator[tuple[FloatArray, IntArray]]:
        """Orientations ``(3, 3)`` with consistent permutations ``(order, n)``, to be improved."""
        # all atoms on all symmetry elements, in no special orientation: a structure that every group allows
        yield rotation_grid(5)[2], np.tile(np.arange(len(self.positions)), (group.order, 1))
        for bound, orientation in shortlist:
            if bound < ceiling:
                for permutations in consistent_permutations(self.kinds, self.positions, group, orientation):
                    yield orientation, permutations

    def _more_candidates(self, group: PointGroup) -> Iterator[tuple[FloatArray, IntArray]]:
        """Many more starts for small molecules far from the symmetry, whose optima are many and shallow."""
        if group.order > _SMALL_ORDER:
            return
        plans = [(False, self._landscape.starts(group, _FINE if group.order == 2 else _FINE // 4, apart=5.0))]
        if group.axial:  # few kinds of orbits, so that all preferences among them can be tried
            plans.append((True, self._landscape.starts(group, _STARTS)))
        for thorough, orientations in plans:
            for orientation in orientations:
                sets = consistent_permutations(self.kinds, self.positions, group, orientation, thorough)
                yield from ((orientation, permutations) for permutations in sets)

    def _shortlist(self, group: PointGroup) -> list[tuple[float, FloatArray]]:
        """Starts improved with free permutations: different lower bounds of S, the best first, with orientations."""
        effort = 6000 if group.order == 2 else 1500
        count = int(np.clip(effort // len(self.positions), 8, _STARTS))
        starts = self._landscape.starts(group, count)
        probed = _choose_probes(group)
        elements, table = group.elements[probed], group.table[np.ix_(probed, probed)]
        bounds, orientations = self._free(elements, table, starts, 2)
        keep = int(np.clip(1500 // len(self.positions), *_SHORTLIST))
        bounds, orientations = self._free(elements, table, orientations[np.argsort(bounds)[: 2 * keep]], _ROUNDS)
        chosen: list[tuple[float, FloatArray]] = []
        for number in np.argsort(bounds):
            if not chosen or bounds[number] > chosen[-1][0] + 1e-7:
                chosen.append((float(bounds[number]), orientations[number]))
        return chosen[:keep]

    def _free(
        self, elements: FloatArray, table: IntArray, orientations: FloatArray, rounds: int
    ) -> tuple[FloatArray, FloatArray]:
        """Best permutations and orientation in turn, each operation for itself, for several starts ``(m, 3, 3)``.

        Lower bounds of S there ``(m,)``, and the orientations.  Operations act on the geometry through ``C_g`` of
        :func:`~clusterml.chirality.pointgroups.overlap`.
        """
        best = np.array(orientations)
        gain = np.zeros(len(best))
        before = np.full((len(best), len(elements), len(self.positions)), -1)
        active = np.arange(len(best))
        for _ in range(rounds):
            turned = best[active, None]
            operations = turned @ elements @ np.swapaxes(turned, -1, -2)
            permutations = best_permutations(self.kinds, self.positions, operations, table)
            correlation = np.swapaxes(self.positions[permutations], -1, -2) @ self.positions
            best[active] = best_orientation(elements, best[active], correlation, rounds=10, tolerance=1e-6)
            gain[active] = overlap(elements, best[active], correlation)
            changed = (permutations != before[active]).any(axis=(-1, -2))
            before[active] = permutations
            active = active[changed]
            if not len(active):
                break
        return 100.0 * (1.0 - gain / (len(elements) * max(self.norm, 1e-300))), best


def improve(
    kinds: Kinds, positions: FloatArray, group: PointGroup, orientation: FloatArray, permutations: IntArray
) -> tuple[float, FloatArray, IntArray]:
    """From consistent ``permutations`` ``(order, n)`` downhill to a local minimum of S: S, orientation, permutations.

    The orientation and which atom takes which part in the symmetric structure are optimised in turn; ``positions``
    ``(n, 3)`` are centred.
    """
    value, norm = np.inf, max(float((positions**2).sum()), 1e-300)
    for _ in range(_ROUNDS):
        correlation = np.swapaxes(positions[permutations], -1, -2) @ positions
        orientation = best_orientation(group.elements, orientation, correlation)
        nearest = project(positions, orientation @ group.elements @ orientation.T, permutations)
        reached = 100.0 * float(((positions - nearest) ** 2).sum()) / norm
        role = kinds.match(positions, nearest)
        if reached > value - 1e-12 or np.array_equal(role, np.arange(len(role))):
            return min(value, reached), orientation, permutations
        value, permutations = reached, relabel(permutations, role)
    return value, orientation, permutations


def _choose_probes(group: PointGroup) -> IntArray:
    """The identity and a few operations with their inverses that fix the orientation of the group."""
    inverse = np.argmax(group.table == 0, axis=1)
    others = [g for g in range(1, group.order) if inverse[g] >= g]
    step = max(1, len(others) // _PROBED_OPERATIONS)
    chosen = {g for g in others[::step]}
    return np.array([0, *sorted(chosen | {int(inverse[g]) for g in chosen})])
