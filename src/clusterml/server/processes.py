"""Processes that work for the server: each is talked to through a line, and ended with all that it has started."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from clusterml.run.launcher import begin_worker

IDLE_S = 300.0
"""So long a process waits for its next work before it ends, in seconds: its libraries are loaded by then."""
LOST = {
    "error": "MemoryLimitError",
    "problem": "the process that computed it was killed, most likely because memory ran out",
    "remedy": "ask for less: a smaller structure, a lower emax, single precision",
}
"""What is said where a process has gone without a word."""


@dataclass
class Worker:
    """A process that does one thing after the other; ``line``: to talk to it; ``job``: what it does, None: nothing."""

    process: SpawnProcess
    line: Connection
    job: str | None = None

    def kill(self) -> None:
        """End it with all that it has started, and wait for it."""
        if self.process.pid is not None and self.process.is_alive():
            with suppress(OSError):
                if os.getpgid(self.process.pid) == self.process.pid:  # it has made its own group by now
                    os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
        self.process.join(5.0)
        self.line.close()


def hire(target: Callable[..., None], *arguments: Any) -> Worker:
    """A new process that runs ``target`` with its end of the line, and with ``arguments``."""
    context = multiprocessing.get_context("spawn")  # a forked process inherits the locks of torch's threads
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), name="clusterml worker")
    process.start()
    theirs.close()
    return Worker(process, ours)


def begin() -> None:
    """What a process does first: it ends with the server, and programs that it starts end with it."""
    begin_worker()
    os.setsid()


def next_work(line: Connection) -> bytes | None:
    """What comes through the line; None where nothing comes for a while, or nothing will."""
    try:
        return line.recv_bytes() if line.poll(IDLE_S) else None
    except (EOFError, OSError):
        return None
