"""Requests that arrive together run together: predictions wait a few milliseconds for others to share a batch with."""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from clusterml.errors import UNEXPECTED, ClusterMLError
from clusterml.server.refusals import RefusalError

if TYPE_CHECKING:
    from clusterml.inference.answer import Prediction
    from clusterml.inference.predictor import Predictor
    from clusterml.inference.preparation import PreparedStructure

T = TypeVar("T")
WAIT_S = 0.004
"""So long the first request of a batch waits for others, in seconds."""
MOST_TOGETHER = 64
"""Most structures of a batch."""


@dataclass
class _Item:
    """A structure that waits, and the promise of its prediction."""

    structure: PreparedStructure
    quick: bool
    future: Future[Prediction] = field(default_factory=Future)


@dataclass
class _Call:
    """Something else to do with the networks, which one thread alone may use, and the promise of its result."""

    work: Callable[[Predictor], Any]
    future: Future[Any] = field(default_factory=Future)


class Batcher:
    """One thread that predicts whatever has arrived, in one batch; ``told`` is called with the size of each.

    ``predictor``: with all networks; quick answers are those of the first alone, without uncertainty.
    """

    def __init__(self, predictor: Predictor, told: Callable[[int], None] = lambda size: None) -> None:
        self.predictor = predictor
        self._told = told
        self._quick = copy.copy(predictor)
        self._quick.ensemble, self._quick.uncertainty = predictor.ensemble.first(1), None
        self._lock, self._closed = threading.Lock(), False
        self._queue: queue.SimpleQueue[_Item | _Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"network {predictor.name}", daemon=True)
        self._thread.start()

    def submit(self, structure: PreparedStructure, *, quick: bool = False) -> Future[Prediction]:
        """The promise of the prediction of a structure that :meth:`Predictor.prepare` checked.

        Raises :class:`RefusalError` (503) once it is closed.
        """
        item = _Item(structure, quick)
        self._put(item)
        return item.future

    def call(self, work: Callable[[Predictor], T]) -> Future[T]:
        """The promise of what ``work`` makes of the predictor with all networks; raises as :meth:`submit` does."""
        item = _Call(work)
        self._put(item)
        return item.future

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _put(self, item: _Item | _Call) -> None:
        with self._lock:
            if self._closed:
                problem = f"{self.predictor.name} has made room for other checkpoints"
                raise RefusalError(503, problem, "ask again in a moment", 1)
            self._queue.put(item)

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            after: _Item | _Call | None = first
            if isinstance(first, _Item):
                batch, after = self._gather(first)
                self._predict([item for item in batch if item.future.set_running_or_notify_cancel()])
                if after is None:
                    return
            if isinstance(after, _Call) and after.future.set_running_or_notify_cancel():
                _keep(after, self.predictor)

    def _gather(self, first: _Item) -> tuple[list[_Item], _Item | _Call | None]:
        """The items that arrive soon after the ``first``, as many as a batch holds; and what came after them.

        That is a call, None where no more will come, or else the last item itself.
        """
        batch, edges = [first], first.structure.edges
        end = time.monotonic() + WAIT_S
        while edges < self.predictor.ensemble.most_edges and len(batch) < MOST_TOGETHER:
            try:
                item = self._queue.get(timeout=max(end - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if not isinstance(item, _Item):
                return batch, item
            batch.append(item)
            edges += item.structure.edges
        return batch, batch[-1]

    def _predict(self, items: list[_Item]) -> None:
        for quick, predictor in ((True, self._quick), (False, self.predictor)):
            if same := [item for item in items if item.quick is quick]:
                self._told(len(same))
                _predict(predictor, same)


def _keep(call: _Call, predictor: Predictor) -> None:
    """Keep the promise of a call."""
    try:
        call.future.set_result(call.work(predictor))
    except (ClusterMLError, *UNEXPECTED) as error:
        call.future.set_exception(error)


def _predict(predictor: Predictor, batch: list[_Item]) -> None:
    """Keep the promises of a batch; where it fails, one by one, so that a bad structure costs only itself."""
    try:
        predictions = predictor.predict([item.structure for item in batch])
    except (ClusterMLError, *UNEXPECTED) as error:
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        for item in batch:
            _predict(predictor, [item])
        return
    for item, prediction in zip(batch, predictions, strict=True):
        item.future.set_result(prediction)
