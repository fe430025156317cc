"""The checkpoints of a server: loaded when they are asked for, a few kept, each with the thread that predicts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from clusterml.errors import ClusterMLError, unknown
from clusterml.io.shipped import DEFAULT_MODEL, QUICK_MODEL
from clusterml.server.batching import Batcher

MOST_LOADED = 3
"""Checkpoints that are in memory at a time."""
MODELS = {"predict": DEFAULT_MODEL, "distort": QUICK_MODEL}
"""What is asked -> the checkpoint where neither request nor server names one: that of the command, and for distortions
one that follows a slider."""


class Networks:
    """Loads checkpoints by name; ``chosen`` (None: :data:`MODELS`) is that of requests that name none.

    It may also be the folder of one, others are those of ``clusterml models``.  ``told`` is called with the size of
    every batch.
    """

    def __init__(self, chosen: str | None, device: str, told: Callable[[int], None]) -> None:
        self._chosen, self._device, self._told = chosen, device, told
        self._loaded: OrderedDict[str, Batcher] = OrderedDict()
        self._lock = threading.Lock()

    def names(self) -> dict[str, str]:
        """What is asked -> the checkpoint of a request that names none."""
        return MODELS if self._chosen is None else dict.fromkeys(MODELS, self._chosen)

    def find(self, what: str, name: str | None = None) -> Batcher:
        """The checkpoint of that name, or the one for ``what`` is asked, a key of :data:`MODELS`; see :meth:`named`."""
        return self.named(self.names()[what] if name is None else name)

    def named(self, key: str) -> Batcher:
        """The checkpoint that ``key`` names.

        Raises :class:`~clusterml.errors.OptionError` for a name that there is not, and what loading raises.
        """
        from clusterml.training.catalogue import known_releases

        if key != self._chosen and key not in (known := known_releases()):
            raise unknown("checkpoint", key, known)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = self._load(key)
                while len(self._loaded) > MOST_LOADED:
                    self._loaded.popitem(last=False)[1].close()
            self._loaded.move_to_end(key)
            return self._loaded[key]

    def rows(self) -> list[dict[str, Any]]:
        """What ``clusterml models --json`` says, without folders; damaged ones with their error."""
        from clusterml.training.catalogue import known_releases
        from clusterml.training.release import open_release

        rows: list[dict[str, Any]] = []
        for name, folder in known_releases().items():
            try:
                row = open_release(folder).row(name)
                rows.append({key: value for key, value in row.items() if key != "folder"})
            except ClusterMLError as error:
                rows.append({"name": name, "error": str(error)})
        return rows

    def close(self) -> None:
        """End all threads."""
        with self._lock:
            while self._loaded:
                self._loaded.popitem()[1].close()

    def _load(self, name: str) -> Batcher:
        from clusterml.inference.predictor import Predictor

        return Batcher(Predictor.load(name, self._device), self._told)
