"""Molecular graphs in canonical order, so that equal ligands are recognised by comparing (and hashing) tuples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusterml.typing import IntArray


@dataclass(frozen=True)
class Graph:
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


def canonical_graph(part: IntArray, numbers: IntArray, bonded: Sequence[Sequence[int]]) -> tuple[Graph, IntArray]:
    """The graph of the atoms ``part`` ``(m,)``, and the same atoms in the graph's order ``(m,)``.

    ``numbers`` ``(n,)`` and ``bonded`` (neighbours of each of the n atoms) are those of the whole structure.
    """
    local = {int(atom): k for k, atom in enumerate(part)}
    edges = [(k, local[j]) for atom, k in local.items() for j in bonded[atom] if j in local and k < local[j]]
    ranks = canonical_ranks([int(z) for z in numbers[part]], edges)
    order = np.argsort(ranks)
    moved = sorted((min(ranks[i], ranks[j]), max(ranks[i], ranks[j])) for i, j in edges)
    graph = Graph(tuple(int(z) for z in numbers[part[order]]), tuple(moved))
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
