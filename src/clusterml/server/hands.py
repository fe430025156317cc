"""Answers that take seconds are made in processes: others do not wait for them, and what takes too long is ended."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pydantic import BaseModel

from clusterml.errors import UNEXPECTED, ClusterMLError
from clusterml.io.json import json_text
from clusterml.server import answers, explained, refusals
from clusterml.server.processes import LOST, Worker, begin, hire, next_work
from clusterml.server.refusals import RefusalError, problem_of, raised_from
from clusterml.server.requests import (
    ChiralityRequest,
    CompareRequest,
    ExplainRequest,
    SpectrumRequest,
    StructureRequest,
    SubstituteRequest,
)
from clusterml.server.settings import Limits

WORKS: dict[str, tuple[type[BaseModel], Callable[[Any, Limits], dict[str, Any]]]] = {
    "inspect": (StructureRequest, answers.inspect),
    "chirality": (ChiralityRequest, answers.chirality),
    "compare": (CompareRequest, answers.compare),
    "spectrum": (SpectrumRequest, answers.spectrum),
    "substitute": (SubstituteRequest, answers.substitute),
    "explain": (ExplainRequest, explained.explain),
}
"""Path -> its request, and what answers it; ``explain``: where no network is named."""
_DONE, _REFUSED = b"+", b"-"


class Hands:
    """The processes; each makes one answer at a time, and as many are there as have been needed at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Start a process, so that the first answer does not wait for it."""
        self._put_back(self._take())

    def make(self, name: str, request: BaseModel) -> str:
        """The JSON of the answer ``name`` to a request; waits for it.

        Raises what making it raises, :class:`RefusalError` (504) where it takes too long, and
        :class:`~clusterml.errors.MemoryLimitError` where the process was killed.
        """
        worker = self._take()
        try:
            worker.line.send_bytes(json.dumps([name, request.model_dump(mode="json", exclude_unset=True)]).encode())
            if not worker.line.poll(self._limits.seconds):
                problem = f"the answer takes longer than {self._limits.seconds:g} s"
                raise RefusalError(504, problem, "ask for less, or use the command line")
            reply = worker.line.recv_bytes()
        except (RefusalError, EOFError, OSError) as error:
            self._dismiss(worker)
            raise error if isinstance(error, RefusalError) else raised_from(LOST) from error
        self._put_back(worker)
        if reply.startswith(_REFUSED):
            raise raised_from(json.loads(reply.removeprefix(_REFUSED)))
        return reply.removeprefix(_DONE).decode()

    def end_idle(self) -> None:
        """End the processes that have not been needed for a while."""
        with self._lock:
            needless = [worker for worker in self._idle if worker.is_needless()]
            self._idle = [worker for worker in self._idle if worker not in needless]
        for worker in needless:
            worker.kill()

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            for worker in (*self._idle, *self._busy):
                worker.kill()
            self._idle.clear()

    def _take(self) -> Worker:
        """An idle process, or a new one; raises :class:`RefusalError` (503) where none can be started."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.process.is_alive():
                    break
                worker.kill()
            else:
                worker = self._hire()
            self._busy.append(worker)
            return worker

    def _hire(self) -> Worker:
        try:
            return hire(work, self._limits)
        except OSError as error:
            problem = f"no process can be started: {error.strerror or error}"
            raise RefusalError(503, problem, "ask again in a moment", 10) from error

    def _put_back(self, worker: Worker) -> None:
        with self._lock:
            self._busy.remove(worker)
            worker.rest()
            self._idle.append(worker)

    def _dismiss(self, worker: Worker) -> None:
        with self._lock:
            self._busy.remove(worker)
        worker.kill()


def work(line: Connection, limits: Limits) -> None:
    """Answer what comes through the ``line``; this is what a process runs."""
    begin()
    while (content := next_work(line)) is not None:
        line.send_bytes(_reply(content, limits))


def _reply(content: bytes, limits: Limits) -> bytes:
    name, values = json.loads(content)
    model, make = WORKS[name]
    try:
        return _DONE + json_text(make(model.model_validate(values), limits)).encode()
    except ClusterMLError as error:
        problem = problem_of(error)
    except UNEXPECTED:
        traceback.print_exc(file=sys.stderr)
        problem = refusals.UNEXPECTED
    return _REFUSED + problem.model_dump_json().encode()
