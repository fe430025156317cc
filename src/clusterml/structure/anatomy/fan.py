"""The hand of the Ag29 family: which way the blades of its Ag4S6 fans turn.

Seen from outside along a C3 axis, an apical Ag-P holds three S.  Each leads to one Ag of a crown, the tip of a blade.
Going outwards along a blade its azimuth changes clockwise or anticlockwise: clockwise is R, anticlockwise S (Chem. Sci.
2025, 16, 2373, doi 10.1039/d4sc06847e).  That the fan of Ag4S6 is made of these atoms (apex, three S, three crown Ag
with the inner S that each holds) is our reading.  The three crowns themselves are nearly mirror-symmetric about their
axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from clusterml.structure.bonds import bonds, neighbours
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

FanHand = Literal["R", "S"]
_SMALLEST = 1.0  # degrees
_BLADES = 12
"""Blades of the four fans of a cluster of the family."""


def measure_fan_angles(atoms: Atoms) -> FloatArray:
    """Azimuth (degrees, clockwise positive, seen from outside) from each hub S to its crown Ag, for every blade.

    A blade starts at a metal bonded to P and to three S.  Its tip is another metal that binds the S and two more.  The
    axis of a fan points from the centre of the metals to the apex.  Empty if there is no fan.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions, dtype=np.float64)
    metal = is_metal(numbers)
    if not metal.any():
        return np.zeros(0)
    table = neighbours(len(numbers), bonds(numbers, positions))
    centre = positions[metal].mean(axis=0)
    angles: list[float] = []
    for apex in np.flatnonzero(metal).tolist():
        hub = [i for i in table[apex] if numbers[i] == 16]
        if len(hub) != 3 or sum(numbers[i] == 15 for i in table[apex]) != 1:
            continue
        axis = (positions[apex] - centre) / np.linalg.norm(positions[apex] - centre)
        for sulfur in hub:
            tips = [i for i in table[sulfur] if metal[i] and i != apex and _count_sulfurs(numbers, table[i]) == 3]
            tips = [i for i in tips if not any(numbers[j] == 15 for j in table[i])]
            angles += [_turn_clockwise(positions[sulfur] - centre, positions[i] - centre, axis) for i in tips]
    return np.array(angles)


def assign_fan_hand(atoms: Atoms) -> FanHand | None:
    """``R`` or ``S`` by the mean of :func:`measure_fan_angles`.

    None for clusters that do not have the four fans of the Ag29 family, and for fans that turn neither way (by 1 degree
    or more on average).
    """
    angles = measure_fan_angles(atoms)
    if len(angles) != _BLADES or abs(float(angles.mean())) < _SMALLEST:
        return None
    return "R" if angles.mean() > 0 else "S"


def _count_sulfurs(numbers: IntArray, bonded: list[int]) -> int:
    return int(sum(numbers[i] == 16 for i in bonded))


def _turn_clockwise(start: FloatArray, end: FloatArray, axis: FloatArray) -> float:
    """Turn (degrees) from ``start`` to ``end`` about ``axis``, clockwise for one who looks against the axis."""
    a, b = start - (start @ axis) * axis, end - (end @ axis) * axis
    return -float(np.degrees(np.arctan2(np.cross(a, b) @ axis, a @ b)))
