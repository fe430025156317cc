"""The four fans of the Ag29 family and the hand that they give it.

Seen from outside along a C3 axis, an apical metal holds three S.  Each leads to one Ag of a crown, the tip of a blade.
Going outwards along a blade its azimuth changes clockwise (R) or anticlockwise (S) (Chem. Sci. 2025, 16, 2373, doi
10.1039/d4sc06847e).  That the fan is made of these atoms (apex, three S, three crown Ag with the inner S that each
holds) is our reading.  The three crowns themselves are nearly mirror-symmetric about their axes.

Apices and tips are told apart by their S alone, so that it does not matter which ligand an apex carries, or whether it
has one.  Both bind three S.  The tips of a crown share S in a ring of three, in which no apex is.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from clusterml.structure.bonds import bond_limit
from clusterml.structure.elements import is_metal
from clusterml.structure.points import distances
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

FanHand = Literal["R", "S"]
_SMALLEST = 1.0  # degrees
_AT_CENTRE = 0.1  # a metal this near (A) to the centre of all of them is no apex
_REACH = 0.2  # A beyond the longest bond at which the third S of a metal is looked for
_BLADES = 12
"""Blades of the four fans of a cluster of the family."""


class Blade(NamedTuple):
    """Indices of the ``apex`` of a fan, of one of its three ``sulfur`` atoms, and of the crown metal, the ``tip``."""

    apex: int
    sulfur: int
    tip: int


def find_blades(numbers: IntArray, positions: FloatArray, metal: BoolArray) -> list[Blade]:
    """The blades of the four fans of the family: ``numbers`` ``(n,)``, ``positions`` ``(n, 3)`` (A), which atoms are
    metals ``(n,)``.  Empty unless there are all twelve."""
    held = _three_sulfurs(numbers, positions, metal)
    joined = {m: {k for k in held if k != m and held[m] & held[k]} for m in held}
    ringed = {m for m in held if any(b in joined[a] for a, b in combinations(sorted(joined[m]), 2))}
    blades = [
        Blade(apex, sulfur, tip)
        for apex in held
        if apex not in ringed
        for sulfur in sorted(held[apex])
        for tip in sorted(joined[apex] & ringed)
        if sulfur in held[tip]
    ]
    return blades if len(blades) == _BLADES else []


def _three_sulfurs(numbers: IntArray, positions: FloatArray, metal: BoolArray) -> dict[int, set[int]]:
    """Metals that bind three S -> those; one of the three may be a little farther away than a bond reaches."""
    sulfurs, metals = np.flatnonzero(numbers == 16), np.flatnonzero(metal)
    if len(sulfurs) < 2 * _BLADES or len(metals) < _BLADES:
        return {}
    excess = distances(positions[metals], positions[sulfurs])
    excess -= bond_limit(numbers[metals][:, None], numbers[sulfurs][None, :])
    order = np.argsort(excess, axis=1)[:, :4]
    near = np.take_along_axis(excess, order, axis=1)
    three = (near[:, 2] <= _REACH) & (near[:, 3] > 0.0)
    return {int(metals[k]): set(sulfurs[order[k, :3]].tolist()) for k in np.flatnonzero(three)}


def measure_fan_angles(atoms: Atoms) -> FloatArray:
    """Azimuth (degrees, clockwise positive, seen from outside) from each hub S to its crown metal, for every blade.

    The axis of a fan points from the centre of the metals to the apex.  Empty if there are not four fans.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions, dtype=np.float64)
    metal = is_metal(numbers)
    if not metal.any():
        return np.zeros(0)
    centre = positions[metal].mean(axis=0)
    angles: list[float] = []
    for blade in find_blades(numbers, positions, metal):
        out = positions[blade.apex] - centre
        distance = float(np.linalg.norm(out))
        if distance >= _AT_CENTRE:
            ends = positions[[blade.sulfur, blade.tip]] - centre
            angles.append(_turn_clockwise(ends[0], ends[1], out / distance))
    return np.array(angles)


def assign_fan_hand(atoms: Atoms) -> FanHand | None:
    """``R`` or ``S`` by the mean of :func:`measure_fan_angles`.

    None for clusters that do not have the four fans of the Ag29 family, and for fans that turn neither way (by 1 degree
    or more on average).
    """
    angles = measure_fan_angles(atoms)
    if len(angles) == 0 or abs(float(angles.mean())) < _SMALLEST:
        return None
    return "R" if angles.mean() > 0 else "S"


def _turn_clockwise(start: FloatArray, end: FloatArray, axis: FloatArray) -> float:
    """Turn (degrees) from ``start`` to ``end`` about ``axis``, clockwise for one who looks against the axis."""
    a, b = start - (start @ axis) * axis, end - (end @ axis) * axis
    return -float(np.degrees(np.arctan2(np.cross(a, b) @ axis, a @ b)))
