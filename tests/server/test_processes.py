"""Processes that work for the server: what they leave behind is removed, and they wait for work without end."""

from __future__ import annotations

import errno
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from clusterml.server import processes
from clusterml.server.processes import hire, next_work

WORKER = """
import os
import tempfile
from pathlib import Path

def leave_files(line):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "structure.xyz").write_text("1")
        line.send_bytes(f"{folder} {os.environ['TMPDIR']}".encode())
        line.recv_bytes()
"""


@pytest.fixture
def leave_files(tmp_path, monkeypatch):
    """A target that waits with a temporary file, whose parent has its own in ``tmp_path``."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "leaving_files.py").write_text(WORKER)
    monkeypatch.syspath_prepend(code)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    return import_module("leaving_files").leave_files


def test_a_process_that_is_ended_leaves_no_temporary_file(tmp_path, leave_files):
    worker = hire(leave_files)
    own, of_programs = (Path(word) for word in worker.line.recv_bytes().decode().split())
    assert (own / "structure.xyz").is_file()
    assert own.parent == of_programs
    assert own.is_relative_to(tmp_path / "temporary")
    worker.kill()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_process_that_cannot_be_started_leaves_none_either(tmp_path, leave_files, monkeypatch):
    def start(_):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(SpawnProcess, "start", start)
    with pytest.raises(OSError, match=os.strerror(errno.EAGAIN)):
        hire(leave_files)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_work_that_comes_late_is_done(monkeypatch):
    monkeypatch.setattr(processes, "IDLE_S", 0.05)
    ours, theirs = Pipe()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(next_work, theirs)
        with pytest.raises(TimeoutError):
            work.result(0.5)
        ours.send_bytes(b"work")
        assert work.result(5.0) == b"work"
    ours.close()
    assert next_work(theirs) is None
    theirs.close()
