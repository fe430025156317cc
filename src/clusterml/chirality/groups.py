"""Point groups as matrices: any finite group by its Schoenflies name, its operations, and how it may be oriented.

The main axis is z.  Cs mirrors z; D and Cnv groups have their second axis, or mirror plane, along x.  The cubic groups
have their twofold (T) or fourfold (O) axes along x, y, z; the icosahedral groups twofold axes there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from clusterml.errors import OptionError
from clusterml.structure.rotations import axis_rotation
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
    found = _NAME.fullmatch(name)
    low, family, number, suffix, cubic, cubic_suffix = found.groups() if found else (None,) * 6
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
            if all(np.abs(product - known).max() > 1e-6 for known in elements):
                elements.append(product)
    return np.stack(elements)


def _domain(name: str) -> FloatArray | None:
    """Rotations that normalise the group, or None if those include all about z."""
    if name in _CUBIC:
        letter = _CUBIC[name]
        return _close(_cubic_generators(letter, ""))
    if name == "C1" or name == "Ci":
        return None
    found = _NAME.fullmatch(name)
    family, number, suffix = (found.group(2), found.group(3), found.group(4)) if found else (None, None, None)
    if family == "D" or suffix == "v":
        if name in ("D2", "D2h"):
            return _close(_cubic_generators("O", ""))
        return _close(_generators(f"D{2 * int(number or 1)}") if 2 * int(number or 1) <= LARGEST_AXIS
                      else _generators(name[:1].replace("C", "D") + str(number)))  # fmt: skip
    return None
