"""The numbers of a spectrum that candidates are judged by, each with its derivatives and its uncertainty.

Errors at neighbouring energies are correlated: they are treated as noise that was broadened like the spectrum.  Noise
convolved with a Gaussian of the width fwhm has the correlation exp(-(E - E')^2 / (4 s^2)), s = fwhm / 2.355.  With the
slopes a_i = d value / d y_i the variance is sum_ij a_i d_i c_ij a_j d_j, to first order in the deviations d_i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from clusterml.errors import OptionError, SpectrumError
from clusterml.screening.measures.measure import Gauge, Measure, Sample, Slope, Value
from clusterml.screening.quantities import parse_band, parse_energy
from clusterml.spectrum.curves import band_weights
from clusterml.spectrum.spectrum import G_FLOOR, Spectrum
from clusterml.typing import BoolArray, FloatArray
from clusterml.units import FWHM_PER_SIGMA


def deviation(slopes: FloatArray, std: FloatArray | None, energy_ev: FloatArray, fwhm_ev: float) -> float | None:
    """Standard deviation of a value with ``slopes`` (m,), from the deviations ``std`` (m,) at ``energy_ev`` (m,).

    NaN in ``std`` marks energies at which nothing absorbs or no error was measured: they add nothing.  None where
    ``std`` is None, or where more than half of the squared slopes have no deviation.
    """
    if std is None:
        return None
    has_std = np.isfinite(std)
    if 2.0 * float(np.sum(slopes[has_std] ** 2)) < float(np.sum(slopes**2)):
        return None
    parts = np.where(has_std, slopes * std, 0.0)
    correlation = _correlation(energy_ev.tobytes(), fwhm_ev)
    return float(np.sqrt(max(float(parts @ correlation @ parts), 0.0)))


@lru_cache(maxsize=4)
def _correlation(energies: bytes, fwhm_ev: float) -> FloatArray:
    """The matrix (m, m) for the energies (float64 as bytes)."""
    energy = np.frombuffer(energies, dtype=np.float64)
    width = fwhm_ev / FWHM_PER_SIGMA
    return np.exp(-((energy[:, None] - energy[None, :]) ** 2) / (4.0 * width**2))


LEAST_OVERLAP = 0.5
"""Smallest share of a target spectrum that must lie on the network's energies."""


@dataclass(frozen=True, eq=False)
class Linearisation:
    """A number of a spectrum to first order: its derivatives by ``epsilon`` and ``delta_epsilon`` (m,)."""

    value: float
    by_epsilon: FloatArray
    by_delta_epsilon: FloatArray


Functional = Callable[[Spectrum], Linearisation]
Prepare = Callable[[str, FloatArray], Functional]
"""The functional for a measure's value in the file and spectra on energies (m,)."""


def _in_band(key: str, functional: Callable[[float, float, Spectrum], Linearisation]) -> Prepare:
    return lambda text, energy_ev: partial(functional, *band_of(key, text, energy_ev))


def _at_energy(text: str, energy_ev: FloatArray) -> Functional:
    energy = parse_energy(text)
    _inside("cd_at", text, energy_ev, energy, energy)
    return partial(_cd_at, energy)


def _to_target(quantity: str) -> Prepare:
    return lambda text, energy_ev: partial(_similarity, quantity, *_target(Path(text), quantity, energy_ev))


def _gauge(prepare: Prepare) -> Callable[[str, FloatArray], Gauge]:
    """The gauge of a number that depends on the candidate's spectrum alone."""

    def make(text: str, energy_ev: FloatArray) -> Gauge:
        functional = prepare(text, energy_ev)
        return Gauge(partial(_value, functional), lambda sample: _slope(functional(sample.spectrum)))

    return make


def _change_gauge(text: str, energy_ev: FloatArray) -> Gauge:
    """Without uncertainty: the errors of two predictions for one cluster mostly cancel, to an unknown degree."""
    band = band_of("absorption_change", text, energy_ev)

    def change(sample: Sample) -> Linearisation:
        return absorption_change(*band, sample.origin.spectrum(), sample.spectrum)

    return Gauge(lambda sample: Value(change(sample).value), lambda sample: _slope(change(sample)))


def _slope(local: Linearisation) -> Slope:
    return Slope(local.by_epsilon, local.by_delta_epsilon)


def _value(functional: Functional, sample: Sample) -> Value:
    local = functional(sample.spectrum)
    return Value(local.value, _deviation(local, sample))


def _deviation(local: Linearisation, sample: Sample) -> float | None:
    """Combine the deviations of the curves that matter; errors of CD and absorption count as independent."""
    s = sample.spectrum
    curves = ((local.by_epsilon, s.epsilon_std), (local.by_delta_epsilon, s.delta_epsilon_std))
    parts = [deviation(by, std, s.energy_ev, sample.fwhm_ev) for by, std in curves if by.any()]
    if not parts or None in parts:
        return None
    return float(np.linalg.norm(np.array(parts, dtype=np.float64)))


def band_of(key: str, text: str, energy_ev: FloatArray) -> tuple[float, float]:
    """The band (eV) in ``text``, or all of ``energy_ev`` (m,); raises :class:`OptionError` for a band outside."""
    low, high = parse_band(text) if text else (float(energy_ev[0]), float(energy_ev[-1]))
    _inside(key, text, energy_ev, low, high)
    return low, high


def absorption_change(low: float, high: float, before: Spectrum, spectrum: Spectrum) -> Linearisation:
    """Integral of |change| of the absorption since ``before`` from ``low`` to ``high`` (eV), in % of ``before``.

    Raises :class:`SpectrumError` where ``before`` does not absorb.
    """
    weights = band_weights(spectrum.energy_ev, low, high)
    total = float(weights @ before.epsilon)
    if not total > 0.0:
        raise SpectrumError(f"the parent does not absorb from {low:.2f} to {high:.2f} eV", "widen the band")
    change = spectrum.epsilon - before.epsilon
    slopes = 100.0 * weights * np.sign(change) / total
    return Linearisation(float(slopes @ change), slopes, np.zeros_like(slopes))


def _inside(key: str, text: str, energy_ev: FloatArray, low: float, high: float) -> None:
    if low < energy_ev[0] - 1e-9 or high > energy_ev[-1] + 1e-9:
        raise OptionError(
            f"{key} is {text}, which is {low:.2f} to {high:.2f} eV; spectra cover {energy_ev[0]:.2f} to "
            f"{energy_ev[-1]:.2f} eV",
            "choose energies inside that range",
        )


def _integrated_cd(low: float, high: float, spectrum: Spectrum) -> Linearisation:
    return _linear(band_weights(spectrum.energy_ev, low, high), spectrum)


def _cd_at(energy: float, spectrum: Spectrum) -> Linearisation:
    axis = spectrum.energy_ev
    weights = np.zeros(len(axis))
    at = int(np.clip(np.searchsorted(axis, energy) - 1, 0, len(axis) - 2))
    share = (energy - axis[at]) / (axis[at + 1] - axis[at])
    weights[at], weights[at + 1] = 1.0 - share, share
    return _linear(weights, spectrum)


def _linear(weights: FloatArray, spectrum: Spectrum) -> Linearisation:
    return Linearisation(float(weights @ spectrum.delta_epsilon), np.zeros_like(weights), weights)


def _max_g(low: float, high: float, spectrum: Spectrum) -> Linearisation:
    in_band = (spectrum.energy_ev >= low - 1e-9) & (spectrum.energy_ev <= high + 1e-9)
    g = np.where(in_band, np.abs(spectrum.g_factor(G_FLOOR)), np.nan)
    if np.isnan(g).all():
        raise SpectrumError(f"there is no absorption from {low:.2f} to {high:.2f} eV, and so no g", "widen the band")
    at = int(np.nanargmax(g))
    by_epsilon, by_cd = np.zeros((2, len(g)))
    by_epsilon[at] = -g[at] / spectrum.epsilon[at]
    by_cd[at] = (-1.0 if spectrum.delta_epsilon[at] < 0.0 else 1.0) / spectrum.epsilon[at]
    return Linearisation(float(g[at]), by_epsilon, by_cd)


def _similarity(quantity: str, mask: BoolArray, target: FloatArray, spectrum: Spectrum) -> Linearisation:
    """Cosine with g = ``target`` (m,) where ``mask`` (m,) holds; its slopes by f are (g / |g| - cos f / |f|) / |f|."""
    f = np.where(mask, getattr(spectrum, quantity), 0.0)
    size, unit = float(np.linalg.norm(f)), target / np.linalg.norm(target)
    zeros = np.zeros(len(f))
    if size == 0.0:
        return Linearisation(0.0, zeros, zeros)
    cosine = float(f @ unit) / size
    slopes = np.where(mask, (unit - cosine * f / size) / size, 0.0)
    return Linearisation(cosine, zeros, slopes) if quantity == "delta_epsilon" else Linearisation(cosine, slopes, zeros)


def _target(path: Path, quantity: str, energy_ev: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Where on ``energy_ev`` (m,) the spectrum of a file is known, and its values there (zero elsewhere)."""
    from clusterml.spectrum.measured import read_spectrum

    spectrum = read_spectrum(path)
    if not (spectrum.has_cd if quantity == "delta_epsilon" else spectrum.has_absorption):
        raise SpectrumError(
            f"{path}: has no {'CD' if quantity == 'delta_epsilon' else 'absorption'}", "give a file that has"
        )
    low, high = max(spectrum.energy_ev[0], energy_ev[0]), min(spectrum.energy_ev[-1], energy_ev[-1])
    if high - low < LEAST_OVERLAP * (spectrum.energy_ev[-1] - spectrum.energy_ev[0]):
        raise SpectrumError(
            f"{path}: covers {spectrum.energy_ev[0]:.2f} to {spectrum.energy_ev[-1]:.2f} eV; spectra cover "
            f"{energy_ev[0]:.2f} to {energy_ev[-1]:.2f} eV",
            f"give a target of which at least {100 * LEAST_OVERLAP:.0f} % lies inside",
        )
    mask = (energy_ev >= low - 1e-9) & (energy_ev <= high + 1e-9)
    if np.count_nonzero(mask) < 2:
        raise SpectrumError(
            f"{path}: is {1e3 * (high - low):.3g} meV wide, less than a step of the spectra", "give a broader target"
        )
    target = np.where(mask, np.interp(energy_ev, spectrum.energy_ev, getattr(spectrum, quantity)), 0.0)
    if not target.any():
        raise SpectrumError(f"{path}: is zero where spectra are known", "give another target")
    return mask, target


MEASURES = (
    Measure(
        "max_g", "1", 1e-3, "a band, 2..3 eV: the largest |g| in it", _gauge(_in_band("max_g", _max_g)), parse_band
    ),
    Measure(
        "cd_at",
        "L mol-1 cm-1",
        10.0,
        "an energy, 450 nm or 2.7 eV: delta epsilon there, signed",
        _gauge(_at_energy),
        parse_energy,
    ),
    Measure(
        "integrated_cd",
        "L mol-1 cm-1 eV",
        10.0,
        "a band: integral of delta epsilon over it, signed",
        _gauge(_in_band("integrated_cd", _integrated_cd)),
        parse_band,
    ),
    Measure(
        "similar_to",
        "1",
        0.1,
        "the file of a spectrum: cosine of the CD with it, -1 to 1",
        _gauge(_to_target("delta_epsilon")),
        is_file=True,
    ),
    Measure(
        "similar_absorption_to",
        "1",
        0.1,
        "the file of a spectrum: cosine of the absorption with it",
        _gauge(_to_target("epsilon")),
        is_file=True,
    ),
    Measure(
        "absorption_change",
        "%",
        1.0,
        "a band: integral of |change of the absorption relative to the parent|, in % of the parent's absorption",
        _change_gauge,
        parse_band,
        needs_reference=True,
        goal="minimise",
    ),
)
