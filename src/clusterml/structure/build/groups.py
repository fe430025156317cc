"""Point groups as matrices: operations by name, the group they generate, and the orbit and stabiliser of a site.

An operation is written ``i`` (inversion), ``C3[111]`` (rotation by 360/3 degrees about the axis [111]), ``S4[001]``
(rotation and reflection) or ``m[1-10]`` (reflection in the plane with that normal).  Axes have one digit per
component, with a minus before a negative one.  All operations leave the origin where it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusterml.errors import OptionError
from clusterml.typing import FloatArray, IntArray

_OPERATION = re.compile(r"(?:(?P<kind>[CS])(?P<order>\d)|(?P<mirror>m))\[(?P<axis>(?:-?\d){3})\]")
_LARGEST_GROUP = 120
_SAME = 1e-3  # A, or an element of a matrix: positions in blueprints have four decimals


def operation(name: str) -> FloatArray:
    """The ``(3, 3)`` matrix g of an operation (x' = g x); raises :class:`~clusterml.errors.OptionError`."""
    if name == "i":
        return -np.eye(3)
    found = _OPERATION.fullmatch(name)
    if not found:
        raise OptionError(f"there is no symmetry operation {name!r}", "write i, C3[111], S4[001] or m[1-10]")
    axis = np.array([float(digit) for digit in re.findall(r"-?\d", found["axis"])])
    if not axis.any():
        raise OptionError(f"the axis of {name!r} has no length", "give a direction such as [001]")
    axis /= np.linalg.norm(axis)
    mirror = np.eye(3) - 2.0 * np.outer(axis, axis)
    if found["mirror"]:
        return mirror
    turned = rotation(axis, 2.0 * np.pi / max(int(found["order"]), 1))
    return turned @ mirror if found["kind"] == "S" else turned


def rotation(axis: FloatArray, angle: float) -> FloatArray:
    """Matrix ``(3, 3)`` of the rotation by ``angle`` (radians) about the unit vector ``axis`` ``(3,)`` (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)


def group(generators: Sequence[str]) -> FloatArray:
    """All operations ``(g, 3, 3)`` of the group of the named generators, the identity first.

    Raises :class:`~clusterml.errors.OptionError` for an unknown name or generators of no finite group.
    """
    elements = [np.eye(3)]
    steps = [operation(name) for name in generators]
    done = 0
    while done < len(elements):
        for step in steps:
            new = step @ elements[done]
            if not any(np.abs(new - old).max() < _SAME for old in elements):
                elements.append(new)
        done += 1
        if len(elements) > _LARGEST_GROUP:
            raise OptionError(f"{', '.join(generators)} generate no point group", "check the axes")
    return np.array(elements)


@dataclass(frozen=True)
class Orbit:
    """Images of a site: ``operations`` ``(m, 3, 3)`` take it to its m different places (the identity first);
    ``stabiliser`` ``(s, 3, 3)`` are those that leave it where it is."""

    operations: FloatArray
    stabiliser: FloatArray


def orbit(points: FloatArray, operations: FloatArray) -> Orbit:
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
    """Are two sets of points ``(k, 3)`` the same up to order, within ``tolerance`` (A)?"""
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
