"""A job in a process of its own: the request is read from its folder, the result or the problem is written there."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import UNEXPECTED, ClusterMLError
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import read_json, write_json
from clusterml.run.launcher import Here
from clusterml.run.progress import Reporter, State
from clusterml.server import refusals
from clusterml.server.jobs import INPUT, PROBLEM, PROGRESS, REQUEST, RESULT, RESULTS
from clusterml.server.processes import begin, next_work
from clusterml.server.refusals import Discretion, problem_of, raised_from

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from clusterml.batch.structures import Failure
    from clusterml.engine.protocol import Compute

_SECONDS_BETWEEN = 0.3
"""Between two notes of the progress."""


@dataclass(frozen=True)
class Tools:
    """What jobs are computed with: ``threads`` of each; ``memory_gb`` of all ``workers`` together; ``device`` of the
    network."""

    threads: int
    memory_gb: float | None
    device: str
    workers: int

    def compute(self) -> Compute:
        """What labels are computed with: the share of one of the workers."""
        from clusterml.engine.protocol import Compute

        share = Compute("cpu", None, self.memory_gb).shared(self.workers)
        return Compute("cpu", self.threads, share.memory_gb)


class JobReporter(Reporter):
    """Writes the progress into the folder of a job, a few times a second at most."""

    def __init__(self, folder: Path, discretion: Discretion) -> None:
        self._path, self._discretion = folder / PROGRESS, discretion
        self._state, self._last = State("begin"), 0.0

    def show(self, state: State, *, after: float | None = None) -> None:
        """See :class:`Reporter`."""
        stage_begins = state.stage != self._state.stage
        self._state = state
        if stage_begins or time.monotonic() - self._last >= _SECONDS_BETWEEN:
            self._last = time.monotonic()
            words = self._discretion(state.words)
            write_json({"stage": state.stage, "done": state.done, "total": state.total, "words": words}, self._path)

    def note(self, words: str, *, after: float | None = None) -> None:
        """See :class:`Reporter`."""
        state = self._state
        self.show(State(state.stage, state.done, state.total, words, state.work))


def work(line: Connection, tools: Tools) -> None:
    """Do the jobs whose folders come through the ``line``; this is what a worker process runs."""
    begin()
    while (content := next_work(line)) is not None:
        _do(Path(content.decode()), tools)
        line.send_bytes(b"done")


def _do(place: Path, tools: Tools) -> None:
    """The job in a folder: its result, or its problem."""
    discretion = Discretion(place / INPUT, place, place.parent)
    try:
        content = read_json(place / REQUEST)
        os.chdir(make_folder(place / INPUT))
        run = {"label": _label, "screen": _screen}[content["kind"]]
        text = run(content["request"], place / RESULTS, tools, JobReporter(place, discretion))
        write_text(place / RESULT, discretion(text))
    except ClusterMLError as error:
        _fail(place, problem_of(error), discretion)
    except UNEXPECTED:
        traceback.print_exc(file=sys.stderr)
        _fail(place, refusals.UNEXPECTED, discretion)
    finally:
        os.chdir(place.parent)


def _fail(place: Path, problem: refusals.Problem, discretion: Discretion) -> None:
    write_json({key: discretion(value) for key, value in problem.model_dump().items()}, place / PROBLEM)


def _label(values: dict[str, Any], folder: Path, tools: Tools, reporter: Reporter) -> str:
    """The JSON that ``clusterml label --json`` prints, and no file.  Raises what labelling raises."""
    from clusterml.batch.label import BatchOptions, Task, compute_all
    from clusterml.batch.structures import Failure
    from clusterml.engine.consensus import parse_protocols
    from clusterml.server.requests import LabelRequest
    from clusterml.structure.read import read

    request = LabelRequest.model_validate(values)
    source, protocol = request.source(), request.protocol()
    # a file in the folder that it works in: orbitals of a Molden file are read from it, by its name
    atoms = read(write_text(source.name, source.text), options=request.reading)
    options = BatchOptions(
        charge=request.charge,
        protocol=protocol,
        consensus=() if request.consensus is None else parse_protocols(request.consensus, protocol),
        compute=tools.compute(),
        own_orbitals=request.orbitals is None and request.mode == "smooth",
        groups=None if request.groups is None else Path("groups"),
        reading=request.reading,
        states=request.states,
        keep_json=True,
    )
    task = Task(atoms, source.name, str(atoms.info["name"]), None, request.groups)
    reporter.show(State("label", 0, 1))
    (result,) = compute_all(Here(), [task], options, reporter)
    if isinstance(result, Failure):
        raise _raised(result)
    reporter.show(State("done", 1, 1))
    return f"{result.json}\n"


def _raised(failure: Failure) -> ClusterMLError:
    """The error that a failure was made of."""
    if not failure.error:
        print(failure.trace, file=sys.stderr)
        return raised_from(refusals.UNEXPECTED.model_dump())
    return raised_from({"error": failure.error, "problem": failure.problem, "remedy": failure.remedy})


def _screen(values: dict[str, Any], folder: Path, tools: Tools, reporter: Reporter) -> str:
    """``run.json`` of a screen and the best rows of ``ranked.csv``; its files are written into ``folder``."""
    from clusterml.screening.run import screen
    from clusterml.server.screens import ScreenRequest, result_of

    request = ScreenRequest.model_validate(values)
    settings = request.screen(Path.cwd())
    screen(settings, folder, resume=(folder / "run.json").is_file(), device=tools.device, reporter=reporter)
    return json.dumps(result_of(folder), allow_nan=False)
