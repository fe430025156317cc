"""Predictions for many files: every structure gives a result or a failure, in order, computed in batches."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from clusterml.errors import ClusterMLError
from clusterml.inference.ensemble import batched
from clusterml.inference.prediction import Prediction
from clusterml.inference.predictor import Predictor, Prepared
from clusterml.inference.thermal import Thermal
from clusterml.spectrum.files import make_folder
from clusterml.stda.inputs import expand
from clusterml.stda.structures import (
    UNEXPECTED,
    Failure,
    Outcome,
    Structure,
    Watch,
    failure,
    outcome,
    read_structures,
)
from clusterml.structure.options import DEFAULT_READING, ReadOptions


@dataclass(frozen=True)
class FileOptions:
    """What is the same for every structure.

    ``charge``, ``thermal``: see :meth:`clusterml.inference.predictor.Predictor.prepare`.  ``reading``: how
    the files are read.  ``output``: folder of the results, None to write none; ``jcamp``: write JCAMP-DX too.
    ``keep_json``: hand the JSON back.
    """

    charge: int | None = None
    thermal: Thermal | None = None
    reading: ReadOptions = DEFAULT_READING
    output: Path | None = None
    jcamp: bool = False
    keep_json: bool = False


_Ready: TypeAlias = tuple[Structure, Prepared]


def predict_files(
    paths: Iterable[str | Path], predictor: Predictor, options: FileOptions, watch: Watch | None = None
) -> Iterator[Outcome | Failure]:
    """Predict every structure in ``paths`` (files and folders), yielding in their order, batch by batch.

    No more structures are in memory than one batch holds.  Raises OutputError for a folder that cannot be made.
    """
    if options.output is not None:
        make_folder(options.output)
    inputs, problems = expand(paths)
    yield from (failure(problem, "") for problem in problems)
    ready = (
        found if isinstance(found, Failure) else _prepared(found, predictor, options)
        for found in read_structures(inputs, options.reading, watch or Watch())
    )
    for batch in batched(ready, _edges, lambda: predictor.ensemble.most_edges):
        yield from _finished(batch, predictor, options)


def _edges(ready: _Ready | Failure) -> int:
    return 0 if isinstance(ready, Failure) else ready[1].edges


def _prepared(structure: Structure, predictor: Predictor, options: FileOptions) -> _Ready | Failure:
    try:
        how: dict[str, Any] = {"allow_several": options.reading.allow_several, "thermal": options.thermal}
        return structure, predictor.prepare(structure.atoms, options.charge, **how)
    except (ClusterMLError, *UNEXPECTED) as error:
        return failure(error, structure.where)


def _finished(
    waiting: list[_Ready | Failure], predictor: Predictor, options: FileOptions
) -> Iterator[Outcome | Failure]:
    """Results of one batch, failures in their place."""
    predictions = iter(_predicted([one for one in waiting if not isinstance(one, Failure)], predictor))
    for one in waiting:
        if isinstance(one, Failure):
            yield one
            continue
        found = next(predictions)
        yield found if isinstance(found, Failure) else _written(found, one[0], options)


def _predicted(ready: list[_Ready], predictor: Predictor) -> list[Prediction | Failure]:
    """The predictions of a batch; where it fails, one by one, so that a bad structure costs only itself."""
    if not ready:
        return []
    try:
        return list(predictor.predict([prepared for _, prepared in ready]))
    except (ClusterMLError, *UNEXPECTED) as error:
        if len(ready) == 1:
            return [failure(error, ready[0][0].where)]
        return [found for one in ready for found in _predicted([one], predictor)]


def _written(prediction: Prediction, structure: Structure, options: FileOptions) -> Outcome | Failure:
    start = time.perf_counter()
    try:
        files: list[Path] = []
        if options.output is not None:
            files = prediction.write(options.output, structure.name, jcamp=options.jcamp)
        text = json.dumps(prediction.to_dict(), allow_nan=False) if options.keep_json else None
    except (ClusterMLError, *UNEXPECTED) as error:
        return failure(error, structure.where)
    seconds = prediction.timings_s["total"] + time.perf_counter() - start
    numbers = prediction.atoms.numbers
    spectrum, warnings = prediction.spectrum, prediction.warnings
    return outcome(
        spectrum,
        numbers,
        prediction.charge,
        structure,
        seconds,
        warnings,
        tuple(files),
        text,
        sign=prediction.significance.words,
        domain=prediction.domain,
    )
