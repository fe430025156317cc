"""Ligands put on sites, and exchanged, without moving anything else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import OptionError, StructureError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.build.attach import attach, exchange
from clusterml.structure.build.contacts import find_closest_contact
from clusterml.structure.build.sites import site_on

UP = np.array([0.0, 0.0, 1.0])


@pytest.fixture
def pair() -> Atoms:
    atoms = Atoms("Ag2", positions=[[-1.45, 0, 0], [1.45, 0, 0]])
    atoms.info["charge"] = 2
    return atoms


def test_attach_two_carboxylates(pair, ligand, rng):
    metals = np.array([0, 1])
    sites = [site_on(pair.numbers, pair.positions, metals, side * UP, 8, bite=2.24) for side in (1, -1)]
    cluster = attach(pair, sites, ligand("CF3COO"), rng=rng)
    assert cluster.info["charge"] == 0
    assert pair.info["charge"] == 2
    np.testing.assert_array_equal(cluster.positions[:2], pair.positions)
    ligands = find_ligands(cluster)
    assert [(x.formula, x.charge, len(x.donors)) for x in ligands] == [("C2F3O2", 1, 2)] * 2
    for x, site in zip(ligands, sites, strict=True):
        np.testing.assert_allclose(
            np.sort(cluster.positions[x.donors], axis=0), np.sort(site.donors, axis=0), atol=1e-9
        )
    assert find_closest_contact(cluster).ratio > 0.85


def test_a_crowd_on_one_atom_is_placed_without_clashes(ligand, rng):
    silver = Atoms("Ag", positions=np.zeros((1, 3)))
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    sites = [site_on(silver.numbers, silver.positions, np.array([0]), c, 15) for c in corners]
    cluster = attach(silver, sites, ligand("PMe3"), rng=rng)
    assert len(find_ligands(cluster)) == 4
    assert find_closest_contact(cluster).ratio > 0.8
    assert "charge" not in cluster.info


def test_the_same_seed_gives_the_same(pair, ligand):
    site = [site_on(pair.numbers, pair.positions, np.array([0, 1]), UP, 8, bite=2.24)]
    first, second = (attach(pair, site, ligand("R-TFL"), rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.positions, second.positions)


def test_a_ligand_with_too_few_donors(pair, ligand, rng):
    site = site_on(pair.numbers, pair.positions, np.array([0, 1]), UP, 8, bite=2.24)
    with pytest.raises(OptionError, match="the site needs 2"):
        attach(pair, [site], ligand("SH"), rng=rng)


@pytest.mark.parametrize(
    ("model", "old", "new", "charge"),
    [
        ("ag12", "HCOO", "R-TFL", 0),
        ("ag12", "SCH3", "SPhMe2", 0),
        ("ag12", "SCH3", "CCPh", 0),
        ("ag12", "HCOO", "Cl", 0),
        ("ag12", "HCOO", "DMF", 1),
        ("ag29", "PH3", "PPh3", -3),
        ("ag29", "BDT", "BDTA", -3),
    ],
)
def test_exchange(built, ligand, rng, model, old, new, charge):
    before = built(model)
    target = next(x for x in anatomy(before).ligands if x.name == old)
    after = exchange(before, target, ligand(new), rng=rng)
    assert after.info["charge"] == charge
    others = np.setdiff1d(np.arange(len(before)), target.atoms)
    np.testing.assert_array_equal(after.positions[: len(others)], before.positions[others])
    names = Counter(x.name for x in anatomy(after).ligands)
    expected = Counter(x.name for x in anatomy(before).ligands)
    expected.subtract({old: 1, new: -1})
    assert names == expected
    assert find_closest_contact(after).ratio > 0.70
    here, there = (np.linalg.norm(a.positions[k] - before.positions[target.donors].mean(axis=0), axis=1).min()
                   for a, k in ((after, anatomy(after).ligands[-1].donors), (before, target.donors)))  # fmt: skip
    assert abs(here - there) < 1.6


def test_the_hand_of_the_new_ligand_is_the_one_asked_for(built, ligand, rng):
    before = built("ag12")
    target = next(x for x in anatomy(before).ligands if x.name == "HCOO")
    for name, hand in (("R-TFL", "R"), ("S-TFL", "S")):
        assert anatomy(exchange(before, target, ligand(name), rng=rng)).ligands[-1].hand == hand


def test_exchanging_a_free_molecule(built, ligand, rng):
    atoms = built("ag2") + Atoms("OH2", positions=[[0, 0, 9.1], [0.75, 0, 8.6], [-0.75, 0, 8.6]])
    with pytest.raises(StructureError, match="binds no metal"):
        exchange(atoms, find_ligands(atoms)[-1], ligand("DMF"), rng=rng)
