from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from clusterml.structure.distort.apply import follow
from clusterml.structure.distort.subject import Subject


def test_a_rigid_motion_of_the_frame_carries_every_ligand_along(ag29):
    turn = Rotation.from_rotvec([0.03, -0.05, 0.04]).as_matrix()
    target = ag29.positions @ turn.T + [0.1, 0.2, -0.3]
    frame = np.zeros((1, len(ag29.numbers), 3))
    rows = ag29.metal.copy()
    rows[ag29.donors] = True
    frame[0, rows] = (target - ag29.positions)[rows]
    moved = ag29.positions + follow(ag29, frame)[0]
    worst = np.linalg.norm(moved - target, axis=1)
    assert worst.max() < 0.01  # the small pull towards no rotation is all that differs
    assert worst[rows].max() < 1e-9


def test_solvent_goes_with_the_metals_nearest_to_it():
    atoms = Atoms("Ag4OH2", [[0, 0, 0], [2.9, 0, 0], [0, 2.9, 0], [30, 0, 0], [33, 0, 0], [33.6, 0.76, 0],
                             [33.6, -0.76, 0]])  # fmt: skip
    subject = Subject(atoms)
    frame = np.zeros((1, 7, 3))
    frame[0, 3] = [0.0, 0.0, 0.5]
    moved = follow(subject, frame)[0]
    assert moved[4:] == pytest.approx(np.tile([0.0, 0.0, 0.5], (3, 1)), abs=1e-6)


def test_a_frame_at_rest_moves_nothing(td):
    assert np.abs(follow(td, np.zeros((2, len(td.numbers), 3)))).max() < 1e-12
