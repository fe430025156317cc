"""The packing search finds the arrangement that trying everything finds."""

from __future__ import annotations

import numpy as np

from clusterml.structure.build.packing import Slot, overlap, pack, radii, screen
from clusterml.structure.build.poses import Poses

ONE = np.eye(3)[None]
CARBON = np.array([6])


def dot(points: np.ndarray, images: np.ndarray = ONE, cost: np.ndarray | None = None) -> Slot:
    """A single carbon that may be at any of the ``points``."""
    return Slot(
        CARBON, Poses(points[:, None], np.zeros(len(points)) if cost is None else cost), images, np.array([], dtype=int)
    )


def brute(slots: list[Slot]) -> float:
    """The least cost over all combinations of poses."""
    r = radii(CARBON)
    sizes = [len(s.poses.cost) for s in slots]
    total = np.zeros(sizes)
    for i, first in enumerate(slots):
        shape = [1] * len(slots)
        shape[i] = sizes[i]
        total = total + first.poses.cost.reshape(shape)
        for j, second in enumerate(slots[:i]):
            table = np.array([overlap(first.poses.positions, r, x, r) for x in second.poses.positions])  # (j, i)
            shape = [1] * len(slots)
            shape[i], shape[j] = sizes[i], sizes[j]
            total = total + table.reshape(shape)
    return float(total.min())


def test_as_good_as_trying_everything(rng):
    for _ in range(6):
        slots = [dot(rng.uniform(0, 4.0, (5, 3)), cost=rng.uniform(0, 0.5, 5)) for _ in range(5)]
        chosen, cost = pack(slots, rng)
        places = [s.poses.positions[k] for s, k in zip(slots, chosen, strict=True)]
        assert all(len(p) == 1 for p in places)
        assert cost <= brute(slots) + 1e-9


def test_overlap_is_zero_beyond_contact_and_grows_inside():
    r = radii(CARBON)
    values = overlap(np.array([[[d, 0.0, 0.0]] for d in (3.07, 2.8, 2.0)]), r, np.zeros((1, 3)), r)
    assert values[0] == 0
    assert 0 < values[1] < values[2]
    np.testing.assert_allclose(values[2], 100 * ((3.06 - 2.0) / 3.06) ** 2)


def test_images_count():
    """A site next to its own mirror image takes the pose that is away from the mirror."""
    mirror = np.array([np.eye(3), np.diag([-1.0, 1, 1])])
    chosen, cost = pack([dot(np.array([[0.5, 0, 0], [3.0, 0, 0]]), mirror)], np.random.default_rng(0))
    assert chosen == [1]
    assert cost == 0


def test_screening_keeps_the_poses_with_room():
    slot = dot(np.array([[1.0, 0, 0], [9.0, 0, 0]]))
    screened = screen(slot, np.array([47]), np.zeros((1, 3)), np.empty((0, 3)), np.empty(0))
    np.testing.assert_array_equal(screened.poses.positions[0, 0], [9.0, 0, 0])
    assert screened.poses.cost[0] == 0
    assert screened.poses.cost[1] > 10
