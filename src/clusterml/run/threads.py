"""How many CPU threads a calculation uses: set before the numerical libraries load, and for those already loaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from clusterml.errors import OptionError

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
        return int(words[0]) if words[0].isdigit() and 1 <= int(words[0]) <= _MOST_THREADS else available_cores()
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
