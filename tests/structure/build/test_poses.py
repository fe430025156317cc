"""Poses put donors exactly where the site has them, and can be made symmetric where the ligand allows it."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.errors import OptionError, StructureError
from clusterml.structure.build.conformers import find_conformers
from clusterml.structure.build.operations import group, permutations
from clusterml.structure.build.poses import find_invariant_poses, generate_poses
from clusterml.structure.build.sites import BindingSite

METAL = np.array([0])
DIAGONAL = np.ones(3) / np.sqrt(3)


def one_donor(out: np.ndarray = DIAGONAL) -> BindingSite:
    return BindingSite(METAL, np.array([[1.4, 1.4, 1.4]]), out[None])


def test_a_standing_ligand(ligand):
    shapes = find_conformers(ligand("SiPr"))
    candidates = generate_poses(one_donor(), shapes, "SiPr")
    np.testing.assert_allclose(
        candidates.positions[:, 0], np.broadcast_to([1.4, 1.4, 1.4], (len(candidates.cost), 3)), atol=1e-12
    )
    straight = candidates.positions[candidates.cost == candidates.cost.min()]
    carbon = int(shapes.neighbours(0)[0])
    bond = straight[:, carbon] - straight[:, 0]
    np.testing.assert_allclose(
        bond / np.linalg.norm(bond, axis=1)[:, None], np.broadcast_to(DIAGONAL, bond.shape), atol=1e-9
    )
    inside = np.linalg.norm(candidates.positions[:, :, None] - candidates.positions[:, None], axis=-1)
    np.testing.assert_allclose(
        inside[0], np.linalg.norm(shapes.positions[0][:, None] - shapes.positions[0], axis=-1), atol=1e-9
    )


def test_a_hinged_ligand(ligand):
    donors = np.array([[1.12, 2.0, 0.0], [-1.12, 2.0, 0.0]])
    candidates = generate_poses(
        BindingSite(np.array([0, 1]), donors, np.array([[0.0, 1.0, 0.0]])), find_conformers(ligand("CF3COO")), "CF3COO"
    )
    ends = candidates.positions[:, [0, 2]]
    swapped = np.linalg.norm(ends[:, 0] - donors[0], axis=1) > 1
    assert 0 < swapped.sum() < len(swapped)
    np.testing.assert_array_equal(
        np.where(swapped[:, None, None], ends[:, ::-1], ends), np.broadcast_to(donors, ends.shape)
    )
    best = candidates.positions[int(np.argmin(candidates.cost))]
    assert best[:, 1].max() > 4.0  # CF3 points away from the metals


def test_what_does_not_fit(ligand):
    two = np.array([[0.0, 0, 0], [5.4, 0, 0]])
    with pytest.raises(StructureError, match="does not fit"):
        generate_poses(BindingSite(METAL, two, np.array([[0, 0, 1.0]])), find_conformers(ligand("CF3COO")), "CF3COO")
    with pytest.raises(OptionError, match="the site needs 2"):
        generate_poses(BindingSite(METAL, two, np.array([[0, 0, 1.0]])), find_conformers(ligand("SH")), "SH")
    with pytest.raises(OptionError, match="3 donors"):
        generate_poses(BindingSite(METAL, np.eye(3), np.array([[0, 0, 1.0]])), find_conformers(ligand("BF4-")), "BF4-")


@pytest.mark.parametrize(
    ("name", "generators", "possible"),
    [
        ("PH3", ["C3[111]"], True),
        ("PH3", ["C3[111]", "m[1-10]"], True),
        ("PPh3", ["C3[111]"], True),
        ("SiPr", ["m[1-10]"], True),
        ("SCH3", ["m[1-10]"], True),
        ("SCH3", ["C3[111]"], True),
        ("SiPr", ["C3[111]"], False),
        ("R-SPPT", ["m[1-10]"], False),
    ],
)
def test_symmetric_poses(ligand, name, generators, possible):
    shapes = find_conformers(ligand(name))
    operations = group(generators)
    site = one_donor()
    invariant = find_invariant_poses(generate_poses(site, shapes, name), shapes.numbers, site.donors, operations)
    assert (len(invariant.cost) > 0) == possible
    for pose in invariant.positions:
        assert permutations(pose, shapes.numbers, operations)[1] < 1e-6
        np.testing.assert_allclose(pose[shapes.donors], site.donors, atol=0.05)
        lengths = [np.linalg.norm(pose[i] - pose[j]) for i, j in shapes.bonds]
        usual = [np.linalg.norm(shapes.positions[0][i] - shapes.positions[0][j]) for i, j in shapes.bonds]
        np.testing.assert_allclose(lengths, usual, atol=0.12)
