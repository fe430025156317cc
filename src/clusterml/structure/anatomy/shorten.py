"""Shortened ligands: everything behind the atoms that hold a ligand to its metals becomes a hydrogen.

The orbitals of the metal frame hardly notice (SC6H5 and SH hold a superatom alike), and a ground state costs a tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.ligands import Ligand, find_ligands
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms


def shorten_ligands(atoms: Atoms) -> Atoms:
    """The cluster with SR as SH, PR3 as PH3, RCOO as HCOO, in the same place and with the same charge.

    A bond of a ligand is cut where it is single, no other way leads around it, and what lies behind it neither binds a
    metal nor carries a charge; the atom behind it becomes a hydrogen at its usual distance (A).  Rings and what joins
    two donors stay.
    """
    keep = np.ones(len(atoms), dtype=np.bool_)
    capped: dict[int, FloatArray] = {}
    for ligand in find_ligands(atoms):
        for inner, outer, lost in _cuts(ligand):
            keep[lost] = False
            capped[outer] = _hydrogen(atoms, inner, outer)
    short = atoms.copy()
    for outer, position in capped.items():
        keep[outer] = True
        short.numbers[outer], short.positions[outer] = 1, position
    return short[np.flatnonzero(keep)]


def _hydrogen(atoms: Atoms, inner: int, outer: int) -> FloatArray:
    from ase.data import covalent_radii

    bond = atoms.positions[outer] - atoms.positions[inner]
    length = covalent_radii[atoms.numbers[inner]] + covalent_radii[1]
    return np.asarray(atoms.positions[inner] + length * bond / np.linalg.norm(bond), dtype=np.float64)


def _cuts(ligand: Ligand) -> list[tuple[int, int, list[int]]]:
    """The bonds to cut, outwards from the donors: (atom that stays, atom that becomes H, atoms behind, itself too)."""
    number = {atom: k for k, atom in enumerate(ligand.ordered.tolist())}
    edges = dict(zip(ligand.graph.edges, ligand.valences.orders, strict=True))
    near: list[list[int]] = [[] for _ in number]
    for i, j in edges:
        near[i].append(j)
        near[j].append(i)
    donors = {number[atom] for atom in ligand.donors.tolist()}
    kept, waiting, cuts = set(donors), sorted(donors), []
    while waiting:
        inner = waiting.pop()
        for outer in near[inner]:
            if outer in kept or ligand.graph.numbers[outer] == 1:
                continue
            behind = _behind(near, inner, outer)
            whole = inner in behind or behind & donors or any(ligand.valences.charges[k] for k in behind)
            if whole or edges[min(inner, outer), max(inner, outer)] != 1:
                kept.add(outer)
                waiting.append(outer)
            else:
                lost = ligand.ordered[sorted(behind)].tolist()
                cuts.append((int(ligand.ordered[inner]), int(ligand.ordered[outer]), lost))
    return cuts


def _behind(near: list[list[int]], inner: int, outer: int) -> set[int]:
    """All that is reached from ``outer`` without the bond to ``inner``; with ``inner`` in it the bond is in a ring."""
    reached, waiting = {outer}, [outer]
    while waiting:
        here = waiting.pop()
        for there in near[here]:
            if there not in reached and (here, there) != (outer, inner):
                reached.add(there)
                waiting.append(there)
    return reached
