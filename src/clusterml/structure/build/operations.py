"""Symmetry of a structure: operations, the groups and orbits they generate, and a constraint that keeps them.

An operation is written ``i`` (inversion), ``C3[111]`` (rotation by 360/3 degrees about the axis [111]), ``S4[001]``
(rotation and reflection) or ``m[1-10]`` (reflection in the plane with that normal).  Axes have one digit per
component, with a minus before a negative one.  All operations leave the origin where it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError
from clusterml.structure.rotations import axis_rotation, kabsch
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


_OPERATION = re.compile(r"(?:(?P<kind>[CS])(?P<order>\d)|(?P<mirror>m))\[(?P<axis>(?:-?\d){3})\]")
_LARGEST_GROUP = 120
_SAME = 1e-3  # A, or an element of a matrix: positions in blueprints have four decimals


def operation(name: str) -> FloatArray:
    """The ``(3, 3)`` matrix g of an operation (x' = g x); raises :class:`~clusterml.errors.OptionError`."""
    if name == "i":
        return -np.eye(3)
    symbol = _OPERATION.fullmatch(name)
    if not symbol:
        raise OptionError(f"there is no symmetry operation {name!r}", "write i, C3[111], S4[001] or m[1-10]")
    axis = np.array([float(digit) for digit in re.findall(r"-?\d", symbol["axis"])])
    if not axis.any():
        raise OptionError(f"the axis of {name!r} has no length", "give a direction such as [001]")
    axis /= np.linalg.norm(axis)
    mirror = np.eye(3) - 2.0 * np.outer(axis, axis)
    if symbol["mirror"]:
        return mirror
    turned = axis_rotation(axis, 2.0 * np.pi / max(int(symbol["order"]), 1))
    return turned @ mirror if symbol["kind"] == "S" else turned


def group(generators: Sequence[str]) -> FloatArray:
    """All operations ``(g, 3, 3)`` of the group of the named generators, the identity first.

    Raises :class:`~clusterml.errors.OptionError` for an unknown name or generators of no finite group.
    """
    elements = [np.eye(3)]
    steps = [operation(name) for name in generators]
    processed = 0
    while processed < len(elements):
        for step in steps:
            new = step @ elements[processed]
            if not any(np.abs(new - old).max() < _SAME for old in elements):
                elements.append(new)
        processed += 1
        if len(elements) > _LARGEST_GROUP:
            raise OptionError(f"{', '.join(generators)} generate no point group", "check the axes")
    return np.array(elements)


@dataclass(frozen=True)
class Orbit:
    """Images of a site: ``operations`` ``(m, 3, 3)`` take it to its m different places (the identity first);
    ``stabiliser`` ``(s, 3, 3)`` are those that leave it where it is."""

    operations: FloatArray
    stabiliser: FloatArray


def find_orbit(points: FloatArray, operations: FloatArray) -> Orbit:
    """The orbit of a site given by one or more ``points`` ``(k, 3)`` (A), whose order has no meaning."""
    places: list[FloatArray] = []
    movers: list[FloatArray] = []
    keepers: list[FloatArray] = []
    for g in operations:
        image = points @ g.T
        if same_points(image, points):
            keepers.append(g)
        if not any(same_points(image, place) for place in places):
            places.append(image)
            movers.append(g)
    return Orbit(np.array(movers), np.array(keepers))


def same_points(first: FloatArray, second: FloatArray, tolerance: float = 0.02) -> bool:
    """Are two sets of points ``(k, 3)`` equal up to order, within ``tolerance`` (A)?"""
    distance = np.linalg.norm(first[:, None] - second[None], axis=-1)
    return bool((distance.min(axis=0) < tolerance).all() and (distance.min(axis=1) < tolerance).all())


def permutations(positions: FloatArray, numbers: IntArray, operations: FloatArray) -> tuple[IntArray, float]:
    """Where each operation takes each atom: ``(g, n)`` indices p with ``positions[p[i]] = g positions[i]``.

    Also the largest distance (A) between an image and the atom it falls on; atoms of one element only are paired.
    """
    from scipy.spatial import cKDTree

    table = np.empty((len(operations), len(positions)), dtype=np.int64)
    worst = 0.0
    for number in np.unique(numbers):
        atoms = np.flatnonzero(numbers == number)
        tree = cKDTree(positions[atoms])
        for row, g in enumerate(operations):
            distance, nearest = tree.query(positions[atoms] @ g.T)
            table[row, atoms] = atoms[nearest]
            worst = max(worst, float(distance.max()))
            if len(np.unique(nearest)) < len(atoms):
                worst = np.inf
    return table, worst


def symmetrise(positions: FloatArray, operations: FloatArray, table: IntArray) -> FloatArray:
    """Mean ``(n, 3)`` of the images of ``positions`` (A, or any vectors on the atoms) under a group.

    ``table`` ``(g, n)`` as :func:`permutations` gives it.
    """
    total = np.zeros_like(positions)
    for g, places in zip(operations, table, strict=True):
        total[places] += positions @ g.T
    return total / len(operations)


TOLERANCE = 0.02
"""Largest distance (A) between an atom and the image of another that still counts as symmetric."""
_ON_CENTRE = 0.1
_FLAT = 0.05
_MOST_PAIRS = 20_000


@dataclass(frozen=True)
class Operations:
    """A point group of a structure: ``matrices`` ``(g, 3, 3)`` about ``centre`` ``(3,)`` in A, and where each operation
    takes each atom, ``table`` ``(g, n)``."""

    matrices: FloatArray
    centre: FloatArray
    table: IntArray

    def __len__(self) -> int:
        return len(self.matrices)

    def mean(self, vectors: FloatArray) -> FloatArray:
        """Vectors ``(n, 3)`` on the atoms (forces, displacements) averaged over the group."""
        return symmetrise(vectors, self.matrices, self.table)

    def restore(self, positions: FloatArray) -> FloatArray:
        """Positions ``(n, 3)`` averaged over the group."""
        return self.mean(positions - self.centre) + self.centre


def find_operations(atoms: Atoms, tolerance: float = TOLERANCE) -> Operations:
    """All operations, proper and improper, that leave ``atoms`` as they are within ``tolerance`` (A).

    Candidates map a pair of atoms of the least frequent kind onto every like pair; each is tested on all atoms.  A
    structure on one line is given the identity only.  If the tolerance lets through operations that do not form a
    group, the identity is returned.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    centre = atoms.positions.mean(axis=0)
    local = np.asarray(atoms.positions - centre, dtype=np.float64)
    operations = [np.eye(3)]
    for matrix in _candidates(numbers, local, tolerance):
        table, worst = permutations(local, numbers, matrix[None])
        if worst < 3 * tolerance:
            better = kabsch(local, local[table[0]], improper=bool(np.linalg.det(matrix) < 0))
            worst = float(np.linalg.norm(local @ better.T - local[table[0]], axis=1).max())
            if worst < tolerance and not any(np.abs(better - other).max() < 0.05 for other in operations):
                operations.append(better)
    matrices = np.array(operations)
    if not _is_group(matrices):
        matrices = matrices[:1]
    return Operations(matrices, centre, permutations(local, numbers, matrices)[0])


def _candidates(numbers: IntArray, local: FloatArray, tolerance: float) -> list[FloatArray]:
    """Orthogonal matrices that take the first of a pair of atoms and the second to a like pair."""
    radius = np.linalg.norm(local, axis=1)
    shells = _shells(numbers, radius, tolerance)
    first, second = _choose_pair(shells, local)
    if first is None or second is None:
        return []
    start = _frame(local[first], local[second])
    angle = float(local[first] @ local[second])
    slack = 2 * tolerance * (radius[first] + radius[second])
    matrices: list[FloatArray] = []
    for i in shells[_shell_of(shells, first)]:
        for j in shells[_shell_of(shells, second)]:
            if i == j or abs(float(local[i] @ local[j]) - angle) > slack or len(matrices) > _MOST_PAIRS:
                continue
            for side in (1.0, -1.0):
                matrices.append(_frame(local[i], local[j], side) @ start.T)
    return matrices


def _shells(numbers: IntArray, radius: FloatArray, tolerance: float) -> list[IntArray]:
    """Atoms of one element at about the same distance from the centre, the smallest sets first."""
    shells: list[IntArray] = []
    for number in np.unique(numbers):
        atoms = np.flatnonzero((numbers == number) & (radius > _ON_CENTRE))
        atoms = atoms[np.argsort(radius[atoms], kind="stable")]
        cuts = np.flatnonzero(np.diff(radius[atoms]) > 2 * tolerance) + 1
        shells += [part for part in np.split(atoms, cuts) if len(part)]
    return sorted(shells, key=len)


def _choose_pair(shells: list[IntArray], local: FloatArray) -> tuple[int | None, int | None]:
    """Two atoms of small shells whose directions differ."""
    if not shells:
        return None, None
    first = int(shells[0][0])
    for shell in shells:
        for second in shell.tolist():
            cross = np.cross(local[first], local[second])
            if np.linalg.norm(cross) > _FLAT * np.linalg.norm(local[first]) * np.linalg.norm(local[second]):
                return first, int(second)
    return first, None


def _shell_of(shells: list[IntArray], atom: int) -> int:
    return next(k for k, shell in enumerate(shells) if atom in shell)


def _frame(first: FloatArray, second: FloatArray, side: float = 1.0) -> FloatArray:
    """Columns: along ``first``, the rest of ``second``, and their normal times ``side``."""
    a = first / np.linalg.norm(first)
    b = second - (second @ a) * a
    b /= np.linalg.norm(b)
    return np.stack([a, b, side * np.cross(a, b)], axis=1)


def _is_group(matrices: FloatArray) -> bool:
    products = np.einsum("aij,bjk->abik", matrices, matrices).reshape(-1, 3, 3)
    gap = np.abs(products[:, None] - matrices[None]).max(axis=(2, 3)).min(axis=1)
    return bool(gap.max() < 0.1)


class KeepSymmetry:
    """An ASE constraint: displacements and forces are projected on the symmetric ones.

    ASE has one for crystals (``FixSymmetry``) but none for molecules.
    """

    def __init__(self, operations: Operations) -> None:
        self.operations = operations

    def adjust_positions(self, atoms: Atoms, new: FloatArray) -> None:
        """Make proposed positions ``(n, 3)`` symmetric, in place."""
        new[:] = self.operations.restore(new)

    def adjust_forces(self, atoms: Atoms, forces: FloatArray) -> None:
        """Make forces ``(n, 3)`` symmetric, in place."""
        forces[:] = self.operations.mean(forces)

    def get_removed_dof(self, atoms: Atoms) -> int:
        """Not counted."""
        return 0

    def todict(self) -> dict[str, Any]:
        """Name and arguments, for ASE's own files."""
        return {"name": "KeepSymmetry", "kwargs": {}}
