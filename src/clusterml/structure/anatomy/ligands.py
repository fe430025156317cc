"""Ligands of a cluster from the bonding graph: their canonical graphs, valences, charges and stereocentres.

An atom's valence, less its non-metal neighbours and less the double bonds it can form, is what it shares with the metal
or carries as a negative charge.  The double bonds are the heaviest set that the free valences allow, C=C before C=N
before C=O and C=S, so that a benzene dithiolate keeps its aromatic ring and both charges.

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
from clusterml.typing import FloatArray, IntArray

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


@dataclass(frozen=True)
class Valences:
    """Charges and bond orders of one ligand; positions are those of the graph.

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
    double = _double_bonds(graph, free)
    double_bonded = [sum(double[e] for e, edge in enumerate(graph.edges) if k in edge) for k in range(len(numbers))]
    charge, remote = -sum(cationic), 0
    charges = list(cationic)
    for atom, number in enumerate(numbers):
        left = free[atom] - double_bonded[atom]
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


def _double_bonds(graph: BondGraph, free: list[int]) -> list[int]:
    """Extra bonds on each edge in the heaviest assignment of double and triple bonds."""
    extra_bonds = [0] * len(graph.edges)
    weights = {
        e: _weight(graph.numbers[i], graph.numbers[j]) for e, (i, j) in enumerate(graph.edges) if free[i] and free[j]
    }
    edges = [e for e, weight in weights.items() if weight > 0]
    if not edges:
        return extra_bonds
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
            extra_bonds[e] = extra
    return extra_bonds


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


def cip_labels(molecule: Any) -> tuple[str, ...]:
    """CIP labels (``R``, ``S``) of the tetrahedral stereocentres of an RDKit molecule, in the order of its atoms.

    Empty for a cage so entangled that RDKit gives the sequence rules up.
    """
    from rdkit.Chem import rdCIPLabeler

    try:
        rdCIPLabeler.AssignCIPLabels(molecule)
    except RuntimeError:  # "Digraph generation failed": RDKit has no class of its own for it
        return ()
    codes = [atom.GetProp("_CIPCode") for atom in molecule.GetAtoms() if atom.HasProp("_CIPCode")]
    return tuple(label for label in codes if label in ("R", "S"))


def assign_hand(template: Any, positions: FloatArray) -> str | None:
    """CIP labels, joined by commas, of ``template`` (RDKit) with its atoms at ``positions`` ``(m, 3)`` (A).

    None where there is no stereocentre, or where one is too flat to say.
    """
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    if not has_stereocentres(template):
        return None
    molecule = Chem.Mol(template)
    conformer = Chem.Conformer(molecule.GetNumAtoms())
    for atom, (x, y, z) in enumerate(positions.tolist()):
        conformer.SetAtomPosition(atom, Point3D(x, y, z))
    molecule.AddConformer(conformer, assignId=True)
    Chem.AssignStereochemistryFrom3D(molecule)
    return ",".join(cip_labels(molecule)) or None


@lru_cache(maxsize=4096)
def has_stereocentres(molecule: Any) -> bool:
    """Can any tetrahedral atom of the RDKit molecule be R or S?"""
    from rdkit import Chem

    kinds = {element.type for element in Chem.FindPotentialStereo(Chem.Mol(molecule))}
    return Chem.StereoType.Atom_Tetrahedral in kinds


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
    follows from it.
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
            )
        )
    return ligands


@lru_cache(maxsize=4096)
def _formula(graph: BondGraph) -> str:
    return formula(graph.numbers)
