"""The numbers of a spectrum that candidates are judged by, each with its derivatives by the two curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from clusterml.errors import OptionError, SpectrumError
from clusterml.screening.lines import FILES
from clusterml.screening.quantities import parse_band, parse_energy
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.window import band_weights
from clusterml.training.metrics import G_FLOOR
from clusterml.typing import BoolArray, FloatArray

LEAST_OVERLAP = 0.5
"""Share of a target spectrum that must lie on the network's energies."""
SPECTRAL = ("max_g", "cd_at", "integrated_cd", *FILES)
"""Measures of one spectrum alone."""


@dataclass(frozen=True, eq=False)
class Local:
    """A number of a spectrum, and its derivatives by ``epsilon`` and ``delta_epsilon`` (m,) at every energy."""

    value: float
    by_epsilon: FloatArray
    by_delta_epsilon: FloatArray


Functional = Callable[[Spectrum], Local]


def make_functional(key: str, text: str, energy_ev: FloatArray) -> Functional:
    """The functional of the measure ``key`` (of :data:`SPECTRAL`) with the value ``text``, on ``energy_ev`` (m,).

    Raises :class:`OptionError` for energies outside, :class:`SpectrumError` for a target spectrum outside, and what
    reading the target raises.
    """
    if key in ("max_g", "integrated_cd"):
        return partial(_max_g if key == "max_g" else _integrated_cd, *band_of(key, text, energy_ev))
    if key == "cd_at":
        energy = parse_energy(text)
        _inside(key, text, energy_ev, energy, energy)
        return partial(_cd_at, energy)
    quantity = "delta_epsilon" if key == "similar_to" else "epsilon"
    return partial(_similarity, quantity, *_target(Path(text), quantity, energy_ev))


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
