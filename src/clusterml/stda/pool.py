"""Labelling in several processes: bounded memory, results in order, and survival of a process that is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from clusterml.stda.batch import BatchOptions, Failure, Outcome, Task, compute

_WAITING_PER_PROCESS = 4
"""Structures handed out and not yet yielded, per process: bounds memory, and lets others finish beside a slow one."""

_KILLED = "the process that computed it was killed, most likely because memory ran out"


def compute_in_processes(
    tasks: Iterator[Task | Failure], options: BatchOptions, jobs: int, threads: int
) -> Iterator[Outcome | Failure]:
    """What :func:`clusterml.stda.batch.compute` says of each task, in their order, from ``jobs`` processes.

    Each process uses ``threads`` CPU threads.  Failures among ``tasks`` are passed on in their place.
    """
    waiting: deque[Failure | tuple[Task, Future[Outcome | Failure]]] = deque()
    workers = _Workers(options, jobs, threads)
    try:
        for task in tasks:
            waiting.append(task if isinstance(task, Failure) else (task, workers.submit(task)))
            if len(waiting) >= _WAITING_PER_PROCESS * jobs:
                yield workers.result(waiting.popleft())
        while waiting:
            yield workers.result(waiting.popleft())
    finally:
        workers.stop()


class _Workers:
    """A pool of processes that is replaced when one of them dies."""

    def __init__(self, options: BatchOptions, jobs: int, threads: int) -> None:
        self._options, self._jobs = options, jobs
        self._others = set(multiprocessing.active_children())
        # OpenMP reads it when a process starts, so it must be in the environment that the processes inherit.
        self._environment = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._pool = self._new_pool(jobs)

    def submit(self, task: Task) -> Future[Outcome | Failure]:
        """Hand ``task`` to the processes."""
        try:
            return self._pool.submit(compute, task, self._options)
        except BrokenProcessPool:
            self._restart()
            return self._pool.submit(compute, task, self._options)

    def result(self, entry: Failure | tuple[Task, Future[Outcome | Failure]]) -> Outcome | Failure:
        """Wait for a result; a task that was lost with its process is computed once more, alone."""
        if isinstance(entry, Failure):
            return entry
        task, future = entry
        try:
            return future.result()
        except BrokenProcessPool:
            # One dead process takes all that were running with it, and nothing says whose fault it was.
            return self._alone(task)

    def stop(self) -> None:
        """End all processes at once; nothing is left half-written, because files are renamed into place."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - self._others:
            child.terminate()
        if self._environment is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = self._environment

    def _alone(self, task: Task) -> Outcome | Failure:
        with self._new_pool(1) as pool:
            try:
                return pool.submit(compute, task, self._options).result()
            except BrokenProcessPool:
                return Failure(f"{task.where}: {_KILLED}", "use fewer --jobs, a smaller --memory-gb or --dtype float32")

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
