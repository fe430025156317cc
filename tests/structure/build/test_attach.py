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


def pyridinethiolate() -> Atoms:
    """Pyridine-2-thiolate whose S bridges two silver atoms and whose N binds a third; atom 0 is S, atom 1 N."""
    angles = np.radians([120, 180, 240, 300, 0, 60])  # C2, N, C6, C5, C4, C3
    ring = 1.38 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    outward = ring / 1.38
    sulfur, nitrogen = ring[0] + 1.74 * outward[0], ring[1]
    hydrogens = ring[2:] + 1.08 * outward[2:]
    down = np.array([-1.0, 0.0, 0.0])
    silver = [
        nitrogen + 2.25 * down,
        sulfur + 2.45 * np.array([-0.95, 0.0, 0.312]),
        sulfur + 2.45 * np.array([-0.2, 0.3, -0.933]),
    ]
    positions = np.concatenate([[sulfur, nitrogen], ring[[0, 2, 3, 4, 5]], hydrogens, silver])
    return Atoms("SNC5H4Ag3", positions)


def alkynyl() -> Atoms:
    """Propynyl, its first C between two silver atoms and both triply bonded ones next to a third."""
    carbons = [(0, 0, 0), (0, 0, 1.21), (0, 0, 2.67)]
    hydrogens = [(1.02, 0, 3.03), (-0.51, 0.88, 3.03), (-0.51, -0.88, 3.03)]
    return Atoms("C3H3Ag3", [*carbons, *hydrogens, (0, 1.2, -1.75), (0, -1.2, -1.75), (2.35, 0, 0.45)])


@pytest.mark.parametrize("make", [pyridinethiolate, alkynyl])
def test_an_exchange_does_not_depend_on_the_order_of_the_file(make, ligand, rng):
    atoms = make()
    lengths = []
    for order in ([0, 1], [1, 0]):
        turned = atoms[[*order, *range(2, len(atoms))]]
        (bound,) = find_ligands(turned)
        assert sorted(bound.donors.tolist()) == [0, 1]
        after = exchange(turned, bound, ligand("SCH3"), rng=rng)
        sulfur, silver = np.flatnonzero(after.numbers == 16)[0], np.flatnonzero(after.numbers == 47)
        lengths.append(np.sort(after.get_distances(sulfur, silver)))
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-9)
    assert np.sum(lengths[0] < 2.7) >= 2  # the bridge is kept


def test_each_of_two_unlike_donors_takes_the_place_of_its_element(ligand, rng):
    atoms = pyridinethiolate()[[1, 0, *range(2, 14)]]
    (bound,) = find_ligands(atoms)
    after = exchange(atoms, bound, ligand("SPy"), rng=rng)
    new = after[3:]
    for element, old in ((7, 0), (16, 1)):
        donor = new.positions[np.flatnonzero(new.numbers == element)[0]]
        np.testing.assert_allclose(donor, atoms.positions[old], atol=1e-9)
