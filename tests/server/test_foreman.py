"""The thread that hands out jobs goes on whatever the computer lacks, and ends processes that nobody needs."""

from __future__ import annotations

import errno
import os
from importlib import import_module

import pytest

from clusterml.io.files import make_folder
from clusterml.server import foreman as room
from clusterml.server import processes
from clusterml.server.foreman import Foreman
from clusterml.server.jobs import Jobs
from clusterml.server.processes import hire
from clusterml.server.settings import Limits, Settings

from .conftest import wait_for

WORKER = """
from pathlib import Path

def work_at_once(line):
    while True:
        place = Path(line.recv_bytes().decode())
        (place / "result.json").write_text("{}")
        line.send_bytes(b"done")
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """What a process does whose jobs take no time; new processes find it, as they find programs."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "worker_of_tests.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path / "code")
    return import_module("worker_of_tests").work_at_once


def lack(number):
    return OSError(number, os.strerror(number))


@pytest.fixture
def jobs(tmp_path):
    return Jobs(make_folder(tmp_path / "jobs"), Limits())


@pytest.fixture
def begin(jobs, monkeypatch):
    """Starts the foreman of ``jobs``, whose new workers are what ``hiring`` gives."""
    begun = []

    def start(hiring):
        monkeypatch.setattr(room, "_SECONDS_BETWEEN_LOOKS", 0.05)
        monkeypatch.setattr(room, "hire", hiring)
        begun.append(Foreman(jobs, Settings(jobs_folder=jobs.folder)))
        begun[-1].start()
        return begun[-1]

    yield start
    for foreman in begun:
        foreman.close()


def add(jobs, name):
    return jobs.add("label", name, {"name": name}, {})[0].id


def test_a_job_waits_until_a_process_can_be_started(jobs, begin, work, capsys):
    lacks = [lack(errno.EAGAIN), lack(errno.EMFILE), lack(errno.ENOMEM)]

    def hiring(*_):
        assert [job.state for job in jobs.all()] == ["waiting", "running"]
        if lacks:
            raise lacks.pop()
        return hire(work)

    first, second = add(jobs, "a"), add(jobs, "b")
    begin(hiring)
    wait_for(lambda: jobs.find(second).state == "done", seconds=30.0)
    assert [(job.id, job.state, job.attempts) for job in jobs.all()] == [(second, "done", 1), (first, "done", 1)]
    assert capsys.readouterr().err.count("error: jobs: ") == 3


def test_a_job_that_was_put_back_was_not_begun_for_the_next_server_either(jobs):
    job = add(jobs, "a")
    jobs.next()
    jobs.put_back(job)
    later = Jobs(jobs.folder, Limits())
    later.load()
    assert [(found.id, found.state, found.started, found.attempts) for found in later.all()] == [
        (job, "waiting", None, 0)
    ]
    jobs.cancel(job)
    jobs.put_back(job)
    assert jobs.find(job).state == "cancelled"


def test_a_worker_that_nobody_needs_is_ended_and_another_one_hired(jobs, begin, work, monkeypatch):
    hired = []
    monkeypatch.setattr(processes, "IDLE_S", 0.3)
    first = add(jobs, "a")
    foreman = begin(lambda *_: hired.append(hire(work)) or hired[-1])
    wait_for(lambda: jobs.find(first).state == "done", seconds=30.0)
    wait_for(lambda: not hired[0].process.is_alive(), seconds=30.0)
    second = add(jobs, "b")
    foreman.look()
    wait_for(lambda: jobs.find(second).state == "done", seconds=30.0)
    assert len(hired) == 2


def test_the_foreman_looks_after_the_processes_of_answers(jobs, monkeypatch):
    monkeypatch.setattr(room, "_SECONDS_BETWEEN_LOOKS", 0.01)
    looks = []
    foreman = Foreman(jobs, Settings(jobs_folder=jobs.folder), lambda: looks.append(1))
    foreman.start()
    wait_for(lambda: len(looks) > 2, seconds=10.0)
    foreman.close()
