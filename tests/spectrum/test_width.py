"""More broadening: right numbers, and refusals of what cannot be done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clusterml.errors import SpectrumError
from clusterml.spectrum.compare import broaden_to
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions


def test_broadening_by_the_difference_is_broadening_once(transitions: Transitions) -> None:
    narrow, wide = transitions.broaden(fwhm_ev=0.12), transitions.broaden(fwhm_ev=0.3)
    got = broaden_to(narrow, 0.3)
    assert got.meta["fwhm_ev"] == 0.3
    np.testing.assert_array_equal(got.energy_ev, narrow.energy_ev)
    for key in ("epsilon", "delta_epsilon"):
        expected = getattr(wide, key)
        np.testing.assert_allclose(getattr(got, key), expected, atol=2e-3 * abs(expected).max())
    again = broaden_to(broaden_to(narrow, 0.2), 0.3)
    np.testing.assert_allclose(again.epsilon, wide.epsilon, atol=2e-3 * wide.epsilon.max())


def test_the_same_width_changes_nothing(spectrum: Spectrum) -> None:
    assert broaden_to(spectrum, 0.2) is spectrum


def test_deviations_are_bounds_and_unknown_where_they_were(spectrum: Spectrum) -> None:
    std = np.where(spectrum.energy_ev < 1.9, np.nan, 2.0)
    wide = broaden_to(replace(spectrum, delta_epsilon_std=std), 0.4)
    assert wide.epsilon_std is None
    assert wide.delta_epsilon_std is not None
    known = ~np.isnan(wide.delta_epsilon_std)
    assert not known[spectrum.energy_ev < 1.95].any()
    assert known[spectrum.energy_ev > 2.3].all()
    np.testing.assert_allclose(wide.delta_epsilon_std[known], 2.0)


@pytest.mark.parametrize("width", [0.1, 0.0, -1.0, float("nan"), float("inf")])
def test_no_spectrum_becomes_narrower(spectrum: Spectrum, width: float) -> None:
    with pytest.raises(SpectrumError, match=r"0\.2 eV wide and cannot become"):
        broaden_to(spectrum, width)


def test_the_width_must_be_known_and_gaussian(spectrum: Spectrum, transitions: Transitions) -> None:
    for meta in ({}, {"fwhm_ev": "0.2"}, {"fwhm_ev": True}, {"fwhm_ev": -0.2}):
        with pytest.raises(SpectrumError, match="does not state the width"):
            broaden_to(replace(spectrum, meta=meta), 0.3)
    with pytest.raises(SpectrumError, match="lorentzian"):
        broaden_to(transitions.broaden(shape="lorentzian"), 0.3)
