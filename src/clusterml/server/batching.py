"""Requests that arrive together run together: predictions wait a few milliseconds for others to share a batch with."""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clusterml.errors import UNEXPECTED, ClusterMLError

if TYPE_CHECKING:
    from clusterml.inference.answer import Prediction
    from clusterml.inference.predictor import Predictor, PreparedStructure

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


class Batcher:
    """One thread that predicts whatever has arrived, in one batch; ``told`` is called with the size of each.

    ``predictor``: with all networks; quick answers are those of the first alone, without uncertainty.
    """

    def __init__(self, predictor: Predictor, told: Callable[[int], None] = lambda size: None) -> None:
        self.predictor = predictor
        self._told = told
        self._quick = copy.copy(predictor)
        self._quick.ensemble, self._quick.uncertainty = predictor.ensemble.first(1), None
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"network {predictor.name}", daemon=True)
        self._thread.start()

    def submit(self, structure: PreparedStructure, *, quick: bool = False) -> Future[Prediction]:
        """The promise of the prediction of a structure that :meth:`Predictor.prepare` checked."""
        item = _Item(structure, quick)
        self._queue.put(item)
        return item.future

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, more = self._gather(first)
            running = [item for item in batch if item.future.set_running_or_notify_cancel()]
            for quick, predictor in ((True, self._quick), (False, self.predictor)):
                if same := [item for item in running if item.quick is quick]:
                    self._told(len(same))
                    _predict(predictor, same)
            if not more:
                return

    def _gather(self, first: _Item) -> tuple[list[_Item], bool]:
        """The items that arrive soon after the ``first``, as many as a batch holds; False: no more will come."""
        batch, edges = [first], first.structure.edges
        end = time.monotonic() + WAIT_S
        while edges < self.predictor.ensemble.most_edges and len(batch) < MOST_TOGETHER:
            try:
                item = self._queue.get(timeout=max(end - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if item is None:
                return batch, False
            batch.append(item)
            edges += item.structure.edges
        return batch, True


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
