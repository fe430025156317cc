"""What a match is worth: chances are reproducible, small for a true match, and fair for unrelated spectra."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from clusterml.spectrum.compare import Comparison, compare
from clusterml.spectrum.significance import random_positions
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions


def unrelated(rng: np.random.Generator, n: int = 60) -> Spectrum:
    """The spectrum of a molecule that does not exist."""
    energy = np.sort(rng.uniform(1.5, 6.5, n))
    f, r = rng.gamma(1.0, 0.02, n) * energy**2, 30.0 * rng.normal(size=n)
    return Transitions(energy, f, f, r, r, *[np.zeros((n, 3))] * 3).broaden()


def part(spectrum: Spectrum, low: float, high: float) -> Spectrum:
    inside = (spectrum.energy_ev >= low) & (spectrum.energy_ev <= high)
    return Spectrum(spectrum.energy_ev[inside], spectrum.epsilon[inside], spectrum.delta_epsilon[inside])


def chances(result: Comparison) -> tuple[float, float]:
    assert result.chance.absorption is not None
    assert result.chance.cd is not None
    return result.chance.absorption, result.chance.cd


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_true_match_is_no_chance(mirrored: bool) -> None:
    a = unrelated(np.random.default_rng(3))
    b = part(a.mirrored() if mirrored else a, 1.6, 4.5)
    result = compare(a, b)
    assert result.chance.random_spectra == 999
    assert result.chance.cd == 0.001
    assert result.hand == ("opposite" if mirrored else "same")
    assert result.chance.sign_agreement is not None
    assert result.chance.sign_agreement < 0.05
    assert result == compare(a, b)


def test_a_point_far_away_costs_nothing() -> None:
    """A row whose decimal point was lost: 41234 eV."""
    a, b = (unrelated(np.random.default_rng(seed)) for seed in (3, 4))
    b = part(b, 1.6, 4.5)
    far = Spectrum(np.append(b.energy_ev, 41234.0), np.append(b.epsilon, 0.0), np.append(b.delta_epsilon, 0.0))
    assert all(0.0 < chance <= 1.0 for chance in chances(compare(a, far)))


def test_unrelated_spectra_are_told_as_such() -> None:
    rng = np.random.default_rng(11)
    results = [compare(unrelated(rng), part(unrelated(rng), 1.6, 4.5), random_spectra=99) for _ in range(16)]
    cosines = np.array([abs(result.cd.cosine) for result in results if result.cd])
    assert np.median(cosines) > 0.4  # such numbers mean nothing
    cd = np.array([chances(result)[1] for result in results])
    assert 0.25 < np.median(cd) < 0.75
    assert np.count_nonzero(cd < 0.05) <= 2
    assert sum(result.hand == "not significant" for result in results) >= 14


def test_a_fit_makes_unrelated_spectra_more_alike_and_means_no_more_for_that() -> None:
    rng = np.random.default_rng(5)
    for _ in range(3):
        a, b = unrelated(rng), part(unrelated(rng), 2.0, 3.5)
        fixed = compare(a, b, fit_shift=False, random_spectra=199)
        assert fixed.cd is not None
        for width in (False, True):
            fitted = compare(a, b, fit_width=width, random_spectra=199)
            assert fitted.cd is not None
            assert abs(fitted.cd.cosine) > 2.0 * abs(fixed.cd.cosine)
            assert chances(fitted)[1] > 0.3


def test_one_broad_band_proves_nothing() -> None:
    zero = np.zeros((1, 3))
    one = [Transitions([e], [1.0], [1.0], [9.0], [9.0], zero, zero, zero).broaden(fwhm_ev=0.5) for e in (3.0, 3.2)]
    result = compare(one[0], one[1], random_spectra=199)
    assert result.cd is not None
    assert result.cd.cosine > 0.99
    assert chances(result)[1] > 0.2
    assert result.hand == "not significant"


def test_nothing_to_compare_has_no_chance(spectrum: Spectrum) -> None:
    no_cd = replace(spectrum, delta_epsilon=np.full(len(spectrum), np.nan))
    result = compare(no_cd, spectrum, random_spectra=19)
    assert (result.chance.cd, result.chance.sign_agreement, result.hand) == (None, None, None)
    assert result.chance.absorption is not None
    assert compare(spectrum, spectrum, random_spectra=0).chance.random_spectra == 0
    assert compare(spectrum, spectrum, random_spectra=0).hand is None


def test_random_positions_keep_number_order_and_distance() -> None:
    rng = np.random.default_rng(1)
    own = np.array([2.0, 2.3, 3.1, 4.0])
    for _ in range(50):
        drawn = random_positions(own, rng)
        assert len(drawn) == 4
        assert (np.diff(drawn) >= 0.3 - 1e-9).all()
        assert abs(drawn[0] - 2.0) <= 0.3
        assert 1.6 - 1e-9 <= drawn[-1] - drawn[0] <= 2.4 + 1e-9
    assert math.isclose(float(random_positions(own[:1], rng)[0]), 2.0, abs_tol=0.3)


def test_stated_widths_are_brought_to_one(transitions: Transitions) -> None:
    narrow, wide = transitions.broaden(fwhm_ev=0.1), transitions.broaden(fwhm_ev=0.3)
    for a, b, name in ((narrow, wide, "A"), (wide, narrow, "B")):
        result = compare(a, b, fit_shift=False, random_spectra=0)
        assert result.absorption is not None
        assert result.absorption.relative_rmsd < 5e-3
        assert result.warnings == (f"{name} was broadened from 0.1 to 0.3 eV",)
        assert result.fwhm_ev == (0.3, 0.3)


def test_a_blank_matches_nothing_that_chance_could_be_asked_about() -> None:
    """A flat line has a high cosine with any broad spectrum; that is no match, and no chance is given."""
    a = unrelated(np.random.default_rng(5))
    nothing = np.full_like(a.delta_epsilon, np.nan)
    blank = replace(a, epsilon=np.full_like(a.epsilon, 300.0) + 0.01 * a.energy_ev, delta_epsilon=nothing)
    result = compare(blank, replace(a, delta_epsilon=nothing))
    assert result.absorption is not None
    assert result.chance.absorption is None
