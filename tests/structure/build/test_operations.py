"""The symmetry of a structure is found and kept."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from clusterml.structure.build.operations import KeepSymmetry, find_operations
from clusterml.structure.rotations import axis_rotation
from helpers import icosahedron


@pytest.mark.parametrize(
    ("name", "order", "improper"),
    [("CH4", 24, 12), ("NH3", 6, 3), ("H2O", 4, 2), ("C6H6", 24, 12), ("C2H4", 8, 4), ("CH3OH", 2, 1), ("H2O2", 2, 0)],
)
def test_molecules(name, order, improper):
    operations = find_operations(molecule(name), tolerance=0.02)
    assert len(operations) == order
    assert (np.linalg.det(operations.matrices) < 0).sum() == improper


def test_a_turned_and_shifted_icosahedron():
    atoms = Atoms("Ag13", positions=np.concatenate([np.zeros((1, 3)), icosahedron(2.85)]))
    atoms.positions[:] = atoms.positions @ axis_rotation(np.array([1.0, 2, 3]), 0.7).T + 5.0
    assert len(find_operations(atoms)) == 120


def test_noise_beyond_the_tolerance_breaks_it(rng):
    atoms = molecule("CH4")
    atoms.positions += rng.normal(0, 0.1, (5, 3))
    assert len(find_operations(atoms)) == 1


def test_few_atoms():
    assert len(find_operations(Atoms("Ag"))) == 1
    assert len(find_operations(Atoms("Ag2", positions=[[0, 0, 0], [0, 0, 2.9]]))) == 1  # on one line: the identity


def test_projection(rng):
    atoms = molecule("CH4")
    operations = find_operations(atoms)
    forces = rng.normal(0, 1, (5, 3))
    mean = operations.mean(forces)
    np.testing.assert_allclose(operations.mean(mean), mean, atol=1e-12)
    np.testing.assert_allclose(mean[0], 0, atol=1e-12)  # no force on the centre
    arms = atoms.positions[1:] - atoms.positions[0]
    along = np.einsum("ij,ij->i", mean[1:], arms)
    np.testing.assert_allclose(along, along[0], atol=1e-9)
    np.testing.assert_allclose(np.cross(mean[1:], arms), 0, atol=1e-4)


def test_as_a_constraint(rng):
    atoms = molecule("CH4")
    atoms.set_constraint(KeepSymmetry(find_operations(atoms)))
    atoms.positions = atoms.positions + rng.normal(0, 0.05, (5, 3))
    atoms.set_positions(atoms.positions + rng.normal(0, 0.05, (5, 3)))
    atoms.set_constraint()
    assert len(find_operations(atoms, tolerance=1e-3)) == 24
