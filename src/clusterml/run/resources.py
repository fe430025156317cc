"""Threads, memory and what is kept: CPU threads of a calculation, freed memory, the last results of something slow."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from pathlib import Path
from typing import TypeVar

from clusterml.errors import ClusterMLError, InputFileError, OptionError, OutputError
from clusterml.io.words import is_whole

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MOST_THREADS = 1024


def available_cores() -> int:
    """CPU cores this process may use: those it is bound to, and no more than a container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota() or cores))


def _quota() -> int | None:
    """Cores that the control group grants (``max`` means no limit), or None."""
    try:
        granted, period = _CGROUP_QUOTA.read_text().split()
        return max(1, int(granted) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def choose_threads(threads: int | None) -> int:
    """``threads``, else OMP_NUM_THREADS, else :func:`available_cores`; raises OptionError outside 1 to 1024."""
    if threads is None:
        words = os.environ.get("OMP_NUM_THREADS", "").split(",")
        return int(words[0]) if is_whole(words[0]) and 1 <= int(words[0]) <= _MOST_THREADS else available_cores()
    if not 1 <= threads <= _MOST_THREADS:
        raise OptionError(f"threads is {threads}", f"give a number between 1 and {_MOST_THREADS}")
    return threads


def use_threads(threads: int) -> None:
    """Let this process, and those it starts, compute on ``threads`` threads.

    OpenMP, OpenBLAS and MKL read OMP_NUM_THREADS once, when they load: call this before numpy is imported.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES = 1 << 30
_LARGEST_BYTES = 32 << 20  # glibc takes no more


@cache
def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of freed memory for its next arrays of up to 32 MiB; is that possible here?

    Only with glibc; elsewhere nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))


@contextmanager
def collection_paused() -> Iterator[None]:
    """Python's garbage collector does not run inside, and leaves alone for good what there is at the end.

    For loading libraries: they make half a million objects that stay, and searching these takes a fifth of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


T = TypeVar("T")


class Cache(OrderedDict[Hashable, T | ClusterMLError]):
    """At most ``most`` results; the one that was not asked for longest goes first.  A refusal is a result, too."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def find(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result for ``key``, made if it is not kept any more.

        Raises the :class:`ClusterMLError` that ``make`` raises, again without making (but for an :class:`OutputError`
        or :class:`InputFileError`, which may pass: a full disk).
        """
        if key not in self:
            self[key] = _outcome(make)
            if len(self) > self._most:
                self.popitem(last=False)
        self.move_to_end(key)
        result = self[key]
        if isinstance(result, ClusterMLError):
            raise copy(result)  # what is kept must not gather the frames that it passes
        return result


def _outcome(make: Callable[[], T]) -> T | ClusterMLError:
    try:
        return make()
    except (OutputError, InputFileError):
        raise
    except ClusterMLError as error:
        return copy(error)  # without traceback and cause, which hold on to what was in use
