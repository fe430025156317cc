"""The ledger of a campaign: what happened to each job, one JSON line per event, never rewritten."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from clusterml.errors import DatasetError, OutputError

State = Literal["planned", "done", "failed", "rejected"]


@dataclass(frozen=True)
class Event:
    """``job`` is now in ``state``; ``reason``: why it failed or was rejected; ``seconds``: what it took."""

    job: str
    state: State
    reason: str = ""
    seconds: float = 0.0


class Ledger:
    """An append-only file of events; the last event of a job counts.

    A line that a crash cut short is dropped when the ledger is opened; any other line that cannot be read raises
    :class:`DatasetError` naming it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: dict[str, Event] = {}
        if path.exists():
            self._load()

    def states(self) -> dict[str, Event]:
        """The last event of each job, in the order in which the jobs were planned."""
        return dict(self._last)

    def add(self, *events: Event) -> None:
        """Append ``events`` and wait until they are on disk; raises :class:`OutputError` naming the file."""
        lines = "".join(json.dumps(asdict(event), allow_nan=False) + "\n" for event in events)
        try:
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(lines)
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error}", "check the folder and its space") from error
        self._last |= {event.job: event for event in events}

    def _load(self) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        for number, line in enumerate(whole.decode("utf-8", errors="replace").splitlines(), start=1):
            try:
                event = Event(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise DatasetError(
                    f"{self.path}: line {number} is not an event ({error})", "restore the file, or start a new folder"
                ) from error
            self._last[event.job] = event
