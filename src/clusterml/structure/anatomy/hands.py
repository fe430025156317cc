"""Hands of ligands: the CIP labels of their stereocentres."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from clusterml.typing import FloatArray


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
