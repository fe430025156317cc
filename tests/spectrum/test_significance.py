"""Is the sign of the strongest CD band sure?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from clusterml.spectrum.significance import Significance, judge_sign, significance
from clusterml.spectrum.spectrum import Spectrum

ENERGY = np.linspace(1.0, 5.0, 201)


def two_bands(std: float | None) -> Spectrum:
    """CD of +10 at 2 eV and -20 at 4 eV with the same standard deviation everywhere."""
    cd = 10.0 * np.exp(-(((ENERGY - 2.0) / 0.2) ** 2)) - 20.0 * np.exp(-(((ENERGY - 4.0) / 0.2) ** 2))
    return Spectrum(ENERGY, 1e4 * np.ones(201), cd, None, None if std is None else np.full(201, std))


@pytest.mark.parametrize(
    ("std", "verdict", "probability", "words"),
    [
        (10.0, "significant", 0.97725, "as the engine: 97 %"),  # two standard deviations
        (20.0, "not significant", 0.84134, "not significant"),
        (2.0, "significant", 1.0, "as the engine: > 99.9 %"),
        (0.0, "significant", 1.0, "as the engine: > 99.9 %"),
        (None, "unknown", None, "unknown"),
    ],
)
def test_the_strongest_band_decides(std, verdict, probability, words):
    result = significance(two_bands(std))
    assert (result.verdict, result.words) == (verdict, words)
    assert result.energy_ev == pytest.approx(4.0, abs=1e-3)
    assert result.height == pytest.approx(-20.0, rel=1e-3)
    assert result.sign_probability == (None if probability is None else pytest.approx(probability, abs=1e-4))
    assert result.std == (None if std is None else pytest.approx(std))


def test_the_strongest_band_has_an_error_of_its_own():
    result = significance(two_bands(10.0), sign_error=2.0)
    assert (result.verdict, result.std) == ("not significant", pytest.approx(10.0))
    assert result.sign_probability == pytest.approx(0.84134, abs=1e-4)  # one error of 20
    assert significance(two_bands(5.0), sign_error=2.0).words == "as the engine: 97 %"


def test_no_standard_deviation_holds_out_of_domain():
    result = significance(two_bands(2.0), trusted=False)
    assert (result.verdict, result.std, result.sign_probability) == ("unknown", None, None)
    assert result.sentence == "strongest CD -20 at 310 nm, significance unknown"
    assert result.to_dict()["sentence"] == result.sentence


def test_a_standard_deviation_that_is_nan_at_the_band_is_unknown():
    std = np.full(201, 1.0)
    std[140:160] = np.nan  # 3.8 to 4.2 eV
    assert significance(replace(two_bands(None), delta_epsilon_std=std)).verdict == "unknown"
    std = np.where(ENERGY < 3.0, np.nan, 1.0)
    assert significance(replace(two_bands(None), delta_epsilon_std=std)).verdict == "significant"


def test_rounding_is_no_cd():
    achiral = replace(two_bands(1e-6), delta_epsilon=5e-3 * np.sin(ENERGY))  # g = 5e-7
    assert significance(achiral) == Significance("no CD")
    assert significance(replace(achiral, delta_epsilon=2e-1 * np.sin(4.0 * ENERGY))).verdict == "significant"
    assert significance(Spectrum(ENERGY, np.ones(201), np.full(201, math.nan))).verdict == "no CD"


def test_a_cd_without_a_band_counts_where_it_is_largest():
    rising = replace(two_bands(1.0), delta_epsilon=ENERGY)
    result = significance(rising)
    assert (result.energy_ev, result.height, result.verdict) == (5.0, 5.0, "significant")


def test_single_values():
    assert judge_sign(1.0, None) == judge_sign(1.0, math.nan) == ("unknown", None)
    assert judge_sign(-1.65, 1.0) == ("significant", pytest.approx(0.95053, abs=1e-5))
    assert judge_sign(1.6, 1.0) == ("not significant", pytest.approx(0.94520, abs=1e-5))
    assert judge_sign(0.0, 0.0) == ("not significant", 0.5)
