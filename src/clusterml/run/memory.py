"""The C library's allocator, told to keep what is freed.

A network allocates and frees arrays of megabytes all the time.  By default glibc gets each anew from the system, which
clears it page by page: a quarter of the time of predictions and training (docs/guide/training.md).
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

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
