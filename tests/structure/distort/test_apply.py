"""What every mode promises: identity at 0, smoothness, mirror images, rigid ligands, batches."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from clusterml.structure.distort.apply import distort, distorted_positions, scan
from clusterml.structure.distort.modes import MIXTURE, MODES, NORMAL_MODE, THERMAL_NOISE
from clusterml.structure.distort.subject import Subject

from .conftest import mirror

AMOUNTS = {
    "trigon-rotation": 6.0,
    "motif-twist": 5.0,
    "core-shell-twist": 4.0,
    "td-to-t": 1.5,
    "breathing": 2.0,
    "shear": 3.0,
    MIXTURE: 0.7,
    THERMAL_NOISE: 0.05,
    NORMAL_MODE: 0.2,
}
"""A moderate amount of every mode the Td model has."""


def positions(subject: Subject, mode: str, amounts, **options) -> np.ndarray:
    rng = np.random.default_rng(11) if MODES[mode].seeded else None
    return distorted_positions(subject, mode, amounts, rng=rng, **options)


def test_the_td_model_has_every_mode_but_the_crowns(td):
    assert {mode.name for mode in td.available()} == set(AMOUNTS)


@pytest.mark.parametrize("mode", AMOUNTS)
def test_zero_is_the_parent_exactly(td, mode):
    assert np.array_equal(positions(td, mode, [0.0])[0], td.positions)
    assert not np.array_equal(positions(td, mode, [AMOUNTS[mode]])[0], td.positions)


@pytest.mark.parametrize("mode", AMOUNTS)
def test_the_path_is_smooth(td, mode):
    """Slopes from left and right agree to first order in the step, at 0 and away from it: C1 (and more)."""
    x = AMOUNTS[mode]
    jumps = []
    for step in (1e-2 * x, 0.5e-2 * x):
        points = positions(td, mode, [-step, 0.0, step, x - step, x, x + step])
        slopes = np.diff(points, axis=0)[[0, 1, 3, 4]] / step
        jumps.append(np.abs(slopes[[1, 3]] - slopes[[0, 2]]).max())
        assert np.abs(slopes).max() > 1e-4
    assert jumps[1] < 0.6 * jumps[0] + 1e-6


@pytest.mark.parametrize("mode", [name for name in AMOUNTS if MODES[name].mirrors])
def test_minus_is_the_mirror_image_of_plus(td, mode):
    options = {"axis": (1.0, 1.0, 1.0)} if mode == "core-shell-twist" else {}  # an axis in the mirror plane x = y
    plus, minus = positions(td, mode, [AMOUNTS[mode], -AMOUNTS[mode]], **options)
    distance, partner = cKDTree(minus).query(mirror(plus))
    assert distance.max() < 1e-9
    assert sorted(partner) == list(range(len(plus)))
    assert np.array_equal(td.numbers[partner], td.numbers)
    assert cKDTree(plus).query(mirror(plus))[0].max() > 0.05  # and the distorted cluster is chiral


@pytest.mark.parametrize("mode", ["breathing"])
def test_achiral_modes_keep_the_mirror_plane(td, mode):
    moved = positions(td, mode, [AMOUNTS[mode]])[0]
    assert cKDTree(moved).query(mirror(moved))[0].max() < 1e-9


@pytest.mark.parametrize("mode", AMOUNTS)
def test_a_batch_is_its_members(td, mode):
    amounts = AMOUNTS[mode] * np.array([-1.0, -0.3, 0.0, 0.5, 1.0])
    batch = positions(td, mode, amounts)
    assert batch.shape == (5, len(td.numbers), 3)
    for amount, member in zip(amounts, batch, strict=True):
        assert np.abs(positions(td, mode, [amount])[0] - member).max() < 1e-10


@pytest.mark.parametrize("mode", ["trigon-rotation", "motif-twist", "core-shell-twist", "td-to-t", "shear"])
def test_turning_the_parent_turns_the_result(td, mode):
    turn = Rotation.random(random_state=4).as_matrix()
    shift = np.array([1.0, -2.0, 3.0])
    turned = Subject(Atoms(td.numbers, td.positions @ turn.T + shift))
    axis = np.array([1.0, 1.0, 1.0])
    here = positions(td, mode, [AMOUNTS[mode]], axis=axis)[0]
    there = positions(turned, mode, [AMOUNTS[mode]], axis=turn @ axis)[0]
    assert np.abs(here @ turn.T + shift - there).max() < 1e-8


@pytest.mark.parametrize("mode", [name for name in AMOUNTS if name not in (THERMAL_NOISE, NORMAL_MODE)])
def test_ligands_move_as_rigid_bodies(td, mode):
    moved = positions(td, mode, [AMOUNTS[mode]])[0]
    for ligand in td.ligands:
        before, after = (
            np.linalg.norm(p[ligand.atoms][:, None] - p[ligand.atoms], axis=2) for p in (td.positions, moved)
        )
        assert np.abs(before - after).max() < 1e-10


def test_scan_writes_down_what_was_done(td):
    frames = scan(td, "trigon-rotation", [-2.0, 0.0, 2.0])
    assert [f.info["name"] for f in frames] == [f"ag70_td_trigon-rotation_{x}" for x in ("-2", "+0", "+2")]
    assert frames[2].info["provenance"]["distortions"] == [{"mode": "trigon-rotation", "amount": 2.0, "unit": "deg"}]
    assert all(f.info["charge"] == 2 for f in frames)
    assert "distortions" not in td.atoms.info["provenance"]
    again = distort(frames[2], "breathing", 1.0, problems="warn")
    assert [d["mode"] for d in again.info["provenance"]["distortions"]] == ["trigon-rotation", "breathing"]
