"""Broadening: areas, gauges, mirror images, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterml.errors import OptionError, SpectrumError
from clusterml.spectrum.spectrum import default_grid
from clusterml.spectrum.transitions import BLOCK, Transitions, sum_of_bands
from clusterml.units import DELTA_EPSILON_AREA_PER_ER, DIPOLE_STRENGTH_AU_TO_CGS, EPSILON_AREA_PER_F, EV_NM, HARTREE_EV

FINE = np.linspace(0.2, 9.0, 8801)


def empty() -> Transitions:
    return Transitions(*[np.zeros(0)] * 5, *[np.zeros((0, 3))] * 3)


@given(fwhm=st.floats(0.05, 0.4))
def test_areas_do_not_depend_on_width(fwhm: float) -> None:
    energy = np.array([2.5, 4.0])
    t = Transitions(energy, [0.3, 1.2], [0.2, 1.0], [5.0, -7.0], [4.0, -9.0], *[np.zeros((2, 3))] * 3)
    s = t.broaden(FINE, fwhm_ev=fwhm)
    assert _area(s.epsilon, FINE) == pytest.approx(EPSILON_AREA_PER_F * 1.5, rel=1e-9)
    assert _area(s.delta_epsilon, FINE) == pytest.approx(DELTA_EPSILON_AREA_PER_ER * (2.5 * 4 - 4.0 * 9), rel=1e-9)


def _area(y: np.ndarray, x: np.ndarray) -> float:
    return float(np.sum(0.5 * (y[1:] + y[:-1]) * np.diff(x)))


def test_area_is_the_same_over_wavelength(transitions: Transitions) -> None:
    s = transitions.broaden(FINE)
    nm = s.wavelength_nm[::-1]
    per_nm = (s.epsilon * EV_NM / s.wavelength_nm**2)[::-1]
    assert _area(per_nm, nm) == pytest.approx(_area(s.epsilon, FINE), rel=1e-5)


def test_width_is_the_full_width_at_half_maximum() -> None:
    grid = np.array([2.9, 3.0, 3.1])
    t = Transitions([3.0], [1.0], [1.0], [1.0], [1.0], *[np.zeros((1, 3))] * 3)
    for shape in ("gaussian", "lorentzian"):
        epsilon = t.broaden(grid, fwhm_ev=0.2, shape=shape).epsilon
        assert epsilon[[0, 2]] == pytest.approx(0.5 * epsilon[1], rel=1e-12)


def test_agrees_with_the_reference_spectrum_tool() -> None:
    # stda-xtb.md, section 13: 1.6196e4 f / w exp(-((E - E0)/w)^2), w the half width at 1/e;
    # and E R / (22.97 sqrt(pi) w).
    w, e0, f, r = 0.2, 3.0, 0.4, -12.0
    t = Transitions([e0], [f], [9.9], [9.9], [r], *[np.zeros((1, 3))] * 3)
    s = t.broaden(fwhm_ev=2 * np.sqrt(np.log(2.0)) * w)
    line = np.exp(-(((s.energy_ev - e0) / w) ** 2))
    np.testing.assert_allclose(s.epsilon, 1.6196e4 * f / w * line, rtol=1e-4)
    np.testing.assert_allclose(s.delta_epsilon, e0 * r / (22.97 * np.sqrt(np.pi) * w) * line, rtol=1e-9)


def test_gauges_are_chosen_and_stated(transitions: Transitions) -> None:
    s = transitions.broaden()
    assert (s.meta["gauge"], s.meta["absorption_gauge"], s.meta["fwhm_ev"]) == ("velocity", "length", 0.2)
    np.testing.assert_array_equal(s.energy_ev, default_grid())
    other = transitions.broaden(gauge="length", absorption_gauge="velocity")
    swapped = replace(
        transitions,
        f_length=transitions.f_velocity,
        f_velocity=transitions.f_length,
        r_length_cgs=transitions.r_velocity_cgs,
        r_velocity_cgs=transitions.r_length_cgs,
    ).broaden()
    np.testing.assert_array_equal(other.epsilon, swapped.epsilon)
    np.testing.assert_array_equal(other.delta_epsilon, swapped.delta_epsilon)
    assert not np.allclose(other.epsilon, s.epsilon)


def test_g_is_4_r_over_d_in_each_gauge(transitions: Transitions) -> None:
    omega = transitions.energy_ev / HARTREE_EV
    d_length = 1.5 * DIPOLE_STRENGTH_AU_TO_CGS * transitions.f_length / omega
    np.testing.assert_allclose(transitions.g_length, 4 * transitions.r_length_cgs / d_length, rtol=1e-12)
    d_velocity = 1.5 * DIPOLE_STRENGTH_AU_TO_CGS * transitions.f_velocity / omega
    np.testing.assert_allclose(transitions.g_velocity, 4 * transitions.r_velocity_cgs / d_velocity, rtol=1e-12)
    dark = replace(transitions, electric_au=np.zeros((6, 3)))
    assert np.isnan(dark.g_length).all()


def test_no_transitions_give_zero() -> None:
    s = empty().broaden()
    assert len(empty()) == 0
    assert not s.epsilon.any()
    assert not s.delta_epsilon.any()
    assert np.isnan(s.g_abs).all()


def test_blocks_of_transitions_add_up(rng: np.random.Generator) -> None:
    centre, area = rng.uniform(1, 5, BLOCK + 7), rng.normal(size=(BLOCK + 7, 2))
    whole = sum_of_bands(default_grid(), centre, area, 0.2, "gaussian")
    parts = [sum_of_bands(default_grid(), centre[i::2], area[i::2], 0.2, "gaussian") for i in (0, 1)]
    np.testing.assert_allclose(whole, parts[0] + parts[1], atol=1e-10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("energy_ev", [[1.0, 2.0]]),
        ("f_velocity", [1.0, 2.0]),
        ("energy_ev", [0.0, 1, 2, 3, 4, 5]),
        ("f_length", [1.0, np.nan, 1, 1, 1, 1]),
        ("r_velocity_cgs", ["a"] * 6),
        ("r_length_cgs", np.ones(6) * 1j),
        ("electric_au", np.zeros((6, 2))),
        ("fractions", {"hole": {}}),
        ("fractions", {"hole": {"Ag": np.zeros(5)}, "electron": {}}),
    ],
)
def test_damaged_fields_are_named(transitions: Transitions, field: str, value: object) -> None:
    with pytest.raises(SpectrumError, match=field):
        replace(transitions, **{field: value})


@pytest.mark.parametrize(
    "options",
    [{"fwhm_ev": 0.0}, {"fwhm_ev": float("nan")}, {"shape": "box"}, {"gauge": "x"}, {"absorption_gauge": "x"}],
)
def test_bad_options_are_refused(transitions: Transitions, options: dict) -> None:
    with pytest.raises(OptionError):
        transitions.broaden(**options)


@pytest.mark.parametrize("grid", [[1.0], [2.0, 1.0], [0.0, 1.0], [[1.0, 2.0]], [1.0, np.inf]])
def test_bad_grids_are_refused(transitions: Transitions, grid: list) -> None:
    with pytest.raises(SpectrumError, match="grid"):
        transitions.broaden(np.array(grid))


def test_fractions_are_kept(transitions: Transitions) -> None:
    share = {"hole": {"kernel": np.full(6, 0.4)}, "electron": {"ligand": list(range(6))}}
    kept = replace(transitions, fractions=share).fractions
    assert kept is not None
    assert kept["electron"]["ligand"].dtype == np.float64
