"""R or S: CIP labels of a ligand's stereocentres, from bond orders and coordinates, the metals taken away."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from clusterml.structure.anatomy.graph import Graph
from clusterml.structure.anatomy.valence import Valences
from clusterml.typing import FloatArray


def labels(molecule: Any) -> tuple[str, ...]:
    """CIP labels (``R``, ``S``) of the tetrahedral stereocentres of an RDKit molecule, in the order of its atoms.

    Empty for a cage so entangled that RDKit gives the sequence rules up.
    """
    from rdkit.Chem import rdCIPLabeler

    try:
        rdCIPLabeler.AssignCIPLabels(molecule)
    except RuntimeError:  # "Digraph generation failed": RDKit has no class of its own for it
        return ()
    found = [atom.GetProp("_CIPCode") for atom in molecule.GetAtoms() if atom.HasProp("_CIPCode")]
    return tuple(label for label in found if label in ("R", "S"))


def hand_from_3d(template: Any, positions: FloatArray) -> str | None:
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
    return ",".join(labels(molecule)) or None


@lru_cache(maxsize=4096)
def has_stereocentres(molecule: Any) -> bool:
    """Can any tetrahedral atom of the RDKit molecule be R or S?"""
    from rdkit import Chem

    kinds = {found.type for found in Chem.FindPotentialStereo(Chem.Mol(molecule))}
    return Chem.StereoType.Atom_Tetrahedral in kinds


@lru_cache(maxsize=4096)
def molecule_of(graph: Graph, valences: Valences) -> Any:
    """The RDKit molecule of a ligand that no library names, in the graph's order, or None if RDKit refuses it."""
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
