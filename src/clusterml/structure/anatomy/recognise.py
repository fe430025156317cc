"""Naming ligands: each is compared as a graph (elements, bonds, hydrogens) with the ligand library.

Where a file lacks hydrogens, the graph of the other atoms is compared, and bond lengths choose between molecules that
differ only in hydrogens (SPh and SCy); such a ligand says so in its ``note``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.structure.anatomy.hands import assign_hand
from clusterml.structure.anatomy.library import Library, LigandEntry, load_library, read_smiles
from clusterml.structure.anatomy.ligands import (
    BondGraph,
    Ligand,
    build_molecule,
    canonical_ranks,
    find_ligands,
)
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

_SHORTENING = {1.0: 0.0, 1.5: 0.13, 2.0: 0.19, 3.0: 0.32}
"""How much (A) shorter than two covalent radii a bond of that order is (C-C 1.52, 1.39, 1.33, 1.20)."""
_CLOSED_IN = 3  # metals that leave a single atom no hydrogen: it is an oxide, nitride, phosphide
_UNDECIDED = 0.03  # rms difference of bond lengths (A) that does not tell two molecules apart


@dataclass(frozen=True)
class NamedLigand:
    """A ligand with its name: of the library's ``entry``, or formula and donors (``C5H9S (S donor)``) without one.

    ``atoms``, ``donors``: sorted indices; ``charge``: negative charges; ``hand``: CIP labels of its stereocentres and
    hindered axes (``R``, ``S``, or several with commas) from the coordinates, or None; ``missing_hydrogens``: how many
    hydrogens the file lacks; ``note``: empty, or what the name rests on.
    """

    name: str
    formula: str
    atoms: IntArray
    donors: IntArray
    charge: int
    hand: str | None
    entry: LigandEntry | None
    missing_hydrogens: int = 0
    note: str = ""


@dataclass(frozen=True)
class _Template:
    """A library entry as a graph; ``molecule`` (RDKit) has its atoms in the order of ``ranks``' positions."""

    entry: LigandEntry
    molecule: Any
    ranks: tuple[int, ...]  # position of each atom of the molecule in the graph
    hydrogens: int
    carbon_hydrogens: int
    lengths: dict[tuple[int, int], list[float]]  # of the heavy atoms' bonds, sorted, for each pair of elements


def name_ligands(atoms: Atoms, library: Library | None = None) -> list[NamedLigand]:
    """The ligands, separate molecules and ions of ``atoms``, named, in order of their first atom."""
    positions = np.asarray(atoms.positions, dtype=np.float64)
    return [name_ligand(ligand, positions, library) for ligand in find_ligands(atoms)]


def name_ligand(ligand: Ligand, positions: FloatArray, library: Library | None = None) -> NamedLigand:
    """One ligand, named; ``positions`` ``(n, 3)`` (A) are those of the whole structure."""
    whole, heavy = _templates(library if library is not None else load_library())
    exact = whole.get(ligand.graph, [])
    if exact and ligand.graph.hydrogens:
        return _name_by_hand(ligand, exact, positions[ligand.ordered])
    named = _name_without_hydrogens(ligand, exact, heavy, positions)
    return named if named is not None else _describe_unknown(ligand, positions)


def _name_by_hand(ligand: Ligand, templates: list[_Template], ordered: FloatArray) -> NamedLigand:
    """A ligand equal to ``templates`` (several differ in hand) whose atoms, in their order, are at ``ordered``."""
    first = templates[0]
    hand = assign_hand(first.molecule, ordered[list(first.ranks)])
    for entry in (template.entry for template in templates):
        if entry.hand is None or entry.hand == hand:
            return NamedLigand(entry.name, ligand.formula, ligand.atoms, ligand.donors, entry.charge, hand, entry)
    note = f"{'too flat to tell R from S' if hand is None else 'the other hand'}: {first.entry.name}"
    return _name_by_formula(ligand, hand, note)


def _name_without_hydrogens(
    ligand: Ligand, exact: list[_Template], heavy: dict[BondGraph, list[_Template]], positions: FloatArray
) -> NamedLigand | None:
    """A ligand that lacks hydrogens or has none, named after its other atoms and its bond lengths; None if unknown.

    Of molecules that those do not tell apart, one without hydrogens comes first, then the least charged.
    """
    graph, order = heavy_graph(ligand.graph)
    present, on_carbon = ligand.graph.hydrogens, ligand.graph.carbon_hydrogens
    # one that lacks only hydrogens of N, O or S is not incomplete but deprotonated
    candidates = exact + [t for t in heavy.get(graph, []) if not present or t.carbon_hydrogens > on_carbon]
    if len(ligand.graph.numbers) == 1 and ligand.held >= _CLOSED_IN:
        candidates = exact
    if not candidates:
        return None
    points = positions[ligand.ordered[list(order)]]
    lengths = _lengths_by_elements(graph, [float(np.linalg.norm(points[i] - points[j])) for i, j in graph.edges])
    misfits = [_misfit(lengths, template.lengths) for template in candidates]
    close = [t for t, misfit in zip(candidates, misfits, strict=True) if misfit <= min(misfits) + _UNDECIDED]
    close.sort(key=lambda t: (t.hydrogens > 0, abs(t.entry.charge)))
    chosen = close[0]
    alike = [t for t in close if t.hydrogens == chosen.hydrogens]
    named = _name_by_hand(ligand, alike, points)
    missing = chosen.hydrogens - present
    if not missing or named.entry is None:
        return named
    others = [t.entry.name for t in close if t.hydrogens not in (0, chosen.hydrogens)]
    note = f"{missing} hydrogens missing" + (f"; could also be {', '.join(others)}" if others else "")
    return replace(named, missing_hydrogens=missing, note=note)


def _describe_unknown(ligand: Ligand, positions: FloatArray) -> NamedLigand:
    molecule = None if ligand.doubt else build_molecule(ligand.graph, ligand.valences)
    hand = None if molecule is None else assign_hand(molecule, positions[ligand.ordered])
    return _name_by_formula(ligand, hand, "not in the library")


def _name_by_formula(ligand: Ligand, hand: str | None, note: str) -> NamedLigand:
    from ase.data import chemical_symbols

    numbers = dict(zip(ligand.ordered.tolist(), ligand.graph.numbers, strict=True))
    donors = ", ".join(sorted({chemical_symbols[numbers[atom]] for atom in ligand.donors.tolist()}))
    plural = "s" if len(ligand.donors) > 1 else ""
    name = f"{ligand.formula} ({donors} donor{plural})" if donors else ligand.formula
    return NamedLigand(name, ligand.formula, ligand.atoms, ligand.donors, ligand.charge, hand, None, 0, note)


@lru_cache(maxsize=8)
def _templates(library: Library) -> tuple[dict[BondGraph, list[_Template]], dict[BondGraph, list[_Template]]]:
    """The library by graph, with all atoms and without hydrogens."""
    from rdkit import Chem

    whole: dict[BondGraph, list[_Template]] = defaultdict(list)
    heavy: dict[BondGraph, list[_Template]] = defaultdict(list)
    for entry in library:
        molecule = read_smiles(entry.smiles)
        graph, template = _template(entry, Chem.AddHs(molecule))
        whole[graph].append(template)
        if template.hydrogens and molecule.GetNumAtoms() < len(graph.numbers):
            graph, bare = _template(entry, molecule)
            heavy[graph].append(bare)
    return dict(whole), dict(heavy)


def _template(entry: LigandEntry, molecule: Any) -> tuple[BondGraph, _Template]:
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    ranks = canonical_ranks(numbers, bonds)
    edges = [(min(ranks[i], ranks[j]), max(ranks[i], ranks[j])) for i, j in bonds]
    in_order = sorted(range(len(numbers)), key=ranks.__getitem__)
    graph = BondGraph(tuple(numbers[i] for i in in_order), tuple(sorted(edges)))
    hydrogens = [atom.GetTotalNumHs(includeNeighbors=True) for atom in molecule.GetAtoms()]
    on_carbon = sum(count for count, number in zip(hydrogens, numbers, strict=True) if number == 6)
    expected = [_length(bond) for bond in molecule.GetBonds()]
    lengths = _lengths_by_elements(BondGraph(graph.numbers, tuple(edges)), expected)
    return graph, _Template(entry, molecule, tuple(ranks), sum(hydrogens), on_carbon, lengths)


def _length(bond: Any) -> float:
    """Usual length (A) of an RDKit bond."""
    from ase.data import covalent_radii

    ends = (bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum())
    return float(sum(covalent_radii[list(ends)])) - _SHORTENING[bond.GetBondTypeAsDouble()]


def _lengths_by_elements(graph: BondGraph, lengths: list[float]) -> dict[tuple[int, int], list[float]]:
    """Sorted bond lengths for each pair of elements, so that equivalent atoms need not be distinguished."""
    table: dict[tuple[int, int], list[float]] = defaultdict(list)
    for (i, j), length in zip(graph.edges, lengths, strict=True):
        first, second = sorted((graph.numbers[i], graph.numbers[j]))
        table[first, second].append(length)
    return {pair: sorted(row) for pair, row in table.items()}


def _misfit(measured: dict[tuple[int, int], list[float]], expected: dict[tuple[int, int], list[float]]) -> float:
    """Root mean square difference (A) of two sets of bond lengths of equal graphs; 0 without bonds."""
    squares = [(a - b) ** 2 for pair, row in measured.items() for a, b in zip(row, expected[pair], strict=True)]
    return float(np.sqrt(np.mean(squares))) if squares else 0.0


@lru_cache(maxsize=4096)
def heavy_graph(graph: BondGraph) -> tuple[BondGraph, tuple[int, ...]]:
    """The graph without hydrogens, and the positions of its atoms in ``graph``."""
    keep = [k for k, number in enumerate(graph.numbers) if number != 1]
    local = {k: n for n, k in enumerate(keep)}
    edges = [(local[i], local[j]) for i, j in graph.edges if i in local and j in local]
    ranks = canonical_ranks([graph.numbers[k] for k in keep], edges)
    in_order = sorted(range(len(keep)), key=ranks.__getitem__)
    moved = sorted((min(ranks[i], ranks[j]), max(ranks[i], ranks[j])) for i, j in edges)
    bare = BondGraph(tuple(graph.numbers[keep[n]] for n in in_order), tuple(moved))
    return bare, tuple(keep[n] for n in in_order)
