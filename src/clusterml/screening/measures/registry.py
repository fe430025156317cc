"""The registry of measures: those of the modules beside this one, and those of installed packages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from clusterml.config.registry import Registry
from clusterml.config.usercode import Guard
from clusterml.errors import SpectrumError
from clusterml.screening.measures.measure import Gauge, Measure, Sample, Slope, Value
from clusterml.typing import FloatArray

R = TypeVar("R", Value, Slope)


def _adopt(measure: Measure, origin: str) -> Measure:
    """Adopt a measure of the package ``origin``; its mistakes become typed errors that name it."""
    name = f"measure {measure.key} ({origin})"

    def gauge(text: str, energy_ev: FloatArray) -> Gauge:
        with Guard(name, typed=True):
            ready = measure.gauge(text, energy_ev)
            value, slope = ready.value, ready.slope
        return Gauge(_guard(name, value, Value), None if slope is None else _guard(name, slope, Slope))

    return replace(measure, gauge=gauge, package=origin)


def _guard(name: str, function: Callable[[Sample], Any], kind: type[R]) -> Callable[[Sample], R]:
    """``function``, which must return a ``kind``."""

    def call(sample: Sample) -> R:
        with Guard(name, typed=True):
            result = function(sample)
            if not isinstance(result, kind):
                raise TypeError(f"gives {type(result).__name__} instead of {kind.__name__}")
        return result

    return call


REGISTRY: Registry[Measure] = Registry(
    what="measure",
    kind=Measure,
    package="clusterml.screening.measures",
    attribute="MEASURES",
    group="clusterml.measures",
    name=lambda measure: measure.key,
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
