"""Where jobs run: here, in processes of this machine, or as tasks of a Ray cluster.  Nothing else knows which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from clusterml.errors import OptionError, WorkerLostError

T = TypeVar("T")
R = TypeVar("R")

_WAITING_PER_WORKER = 2
"""Jobs handed out per worker: the next one waits while one runs, so that no worker is idle and little is lost."""


@dataclass(frozen=True)
class Lost:
    """The worker of a job was killed, twice: ``reason``."""

    reason: str


class Launcher(Protocol):
    """Runs a function on tasks, somewhere."""

    def run(self, function: Callable[[T], R], tasks: Iterator[T]) -> Iterator[tuple[T, R | Lost]]:
        """Pairs of task and result as they are finished, in any order."""
        ...


class Here:
    """One task after the other in this process."""

    def run(self, function: Callable[[T], R], tasks: Iterator[T]) -> Iterator[tuple[T, R | Lost]]:
        """See :class:`Launcher`."""
        return ((task, function(task)) for task in tasks)


@dataclass(frozen=True)
class Processes:
    """``workers`` processes of ``threads`` CPU threads each."""

    workers: int
    threads: int = 1

    def run(self, function: Callable[[T], R], tasks: Iterator[T]) -> Iterator[tuple[T, R | Lost]]:
        """See :class:`Launcher`."""
        from clusterml.stda.pool import Workers

        with Workers(function, self.workers, self.threads) as pool:
            running: dict[Future[R], T] = {}
            for task in tasks:
                running[pool.submit(task)] = task
                while len(running) >= _WAITING_PER_WORKER * self.workers:
                    yield from _finished(running, pool)
            while running:
                yield from _finished(running, pool)


def _finished(running: dict[Future[Any], Any], pool: Any) -> Iterator[tuple[Any, Any]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        task = running.pop(future)
        try:
            yield task, pool.result(task, future)
        except WorkerLostError as error:
            yield task, Lost(str(error))


@dataclass(frozen=True)
class Ray:
    """Tasks of a Ray cluster at ``address`` (``ray://HOST:PORT``, ``auto``, or ``local`` for one on this machine).

    ``at_once``: most tasks handed out at a time.  Workers must see the dataset folder under the same path.
    """

    address: str
    at_once: int = 64

    def run(self, function: Callable[[T], R], tasks: Iterator[T]) -> Iterator[tuple[T, R | Lost]]:
        """See :class:`Launcher`; raises :class:`OptionError` if Ray is not installed or the cluster not there."""
        ray = _connected(self.address)
        remote = ray.remote(max_retries=1)(function)
        running: dict[Any, T] = {}
        for task in tasks:
            running[remote.remote(task)] = task
            while len(running) >= self.at_once:
                yield from _ray_finished(ray, running)
        while running:
            yield from _ray_finished(ray, running)


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise OptionError("--cluster needs Ray", "pip install 'clusterml[cluster]'") from error
    try:
        if not ray.is_initialized():
            ray.init(address=None if address == "local" else address, include_dashboard=False, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OptionError(f"no Ray cluster at {address}: {error}", "give ray://HOST:PORT, auto or local") from error
    return ray


def _ray_finished(ray: Any, running: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
    done, _ = ray.wait(list(running), num_returns=1)
    for reference in done:
        task = running.pop(reference)
        try:
            yield task, ray.get(reference)
        except ray.exceptions.RayError as error:
            yield task, Lost(f"the worker was lost: {type(error).__name__}")


def launcher(workers: int, threads: int, cluster: str | None = None) -> Launcher:
    """The place to run: a Ray ``cluster``, several processes that share ``threads``, or this process.

    Raises :class:`OptionError` for a number of workers outside 1 to 256.
    """
    if not 1 <= workers <= 256:
        raise OptionError(f"workers is {workers}", "give a number of processes between 1 and 256")
    if cluster is not None:
        return Ray(cluster)
    return Here() if workers == 1 else Processes(workers, max(1, threads // workers))
