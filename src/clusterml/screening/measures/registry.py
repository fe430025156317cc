"""The registry of measures: those of the modules beside this one, and those of installed packages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from clusterml.config.registry import Registry
from clusterml.config.usercode import guarded
from clusterml.errors import SpectrumError
from clusterml.screening.measures.measure import Gauge, Measure, Sample, Slope, Value
from clusterml.typing import FloatArray


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
