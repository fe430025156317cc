"""Ligands of a cluster and their charges, from the bonding graph.

Taking the metals away leaves the ligands; :mod:`clusterml.structure.anatomy.valence` closes each by electron pairs.
That one rule gives thiolate 1, sulfide 2, dithiolate 2, carboxylate 1, dithiocarbamate and dithiophosphate 1,
sulfonate 1, halide 1, hydride 1, alkynyl 1, and 0 for phosphine, phosphine oxide, amine, pyridine, DMF, ketone,
thioether, carbene and CO.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.graph import Graph, canonical_graph
from clusterml.structure.anatomy.valence import Valences, assign_valences
from clusterml.structure.bonds import bonds, components, neighbours
from clusterml.structure.elements import formula, is_metal
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms


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
    graph: Graph
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
    found = []
    for part in components(len(numbers), organic):
        if metal[part[0]]:
            continue
        graph, ordered = canonical_graph(part, numbers, bonded)
        valences = assign_valences(graph, frozenset(np.flatnonzero(donor[ordered]).tolist()))
        found.append(
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
    return found


@lru_cache(maxsize=4096)
def _formula(graph: Graph) -> str:
    return formula(graph.numbers)
