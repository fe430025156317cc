"""The numbers that candidates are judged by: each from a spectrum, a geometry, or both, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clusterml.errors import OptionError, SpectrumError
from clusterml.screening.lines import FILES
from clusterml.screening.quantities import parse_band, parse_energy
from clusterml.screening.strain import elastic_strain, gfn1_strain
from clusterml.screening.uncertainty import deviation
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.prediction import PredictedChirality

LEAST_OVERLAP = 0.5
"""Share of a target spectrum that must lie on the network's energies."""


class Origin(Protocol):
    """Where a candidate comes from."""

    def spectrum(self) -> Spectrum:
        """The parent's own spectrum, from the same source as the candidate's."""
        ...

    def rest(self) -> Atoms:
        """The same atoms, undistorted."""
        ...


@dataclass(frozen=True)
class Sample:
    """A candidate with its spectrum; ``chirality``: the network's, None where the engine made the spectrum."""

    atoms: Atoms
    charge: int
    spectrum: Spectrum
    fwhm_ev: float
    origin: Origin
    chirality: PredictedChirality | None = None


@dataclass(frozen=True)
class Value:
    """A number and its standard deviation (None: not known)."""

    value: float
    std: float | None = None


Measure = Callable[[Sample], Value]


def make_measure(key: str, text: str, energy_ev: FloatArray) -> Measure:
    """The measure ``key`` with the value ``text`` of its line, for spectra on ``energy_ev`` (m,).

    Raises :class:`OptionError` for energies outside, :class:`SpectrumError` for a target spectrum outside, and what
    reading the target raises.
    """
    if key in ("max_g", "integrated_cd", "absorption_change"):
        low, high = parse_band(text) if text else (float(energy_ev[0]), float(energy_ev[-1]))
        _inside(key, text, energy_ev, low, high)
        function = {"max_g": _max_g, "integrated_cd": _integrated_cd, "absorption_change": _absorption_change}[key]
        return partial(function, low, high)
    if key == "cd_at":
        energy = parse_energy(text)
        _inside(key, text, energy_ev, energy, energy)
        return partial(_cd_at, energy)
    if key in FILES:
        quantity = "delta_epsilon" if key == "similar_to" else "epsilon"
        return partial(_similarity, quantity, _target(Path(text), quantity, energy_ev))
    if key == "strain":
        return _elastic if text == "elastic" else _gfn1
    return partial(_chirality, key, text == "predicted")


def _inside(key: str, text: str, energy_ev: FloatArray, low: float, high: float) -> None:
    if low < energy_ev[0] - 1e-9 or high > energy_ev[-1] + 1e-9:
        raise OptionError(
            f"{key} is {text}, which is {low:.2f} to {high:.2f} eV; spectra are {energy_ev[0]:.2f} to "
            f"{energy_ev[-1]:.2f} eV",
            "choose energies inside",
        )


def _window(spectrum: Spectrum, low: float, high: float) -> FloatArray:
    """Weights (m,) of the trapezoidal rule over ``low`` to ``high`` (eV), the curve being straight between points."""
    energy = spectrum.energy_ev
    edges = np.clip(energy, low, high)
    left, right = edges[:-1], edges[1:]
    step = energy[1:] - energy[:-1]
    middle = 0.5 * (left + right)
    share = (middle - energy[:-1]) / step
    weights = np.zeros(len(energy))
    weights[:-1] += (right - left) * (1.0 - share)
    weights[1:] += (right - left) * share
    return weights


def _integrated_cd(low: float, high: float, sample: Sample) -> Value:
    weights = _window(sample.spectrum, low, high)
    return _linear(weights, sample)


def _cd_at(energy: float, sample: Sample) -> Value:
    axis = sample.spectrum.energy_ev
    weights = np.zeros(len(axis))
    at = int(np.clip(np.searchsorted(axis, energy) - 1, 0, len(axis) - 2))
    share = (energy - axis[at]) / (axis[at + 1] - axis[at])
    weights[at], weights[at + 1] = 1.0 - share, share
    return _linear(weights, sample)


def _linear(weights: FloatArray, sample: Sample) -> Value:
    s = sample.spectrum
    value = float(weights @ s.delta_epsilon)
    return Value(value, deviation(weights, s.delta_epsilon_std, s.energy_ev, sample.fwhm_ev))


def _max_g(low: float, high: float, sample: Sample) -> Value:
    s = sample.spectrum
    seen = (s.energy_ev >= low - 1e-9) & (s.energy_ev <= high + 1e-9)
    g = np.where(seen, np.abs(s.g_abs), np.nan)
    if np.isnan(g).all():
        raise SpectrumError(f"there is no absorption from {low:.2f} to {high:.2f} eV, and so no g", "widen the band")
    at = int(np.nanargmax(g))
    value, std = float(g[at]), None
    if s.delta_epsilon_std is not None and s.epsilon_std is not None:
        # errors of CD and absorption are taken to be independent
        std = float(np.hypot(s.delta_epsilon_std[at], value * s.epsilon_std[at]) / s.epsilon[at])
    return Value(value, std)


def _absorption_change(low: float, high: float, sample: Sample) -> Value:
    """Errors of two predictions for one cluster cancel for the most part; how much is left is not known."""
    s, before = sample.spectrum, sample.origin.spectrum()
    weights = _window(s, low, high)
    total = float(weights @ before.epsilon)
    if not total > 0.0:
        raise SpectrumError(f"the parent does not absorb from {low:.2f} to {high:.2f} eV", "widen the band")
    return Value(100.0 * float(weights @ np.abs(s.epsilon - before.epsilon)) / total)


def _similarity(quantity: str, target: Spectrum, sample: Sample) -> Value:
    """Cosine over the energies of the target; its slopes to f are (g / |g| - cos f / |f|) / |f|."""
    s = sample.spectrum
    seen = (s.energy_ev >= target.energy_ev[0] - 1e-9) & (s.energy_ev <= target.energy_ev[-1] + 1e-9)
    f = np.where(seen, getattr(s, quantity), 0.0)
    g = np.where(seen, np.interp(s.energy_ev, target.energy_ev, getattr(target, quantity)), 0.0)
    size, wanted = float(np.linalg.norm(f)), float(np.linalg.norm(g))
    if size == 0.0:
        return Value(0.0)
    cosine = float(f @ g) / (size * wanted)
    slopes = np.where(seen, (g / wanted - cosine * f / size) / size, 0.0)
    return Value(cosine, deviation(slopes, getattr(s, f"{quantity}_std"), s.energy_ev, sample.fwhm_ev))


def _target(path: Path, quantity: str, energy_ev: FloatArray) -> Spectrum:
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
    inside = (found.energy_ev >= low) & (found.energy_ev <= high)
    if not np.abs(getattr(found, quantity)[inside]).max(initial=0.0) > 0.0:
        raise SpectrumError(f"{path}: is zero where spectra are known", "give another target")
    return found


def _elastic(sample: Sample) -> Value:
    return Value(elastic_strain(sample.atoms, sample.origin.rest()))


def _gfn1(sample: Sample) -> Value:
    return Value(gfn1_strain(sample.atoms, sample.origin.rest(), sample.charge))


def _chirality(key: str, predicted: bool, sample: Sample) -> Value:
    """The network's number, or that of the geometry; a labelled sample always has that of the geometry."""
    if predicted and sample.chirality is not None:
        return Value(sample.chirality.opd_local_frame if key == "opd" else sample.chirality.ccm_frame)
    from clusterml.screening.geometric import ccm_frame, opd_local_frame

    return Value((opd_local_frame if key == "opd" else ccm_frame)(sample.atoms))
