from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from clusterml.errors import DatasetError
from clusterml.training import metrics

E = np.arange(0.5, 5.31, 0.04)


def bands(*places_and_heights: tuple[float, float]) -> np.ndarray:
    return sum(height * np.exp(-(((E - place) / 0.15) ** 2)) for place, height in places_and_heights)


def test_the_cosine_is_one_for_a_multiple_and_minus_one_for_the_mirror_image(rng):
    target = rng.normal(size=(4, 50))
    np.testing.assert_allclose(metrics.cosine(3.0 * target, target), 1.0)
    np.testing.assert_allclose(metrics.cosine(-target, target), -1.0)


def test_the_cosine_of_nothing_is_not_a_number_and_leaves_the_median_alone():
    target = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    predicted = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    values = metrics.cosine(predicted, target)
    np.testing.assert_array_equal(values, [1.0, np.nan, 0.0])
    assert metrics.median(values) == 0.5
    assert math.isnan(metrics.median(np.array([np.nan])))


def test_r2_is_zero_for_the_mean_and_one_for_the_target(rng):
    target = rng.normal(size=(5, 30))
    mean = target.mean(axis=0)
    assert metrics.r2(target, target, mean) == 1.0
    assert metrics.r2(np.tile(mean, (5, 1)), target, mean) == pytest.approx(0.0)
    assert math.isnan(metrics.r2(target, np.ones((5, 30)), np.ones(30)))
    half = metrics.r2(0.5 * (target + mean), target, mean)
    assert half == pytest.approx(0.75)


def test_scaled_r2_does_not_let_a_large_structure_decide():
    target = np.array([[1.0, -1.0], [1000.0, -1000.0]])
    predicted = np.array([[0.0, 0.0], [1000.0, -1000.0]])
    assert metrics.r2(predicted, target, np.zeros(2)) > 0.999
    assert metrics.r2(predicted, target, np.zeros(2), scale=np.array([1.0, 1000.0])) == pytest.approx(0.5)


def test_the_training_mean_is_by_parent_and_of_all_for_a_stranger():
    mean = metrics.TrainingMean(np.array([[1.0], [3.0], [8.0]]), ["a", "a", "b"])
    np.testing.assert_array_equal(mean.of(["a", "b", "c"]), [[2.0], [8.0], [4.0]])
    with pytest.raises(DatasetError, match="empty"):
        metrics.TrainingMean(np.zeros((0, 3)), [])


def test_signs_count_only_where_the_cd_is_large():
    target = np.array([[0.1, 0.1, -3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    predicted = np.array([[-1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(metrics.sign_accuracy(predicted, target), [0.5, np.nan])


def test_peak_positions_of_both_signs():
    target = np.stack([bands((2.0, 5.0), (3.5, -4.0)), bands((2.0, 5.0)), np.zeros(len(E))])
    predicted = np.stack([bands((2.05, 1.0), (3.45, -1.0)), bands((3.0, 5.0)), bands((2.0, 1.0))])
    found = metrics.peak_error_ev(predicted, target, E)
    assert found[0] == pytest.approx(0.05, abs=2e-3)
    assert found[1] == metrics.FARTHEST_EV
    assert math.isnan(found[2])


def test_the_largest_g_leaves_out_where_nothing_absorbs():
    epsilon = np.array([[100.0, 1.0, 50.0], [0.0, 0.0, 0.0]])
    cd = np.array([[1.0, 1.0, -2.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(metrics.largest_g(epsilon, cd), [0.04, 0.0])


def test_rank_correlation_is_spearmans(rng):
    a, b = rng.integers(0, 8, size=(2, 30)).astype(float)
    assert metrics.rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert math.isnan(metrics.rank_correlation(a, np.ones(30)))
    assert math.isnan(metrics.rank_correlation(a[:2], b[:2]))


def test_a_perfect_prediction_has_a_perfect_summary():
    epsilon = np.stack([bands((2.0 + 0.1 * k, 1e4), (4.0, 2e4)) for k in range(5)])
    cd = np.stack([bands((2.0 + 0.1 * k, 10.0 + k), (4.0, -5.0)) for k in range(5)])
    found = metrics.summary((epsilon, epsilon), (cd, cd), (epsilon.mean(axis=0), cd.mean(axis=0)), E)
    for key in ("absorption_cosine", "absorption_r2", "cd_cosine", "cd_r2", "sign_accuracy", "largest_g_rank"):
        assert found[key] == pytest.approx(1.0), key
    assert found["absorption_mae"] == found["cd_mae"] == found["cd_peak_error_ev"] == 0.0
    assert found["structures"] == 5
