"""Processes that work for the server: each is talked to through a line, and ended with all that it has started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from shutil import rmtree
from typing import Any

from clusterml.run.launcher import begin_worker

IDLE_S = 300.0
"""So long a process waits for its next work before it is ended, in seconds: its libraries are loaded by then."""
LOST = {
    "error": "MemoryLimitError",
    "problem": "the process that computed it was killed, most likely because memory ran out",
    "remedy": "ask for less: a smaller structure, a lower emax, single precision",
}
"""What is said where a process has gone without a word."""


@dataclass
class Worker:
    """A process that does one thing after the other; ``line``: to talk to it; ``folder``: of its temporary files;
    ``job``: what it does, None: nothing; ``since``: when it was hired, or done with the last thing (monotonic)."""

    process: SpawnProcess
    line: Connection
    folder: Path
    job: str | None = None
    since: float = field(default_factory=time.monotonic)

    def is_needless(self) -> bool:
        """Has it waited for so long that it may be ended, if it has nothing to do?"""
        return time.monotonic() - self.since > IDLE_S

    def rest(self) -> None:
        """It is done, and waits for its next work."""
        self.job, self.since = None, time.monotonic()

    def kill(self) -> None:
        """End it with all that it has started, wait for it, and remove what it leaves behind."""
        if self.process.pid is not None and self.process.is_alive():
            with suppress(OSError):
                if os.getpgid(self.process.pid) == self.process.pid:  # it has made its own group by now
                    os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
        self.process.join(5.0)
        self.line.close()
        rmtree(self.folder, ignore_errors=True)


def hire(target: Callable[..., None], *arguments: Any) -> Worker:
    """A new process that runs ``target`` with its end of the line, and with ``arguments``.

    Raises OSError where there are no processes, files or memory left.
    """
    context = multiprocessing.get_context("spawn")  # a forked process inherits the locks of torch's threads
    folder = Path(tempfile.mkdtemp(prefix="clusterml-"))
    try:
        ours, theirs = context.Pipe()
        process = context.Process(target=_run, args=(folder, target, theirs, *arguments), name="clusterml worker")
        process.start()
    except OSError:
        rmtree(folder, ignore_errors=True)
        raise
    theirs.close()
    return Worker(process, ours, folder)


def _run(folder: Path, target: Callable[..., None], *arguments: Any) -> None:
    """What a process runs: the ``target``, whose temporary files, and those of its programs, are in the ``folder``."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    target(*arguments)


def begin() -> None:
    """What a process does first: it ends with the server, and programs that it starts end with it."""
    begin_worker()
    os.setsid()


def next_work(line: Connection) -> bytes | None:
    """What comes through the line, however late; None where nothing will.

    Only who hands out work ends a process that waits: what was sent to one that is just leaving would be lost.
    """
    try:
        return line.recv_bytes()
    except (EOFError, OSError):
        return None
