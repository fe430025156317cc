"""The measured bands and their comparison with spectra made to have them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from clusterml.errors import OptionError, SpectrumError
from clusterml.io.json import json_text
from clusterml.spectrum.bands import compare_bands, measured_bands, measured_systems
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.units import nm_to_ev

KINDS = {"strong", "sharp", "broad", "shoulder", "weak", "unspecified"}


def spectrum_with(nm: list[float], shift: float = 0.0, fwhm: float = 0.1) -> Spectrum:
    n = len(nm)
    energy = nm_to_ev(np.array(nm, dtype=float)) + shift
    sign = np.where(np.arange(n) % 2, -1.0, 1.0)
    return Transitions(energy, *[np.ones(n)] * 2, 5 * sign, 5 * sign, *[np.zeros((n, 3))] * 3).broaden(fwhm_ev=fwhm)


@pytest.mark.parametrize("system", sorted(measured_systems()))
def test_every_entry_is_complete(system: str) -> None:
    bands = measured_bands(system)
    assert bands == measured_bands(f" {system.upper()} ")
    assert all(band.quantity in ("absorption", "cd") and band.kind in KINDS and 200 < band.nm < 1500 for band in bands)
    assert system in ("Ag25", "Au38") or all((band.doi or "").startswith("10.1") for band in bands)
    assert measured_systems()[system]


def test_the_tabulated_positions() -> None:
    assert {band.nm for band in measured_bands("Rac-Ag70")} == {335, 386, 426, 530, 595, 767}
    strong = {band.nm for band in measured_bands("R/S-Ag70") if band.kind == "strong"}
    assert strong == {280, 383, 420, 469}
    assert [b.nm for b in measured_bands("Ag33") if b.quantity == "cd"] == [340, 520]
    assert measured_bands("Ag29-BDT")[2].energy_ev == pytest.approx(2.8178, abs=1e-4)


@pytest.mark.parametrize("shift", [0.0, 0.23, -0.31])
@pytest.mark.parametrize("system", ["Ag29-BDT", "R/S-Ag70"])
def test_a_common_shift_is_recovered(system: str, shift: float) -> None:
    nm = [band.nm for band in measured_bands(system)]
    result = compare_bands(spectrum_with(nm, shift), system)
    assert result.shift_ev == pytest.approx(-shift, abs=0.01)
    assert result.n_matched == len(nm)
    assert result.mean_deviation_ev is not None
    assert result.mean_deviation_ev < 0.015
    assert result.warnings == ()
    assert result.chance <= 0.1
    fixed = compare_bands(spectrum_with(nm, shift), system, common_shift=False)
    assert fixed.shift_ev == 0.0
    assert (fixed.mean_deviation_ev or 0.0) >= result.mean_deviation_ev


def test_chance_is_even_for_unrelated_spectra(rng: np.random.Generator) -> None:
    # Spectra with many bands match any list of four somehow: the share of random lists as good must average about half.
    chances = []
    for _ in range(12):
        energy, f = rng.uniform(1.5, 5.5, 14), rng.uniform(0.3, 1.0, 14)
        s = Transitions(energy, f, f, f, f, *[np.zeros((14, 3))] * 3).broaden()
        result = compare_bands(s, "Ag29-BDT")
        assert result.n_matched >= 3
        chances.append(result.chance)
    assert 0.3 < np.mean(chances) < 0.75


def test_shoulders_count() -> None:
    f, zero = np.array([1.0, 0.45]), np.zeros(2)
    moments = [np.zeros((2, 3))] * 3
    s = Transitions(np.array([2.818, 2.818 - 0.22]), f, f, zero, zero, *moments).broaden(fwhm_ev=0.2)
    result = compare_bands(s, "Ag29-BDT", common_shift=False)
    kinds = {entry.measured.nm: entry.computed.kind for entry in result.matches if entry.computed}
    assert kinds == {440: "peak", 515: "shoulder"}


def test_bands_out_of_reach_are_said_to_be_so() -> None:
    s = spectrum_with([350, 532, 655])
    cut = s.energy_ev < 3.0
    s = Spectrum(s.energy_ev[cut], s.epsilon[cut], np.full(int(cut.sum()), np.nan))
    result = compare_bands(s, "Ag33", common_shift=False)
    assert [entry.covered for entry in result.matches] == [False, False, False, True, True]
    assert [entry.computed is not None for entry in result.matches] == [False, False, False, True, True]
    assert result.warnings[0] == "not covered by the spectrum: 340, 520, 350 nm"
    assert "says little" in compare_bands(s, "Ag33").warnings[1]
    data = json.loads(json_text(result.to_dict()))
    assert (data["n_matched"], data["n_measured"]) == (2, 5)
    assert data["matches"][0]["computed"] is None


def test_errors_say_what_is_known() -> None:
    with pytest.raises(OptionError, match=r"'Au25'.*Ag29-BDT"):
        measured_bands("Au25")
    s = spectrum_with([440])
    with pytest.raises(SpectrumError, match="no cd bands"):
        compare_bands(replace(s, delta_epsilon=np.full(len(s), np.nan)), "R/S-Ag70")
