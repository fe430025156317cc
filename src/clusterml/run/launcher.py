"""Where tasks run: here, in processes of this machine, or on a Ray cluster.  Nothing else knows which.

All that is long goes through :class:`Launcher`: many files, campaigns, screens.  Wherever it runs, no more than a few
tasks a worker are in memory, a task whose worker was killed is done once more, and leaving the loop over the results
(an error, Ctrl-C, SIGTERM) ends the workers at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from multiprocessing import connection
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from clusterml.errors import ClusterMLError, OptionError, counted
from clusterml.structure.anatomy.library import with_library_in_use

T = TypeVar("T")
R = TypeVar("R")
T_contra = TypeVar("T_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


_WAITING, _WAITING_IN_ORDER = 2, 4
"""Tasks handed out per worker: one runs, the next one waits; in order, others finish beside a slow one."""
_LOCAL_STORE_BYTES = 100_000_000
"""Shared memory of a local Ray cluster: results are small."""


@dataclass(frozen=True)
class Lost:
    """The worker of a task was killed, twice: the ``problem``, and what the user can do about it."""

    problem: str
    remedy: str = "use fewer processes, a smaller memory limit or single precision"

    @property
    def reason(self) -> str:
        """Both in one line."""
        return str(ClusterMLError(self.problem, self.remedy))


class Launcher(Protocol):
    """Runs a function on tasks, somewhere."""

    def run(
        self, function: Callable[[T], R], tasks: Iterable[T], *, ordered: bool = False
    ) -> Iterator[tuple[T, R | Lost]]:
        """Pairs of task and result as they are finished; ``ordered``: in the order of ``tasks``.

        Raises what ``function`` raises.
        """
        ...


class Here:
    """One task after the other in this process."""

    def run(
        self, function: Callable[[T], R], tasks: Iterable[T], *, ordered: bool = False
    ) -> Iterator[tuple[T, R | Lost]]:
        """See :class:`Launcher`."""
        return ((task, function(task)) for task in tasks)


@dataclass(frozen=True)
class Processes:
    """``workers`` processes of ``threads`` CPU threads each; a script that uses it needs the usual
    ``if __name__ == "__main__":``."""

    workers: int
    threads: int = 1

    def run(
        self, function: Callable[[T], R], tasks: Iterable[T], *, ordered: bool = False
    ) -> Iterator[tuple[T, R | Lost]]:
        """See :class:`Launcher`."""
        with _ProcessPool(with_library_in_use(function), self.workers, self.threads) as pool:
            yield from _schedule(pool, tasks, ordered)


class _Pool(Protocol[T_contra, R_co]):
    """What differs between processes and Ray; a handle stands for a task that was handed out."""

    workers: int

    def submit(self, task: T_contra) -> Any:
        """Hand a task out."""

    def wait(self, handles: Sequence[Any]) -> Iterable[Any]:
        """Those that are finished, at least one of them."""

    def result(self, task: T_contra, handle: Any) -> R_co | Lost:
        """The result of a task that is finished."""


def _schedule(pool: _Pool[T, R], tasks: Iterable[T], ordered: bool) -> Iterator[tuple[T, R | Lost]]:
    """Tasks and results, never more of them handed out and not handed back than a few for each worker."""
    most = pool.workers * (_WAITING_IN_ORDER if ordered else _WAITING)
    running: dict[Any, T] = {}
    results: dict[Any, R | Lost] = {}
    for task in tasks:
        running[pool.submit(task)] = task
        while len(running) >= most:
            yield from _finished(pool, running, results, ordered)
    while running:
        yield from _finished(pool, running, results, ordered)


def _finished(
    pool: _Pool[T, R], running: dict[Any, T], results: dict[Any, R | Lost], ordered: bool
) -> Iterator[tuple[T, R | Lost]]:
    """Wait for a result, and hand back those whose turn has come; in ``results`` they wait for earlier ones."""
    for handle in pool.wait([handle for handle in running if handle not in results]):
        results[handle] = pool.result(running[handle], handle)
        for ready in list(takewhile(results.__contains__, running)) if ordered else (handle,):
            yield running.pop(ready), results.pop(ready)


class _ProcessPool(Generic[T, R]):
    """Processes that apply ``function``; replaced when one of them dies, and ended with the ``with`` statement."""

    def __init__(self, function: Callable[[T], R], workers: int, threads: int) -> None:
        self._function, self.workers = function, workers
        self._others = set(multiprocessing.active_children())
        # OpenMP reads it when a process starts, so it must be in the environment that the processes inherit.
        self._environment = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._pool = _new_pool(workers)

    def __enter__(self) -> Self:
        """The pool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes at once; nothing is left half-written where files are renamed into place."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - self._others:
            child.kill()
        if self._environment is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = self._environment

    def submit(self, task: T) -> Future[R]:
        """See :class:`_Pool`."""
        try:
            return self._pool.submit(self._function, task)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = _new_pool(self.workers)
            return self._pool.submit(self._function, task)

    def wait(self, handles: Sequence[Future[R]]) -> set[Future[R]]:
        """See :class:`_Pool`."""
        return wait(handles, return_when=FIRST_COMPLETED).done

    def result(self, task: T, handle: Future[R]) -> R | Lost:
        """See :class:`_Pool`."""
        try:
            return handle.result()
        except BrokenProcessPool:
            # One dead process takes all that were running with it, and nothing says whose fault it was.
            return self._alone(task)

    def _alone(self, task: T) -> R | Lost:
        pool = _new_pool(1)
        try:
            return pool.submit(self._function, task).result()
        except BrokenProcessPool:
            return Lost("the process that computed it was killed, most likely because memory ran out")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # an interruption must not wait for the task


def _new_pool(workers: int) -> ProcessPoolExecutor:
    # spawn, because a forked process inherits the locks of torch's and OpenMP's threads
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=begin_worker)


def begin_worker() -> None:
    """What a process that works for another does first.

    It leaves Ctrl-C and SIGTERM, which batch systems send to all, to the parent process, and ends with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


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

    def run(
        self, function: Callable[[T], R], tasks: Iterable[T], *, ordered: bool = False
    ) -> Iterator[tuple[T, R | Lost]]:
        """See :class:`Launcher`; raises :class:`OptionError` if Ray is not installed, the cluster not there, or none of
        its nodes large enough for a task."""
        with self._connection() as ray:
            _check_nodes([node["Resources"] for node in ray.nodes() if node["Alive"]], self.threads, self.gpus)
            with _RayPool(ray, with_library_in_use(function), self.threads, self.gpus) as pool:
                yield from _schedule(pool, tasks, ordered)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """Ray, connected; a connection that was made here ends with the block."""
        ray, mine = self._connected()
        try:
            yield ray
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


def _check_nodes(nodes: Sequence[Mapping[str, float]], threads: int, gpus: int) -> None:
    """Raise :class:`OptionError` unless a task of ``threads`` and ``gpus`` fits on one of the ``nodes``, given by their
    resources: it would wait for ever."""
    have = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]
    if any(threads <= cpus and gpus <= cards for cpus, cards in have):
        return
    most = [max(counts) for counts in zip((0, 0), *have, strict=True)]
    refused = [row for row in (("thread", threads, most[0], "CPU"), ("GPU", gpus, most[1], "GPU")) if row[1] > row[2]]
    if refused:
        wanted = " and ".join(counted(count, name) for name, count, _, _ in refused)
        there = " and ".join(counted(largest, unit) for _, _, largest, unit in refused)
        problem = f"a task asks for {wanted}, and no node of the Ray cluster has more than {there}"
    else:
        listed = "; ".join(f"{counted(cpus, 'CPU')}, {counted(cards, 'GPU')}" for cpus, cards in sorted(set(have)))
        wanted = f"{counted(threads, 'thread')} and {counted(gpus, 'GPU')}"
        problem = f"a task asks for {wanted}, and no node of the Ray cluster has both ({listed})"
    raise OptionError(problem, "ask for fewer --threads (--workers share them), or fewer GPUs")


def _applied(function: Callable[[T], R], task: T, threads: int) -> R:
    """``function(task)`` on ``threads`` CPU threads.  Ray takes plain functions only."""
    from clusterml.run.resources import use_threads

    use_threads(threads)
    return function(task)


class _RayPool(Generic[T, R]):
    """Tasks of the Ray cluster that ``ray`` is connected to; those that still run are cancelled at the end."""

    def __init__(self, ray: Any, function: Callable[[T], R], threads: int, gpus: int) -> None:
        self._ray, self._function, self._threads = ray, function, threads
        # max_retries: a task is done once more if its worker was killed
        self._remote = ray.remote(max_retries=1, num_cpus=threads, num_gpus=gpus)(_applied)
        places = ray.cluster_resources().get("GPU" if gpus else "CPU", 1.0) / (gpus or threads)
        self.workers = max(1, int(places))
        self._running: set[Any] = set()

    def __enter__(self) -> Self:
        """The pool itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what runs."""
        for handle in self._running:
            self._ray.cancel(handle, force=True)

    def submit(self, task: T) -> Any:
        """See :class:`_Pool`."""
        handle = self._remote.remote(self._function, task, self._threads)
        self._running.add(handle)
        return handle

    def wait(self, handles: Sequence[Any]) -> Iterable[Any]:
        """See :class:`_Pool`."""
        finished, _ = self._ray.wait(list(handles), num_returns=1)
        return list(finished)

    def result(self, task: T, handle: Any) -> R | Lost:
        """See :class:`_Pool`."""
        self._running.discard(handle)
        try:
            result: R = self._ray.get(handle)
        except self._ray.exceptions.RayTaskError:
            raise  # the function itself failed, as it would in a process of ours
        except self._ray.exceptions.RayError as error:
            return Lost(f"the worker was lost: {type(error).__name__}")
        return result


def check_workers(workers: int, option: str = "workers") -> None:
    """Raise :class:`OptionError` naming the ``option`` for a number of processes outside 1 to 256."""
    if not 1 <= workers <= 256:
        raise OptionError(f"{option} is {workers}", "give a number of processes between 1 and 256")


def launcher(workers: int, threads: int, cluster: str | None = None, gpus: int = 0) -> Launcher:
    """The place to run: a Ray ``cluster``, several processes that share ``threads``, or this process.

    ``gpus``: that each task of a Ray cluster asks for.  Raises what :func:`check_workers` raises.
    """
    check_workers(workers)
    each = max(1, threads // workers)
    if cluster is not None:
        return Ray(cluster, workers, each, gpus)
    return Here() if workers == 1 else Processes(workers, each)
