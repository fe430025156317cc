"""Shapes of ligands as they are when bound."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.structure.build.conformers import find_conformers


@pytest.mark.parametrize(
    ("name", "atoms", "donors", "length"),
    [
        ("SH", 2, 1, (1.3, 1.4)),
        ("SCH3", 5, 1, (1.79, 1.86)),
        ("SiPr", 11, 1, (1.79, 1.87)),
        ("SPhMe2", 18, 1, (1.74, 1.82)),
        ("PH3", 4, 1, (1.38, 1.45)),
        ("PPh3", 34, 1, (1.79, 1.87)),
        ("HCOO", 4, 2, (1.22, 1.30)),
        ("CF3COO", 7, 2, (1.22, 1.30)),
        ("BDT", 12, 2, (1.74, 1.82)),
        ("DMF", 12, 1, (1.19, 1.26)),
        ("CCPh", 13, 1, (1.18, 1.24)),
    ],
)
def test_bound_shapes(ligand, name, atoms, donors, length):
    shapes = find_conformers(ligand(name))
    assert len(shapes.numbers) == atoms
    assert len(shapes.donors) == donors
    donor = int(shapes.donors[0])
    for near in shapes.neighbours(donor):
        distance = np.linalg.norm(shapes.positions[:, near] - shapes.positions[:, donor], axis=1)
        assert length[0] < distance.min() <= distance.max() < length[1]


def test_bites(ligand):
    """O...O of a carboxylate 2.2 to 2.3 A, S...S of a meta-dithiolate 5.4 to 5.6 A."""
    for name, low, high in (("CF3COO", 2.15, 2.35), ("BDT", 5.35, 5.65)):
        shapes = find_conformers(ligand(name))
        first, second = shapes.donors
        bite = np.linalg.norm(shapes.positions[:, first] - shapes.positions[:, second], axis=1)
        assert low < bite.min() <= bite.max() < high


def test_enantiomers_are_exact_mirror_images(ligand):
    right, left = find_conformers(ligand("R-TFL")), find_conformers(ligand("S-TFL"))
    np.testing.assert_array_equal(right.mirrored().positions, left.positions)
    np.testing.assert_array_equal(right.numbers, left.numbers)


def test_an_achiral_ligand_offers_both_mirror_images(ligand):
    shapes = find_conformers(ligand("SnBu"))
    np.testing.assert_array_equal(shapes.positions[1::2], shapes.positions[::2] * [-1, 1, 1])
    assert len(shapes.positions) > 4
    assert shapes.energy_kcal[0] == 0
    assert (np.diff(shapes.energy_kcal) >= 0).all()


def test_single_atoms(ligand):
    shapes = find_conformers(ligand("Cl"))
    assert shapes.numbers.tolist() == [17]
    assert shapes.bonds.shape == (0, 2)
