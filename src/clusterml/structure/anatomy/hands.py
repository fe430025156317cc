"""Hands of ligands: CIP labels of their stereocentres and of the axes of hindered biaryls.

A biaryl keeps its hand where at least three of the four places beside the bond between its rings are substituted (by
more than H or F) and the two sides of each ring differ: BINAP, methylated BIPHEP, binaphthyl dithiols.  A SMILES does
not say that hand; a library entry has it in ``hand``, after the labels of the stereocentres: R is Ra (M), S is Sa (P).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from clusterml.typing import FloatArray

_SUBSTITUTED = 3  # of the four atoms beside an axis
_FLAT = 0.25  # sine of a torsion that is too small to tell one hand from the other
_AXIAL = {"M": "R", "P": "S"}
Axis: TypeAlias = tuple[int, int, int, int]
"""The two atoms of an axis, between the atom beside each that has the lower number."""


def cip_labels(molecule: Any) -> tuple[str, ...]:
    """CIP labels (``R``, ``S``) of an RDKit molecule: of the tetrahedral stereocentres, in the order of its atoms, then
    of those biaryl axes whose turn is set.

    Empty for a cage so entangled that RDKit gives the sequence rules up.
    """
    from rdkit.Chem import rdCIPLabeler

    try:
        rdCIPLabeler.AssignCIPLabels(molecule)
    except RuntimeError:  # "Digraph generation failed": RDKit has no class of its own for it
        return ()
    centres = [atom.GetProp("_CIPCode") for atom in molecule.GetAtoms() if atom.HasProp("_CIPCode")]
    axes = [bond.GetProp("_CIPCode") for bond in molecule.GetBonds() if bond.HasProp("_CIPCode")]
    return (*(code for code in centres if code in ("R", "S")), *(_AXIAL[code] for code in axes if code in _AXIAL))


def assign_hand(template: Any, positions: FloatArray) -> str | None:
    """CIP labels, joined by commas, of ``template`` (RDKit) with its atoms at ``positions`` ``(m, 3)`` (A).

    None where there is neither a stereocentre nor a hindered axis, or where one is too flat to say.
    """
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    axes = find_axes(template)
    if not axes and not has_stereocentres(template):
        return None
    molecule = Chem.Mol(template)
    conformer = Chem.Conformer(molecule.GetNumAtoms())
    for atom, (x, y, z) in enumerate(positions.tolist()):
        conformer.SetAtomPosition(atom, Point3D(x, y, z))
    molecule.AddConformer(conformer, assignId=True)
    Chem.AssignStereochemistryFrom3D(molecule)
    return ",".join(_labels(molecule, axes, turns_of_axes(axes, positions))) or None


@lru_cache(maxsize=4096)
def has_stereocentres(molecule: Any) -> bool:
    """Can any tetrahedral atom of the RDKit molecule be R or S?"""
    from rdkit import Chem

    kinds = {element.type for element in Chem.FindPotentialStereo(Chem.Mol(molecule))}
    return Chem.StereoType.Atom_Tetrahedral in kinds


@lru_cache(maxsize=4096)
def find_axes(molecule: Any) -> tuple[Axis, ...]:
    """The axes of hindered biaryls that make the RDKit molecule chiral, in the order of its bonds."""
    from rdkit import Chem

    axes: list[Axis] = []
    for bond in molecule.GetBonds():
        ends = bond.GetBeginAtom(), bond.GetEndAtom()
        if bond.GetBondType() != Chem.BondType.SINGLE or not all(end.GetIsAromatic() for end in ends):
            continue
        beside = [_find_beside(molecule, end.GetIdx(), other.GetIdx()) for end, other in (ends, ends[::-1])]
        if all(beside) and sum(_is_substituted(molecule, k) for pair in beside for k in pair) >= _SUBSTITUTED:
            axes.append((min(beside[0]), ends[0].GetIdx(), ends[1].GetIdx(), min(beside[1])))
    without = len(_labels(molecule, (), ()))
    return tuple(axis for axis in axes if len(_labels(molecule, (axis,), (1,))) > without)


def find_hands(molecule: Any) -> dict[str | None, tuple[int, ...]]:
    """The hands that an RDKit molecule may have, as a library entry states them, with the turns of its axes.

    Without a hindered axis that is the one of its stereocentres (None without any); n of them make 2^n.
    """
    axes = find_axes(molecule)
    turns = list(product((1, -1), repeat=len(axes)))
    return {",".join(_labels(molecule, axes, turn)) or None: turn for turn in turns}


def turns_of_axes(axes: Sequence[Axis], positions: FloatArray) -> tuple[int, ...]:
    """Sign of the torsion of each axis for atoms at ``positions`` ``(n, 3)`` (A); 0 where it is too flat to say."""
    turns = []
    for axis in axes:
        first, along, last = np.diff(positions[list(axis)], axis=0)
        along = along / np.linalg.norm(along)
        before, after = np.cross(first, along), np.cross(along, last)
        sine = np.cross(before, after) @ along / max(np.linalg.norm(before) * np.linalg.norm(after), 1e-9)
        turns.append(int(np.sign(sine)) if abs(sine) > _FLAT else 0)
    return tuple(turns)


def _labels(molecule: Any, axes: Sequence[Axis], turns: Sequence[int]) -> tuple[str, ...]:
    """The labels with the ``axes`` turned as said (0: not set)."""
    from rdkit import Chem

    marked = Chem.Mol(molecule)
    for (_, first, last, _), turn in zip(axes, turns, strict=True):
        if turn:
            kind = Chem.BondStereo.STEREOATROPCW if turn > 0 else Chem.BondStereo.STEREOATROPCCW
            marked.GetBondBetweenAtoms(first, last).SetStereo(kind)
    return cip_labels(marked)


def _find_beside(molecule: Any, end: int, other: int) -> list[int]:
    """The two atoms beside one ``end`` of an axis in its ring of six; none where it is no end of a biaryl."""
    rings = [ring for ring in molecule.GetRingInfo().AtomRings() if len(ring) == 6 and end in ring]
    beside = [atom.GetIdx() for atom in molecule.GetAtomWithIdx(end).GetNeighbors() if atom.GetIdx() != other]
    whole = any(other not in ring and set(beside) <= set(ring) for ring in rings)
    return beside if whole and len(beside) == 2 else []


def _is_substituted(molecule: Any, atom: int) -> bool:
    near = molecule.GetAtomWithIdx(atom).GetNeighbors()
    return sum(other.GetAtomicNum() not in (1, 9) for other in near) > 2
