"""Charges and double bonds of a ligand from its graph: every valence is a neighbour, a double bond or a charge.

An atom's valence, less its non-metal neighbours and less the double bonds it can form, is what it shares with the metal
or carries as a negative charge.  The double bonds are the heaviest set that the free valences allow, C=C before C=N
before C=O and C=S, so that a benzene dithiolate keeps its aromatic ring and both charges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from clusterml.structure.anatomy.graph import Graph
from clusterml.structure.elements import formula, is_counter_ion_metal

_VALENCE = {1: 1, 5: 3, 6: 4, 14: 4, 32: 4, 7: 3, 15: 3, 33: 3, 51: 3, 8: 2, 16: 2, 34: 2, 52: 2}
_VALENCE |= {9: 1, 17: 1, 35: 1, 53: 1}
_CHALCOGENS = (8, 16, 34, 52)
_BY_FORMULA = {"N3": 1, "I3": 1}  # linear anions whose bonding is not one of electron pairs
_MONOVALENT_IONS = (3, 11, 19, 37, 55, 87)


@dataclass(frozen=True)
class Valences:
    """What the graph of one ligand says; positions are those of the graph.

    ``charge``: negative charges (negative for cations); ``remote``: those on groups that no metal is bonded to;
    ``orders``: bond order of each edge; ``charges``: formal charge of each atom, metals taken away;
    ``doubt``: empty, or why the charge is uncertain.
    """

    charge: int
    remote: int
    orders: tuple[int, ...]
    charges: tuple[int, ...]
    doubt: str = ""


@lru_cache(maxsize=4096)
def assign_valences(graph: Graph, donors: frozenset[int]) -> Valences:
    """Charges and bond orders of the ligand ``graph`` whose atoms at the positions ``donors`` are bonded to a metal."""
    numbers = graph.numbers
    single = (1,) * len(graph.edges)
    neutral = (0,) * len(numbers)
    if formula(numbers) in _BY_FORMULA:
        return Valences(_BY_FORMULA[formula(numbers)], 0, single, neutral)
    if len(numbers) == 1 and is_counter_ion_metal(np.array(numbers))[0]:
        return Valences(-1 if numbers[0] in _MONOVALENT_IONS else -2, 0, single, neutral)
    bonded = [[j if i == k else i for i, j in graph.edges if k in (i, j)] for k in range(len(numbers))]
    free, cationic, doubts = _free_valences(numbers, bonded)
    double = _double_bonds(graph, free)
    used = [sum(double[e] for e, edge in enumerate(graph.edges) if k in edge) for k in range(len(numbers))]
    charge, remote = -sum(cationic), 0
    charges = list(cationic)
    for atom, number in enumerate(numbers):
        left = free[atom] - used[atom]
        if left <= 0:
            continue
        if number == 6:
            if atom not in donors:
                doubts.append("carbon atoms lack neighbours (are hydrogens missing?)")
                continue
            left = left % 2 if bonded[atom] else left  # two free valences on one carbon: a carbene, CO, isocyanide
        charge += left
        charges[atom] -= left
        remote += left if donors and not _near_metal(atom, bonded, donors) else 0
    orders = tuple(1 + extra for extra in double)
    return Valences(charge, remote, orders, tuple(charges), "; ".join(dict.fromkeys(doubts)))


def _free_valences(numbers: tuple[int, ...], bonded: list[list[int]]) -> tuple[list[int], list[int], list[str]]:
    """Valences left over by each atom's neighbours, the positive charges of over-bonded atoms, and doubts."""
    free = [max(_VALENCE.get(z, len(near)) - len(near), 0) for z, near in zip(numbers, bonded, strict=True)]
    cationic = [0] * len(numbers)
    doubts: list[str] = []
    for atom, z in enumerate(numbers):
        n = len(bonded[atom])
        rest = _VALENCE.get(z, n) - n
        around = [numbers[j] for j in bonded[atom]]
        if z not in _VALENCE:
            doubts.append("an element without a known valence")
        elif z == 5:
            free[atom] = 0
            if n > 4 or 5 in around:
                doubts.append("a boron cage, counted as neutral")
            elif n == 4:
                cationic[atom] = -1
        elif z in (6, 1, 14, 32) and rest < 0:
            if 5 not in around:
                doubts.append("an atom with too many neighbours")
        elif z in (15, 33, 51) and n > 4:
            cationic[atom] = 5 - n
        elif z == 7 and n == 3 and any(numbers[j] == 8 and len(bonded[j]) == 1 for j in bonded[atom]):
            free[atom] = 1  # nitrate, nitro, N-oxide: N(+) with a double bond
            cationic[atom] = 1
        elif rest < 0:
            cationic[atom] = -rest
    return free, cationic, doubts


def _double_bonds(graph: Graph, free: list[int]) -> list[int]:
    """Extra bonds on each edge in the heaviest assignment of double and triple bonds."""
    found = [0] * len(graph.edges)
    weights = {
        e: _weight(graph.numbers[i], graph.numbers[j]) for e, (i, j) in enumerate(graph.edges) if free[i] and free[j]
    }
    edges = [e for e, weight in weights.items() if weight > 0]
    if not edges:
        return found
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_matrix

    ends = sorted({atom for e in edges for atom in graph.edges[e]})
    row = {atom: k for k, atom in enumerate(ends)}
    rows = [row[atom] for e in edges for atom in graph.edges[e]]
    columns = np.repeat(np.arange(len(edges)), 2)
    incidence = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(ends), len(edges)))
    solution = milp(
        c=[-weights[e] for e in edges],
        constraints=LinearConstraint(incidence.tocsr(), ub=[free[atom] for atom in ends]),
        integrality=np.ones(len(edges)),
        bounds=Bounds(0, 2),
    )
    if solution.x is not None:
        for e, extra in zip(edges, np.rint(solution.x).astype(int).tolist(), strict=True):
            found[e] = extra
    return found


def _weight(first: int, second: int) -> float:
    """Preference for a double bond between two elements; 0 where none is formed."""
    kinds = {first, second}
    if not kinds <= {6, 7, *_CHALCOGENS} or (first in _CHALCOGENS and second in _CHALCOGENS):
        return 0.0
    if kinds & set(_CHALCOGENS):
        return 0.45 if 8 in kinds else 0.35
    return 1.0 if kinds == {6} else 0.9 if 6 in kinds else 0.8


def _near_metal(atom: int, bonded: list[list[int]], donors: frozenset[int]) -> bool:
    """Is the atom, or one on the same neighbour (the other O of a carboxylate), bonded to a metal?"""
    return atom in donors or any(k in donors for j in bonded[atom] for k in (j, *bonded[j]))
