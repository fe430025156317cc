"""Spectra of many files: every structure gives a result or a failure, in order, predicted in batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from clusterml.batch.inputs import expand
from clusterml.batch.resume import finished, mark
from clusterml.batch.structures import (
    Count,
    Failure,
    Finished,
    Outcome,
    Result,
    Structure,
    failure,
    outcome,
    read_structures,
)
from clusterml.engine.protocol import RESULTS
from clusterml.errors import UNEXPECTED, ClusterMLError, OutsideNetworkError
from clusterml.inference.predict import Engine, EngineOptions, note_cost
from clusterml.io.files import make_folder
from clusterml.run.progress import SILENT, Reporter
from clusterml.spectrum.view import WHOLE, View
from clusterml.structure.options import DEFAULT_READING, ReadOptions

if TYPE_CHECKING:
    from clusterml.engine.protocol import ThermalEnsemble
    from clusterml.inference.answer import Answer, Prediction
    from clusterml.inference.predictor import Predictor
    from clusterml.inference.preparation import PreparedStructure


@dataclass(frozen=True)
class FileOptions:
    """What is the same for every structure.

    ``charge``, ``thermal``: see :meth:`clusterml.inference.predictor.Predictor.prepare`.  ``reading``: how
    the files are read.  ``output``: folder of the results, None to write none; ``jcamp``: write JCAMP-DX too.
    ``view``: what the pictures show.  ``keep_json``: hand the JSON back.  ``engine``: when the engine computes instead.
    ``resume``: leave out structures whose results are in ``output`` and would be made again.
    """

    charge: int | None = None
    thermal: ThermalEnsemble | None = None
    reading: ReadOptions = DEFAULT_READING
    output: Path | None = None
    jcamp: bool = False
    view: View = WHOLE
    keep_json: bool = False
    engine: EngineOptions = field(default_factory=EngineOptions)
    resume: bool = False

    def settings(self, predictor: Predictor) -> dict[str, Any]:
        """What determines the files of a structure, apart from itself, as values that JSON can hold."""
        return {
            "results": RESULTS,
            "model": [predictor.name, predictor.provenance.get("spec_sha256"), predictor.fwhm_ev],
            "uncertainty": None if predictor.uncertainty is None else predictor.uncertainty.to_dict(),
            "charge": self.charge,
            "thermal": None if self.thermal is None else self.thermal.to_dict(),
            "engine": asdict(self.engine),
            "jcamp": self.jcamp,
            "view": asdict(self.view),
        }


_Ready: TypeAlias = "tuple[Structure, PreparedStructure]"


@dataclass(frozen=True)
class _Refused:
    """A structure that the network does not take in."""

    structure: Structure
    error: OutsideNetworkError


def predict_files(
    paths: Iterable[str | Path], load: Callable[[], Predictor], options: FileOptions, reporter: Reporter = SILENT
) -> Iterator[Result]:
    """The spectrum of every structure in ``paths`` (files and folders), yielding in their order, batch by batch.

    ``load`` gives the predictor once a structure was read.  No more structures are in memory than one batch holds.
    Raises OutputError for a folder that cannot be made, and once it takes no more results, and what ``load`` raises.
    """
    if options.output is not None:
        make_folder(options.output)
    inputs, problems = expand(paths)
    yield from (failure(problem, "") for problem in problems)
    count = Count("predict", inputs, reporter)
    for result in _results(read_structures(inputs, options.reading, count), load, options, count):
        count.finish()
        yield result


def _results(
    structures: Iterator[Structure | Failure], load: Callable[[], Predictor], options: FileOptions, reporter: Reporter
) -> Iterator[Result]:
    for first in structures:
        if not isinstance(first, Failure):
            yield from _spectra(chain([first], structures), load(), options, reporter)
            return
        yield first


def _spectra(
    structures: Iterable[Structure | Failure], predictor: Predictor, options: FileOptions, reporter: Reporter
) -> Iterator[Result]:
    from clusterml.inference.ensemble import in_batches

    options.view.check(float(predictor.energy_ev[0]), float(predictor.energy_ev[-1]))
    engine, settings = Engine(options.engine, predictor, reporter), options.settings(predictor)
    ready = (
        structure if isinstance(structure, Failure) else _prepared(structure, predictor, options, settings, reporter)
        for structure in structures
    )
    for batch in in_batches(ready, _edges, lambda: predictor.ensemble.most_edges):
        predictions = iter(_predicted([item for item in batch if isinstance(item, tuple)], predictor))
        for item in batch:
            if isinstance(item, Finished | Failure):
                yield item
            elif isinstance(item, _Refused):
                yield _computed(item.structure, item.error, engine, options)
            else:
                yield _computed(item[0], next(predictions), engine, options)


def _edges(ready: _Ready | _Refused | Finished | Failure) -> int:
    return ready[1].edges if isinstance(ready, tuple) else 0


def _prepared(
    structure: Structure, predictor: Predictor, options: FileOptions, settings: dict[str, Any], reporter: Reporter
) -> _Ready | _Refused | Finished | Failure:
    mark(structure.atoms, settings)
    if options.resume and (kept := finished(structure.atoms, structure, options.output, options.keep_json)):
        return kept
    try:
        note_cost(predictor, structure.atoms, options.thermal, structure.name, reporter)
        prepared = predictor.prepare(
            structure.atoms,
            options.charge,
            allow_several=options.reading.allow_several,
            thermal=options.thermal,
            check_charge=True,
            progress=lambda words: reporter.note(f"{structure.name}: network, {words}"),
        )
        return structure, prepared
    except OutsideNetworkError as error:
        return _Refused(structure, error)
    except (ClusterMLError, *UNEXPECTED) as error:
        return failure(error, structure.where)


def _predicted(ready: list[_Ready], predictor: Predictor) -> list[Prediction | Failure]:
    """The predictions of a batch; where it fails, one by one, so that a bad structure costs only itself."""
    if not ready:
        return []
    try:
        return list(predictor.predict([prepared for _, prepared in ready]))
    except (ClusterMLError, *UNEXPECTED) as error:
        if len(ready) == 1:
            return [failure(error, ready[0][0].where)]
        return [result for item in ready for result in _predicted([item], predictor)]


def _computed(
    structure: Structure, network: Prediction | OutsideNetworkError | Failure, engine: Engine, options: FileOptions
) -> Outcome | Failure:
    """What the network says, or the engine instead; written."""
    if isinstance(network, Failure):
        return network
    start = time.perf_counter()
    try:
        if isinstance(network, OutsideNetworkError):
            answer = engine.answer_alone(structure.atoms, options.charge, network, structure.name)
        else:
            start -= network.timings_s["total"]
            answer = engine.answer(network, options.charge, structure.name)
        return _written(answer, structure, options, start)
    except (ClusterMLError, *UNEXPECTED) as error:
        return failure(error, structure.where)


def _written(answer: Answer, structure: Structure, options: FileOptions, start: float) -> Outcome:
    """The files of an answer, and what the summary shows of it; ``start``: when the clock began."""
    files: list[Path] = []
    if options.output is not None:
        files = answer.write(options.output, structure.name, jcamp=options.jcamp, view=options.view)
    return outcome(
        answer.spectrum,
        answer.atoms.numbers,
        answer.charge,
        structure,
        time.perf_counter() - start,
        answer.warnings,
        tuple(files),
        json.dumps(answer.to_dict(), allow_nan=False) if options.keep_json else None,
        sign=answer.significance.words,
        domain=answer.place,
        computed_by=answer.source,
        reason=answer.reason,
        worth=answer.reliability.agreement,
        supported=answer.reliability.supported,
    )
