"""Progress bars of campaigns and screens, on stderr, only where that is a terminal; a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clusterml.dataset.runner import Progress as CampaignProgress
    from clusterml.screening.run import Progress as ScreenProgress

_SECONDS_BETWEEN_LINES = 60.0


@dataclass(frozen=True)
class _State:
    """What is shown: ``done`` of ``total`` (None: not known) things called ``stage``, and ``words``."""

    stage: str
    done: int
    total: int | None
    words: str


@contextmanager
def campaign_progress() -> Iterator[Callable[[CampaignProgress], None]]:
    """A function to be told of every finished job."""
    with _shown() as show:
        yield lambda progress: show(_campaign(progress))


@contextmanager
def screen_progress() -> Iterator[Callable[[ScreenProgress], None]]:
    """A function to be told of every finished block and label."""
    with _shown() as show:
        yield lambda progress: show(_screen(progress))


def _campaign(progress: CampaignProgress) -> _State:
    finished = sum(count for state, count in progress.counts.items() if state != "planned")
    states = ", ".join(f"{count} {state}" for state, count in sorted(progress.counts.items()) if state != "planned")
    rate = 3600.0 * progress.done_now / max(progress.seconds, 1e-9)
    return _State("jobs", finished, progress.total, f"{states or 'nothing done yet'}; {rate:.0f} jobs/h")


def _screen(progress: ScreenProgress) -> _State:
    rate = progress.done_now / max(progress.seconds, 1e-9)
    words = f"{progress.stage}: {progress.words}; {rate:.3g}/s"
    if progress.total is not None and rate > 0.0:
        words += f", {_duration((progress.total - progress.done) / rate)} left"
    return _State(progress.stage, progress.done, progress.total, words)


@contextmanager
def _shown() -> Iterator[Callable[[_State], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def show(state: _State) -> None:
            if state.stage not in tasks:
                tasks[state.stage] = bar.add_task("", total=state.total)
            bar.update(tasks[state.stage], total=state.total, completed=state.done, description=state.words)

        yield show


class _Lines:
    """A line on stderr once a minute."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, state: _State) -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            total = "" if state.total is None else f" of {state.total}"
            print(f"{state.words}; {state.done}{total}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60.0)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
