"""Ligand charges, superatom electrons and the proposed charge."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.anatomy.superatom import is_even_electron, propose_charge, signed_charge, superatom_electrons
from clusterml.structure.read import read

MODELS = {
    "geometry/Ag29_SH24_PH3_4_T_P.xyz": (-3, 8, {"HS": (24, 1), "H3P": (4, 0)}),
    "geometry/Ag29_BDT12_PH3_4_T_M.xyz": (-3, 8, {"C6H4S2": (12, 2), "H3P": (4, 0)}),
    "geometry/Ag32_SH24_PH3_10_C3.xyz": (0, 8, {"HS": (24, 1), "H3P": (10, 0)}),
    "geometry/Ag33_SH24_PH3_11_C1_P.xyz": (1, 8, {"HS": (24, 1), "H3P": (11, 0)}),
    "geometry/Ag70S4_SH24_HCOO12_Cl8_T_P.xyz": (-2, 20, {"S": (4, 2), "HS": (24, 1), "CHO2": (12, 1), "Cl": (8, 1)}),
    "structures/Ag25_methylthiol.xyz": (-1, 8, {"CH3S": (18, 1)}),
    "structures/Ag24Pt_methylthiol.xyz": (-2, 8, {"CH3S": (18, 1)}),
    "structures/Ag25_final.xyz": (-1, 8, {"C8H9S": (18, 1)}),
}


@pytest.mark.parametrize("name", MODELS)
def test_known_clusters(shared, name):
    charge, electrons, ligands = MODELS[name]
    atoms = read(shared / name, allow_several=True)
    proposal = propose_charge(atoms)
    assert proposal.charge == charge
    assert proposal.candidates[0] == (charge, electrons)
    assert proposal.superatom_electrons == superatom_electrons(atoms, charge) == electrons
    assert proposal.ligands == ligands
    assert proposal.warnings == ()
    assert is_even_electron(atoms, charge)


def test_the_example(examples):
    proposal = propose_charge(read(examples / "ag29_model.cif"))
    assert (proposal.charge, proposal.superatom_electrons) == (-3, 8)


def test_au25_lists_the_neutral_radical_too(shared):
    atoms = read(shared / "structures" / "au25_pet18_opt.xyz")
    proposal = propose_charge(atoms)
    assert proposal.charge == -1
    assert (0, 7) in proposal.candidates
    assert "unpaired" in proposal.reason
    atoms.info["charge"] = 0
    assert "the file states 0 (7 superatom electrons)" in propose_charge(atoms).reason


def test_fused_icosahedra_hold_14_electrons(shared):
    proposal = propose_charge(read(shared / "structures" / "au38_pet24q_opt.xyz"))
    assert (proposal.charge, proposal.superatom_electrons) == (0, 14)
    assert "fused icosahedra" in proposal.reason
    assert (-4, 18) in proposal.candidates


def test_a_hollow_kernel_with_the_same_count_is_4_minus(ag44):
    """Ag44(SR)30, too, has 14 electrons when neutral, but is 4- with 18."""
    proposal = propose_charge(ag44)
    assert (proposal.charge, proposal.superatom_electrons) == (-4, 18)
    assert (0, 14) in proposal.candidates
    assert "state the charge" in proposal.reason


@pytest.mark.parametrize(("shared_metals", "electrons"), [(1, 16), (3, 14)])
def test_superatom_molecules(fused_icosahedra, shared_metals, electrons):
    """Bare gold: fused icosahedra with as many electrons as their charge says."""
    positions = fused_icosahedra(shared_metals)
    chlorides = len(positions) - electrons
    outward = positions - positions.mean(axis=0)
    far = np.argsort(-np.linalg.norm(outward, axis=1))[:chlorides]
    spots = positions[far] + 2.3 * outward[far] / np.linalg.norm(outward[far], axis=1, keepdims=True)
    proposal = propose_charge(Atoms(["Au"] * len(positions) + ["Cl"] * chlorides, np.concatenate([positions, spots])))
    assert proposal.candidates[0] == (0, electrons)


@pytest.mark.parametrize(("charge", "text"), [(0, "0"), (3, "+3"), (-2, "-2")])
def test_signed_charge(charge, text):
    assert signed_charge(charge) == text


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_independent_of_rotation_order_and_hand(examples, seed):
    rng = np.random.default_rng(seed)
    atoms = read(examples / "ag29_model.xyz")
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # half of these are mirror operations
    moved = atoms[rng.permutation(len(atoms))]
    moved.positions = moved.positions @ turn + rng.normal(size=3)
    before, after = propose_charge(atoms), propose_charge(moved)
    assert after.candidates == before.candidates
    assert dict(after.ligands) == dict(before.ligands)


def silver_on(ligand: Atoms, donor: int, distance: float) -> Atoms:
    """The ligand with one Ag at ``distance`` (A) from atom ``donor``, pointing away from the rest."""
    away = ligand.positions[donor] - ligand.positions.mean(axis=0)
    norm = np.linalg.norm(away)
    away = away / norm if norm > 1e-6 else np.array([0.0, 0.0, 1.0])
    return ligand + Atoms("Ag", positions=[ligand.positions[donor] + distance * away])


def without(ligand: Atoms, *removed: int) -> Atoms:
    return ligand[[i for i in range(len(ligand)) if i not in removed]]


def benzene_thiolate(*carbons: int) -> Atoms:
    """C6H6 with S in place of H on the given ring atoms (ring atoms 0 to 5)."""
    ring = molecule("C6H6")
    for carbon in carbons:
        bond = ring.positions[carbon + 6] - ring.positions[carbon]
        ring.positions[carbon + 6] = ring.positions[carbon] + bond * 1.76 / np.linalg.norm(bond)
        ring.numbers[carbon + 6] = 16
    return ring


def planar(centre: str, arms: str, length: float) -> Atoms:
    angles = 2 * np.pi * np.arange(len(arms)) / len(arms)
    spots = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) * length
    return Atoms([centre, *arms], positions=[(0, 0, 0), *spots])


def tetrahedral(centre: str, arms: str, lengths: tuple[float, ...]) -> Atoms:
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
    return Atoms([centre, *arms], positions=[(0, 0, 0), *(corners * np.array(lengths)[:, None])])


CASES = {
    "methanethiolate": (without(molecule("CH3SH"), 2), 1, 2.4, 1),
    "methanethiol": (molecule("CH3SH"), 1, 2.4, 0),
    "thiophenolate": (benzene_thiolate(0), 6, 2.4, 1),
    "1,2-dithiolate": (benzene_thiolate(0, 1), 6, 2.4, 2),
    "1,3-dithiolate": (benzene_thiolate(0, 2), 6, 2.4, 2),
    "1,4-dithiolate": (benzene_thiolate(0, 3), 6, 2.4, 2),
    "sulfide": (Atoms("S"), 0, 2.4, 2),
    "chloride": (Atoms("Cl"), 0, 2.5, 1),
    "hydride": (Atoms("H"), 0, 1.8, 1),
    "hydroxide": (molecule("OH"), 0, 2.2, 1),
    "water": (molecule("H2O"), 0, 2.3, 0),
    "ammonia": (molecule("NH3"), 0, 2.3, 0),
    "phosphine": (molecule("PH3"), 0, 2.4, 0),
    "carbon monoxide": (molecule("CO"), 1, 2.1, 0),
    "acetonitrile": (molecule("CH3CN"), 2, 2.2, 0),
    "pyridine": (molecule("C5H5N"), 0, 2.2, 0),
    "acetone": (molecule("CH3COCH3"), 0, 2.3, 0),
    "acetaldehyde": (molecule("CH3CHO"), 0, 2.3, 0),
    "dimethyl sulfoxide": (molecule("C2H6SO"), 1, 2.3, 0),
    "methoxide": (molecule("CH3O"), 1, 2.2, 1),
    "acetylide": (Atoms("CCH", positions=[(0, 0, 0), (0, 0, 1.21), (0, 0, 2.27)]), 0, 2.1, 1),
    "nitrate": (planar("N", "OOO", 1.25), 1, 2.4, 1),
    "carbonate": (planar("C", "OOO", 1.29), 1, 2.4, 2),
    "sulfate": (tetrahedral("S", "OOOO", (1.49,) * 4), 1, 2.3, 2),
    "phosphate": (tetrahedral("P", "OOOO", (1.54,) * 4), 1, 2.3, 3),
    "perchlorate": (tetrahedral("Cl", "OOOO", (1.45,) * 4), 1, 2.4, 1),
    "tetrafluoroborate": (tetrahedral("B", "FFFF", (1.39,) * 4), 1, 2.4, 1),
    "dithiophosphinate": (tetrahedral("P", "SSHH", (2.0, 2.0, 1.42, 1.42)), 1, 2.5, 1),
    "cyanide": (Atoms("CN", positions=[(0, 0, 0), (0, 0, 1.16)]), 0, 2.1, 1),
    "thiocyanate": (Atoms("SCN", positions=[(0, 0, 0), (0, 0, 1.65), (0, 0, 2.81)]), 0, 2.5, 1),
    "azide": (Atoms("N3", positions=[(0, 0, 0), (0, 0, 1.18), (0, 0, 2.36)]), 0, 2.2, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_ligand_charges(name):
    ligand, donor, distance, charge = CASES[name]
    ligands = find_ligands(silver_on(ligand, donor, distance))
    assert [x.charge for x in ligands] == [charge]
    assert len(ligands[0].donors) >= 1
    assert ligands[0].doubt == ""
    assert ligands[0].remote == (1 if "dithiolate" in name else 0)  # only one S of a dithiolate is bound here


def formate() -> Atoms:
    acid = molecule("HCOOH")
    oxygens = np.flatnonzero(acid.numbers == 8)
    hydrogens = np.flatnonzero(acid.numbers == 1)
    return without(acid, next(int(h) for h in hydrogens if acid.get_distances(h, oxygens).min() < 1.1))


def test_carboxylate_is_one_whichever_oxygen_binds():
    for donor in np.flatnonzero(formate().numbers == 8):
        (ligand,) = find_ligands(silver_on(formate(), int(donor), 2.3))
        assert (ligand.formula, ligand.charge, ligand.remote) == ("CHO2", 1, 0)


def test_a_cation_counts_against():
    assert [x.charge for x in find_ligands(tetrahedral("N", "HHHH", (1.03,) * 4))] == [-1]


def test_a_free_carboxylate_of_a_bound_thiolate_is_remote_and_said():
    """The acid groups of Ag29(BDTA)12, drawn without their hydrogens, must not shift the shell count."""
    ring = benzene_thiolate(0)
    out = ring.positions[9] - ring.positions[3]
    out /= np.linalg.norm(out)
    side = np.cross(out, [1.0, 0, 0] if abs(out[0]) < 0.5 else [0, 0, 1.0])
    side /= np.linalg.norm(side)
    carbon = ring.positions[3] + 1.5 * out
    ring.numbers[9], ring.positions[9] = 6, carbon
    ring += Atoms("OO", positions=[carbon + 0.63 * out + 1.08 * side, carbon + 0.63 * out - 1.08 * side])
    atoms = silver_on(ring, 6, 2.4)
    (ligand,) = find_ligands(atoms)
    assert (ligand.charge, ligand.remote) == (2, 1)
    proposal = propose_charge(atoms)
    assert proposal.candidates[0] == (-1, 0)
    assert "free anionic group" in proposal.warnings[0]


def test_missing_hydrogens_are_doubted():
    bare = Atoms("SCC", positions=[(0, 0, 0), (1.8, 0, 0), (2.3, 1.45, 0)])
    (ligand,) = find_ligands(silver_on(bare, 0, 2.4))
    assert "hydrogens missing" in ligand.doubt


def test_without_metal():
    assert propose_charge(molecule("C6H6")).charge == 0
    assert propose_charge(molecule("C6H6")).superatom_electrons is None
    assert propose_charge(formate()).charge == -1
    assert propose_charge(tetrahedral("N", "HHHH", (1.03,) * 4)).charge == 1


def test_several_clusters_have_shells_of_their_own():
    """[Ag25(SCH3)18]- and [Ag29(SH)24(PH3)4]3- together, and with a sodium ion between them."""
    first, second = (read(f"shipped:datasets/structures/{name}.xyz") for name in ("ag25_sch3", "ag29_sh_ph3_R"))
    first.info = {}
    second.positions += (30.0, 0.0, 0.0)
    both = first + second
    proposal = propose_charge(both)
    assert (proposal.charge, proposal.superatom_electrons) == (-4, 16)
    assert proposal.reason == "the sum of 2 clusters (-1, -3)"
    assert propose_charge(both + Atoms("Na", [[15.0, 0.0, 0.0]])).charge == -3
    assert anatomy(both).superatom_electrons == 8


def test_a_polyoxometalate_asks_for_the_charge():
    """Molybdate with four silver atoms on its oxygens: Mo(VI) gives its electrons to oxide, which is not counted."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    atoms = Atoms("MoO4Ag4", [(0, 0, 0), *(1.76 * corners), *(4.0 * corners)])
    assert any("Mo binds oxide" in text and "--charge" in text for text in propose_charge(atoms).warnings)
