"""Superposition with unknown correspondence: against all permutations, and on clusters that are turned and shuffled."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from clusterml.chirality.template import ag70_td
from clusterml.errors import StructureError
from clusterml.structure import superpose as module
from clusterml.structure.read import read
from clusterml.structure.rotations import (
    axis_rotation,
    hemisphere,
    kabsch,
    quaternion_matrices,
    rotation_grid,
    rotation_vector_matrix,
    sphere,
)
from clusterml.structure.superpose import Kinds, superpose


def random_rotation(rng):
    quaternion = rng.normal(size=4)
    return quaternion_matrices(quaternion / np.linalg.norm(quaternion))


def least_rmsd(labels, mobile, target, improper):
    """The least misfit over all permutations within labels."""
    mobile, target = mobile - mobile.mean(axis=0), target - target.mean(axis=0)
    allowed = np.array([p for p in permutations(range(len(labels))) if np.array_equal(labels[list(p)], labels)])
    moved = mobile[allowed]
    turned = moved @ np.swapaxes(kabsch(moved, np.broadcast_to(target, moved.shape), improper), -1, -2)
    return np.sqrt(((turned - target) ** 2).sum(axis=-1).mean(axis=-1)).min()


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("enumerated", [0, 720], ids=["searched", "enumerated"])
def test_no_permutation_is_better_for_random_clouds(rng, monkeypatch, improper, enumerated):
    monkeypatch.setattr(module, "MOST_ENUMERATED", enumerated)
    for n_atoms in (3, 5, 6, 7):
        mobile = rng.normal(size=(n_atoms, 3))
        target = mobile + rng.normal(scale=0.4, size=(n_atoms, 3)) if n_atoms % 2 else rng.normal(size=(n_atoms, 3))
        labels = np.array([1, 2] * n_atoms)[:n_atoms] if n_atoms == 6 else np.ones(n_atoms, dtype=np.int64)
        fit = superpose(labels, mobile, target, improper=improper)
        assert fit.rmsd == pytest.approx(least_rmsd(labels, mobile, target, improper), abs=1e-7)


def test_a_turned_shuffled_cluster_is_put_back(rng, examples):
    atoms = read(examples / "ag29_model.xyz")
    order = rng.permutation(len(atoms))
    rotation, shift = random_rotation(rng), np.array([3.0, -2.0, 7.0])
    target = (atoms.positions @ rotation.T + shift)[order]
    fit = superpose(atoms.numbers, atoms.positions, target, target_numbers=atoms.numbers[order])
    assert fit.rmsd < 1e-8
    assert np.linalg.det(fit.rotation) == pytest.approx(1.0)
    assert np.allclose(fit.apply(atoms.positions), target, atol=1e-6)
    assert np.array_equal(atoms.numbers[fit.permutation], atoms.numbers[order])


def test_noise_is_what_remains(rng):
    model = ag70_td()
    noise = rng.normal(scale=0.15, size=model.positions.shape)
    target = (model.positions + noise) @ random_rotation(rng).T
    fit = superpose(model.numbers, model.positions, target)
    assert fit.rmsd == pytest.approx(np.sqrt((noise**2).sum(axis=1).mean()), rel=0.05)


def test_the_mirror_image_of_a_chiral_cluster_needs_an_improper_rotation(examples):
    atoms = read(examples / "ag29_model.xyz")
    mirrored = atoms.positions * [1.0, 1.0, -1.0]
    improper = superpose(atoms.numbers, atoms.positions, mirrored, improper=True)
    assert improper.rmsd < 1e-8
    assert improper.improper
    assert np.linalg.det(improper.rotation) == pytest.approx(-1.0)
    assert superpose(atoms.numbers, atoms.positions, mirrored).rmsd > 1.0


def test_without_permutation_the_order_is_kept(rng):
    points = rng.normal(size=(9, 3))
    rotation = random_rotation(rng)
    fit = superpose(np.ones(9, dtype=int), points, points @ rotation.T, permute=False)
    assert np.allclose(fit.rotation, rotation)
    assert np.array_equal(fit.permutation, np.arange(9))
    assert superpose(np.ones(9, dtype=int), points, points[::-1], permute=False).rmsd > 0.1


@pytest.mark.parametrize("n_atoms", [1, 2, 3])
def test_points_lines_and_planes_are_superposed(rng, n_atoms):
    line = np.outer(np.arange(n_atoms), [1.0, 2.0, 3.0])
    for improper in (False, True):
        assert superpose(np.ones(n_atoms, int), line, line @ random_rotation(rng).T + 1, improper=improper).rmsd < 1e-7


def test_unlike_geometries_are_refused():
    points = np.zeros((2, 3))
    with pytest.raises(StructureError, match="different elements"):
        superpose(np.array([1, 1]), points, points, target_numbers=np.array([1, 2]))
    with pytest.raises(StructureError, match="same, positive number"):
        superpose(np.array([1, 1]), points, np.zeros((3, 3)))
    with pytest.raises(StructureError, match="not finite"):
        superpose(np.array([1, 1]), points, points + np.nan)


def test_the_assignment_is_the_best_one(rng):
    labels = np.array([1, 1, 1, 2, 2, 2])
    for _ in range(20):
        mobile, target = rng.normal(size=(2, 6, 3))
        permutation = Kinds.of(labels).match(mobile, target)
        costs = [
            ((mobile[list(p)] - target) ** 2).sum() for p in permutations(range(6)) if (labels[list(p)] == labels).all()
        ]
        assert ((mobile[permutation] - target) ** 2).sum() == pytest.approx(min(costs))


def test_several_targets_are_assigned_as_each_alone(rng, monkeypatch):
    monkeypatch.setattr(module, "_MATCHED", 100)  # three targets of the largest kind at a time
    labels = np.array([1, 2, 1, 3, 1, 1, 3, 1, 1])
    mobile, targets = rng.normal(size=(9, 3)), rng.normal(size=(7, 9, 3))
    targets[3] = mobile[[4, 1, 0, 6, 2, 5, 3, 8, 7]] + 1e-3
    permutations = Kinds.of(labels).match_all(mobile, targets)
    assert np.array_equal(permutations[3], [4, 1, 0, 6, 2, 5, 3, 8, 7])
    for permutation, target in zip(permutations, targets, strict=True):
        for kind in np.unique(labels):
            atoms = np.flatnonzero(labels == kind)
            apart = ((mobile[atoms] - target[atoms, None]) ** 2).sum(axis=-1)
            assert np.array_equal(permutation[atoms], atoms[linear_sum_assignment(apart)[1]])


def test_real_clusters_have_the_misfits_measured_before(shared):
    """Metal + S frames against their mirror images: numbers found earlier with other programs, in A."""
    expected = {"au25_pet18_opt": 0.00, "au38_pet24q_opt": 1.56, "Ag25_final": 0.94, "Ag25_methylthiol": 0.44}
    for name, misfit in expected.items():
        atoms = read(shared / "structures" / f"{name}.xyz")
        frame = atoms[(atoms.numbers == 16) | (atoms.numbers > 40)]
        fit = superpose(frame.numbers, frame.positions, frame.positions, improper=True)
        assert fit.rmsd == pytest.approx(misfit, abs=0.006)


def test_rotations_are_even_and_consistent():
    grid = rotation_grid(500)
    assert np.allclose(grid @ np.swapaxes(grid, -1, -2), np.eye(3))
    assert np.allclose(np.linalg.det(grid), 1.0)
    nearest = np.sort(np.arccos(np.clip((np.einsum("iab,jab->ij", grid, grid) - 1) / 2, -1, 1)), axis=1)[:, 1]
    assert nearest.max() < 2.5 * nearest.min()
    half = hemisphere(400)
    assert np.allclose(np.linalg.norm(half, axis=1), 1.0)
    assert (half[:, 2] > 0).all()
    assert np.allclose(sphere(24)[:12], -sphere(24)[12:])
    assert np.allclose(np.linalg.svd(sphere(24), compute_uv=False) ** 2, 8.0, rtol=0.2)
    assert np.allclose(axis_rotation(np.array([0, 0, 2.0]), np.pi / 2) @ [1, 0, 0], [0, 1, 0])
    assert np.allclose(
        rotation_vector_matrix(np.array([0, 0, np.pi / 2])), axis_rotation(np.array([0, 0, 1.0]), np.pi / 2)
    )
