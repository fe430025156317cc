"""Contacts and ligands are judged by the bonding graph."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import StructureError
from clusterml.structure.build.contacts import check_contacts, check_ligands, find_closest_contact, find_donors

WATER = [[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0, 0.59]]


def waters(gap: float) -> Atoms:
    """Two waters, an H of the second pointing at the O of the first from a distance of ``gap`` (A)."""
    second = [[0, 0, -gap - 0.96], [0, 0, -gap], [0.93, 0, -gap - 1.2]]
    return Atoms("OH2OH2", positions=WATER + second)


def test_bonded_atoms_and_their_neighbours_do_not_count(built):
    assert find_closest_contact(built("ag2")) is None or find_closest_contact(built("ag2")).ratio > 1
    assert find_closest_contact(Atoms("H2O", positions=np.array(WATER)[[1, 2, 0]])) is None
    assert find_closest_contact(Atoms("He")) is None


def test_the_tightest_is_found():
    atoms = Atoms("Ne3", positions=[[0, 0, 0], [2.9, 0, 0], [2.9, 2.6, 0]])
    contact = find_closest_contact(atoms)
    assert (contact.first, contact.second) == (1, 2)
    assert contact.distance == pytest.approx(2.6)
    assert contact.ratio == pytest.approx(2.6 / 3.08)


def test_a_hydrogen_bond_may_be_shorter():
    bonded = find_closest_contact(waters(1.9))
    assert bonded.ratio > 0.9
    plain = Atoms(
        "OH2NeCH3", positions=[*WATER, [0, 0, -8], [0, 0, -2.99], [0, 0, -1.9], [1.03, 0, -3.35], [-1.03, 0, -3.35]]
    )
    assert find_closest_contact(plain).ratio == pytest.approx(1.9 / 2.72, abs=0.01)


def test_too_close_is_an_error_that_names_the_atoms():
    atoms = Atoms("Ne2", positions=[[0, 0, 0], [2.0, 0, 0]])
    with pytest.raises(StructureError, match=r"here: Ne1 and Ne2 are 2\.00 A apart"):
        check_contacts(atoms, "here")
    check_contacts(atoms, closest=0.5)


def test_expected_ligands(built, ligand):
    atoms = built("ag2")
    check_ligands(atoms, {ligand("HCOO"): 2})
    with pytest.raises(StructureError, match="missing 1 x CHO2 "):
        check_ligands(atoms, {ligand("HCOO"): 3})
    with pytest.raises(StructureError, match="found instead 2 x CHO2 "):
        check_ligands(atoms, {ligand("CF3COO"): 2})
    away = atoms.copy()
    away.positions[2:6] += [0, 9.0, 0]
    with pytest.raises(StructureError, match="binds no metal"):
        check_ligands(away, {ligand("HCOO"): 2})


def test_donors(built):
    atoms = built("ag2")
    assert atoms.symbols[find_donors(atoms)].get_chemical_formula() == "O4"
    assert find_donors(Atoms("Ag")).size == 0
