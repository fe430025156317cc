"""Where jobs run: here, in processes of this machine, or as tasks of a Ray cluster.  Nothing else knows which."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from clusterml.errors import OptionError, WorkerLostError
from clusterml.structure.anatomy.library import with_library_in_use

T = TypeVar("T")
R = TypeVar("R")


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
        connection.wait([parent.sentinel])
        os._exit(1)


_WAITING_PER_WORKER = 2
"""Jobs handed out per worker: the next one waits while one runs, so that no worker is idle and little is lost."""
_LOCAL_STORE_BYTES = 100_000_000
"""Shared memory of a local Ray cluster: results are small."""


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

    Each task asks for ``threads`` CPUs and ``gpus`` GPUs.  A local cluster has ``workers`` times as many CPUs; on
    another one as many tasks run as it has room for.  Workers must see the campaign and the dataset folder under the
    same paths.
    """

    address: str
    workers: int = 1
    threads: int = 1
    gpus: int = 0

    def run(self, function: Callable[[T], R], tasks: Iterator[T]) -> Iterator[tuple[T, R | Lost]]:
        """See :class:`Launcher`; raises :class:`OptionError` if Ray is not installed or the cluster not there."""
        ray, mine = self._connected()
        function = with_library_in_use(function)
        try:
            # max_retries: a task is done once more if its worker was killed
            remote = ray.remote(max_retries=1, num_cpus=self.threads, num_gpus=self.gpus)(_applied)
            places = ray.cluster_resources().get("GPU" if self.gpus else "CPU", 1.0) / (self.gpus or self.threads)
            at_once = _WAITING_PER_WORKER * max(1, int(places))
            running: dict[Any, T] = {}
            for task in tasks:
                running[remote.remote(function, task, self.threads)] = task
                while len(running) >= at_once:
                    yield from _ray_finished(ray, running)
            while running:
                yield from _ray_finished(ray, running)
        finally:
            if mine:
                ray.shutdown()

    def _connected(self) -> tuple[Any, bool]:
        """Ray, and whether the connection was made here."""
        try:
            import ray
        except ImportError as error:
            raise OptionError("--cluster needs Ray", "pip install 'clusterml[cluster]'") from error
        if ray.is_initialized():
            return ray, False
        _reach(self.address)
        local: dict[str, Any] = {
            "num_cpus": self.workers * self.threads,
            "include_dashboard": False,
            "object_store_memory": _LOCAL_STORE_BYTES,
        }
        try:
            # its own logging would write between our lines
            ray.init(
                self.address,
                configure_logging=False,
                log_to_driver=False,
                **(local if self.address == "local" else {}),
            )
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            remedy = "give ray://HOST:PORT (needs pip install 'ray[client]'), auto or local"
            raise OptionError(f"no Ray cluster at {self.address}: {reason}", remedy) from error
        return ray, True


def _reach(address: str) -> None:
    """Raise :class:`OptionError` unless something listens at ``[ray://]HOST:PORT``: Ray itself tries for minutes.

    ``auto`` is the cluster that Ray noted as this machine's, which may be gone.
    """
    import os
    import socket

    place = address.removeprefix("ray://")
    if address == "auto":
        noted = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"
        place = os.environ.get("RAY_ADDRESS") or (noted.read_text().strip() if noted.is_file() else "")
    if address == "local" or not place:
        return
    host, _, port = place.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10.0).close()
    except (OSError, ValueError, OverflowError) as error:
        raise OptionError(f"no Ray cluster at {address}: {error}", "give ray://HOST:PORT, auto or local") from error


def _applied(function: Callable[[T], R], task: T, threads: int) -> R:
    """``function(task)`` on ``threads`` CPU threads.  Ray takes plain functions only."""
    from clusterml.run.threads import use_threads

    use_threads(threads)
    return function(task)


def _ray_finished(ray: Any, running: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
    done, _ = ray.wait(list(running), num_returns=1)
    for reference in done:
        task = running.pop(reference)
        try:
            yield task, ray.get(reference)
        except ray.exceptions.RayTaskError:
            raise  # the function itself failed, as it would in a process of ours
        except ray.exceptions.RayError as error:
            yield task, Lost(f"the worker was lost: {type(error).__name__}")


def launcher(workers: int, threads: int, cluster: str | None = None, gpus: int = 0) -> Launcher:
    """The place to run: a Ray ``cluster``, several processes that share ``threads``, or this process.

    ``gpus``: that each task of a Ray cluster asks for.  Raises :class:`OptionError` for a number of workers outside 1
    to 256.
    """
    if not 1 <= workers <= 256:
        raise OptionError(f"workers is {workers}", "give a number of processes between 1 and 256")
    each = max(1, threads // workers)
    if cluster is not None:
        return Ray(cluster, workers, each, gpus)
    return Here() if workers == 1 else Processes(workers, each)
