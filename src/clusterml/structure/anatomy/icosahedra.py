"""Centred icosahedra among the metals, and how they are fused: the kernels of Ag25, Ag29 and Au38.

A metal is the centre of an icosahedron when its twelve nearest metals lie around it at the angles of one.  Between the
directions to the corners of an icosahedron every cosine is +-0.447 or -1; a cuboctahedron and an anticuboctahedron
(fcc, hcp) have twelve right angles, so counting angles near 90 degrees tells them apart at any thermal noise that
leaves the polyhedron recognisable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.structure.bonds import bond_limit
from clusterml.typing import BoolArray, FloatArray, IntArray

CORNERS = 12
_REACH = 0.4  # a corner may be this much (A) farther than the longest metal-metal bond
_RIGHT_ANGLE = 0.22  # half of the icosahedron's 0.447
_MOST_RIGHT_ANGLES = 6  # icosahedron 0, cuboctahedron and anticuboctahedron 12
_MOST_LOPSIDED = 0.25  # mean of the unit vectors to the corners; about 0.5 for a metal on a surface


@dataclass(frozen=True)
class Icosahedra:
    """``centres`` ``(m,)`` and their ``corners`` ``(m, 12)``, indices of atoms; m = 0 where there are none."""

    centres: IntArray
    corners: IntArray

    def members(self, index: int) -> set[int]:
        """The thirteen atoms of one icosahedron."""
        return {int(self.centres[index]), *self.corners[index].tolist()}

    def electrons(self) -> int | None:
        """Superatom electrons that icosahedra sharing metals are known to hold as a molecule of superatoms, or None.

        Two that share a face (M23) hold 14, as F2 does (Au38(SR)24: Cheng et al., Nanoscale 5, 1475 (2013)); ``k`` in a
        chain that share corners (M25, M37) hold 8 each (Au25(PPh3)10(SR)5Cl2: Shichibu et al., J. Phys. Chem. C 111,
        7845 (2007); Au37: Jin et al., ACS Nano 9, 8530 (2015)).
        """
        count = len(self.centres)
        shared = [len(self.members(i) & self.members(j)) for i in range(count) for j in range(i)]
        touching = [n for n in shared if n]
        if count == 2 and touching == [3]:
            return 14
        if count >= 2 and len(touching) == count - 1 and set(touching) == {1}:
            return 8 * count
        return None


def find_icosahedra(numbers: IntArray, positions: FloatArray, metal: BoolArray) -> Icosahedra:
    """The centred icosahedra of a structure: ``numbers`` ``(n,)``, ``positions`` ``(n, 3)`` (A), ``metal`` ``(n,)``."""
    metals = np.flatnonzero(metal)
    if len(metals) <= CORNERS:
        return Icosahedra(np.zeros(0, dtype=np.int64), np.zeros((0, CORNERS), dtype=np.int64))
    from scipy.spatial import cKDTree

    distance, near = cKDTree(positions[metals]).query(positions[metals], CORNERS + 1)
    limit = bond_limit(numbers[metals][:, None], numbers[metals][near]) + _REACH
    full = np.flatnonzero(np.all(distance <= limit, axis=1))
    around = positions[metals][near[full, 1:]] - positions[metals][full][:, None, :]
    unit = around / np.linalg.norm(around, axis=2, keepdims=True)
    cosine = unit @ unit.transpose(0, 2, 1)
    right = (np.abs(cosine) < _RIGHT_ANGLE).sum(axis=(1, 2)) // 2
    lopsided = np.linalg.norm(unit.mean(axis=1), axis=1)
    found = full[(right <= _MOST_RIGHT_ANGLES) & (lopsided <= _MOST_LOPSIDED)]
    return _without_joints(metals[found].astype(np.int64), np.sort(metals[near[found, 1:]], axis=1).astype(np.int64))


def _without_joints(centres: IntArray, corners: IntArray) -> Icosahedra:
    """Leave out the corner that two staggered icosahedra share: its surroundings are those of a centre, too."""
    around = [{int(c), *row.tolist()} for c, row in zip(centres, corners, strict=True)]
    pairs = [around[i] & around[j] for i in range(len(centres)) for j in range(i)]
    keep = [k for k, centre in enumerate(centres.tolist()) if {centre} not in pairs]
    return Icosahedra(centres[keep], corners[keep])
