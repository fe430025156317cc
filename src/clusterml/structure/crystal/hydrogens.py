"""Adding the hydrogens that a crystal structure lacks, where the geometry of the carbon atoms determines them.

X-H distances are close to the averages of neutron structures (Allen and Bruno, Acta Cryst. B66, 380 (2010)): the
X-ray distances of riding models are shorter than the bonds are.  S-H, N-H and hydrides are never added; O-H only on
request, because an alkoxide looks the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.bonds import bonds
from clusterml.structure.crystal.valence import (
    Lack,
    Surroundings,
    find_lacking_carbons,
    find_lacking_hydroxyls,
    find_sigma_metals,
    sort_neighbours,
)
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

LENGTH = {
    "CH3": 1.089,
    "CH2": 1.092,
    "CH": 1.099,
    "aromatic CH": 1.083,
    "=CH": 1.083,
    "=CH2": 1.083,
    "alkyne CH": 1.06,
    "OH": 0.97,
}
"""X-H distances (A) by the kind of group."""
_LISTED = 3
_TETRAHEDRAL = np.radians(109.47)
_HALF_CH2 = np.radians(53.8)  # half the H-C-H angle of a methylene group
_TOO_CLOSE = 1.2
"""A hydrogen this near (A) to an atom it is not bonded to is not added."""
_METAL_TOO_CLOSE = 1.7
_CROWDED = 1.6  # a methyl group is turned away from contacts shorter than this (A) if it can be


@dataclass(frozen=True)
class AddedHydrogens:
    """What was added: ``groups`` counts them by kind (``{"CH3": 12}``), ``hydrogens`` is their number of atoms,
    ``doubts`` are sentences on carbons that were left alone."""

    groups: dict[str, int]
    hydrogens: int
    doubts: tuple[str, ...]

    def sentences(self) -> list[str]:
        """Notes for the user."""
        sentences = []
        if self.hydrogens:
            groups = ", ".join(f"{count} {kind}" for kind, count in self.groups.items())
            sentences.append(f"{self.hydrogens} missing hydrogen atoms were added ({groups})")
        if self.doubts:
            more = f"; and {len(self.doubts) - _LISTED} more" if len(self.doubts) > _LISTED else ""
            sentences.append(f"hydrogens may be missing: {'; '.join(self.doubts[:_LISTED])}{more}")
        return sentences


def add_hydrogens(atoms: Atoms, *, hydroxyl: bool = False) -> tuple[Atoms, AddedHydrogens]:
    """``atoms`` with the missing hydrogens appended (a new object; ``info`` is kept), and what was added.

    Methyl groups are staggered; on a neighbour that has no preference they are turned to the best fit.  With
    ``hydroxyl`` alcohol oxygens without hydrogen get one too, turned towards the nearest acceptor.
    """
    numbers, positions = np.asarray(atoms.numbers, dtype=np.int64), np.asarray(atoms.positions, dtype=np.float64)
    around = sort_neighbours(numbers, positions, bonds(numbers, positions))
    lacks, unjudged = find_lacking_carbons(around)
    if hydroxyl:
        lacks += find_lacking_hydroxyls(around)
    symbols = atoms.get_chemical_symbols()
    doubts = [f"{symbols[atom]}{atom + 1}: {reason}" for atom, reason in unjudged]
    # rigid positions first, so that groups that can turn see them
    lacks.sort(key=lambda lack: (_turns(around, lack), lack.atom))
    new: list[FloatArray] = []
    groups: Counter[str] = Counter()
    for lack in lacks:
        placed = _place(around, lack, new)
        if placed is None and lack.shape != "sp3" and around.metals[lack.atom]:
            continue  # the metal has the hydrogen's place: a carbene or an aryl
        if placed is None:
            doubts.append(f"{symbols[lack.atom]}{lack.atom + 1}: no room for the hydrogens of {lack.kind}")
            continue
        new.extend(placed)
        groups[lack.kind] += 1
    if not new:
        return atoms, AddedHydrogens({}, 0, tuple(doubts))
    from ase import Atoms

    grown = atoms + Atoms(numbers=np.ones(len(new), dtype=int), positions=np.array(new))
    grown.info = atoms.info
    return grown, AddedHydrogens(dict(sorted(groups.items())), len(new), tuple(doubts))


def _turns(around: Surroundings, lack: Lack) -> bool:
    return lack.shape == "sp3" and len(_units(around, lack)) == 1


def _place(around: Surroundings, lack: Lack, new: list[FloatArray]) -> list[FloatArray] | None:
    """Positions of the hydrogens of one group, or None where there is no room."""
    atom, length = lack.atom, LENGTH.get(lack.kind, 1.09)
    directions = _best_turn(around, lack, length, new) if _turns(around, lack) else _directions(around, lack)
    sites = [around.positions[atom] + length * d for d in directions[: lack.count]]
    return sites if _room(around, atom, sites, new) >= 0 else None


def _units(around: Surroundings, lack: Lack) -> FloatArray:
    """Unit vectors ``(k, 3)`` to the neighbours that hold a place: heavy atoms, hydrogens, and sigma-bonded metals."""
    atom = lack.atom
    ends = [*around.heavy[atom], *around.hydrogens[atom]]
    ends += find_sigma_metals(around, atom) if lack.shape == "sp3" else []
    vectors = around.positions[ends] - around.positions[atom]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _directions(around: Surroundings, lack: Lack) -> FloatArray:
    """Directions ``(count, 3)`` of hydrogens whose place the other neighbours fix."""
    units = _units(around, lack)
    if lack.shape == "sp2" and len(units) == 1:
        return _vinyl(around, lack.atom, units[0])
    away = -units.sum(axis=0)
    if len(units) == 3 and np.linalg.norm(away) < 0.5:  # a flat carbon that has to be sp3: either side is as good
        away = np.cross(units[1] - units[0], units[2] - units[0])
    away = _unit(away)
    if lack.shape == "sp3" and len(units) == 2:
        side = _unit(np.cross(units[0], units[1]))
        return np.array([np.cos(_HALF_CH2) * away + s * np.sin(_HALF_CH2) * side for s in (1, -1)])
    return away[None, :]


def _vinyl(around: Surroundings, atom: int, bond: FloatArray) -> FloatArray:
    """The two directions in the plane of the neighbour's other bonds, at 120 degrees from ``bond``."""
    other = around.heavy[atom][0]
    ends = [j for j in (*around.heavy[other], *around.hydrogens[other]) if j != atom]
    in_plane = _across(around.positions[ends[0]] - around.positions[other], bond) if ends else _unit(_any_normal(bond))
    return np.array([-0.5 * bond + s * np.sqrt(0.75) * in_plane for s in (1, -1)])


def _best_turn(around: Surroundings, lack: Lack, length: float, new: list[FloatArray]) -> FloatArray:
    """Directions ``(3, 3)`` of a methyl group (or ``(1, 3)`` of a hydroxyl): staggered, else with most room."""
    atom = lack.atom
    axis = _units(around, lack)[0]
    other = around.heavy[atom][0]
    ends = [j for j in (*around.heavy[other], *around.hydrogens[other], *around.metals[other]) if j != atom]
    ends.sort(key=lambda j: (-int(around.numbers[j]), around.distance(atom, j)))  # the same in every orientation
    vectors = around.positions[ends] - around.positions[other]
    across = _across(vectors[0], axis) if len(ends) else _unit(_any_normal(axis))
    third = np.cross(axis, across)
    angles = np.arctan2(vectors @ third, vectors @ across)
    # the torsion potential sum cos 3(phi - phi_n) is lowest at 3 phi = arg(sum exp(3 i phi_n)) + pi
    phase = np.exp(3j * angles).sum() if len(ends) else 0j
    staggered = (np.angle(phase) + np.pi) / 3.0
    tries = [staggered] if abs(phase) > 0.5 and lack.kind != "OH" else []
    folds = 1 if lack.kind == "OH" else 3

    def at(turn: float) -> FloatArray:
        turns = turn + 2.0 * np.pi * np.arange(folds) / folds
        ring = np.outer(np.cos(turns), across) + np.outer(np.sin(turns), third)
        return np.asarray(np.cos(_TETRAHEDRAL) * axis + np.sin(_TETRAHEDRAL) * ring)

    def room(turn: float) -> float:
        sites = [around.positions[atom] + length * d for d in at(turn)]
        return _hydrogen_bond(around, atom, sites[0]) if folds == 1 else _room(around, atom, sites, new)

    if tries and room(tries[0]) >= _CROWDED:
        return at(tries[0])
    steps = np.linspace(0.0, 2.0 * np.pi / folds, 24 if folds == 3 else 72, endpoint=False)
    return at(float(max([*tries, *steps.tolist()], key=room)))


def _hydrogen_bond(around: Surroundings, atom: int, site: FloatArray) -> float:
    """Minus the distance (A) to the nearest O, N, F or Cl that is not a geminal neighbour."""
    near = {atom, around.heavy[atom][0], *around.heavy[around.heavy[atom][0]]}
    acceptors = [j for j in np.flatnonzero(np.isin(around.numbers, (7, 8, 9, 17))).tolist() if j not in near]
    if not acceptors:
        return _room(around, atom, [site], [])
    return -float(np.linalg.norm(around.positions[acceptors] - site, axis=1).min())


def _room(around: Surroundings, atom: int, sites: list[FloatArray], new: list[FloatArray]) -> float:
    """Shortest distance (A) from ``sites`` to atoms other than the parent's neighbours; -1 if one is too short."""
    others = np.ones(len(around.numbers), dtype=np.bool_)
    others[[atom, *around.heavy[atom], *around.hydrogens[atom]]] = False
    targets = around.positions[others]
    limits = np.where(is_metal(around.numbers[others]), _METAL_TOO_CLOSE, _TOO_CLOSE)
    if new:
        targets = np.concatenate([targets, np.array(new)])
        limits = np.concatenate([limits, np.full(len(new), _TOO_CLOSE)])
    if len(targets) == 0:
        return float("inf")
    distance = np.linalg.norm(np.array(sites)[:, None] - targets[None], axis=2)
    return -1.0 if np.any(distance < limits) else float(distance.min())


def _across(vector: FloatArray, axis: FloatArray) -> FloatArray:
    """Unit vector along the part of ``vector`` perpendicular to the unit vector ``axis``; any one if it has none."""
    part = vector - (vector @ axis) * axis
    return _unit(part if np.linalg.norm(part) > 1e-3 else _any_normal(axis))


def _any_normal(vector: FloatArray) -> FloatArray:
    """A vector perpendicular to ``vector``."""
    helper = np.zeros(3)
    helper[int(np.argmin(np.abs(vector)))] = 1.0
    return np.cross(vector, helper)


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float64)
