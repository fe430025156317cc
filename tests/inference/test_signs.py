"""The error of the strongest CD: with it the stated probabilities of a right sign are the true ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from clusterml.inference.labelled import LARGEST_SIGN_ERROR, Signs, fit_sign_error, sign_error_of_mean, strongest_signs

ENERGY = np.linspace(0.5, 5.3, 121)
BANDS = np.exp(-(((ENERGY[None] - np.array([[1.2], [2.4], [3.6], [4.6]])) / 0.15) ** 2))


def drawn(rng, error: float, count: int, parent: str = "a") -> Signs:
    """Signs that are right with the probability Phi(ratio / error)."""
    ratio = np.abs(rng.normal(size=count)) * 3.0
    return Signs(ratio, rng.random(count) < norm.cdf(ratio / error), (parent,) * count)


def test_the_error_behind_the_signs_is_fitted(rng):
    assert fit_sign_error(drawn(rng, 1.8, 20_000)) == pytest.approx(1.8, rel=0.05)
    assert fit_sign_error(drawn(rng, 1.0, 20_000)) == pytest.approx(1.0, rel=0.05)


def test_it_is_never_below_one_and_bounded(rng):
    ratio = np.array([0.5, 2.0, np.nan])
    assert fit_sign_error(Signs(ratio, np.ones(3, dtype=bool), ("a",) * 3)) == 1.0
    assert fit_sign_error(drawn(rng, 0.3, 2000)) == 1.0
    wrong = fit_sign_error(Signs(ratio, np.zeros(3, dtype=bool), ("a",) * 3))
    assert wrong == pytest.approx(LARGEST_SIGN_ERROR, rel=1e-3)
    assert fit_sign_error(Signs(np.full(2, np.nan), np.zeros(2, dtype=bool), ("a", "b"))) == 1.0
    assert fit_sign_error(Signs(np.zeros(0), np.zeros(0, dtype=bool), ())) == 1.0


def test_parents_count_equally(rng):
    many, few = drawn(rng, 1.0, 20_000), drawn(rng, 4.0, 2000, "b")
    both = [np.concatenate(pair) for pair in ((many.ratio, few.ratio), (many.right, few.right))]
    error = fit_sign_error(Signs(both[0], both[1], many.parents + few.parents))
    halves = [drawn(rng, 1.0, 20_000), drawn(rng, 4.0, 20_000)]
    even = [np.concatenate(pair) for pair in zip(*((one.ratio, one.right) for one in halves), strict=True)]
    assert error == pytest.approx(fit_sign_error(Signs(even[0], even[1], ("a",) * 40_000)), rel=0.1)
    assert error > 1.5


def test_signals_as_large_as_their_errors_make_it_the_root_of_two(rng):
    """For bands of normal heights with scatter t and normal errors s, P(right) = Phi(|h| / (s sqrt(1 + s^2 / t^2)))."""
    heights = rng.normal(size=(4000, 4))
    said = (heights + rng.normal(size=heights.shape)) @ BANDS
    std = np.ones_like(said)
    predicted = {"epsilon": np.full_like(said, 1e3), "delta_epsilon": said}
    signs = strongest_signs(ENERGY, predicted, std, heights @ BANDS, [str(k) for k in range(4000)])
    error = fit_sign_error(signs)
    assert error == pytest.approx(np.sqrt(2.0), rel=0.06)
    for sign_error, excess in ((1.0, True), (error, False)):
        sure = signs.sure(sign_error)
        stated = norm.cdf(signs.ratio[sure] / sign_error).mean()
        assert (stated - signs.right[sure].mean() > 0.02) == excess


def test_the_strongest_band_is_compared_with_the_label_there():
    cd = np.array([1.0, -4.0, 0.0, 2.0])[:, None] * BANDS
    total = cd.sum(axis=0)
    label = np.stack([-BANDS[0] - BANDS[1], 5.0 * BANDS[0] + BANDS[1], total, total])
    predicted = {"epsilon": np.full((4, 121), 1e3), "delta_epsilon": np.stack([total, total, 0.0 * total, total])}
    std = np.full((4, 121), 2.0)
    std[3] = np.nan
    signs = strongest_signs(ENERGY, predicted, std, label, ["a", "a", "b", "b"])
    np.testing.assert_allclose(signs.ratio, [2.0, 2.0, np.nan, np.nan], rtol=0.03)  # between two energies
    assert signs.right.tolist() == [True, False, False, False]
    assert signs.sure(1.0).tolist() == [True, True, False, False]
    assert not signs.sure(1.3).any()
    assert signs.select(np.array([False, True, True, False])).parents == ("a", "b")


def test_the_sign_of_a_mean_counts_what_its_bands_have_beyond_chance():
    rng = np.random.default_rng(5)
    cd, error = 2.0 * np.ones(121), np.ones(121)
    assert sign_error_of_mean(cd, error) == pytest.approx(np.sqrt(4.0 / 3.0))
    assert sign_error_of_mean(cd, 3.0 * error) == sign_error_of_mean(0.0 * cd, error) == LARGEST_SIGN_ERROR
    assert sign_error_of_mean(cd, 0.0 * error) == sign_error_of_mean(0.0 * cd, 0.0 * error) == 1.0
    for scatter, plain, own in ((0.0, (0.3, 1.0), (0.0, 0.15)), (3.0, (0.9, 1.0), (0.9, 1.0))):  # of the true heights
        members = (scatter * rng.normal(size=(300, 1, 4)) + rng.normal(size=(300, 16, 4))) @ BANDS
        means, errors = members.mean(axis=1), members.std(axis=1, ddof=1) / 4.0
        said = {"epsilon": np.full_like(means, 1e3), "delta_epsilon": means}
        ratio = strongest_signs(ENERGY, said, errors, means, ["a"] * 300).ratio
        factors = np.array([sign_error_of_mean(*pair) for pair in zip(means, errors, strict=True)])
        for factor, (low, high) in ((1.0, plain), (factors, own)):
            assert low <= np.mean(norm.cdf(ratio / factor) >= 0.95) <= high
