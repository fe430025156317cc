"""Charges of ligands from their graphs and donors alone."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from rdkit import Chem

from clusterml.structure.anatomy.ligands import Valences, assign_valences, canonical_graph
from clusterml.structure.anatomy.recognise import name_ligands
from clusterml.structure.anatomy.superatom import propose_charge


def valences(smiles: str, donors: list[int]) -> Valences:
    """What the graph of a molecule, without the charges of its SMILES, is given."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    bonded = [[other.GetIdx() for other in atom.GetNeighbors()] for atom in molecule.GetAtoms()]
    graph, ordered = canonical_graph(np.arange(len(numbers)), numbers, bonded)
    return assign_valences(graph, frozenset(ordered.tolist().index(donor) for donor in donors))


@pytest.mark.parametrize(
    ("smiles", "donors"),
    [
        ("[c-]1c(F)c(F)c(F)c(F)c1F", [0]),
        ("Cc1[c-]c(C)cc(C)c1", [2]),
        ("[c-]1ccccc1", [0]),
        ("[c-]1ccccc1", [0, 1]),
        ("[c-]1cccs1", [0]),
        ("[c-]1cccnc1", [0]),
        ("[c-]1ccccc1-c1cccc[c-]1", [0, 11]),
        ("C=[C-]c1ccccc1", [1]),
        ("CC#CC", [1, 2]),
        ("[C-]#Cc1ccc([N+](=O)[O-])cc1", [0, 1]),
    ],
)
def test_carbon_donors(smiles, donors):
    charge = -Chem.GetFormalCharge(Chem.MolFromSmiles(smiles))
    found = valences(smiles, donors)
    assert (found.charge, found.remote, found.doubt) == (charge, 0, "")


@pytest.mark.parametrize(
    ("smiles", "donors"),
    [
        ("[S-]CCN=[N+]=[N-]", [0]),
        ("CN=[N+]=[N-]", [1]),
        ("CC(=O)N[O-]", [2, 4]),
        ("CC(=O)N(C)[O-]", [2, 5]),
        ("[O-][n+]1ccccc1", [0]),
        ("C[N+]([O-])=CC", [2]),
        ("CC(C)=N[O-]", [4]),
        ("[S-]CC[n+]1ccccc1", [0]),
        ("[S-]CCn1cc[n+](C)c1", [0]),
        ("C[n+]1cscc1CC[S-]", [8]),
        ("[S-]CCNC(=[NH2+])N", [0]),
        ("CSC(N)=[NH2+]", [1]),
        ("Cn1c(C)[c-][n+](C)n1", [4]),
        ("Cn1c[c-][n+](C)c1C", [3]),
        ("Cn1n[n+](C)n[c-]1", [6]),
        ("C[n+]1cccc[c-]1", [6]),
        ("[S-]C(=S)C1=[N+](C)C=CN1C", [0, 2]),
        ("[O-]C(=O)C1=[N+](C)C=CN1C", [0]),
        ("[S-]c1cc[n+](C)cc1", [0]),
        ("[S-]c1ccc(N(C)C)cc1", [0]),
        ("[S-]c1ccc(cc1)n1ccnc1", [0]),
        ("Cn1cnc2c1nc(N)[n-]c2=O", [9]),
        ("CN1C=CN(C)C1=S", [7]),
        ("F[Si-2](F)(F)(F)(F)F", [0]),
    ],
)
def test_cations_and_zwitterions(smiles, donors):
    charge = -Chem.GetFormalCharge(Chem.MolFromSmiles(smiles))
    found = valences(smiles, donors)
    assert (found.charge, found.remote, found.doubt) == (charge, 0, "")


@pytest.mark.parametrize(
    ("smiles", "donors", "remote"),
    [
        ("[S-]CC[N+](=O)[O-]", [0], 0),
        ("CP(C)CCP(C)(C)=O", [1], 0),
        ("[S-]CCS(C)(=O)=O", [0], 0),
        ("[S-]CC([NH3+])C(=O)[O-]", [0], 0),
        ("[O-]S(=O)(=O)c1cccc(P(C)C)c1", [9], 1),
        ("[S-]CCC(=O)[O-]", [0], 1),
    ],
)
def test_a_group_whose_charges_cancel_is_no_free_anion(smiles, donors, remote):
    assert valences(smiles, donors).remote == remote


@pytest.mark.parametrize(("symbol", "charge"), [("O", 2), ("S", 2), ("N", 3), ("P", 3), ("C", 4)])
def test_an_atom_amid_metals_lacks_no_hydrogen(symbol, charge):
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
    cluster = Atoms("Ag4" + symbol, np.concatenate([2.35 * corners, np.zeros((1, 3))]))
    proposal = propose_charge(cluster)
    assert (proposal.ligands, proposal.missing_hydrogens, proposal.warnings) == ({symbol: (1, charge)}, 0, ())
    (named,) = name_ligands(cluster)
    assert (named.charge, named.missing_hydrogens) == (charge, 0)
