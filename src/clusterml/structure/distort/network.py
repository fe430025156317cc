"""An elastic network with bonded force constants: which motions of a cluster are stiff and which soft.

The energy is a sum of springs at rest in the parent, E = 1/2 sum k (b . dx)^2, one row b for each
* stretch of a bond: between non-metals by Badger's rule k = 1.86 / (r - d)^3 mdyn/A (J. Chem. Phys. 3, 710 (1935));
  metal-donor and metal-metal by constants that fall off as r^-6;
* bend of an angle at a non-metal; at a metal a spring between the two donors;
* height of a planar (three neighbours) or linear (two neighbours) atom over its neighbours;
* torsion about a bond between non-metals, so that methyl groups and chains turn easily and rings do not;
* contact between all other atoms within 5 A, weak, so that ligands do not pass through each other.
It says nothing about energies of reactions or electronic effects: it only makes thermal noise and soft modes plausible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.structure.bonds import close_pairs, neighbours
from clusterml.structure.distort.subject import Subject
from clusterml.typing import BoolArray, FloatArray, IntArray

_SMALLEST_SINE = 0.1


def bend_rows(points: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Derivatives ``(m, 3, 3)`` (rad/A) of the angles at the middle of ``points`` ``(m, 3, 3)`` (A); which are usable.

    Wilson, Decius and Cross, Molecular Vibrations, section 4-1.  A straight angle (sine below 0.1) is not usable.
    """
    u, v = points[:, 0] - points[:, 1], points[:, 2] - points[:, 1]
    length_u, length_v = np.linalg.norm(u, axis=1)[:, None], np.linalg.norm(v, axis=1)[:, None]
    u, v = u / length_u, v / length_v
    cosine = np.sum(u * v, axis=1)[:, None]
    sine = np.sqrt(np.maximum(1.0 - cosine**2, 0.0))
    divisor = np.maximum(sine, 1e-6)
    first, third = (cosine * u - v) / (length_u * divisor), (cosine * v - u) / (length_v * divisor)
    return np.stack([first, -first - third, third], axis=1), np.asarray(sine[:, 0] > _SMALLEST_SINE, dtype=np.bool_)


def torsion_rows(points: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Derivatives ``(m, 4, 3)`` (rad/A) of the torsions of chains at ``points`` ``(m, 4, 3)`` (A); which are usable.

    Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996), equation 27.  A chain with a straight angle (sine below 0.1)
    has no torsion and is marked as not usable; its row is not to be used.
    """
    f = points[:, 0] - points[:, 1]
    g = points[:, 1] - points[:, 2]
    h = points[:, 3] - points[:, 2]
    a, b = np.cross(f, g), np.cross(h, g)
    length_f, length_g, length_h = (np.linalg.norm(v, axis=1) for v in (f, g, h))
    norm_a, norm_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    usable = (norm_a > _SMALLEST_SINE * length_f * length_g) & (norm_b > _SMALLEST_SINE * length_h * length_g)
    square_a, square_b = np.maximum(norm_a, 1e-6) ** 2, np.maximum(norm_b, 1e-6) ** 2
    end_1 = -(length_g / square_a)[:, None] * a
    end_4 = (length_g / square_b)[:, None] * b
    along = (np.sum(f * g, axis=1) / (square_a * length_g))[:, None] * a
    along -= (np.sum(h * g, axis=1) / (square_b * length_g))[:, None] * b
    rows = np.stack([end_1, -end_1 + along, -end_4 - along, end_4], axis=1)
    return rows, np.asarray(usable, dtype=np.bool_)


MDYN_PER_A = 6.2415
"""1 mdyn/A in eV/A^2."""
_BADGER_NUMERATOR = 1.86  # mdyn A^2
_BADGER_LENGTHS = ((0.025, 0.335, 0.585), (0.335, 0.680, 0.940), (0.585, 0.940, 1.180))  # A; H, Li-Ne, Na and beyond
_BADGER_RANGE = (1.0, 20.0)  # mdyn/A
_METAL_METAL = (1.2, 2.89)  # eV/A^2 at A: gives <u_x^2> = 0.009 A^2 in fcc silver at 300 K, as measured
_METAL_DONOR = (9.0, 2.45)  # eV/A^2 at A: Ag-S stretches near 350 cm-1
_BEND = 4.0  # eV/rad^2 (0.64 mdyn A) at a non-metal: H-C-H bends near 1400 cm-1
_BEND_AT_DONOR = 1.0  # eV/rad^2, metal-donor-carbon
_BEND_AT_METAL = 0.5  # eV/A^2 between two donors of a metal
_HEIGHT = 6.0  # eV/A^2, out-of-plane or off-line
_TORSION = 0.5  # eV/rad^2 for a single bond: a threefold barrier of 2.6 kcal/mol
_TORSION_MULTIPLE = 2.5  # eV/rad^2 for a double or aromatic bond
_MULTIPLE = 4.3  # mdyn/A; stiffer bonds between heavy atoms are taken for multiple ones
_CONTACT = (0.05, 3.0)  # eV/A^2 at A
_CONTACT_RANGE = 5.0  # A
_PLANAR = 0.12  # A; an atom lower than this over its neighbours is planar
_STRAIGHT = 0.2  # A; an atom closer than this to the line through its two neighbours is linear


@dataclass(frozen=True)
class Rows:
    """Coordinates with a restoring force: ``atoms`` ``(m, k)`` indices, ``slope`` ``(m, k, 3)`` (1 or rad/A) and
    ``constant`` ``(m,)`` (eV/A^2 or eV/rad^2)."""

    atoms: IntArray
    slope: FloatArray
    constant: FloatArray


def hessian(subject: Subject) -> FloatArray:
    """Second derivatives ``(3n, 3n)`` in eV/A^2: symmetric, no negative eigenvalue, translations and rotations free."""
    size = len(subject.numbers)
    total = np.zeros((size * 3, size * 3))
    for rows in (_springs(subject), _bends(subject), *_heights(subject), _torsions(subject)):
        width = rows.atoms.shape[1] * 3
        index = (rows.atoms[:, :, None] * 3 + np.arange(3)).reshape(-1, width)
        slope = rows.slope.reshape(-1, width)
        blocks = rows.constant[:, None, None] * slope[:, :, None] * slope[:, None, :]
        np.add.at(total, (index[:, :, None], index[:, None, :]), blocks)
    return total


def bond_constants(numbers_1: IntArray, numbers_2: IntArray, length: FloatArray) -> FloatArray:
    """Badger's stretching constants (mdyn/A) of bonds between non-metals of given ``length`` (A)."""
    table = np.array(_BADGER_LENGTHS)
    row_1, row_2 = (np.digitize(z, (3, 11)) for z in (numbers_1, numbers_2))
    gap = np.maximum(length - table[row_1, row_2], 0.3)
    return np.clip(_BADGER_NUMERATOR / gap**3, *_BADGER_RANGE)


def _springs(subject: Subject) -> Rows:
    """Stretches, pairs of donors at a metal, and contacts: each pair once, the first of these that applies."""
    pairs = subject.pairs
    constants = dict(zip(_keys(pairs.first, pairs.second), _stretch(subject).tolist(), strict=True))
    for middle, around in enumerate(subject.bonded):
        for a, first in enumerate(around):
            for second in around[a + 1 :]:
                at_metal = subject.metal[middle] and not (subject.metal[first] or subject.metal[second])
                constants.setdefault((first, second), _BEND_AT_METAL if at_metal else 0.0)
    near = close_pairs(subject.positions, _CONTACT_RANGE)
    strength, reach = _CONTACT
    for key, distance in zip(_keys(near.first, near.second), near.distance.tolist(), strict=True):
        constants.setdefault(key, strength * min(reach / distance, 1.5) ** 6)
    atoms = np.array(list(constants), dtype=np.int64).reshape(-1, 2)
    line = subject.positions[atoms[:, 0]] - subject.positions[atoms[:, 1]]
    unit = line / np.linalg.norm(line, axis=1, keepdims=True)
    return Rows(atoms, np.stack([unit, -unit], axis=1), np.array(list(constants.values())))


def _keys(first: IntArray, second: IntArray) -> list[tuple[int, int]]:
    low, high = np.minimum(first, second), np.maximum(first, second)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _stretch(subject: Subject) -> FloatArray:
    pairs, numbers, metal = subject.pairs, subject.numbers, subject.metal
    between = metal[pairs.first].astype(int) + metal[pairs.second]
    covalent = MDYN_PER_A * bond_constants(numbers[pairs.first], numbers[pairs.second], pairs.distance)
    (donor, donor_at), (metallic, metallic_at) = _METAL_DONOR, _METAL_METAL
    return np.select(
        [between == 0, between == 1],
        [covalent, donor * (donor_at / pairs.distance) ** 6],
        metallic * (metallic_at / pairs.distance) ** 6,
    )


def _bends(subject: Subject) -> Rows:
    """Angles at non-metals with at most one metal among their ends."""
    chains, constants = [], []
    for middle in np.flatnonzero(~subject.metal).tolist():
        around = subject.bonded[middle]
        for a, first in enumerate(around):
            for second in around[a + 1 :]:
                metals = int(subject.metal[first]) + int(subject.metal[second])
                if metals < 2:
                    chains.append((first, middle, second))
                    constants.append(_BEND_AT_DONOR if metals else _BEND)
    atoms = np.array(chains, dtype=np.int64).reshape(-1, 3)
    slope, usable = bend_rows(subject.positions[atoms])
    return Rows(atoms[usable], slope[usable], np.array(constants)[usable])


def _heights(subject: Subject) -> list[Rows]:
    """Rows for planar and for linear non-metal atoms, in terms of the affine combination of their neighbours."""
    planar: list[tuple[list[int], FloatArray]] = []
    linear: list[tuple[list[int], FloatArray]] = []
    for atom in np.flatnonzero(~subject.metal).tolist():
        around = [j for j in subject.bonded[atom] if not subject.metal[j]]
        points = subject.positions[[atom, *around]]
        if len(around) == 3:
            shares, normal = _over_plane(points)
            if abs((points[0] - shares @ points[1:]) @ normal) < _PLANAR and shares.min() > 0.0:
                planar.append(([atom, *around], np.outer([1.0, *-shares], normal)))
        elif len(around) == 2:
            shares, normals = _over_line(points)
            if np.linalg.norm(points[0] - shares @ points[1:]) < _STRAIGHT:
                linear += [([atom, *around], np.outer([1.0, *-shares], normal)) for normal in normals]
    return [_collect(rows) for rows in (planar, linear) if rows]


def _collect(rows: list[tuple[list[int], FloatArray]]) -> Rows:
    return Rows(
        np.array([atoms for atoms, _ in rows], dtype=np.int64),
        np.array([slope for _, slope in rows]),
        np.full(len(rows), _HEIGHT),
    )


def _over_plane(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Barycentric coordinates ``(3,)`` of the foot of the first point on the plane of the others, and its normal."""
    edges = (points[2:] - points[1]).T
    shares = np.linalg.lstsq(edges, points[0] - points[1], rcond=None)[0]
    normal = np.cross(edges[:, 0], edges[:, 1])
    return np.array([1.0 - shares.sum(), *shares]), normal / max(float(np.linalg.norm(normal)), 1e-12)


def _over_line(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coordinates ``(2,)`` of the foot of the first point on the line of the others, and two normals ``(2, 3)``."""
    line = points[2] - points[1]
    share = float((points[0] - points[1]) @ line / (line @ line))
    normals = np.linalg.svd(line[None, :])[2][1:]
    return np.array([1.0 - share, share]), normals


def _torsions(subject: Subject) -> Rows:
    """Torsions about bonds between non-metals; the constant of a bond is divided among its chains."""
    pairs, metal = subject.pairs, subject.metal
    covalent = ~metal[pairs.first] & ~metal[pairs.second]
    stiffness = bond_constants(subject.numbers[pairs.first], subject.numbers[pairs.second], pairs.distance)
    chains: list[tuple[int, int, int, int]] = []
    constants: list[float] = []
    table = neighbours(len(subject.numbers), pairs)
    for b, c, k in zip(pairs.first[covalent].tolist(), pairs.second[covalent].tolist(), stiffness[covalent].tolist(),
                       strict=True):  # fmt: skip
        around_bond = [(a, b, c, d) for a in table[b] if a != c for d in table[c] if d not in (a, b)]
        chains += around_bond
        constants += [(_TORSION_MULTIPLE if k > _MULTIPLE else _TORSION) / max(len(around_bond), 1)] * len(around_bond)
    atoms = np.array(chains, dtype=np.int64).reshape(-1, 4)
    slope, usable = torsion_rows(subject.positions[atoms])
    return Rows(atoms[usable], slope[usable], np.array(constants)[usable])
