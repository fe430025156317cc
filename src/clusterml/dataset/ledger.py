"""The ledger of a campaign: what happened to each job, one JSON line per event, never rewritten."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from clusterml.dataset.record import Name
from clusterml.errors import DatasetError
from clusterml.spectrum.log import Log

State = Literal["planned", "done", "failed", "rejected", "withdrawn"]


@dataclass(frozen=True)
class Event:
    """``job`` is now in ``state``; ``reason``: why it failed or was rejected; ``seconds``: what it took."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    job: Name
    state: State
    reason: str = ""
    seconds: float = 0.0


_EVENT = TypeAdapter(Event)


class Ledger:
    """An append-only file of events; the last event of a job counts.

    Raises :class:`DatasetError` naming a line that is no event, and what :class:`Log` raises; a line that a crash cut
    short is dropped.
    """

    def __init__(self, path: Path) -> None:
        self._log = Log(path)
        self._last: dict[str, Event] = {}
        for number, entry in enumerate(self._log, start=1):
            try:
                event = _EVENT.validate_python(entry)
            except ValidationError as error:
                what = error.errors()[0]
                problem = f"{path}: line {number} is not an event ({'.'.join(map(str, what['loc']))}: {what['msg']})"
                raise DatasetError(problem, "restore the file, or start a new folder") from error
            self._last[event.job] = event

    def states(self) -> dict[str, Event]:
        """The last event of each job, in the order in which the jobs were planned."""
        return dict(self._last)

    def add(self, *events: Event) -> None:
        """Append ``events`` and wait until they are on disk; raises :class:`OutputError` naming the file."""
        self._log.add(*(asdict(event) for event in events))
        self._last |= {event.job: event for event in events}
