"""The numbers of a geometry that candidates are judged by: chirality of the frame, and strain."""

from __future__ import annotations

from collections.abc import Callable

from clusterml.chirality.part import FrameChirality
from clusterml.screening.measures.measure import Gauge, Measure, Sample, Slope, Value
from clusterml.screening.strain import elastic_slope, elastic_strain, gfn1_strain
from clusterml.typing import FloatArray


def _chirality(key: str) -> Callable[[str, FloatArray], Gauge]:
    """The predicted number, or that of the geometry; a labelled sample always has that of the geometry."""

    def value(predicted: bool, sample: Sample) -> Value:
        if predicted and sample.chirality is not None:
            return Value(sample.chirality.opd_local_frame if key == "opd" else sample.chirality.ccm_frame)
        frame = FrameChirality(sample.atoms)
        return Value(frame.opd_local if key == "opd" else frame.ccm)

    return lambda text, energy_ev: Gauge(lambda sample: value(text == "predicted", sample))


def _strain(text: str, energy_ev: FloatArray) -> Gauge:
    if text == "elastic":
        return Gauge(
            lambda sample: Value(elastic_strain(sample.atoms, sample.origin.rest())),
            lambda sample: Slope(by_positions=elastic_slope(sample.atoms, sample.origin.rest())),
        )
    return Gauge(lambda sample: Value(gfn1_strain(sample.atoms, sample.origin.rest(), sample.charge)))


MEASURES = (
    Measure(
        "ccm",
        "1",
        0.1,
        "predicted or measured: continuous chirality measure of metals and donors, 0 to 100",
        _chirality("ccm"),
        choices=("predicted", "measured"),
    ),
    Measure(
        "opd",
        "1",
        1e-3,
        "predicted or measured: signed local chirality index of metals and donors",
        _chirality("opd"),
        choices=("predicted", "measured"),
    ),
    Measure(
        "strain",
        "eV",
        1.0,
        "elastic or gfn1: energy above that of the undistorted shell, eV",
        _strain,
        choices=("elastic", "gfn1"),
        needs_reference=True,
        goal="minimise",
    ),
)
