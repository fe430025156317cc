"""Comparison: known shifts and widths are recovered, mirror images recognised, bands matched."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterml.errors import OptionError, SpectrumError
from clusterml.io.json import json_text
from clusterml.spectrum.compare import compare
from clusterml.spectrum.fit import Alignment, align, broaden_curve
from clusterml.spectrum.peaks import find_bands, match
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions

from .conftest import transitions_of

ENERGIES = np.array([3.1, 2.2, 2.8, 3.4, 3.9, 4.5])


def bands(energy: list[float], f: list[float], r: list[float], fwhm: float = 0.2) -> Spectrum:
    n = len(energy)
    zero = np.zeros((n, 3))
    return Transitions(np.array(energy), f, f, r, r, zero, zero, zero).broaden(fwhm_ev=fwhm)


def test_a_spectrum_equals_itself(spectrum: Spectrum) -> None:
    result = compare(spectrum, spectrum)
    assert abs(result.shift_ev) < 1e-4
    for part in (result.absorption, result.cd):
        assert part is not None
        assert part.cosine == pytest.approx(1.0, abs=1e-6)
        assert part.overlap == pytest.approx(1.0, abs=1e-4)
        assert part.scale == pytest.approx(1.0, abs=1e-4)
        assert part.relative_rmsd < 1e-2
    assert (result.hand, result.sign_agreement, result.warnings) == ("same", 1.0, ())
    assert all(pair.same_sign and abs(pair.residual_ev or 0) < 1e-3 for pair in result.cd_bands)


@settings(max_examples=12)
@given(shift=st.floats(-0.4, 0.4), fwhm=st.floats(0.2, 0.5))
def test_shift_and_width_are_recovered(shift: float, fwhm: float) -> None:
    t = transitions_of(ENERGIES)
    measured = replace(replace(t, energy_ev=t.energy_ev + shift).broaden(fwhm_ev=fwhm), meta={})
    result = compare(t.broaden(fwhm_ev=0.2), measured, fit_width=True, random_spectra=0)
    assert result.shift_ev == pytest.approx(shift, abs=2e-3)
    assert math.hypot(0.2, result.extra_fwhm_ev) == pytest.approx(fwhm, abs=4e-3)
    assert result.cd is not None
    assert result.cd.cosine > 0.999


def test_the_fit_starts_from_the_measured_shift_of_the_protocol(transitions: Transitions) -> None:
    """A shift of 0.45 eV is out of the reach of 0.1 eV from none, and within that from the measured 0.4 eV."""
    measured = replace(replace(transitions, energy_ev=transitions.energy_ev + 0.45).broaden(), meta={})
    a = transitions.broaden()
    known = replace(a, meta={**a.meta, "protocol_shift_ev": 0.4})
    result = compare(known, measured, max_shift_ev=0.1, random_spectra=0)
    assert (result.start_ev, result.shift_ev) == (0.4, pytest.approx(0.45, abs=2e-3))
    assert result.cd is not None
    assert result.cd.cosine > 0.999
    assert all(abs(pair.residual_ev or 0.0) < 0.01 for pair in result.cd_bands)
    assert result.spectra[0] is known
    blind = compare(a, measured, max_shift_ev=0.1, random_spectra=0)
    assert blind.start_ev == 0.0
    assert abs(blind.shift_ev) <= 0.1
    still = compare(known, measured, fit_shift=False, random_spectra=0)
    assert (still.start_ev, still.shift_ev) == (0.0, 0.0)
    nonsense = replace(a, meta={**a.meta, "protocol_shift_ev": "far"})
    assert compare(nonsense, measured, random_spectra=0).start_ev == 0.0


def test_width_and_shift_are_fitted_separately(transitions: Transitions) -> None:
    measured = replace(transitions.broaden(fwhm_ev=0.3), meta={})
    wide = compare(transitions.broaden(), measured, fit_shift=False, fit_width=True)
    assert (wide.shift_ev, wide.fitted) == (0.0, ("width",))
    assert math.hypot(0.2, wide.extra_fwhm_ev) == pytest.approx(0.3, abs=3e-3)
    a_little = replace(transitions, energy_ev=transitions.energy_ev + 0.004).broaden()
    assert compare(transitions.broaden(), a_little, max_shift_ev=0.01).shift_ev == pytest.approx(0.004, abs=1e-3)


def test_rows_ascend_on_the_shifted_axis() -> None:
    """Bands without a partner stand where the shift puts them: A's at 3.3 eV at 3.75 eV, behind B's at 3.4 eV."""
    a = bands([2.0, 3.3, 4.2], [1.0, 0.1, 1.0], [1.0, -0.3, 1.0], fwhm=0.1)
    b = bands([2.45, 3.4, 4.65], [1.0, 0.1, 1.0], [1.0, -0.3, 1.0], fwhm=0.1)
    result = compare(a, b)
    assert result.shift_ev == pytest.approx(0.45, abs=0.01)
    for pairs in (result.absorption_bands, result.cd_bands):
        assert [(pair.a is not None, pair.b is not None) for pair in pairs] == [
            (True, True), (False, True), (True, False), (True, True)
        ]  # fmt: skip


def test_without_a_fit_nothing_is_moved(transitions: Transitions) -> None:
    a = transitions.broaden()
    b = replace(transitions, energy_ev=transitions.energy_ev + 0.2).broaden()
    fixed, fitted = compare(a, b, fit_shift=False), compare(a, b)
    assert (fixed.shift_ev, fixed.extra_fwhm_ev, fixed.fitted) == (0.0, 0.0, ())
    assert fixed.absorption is not None
    assert fitted.absorption is not None
    assert fixed.absorption.cosine < 0.98 < fitted.absorption.cosine
    strongest = max((p for p in fitted.absorption_bands if p.a and p.b), key=lambda p: p.a.height if p.a else 0.0)
    assert strongest.a is not None
    assert strongest.b is not None
    assert strongest.b.energy_ev - strongest.a.energy_ev == pytest.approx(0.2, abs=0.01)
    assert strongest.a.wavelength_nm * strongest.a.energy_ev == pytest.approx(1239.841984)


def test_a_shift_at_its_bound_is_reported(transitions: Transitions) -> None:
    far = replace(transitions, energy_ev=transitions.energy_ev + 0.3).broaden()
    result = compare(transitions.broaden(), far, max_shift_ev=0.2)
    assert result.shift_ev == pytest.approx(0.2, abs=2e-3)
    assert result.warnings == ("the fitted shift is at the end of its allowed range",)


@pytest.mark.parametrize("fit", [True, False])
def test_mirror_images(spectrum: Spectrum, fit: bool) -> None:
    result = compare(spectrum, spectrum.mirrored(), fit_shift=fit, fit_width=fit)
    assert result.cd is not None
    assert result.absorption is not None
    assert result.cd.cosine == pytest.approx(-1.0, abs=1e-4)
    assert result.cd.overlap == pytest.approx(-1.0, abs=1e-3)
    assert result.cd.scale == 0.0
    assert result.absorption.cosine == pytest.approx(1.0, abs=1e-4)
    assert (result.hand, result.sign_agreement) == ("opposite", 0.0)
    assert abs(result.shift_ev) < 1e-3


def test_magnitude_enters_overlap_and_scale_but_not_cosine(spectrum: Spectrum) -> None:
    double = replace(spectrum, delta_epsilon=2 * spectrum.delta_epsilon)
    cd = compare(spectrum, double, fit_shift=False).cd
    assert cd is not None
    assert cd.cosine == pytest.approx(1.0)
    assert cd.overlap == pytest.approx(2 / 3)
    assert cd.scale == pytest.approx(2.0)
    assert cd.relative_rmsd < 1e-6


def test_only_the_shared_range_counts(spectrum: Spectrum) -> None:
    inside = (spectrum.energy_ev > 2.0) & (spectrum.energy_ev < 3.5)
    nm = np.sort(1239.841984 / spectrum.energy_ev[inside])
    energy = 1239.841984 / np.linspace(nm[0], nm[-1], 333)[::-1]
    measured = Spectrum(
        energy,
        np.interp(energy, spectrum.energy_ev, spectrum.epsilon),
        np.interp(energy, spectrum.energy_ev, spectrum.delta_epsilon),
    )
    spoilt = replace(spectrum, epsilon=np.where(spectrum.energy_ev > 4.2, 1e7, spectrum.epsilon))
    result = compare(spoilt, measured, fit_shift=False)
    assert result.range_ev == pytest.approx((2.02, 3.48))
    assert result.absorption is not None
    assert result.absorption.cosine > 0.9999
    assert result.absorption.relative_rmsd < 0.02


def test_no_overlap_is_an_error(spectrum: Spectrum) -> None:
    far = Spectrum(spectrum.energy_ev + 20.0, spectrum.epsilon, spectrum.delta_epsilon)
    for fit in (True, False):
        with pytest.raises(SpectrumError, match="do not overlap"):
            compare(spectrum, far, fit_shift=fit)


def test_missing_and_silent_quantities(spectrum: Spectrum) -> None:
    absent = np.full(len(spectrum), np.nan)
    absorption, cd = replace(spectrum, delta_epsilon=absent), replace(spectrum, epsilon=absent)
    with pytest.raises(SpectrumError, match="only absorption"):
        compare(absorption, cd)
    result = compare(spectrum, absorption)
    assert result.cd is None
    assert result.hand is None
    assert result.warnings == ("B has no CD",)
    silent = replace(spectrum, delta_epsilon=1e-9 * spectrum.delta_epsilon)
    result = compare(silent, spectrum)
    assert result.cd is None
    assert result.warnings == ("the CD of A is zero",)
    nothing = replace(spectrum, epsilon=0 * spectrum.epsilon, delta_epsilon=0 * spectrum.epsilon)
    assert compare(nothing, nothing, fit_width=True).absorption is None
    assert compare(cd, cd).cd is not None


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, 4.0])
def test_bad_bounds_are_refused(spectrum: Spectrum, bound: float) -> None:
    with pytest.raises(OptionError, match="max_shift_ev"):
        compare(spectrum, spectrum, max_shift_ev=bound)


def test_result_is_strict_json(spectrum: Spectrum) -> None:
    data = json.loads(json_text(compare(spectrum, spectrum.mirrored()).to_dict()))
    assert data["cd"]["cosine"] == pytest.approx(-1.0, abs=1e-4)
    assert data["cd_bands"][0]["same_sign"] is False


def test_bands_with_sign_and_shoulder() -> None:
    s = bands([2.5, 2.72, 4.0], [1.0, 0.45, 0.5], [10.0, 0.0, -20.0])
    absorption = find_bands(s)
    assert [(round(b.energy_ev, 1), b.kind) for b in absorption] == [(2.5, "peak"), (2.7, "shoulder"), (4.0, "peak")]
    assert [b.kind for b in find_bands(s, shoulders=False)] == ["peak", "peak"]
    cd = find_bands(s, "delta_epsilon", shoulders=False)
    assert [(round(b.energy_ev, 2), b.sign) for b in cd] == [(2.5, 1), (4.0, -1)]
    assert cd[1].height == pytest.approx(s.delta_epsilon.min(), rel=1e-3)
    assert find_bands(bands([2.5], [0.0], [0.0])) == []
    with pytest.raises(OptionError):
        find_bands(s, "g_abs")


def test_noise_adds_no_peaks(rng: np.random.Generator) -> None:
    s = bands([2.5, 4.0], [1.0, 0.5], [10.0, -20.0])
    noisy = replace(s, epsilon=s.epsilon + rng.normal(size=len(s)) * 0.002 * s.epsilon.max())
    assert [round(b.energy_ev, 1) for b in find_bands(noisy, shoulders=False)] == [2.5, 4.0]


def test_matching_is_one_to_one_and_near() -> None:
    assert sorted(match([1.0, 1.1, 5.0], [1.12, 2.0], 0.3)) == [(1, 0)]
    assert sorted(match([1.0, 1.2], [1.1, 1.3], 0.3)) == [(0, 0), (1, 1)]
    assert match([], [1.0], 0.3) == []


def test_broadening_keeps_the_area_of_a_band(transitions: Transitions) -> None:
    s = transitions.broaden(np.linspace(0.5, 7.0, 651))
    wide = broaden_curve(s.energy_ev, s.epsilon, 0.3)
    assert wide.sum() == pytest.approx(s.epsilon.sum(), rel=1e-6)
    direct = transitions.broaden(s.energy_ev, fwhm_ev=math.hypot(0.2, 0.3))
    np.testing.assert_allclose(wide, direct.epsilon, atol=1e-4 * s.epsilon.max())


def test_deviations_survive_a_shift_and_grow_no_smaller_than_allowed(spectrum: Spectrum) -> None:
    unknown = spectrum.energy_ev < 1.9
    std = np.where(unknown, np.nan, 2.0)
    given = replace(spectrum, epsilon_std=std, delta_epsilon_std=std)
    shifted = align(given, Alignment(0.2))
    assert shifted.epsilon_std is not None
    np.testing.assert_array_equal(np.isnan(shifted.epsilon_std), shifted.energy_ev < 1.9 + 0.2 - 1e-9)
    wide = align(given, Alignment(0.0, 0.3))
    assert wide.delta_epsilon_std is not None
    known = ~np.isnan(wide.delta_epsilon_std)
    assert wide.energy_ev[known].min() > 1.9 + 0.1
    np.testing.assert_allclose(wide.delta_epsilon_std[known], 2.0)


def test_the_error_of_the_method_moves_with_the_spectrum(spectrum: Spectrum) -> None:
    error = np.where(spectrum.energy_ev > 2.0, 10.0 * spectrum.energy_ev, np.nan)
    given = replace(spectrum, label_error=error)
    moved = align(given, Alignment(0.25))
    assert moved.label_error is not None
    at = np.array([2.5, 3.0, 4.0])
    np.testing.assert_allclose(np.interp(at + 0.25, moved.energy_ev, moved.label_error), 10.0 * at)
    assert np.isnan(moved.label_error[moved.energy_ev < 2.2]).all()
    assert align(given, Alignment(0.25, 0.1)).label_error is None  # known for the width alone
