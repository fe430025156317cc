"""Random skeletons of metals: pieces of lattices, drops, shells around a polyhedron, rings, chains and cages.

Nothing is looked up in known structures; distances are usual ones.  Random numbers come from the generator that is
handed in, so that a seed gives the same skeleton everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.build import SkeletonKind
from clusterml.structure.points import distances, rank_stably
from clusterml.structure.rotations import axis_rotation
from clusterml.typing import FloatArray

CONTACT = 2.88
"""Ag-Ag (A) in metal."""
ARGENTOPHILIC = 3.10
"""Ag...Ag (A) between silver(I) ions that ligands bridge."""
_CAP = 2.92  # A, from a capping metal to the face below
_SPAN = 4.75  # A, S...S of a straight S-Ag-S
_NO_METALS: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Skeleton:
    """Metals at ``positions`` ``(n, 3)`` (A), how they were made in ``words``, and, in rings and chains, the places of
    bridging donors ``(k, 3)`` with the metals that each ``binds``."""

    kind: SkeletonKind
    positions: FloatArray
    words: str
    donors: FloatArray
    binds: tuple[tuple[int, ...], ...] = _NO_METALS

    @property
    def metallic(self) -> bool:
        """Does it hold free electrons?  Silver(I) does not."""
        return self.kind in ("compact", "shelled")

    @property
    def contact(self) -> float:
        """Usual distance (A) of neighbouring metals."""
        return CONTACT if self.metallic else ARGENTOPHILIC


def draw_skeleton(kind: SkeletonKind, n: int, rng: np.random.Generator) -> Skeleton:
    """A random skeleton of ``n`` metals.

    Raises :class:`~clusterml.errors.StructureError` if this kind has none of that size.
    """
    if n < FEWEST[kind]:
        raise StructureError(f"a {kind} skeleton of {n} metals cannot be", f"give at least {FEWEST[kind]}")
    return _MAKERS[kind](n, rng)


FEWEST: dict[SkeletonKind, int] = {"compact": 3, "shelled": 6, "cage": 4, "ring": 3, "chain": 2}
"""Metals that a skeleton has at least."""
MOST: dict[SkeletonKind, int] = {"compact": 60, "shelled": 60, "cage": 16, "ring": 12, "chain": 10}
"""Metals that a skeleton has at most."""


def _bare(kind: SkeletonKind, positions: FloatArray, words: str) -> Skeleton:
    return Skeleton(kind, positions - positions.mean(axis=0), words, np.empty((0, 3)))


def _compact(n: int, rng: np.random.Generator) -> Skeleton:
    """A piece of a lattice around a random point of it, or a drop of random points that a pair potential closes."""
    style = str(rng.choice(["fcc", "hcp", "icosahedral", "disordered"]))
    if style == "disordered":
        return _bare("compact", _condense(n, rng), "disordered drop")
    points = {"fcc": _fcc, "hcp": _hcp, "icosahedral": _mackay}[style]()
    middle = points[: 1 + int(rng.integers(6))].mean(axis=0) if rng.random() < 0.7 else rng.normal(size=3)
    distance = np.linalg.norm(points - middle, axis=1) + 0.15 * rng.normal(size=len(points))
    return _bare("compact", points[rank_stably(distance)[:n]], f"{style} piece")


def _fcc() -> FloatArray:
    """Points of the lattice, nearest to the origin first (a point is there)."""
    grid = np.array([p for p in product(range(-5, 6), repeat=3) if sum(p) % 2 == 0], dtype=np.float64)
    return _by_radius(grid * CONTACT / np.sqrt(2.0))


def _hcp() -> FloatArray:
    points = [
        (i + 0.5 * (j % 2) + 0.5 * (k % 2), (j + (k % 2) / 3.0) * np.sqrt(0.75), k * np.sqrt(2.0 / 3.0))
        for i, j, k in product(range(-5, 6), repeat=3)
    ]
    return _by_radius(np.array(points) * CONTACT)


def _mackay() -> FloatArray:
    """Centre, icosahedron of 12, and the next shell of 42."""
    corners = _icosahedron(1.05 * CONTACT / 1.05146)
    edges = [
        corners[i] + corners[j] for i, j in product(range(12), repeat=2) if i < j and _near(corners[i], corners[j])
    ]
    return np.concatenate([np.zeros((1, 3)), corners, 2.0 * corners, np.array(edges)])


def _near(first: FloatArray, second: FloatArray) -> bool:
    return bool(np.linalg.norm(first - second) < 1.2 * CONTACT)


def _by_radius(points: FloatArray) -> FloatArray:
    return points[rank_stably(np.linalg.norm(points, axis=1))]


def _condense(n: int, rng: np.random.Generator) -> FloatArray:
    """A local minimum of a Morse potential from random points."""
    from scipy.optimize import minimize

    start = rng.normal(size=(n, 3)) * (0.6 * CONTACT * n ** (1.0 / 3.0))
    first, second = np.triu_indices(n, k=1)

    def energy(flat: FloatArray) -> tuple[float, FloatArray]:
        points = flat.reshape(n, 3)
        gap = points[first] - points[second]
        r = np.sqrt(np.sum(gap**2, axis=1)) + 1e-9
        decay = np.exp(-np.clip(1.4 * (r - CONTACT), -4.0, 50.0))
        slope = (2.0 * 1.4 * decay * (1.0 - decay) / r)[:, None] * gap
        gradient = np.zeros_like(points)
        np.add.at(gradient, first, slope)
        np.add.at(gradient, second, -slope)
        return float(np.sum((1.0 - decay) ** 2)), gradient.ravel() + 0.02 * flat

    def total(flat: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = energy(flat)
        return value + 0.01 * float(flat @ flat), gradient

    end = minimize(total, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 1000, "gtol": 1e-7})
    return np.asarray(end.x.reshape(n, 3))


def _shelled(n: int, rng: np.random.Generator) -> Skeleton:
    """A polyhedron, hollow or centred, whose faces are capped at random, shell by shell."""
    offered = [name for name, (points, _) in POLYHEDRA.items() if len(points) <= n - 1]
    name = str(rng.choice(offered))
    points, roomy = POLYHEDRA[name]
    centred = roomy and rng.random() < 0.6
    inner = np.concatenate([np.zeros((1, 3)), points]) if centred else points
    words = f"{'centred' if centred else 'hollow'} {name}"
    shell = 0
    grown = inner
    while len(grown) < n:
        caps = _caps(grown, rng)
        if len(caps) == 0:
            raise StructureError(f"a {words} has no room for {n} metals", "draw another skeleton")
        caps = caps[: n - len(grown)]
        grown, shell = np.concatenate([grown, caps]), shell + 1
        words += f" @ {len(caps)}"
    return _bare("shelled", grown, words)


def _caps(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Places over the faces of the hull, in random order, that are not too near to each other."""
    centre = points.mean(axis=0)
    places = []
    for corners in hull_faces(points):
        face = points[list(corners)]
        middle = face.mean(axis=0)
        radius = float(np.linalg.norm(face - middle, axis=1).max())
        if radius > _CAP - 0.6:
            continue
        normal = np.linalg.svd(face - middle)[2][-1]
        normal *= np.sign(normal @ (middle - centre))
        places.append(middle + np.sqrt(_CAP**2 - radius**2) * normal)
    chosen: list[FloatArray] = []
    for k in rng.permutation(len(places)).tolist():
        others = np.array([*points, *chosen])
        if np.linalg.norm(others - places[k], axis=1).min() > 0.93 * CONTACT:
            chosen.append(places[k])
    return np.array(chosen).reshape(-1, 3)


def hull_faces(points: FloatArray) -> list[tuple[int, ...]]:
    """Corners of each face of the convex hull of ``points`` ``(n, 3)``; triangles of one plane are one face."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except QhullError as error:
        raise StructureError("the metals lie in a plane", "draw another skeleton") from error
    faces: dict[tuple[int, ...], set[int]] = {}
    for corners, plane in zip(hull.simplices.tolist(), hull.equations, strict=True):
        key = tuple(np.round(plane / 0.02).astype(int).tolist())
        faces.setdefault(key, set()).update(corners)
    return [tuple(sorted(face)) for face in sorted(faces.values(), key=sorted)]


def _cage(n: int, rng: np.random.Generator) -> Skeleton:
    """Silver(I) ions on a polyhedron, or spread evenly over a sphere."""
    fitting = [name for name, (points, _) in POLYHEDRA.items() if len(points) == n]
    if fitting and rng.random() < 0.7:
        name = str(rng.choice(fitting))
        return _bare("cage", POLYHEDRA[name][0] * (ARGENTOPHILIC / CONTACT), name)
    points = rng.normal(size=(n, 3))
    for _ in range(400):  # repulsion on a sphere (Thomson's problem)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        gap = points[:, None] - points[None]
        square = np.sum(gap**2, axis=-1) + np.eye(n)
        points = points + 0.05 * np.sum(gap / square[..., None] ** 1.5, axis=1) / n
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    near = distances(points, points) + 9.0 * np.eye(n)
    return _bare("cage", points * ARGENTOPHILIC / float(np.median(near.min(axis=1))), "sphere")


def _ring(n: int, rng: np.random.Generator) -> Skeleton:
    """Metals on the sides of a puckered polygon whose corners are donors."""
    angle = 2.0 * np.pi * np.arange(n) / n
    radius = 0.5 * _SPAN / np.sin(np.pi / n)
    pucker = 0.4 * (n > 3) * rng.normal(size=n) * np.sqrt(n)
    corners = np.stack([radius * np.cos(angle), radius * np.sin(angle), pucker], axis=1)
    metals = 0.5 * (corners + np.roll(corners, -1, axis=0))
    binds = tuple((k, (k - 1) % n) for k in range(n))
    return Skeleton("ring", metals, f"ring of {n}", corners, binds)


def _chain(n: int, rng: np.random.Generator) -> Skeleton:
    """Metals between the donors of a random walk that turns by about 80 degrees at each."""
    ends = int(rng.integers(3))  # donors beyond n - 1: at no, one or both ends
    corners, direction = [np.zeros(3)], np.array([1.0, 0.0, 0.0])
    for _ in range(n):
        corners.append(corners[-1] + _SPAN * direction)
        side = np.cross(direction, rng.normal(size=3))
        direction = axis_rotation(side / np.linalg.norm(side), np.radians(rng.uniform(60.0, 95.0))) @ direction
    path = np.array(corners)
    metals = 0.5 * (path[:-1] + path[1:])
    first, last = (0 if ends == 2 else 1), (n if ends >= 1 else n - 1)
    numbers = range(first, last + 1)
    binds = tuple(tuple(m for m in (k - 1, k) if 0 <= m < n) for k in numbers)
    middle = metals.mean(axis=0)
    return Skeleton("chain", metals - middle, f"chain of {n}", path[list(numbers)] - middle, binds)


def _signs(*value: float) -> FloatArray:
    """All different permutations and signs of the coordinates."""
    images = {
        tuple(s * x for s, x in zip(sign, order, strict=True))
        for order in permutations(value)
        for sign in product((1.0, -1.0), repeat=3)
    }
    return np.array(sorted(images)) + 0.0


def _scaled(points: FloatArray) -> FloatArray:
    """With edges of the contact distance, about the centroid."""
    centred = points - points.mean(axis=0)
    near = distances(centred, centred) + 1e3 * np.eye(len(points))
    return np.asarray(centred * CONTACT / near.min())


def _icosahedron(edge: float) -> FloatArray:
    golden = (1.0 + np.sqrt(5.0)) / 2.0
    corners = [np.roll([0.0, a, b * golden], shift) for shift in range(3) for a in (1, -1) for b in (1, -1)]
    return np.array(corners) * edge / 2.0


def _prism(n: int, twist: float, height: float, caps: int = 0) -> FloatArray:
    """Two regular polygons of side 1, ``height`` apart, turned by ``twist``, and ``caps`` on the axis."""
    radius = 0.5 / np.sin(np.pi / n)
    layers = [
        np.stack([radius * np.cos(a), radius * np.sin(a), np.full(n, z)], axis=1)
        for a, z in (
            (2 * np.pi * np.arange(n) / n, height / 2),
            (2 * np.pi * np.arange(n) / n + twist, -height / 2),
        )
    ]
    tip = height / 2 + np.sqrt(max(1.0 - radius**2, 0.0))
    return np.concatenate([*layers, np.array([[0, 0, tip], [0, 0, -tip]])[:caps]])


_TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float64)
_PENTAGON = np.stack([np.cos(2 * np.pi * np.arange(5) / 5), np.sin(2 * np.pi * np.arange(5) / 5), np.zeros(5)], axis=1)
POLYHEDRA: dict[str, tuple[FloatArray, bool]] = {
    "tetrahedron": (_scaled(_TETRAHEDRON), False),
    "trigonal bipyramid": (
        _scaled(np.array([[1, 0, 0], [-0.5, 0.866, 0], [-0.5, -0.866, 0], [0, 0, 1.414], [0, 0, -1.414]])),
        False,
    ),
    "octahedron": (_scaled(_signs(1.0, 0.0, 0.0)), False),
    "trigonal prism": (_scaled(_prism(3, 0.0, 1.0)), False),
    "pentagonal bipyramid": (_scaled(np.concatenate([_PENTAGON, [[0, 0, 0.75], [0, 0, -0.75]]])), False),
    "cube": (_scaled(_signs(1.0, 1.0, 1.0)) * 1.08, True),
    "square antiprism": (_scaled(_prism(4, np.pi / 4, 0.841)), False),
    "capped square antiprism": (_scaled(_prism(4, np.pi / 4, 0.841, 1)), False),
    "bicapped square antiprism": (_scaled(_prism(4, np.pi / 4, 0.841, 2)), False),
    "pentagonal prism": (_scaled(_prism(5, 0.0, 1.0)), False),
    "icosahedron": (_icosahedron(1.05 * CONTACT), True),
    "cuboctahedron": (_scaled(_signs(1.0, 1.0, 0.0)), True),
    "hexagonal antiprism": (_scaled(_prism(6, np.pi / 6, 0.856)), True),
    "anticuboctahedron": (_scaled(_hcp()[1:13]), True),
    "rhombic dodecahedron": (_scaled(np.concatenate([_signs(1.0, 1.0, 1.0), _signs(2.0, 0.0, 0.0)])), True),
}
"""Name -> corners (A, edges of the contact distance) and whether there is room for a metal in the centre."""

_MAKERS: dict[SkeletonKind, Callable[[int, np.random.Generator], Skeleton]] = {
    "compact": _compact,
    "shelled": _shelled,
    "cage": _cage,
    "ring": _ring,
    "chain": _chain,
}
