"""The progress bar of a campaign, on stderr, only where that is a terminal; a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clusterml.dataset.runner import Progress

_SECONDS_BETWEEN_LINES = 60.0


@contextmanager
def campaign_progress() -> Iterator[Callable[[Progress], None]]:
    """A function to be told of every finished job."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            finished = sum(count for state, count in progress.counts.items() if state != "planned")
            bar.update(task, total=progress.total, completed=finished, description=_words(progress))

        yield show


class _Lines:
    """A line on stderr once a minute."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(f"{_words(progress)} of {progress.total}", file=sys.stderr, flush=True)


def _words(progress: Progress) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(progress.counts.items()) if state != "planned")
    return f"{states or 'nothing done yet'}; {3600.0 * progress.done_now / max(progress.seconds, 1e-9):.0f} jobs/h"
