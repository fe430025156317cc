"""Work in several processes: bounded memory, results in order, and survival of a process that is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from typing import Generic, TypeVar

from clusterml.errors import WorkerLostError
from clusterml.stda.batch import BatchOptions, Task, compute
from clusterml.stda.structures import Failure, Outcome
from clusterml.structure.anatomy.library import with_library_in_use

T = TypeVar("T")
R = TypeVar("R")

_WAITING_PER_PROCESS = 4
"""Structures handed out and not yet yielded, per process: bounds memory, and lets others finish beside a slow one."""


def compute_in_processes(
    tasks: Iterator[Task | Failure], options: BatchOptions, jobs: int, threads: int
) -> Iterator[Outcome | Failure]:
    """What :func:`clusterml.stda.batch.compute` says of each task, in their order, from ``jobs`` processes.

    Each process uses ``threads`` CPU threads.  Failures among ``tasks`` are passed on in their place.
    """
    waiting: deque[Failure | tuple[Task, Future[Outcome | Failure]]] = deque()
    with Workers(partial(compute, options=options), jobs, threads) as workers:
        for task in tasks:
            waiting.append(task if isinstance(task, Failure) else (task, workers.submit(task)))
            if len(waiting) >= _WAITING_PER_PROCESS * jobs:
                yield _outcome(workers, waiting.popleft())
        while waiting:
            yield _outcome(workers, waiting.popleft())


def _outcome(
    workers: Workers[Task, Outcome | Failure], entry: Failure | tuple[Task, Future[Outcome | Failure]]
) -> Outcome | Failure:
    if isinstance(entry, Failure):
        return entry
    task, future = entry
    try:
        return workers.result(task, future)
    except WorkerLostError as error:
        return Failure(f"{task.where}: {error.problem}", error.remedy)


class Workers(Generic[T, R]):
    """A pool of ``jobs`` processes, of ``threads`` CPU threads each, that apply ``function`` to tasks.

    It is replaced when one of its processes dies.  Use it in a ``with`` statement: leaving it ends all processes at
    once.  The calling script needs the usual ``if __name__ == "__main__":``.
    """

    def __init__(self, function: Callable[[T], R], jobs: int, threads: int) -> None:
        self._function, self._jobs = with_library_in_use(function), jobs
        self._others = set(multiprocessing.active_children())
        # OpenMP reads it when a process starts, so it must be in the environment that the processes inherit.
        self._environment = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._pool = self._new_pool(jobs)

    def __enter__(self) -> Workers[T, R]:
        """The pool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes at once; nothing is left half-written where files are renamed into place."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - self._others:
            child.terminate()
        if self._environment is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = self._environment

    def submit(self, task: T) -> Future[R]:
        """Hand ``task`` to the processes."""
        try:
            return self._pool.submit(self._function, task)
        except BrokenProcessPool:
            self._restart()
            return self._pool.submit(self._function, task)

    def result(self, task: T, future: Future[R]) -> R:
        """Wait for a result; a task that was lost with its process is computed once more, alone.

        Raises :class:`WorkerLostError` if it is lost again.
        """
        try:
            return future.result()
        except BrokenProcessPool:
            # One dead process takes all that were running with it, and nothing says whose fault it was.
            return self._alone(task)

    def _alone(self, task: T) -> R:
        with self._new_pool(1) as pool:
            try:
                return pool.submit(self._function, task).result()
            except BrokenProcessPool as error:
                raise WorkerLostError(
                    "the process that computed it was killed, most likely because memory ran out",
                    "use fewer processes, a smaller memory limit or single precision",
                ) from error

    def _restart(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._new_pool(self._jobs)

    @staticmethod
    def _new_pool(jobs: int) -> ProcessPoolExecutor:
        # spawn, because a forked process inherits the locks of torch's and OpenMP's threads
        return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Leave Ctrl-C to the parent process, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
