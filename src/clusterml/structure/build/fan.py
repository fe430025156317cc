"""The hand of the Ag29 family: which way the blades of the Ag4S6 fans turn.

Seen from outside along a C3 axis, an apical Ag-P holds three S; each leads to one Ag of a crown, the tip of a blade.
Going outwards along the blade its azimuth changes clockwise or anticlockwise: clockwise is R, anticlockwise S (Chem.
Sci. 2025, 16, 2373, doi 10.1039/d4sc06847e).  That the fan of Ag4S6 is made of these atoms (apex, three S, three crown
Ag with the inner S each holds) is our reading; the three crowns themselves are nearly mirror-symmetric about their
axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.bonds import bonds, neighbours
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

_SMALLEST = 1.0  # degrees


def fan_angles(atoms: Atoms) -> FloatArray:
    """Azimuth (degrees, clockwise positive, seen from outside) from each hub S to its crown Ag, one for every blade.

    A blade starts at a metal bonded to P and to three S; its tip is another metal that binds the S and two more.  The
    axis of a fan points from the centre of the metals to the apex.  Empty if there is no fan.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions, dtype=np.float64)
    metal = is_metal(numbers)
    table = neighbours(len(numbers), bonds(numbers, positions))
    centre = positions[metal].mean(axis=0)
    found = []
    for apex in np.flatnonzero(metal).tolist():
        hub = [i for i in table[apex] if numbers[i] == 16]
        if len(hub) != 3 or sum(numbers[i] == 15 for i in table[apex]) != 1:
            continue
        axis = (positions[apex] - centre) / np.linalg.norm(positions[apex] - centre)
        for sulfur in hub:
            tips = [i for i in table[sulfur] if metal[i] and i != apex and _sulfurs(numbers, table[i]) == 3]
            tips = [i for i in tips if not any(numbers[j] == 15 for j in table[i])]
            found += [_clockwise(positions[sulfur] - centre, positions[i] - centre, axis) for i in tips]
    return np.array(found)


def fan_hand(atoms: Atoms) -> str:
    """``R`` or ``S`` by the mean of :func:`fan_angles`; raises StructureError where there are no fans."""
    angles = fan_angles(atoms)
    if len(angles) == 0 or abs(float(angles.mean())) < _SMALLEST:
        raise StructureError("the structure has no fans of Ag4S6 that turn one way", "is it of the Ag29 family?")
    return "R" if angles.mean() > 0 else "S"


def _sulfurs(numbers: np.ndarray, bonded: list[int]) -> int:
    return int(sum(numbers[i] == 16 for i in bonded))


def _clockwise(start: FloatArray, end: FloatArray, axis: FloatArray) -> float:
    """Turn (degrees) from ``start`` to ``end`` about ``axis``, clockwise for one who looks against the axis."""
    a, b = start - (start @ axis) * axis, end - (end @ axis) * axis
    return -float(np.degrees(np.arctan2(np.cross(a, b) @ axis, a @ b)))
