"""Freed memory is kept: new arrays of the same size cost no page faults."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys

import pytest

from clusterml.run.resources import collection_paused, keep_freed_memory

PROGRAM = """
import resource, sys
import numpy as np
from clusterml.run.resources import collection_paused, keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for count in (3, 100):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        large = [np.ones(2_000_000) for _ in range(2)]
        del large
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_arrays_are_made_of_memory_that_is_there():
    assert faults("keep") < 0.1 * faults("not")


@pytest.mark.parametrize(("platform", "library"), [("darwin", ctypes.CDLL(None)), ("linux", object())])
def test_without_glibc_nothing_is_changed_and_nothing_breaks(monkeypatch, platform, library):
    keep_freed_memory.cache_clear()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    try:
        assert not keep_freed_memory()
    finally:
        keep_freed_memory.cache_clear()


def test_the_garbage_collector_pauses_and_goes_on():
    before = gc.get_freeze_count()
    with collection_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    gc.unfreeze()
