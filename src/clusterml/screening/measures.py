"""The numbers that candidates are judged by: each from a spectrum, a geometry, or both, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clusterml.errors import SpectrumError
from clusterml.screening.functionals import SPECTRAL, Functional, Local, absorption_change, band_of, make_functional
from clusterml.screening.strain import elastic_strain, gfn1_strain
from clusterml.screening.uncertainty import deviation
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.prediction import PredictedChirality


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


def measured(measures: Sequence[Measure], sample: Sample) -> tuple[Value, ...]:
    """What each of the ``measures`` says of a sample.

    Raises :class:`SpectrumError` for a number that is not finite, and what the measures raise.
    """
    values = tuple(measure(sample) for measure in measures)
    if not all(math.isfinite(number) for each in values for number in (each.value, each.std or 0.0)):
        raise SpectrumError("a measure is not a finite number", "check the geometry and the model")
    return values


def make_measure(key: str, text: str, energy_ev: FloatArray) -> Measure:
    """The measure ``key`` with the value ``text`` of its line, for spectra on ``energy_ev`` (m,).

    Raises what :func:`clusterml.screening.functionals.make_functional` raises.
    """
    if key in SPECTRAL:
        return partial(_spectral, make_functional(key, text, energy_ev))
    if key == "absorption_change":
        return partial(_absorption_change, *band_of(key, text, energy_ev))
    if key == "strain":
        return _elastic if text == "elastic" else _gfn1
    return partial(_chirality, key, text == "predicted")


def _spectral(functional: Functional, sample: Sample) -> Value:
    found = functional(sample.spectrum)
    return Value(found.value, _deviation(found, sample))


def _deviation(found: Local, sample: Sample) -> float | None:
    """Of the curves that matter; errors of CD and absorption are taken to be independent."""
    s = sample.spectrum
    curves = ((found.by_epsilon, s.epsilon_std), (found.by_delta_epsilon, s.delta_epsilon_std))
    parts = [deviation(by, std, s.energy_ev, sample.fwhm_ev) for by, std in curves if by.any()]
    if not parts or None in parts:
        return None
    return float(np.linalg.norm(np.array(parts, dtype=np.float64)))


def _absorption_change(low: float, high: float, sample: Sample) -> Value:
    """Errors of two predictions for one cluster cancel for the most part; how much is left is not known."""
    return Value(absorption_change(low, high, sample.origin.spectrum(), sample.spectrum).value)


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
