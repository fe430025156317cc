"""The definition of a measure, its name, unit, step, values in a screen and computation, and all measures there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, Protocol

from clusterml.config.registry import Registry
from clusterml.config.usercode import guarded
from clusterml.errors import SpectrumError
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import PredictedChirality


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
    """A candidate with its spectrum; ``chirality`` as predicted, None where the engine made the spectrum."""

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


@dataclass(frozen=True, eq=False)
class Slope:
    """Derivatives of a number by ``epsilon`` and ``delta_epsilon`` (m,) and by the positions (n, 3); None is zero."""

    by_epsilon: FloatArray | None = None
    by_delta_epsilon: FloatArray | None = None
    by_positions: FloatArray | None = None


@dataclass(frozen=True)
class Gauge:
    """A measure prepared for a line of a screen: its ``value`` and, where it has one, its ``slope``."""

    value: Callable[[Sample], Value]
    slope: Callable[[Sample], Slope] | None = None


def accept(text: str) -> object:
    """Accept any text as the value of a measure; errors appear when it is used."""
    return text


@dataclass(frozen=True)
class Measure:
    """A kind of number.

    ``key``: its name in a screen's file; ``unit``; ``step``: the change that counts 1 in the score; ``means``: the
    meaning of its value in the file, for people; ``parse`` raises ValueError for a wrong value; ``gauge`` prepares it
    for a value and for spectra on energies (m,) in eV, and raises typed errors.  ``choices``: the only possible values;
    ``is_file``: the value is a path; ``needs_reference``: it compares with a candidate's origin; ``goal``: the default
    goal; ``package``: name and version of the package that provides it, empty for our own.
    """

    key: str
    unit: str
    step: float
    means: str
    gauge: Callable[[str, FloatArray], Gauge]
    parse: Callable[[str], object] = accept
    choices: tuple[str, ...] = ()
    is_file: bool = False
    needs_reference: bool = False
    goal: Literal["maximise", "minimise"] = "maximise"
    package: str = ""


def _adopt(measure: Measure, origin: str) -> Measure:
    """Adopt a measure of the package ``origin``; its mistakes become typed errors that name it."""
    name = f"measure {measure.key} ({origin})"

    def gauge(text: str, energy_ev: FloatArray) -> Gauge:
        ready: Gauge = guarded(measure.gauge, name, Gauge)(text, energy_ev)
        return Gauge(guarded(ready.value, name, Value), ready.slope and guarded(ready.slope, name, Slope))

    return replace(measure, gauge=gauge, package=origin)


REGISTRY: Registry[Measure] = Registry(
    "measures",
    Measure,
    "clusterml.screening.measures",
    name=attrgetter("key"),
    order=None,
    adopt=_adopt,
)
"""The measures that are keys of a line of a screen."""


def measures() -> dict[str, Measure]:
    """Every measure by its key."""
    return {measure.key: measure for measure in REGISTRY.all()}


def measure_sample(gauges: Sequence[Gauge], sample: Sample) -> tuple[Value, ...]:
    """Measure a sample with each of the ``gauges``.

    Raises :class:`SpectrumError` for a number that is not finite, and what the gauges raise.
    """
    values = tuple(gauge.value(sample) for gauge in gauges)
    if not all(math.isfinite(number) for value in values for number in (value.value, value.std or 0.0)):
        raise SpectrumError("a measure is not a finite number", "check the geometry and the model")
    return values
