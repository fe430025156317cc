"""Ligands that lack hydrogens, and what they are counted as.

A ligand without any hydrogen, or whose valences are in doubt, is compared with the library.  One that has some is
compared with the other ligands of the same cluster: where its heavy atoms are theirs and its charge is not, hydrogens
are missing: PH2 beside three PH3 that bind one metal each as it does, S-CH2 beside S-CH3.  No fault is a hydrogen fewer
on an oxygen, or on a nitrogen or chalcogen that no metal binds (an acid and its anion), on a donor that binds another
number of metals (a bridging phosphide), or a molecule whose valences are closed by double bonds (SPh beside SCy).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from clusterml.errors import counted
from clusterml.structure.anatomy.ligands import BondGraph, Ligand, find_ligands
from clusterml.structure.anatomy.recognise import heavy_graph, name_ligand
from clusterml.structure.bonds import bonds
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

_OFTEN_BARE = (7, 16, 34, 52)  # may lose a hydrogen where they bind no metal, as oxygen may anywhere
Binding: TypeAlias = tuple[tuple[int, int], ...]
"""Element and number of metals of each donor, sorted."""


@dataclass(frozen=True)
class CountedLigands:
    """``ligands`` with the charges that count, how many hydrogens are ``missing``, and ``completed``: those ligands
    that lack some, whose ``doubt`` says what they were taken for."""

    ligands: list[Ligand]
    missing: int
    completed: tuple[Ligand, ...]


def count_ligands(atoms: Atoms) -> CountedLigands:
    """The ligands of ``atoms`` (A); those that lack hydrogens have the charge of what they are without the fault."""
    positions = np.asarray(atoms.positions, dtype=np.float64)
    found = find_ligands(atoms)
    whole = _find_siblings(atoms, found)
    ligands, completed, missing = [], [], 0
    for number, ligand in enumerate(found):
        taken = _take_for_entry(ligand, positions)
        if taken is None and number in whole:
            taken = _take_for_sibling(ligand, found[whole[number][0]], whole[number][1], positions)
        if taken is not None:
            ligand, lost = taken
            completed.append(ligand)
            missing += lost
        ligands.append(ligand)
    return CountedLigands(ligands, missing, tuple(completed))


def _take_for_entry(ligand: Ligand, positions: FloatArray) -> tuple[Ligand, int] | None:
    """A ligand with the charge of the library entry that fits its other atoms, and the number of its lost hydrogens."""
    if not ligand.doubt and ligand.graph.hydrogens:
        return None
    named = name_ligand(ligand, positions)
    missing = named.missing_hydrogens
    if named.entry is None or not missing:
        return None
    doubt = f"{counted(missing, 'hydrogen')} {'is' if missing == 1 else 'are'} missing, taken for {named.name}"
    return replace(ligand, charge=named.charge, remote=0, doubt=doubt), missing


def _take_for_sibling(ligand: Ligand, sibling: Ligand, count: int, positions: FloatArray) -> tuple[Ligand, int]:
    """A ligand with the charge of the ``sibling``, of which there are ``count``, and the number of lost hydrogens."""
    missing = sibling.graph.hydrogens - ligand.graph.hydrogens
    name = name_ligand(sibling, positions).name
    question = "is one missing" if missing == 1 else "are they missing"
    doubt = f"{counted(missing, 'hydrogen')} fewer than {count} x {name}; {question}? Taken for {name}"
    return replace(ligand, charge=sibling.charge, remote=sibling.remote, doubt=doubt), missing


def _find_siblings(atoms: Atoms, ligands: list[Ligand]) -> dict[int, tuple[int, int]]:
    """Numbers of ligands that lack hydrogens -> (number of a like one that does not, how many of those there are)."""
    groups: dict[BondGraph, list[int]] = defaultdict(list)
    for number, ligand in enumerate(ligands):
        groups[heavy_graph(ligand.graph)[0]].append(number)
    groups = {
        heavy: members
        for heavy, members in groups.items()
        if heavy.numbers and len({ligands[k].graph for k in members}) > 1
    }
    if not groups:
        return {}
    bindings = _bindings(atoms, ligands, [k for members in groups.values() for k in members])
    whole: dict[int, tuple[int, int]] = {}
    for members in groups.values():
        counts = Counter((ligands[k].graph, ligands[k].charge) for k in members)
        for k in members:
            own = counts[ligands[k].graph, ligands[k].charge]
            fits = [j for j in members if _lacks(ligands[k], ligands[j], bindings[k], bindings[j])]
            more = {j: counts[ligands[j].graph, ligands[j].charge] for j in fits}
            best = max(fits, key=lambda j: (more[j], -ligands[j].graph.hydrogens), default=None)
            if best is not None and more[best] >= own:
                whole[k] = (best, more[best])
    return whole


def _lacks(ligand: Ligand, other: Ligand, binding: Binding, binding_of_other: Binding) -> bool:
    """Is it the ``other`` ligand of equal heavy atoms, less hydrogens that it cannot do without?"""
    if other.doubt or other.charge == ligand.charge or [z for z, _ in binding] != [z for z, _ in binding_of_other]:
        return False
    mine, theirs = _places_of_hydrogens(ligand), _places_of_hydrogens(other)
    if any(mine[place] > theirs[place] for place in mine):
        return False
    lost = theirs - mine
    needed = [(z, donor) for z, donor in lost if z != 8 and (donor or z not in _OFTEN_BARE)]
    on_donor = any(donor for _, donor in needed)
    return len(needed) == len(lost) > 0 and (binding == binding_of_other or not on_donor)


def _places_of_hydrogens(ligand: Ligand) -> Counter[tuple[int, bool]]:
    """(element, is it a donor) -> number of hydrogens on such atoms."""
    donors, numbers = set(ligand.donors.tolist()), ligand.graph.numbers
    places: Counter[tuple[int, bool]] = Counter()
    for i, j in ligand.graph.edges:
        for hydrogen, holder in ((i, j), (j, i)):
            if numbers[hydrogen] == 1 and numbers[holder] != 1:
                places[numbers[holder], int(ligand.ordered[holder]) in donors] += 1
    return places


def _bindings(atoms: Atoms, ligands: list[Ligand], chosen: list[int]) -> dict[int, Binding]:
    numbers: IntArray = np.asarray(atoms.numbers, dtype=np.int64)
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    metal = is_metal(numbers)
    held = np.zeros(len(numbers), dtype=np.int64)
    np.add.at(held, pairs.first, metal[pairs.second])
    np.add.at(held, pairs.second, metal[pairs.first])
    return {k: tuple(sorted((int(numbers[d]), int(held[d])) for d in ligands[k].donors.tolist())) for k in chosen}
