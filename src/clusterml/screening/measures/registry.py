"""Every measure by its name; a new one is written in one place and listed here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clusterml.errors import SpectrumError
from clusterml.screening.measures.geometry import CCM, OPD, STRAIN
from clusterml.screening.measures.measure import Gauge, Measure, Sample, Value
from clusterml.screening.measures.spectral import (
    ABSORPTION_CHANGE,
    CD_AT,
    INTEGRATED_CD,
    MAX_G,
    SIMILAR_ABSORPTION_TO,
    SIMILAR_TO,
)

MEASURES: dict[str, Measure] = {
    measure.key: measure
    for measure in (
        MAX_G,
        CD_AT,
        INTEGRATED_CD,
        SIMILAR_TO,
        SIMILAR_ABSORPTION_TO,
        ABSORPTION_CHANGE,
        CCM,
        OPD,
        STRAIN,
    )
}
"""The measures that are keys of a line of a screen."""


def measured(gauges: Sequence[Gauge], sample: Sample) -> tuple[Value, ...]:
    """What each of the ``gauges`` says of a sample.

    Raises :class:`SpectrumError` for a number that is not finite, and what the gauges raise.
    """
    values = tuple(gauge.value(sample) for gauge in gauges)
    if not all(math.isfinite(number) for each in values for number in (each.value, each.std or 0.0)):
        raise SpectrumError("a measure is not a finite number", "check the geometry and the model")
    return values
