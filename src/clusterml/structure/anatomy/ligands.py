"""Ligands of a cluster from the bonding graph: their canonical graphs, valences and charges.

An atom's valence, less its non-metal neighbours and less the double bonds it can form, is what it shares with the metal
or carries as a negative charge.  The double bonds are the heaviest set that the free valences allow, C=C before C=N
before C=O and C=S, so that a benzene dithiolate keeps its aromatic ring and both charges.  No carbon but a donor may be
left over where another set, or a nitrogen cation (pyridinium, imidazolium, guanidinium), helps.

Taking the metals away leaves the ligands; each is closed by electron pairs.  That one rule gives thiolate 1, sulfide 2,
dithiolate 2, carboxylate 1, dithiocarbamate and dithiophosphate 1, sulfonate 1, halide 1, hydride 1, alkynyl 1, and 0
for phosphine, phosphine oxide, amine, pyridine, DMF, ketone, thioether, carbene and CO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.structure.bonds import bonds, components, neighbours
from clusterml.structure.elements import formula, is_counter_ion_metal, is_metal
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class BondGraph:
    """Atomic ``numbers`` and ``edges`` (pairs of positions, smaller first, sorted) in canonical order.

    Two connected molecules have equal graphs if they have the same atoms and bonds, whatever the order, the bond
    orders and the charges.
    """

    numbers: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]

    @property
    def hydrogens(self) -> int:
        """Number of hydrogen atoms."""
        return self.numbers.count(1)

    @property
    def carbon_hydrogens(self) -> int:
        """Number of bonds between carbon and hydrogen."""
        return sum({self.numbers[i], self.numbers[j]} == {1, 6} for i, j in self.edges)


def canonical_graph(part: IntArray, numbers: IntArray, bonded: Sequence[Sequence[int]]) -> tuple[BondGraph, IntArray]:
    """The graph of the atoms ``part`` ``(m,)``, and the same atoms in the graph's order ``(m,)``.

    ``numbers`` ``(n,)`` and ``bonded`` (neighbours of each of the n atoms) are those of the whole structure.
    """
    local = {int(atom): k for k, atom in enumerate(part)}
    edges = [(k, local[j]) for atom, k in local.items() for j in bonded[atom] if j in local and k < local[j]]
    ranks = canonical_ranks([int(z) for z in numbers[part]], edges)
    order = np.argsort(ranks)
    moved = sorted((min(ranks[i], ranks[j]), max(ranks[i], ranks[j])) for i, j in edges)
    graph = BondGraph(tuple(int(z) for z in numbers[part[order]]), tuple(moved))
    return graph, np.asarray(part[order], dtype=np.int64)


def canonical_ranks(numbers: Sequence[int], edges: Sequence[tuple[int, int]]) -> list[int]:
    """Position of each atom in the canonical order of the graph."""
    if len(numbers) < 2:
        return [0] * len(numbers)
    from rdkit import Chem

    molecule = Chem.RWMol()
    for number in numbers:
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for i, j in edges:
        molecule.AddBond(i, j, Chem.BondType.SINGLE)
    molecule.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(molecule)
    return [int(rank) for rank in Chem.CanonicalRankAtoms(molecule, breakTies=True)]


_VALENCE = {1: 1, 5: 3, 6: 4, 14: 4, 32: 4, 7: 3, 15: 3, 33: 3, 51: 3, 8: 2, 16: 2, 34: 2, 52: 2}
_VALENCE |= {9: 1, 17: 1, 35: 1, 53: 1}
_CHALCOGENS = (8, 16, 34, 52)
_BY_FORMULA = {"N3": 1, "I3": 1}  # linear anions whose bonding is not one of electron pairs
_MONOVALENT_IONS = (3, 11, 19, 37, 55, 87)
_ELECTRONEGATIVE = {7, 8, 9, 16, 17, 35}
_SATED = 0.5  # weight of a double bond's end at a carbon that binds no metal: it must not be left over
_DEAR, _CHEAP = 1.2, 0.6
"""Cost of an N(+): more than that of an anion, so that it comes only where a carbon would be left over; less next to an
O(-), and in the ring of a bound carbene, which would be an anion twice."""


@dataclass(frozen=True)
class Valences:
    """Charges and bond orders of one ligand; positions are those of the graph.

    ``charge``: negative charges (negative for cations); ``remote``: those on groups that no metal is bonded to, less
    the positive ones there, at least 0;
    ``orders``: bond order of each edge; ``charges``: formal charge of each atom, metals taken away;
    ``doubt``: empty, or why the charge is uncertain.
    """

    charge: int
    remote: int
    orders: tuple[int, ...]
    charges: tuple[int, ...]
    doubt: str = ""


@lru_cache(maxsize=4096)
def assign_valences(graph: BondGraph, donors: frozenset[int]) -> Valences:
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
    double, raised = _double_bonds(graph, free, _find_onium(numbers, bonded, donors), bonded, donors)
    charges = [charge + more for charge, more in zip(cationic, raised, strict=True)]
    for atom, number in enumerate(numbers):
        left = free[atom] + raised[atom] - sum(double[e] for e, edge in enumerate(graph.edges) if atom in edge)
        if left <= 0:
            continue
        if number == 6:
            if atom not in donors:
                doubts.append("carbon atoms lack neighbours (are hydrogens missing?)")
                continue
            left = left % 2 if bonded[atom] else left  # two free valences on one carbon: a carbene, CO, isocyanide
        charges[atom] -= left
    orders = tuple(1 + extra for extra in double)
    remote = _remote_charge(charges, bonded, donors)
    return Valences(-sum(charges), remote, orders, tuple(charges), "; ".join(dict.fromkeys(doubts)))


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
        elif z in (14, 32) and rest < 0 and set(around) <= _ELECTRONEGATIVE:
            cationic[atom] = rest  # SiF6(2-)
        elif z in (6, 1, 14, 32) and rest < 0:
            if 5 not in around:
                doubts.append("an atom with too many neighbours")
        elif z in (15, 33, 51) and n > 4:
            cationic[atom] = 5 - n
        elif z == 7 and _is_cationic_nitrogen(atom, numbers, bonded):
            free[atom] = 4 - n
            cationic[atom] = 1
        elif rest < 0:
            cationic[atom] = -rest
    return free, cationic, doubts


def _is_cationic_nitrogen(atom: int, numbers: tuple[int, ...], bonded: list[list[int]]) -> bool:
    """Is it the N of nitrate or a nitro group, or the middle one of an organic azide?"""
    around = [numbers[j] for j in bonded[atom]]
    ends = [numbers[j] for j in bonded[atom] if len(bonded[j]) == 1]
    return (len(around) == 3 and ends.count(8) > 1) or (around == [7, 7] and len(ends) == 1)


def _find_onium(
    numbers: tuple[int, ...], bonded: list[list[int]], donors: frozenset[int]
) -> dict[int, tuple[float, set[int]]]:
    """Nitrogens of three neighbours that may be N(+) with a double bond: its cost, and the atoms it may go to.

    They are the N of N-oxides and nitrones, those in flat rings, and those of amidinium and guanidinium.
    """
    found: dict[int, tuple[float, set[int]]] = {}
    for atom, z in enumerate(numbers):
        if z != 7 or len(bonded[atom]) != 3 or atom in donors:
            continue
        if any(numbers[j] == 8 and len(bonded[j]) == 1 for j in bonded[atom]):
            found[atom] = _CHEAP, {j for j in bonded[atom] if numbers[j] in (6, 7)}
            continue
        ring = _flat_rings(atom, numbers, bonded)
        carbenes = {j for j in ring & donors if numbers[j] == 6 and len(bonded[j]) == 2}
        partners = {j for j in bonded[atom] if j in ring or _is_amidinium_carbon(j, numbers, bonded)} - carbenes
        found[atom] = _CHEAP if carbenes else _DEAR, partners
    return found


def _is_amidinium_carbon(atom: int, numbers: tuple[int, ...], bonded: list[list[int]]) -> bool:
    return numbers[atom] == 6 and len(bonded[atom]) == 3 and sum(numbers[j] == 7 for j in bonded[atom]) > 1


def _flat_rings(atom: int, numbers: tuple[int, ...], bonded: list[list[int]]) -> set[int]:
    """The other atoms of the rings of 5 and 6 through ``atom`` all of whose members can share in double bonds."""
    most = {6: 3, 7: 3} | dict.fromkeys(_CHALCOGENS, 2)
    members = set[int]()
    paths = [[j] for j in bonded[atom]]
    while paths:
        path = paths.pop()
        if len(bonded[path[-1]]) > most.get(numbers[path[-1]], 0):
            continue
        if len(path) in (4, 5) and path[-1] in bonded[atom]:
            members |= set(path)
        elif len(path) < 5:
            paths += [[*path, j] for j in bonded[path[-1]] if j != atom and j not in path]
    return members


def _double_bonds(
    graph: BondGraph,
    free: list[int],
    onium: dict[int, tuple[float, set[int]]],
    bonded: list[list[int]],
    donors: frozenset[int],
) -> tuple[list[int], list[int]]:
    """Extra bonds on each edge in the heaviest assignment of double and triple bonds, and 1 for each N made N(+)."""
    extra_bonds, raised = [0] * len(graph.edges), [0] * len(free)
    weights: dict[int, float] = {}
    for e, (i, j) in enumerate(graph.edges):
        weight = _weight(graph.numbers[i], graph.numbers[j])
        open_ends = (free[i] or (i in onium and j in onium[i][1])) and (free[j] or (j in onium and i in onium[j][1]))
        if weight and open_ends and (free[i] or free[j]) and not _is_betaine_bond(i, j, graph.numbers, bonded):
            weights[e] = weight + _SATED * sum(graph.numbers[k] == 6 and k not in donors for k in (i, j))
    if not weights:
        return extra_bonds, raised
    from scipy.optimize import Bounds, LinearConstraint, milp

    ends = sorted({atom for e in weights for atom in graph.edges[e]})
    cations = [atom for atom in ends if atom in onium]
    table = np.zeros((len(ends), len(weights) + len(cations)))
    for column, e in enumerate(weights):
        table[[ends.index(atom) for atom in graph.edges[e]], column] = 1.0
    for column, atom in enumerate(cations, start=len(weights)):
        table[ends.index(atom), column] = -1.0
    solution = milp(
        c=[*(-weight for weight in weights.values()), *(onium[atom][0] for atom in cations)],
        constraints=LinearConstraint(table, ub=[free[atom] for atom in ends]),
        integrality=np.ones(table.shape[1]),
        bounds=Bounds(0, [2] * len(weights) + [1] * len(cations)),
    )
    if solution.x is not None:
        values = np.rint(solution.x).astype(int).tolist()
        for e, extra in zip(weights, values, strict=False):
            extra_bonds[e] = extra
        for atom, extra in zip(cations, values[len(weights) :], strict=True):
            raised[atom] = extra
    return extra_bonds, raised


def _is_betaine_bond(first: int, second: int, numbers: tuple[int, ...], bonded: list[list[int]]) -> bool:
    """Is it the single bond between the carbons of a carbene and of the CO2, CS2 or CSe2 that it has taken up?"""
    return any(
        numbers[a] == numbers[b] == 6
        and sum(numbers[j] == 7 and len(bonded[j]) == 3 for j in bonded[a]) == 2
        and sum(numbers[j] in _CHALCOGENS and len(bonded[j]) == 1 for j in bonded[b]) == 2
        for a, b in ((first, second), (second, first))
    )


def _weight(first: int, second: int) -> float:
    """Preference for a double bond between two elements; 0 where none is formed."""
    kinds = {first, second}
    if not kinds <= {6, 7, *_CHALCOGENS} or (first in _CHALCOGENS and second in _CHALCOGENS):
        return 0.0
    if kinds & set(_CHALCOGENS):
        return 0.45 if 8 in kinds else 0.35
    return 1.0 if kinds == {6} else 0.9 if 6 in kinds else 0.8


def _remote_charge(charges: list[int], bonded: list[list[int]], donors: frozenset[int]) -> int:
    """Negative charges, less positive ones, of the charged groups that no metal is bonded to; at least 0."""
    if not donors:
        return 0
    remote, seen = 0, set[int]()
    for first, charge in enumerate(charges):
        if not charge or first in seen:
            continue
        group = [first]
        for atom in group:
            group += [j for j in bonded[atom] if charges[j] and j not in group]
        seen.update(group)
        if not any(_near_metal(atom, bonded, donors) for atom in group):
            remote -= sum(charges[atom] for atom in group)
    return max(remote, 0)


def _near_metal(atom: int, bonded: list[list[int]], donors: frozenset[int]) -> bool:
    """Is the atom, or one on the same neighbour (the other O of a carboxylate), bonded to a metal?"""
    return atom in donors or any(k in donors for j in bonded[atom] for k in (j, *bonded[j]))


@lru_cache(maxsize=4096)
def build_molecule(graph: BondGraph, valences: Valences) -> Any:
    """The RDKit molecule of a ligand outside the library, in the graph's order; None if RDKit refuses it."""
    from rdkit import Chem, rdBase

    kinds = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    molecule = Chem.RWMol()
    for number, charge in zip(graph.numbers, valences.charges, strict=True):
        atom = Chem.Atom(number)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for (i, j), order in zip(graph.edges, valences.orders, strict=True):
        molecule.AddBond(i, j, kinds[min(order, 3)])
    with rdBase.BlockLogs():
        failed = Chem.SanitizeMol(molecule, catchErrors=True)
    return None if failed else molecule


@dataclass(frozen=True)
class Ligand:
    """One ligand: indices of its ``atoms`` and of its ``donors`` (bonded to a metal), and its negative charges.

    ``charge`` counts negative charges (1 for thiolate, -1 for a cation); ``remote`` is the part of it on groups that
    no metal is bonded to (a free carboxylate of a bound ligand).  ``doubt`` is empty, or says why the charge is
    uncertain.  ``graph`` is the ligand in canonical order, ``ordered`` its atoms in that order and ``valences`` what
    follows from it.  ``held``: number of bonds to metals.
    """

    formula: str
    atoms: IntArray
    donors: IntArray
    charge: int
    remote: int
    doubt: str
    graph: BondGraph
    ordered: IntArray
    valences: Valences
    held: int


def find_ligands(atoms: Atoms) -> list[Ligand]:
    """The ligands (and any separate molecules and ions) of ``atoms``, in order of their first atom."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    mixed = pairs.select(metal[pairs.first] != metal[pairs.second])
    held = np.bincount(np.concatenate([mixed.first, mixed.second]), minlength=len(numbers))
    donor = held > 0
    organic = pairs.select(~metal[pairs.first] & ~metal[pairs.second])
    bonded = neighbours(len(numbers), organic)
    ligands = []
    for part in components(len(numbers), organic):
        if metal[part[0]]:
            continue
        graph, ordered = canonical_graph(part, numbers, bonded)
        valences = assign_valences(graph, frozenset(np.flatnonzero(donor[ordered]).tolist()))
        ligands.append(
            Ligand(
                _formula(graph),
                part,
                part[donor[part]],
                valences.charge,
                valences.remote,
                valences.doubt,
                graph,
                ordered,
                valences,
                int(held[part].sum()),
            )
        )
    return ligands


@lru_cache(maxsize=4096)
def _formula(graph: BondGraph) -> str:
    return formula(graph.numbers)
