"""Interpolation and features of curves against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.signal import find_peaks, savgol_filter

from clusterml.spectrum.curves import maxima, pchip, second_derivative, spline_matrix

heights = st.lists(st.integers(-5, 5), min_size=3, max_size=30)


@given(heights, st.integers(0, 10))
def test_pchip(values, seed):
    y = np.array(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.uniform(0.1, 2.0, len(y)))
    at = np.concatenate([x, rng.uniform(x[0], x[-1], 50)])
    interpolated = pchip(x, y, at)
    np.testing.assert_allclose(interpolated, PchipInterpolator(x, y)(at), rtol=1e-13, atol=1e-13)
    assert interpolated.min() >= y.min() - 1e-12
    assert interpolated.max() <= y.max() + 1e-12


def test_pchip_of_two_points_is_a_line():
    np.testing.assert_allclose(pchip(np.array([1.0, 3.0]), np.array([2.0, 6.0]), np.array([1.0, 2.5])), [2.0, 5.0])


@pytest.mark.parametrize("m", [4, 5, 121])
@pytest.mark.parametrize("even", [True, False])
def test_splines(m, even, rng):
    x = np.linspace(0.5, 5.3, m) if even else np.cumsum(rng.uniform(0.1, 1.0, m))
    at = np.linspace(x[0], x[-1], 2 * m + 1)
    matrix = spline_matrix(x, at)
    np.testing.assert_allclose(matrix, CubicSpline(x, np.eye(m))(at), rtol=0.0, atol=1e-12)
    cubic = np.poly1d([0.3, -1.0, 0.2, 4.0])
    np.testing.assert_allclose(matrix @ cubic(x), cubic(at), rtol=1e-9)


@given(heights, st.integers(0, 6), st.integers(-5, 5))
def test_maxima(values, prominence, height):
    y = np.array(values, dtype=np.float64)
    expected, _ = find_peaks(y, prominence=max(prominence, 0.5), height=height)
    assert maxima(y, max(prominence, 0.5), height).tolist() == expected.tolist()


def test_a_flat_line_has_no_maximum():
    assert maxima(np.zeros(9), 0.1).tolist() == []


@pytest.mark.parametrize(("points", "window"), [(11, 11), (11, 5), (481, 11), (100, 7)])
def test_second_derivatives(points, window, rng):
    y, step = rng.normal(size=points), 0.01
    curvature = second_derivative(y, step, window)
    np.testing.assert_allclose(curvature, savgol_filter(y, window, 3, deriv=2, delta=step), rtol=1e-9, atol=1e-6)
    x = step * np.arange(points)
    np.testing.assert_allclose(second_derivative(x**3, step, window), 6.0 * x, rtol=0.0, atol=1e-8)
