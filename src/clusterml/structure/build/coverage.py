"""Donors on a bare skeleton: where they may sit, which places are taken, and a pair potential that settles the frame.

A donor bridges two to four metals, binds one, or ends a staple, whose own metal it shares with another donor.  The pair
potential has springs at usual bond lengths and soft walls where nothing is bonded; it is no energy, only a geometry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.build.sites import metal_donor
from clusterml.structure.build.skeleton import Skeleton
from clusterml.structure.points import distances
from clusterml.structure.rotations import axis_rotation, sphere
from clusterml.typing import FloatArray, IntArray

_FREE = 0.55  # A, beyond a bond: what is nearer to another metal would be bonded to it
_APART = 3.45  # A between two donors
_LOADS = {1: 0.5, 2: 0.0, 3: 0.25, 4: 0.9}  # what bridging so many metals costs
_CHOICE = 0.5  # temperature of the choice of sites
_FULL = 4  # bonds to donors that a metal has at most
_STAPLE = (4.0, 6.4)  # A between the metals under a staple's ends
_MISFIT = 0.8  # A, from a straight S-Ag-S to the donors of a staple before it is settled
_CLEAR = 2.1  # A, from the metal of a staple to all others before it is settled
_SHORTER = 0.1  # A, bonds of a metal with two donors
_SPAN = 4.75  # A, S...S of a straight S-Ag-S
_LEANS = np.radians([0.0, 20.0, -20.0, 40.0, -40.0, 60.0, -60.0])
_GRID = 1e-3  # A, on which a settled frame is put, so that it does not depend on the last digits of sums


@dataclass(frozen=True)
class Frame:
    """Metals and their donors, in A.

    ``metals`` ``(n,)`` atomic numbers; ``positions`` ``(n, 3)``; ``near``: pairs of metals in contact, with the
    distance ``contact`` they should have; ``donors`` ``(k, 3)``, the metals each ``binds``; ``straight``: metals with
    two donors opposite each other.
    """

    metals: IntArray
    positions: FloatArray
    contact: float
    near: tuple[tuple[int, int], ...]
    donors: FloatArray
    binds: tuple[tuple[int, ...], ...]
    straight: tuple[int, ...] = ()

    @property
    def load(self) -> IntArray:
        """Bonds to donors of each metal ``(n,)``."""
        return np.bincount([m for group in self.binds for m in group], minlength=len(self.metals)).astype(np.int64)

    def with_donor(self, place: FloatArray, binds: tuple[int, ...]) -> Frame:
        """The frame with one donor more."""
        return replace(self, donors=np.concatenate([self.donors, place[None]]), binds=(*self.binds, binds))


def bare_frame(skeleton: Skeleton, metals: IntArray) -> Frame:
    """The frame of a skeleton whose atoms have the atomic numbers ``metals`` ``(n,)``."""
    distance = distances(skeleton.positions, skeleton.positions)
    first, second = np.nonzero(np.triu(distance < 1.2 * skeleton.contact, k=1))
    near = tuple(zip(first.tolist(), second.tolist(), strict=True))
    straight = tuple(range(len(metals))) if skeleton.binds else ()
    return Frame(
        metals, skeleton.positions, skeleton.contact, () if skeleton.binds else near, skeleton.donors, skeleton.binds,
        straight,
    )  # fmt: skip


@dataclass(frozen=True)
class _Place:
    """A possible donor: its position ``(3,)`` and the metals it binds."""

    at: FloatArray
    binds: tuple[int, ...]


def add_donors(frame: Frame, count: int, rng: np.random.Generator, element: int = 16) -> Frame:
    """The frame with ``count`` more bridging donors of an ``element`` on random places, the barest metals first.

    As many as there is room for are added.
    """
    offered = _find_places(frame, element)
    for _ in range(count):
        free = [place for place in offered if _has_room(frame, place)]
        if not free:
            break
        load = frame.load
        cost = [float(np.mean(load[list(place.binds)])) + _LOADS[len(place.binds)] for place in free]
        place = free[int(np.argmin(np.array(cost) + _CHOICE * rng.gumbel(size=len(free)) * -0.5))]
        frame = frame.with_donor(place.at, place.binds)
    return frame


def _has_room(frame: Frame, place: _Place) -> bool:
    load = frame.load
    if any(load[m] >= (2 if m in frame.straight else _FULL) for m in place.binds):
        return False
    return len(frame.donors) == 0 or float(np.linalg.norm(frame.donors - place.at, axis=1).min()) > _APART


def _find_places(frame: Frame, element: int) -> list[_Place]:
    """All places of one donor on up to four metals in contact, that are outside and bound to no other metal."""
    table: list[set[int]] = [set() for _ in frame.metals]
    for i, j in frame.near:
        table[i].add(j)
        table[j].add(i)
    pairs = [(i, j) for i, j in frame.near]
    triangles = [(i, j, k) for i, j in pairs for k in sorted(table[i] & table[j]) if k > j]
    squares = [
        (i, j, k, m)
        for i, k in combinations(range(len(table)), 2)
        if k not in table[i]
        for j, m in combinations(sorted(table[i] & table[k]), 2)
        if m not in table[j] and i < j
    ]
    single = [(i,) for i in range(len(table))]
    return [place for group in (*pairs, *triangles, *squares, *single) for place in _places_on(frame, group, element)]


def _places_on(frame: Frame, group: tuple[int, ...], element: int) -> list[_Place]:
    corners = frame.positions[list(group)]
    middle = corners.mean(axis=0)
    length = float(np.mean([metal_donor(int(frame.metals[m]), element) for m in group]))
    spread = float(np.linalg.norm(corners - middle, axis=1).max())
    if spread > length - 0.3:
        return []
    height = np.sqrt(length**2 - spread**2)
    return [
        _Place(at, group)
        for out in _outward(frame, corners, middle)
        if _is_outside(frame, at := middle + height * out, group, length)
    ]


def _outward(frame: Frame, corners: FloatArray, middle: FloatArray) -> list[FloatArray]:
    """Directions in which a donor over ``corners`` may lie."""
    if len(corners) > 2:
        normal = np.linalg.svd(corners - middle)[2][-1]
        return [normal, -normal]
    gap = middle - frame.positions
    weight = np.exp(-(np.linalg.norm(gap, axis=1) ** 2) / 18.0)
    out = weight @ gap
    if len(corners) == 1:
        return [out / np.linalg.norm(out)] if np.linalg.norm(out) > 0.3 else list(sphere(24))
    along = corners[1] - corners[0]
    along /= np.linalg.norm(along)
    out -= (out @ along) * along
    if np.linalg.norm(out) < 0.1:
        out = np.cross(along, np.eye(3)[int(np.argmin(np.abs(along)))])
    out /= np.linalg.norm(out)
    return [axis_rotation(along, float(angle)) @ out for angle in _LEANS]


def _is_outside(frame: Frame, at: FloatArray, group: tuple[int, ...], length: float) -> bool:
    others = np.setdiff1d(np.arange(len(frame.metals)), group)
    return len(others) == 0 or float(np.linalg.norm(frame.positions[others] - at, axis=1).min()) > length + _FREE


def add_staples(frame: Frame, count: int, metal: int, rng: np.random.Generator) -> Frame:
    """The frame with up to ``count`` staples S-M-S of the element ``metal``, each on two surface metals.

    Two donors and one metal come with each.
    """
    core = len(frame.metals)
    for _ in range(count):
        distance = distances(frame.positions[:core], frame.positions[:core])
        first, second = np.nonzero(np.triu((distance > _STAPLE[0]) & (distance < _STAPLE[1])))
        feet = [(i, j) for i, j in zip(first.tolist(), second.tolist(), strict=True) if frame.load[[i, j]].max() < 2]
        fits = [staple for i, j in feet if (staple := _staple(frame, i, j)) is not None]
        if not fits:
            break
        ends, top = fits[int(rng.integers(len(fits)))]
        number = len(frame.metals)
        frame = replace(
            frame,
            metals=np.append(frame.metals, metal),
            positions=np.concatenate([frame.positions, top[None]]),
            straight=(*frame.straight, number),
        )
        for place in ends:
            frame = frame.with_donor(place.at, (*place.binds, number))
    return frame


def _staple(frame: Frame, first: int, second: int) -> tuple[list[_Place], FloatArray] | None:
    """Two donors over two metals that lean towards each other until a metal fits between, and its position."""
    feet = frame.positions[[first, second]]
    along = (feet[1] - feet[0]) / np.linalg.norm(feet[1] - feet[0])
    best: tuple[float, FloatArray] | None = None
    for lean in np.radians(np.arange(0.0, 80.0, 10.0)):
        ends = []
        for m, towards in ((first, along), (second, -along)):
            up = _outward(frame, frame.positions[[m]], frame.positions[m])[0]
            out = np.cos(lean) * up + np.sin(lean) * towards
            ends.append(frame.positions[m] + metal_donor(int(frame.metals[m]), 16) * out / np.linalg.norm(out))
        misfit = abs(float(np.linalg.norm(ends[1] - ends[0])) - _SPAN)
        if best is None or misfit < best[0] - 1e-9:
            best = misfit, np.array(ends)
    if best is None or best[0] > _MISFIT:
        return None
    places = [_Place(at, (m,)) for at, m in zip(best[1], (first, second), strict=True)]
    middle = best[1].mean(axis=0)
    out = middle - frame.positions.mean(axis=0)
    top = middle + 0.2 * out / (np.linalg.norm(out) + 1e-9)
    taken = np.concatenate([frame.positions, frame.donors])
    if not all(_has_room(frame, place) and _is_outside(frame, place.at, place.binds, 2.1) for place in places):
        return None
    return (places, top) if float(np.linalg.norm(taken - top, axis=1).min()) > _CLEAR else None


def settle_frame(frame: Frame, element: int = 16) -> Frame:
    """The frame at the minimum of springs and walls, on a grid of 0.001 A.

    Raises :class:`~clusterml.errors.StructureError` where a bond cannot be had at a length near the usual one.
    """
    from scipy.optimize import minimize

    springs, walls = _springs(frame, element), _walls(frame, element)
    n, total = len(frame.metals), len(frame.metals) + len(frame.donors)

    def energy(flat: FloatArray) -> tuple[float, FloatArray]:
        points = flat.reshape(total, 3)
        value, gradient = 0.0, np.zeros_like(points)
        for first, second, rest, strength, one_sided in (springs, walls):
            gap = points[first] - points[second]
            r = np.sqrt(np.sum(gap**2, axis=1)) + 1e-9
            off = np.minimum(r - rest, 0.0) if one_sided else r - rest
            value += float(np.sum(strength * off**2))
            slope = (2.0 * strength * off / r)[:, None] * gap
            np.add.at(gradient, first, slope)
            np.add.at(gradient, second, -slope)
        return value, gradient.ravel()

    start = np.concatenate([frame.positions, frame.donors]).ravel()
    end = minimize(energy, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-6, "ftol": 1e-14})
    points = np.round(end.x.reshape(total, 3) / _GRID) * _GRID + 0.0
    settled = replace(frame, positions=points[:n], donors=points[n:])
    _check_bonds(settled, element)
    return settled


_Pairs = tuple[IntArray, IntArray, FloatArray, FloatArray, bool]


def _springs(frame: Frame, element: int) -> _Pairs:
    """Bonds: (first, second, length, strength) of points numbered metals first."""
    n = len(frame.metals)
    rows = [(i, j, frame.contact, 0.7) for i, j in frame.near]
    ends: dict[int, list[int]] = {metal: [] for metal in frame.straight}
    for k, group in enumerate(frame.binds):
        longer = 0.06 * max(len(group) - 2, 0)
        for m in group:
            usual = metal_donor(int(frame.metals[m]), element) + longer
            rows.append((m, n + k, usual - (_SHORTER if m in ends else 0.0), 6.0))
            if m in ends:
                ends[m].append(n + k)
    rows += [(pair[0], pair[1], _SPAN, 3.0) for pair in ends.values() if len(pair) == 2]
    return (*_columns(rows), False)


def _walls(frame: Frame, element: int) -> _Pairs:
    """Pairs that may not come nearer than a distance."""
    n = len(frame.metals)
    bonded = {frozenset(pair) for pair in frame.near}
    bonded |= {frozenset((m, n + k)) for k, group in enumerate(frame.binds) for m in group}
    wall = 2.8 if frame.near else 3.0
    rows = []
    for i, j in combinations(range(n + len(frame.donors)), 2):
        if frozenset((i, j)) in bonded:
            continue
        if j < n:
            rows.append((i, j, wall, 3.0))
        elif i < n:
            rows.append((i, j, metal_donor(int(frame.metals[i]), element) + _FREE + 0.1, 2.0))
        else:
            rows.append((i, j, _APART + 0.15, 1.5))
    return (*_columns(rows), True)


def _columns(rows: list[tuple[int, int, float, float]]) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3]


def _check_bonds(frame: Frame, element: int) -> None:
    for at, group in zip(frame.donors, frame.binds, strict=True):
        length = np.linalg.norm(frame.positions[list(group)] - at, axis=1)
        usual = [metal_donor(int(frame.metals[m]), element) for m in group]
        if np.abs(length - usual).max() > 0.35:
            raise StructureError("a donor has no place at its usual distance", "draw another skeleton")
    distance = distances(frame.positions, frame.positions) + 9.0 * np.eye(len(frame.positions))
    if distance.min() < 2.45:
        raise StructureError("two metals are too near to each other", "draw another skeleton")
