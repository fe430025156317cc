"""The measures for thousands of distortions of one cluster, from permutations that are determined once.

The parent and a few of the geometries are searched in full.  The permutations found, and their images under the
parent's own symmetry, are tried on every geometry at once; the best is then improved for each.  So the result is that
of a full search while the distortions leave open only which of those permutations is best; else it is an upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.chirality.continuous import SymmetryMeasure, SymmetrySearch, improve
from clusterml.chirality.measures import IMPROPER_GROUPS, continuous_chirality, opd_index
from clusterml.chirality.part import REACH
from clusterml.chirality.pointgroups import PointGroup, best_orientation, find_point_group, overlap, point_group
from clusterml.errors import OptionError, StructureError
from clusterml.io.display import wrapped
from clusterml.structure.rotations import kabsch
from clusterml.structure.superpose import Kinds, refine, superpose
from clusterml.typing import FloatArray, IntArray

_TOLERANCE = 0.5  # A: operations of the parent that may make starts equivalent to each other
_MARGIN = 2.0  # how much farther than the nearest an improper symmetry may be and still be tried
_POLISHED = 3  # starts whose orientation is optimised for each geometry
_CHUNK = 5_000_000  # coordinates gathered at a time


@dataclass(frozen=True, repr=False)
class BatchChirality:
    """Measures of b geometries, each ``(b,)``, as in :class:`~clusterml.chirality.part.PartChirality`.

    ``ccm`` 0 to 100, ``misfit`` to the mirror image in A, signed ``opd`` and ``opd_local``, ``symmetry``: point group
    -> continuous symmetry measures, 0 to 100.
    """

    ccm: FloatArray
    misfit: FloatArray
    opd: FloatArray
    opd_local: FloatArray
    symmetry: dict[str, FloatArray]

    def __repr__(self) -> str:
        """How many there are, and the ranges of the measures."""
        ranges = [f"{name} {_span(getattr(self, name))}" for name in ("ccm", "misfit", "opd", "opd_local")]
        ranges += [f"{group} {_span(values)}" for group, values in self.symmetry.items()]
        return wrapped(f"BatchChirality({len(self.ccm)} geometries: {', '.join(ranges)})")


def _span(values: FloatArray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def chirality_batch(
    numbers: IntArray,
    positions: FloatArray,
    *,
    parent: FloatArray | None = None,
    groups: tuple[str, ...] = (),
    assign: bool = True,
    samples: int = 4,
) -> BatchChirality:
    """Measure ``positions`` ``(b, n, 3)`` (A), distortions of ``parent`` ``(n, 3)`` (default: the first of them).

    ``numbers`` ``(n,)``: atomic numbers.  ``groups``: point groups to measure besides.  ``assign``: reassign the atoms
    of every geometry, which costs milliseconds each; without it the permutations that were tried are kept.
    ``samples``: geometries that are searched in full besides the parent.  Raises StructureError for shapes that do not
    fit or coordinates that are not finite, OptionError for negative ``samples``.

    Examples:
        >>> import clusterml as cm
        >>> atoms = cm.build("ag3", thiolate="SH")
        >>> images = cm.scan(atoms, "shear", [0.0, 4.0])
        >>> cm.chirality_batch(atoms.numbers, [image.positions for image in images]).ccm.round(2)
        array([0.  , 0.01])
    """
    positions = np.asarray(positions, dtype=np.float64)
    numbers = np.asarray(numbers, dtype=np.int64)
    if positions.ndim != 3 or positions.shape[1:] != (len(numbers), 3) or not len(positions):
        raise StructureError(
            f"positions of shape {positions.shape} with {len(numbers)} elements cannot be measured",
            "give an array (batch, atoms, 3) with at least one geometry",
        )
    if not np.isfinite(positions).all():
        raise StructureError("the positions hold numbers that are not finite", "leave those geometries out")
    if not len(numbers):
        raise StructureError("there are no atoms", "give geometries of one atom or more")
    if samples < 0:
        raise OptionError(f"samples is {samples}", "give a number that is not negative")
    origin = positions[0] if parent is None else np.asarray(parent, dtype=np.float64)
    if origin.shape != positions.shape[1:] or not np.isfinite(origin).all():
        raise StructureError(
            f"parent has shape {origin.shape} or numbers that are not finite, and the geometries {len(numbers)} atoms",
            "give the positions of these atoms",
        )
    points = positions - positions.mean(axis=1, keepdims=True)
    chosen = np.unique(np.linspace(0, len(points) - 1, min(samples, len(points))).round().astype(np.int64))
    starts = _Starts(Kinds.of(numbers), [origin - origin.mean(axis=0), *points[chosen]], numbers)
    improper = [starts.measure(name, points, assign) for name in starts.near_improper()]
    return BatchChirality(
        np.min(improper, axis=0),
        starts.misfit(points, assign),
        opd_index(points),
        opd_index(points, reach=REACH),
        {name: starts.measure(name, points, assign) for name in groups},
    )


class _Starts:
    """Permutations and orientations that make the parent, or one of the samples, nearly symmetric."""

    def __init__(self, kinds: Kinds, searched: list[FloatArray], numbers: IntArray) -> None:
        self.kinds, self.numbers, self.searched = kinds, numbers, searched
        self.searches = [SymmetrySearch(kinds, points) for points in searched]
        operations = find_point_group(kinds, searched[0], _TOLERANCE).operations
        self.own = operations[np.linalg.det(operations) > 0]
        self.moves = [kinds.match(searched[0], searched[0] @ matrix.T) for matrix in self.own]

    def near_improper(self) -> list[str]:
        """The improper groups that a distortion of the parent may be nearest to."""
        near = []
        for search in self.searches:
            ceiling = continuous_chirality(search).value + _MARGIN
            near += [name for name in IMPROPER_GROUPS if search.below(name, ceiling) is not None]
        return list(dict.fromkeys(near))

    def measure(self, name: str, points: FloatArray, assign: bool) -> FloatArray:
        """Continuous symmetry measures ``(b,)`` of ``points`` ``(b, n, 3)``."""
        group = point_group(name)
        starts = self._equivalent([search.measure(name) for search in self.searches])
        best, frames, which = _screen(group, points, starts)
        if assign:
            for k, point in enumerate(points):
                best[k] = min(best[k], improve(self.kinds, point, group, frames[k], starts[which[k]][1])[0])
        return np.maximum(best, 0.0)

    def misfit(self, points: FloatArray, assign: bool) -> FloatArray:
        """Root-mean-square misfits to the mirror image ``(b,)`` (A)."""
        permutations = [superpose(self.numbers, x, x, improper=True).permutation for x in self.searched]
        best = np.full(len(points), np.inf)
        frames = np.tile(np.diag([1.0, 1.0, -1.0]), (len(points), 1, 1))
        for permutation in {tuple(start[move].tolist()) for start in permutations for move in self.moves}:
            moved = points[:, list(permutation)]
            rotations = kabsch(moved, points, improper=True)
            rms = np.sqrt(((moved @ np.swapaxes(rotations, -1, -2) - points) ** 2).sum(axis=-1).mean(axis=-1))
            frames[rms < best] = rotations[rms < best]
            best = np.minimum(best, rms)
        if assign:
            for k, point in enumerate(points):
                best[k] = min(best[k], refine(self.kinds, point, point, frames[k], improper=True)[0])
        return best

    def _equivalent(self, solutions: list[SymmetryMeasure]) -> list[tuple[FloatArray, IntArray]]:
        """The solutions and their images under the parent's rotations: orientations and permutations, all different."""
        images: dict[bytes, tuple[FloatArray, IntArray]] = {}
        for solution in solutions:
            for matrix, move in zip(self.own, self.moves, strict=True):
                permutations = np.empty_like(solution.permutations)
                permutations[:, move] = move[solution.permutations]
                images.setdefault(permutations.tobytes(), (matrix @ solution.orientation, permutations))
        return list(images.values())


def _screen(
    group: PointGroup, points: FloatArray, starts: list[tuple[FloatArray, IntArray]]
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Measures ``(b,)``, orientations ``(b, 3, 3)`` and numbers ``(b,)`` of each geometry's best start."""
    norm = np.maximum((points**2).sum(axis=(1, 2)), 1e-300)
    gains = np.stack([_gain(group, points, *start) for start in starts], axis=1)
    best = np.full(len(points), np.inf)
    frames = np.tile(np.eye(3), (len(points), 1, 1))
    which = np.zeros(len(points), dtype=np.int64)
    ranked = np.argsort(-gains, axis=1)[:, :_POLISHED]
    for number, (orientation, permutations) in enumerate(starts):
        members = np.flatnonzero((ranked == number).any(axis=1))
        if not len(members):
            continue
        correlation = _correlation(points[members], permutations)
        turned = best_orientation(group.elements, np.tile(orientation, (len(members), 1, 1)), correlation)
        value = 100.0 * (1.0 - overlap(group.elements, turned, correlation) / (group.order * norm[members]))
        better = value < best[members]
        best[members[better]], frames[members[better]] = value[better], turned[better]
        which[members[better]] = number
    return best, frames, which


def _gain(group: PointGroup, points: FloatArray, orientation: FloatArray, permutations: IntArray) -> FloatArray:
    """The overlap ``(b,)`` in the start's own orientation."""
    return overlap(group.elements, np.tile(orientation, (len(points), 1, 1)), _correlation(points, permutations))


def _correlation(points: FloatArray, permutations: IntArray) -> FloatArray:
    """``C_g`` of :func:`~clusterml.chirality.pointgroups.overlap` for each geometry ``(b, order, 3, 3)``."""
    step = max(1, _CHUNK // (permutations.size * 3))
    parts = [points[start : start + step] for start in range(0, len(points), step)]
    return np.concatenate([np.swapaxes(part[:, permutations], -1, -2) @ part[:, None] for part in parts])
