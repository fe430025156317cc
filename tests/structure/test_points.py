"""Few points and many give the same pairs and neighbours; average linkage is scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from clusterml.structure import points as numerics
from clusterml.structure.bonds import AtomPairs, components, outwards
from clusterml.structure.points import average_linkage
from clusterml.typing import FloatArray, IntArray


@pytest.fixture
def points() -> FloatArray:
    return np.random.default_rng(3).uniform(-6.0, 6.0, (300, 3))


def _sorted(pairs: tuple[IntArray, IntArray, FloatArray]) -> tuple[IntArray, IntArray, FloatArray]:
    order = np.lexsort((pairs[1], pairs[0]))
    return pairs[0][order], pairs[1][order], pairs[2][order]


def test_few_and_many_points_have_the_same_pairs(points: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    few = _sorted(numerics.pairs_within(points, points[:100] + 0.1, 2.0))
    monkeypatch.setattr(numerics, "_FEW", 0)
    many = _sorted(numerics.pairs_within(points, points[:100] + 0.1, 2.0))
    assert len(few[0]) > 100
    for direct, by_tree in zip(few, many, strict=True):
        np.testing.assert_allclose(direct, by_tree, rtol=1e-12)


def test_few_and_many_points_have_the_same_neighbours(points: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    distance, index = numerics.nearest(points, 13)
    monkeypatch.setattr(numerics, "_FEW", 0)
    other_distance, other_index = numerics.nearest(points, 13)
    np.testing.assert_array_equal(index, other_index)
    np.testing.assert_allclose(distance, other_distance, rtol=1e-12)
    assert index[:, 0].tolist() == list(range(300))


@pytest.mark.parametrize("farthest", [0.0, 0.5, 1.5, 3.0, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_average_linkage_is_that_of_scipy(farthest: float, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(60, 4)).repeat(1 + seed % 2, axis=0) * 1.3
    label = fcluster(linkage(points, "average"), farthest, criterion="distance")
    expected = sorted(np.flatnonzero(label == k).tolist() for k in np.unique(label))
    assert sorted(group.tolist() for group in average_linkage(points, farthest)) == expected


def test_a_long_chain_is_one_piece_and_walked_from_its_first_atom() -> None:
    order = np.random.default_rng(0).permutation(np.arange(1, 500))
    chain = np.concatenate([[0], order])
    pairs = AtomPairs(chain[:-1], chain[1:], np.zeros((499, 3), dtype=np.int64), np.ones(499))
    assert [part.tolist() for part in components(501, pairs)] == [list(range(500)), [500]]
    assert list(outwards(501, pairs)) == list(zip(chain[:-1].tolist(), chain[1:].tolist(), strict=True))
