"""Which carbon atoms lack hydrogens, judged from bond lengths, angles and planarity.

X-ray structures of large clusters often list no hydrogens.  A carbon's neighbours, how far it lies out of their plane,
and whether a bond is short enough for a double bond to a partner that can share it say whether it is sp3, sp2 or sp,
and so how many hydrogens it has.  Where the geometry does not tell, the doubt is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.structure.bonds import AtomPairs, neighbours
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

_SINGLE = {5: 1.58, 6: 1.52, 7: 1.465, 8: 1.42, 9: 1.36, 14: 1.87, 15: 1.82, 16: 1.81, 17: 1.77, 33: 1.96, 34: 1.95,
           35: 1.94, 53: 2.15}  # fmt: skip
"""Single-bond lengths (A) from sp3 carbon."""
_SHORT = {6: 0.07, 7: 0.055, 8: 0.08, 16: 0.08, 34: 0.08, 15: 0.12}
"""How much shorter than a single bond (A) a bond of some double character is: aromatic C-C 1.39, C-N 1.34, C-O 1.28."""
_TRIPLE = 1.26
_FLAT = 0.28
"""Distance (A) from the plane of three neighbours that separates sp2 (0) from sp3 (0.5)."""
_ALONE = {6: 1.40, 7: 1.36, 8: 1.30, 16: 1.72, 34: 1.86, 15: 1.72}
"""Longest double bond (A) of a carbon whose other bond is a single one."""
_LINEAR = 155.0
_VINYL = 1.40
_DOUBLE = 1.38
_RING_SHORT = 0.06
"""Mean shortening (A) of the bonds in a ring of some double character."""
_AROMATIC = 0.095
"""The same for an aromatic ring: benzene and thiophene have 0.13, cyclohexadienes 0.07."""
_SIGMA = 0.25
"""A metal within the sum of the radii plus this (A) takes the place of a substituent."""
_SP3_ANGLE = 116.0
_STRAINED = 103.0
"""Smallest angle (degrees) at a doubly bonded carbon: norbornene has 107."""


@dataclass(frozen=True)
class Lack:
    """A carbon (or hydroxyl oxygen) ``atom`` that lacks ``count`` hydrogens; ``kind`` as reported: ``CH3``, ``CH2``,
    ``CH``, ``aromatic CH``, ``=CH`` (any other sp2 CH), ``=CH2``, ``alkyne CH``, ``OH``; ``shape``: sp3, sp2 or sp."""

    atom: int
    kind: str
    shape: str
    count: int


@dataclass(frozen=True)
class Surroundings:
    """The atoms to judge: ``numbers`` ``(n,)``, ``positions`` ``(n, 3)`` (A), and for every atom its neighbours:
    non-metals other than hydrogen (``heavy``), ``hydrogens`` and ``metals``."""

    numbers: IntArray
    positions: FloatArray
    heavy: list[list[int]]
    hydrogens: list[list[int]]
    metals: list[list[int]]

    def distance(self, i: int, j: int) -> float:
        """Distance (A) of two atoms."""
        return float(np.linalg.norm(self.positions[i] - self.positions[j]))

    def angle(self, i: int, j: int, k: int) -> float:
        """Angle (degrees) at j."""
        a, b = self.positions[i] - self.positions[j], self.positions[k] - self.positions[j]
        cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))

    def height(self, atom: int) -> float:
        """Distance (A) of an atom from the plane of its first three heavy neighbours."""
        a, b, c = (self.positions[j] for j in self.heavy[atom][:3])
        normal = np.cross(b - a, c - a)
        return float(abs((self.positions[atom] - a) @ normal) / max(np.linalg.norm(normal), 1e-9))


def sort_neighbours(numbers: IntArray, positions: FloatArray, pairs: AtomPairs) -> Surroundings:
    """Sort the neighbours of each atom by kind."""
    metal = is_metal(numbers)
    rows = neighbours(len(numbers), pairs)
    return Surroundings(
        numbers,
        positions,
        [[j for j in row if not metal[j] and numbers[j] != 1] for row in rows],
        [[j for j in row if numbers[j] == 1] for row in rows],
        [[j for j in row if metal[j]] for row in rows],
    )


def find_lacking_carbons(around: Surroundings) -> tuple[list[Lack], list[tuple[int, str]]]:
    """The carbons that lack hydrogens, and those that cannot be decided, each with the reason."""
    lacks: list[Lack] = []
    doubts: list[tuple[int, str]] = []
    for atom in np.flatnonzero(around.numbers == 6).tolist():
        verdict = _judge(around, atom)
        if isinstance(verdict, str):
            doubts.append((atom, verdict))
        elif verdict is not None and verdict.count > 0:
            lacks.append(verdict)
    return lacks, doubts


def find_lacking_hydroxyls(around: Surroundings) -> list[Lack]:
    """Oxygens with a single bond to one carbon, no hydrogen and no metal: alcohols, if not alkoxides."""
    lacks = []
    for atom in np.flatnonzero(around.numbers == 8).tolist():
        heavy = around.heavy[atom]
        if len(heavy) != 1 or around.hydrogens[atom] or around.metals[atom] or around.numbers[heavy[0]] != 6:
            continue
        if around.distance(atom, heavy[0]) > 1.33:
            lacks.append(Lack(atom, "OH", "sp3", 1))
    return lacks


def _judge(around: Surroundings, atom: int) -> Lack | str | None:
    """What a carbon lacks; None if it is complete; a sentence if this cannot be decided."""
    heavy, n_hydrogens = around.heavy[atom], len(around.hydrogens[atom])
    if len(heavy) + n_hydrogens >= 4 or (len(heavy) > 3 and any(around.numbers[j] == 5 for j in heavy)):
        return None
    if not heavy:
        return None if around.metals[atom] or n_hydrogens else "a carbon without neighbours"
    shape = (_shape_of_primary, _shape_of_secondary, _shape_of_tertiary)[len(heavy) - 1](around, atom)
    if shape in ("complete", "doubt"):
        return None if shape == "complete" else "its bonds fit no carbon"
    target = {"sp3": 4, "sp2": 3, "sp": 2}[shape]
    taken = len(heavy) + n_hydrogens + (len(find_sigma_metals(around, atom)) if shape != "sp2" else 0)
    count = max(target - taken, 0)
    if count and any(around.numbers[j] == 9 for j in heavy) and shape == "sp3" and not n_hydrogens:
        return "it carries fluorine but has too few neighbours: a fluorine may be missing"
    kind = _kind(shape, count + n_hydrogens)
    if kind == "=CH" and _flat_ring(around, atom) > _RING_SHORT:
        kind = "aromatic CH"
    return Lack(atom, kind, shape, count)


def _kind(shape: str, total: int) -> str:
    if shape == "sp":
        return "alkyne CH"
    if shape == "sp2":
        return "=CH2" if total > 1 else "=CH"
    return {1: "CH", 2: "CH2", 3: "CH3"}.get(total, "CH4")


def _shape_of_primary(around: Surroundings, atom: int) -> str:
    """Hybridisation of a carbon with one heavy neighbour."""
    other = around.heavy[atom][0]
    element, distance = int(around.numbers[other]), around.distance(atom, other)
    if element == 6:
        if distance < _TRIPLE:
            return "complete" if around.metals[atom] else "sp"
        return "sp2" if distance < _VINYL and _can_share(around, other, atom) else "sp3"
    if element == 7:
        return "complete" if distance < 1.25 else "sp3"
    if element == 8:
        return "complete" if distance < _TRIPLE else "sp3"
    if element in (16, 34):
        return "complete" if distance < _SINGLE[element] - 0.2 else "sp3"
    return "doubt" if element == 9 else "sp3"


def _shape_of_secondary(around: Surroundings, atom: int) -> str:
    """Hybridisation of a carbon with two heavy neighbours."""
    first, second = around.heavy[atom]
    angle = around.angle(first, atom, second)
    if angle > _LINEAR:
        return "complete"
    if angle < 75.0 and min(around.distance(atom, j) for j in (first, second)) > 1.44:
        return "sp3"  # three-membered ring
    shortening = float(np.mean([_shortening(around, atom, j) for j in (first, second)]))
    # in an aromatic ring a badly placed atom still belongs to it; in a cyclohexadiene the CH2 does not
    ring = _flat_ring(around, atom)
    if shortening > _RING_SHORT < ring or (shortening > 0.025 and ring > _AROMATIC):
        return "sp2"
    partners = [j for j in (first, second) if _is_short(around, atom, j) and _can_share(around, j, atom)]
    if not partners:
        return "sp3"
    if angle > _STRAINED and any(around.numbers[j] == 6 and around.distance(atom, j) < _DOUBLE for j in partners):
        return "sp2"
    if len(partners) == 1 and around.distance(atom, partners[0]) > _ALONE[int(around.numbers[partners[0]])]:
        return "sp3"
    return "sp3" if shortening < 0.085 and angle < _SP3_ANGLE else "sp2"


def _shape_of_tertiary(around: Surroundings, atom: int) -> str:
    """Hybridisation of a carbon with three heavy neighbours."""
    heavy = around.heavy[atom]
    if around.height(atom) > _FLAT:
        return "sp3"
    if any(_is_short(around, atom, j) and _can_share(around, j, atom) for j in heavy):
        return "complete"
    # flat, but nothing to share a double bond with: a methine flattened by disorder, or a long aromatic bond
    return "complete" if _flat_ring(around, atom) > _RING_SHORT else "sp3"


def _shortening(around: Surroundings, atom: int, other: int) -> float:
    single = _SINGLE.get(int(around.numbers[other]))
    return 0.0 if single is None else single - around.distance(atom, other)


def _is_short(around: Surroundings, atom: int, other: int) -> bool:
    needed = _SHORT.get(int(around.numbers[other]))
    return needed is not None and _shortening(around, atom, other) > needed


def _can_share(around: Surroundings, atom: int, other: int) -> bool:
    """Can ``atom`` hold its end of a double bond to ``other``?"""
    element, n = int(around.numbers[atom]), len(around.heavy[atom]) + len(around.hydrogens[atom])
    near = around.distance(atom, other) < _DOUBLE
    if element == 6:
        ends = around.heavy[atom]
        if n >= 4 or (len(ends) == 3 and around.height(atom) > _FLAT):
            return False
        if len(ends) == 2:
            return around.angle(ends[0], atom, ends[1]) > (_STRAINED if near else _SP3_ANGLE - 3.0)
        return n > 1 or around.distance(atom, other) < _VINYL
    if element in (7, 15):
        return n <= 2 or (n == 3 and (len(around.heavy[atom]) < 3 or around.height(atom) < _FLAT))
    # an oxygen or sulfur between two atoms shares its electrons in a flat ring, which is judged as a whole
    return element in (8, 16, 34) and n <= (2 if around.hydrogens[atom] else 1)


def _flat_ring(around: Surroundings, atom: int) -> float:
    """Mean shortening (A) of the bonds from carbon in the most aromatic flat ring that holds the atom; 0 for none."""
    best = 0.0
    for ring in _find_rings(around, atom):
        points = around.positions[ring]
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[2]
        bonds = [(a, b) for a, b in zip(ring, ring[1:] + ring[:1], strict=True) if around.numbers[a] == 6]
        if spread < 0.25:
            best = max(best, float(np.mean([_shortening(around, a, b) for a, b in bonds])))
    return best


def _find_rings(around: Surroundings, atom: int) -> list[list[int]]:
    """Rings of five and six atoms through ``atom``, among atoms with at most three neighbours."""
    rings: list[list[int]] = []
    paths = [[atom]]
    for length in range(2, 7):
        paths = [
            [*path, j]
            for path in paths
            for j in around.heavy[path[-1]]
            if j not in path and len(around.heavy[j]) + len(around.hydrogens[j]) <= 3
        ]
        if length >= 5:
            rings += [path for path in paths if path[0] in around.heavy[path[-1]]]
    return rings


def find_sigma_metals(around: Surroundings, atom: int) -> list[int]:
    """Metals so close to a carbon that they take the place of a substituent."""
    from ase.data import covalent_radii

    limits = covalent_radii[6] + covalent_radii[around.numbers[around.metals[atom]]] + _SIGMA
    return [j for j, limit in zip(around.metals[atom], limits, strict=True) if around.distance(atom, j) < limit]
