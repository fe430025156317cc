"""The numbers of a spectrum that candidates are judged by, each with its derivatives and its uncertainty.

Errors at neighbouring energies belong together: they are taken to be noise that was broadened like the spectrum.  Noise
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
from clusterml.spectrum.spectrum import Spectrum
from clusterml.training.metrics import G_FLOOR
from clusterml.typing import BoolArray, FloatArray
from clusterml.units import FWHM_PER_SIGMA


def deviation(slopes: FloatArray, std: FloatArray | None, energy_ev: FloatArray, fwhm_ev: float) -> float | None:
    """Standard deviation of a value with ``slopes`` (m,) to a curve of deviations ``std`` (m,) at ``energy_ev`` (m,).

    NaN in ``std`` stands for energies at which nothing absorbs, or no error was measured: they add nothing.  None where
    ``std`` is None, or half of what the value depends on (the squared slopes) has no deviation.
    """
    if std is None:
        return None
    known = np.isfinite(std)
    if 2.0 * float(np.sum(slopes[known] ** 2)) < float(np.sum(slopes**2)):
        return None
    parts = np.where(known, slopes * std, 0.0)
    correlation = _correlation(energy_ev.tobytes(), fwhm_ev)
    return float(np.sqrt(max(float(parts @ correlation @ parts), 0.0)))


@lru_cache(maxsize=4)
def _correlation(energies: bytes, fwhm_ev: float) -> FloatArray:
    """The matrix (m, m) for the energies (float64 as bytes)."""
    energy = np.frombuffer(energies, dtype=np.float64)
    width = fwhm_ev / FWHM_PER_SIGMA
    return np.exp(-((energy[:, None] - energy[None, :]) ** 2) / (4.0 * width**2))


LEAST_OVERLAP = 0.5
"""Share of a target spectrum that must lie on the network's energies."""


@dataclass(frozen=True, eq=False)
class Local:
    """A number of a spectrum, and its derivatives by ``epsilon`` and ``delta_epsilon`` (m,) at every energy."""

    value: float
    by_epsilon: FloatArray
    by_delta_epsilon: FloatArray


Functional = Callable[[Spectrum], Local]
Prepare = Callable[[str, FloatArray], Functional]
"""The functional for a measure's value in the file and spectra on energies (m,)."""


def _in_band(key: str, functional: Callable[[float, float, Spectrum], Local]) -> Prepare:
    return lambda text, energy_ev: partial(functional, *band_of(key, text, energy_ev))


def _at_energy(text: str, energy_ev: FloatArray) -> Functional:
    energy = parse_energy(text)
    _inside("cd_at", text, energy_ev, energy, energy)
    return partial(_cd_at, energy)


def _to_target(quantity: str) -> Prepare:
    return lambda text, energy_ev: partial(_similarity, quantity, *_target(Path(text), quantity, energy_ev))


def _gauge(prepare: Prepare) -> Callable[[str, FloatArray], Gauge]:
    """Of a number of the candidate's spectrum alone."""

    def make(text: str, energy_ev: FloatArray) -> Gauge:
        functional = prepare(text, energy_ev)
        return Gauge(partial(_value, functional), lambda sample: _slope(functional(sample.spectrum)))

    return make


def _change_gauge(text: str, energy_ev: FloatArray) -> Gauge:
    """Errors of two predictions for one cluster cancel for the most part; how much is left is not known."""
    band = band_of("absorption_change", text, energy_ev)

    def change(sample: Sample) -> Local:
        return absorption_change(*band, sample.origin.spectrum(), sample.spectrum)

    return Gauge(lambda sample: Value(change(sample).value), lambda sample: _slope(change(sample)))


def _slope(local: Local) -> Slope:
    return Slope(local.by_epsilon, local.by_delta_epsilon)


def _value(functional: Functional, sample: Sample) -> Value:
    local = functional(sample.spectrum)
    return Value(local.value, _deviation(local, sample))


def _deviation(local: Local, sample: Sample) -> float | None:
    """Of the curves that matter; errors of CD and absorption are taken to be independent."""
    s = sample.spectrum
    curves = ((local.by_epsilon, s.epsilon_std), (local.by_delta_epsilon, s.delta_epsilon_std))
    parts = [deviation(by, std, s.energy_ev, sample.fwhm_ev) for by, std in curves if by.any()]
    if not parts or None in parts:
        return None
    return float(np.linalg.norm(np.array(parts, dtype=np.float64)))


def band_of(key: str, text: str, energy_ev: FloatArray) -> tuple[float, float]:
    """The band (eV) in ``text``, all of ``energy_ev`` (m,) without; raises :class:`OptionError` for one outside."""
    low, high = parse_band(text) if text else (float(energy_ev[0]), float(energy_ev[-1]))
    _inside(key, text, energy_ev, low, high)
    return low, high


def absorption_change(low: float, high: float, before: Spectrum, spectrum: Spectrum) -> Local:
    """Integral of |change| of the absorption since ``before`` from ``low`` to ``high`` (eV), in % of that before.

    Raises :class:`SpectrumError` where there was none.
    """
    weights = band_weights(spectrum.energy_ev, low, high)
    total = float(weights @ before.epsilon)
    if not total > 0.0:
        raise SpectrumError(f"the parent does not absorb from {low:.2f} to {high:.2f} eV", "widen the band")
    change = spectrum.epsilon - before.epsilon
    slopes = 100.0 * weights * np.sign(change) / total
    return Local(float(slopes @ change), slopes, np.zeros_like(slopes))


def _inside(key: str, text: str, energy_ev: FloatArray, low: float, high: float) -> None:
    if low < energy_ev[0] - 1e-9 or high > energy_ev[-1] + 1e-9:
        raise OptionError(
            f"{key} is {text}, which is {low:.2f} to {high:.2f} eV; spectra are {energy_ev[0]:.2f} to "
            f"{energy_ev[-1]:.2f} eV",
            "choose energies inside",
        )


def _integrated_cd(low: float, high: float, spectrum: Spectrum) -> Local:
    return _linear(band_weights(spectrum.energy_ev, low, high), spectrum)


def _cd_at(energy: float, spectrum: Spectrum) -> Local:
    axis = spectrum.energy_ev
    weights = np.zeros(len(axis))
    at = int(np.clip(np.searchsorted(axis, energy) - 1, 0, len(axis) - 2))
    share = (energy - axis[at]) / (axis[at + 1] - axis[at])
    weights[at], weights[at + 1] = 1.0 - share, share
    return _linear(weights, spectrum)


def _linear(weights: FloatArray, spectrum: Spectrum) -> Local:
    return Local(float(weights @ spectrum.delta_epsilon), np.zeros_like(weights), weights)


def _max_g(low: float, high: float, spectrum: Spectrum) -> Local:
    seen = (spectrum.energy_ev >= low - 1e-9) & (spectrum.energy_ev <= high + 1e-9)
    g = np.where(seen, np.abs(spectrum.g_factor(G_FLOOR)), np.nan)
    if np.isnan(g).all():
        raise SpectrumError(f"there is no absorption from {low:.2f} to {high:.2f} eV, and so no g", "widen the band")
    at = int(np.nanargmax(g))
    by_epsilon, by_cd = np.zeros((2, len(g)))
    by_epsilon[at] = -g[at] / spectrum.epsilon[at]
    by_cd[at] = (-1.0 if spectrum.delta_epsilon[at] < 0.0 else 1.0) / spectrum.epsilon[at]
    return Local(float(g[at]), by_epsilon, by_cd)


def _similarity(quantity: str, seen: BoolArray, wanted: FloatArray, spectrum: Spectrum) -> Local:
    """Cosine with g = ``wanted`` (m,) where it is ``seen`` (m,); its slopes to f are (g / |g| - cos f / |f|) / |f|."""
    f = np.where(seen, getattr(spectrum, quantity), 0.0)
    size, unit = float(np.linalg.norm(f)), wanted / np.linalg.norm(wanted)
    none = np.zeros(len(f))
    if size == 0.0:
        return Local(0.0, none, none)
    cosine = float(f @ unit) / size
    slopes = np.where(seen, (unit - cosine * f / size) / size, 0.0)
    return Local(cosine, none, slopes) if quantity == "delta_epsilon" else Local(cosine, slopes, none)


def _target(path: Path, quantity: str, energy_ev: FloatArray) -> tuple[BoolArray, FloatArray]:
    """At which of ``energy_ev`` (m,) the spectrum in a file is known, and what it is there (zero elsewhere)."""
    from clusterml.spectrum.measured import read_spectrum

    found = read_spectrum(path)
    if not (found.has_cd if quantity == "delta_epsilon" else found.has_absorption):
        raise SpectrumError(
            f"{path}: has no {'CD' if quantity == 'delta_epsilon' else 'absorption'}", "give one that has"
        )
    low, high = max(found.energy_ev[0], energy_ev[0]), min(found.energy_ev[-1], energy_ev[-1])
    if high - low < LEAST_OVERLAP * (found.energy_ev[-1] - found.energy_ev[0]):
        raise SpectrumError(
            f"{path}: is {found.energy_ev[0]:.2f} to {found.energy_ev[-1]:.2f} eV; spectra are {energy_ev[0]:.2f} to "
            f"{energy_ev[-1]:.2f} eV",
            f"give a target of which at least {100 * LEAST_OVERLAP:.0f} % lies inside",
        )
    seen = (energy_ev >= low - 1e-9) & (energy_ev <= high + 1e-9)
    if np.count_nonzero(seen) < 2:
        raise SpectrumError(
            f"{path}: is {1e3 * (high - low):.3g} meV wide, less than the spectra's steps", "give a broader target"
        )
    wanted = np.where(seen, np.interp(energy_ev, found.energy_ev, getattr(found, quantity)), 0.0)
    if not wanted.any():
        raise SpectrumError(f"{path}: is zero where spectra are known", "give another target")
    return seen, wanted


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
        "a spectrum's file: cosine of the CD with it, -1 to 1",
        _gauge(_to_target("delta_epsilon")),
        is_file=True,
    ),
    Measure(
        "similar_absorption_to",
        "1",
        0.1,
        "a spectrum's file: cosine of the absorption with it",
        _gauge(_to_target("epsilon")),
        is_file=True,
    ),
    Measure(
        "absorption_change",
        "%",
        1.0,
        "a band: integral of |change| of the absorption from the parent's, in % of the parent's",
        _change_gauge,
        parse_band,
        needs_reference=True,
        goal="minimise",
    ),
)
