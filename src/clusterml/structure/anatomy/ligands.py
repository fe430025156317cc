"""Ligands of a cluster and their charges, from the bonding graph.

Taking the metals away leaves the ligands.  Each is closed by pairs: an atom's valence, less its non-metal neighbours
and less the double bonds it can form, is what it shares with the metal or carries as a negative charge.  That one rule
gives thiolate 1, sulfide 2, dithiolate 2, carboxylate 1, dithiocarbamate and dithiophosphate 1, sulfonate 1, halide 1,
hydride 1, alkynyl 1, and 0 for phosphine, phosphine oxide, amine, pyridine, DMF, ketone, thioether, carbene and CO.
The double bonds are the heaviest set that the free valences allow, C=C before C=N before C=O and C=S, so that a
benzene dithiolate keeps its aromatic ring and both charges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.bonds import Pairs, bonds, components, neighbours
from clusterml.structure.elements import formula, is_counter_ion_metal, is_metal
from clusterml.typing import BoolArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

_VALENCE = {1: 1, 5: 3, 6: 4, 14: 4, 32: 4, 7: 3, 15: 3, 33: 3, 51: 3, 8: 2, 16: 2, 34: 2, 52: 2}
_VALENCE |= {9: 1, 17: 1, 35: 1, 53: 1}
_CHALCOGENS = (8, 16, 34, 52)
_BY_FORMULA = {"N3": 1, "I3": 1}  # linear anions whose bonding is not one of electron pairs


@dataclass(frozen=True)
class Ligand:
    """One ligand: indices of its ``atoms`` and of its ``donors`` (bonded to a metal), and its negative charges.

    ``charge`` counts negative charges (1 for thiolate, -1 for a cation); ``remote`` is the part of it on groups that
    no metal is bonded to (a free carboxylate of a bound ligand).  ``doubt`` is empty, or says why the charge is
    uncertain.
    """

    formula: str
    atoms: IntArray
    donors: IntArray
    charge: int
    remote: int = 0
    doubt: str = ""


def find_ligands(atoms: Atoms) -> list[Ligand]:
    """The ligands (and any separate molecules and ions) of ``atoms``, in order of their first atom."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    mixed = pairs.select(metal[pairs.first] != metal[pairs.second])
    donor = np.zeros(len(numbers), dtype=np.bool_)
    donor[mixed.first] = True
    donor[mixed.second] = True
    organic = pairs.select(~metal[pairs.first] & ~metal[pairs.second])
    bonded = neighbours(len(numbers), organic)
    fragments = [part for part in components(len(numbers), organic) if not metal[part[0]]]
    return [_ligand(part, numbers, bonded, donor, organic) for part in fragments]


def _ligand(part: IntArray, numbers: IntArray, bonded: list[list[int]], donor: BoolArray, pairs: Pairs) -> Ligand:
    name = formula(numbers[part])
    donors = part[donor[part]]
    if name in _BY_FORMULA:
        return Ligand(name, part, donors, _BY_FORMULA[name])
    if len(part) == 1 and is_counter_ion_metal(numbers[part])[0]:
        return Ligand(name, part, donors, -1 if numbers[part[0]] in (3, 11, 19, 37, 55, 87) else -2)
    free, cationic, doubts = _free_valences(part, numbers, bonded)
    double = _double_bonds(part, numbers, pairs, free)
    charge, remote = -cationic, 0
    for atom in part.tolist():
        left = free[atom] - double.get(atom, 0)
        if left <= 0:
            continue
        if numbers[atom] == 6:
            if not donor[atom]:
                doubts.append("carbon atoms lack neighbours (are hydrogens missing?)")
                continue
            left = left % 2 if bonded[atom] else left  # two free valences on one carbon: a carbene, CO, isocyanide
        charge += left
        remote += left if len(donors) and not _near_metal(atom, bonded, donor) else 0
    return Ligand(name, part, donors, charge, remote, "; ".join(dict.fromkeys(doubts)))


def _free_valences(part: IntArray, numbers: IntArray, bonded: list[list[int]]) -> tuple[dict[int, int], int, list[str]]:
    """Valences left over by each atom's neighbours, the positive charge of over-bonded atoms, and doubts."""
    free: dict[int, int] = {}
    cationic = 0
    doubts: list[str] = []
    for atom in part.tolist():
        z, n = int(numbers[atom]), len(bonded[atom])
        rest = _VALENCE.get(z, n) - n
        free[atom] = max(rest, 0)
        if z not in _VALENCE:
            doubts.append("an element without a known valence")
        elif z == 5:
            free[atom] = 0
            if n > 4 or any(numbers[j] == 5 for j in bonded[atom]):
                doubts.append("a boron cage, counted as neutral")
            elif n == 4:
                cationic -= 1
        elif z in (6, 1, 14, 32) and rest < 0:
            if not any(numbers[j] == 5 for j in bonded[atom]):
                doubts.append("an atom with too many neighbours")
        elif z in (15, 33, 51) and n > 4:
            cationic -= n - 5
        elif z == 7 and n == 3 and any(numbers[j] == 8 and len(bonded[j]) == 1 for j in bonded[atom]):
            free[atom] = 1  # nitrate, nitro, N-oxide: N(+) with a double bond
            cationic += 1
        elif rest < 0:
            cationic -= rest
    return free, cationic, doubts


def _double_bonds(part: IntArray, numbers: IntArray, pairs: Pairs, free: dict[int, int]) -> dict[int, int]:
    """How many extra bonds each atom forms in the heaviest assignment of double and triple bonds."""
    inside = np.isin(pairs.first, part)
    edges = [
        (i, j, _weight(int(numbers[i]), int(numbers[j])))
        for i, j in zip(pairs.first[inside].tolist(), pairs.second[inside].tolist(), strict=True)
        if free[i] and free[j]
    ]
    edges = [edge for edge in edges if edge[2] > 0]
    if not edges:
        return {}
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_matrix

    ends = sorted({atom for i, j, _ in edges for atom in (i, j)})
    row = {atom: k for k, atom in enumerate(ends)}
    rows = [row[atom] for i, j, _ in edges for atom in (i, j)]
    columns = np.repeat(np.arange(len(edges)), 2)
    incidence = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(ends), len(edges)))
    solution = milp(
        c=[-weight for _, _, weight in edges],
        constraints=LinearConstraint(incidence.tocsr(), ub=[free[atom] for atom in ends]),
        integrality=np.ones(len(edges)),
        bounds=Bounds(0, 2),
    )
    if solution.x is None:
        return {}
    used = np.rint(incidence @ np.rint(solution.x)).astype(int)
    return {atom: int(used[row[atom]]) for atom in ends}


def _weight(first: int, second: int) -> float:
    """Preference for a double bond between two elements; 0 where none is formed."""
    kinds = {first, second}
    if not kinds <= {6, 7, *_CHALCOGENS} or (first in _CHALCOGENS and second in _CHALCOGENS):
        return 0.0
    if kinds & set(_CHALCOGENS):
        return 0.45 if 8 in kinds else 0.35
    return 1.0 if kinds == {6} else 0.9 if 6 in kinds else 0.8


def _near_metal(atom: int, bonded: list[list[int]], donor: BoolArray) -> bool:
    """Is the atom, or one on the same neighbour (the other O of a carboxylate), bonded to a metal?"""
    return bool(donor[atom]) or any(donor[k] for j in bonded[atom] for k in (j, *bonded[j]))
