"""The scheduler: order, bounded memory, killed workers, interruptions; and campaigns on a local Ray cluster."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from clusterml.dataset.runner import Ledger, generate
from clusterml.dataset.store import Dataset, damaged_shards
from clusterml.errors import OptionError
from clusterml.run.launcher import Here, Lost, Processes, Ray, launcher

PLACES = [Here(), Processes(2)]


FUNCTIONS = """
import os, signal, time

def square(number):
    time.sleep(0.02 * max(0, 6 - number))  # the later tasks are the quicker ones
    return number * number

def end_process(path):
    if not path or not os.path.exists(path):
        if path:
            open(path, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return path
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A module that spawned processes can import: a square, and what ends its process, for good or the first time."""
    (tmp_path / "functions_of_tasks.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("functions_of_tasks")
    del sys.modules["functions_of_tasks"]


@pytest.mark.parametrize("place", PLACES)
def test_every_task_has_its_result_in_order_where_that_is_asked(functions, place):
    tasks = list(range(12))
    assert list(place.run(functions.square, iter(tasks), ordered=True)) == [(n, n * n) for n in tasks]
    assert sorted(place.run(functions.square, iter(tasks))) == [(n, n * n) for n in tasks]
    assert list(place.run(functions.square, iter(()))) == []


@pytest.mark.parametrize("ordered", [True, False])
def test_few_tasks_are_taken_before_their_turn(functions, ordered):
    taken = []
    tasks = (taken.append(n) or n for n in range(100))
    results = Processes(2).run(functions.square, tasks, ordered=ordered)
    for count in range(1, 20):
        next(results)
        assert len(taken) - count < 8
    results.close()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_task_of_a_killed_process_is_done_once_more(functions, tmp_path, ordered):
    there = [str(tmp_path), f"{tmp_path}/.", f"{tmp_path}/./."]
    once = [there[0], str(tmp_path / "new"), *there[1:]]
    assert dict(Processes(2).run(functions.end_process, once, ordered=ordered)) == {path: path for path in once}
    results = dict(Processes(2).run(functions.end_process, [there[0], "", *there[1:]], ordered=ordered))
    lost = results.pop("")
    assert isinstance(lost, Lost)
    assert "was killed" in lost.reason
    assert lost.remedy in lost.reason
    assert results == {path: path for path in there}


def test_what_a_task_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(Processes(1).run((1).__floordiv__, iter([0])))


INTERRUPTED = """
import signal, sys, time
from clusterml.cli.main import terminated_as_interrupted
from clusterml.run.launcher import Processes

def work(seconds):
    time.sleep(seconds)
    return seconds

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background of a shell ignore it
    with terminated_as_interrupted():
        try:
            for task, result in Processes(2).run(work, iter([0, 600, 600, 600]), ordered=sys.argv[1] == "ordered"):
                print(result, flush=True)
        except KeyboardInterrupt:
            sys.exit(130)
"""


@pytest.mark.parametrize(
    ("number", "to_all", "ordered"),
    [
        (signal.SIGINT, False, "ordered"),
        (signal.SIGTERM, True, "ordered"),
        (signal.SIGINT, True, "as they come"),
        (signal.SIGTERM, False, "as they come"),
    ],
)
def test_an_interruption_ends_all_processes_at_once(tmp_path, number, to_all, ordered):
    (tmp_path / "work.py").write_text(INTERRUPTED)
    command = [sys.executable, str(tmp_path / "work.py"), ordered]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        soon(lambda: len(psutil.Process(process.pid).children(recursive=True)) >= 3, process)  # two and a tracker
        workers = psutil.Process(process.pid).children(recursive=True)
        if ordered != "ordered":
            assert process.stdout.readline() == "0\n"
        (os.killpg if to_all else os.kill)(process.pid, number)
        assert process.wait(SECONDS) == 130
        _, left = psutil.wait_procs(workers, SECONDS)
        assert left == []
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


SECONDS = 240.0
CAMPAIGN = """
name: tiny
title: small test
seed: 5
protocol: {orbitals: stda-xtb}
parents:
  ag3:
    build: {name: ag3, thiolate: SH}
    family: ag3
    hand: P
    counts: {reference: 1, mode: 5, thermal: 4}
    mirrors: 0.5
"""


def contents(folder) -> dict[str, bytes]:
    """What the records hold, without the timings."""
    return {
        r.id: b"".join(np.asarray(x).tobytes() for x in (r.positions, r.epsilon, r.delta_epsilon, r.rotatory_tensor))
        for r in Dataset(folder)
    }


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    path = tmp_path_factory.mktemp("ray") / "campaign.yaml"
    path.write_text(CAMPAIGN)
    return path


@pytest.fixture(scope="module")
def expected(campaign):
    generate(campaign, campaign.parent / "here", Here())
    return contents(campaign.parent / "here")


@pytest.fixture
def begin(campaign, tmp_path):
    """Starts the command with more options; whatever it left running is ended after the test."""
    started: list[subprocess.Popen] = []

    def start(*options: str) -> subprocess.Popen:
        command = [sys.executable, "-c", "from clusterml.cli.main import main; main()", "dataset", "generate"]
        command += [str(campaign), "-o", str(tmp_path / "d"), *options]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def soon(look, process):
    """What ``look()`` gives as soon as it gives something."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        result = look()
        if result:
            return result
        assert process.poll() is None, "the command ended too soon"
        time.sleep(0.02)
    raise AssertionError("nothing happened")


def busy_workers(process):
    """Workers of the cluster that ``process`` started which are doing a job."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            found += [child] if " ".join(child.cmdline()).startswith("ray::_applied") else []
        except psutil.NoSuchProcess:
            continue
    return found


def alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_two_workers_of_a_local_cluster_make_the_same_records(begin, expected, tmp_path):
    assert begin("--cluster", "local", "--workers", "2").wait(SECONDS) == 0
    assert contents(tmp_path / "d") == expected
    assert list(damaged_shards(tmp_path / "d")) == []


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(begin, expected, tmp_path):
    process = begin("--cluster", "local", "--workers", "2")
    killed = set()
    for _ in range(2):
        worker = soon(lambda: [w for w in busy_workers(process) if w.pid not in killed], process)[0]
        worker.kill()
        killed.add(worker.pid)
    assert process.wait(SECONDS) == 0
    assert contents(tmp_path / "d") == expected
    assert list(damaged_shards(tmp_path / "d")) == []


@pytest.mark.slow
def test_a_killed_campaign_goes_on_with_ray_or_without(begin, expected, tmp_path):
    staging, ledger = tmp_path / "d" / "staging", tmp_path / "d" / "ledger.jsonl"
    process = begin("--cluster", "local")
    soon(lambda: list(staging.glob("*.h5")), process)
    of_ray = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + SECONDS
    while any(alive(p) for p in of_ray) and time.monotonic() < end:
        time.sleep(0.5)
    assert not any(alive(p) for p in of_ray)  # a cluster ends with the command that started it
    assert begin("--cluster", "local", "--resume", "--limit", "2").wait(SECONDS) == 0
    assert 3 <= sum(event.state == "done" for event in Ledger(ledger).states().values()) < 10
    assert begin("--resume").wait(SECONDS) == 0
    assert contents(tmp_path / "d") == expected


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [True, False])
def test_ray_keeps_order_and_bounds_as_processes_do(functions, ordered, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    taken = []
    tasks = (taken.append(n) or n for n in range(12))
    results = []
    for result in Ray("local", 2).run(functions.square, tasks, ordered=ordered):
        results.append(result)
        assert len(taken) - len(results) < 8
    assert (results if ordered else sorted(results)) == [(n, n * n) for n in range(12)]


class RayOf:
    """Ray with nodes of these CPUs and GPUs, which no task of this test is ever given."""

    def __init__(self, *nodes: tuple[int, int]) -> None:
        self._nodes = nodes

    def nodes(self):
        gone = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
        return [gone] + [{"Alive": True, "Resources": {"CPU": float(c), "GPU": float(g)}} for c, g in self._nodes]


@pytest.mark.parametrize(
    ("nodes", "threads", "gpus", "words"),
    [
        ([(4, 0), (8, 0)], 16, 0, "asks for 16 threads, and no node of the Ray cluster has more than 8 CPUs"),
        ([(4, 0), (8, 1)], 2, 2, "asks for 2 GPUs, and no node of the Ray cluster has more than 1 GPU"),
        (
            [(4, 0)],
            8,
            1,
            "asks for 8 threads and 1 GPU, and no node of the Ray cluster has more than 4 CPUs and 0 GPUs",
        ),
        ([(2, 1), (8, 0)], 4, 1, "8 CPUs, 0 GPUs"),
        ([], 1, 0, "has more than 0 CPUs"),
    ],
)
def test_a_task_that_fits_on_no_node_does_not_wait_for_ever(nodes, threads, gpus, words, monkeypatch):
    monkeypatch.setattr(Ray, "_connected", lambda self: (RayOf(*nodes), False))
    with pytest.raises(OptionError, match=re.escape(words)):
        next(Ray("auto", threads=threads, gpus=gpus).run(str, iter([1])))


def test_a_place_on_ray_follows_from_the_options():
    assert launcher(2, 4, "local") == Ray("local", workers=2, threads=2)
    assert launcher(1, 1, "ray://there:10001", gpus=1) == Ray("ray://there:10001", gpus=1)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1", "nowhere", "auto"])
def test_a_cluster_that_is_not_there_is_named(address, campaign, tmp_path):
    command = [sys.executable, "-c", "from clusterml.cli.main import main; main()", "dataset", "generate"]
    command += [str(campaign), "-o", str(tmp_path / "d"), "--cluster", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    assert f"no Ray cluster at {address}" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_ray_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match="Ray"):
        list(Ray("local").run(str, iter([1])))
