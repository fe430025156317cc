"""Point groups as matrices: by name, in their best orientation, and as detected in the geometry of a cluster.

The main axis is z.  Cs mirrors z; D and Cnv groups have their second axis, or mirror plane, along x.  The cubic groups
have their twofold (T) or fourfold (O) axes along x, y, z; the icosahedral groups twofold axes there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from clusterml.errors import OptionError
from clusterml.structure.rotations import axis_rotation, kabsch, rotation_vector_matrix
from clusterml.structure.superpose import Kinds, NearestAtoms, matching_frames
from clusterml.typing import FloatArray, IntArray

LARGEST_AXIS = 12
"""Highest order of a rotation or rotation-reflection axis."""
_CUBIC = {"T": "O", "Td": "O", "Th": "O", "O": "O", "Oh": "O", "I": "I", "Ih": "I"}
_NAME = re.compile(r"(?:C([is1])|([CSD])(\d{1,2})([vhd]?)|([TOI])([hd]?))")
_MIRROR_X, _MIRROR_Y, _MIRROR_Z = (np.diag(d) for d in ([-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]))


@dataclass(frozen=True)
class PointGroup:
    """A finite point group in its standard orientation.

    name       Schoenflies symbol
    elements   (order, 3, 3) orthogonal matrices; the first is the identity
    table      (order, order): ``elements[table[g, h]]`` is ``elements[g] @ elements[h]``
    axial      whether a turn about z leaves the group as it is, so that one axis says how it is oriented
    domain     (m, 3, 3) rotations that map the group onto itself: orientations that differ by one are the same
    """

    name: str
    elements: FloatArray
    table: IntArray
    axial: bool
    domain: FloatArray

    @property
    def order(self) -> int:
        """Number of operations."""
        return len(self.elements)

    @property
    def achiral(self) -> bool:
        """Whether there is an improper operation."""
        return bool(np.any(np.linalg.det(self.elements) < 0))


@cache
def point_group(name: str) -> PointGroup:
    """The group with the Schoenflies ``name`` (C1, Ci, Cs, Cn, Sn, Cnv, Cnh, Dn, Dnh, Dnd, T, Td, Th, O, Oh, I, Ih).

    Raises :class:`~clusterml.errors.OptionError` for any other name and for axes of an order above 12.
    """
    elements = _close(_generators(name))
    products = np.einsum("gab,hbc->ghac", elements, elements)
    table = np.argmax(np.einsum("ghab,kab->ghk", products, elements), axis=-1)
    domain = _domain(name)
    return PointGroup(name, elements, table, domain is None, np.eye(3)[None] if domain is None else domain)


def operation_kind(matrix: FloatArray) -> tuple[float, int, FloatArray]:
    """Angle (rad, 0 to pi), determinant and axis ``(3,)`` of an operation.

    ``R = cos(a)(1 - mm) + sin(a)[m] + det mm``: a rotation by a about m, then, if det is -1, a reflection in the plane
    normal to m.  The identity and the inversion, which have no axis, get z; a rotation by -a counts as one by a.
    """
    determinant = 1 if np.linalg.det(matrix) > 0 else -1
    turn = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    angle = float(np.arctan2(np.linalg.norm(turn), np.trace(matrix) - determinant))
    if np.linalg.norm(turn) > 1e-6:
        return angle, determinant, turn / np.linalg.norm(turn)
    symmetric = determinant * (matrix - np.cos(angle) * np.eye(3))  # = (1 - det cos a) mm
    if np.abs(symmetric).max() < 1e-6:
        return angle, determinant, np.array([0.0, 0.0, 1.0])
    column = symmetric[:, int(np.argmax(np.diag(symmetric)))]
    return angle, determinant, column / np.linalg.norm(column)


def operation(angle: float, determinant: int, axes: FloatArray) -> FloatArray:
    """Matrices ``(m, 3, 3)`` of the operation of :func:`operation_kind` about each of the unit ``axes`` ``(m, 3)``."""
    outer = axes[:, :, None] * axes[:, None, :]
    x, y, z = axes.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    return np.asarray(np.cos(angle) * (np.eye(3) - outer) + np.sin(angle) * cross + determinant * outer)


def _generators(name: str) -> list[FloatArray]:
    symbol = _NAME.fullmatch(name)
    low, family, number, suffix, cubic, cubic_suffix = symbol.groups() if symbol else (None,) * 6
    if low is not None:
        return [{"i": -np.eye(3), "s": _MIRROR_Z, "1": np.eye(3)}[low]]
    if cubic is not None and name in _CUBIC:
        return _cubic_generators(cubic, cubic_suffix or "")
    fold = int(number) if number else 0
    allowed = {"C": ("", "v", "h"), "S": ("",), "D": ("", "h", "d")}.get(family or "", ())
    usable = 2 <= fold <= LARGEST_AXIS and (family != "S" or fold % 2 == 0)
    if suffix not in allowed or not usable:
        raise OptionError(
            f"there is no point group '{name[:20]}' here",
            "give Schoenflies names such as Ci, Cs, C3, D3, D3d, S4, C3v, T, Td, Th, O, Oh, I, Ih (axes up to 12)",
        )
    axis = axis_rotation(np.array([0.0, 0.0, 1.0]), 2 * np.pi / fold)
    if family == "S":
        return [axis @ _MIRROR_Z]
    second = {"Cv": [_MIRROR_Y], "Ch": [_MIRROR_Z]}.get(f"{family}{suffix}", [])
    if family == "D":
        second = [_MIRROR_Y @ _MIRROR_Z] + ([_MIRROR_Z] if suffix == "h" else [])
        if suffix == "d":
            second.append(axis_rotation(np.array([0.0, 0.0, 1.0]), np.pi / fold) @ _MIRROR_Z)
    return [axis, *second]


def _cubic_generators(family: str, suffix: str) -> list[FloatArray]:
    z, diagonal = np.array([0.0, 0.0, 1.0]), np.ones(3)
    third = axis_rotation(diagonal, 2 * np.pi / 3)
    main = {
        "T": axis_rotation(z, np.pi),
        "O": axis_rotation(z, np.pi / 2),
        "I": axis_rotation(np.array([0.0, 1.0, (1.0 + np.sqrt(5.0)) / 2]), 2 * np.pi / 5),
    }[family]
    extra = {"": [], "h": [-np.eye(3)], "d": [axis_rotation(z, np.pi / 2) @ _MIRROR_Z]}[suffix]
    return [main, third, *extra]


def _close(generators: list[FloatArray]) -> FloatArray:
    """All products of the generators ``(order, 3, 3)``, the identity first."""
    elements = [np.eye(3)]
    for element in elements:  # grows while it is walked through
        for generator in generators:
            product = generator @ element
            if all(np.abs(product - other).max() > 1e-6 for other in elements):
                elements.append(product)
    return np.stack(elements)


def _domain(name: str) -> FloatArray | None:
    """Rotations that normalise the group, or None if those include all about z."""
    if name in _CUBIC:
        letter = _CUBIC[name]
        return _close(_cubic_generators(letter, ""))
    if name == "C1" or name == "Ci":
        return None
    symbol = _NAME.fullmatch(name)
    family, number, suffix = (symbol.group(2), symbol.group(3), symbol.group(4)) if symbol else (None, None, None)
    if family == "D" or suffix == "v":
        if name in ("D2", "D2h"):
            return _close(_cubic_generators("O", ""))
        return _close(_generators(f"D{2 * int(number or 1)}") if 2 * int(number or 1) <= LARGEST_AXIS
                      else _generators(name[:1].replace("C", "D") + str(number)))  # fmt: skip
    return None


_LEVI_CIVITA = np.zeros((3, 3, 3))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _LEVI_CIVITA[_i, _j, _k], _LEVI_CIVITA[_i, _k, _j] = -1.0, 1.0
# (_LEVI_CIVITA[a] is the generator L_a of rotations about axis a: L_a v = e_a x v)


def overlap(elements: FloatArray, orientation: FloatArray, correlation: FloatArray) -> FloatArray:
    """``sum_g trace((R g R^T)^T C_g)`` ``(...)``: the larger, the better the operations fit.

    ``elements`` ``(g, 3, 3)`` in the standard orientation, ``orientation`` R ``(..., 3, 3)``, ``correlation``
    ``(..., g, 3, 3)``: ``C_g = sum_i y_i x_i^T`` with y_i the position of the atom to which operation g carries atom i.
    """
    turned = np.swapaxes(orientation, -1, -2)[..., None, :, :] @ correlation @ orientation[..., None, :, :]
    return np.asarray(turned.reshape(*turned.shape[:-3], -1) @ elements.ravel())


def best_orientation(
    elements: FloatArray, orientation: FloatArray, correlation: FloatArray, rounds: int = 30, tolerance: float = 1e-8
) -> FloatArray:
    """The orientation ``(..., 3, 3)`` near the given one that maximises :func:`overlap`: Newton's method, batched.

    Steps that do not increase the overlap are halved; directions in which the overlap is flat or convex (a turn about
    the only axis) are followed along the gradient or left alone.  Ends when all steps are below ``tolerance`` (rad).
    """
    scale = np.maximum(np.sqrt((correlation**2).sum(axis=(-1, -2))).sum(axis=-1), 1e-300)
    value = overlap(elements, orientation, correlation)
    tables = _tables(elements)
    for _ in range(rounds):
        gradient, hessian = _derivatives(tables, orientation, correlation)
        step = _ascent(gradient / scale[..., None], hessian / scale[..., None, None])
        converged = np.abs(step).max(axis=-1) < tolerance
        for _ in range(6):
            if converged.all():
                break
            trial = orientation @ rotation_vector_matrix(step)
            reached = overlap(elements, trial, correlation)
            better = (reached > value) & ~converged
            orientation = np.where(better[..., None, None], trial, orientation)
            value = np.where(better, reached, value)
            converged = converged | better
            step = np.where(better[..., None], step, 0.5 * step)
        if np.abs(step).max() < tolerance or not (converged & (np.abs(step).max(axis=-1) >= tolerance)).any():
            break
    return orientation


def _tables(elements: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The tensors with which the derivatives contract ``M_g``: of order 0 ``(g, 9)``, 1 ``(3, 9 g)``, 2 ``(9, 9 g)``.

    With F(w) = sum_g trace(exp(w) g^T exp(-w) M_g), w = sum_a w_a L_a: dF/dw_a = sum_g trace((L_a g^T - g^T L_a) M_g),
    and the second derivative is the symmetric part of sum_g trace((L_a L_b g^T + g^T L_b L_a - 2 L_a g^T L_b) M_g).
    """
    back = np.swapaxes(elements, -1, -2)
    turns = _LEVI_CIVITA
    left = np.einsum("aij,gjk->agik", turns, back)
    right = np.einsum("gij,ajk->agik", back, turns)
    second = np.einsum("aij,bgjk->abgik", turns, left) + np.einsum("bgij,ajk->abgik", right, turns)
    second = second - 2.0 * np.einsum("agij,bjk->abgik", left, turns)
    second = 0.5 * (second + np.swapaxes(second, 0, 1))
    return back, (left - right).reshape(3, -1), second.reshape(9, -1)


def _derivatives(
    tables: tuple[FloatArray, FloatArray, FloatArray], orientation: FloatArray, correlation: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """First ``(..., 3)`` and second ``(..., 3, 3)`` derivatives by a turn ``R exp(w)`` of the orientation."""
    turned = np.swapaxes(orientation, -1, -2)[..., None, :, :] @ correlation @ orientation[..., None, :, :]
    flat = np.swapaxes(turned, -1, -2).reshape(*turned.shape[:-3], -1)  # trace(X M) = sum_ik X_ik M_ki
    return flat @ tables[1].T, (flat @ tables[2].T).reshape(*flat.shape[:-1], 3, 3)


def _ascent(gradient: FloatArray, hessian: FloatArray) -> FloatArray:
    """Newton's step ``(..., 3)`` uphill, at most 0.5 rad long."""
    values, vectors = np.linalg.eigh(hessian)
    along = np.einsum("...ij,...i->...j", vectors, gradient)
    curvature = np.maximum(np.abs(values), 1e-6)
    step = np.einsum("...ij,...j->...i", vectors, along / curvature)
    length = np.linalg.norm(step, axis=-1, keepdims=True)
    return np.asarray(step * np.minimum(1.0, 0.5 / np.maximum(length, 1e-300)))


_SAME = 0.15  # largest difference between the matrices of one operation found twice


@dataclass(frozen=True)
class GroupWithin:
    """The point group ``name`` (Schoenflies) within ``tolerance`` (A).

    ``operations`` ``(order, 3, 3)``; ``deviation`` (A): the largest distance of an atom's image from the equal atom.
    C*v, D*h and K*h stand for the infinite groups of linear molecules and of single atoms; they list no operations.
    """

    name: str
    tolerance: float
    operations: FloatArray
    deviation: float


def find_point_group(kinds: Kinds, positions: FloatArray, tolerance: float = 0.1) -> GroupWithin:
    """The point group of ``positions`` ``(n, 3)`` (A) about their centroid, with equal atoms given by ``kinds``."""
    return find_point_groups(kinds, positions, (tolerance,))[0]


def find_point_groups(kinds: Kinds, positions: FloatArray, tolerances: tuple[float, ...]) -> list[GroupWithin]:
    """The point group within each of several ``tolerances`` (A), which costs little more than one."""
    points = np.asarray(positions - positions.mean(axis=0), dtype=np.float64)
    spread = np.asarray(np.linalg.svd(points, compute_uv=False), dtype=np.float64)
    if len(points) == 1 or spread[1] < 1e-3 * max(spread[0], 1e-12):
        return [_linear(kinds, points, spread, tolerance) for tolerance in tolerances]
    operations, deviation = _operations(kinds, points, max(tolerances))
    groups = []
    for tolerance in tolerances:
        members = _closed(operations, deviation, tolerance)
        name = _name(operations[members])
        groups.append(GroupWithin(name, tolerance, operations[members], float(deviation[members].max())))
    return groups


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
            index = next((k for k, (_, other) in enumerate(best) if np.abs(other - matrix).max() < _SAME), None)
            if apart > tolerance:
                continue
            if index is None:
                best.append((apart, matrix))
            elif apart < best[index][0]:
                best[index] = (apart, matrix)
    best.sort(key=lambda entry: entry[0])
    return np.stack([matrix for _, matrix in best]), np.array([apart for apart, _ in best])


def _closed(operations: FloatArray, deviation: FloatArray, tolerance: float) -> IntArray:
    """Numbers of the operations within ``tolerance`` that form a group, obtained by leaving out the worst."""
    candidates = list(np.flatnonzero(deviation <= tolerance))
    while True:
        members = operations[candidates]
        products = np.einsum("gab,hbc->ghac", members, members).reshape(-1, 9)
        # |P - M|^2 = 6 - 2 P.M for orthogonal matrices: is every product one of the members?
        gap = 6.0 - 2.0 * (products @ members.reshape(-1, 9).T).max(axis=1).min()
        if gap < (3 * _SAME) ** 2 or len(candidates) == 1:
            return np.array(candidates)
        candidates.pop(int(np.argmax(deviation[candidates])))


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


def _linear(kinds: Kinds, points: FloatArray, spread: FloatArray, tolerance: float) -> GroupWithin:
    if spread[0] < 1e-9:
        return GroupWithin("K*h", tolerance, np.eye(3)[None], 0.0)
    permutation = kinds.match(-points, points)
    apart = float(np.linalg.norm(points[permutation] + points, axis=1).max())
    centred = apart <= tolerance
    return GroupWithin("D*h" if centred else "C*v", tolerance, np.eye(3)[None], apart if centred else 0.0)
