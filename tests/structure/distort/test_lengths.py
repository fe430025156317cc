from __future__ import annotations

import numpy as np
import pytest

from clusterml.errors import StructureError
from clusterml.structure.distort.vibrations import keep_lengths

CHAIN = np.array([[0.0, 0, 0], [1.5, 0, 0], [2.1, 1.3, 0], [3.6, 1.3, 0.2]])
BONDS = np.array([[0, 1], [1, 2], [2, 3]])
MASSES = np.array([12.0, 12.0, 16.0, 1.0])


def lengths(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[..., BONDS[:, 0], :] - points[..., BONDS[:, 1], :], axis=-1)


def test_lengths_are_restored_with_the_centre_of_mass_in_place(rng):
    moved = CHAIN + rng.normal(0.0, 0.15, (7, 4, 3))
    corrected = keep_lengths(CHAIN, moved, BONDS, lengths(CHAIN), MASSES)
    assert lengths(corrected) == pytest.approx(np.tile(lengths(CHAIN), (7, 1)), abs=1e-8)
    assert np.abs(lengths(moved) - lengths(CHAIN)).max() > 0.1
    assert np.abs(((corrected - moved) * MASSES[:, None]).sum(axis=1)).max() < 1e-9


def test_nothing_to_do_changes_nothing():
    assert np.array_equal(keep_lengths(CHAIN, CHAIN[None], BONDS, lengths(CHAIN), MASSES)[0], CHAIN)
    no_bonds = np.zeros((0, 2), dtype=np.int64)
    moved = CHAIN[None] + 1.0
    assert np.array_equal(keep_lengths(CHAIN, moved, no_bonds, np.zeros(0), MASSES), moved)


def test_rings_are_solvable():
    corners = np.array([[np.cos(t), np.sin(t), 0.0] for t in 2 * np.pi * np.arange(3) / 3])
    bonds = np.array([[0, 1], [1, 2], [0, 2]])
    moved = corners[None] * 1.1
    corrected = keep_lengths(corners, moved, bonds, np.full(3, np.sqrt(3.0)), np.ones(3))
    assert corrected[0] == pytest.approx(corners, abs=1e-8)


def test_a_displacement_that_cannot_be_mended():
    moved = CHAIN[None].copy()
    moved[0, 3] += [-1.5, 1.6, 0.0]  # the last bond now points at right angles to where it was, and is far longer
    with pytest.raises(StructureError, match="bond lengths cannot be kept"):
        keep_lengths(CHAIN, moved, BONDS, np.array([1.5, 1.43, 0.2]), MASSES)
