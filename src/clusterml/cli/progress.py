"""How far long work is: a bar where stderr is a terminal, lines with the time elsewhere, and always a log file.

Every verb that takes longer than a moment tells a :class:`Display`.  Lines come at the start of a stage, then every
half minute with rate and expected end, at the end of the work, and while nothing is told at all (a long step) once a
minute.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clusterml.cli.console import error_console
from clusterml.errors import printable
from clusterml.run.progress import Reporter, State

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 30.0
"""Between two lines of one stage."""
SECONDS_OF_SILENCE = 60.0
"""After so long without any line the last one is repeated, with the time since."""
LOG_NAME = "clusterml.log"
"""The log file in the folder of the results."""


class Display(Reporter):
    """Shows states and messages, on the terminal and in a log; see :func:`reporter`."""

    def __init__(self, log: Path | None, lines: bool, bar: Progress | None) -> None:
        self._log = None if log is None else _LogFile(log)
        self._lines = lines
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}
        self._state: State | None = None
        self._begun, self._before = time.monotonic(), 0
        self._written: State | None = None
        self._line = ""
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def show(self, state: State, *, after: float | None = None) -> None:
        """See :class:`Reporter`; the first state of a stage always has a line."""
        begins = self._state is None or state.stage != self._state.stage
        if begins:
            self._begun, self._before = time.monotonic(), state.done
        self._state = state
        self._draw(state)
        if begins or time.monotonic() - self._last >= (SECONDS_BETWEEN_LINES if after is None else after):
            self.log(self._words_of(state))

    def note(self, words: str, *, after: float | None = None) -> None:
        """See :class:`Reporter`."""
        self.show(State(words) if self._state is None else replace(self._state, words=words), after=after)

    def _words_of(self, state: State) -> str:
        return state.line(time.monotonic() - self._begun, self._before)

    def say(self, message: str) -> None:
        """Print a line on stderr as it is, above a bar, and log it."""
        if self._bar is not None:
            self._bar.console.print(message, highlight=False, markup=False, soft_wrap=True)
        else:
            print(message, file=sys.stderr, flush=True)
        self._write(message, on_stderr=False)

    def log(self, line: str) -> None:
        """Write a line with the time to the log, and to stderr where that is no terminal."""
        self._line = line
        self._written = self._state
        self._write(line, on_stderr=self._lines)

    def finish(self) -> None:
        """Write the last state, unless a line came since."""
        if self._state is not None and self._state != self._written:
            self.log(self._words_of(self._state))

    def remind(self) -> None:
        """Say again what is being done, after a minute without a line."""
        if time.monotonic() - self._last >= SECONDS_OF_SILENCE:
            line = self._line if self._state is None else self._words_of(self._state)
            self._write(f"{line}; still working", on_stderr=self._lines)

    def _write(self, line: str, on_stderr: bool) -> None:
        stamped = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {printable(line)}"
        with self._lock:
            self._last = time.monotonic()
            if on_stderr:
                print(stamped, file=sys.stderr, flush=True)
            if self._log is not None:
                self._log.write(stamped)

    def _draw(self, state: State) -> None:
        if self._bar is None:
            return
        if state.stage not in self._tasks:
            self._tasks[state.stage] = self._bar.add_task("", total=state.total)
        words = self._words_of(state).partition("; ")[2] or state.stage
        self._bar.update(self._tasks[state.stage], total=state.total, completed=state.done, description=words)


class _LogFile:
    """Appends lines to a file; they are kept until its folder is there, and lost where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[str] = []

    def write(self, line: str) -> None:
        self._waiting.append(line + "\n")
        if not self._path.parent.is_dir():
            return
        with suppress(OSError):  # a log is no reason to lose the work
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # nor a pipe that nobody reads
            with os.fdopen(os.open(self._path, flags, 0o666), "a", encoding="utf-8", errors="replace") as file:
                file.writelines(self._waiting)
        self._waiting.clear()


@contextmanager
def reporter(log: Path | None = None, *, kept: str = "", quiet: bool = False) -> Iterator[Display]:
    """A display that writes the file ``log`` (None: none), once its folder is there.

    ``kept``: said after Ctrl-C, what is kept and how to go on.  ``quiet``: neither bar nor lines, for all but the first
    of several processes.
    """
    terminal = sys.stderr.isatty() and not quiet
    with _bar() if terminal else _nothing() as bar:
        shown = Display(None if quiet else log, lines=not (terminal or quiet), bar=bar)
        stop = threading.Event()
        reminder = threading.Thread(target=_remind, args=(shown, stop), daemon=True)
        reminder.start()
        try:
            yield shown
            shown.finish()
        except KeyboardInterrupt:
            shown.say(f"interrupted: {kept}" if kept else "interrupted")
            raise
        finally:
            stop.set()
            reminder.join()


def _remind(shown: Display, stop: threading.Event) -> None:
    while not stop.wait(min(1.0, SECONDS_OF_SILENCE)):
        shown.remind()


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar on stderr that disappears when done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    words = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), words, TimeElapsedColumn())
    with Progress(*columns, console=error_console(), transient=True) as bar:
        yield bar
