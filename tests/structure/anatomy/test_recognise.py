"""Naming ligands from their coordinates: every entry of the library, both hands, missing hydrogens, strangers."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from clusterml.structure.anatomy.library import load_library
from clusterml.structure.anatomy.ligands import canonical_ranks
from clusterml.structure.anatomy.recognise import name_ligands

MIRROR = {"R-TFL": "S-TFL", "S-TFL": "R-TFL", "R-SPPT": "S-SPPT", "S-SPPT": "R-SPPT"}
TOO_COARSE = {"PF6-", "SbF6-"}  # force field conformers of these are no octahedra
WITHOUT_HYDROGENS = {  # what a molecule cannot be told from once its hydrogens are gone
    "SH": "S",
    "BDTA-COO": "BDTA",
    "OH": "H2O",
    "NHEt3+": "NEt3",
    "NH4+": "NH3",
}


def shuffled(atoms: Atoms, seed: int) -> Atoms:
    rng = np.random.default_rng(seed)
    moved = atoms[rng.permutation(len(atoms))]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved.positions = moved.positions @ (turn * np.linalg.det(turn))
    return moved


def on_silver(ligand: Atoms, donor: int) -> Atoms:
    """The ligand with one Ag near atom ``donor``, on the side away from everything else."""
    rest = np.delete(ligand.positions, donor, axis=0)
    directions = np.random.default_rng(1).normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    length = 1.8 if ligand.numbers[donor] == 1 else 2.0 if ligand.numbers[donor] == 6 else 2.3
    spots = ligand.positions[donor] + length * directions
    free = np.linalg.norm(spots[:, None] - rest[None], axis=2).min(axis=1) if len(rest) else np.ones(500)
    return ligand + Atoms("Ag", positions=[spots[np.argmax(free)]])


@pytest.mark.parametrize("entry", [e for e in load_library() if e.name not in TOO_COARSE], ids=lambda e: e.name)
def test_every_entry_is_recognised(conformer, entry):
    atoms = shuffled(conformer(entry.smiles), 5)
    (ligand,) = name_ligands(atoms)
    assert (ligand.name, ligand.entry, ligand.hand, ligand.charge) == (entry.name, entry, entry.hand, entry.charge)
    assert (ligand.formula, ligand.missing_hydrogens, ligand.note) == (entry.formula, 0, "")
    image = atoms.copy()
    image.positions[:, 0] *= -1
    assert name_ligands(image)[0].name == MIRROR.get(entry.name, entry.name)
    bare = atoms[atoms.numbers != 1] if entry.name != "H" else atoms
    (ligand,) = name_ligands(bare)
    assert ligand.name == WITHOUT_HYDROGENS.get(entry.name, entry.name)
    if ligand.name == entry.name and len(bare) < len(atoms):
        assert ligand.missing_hydrogens == len(atoms) - len(bare)
        assert f"{ligand.missing_hydrogens} hydrogens missing" in ligand.note
        assert ligand.hand == entry.hand


@pytest.mark.parametrize(("centre", "name"), [("P", "PF6-"), ("Sb", "SbF6-")])
def test_octahedral_anions(centre, name):
    length = {"P": 1.6, "Sb": 1.87}[centre]
    arms = length * np.concatenate([np.eye(3), -np.eye(3)])
    (ligand,) = name_ligands(Atoms([centre, *"FFFFFF"], np.concatenate([np.zeros((1, 3)), arms])))
    assert (ligand.name, ligand.charge) == (name, 1)


@pytest.mark.parametrize("name", ["SPhMe2", "BDT", "CF3COO", "R-TFL", "PPh3", "CCPh", "DMF", "H", "dppm", "SPy"])
def test_bound_to_a_metal(conformer, name):
    entry = load_library().entry(name)
    ligand = conformer(entry.smiles)
    (bound,) = name_ligands(on_silver(ligand, entry.donors[0]))
    assert (bound.name, bound.hand, bound.charge) == (name, entry.hand, entry.charge)
    assert entry.donors[0] in bound.donors


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_the_hand_survives_thermal_motion(seed):
    rng = np.random.default_rng(seed)
    ligand = Atoms(
        "OCOCOHCF3H",  # S-trifluorolactate
        [
            (-1.67, 1.31, 0.77), (-1.36, 0.27, 0.14), (-2.05, -0.74, -0.13), (0.08, 0.25, -0.37), (0.11, 0.32, -1.77),
            (0.6, 1.12, 0.03), (0.82, -1.0, 0.08), (2.09, -0.99, -0.35), (0.86, -1.07, 1.42), (0.23, -2.11, -0.36),
            (-0.8, 0.1, -2.05),
        ],
    )  # fmt: skip
    before = name_ligands(ligand)[0]
    assert before.hand in ("R", "S")
    ligand.positions += rng.normal(scale=0.06, size=ligand.positions.shape)
    assert name_ligands(ligand)[0].name == before.name == f"{before.hand}-TFL"


def test_a_stranger_is_called_by_formula_and_donors(conformer):
    pentyl = conformer("[S-]C(C)CCC")
    (ligand,) = name_ligands(on_silver(pentyl, 0))
    assert (ligand.name, ligand.entry, ligand.charge) == ("C5H11S (S donor)", None, 1)
    assert ligand.hand in ("R", "S")
    pentyl.positions[:, 2] *= -1
    assert {ligand.hand, name_ligands(on_silver(pentyl, 0))[0].hand} == {"R", "S"}
    both = on_silver(on_silver(conformer("[S-]CCO"), 0), 3)
    assert name_ligands(both)[0].name == "C2H5OS (O, S donors)"
    assert name_ligands(conformer("CCCCCCCCCC"))[0].name == "C10H22"


def test_only_the_other_hand_is_known(tmp_path, conformer):
    path = tmp_path / "own.yaml"
    path.write_text('ligands: {R-X: {smiles: "[S-][C@H](C)CC", donors: S, charge: 1, hand: R}}')
    library = load_library(path)
    assert name_ligands(conformer("[S-][C@H](C)CC"), library)[0].name == "R-X"
    (ligand,) = name_ligands(on_silver(conformer("[S-][C@@H](C)CC"), 0), library)
    assert (ligand.name, ligand.hand, ligand.entry) == ("C4H9S (S donor)", "S", None)
    assert "the other hand: R-X" in ligand.note


def test_own_names_come_first(tmp_path, conformer):
    path = tmp_path / "own.yaml"
    path.write_text('ligands: {MySPh: {smiles: "[S-]c1ccccc1", donors: S, charge: 1}}')
    thiolate = conformer("[S-]c1ccccc1")
    assert name_ligands(thiolate, load_library(path))[0].name == "MySPh"
    assert name_ligands(thiolate)[0].name == "SPh"


def test_a_proton_less_is_another_molecule(conformer):
    """Methoxide lacks no hydrogen of MeOH: it is another species, and unknown."""
    (ligand,) = name_ligands(on_silver(conformer("[O-]C"), 0))
    assert (ligand.name, ligand.charge) == ("CH3O (O donor)", 1)


@settings(max_examples=60)
@given(index=st.integers(0, len(load_library()) - 1), seed=st.integers(0, 1000))
def test_the_canonical_order_is_canonical(index, seed):
    """Relabelling the atoms of any entry leads to the same graph."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(load_library().entries[index].smiles, sanitize=True))
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    edges = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]

    def graph(order):
        place = np.argsort(order)
        ranks = canonical_ranks([numbers[k] for k in order], [(int(place[i]), int(place[j])) for i, j in edges])
        back = [ranks[place[k]] for k in range(len(numbers))]
        bonds = sorted(tuple(sorted((back[i], back[j]))) for i, j in edges)
        return [numbers[k] for k in np.argsort(back)], bonds

    assert graph(np.random.default_rng(seed).permutation(len(numbers))) == graph(np.arange(len(numbers)))
