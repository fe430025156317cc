"""Campaigns on a local Ray cluster, as a user starts them: the same records as without, killed workers or not."""

from __future__ import annotations

import os
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
from clusterml.run.launcher import Here, Ray, launcher

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


def soon(found, process):
    """What ``found()`` gives as soon as it gives something."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        result = found()
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


def test_a_place_on_ray_follows_from_the_options():
    assert launcher(2, 4, "local") == Ray("local", workers=2, threads=2)
    assert launcher(1, 1, "ray://there:10001", gpus=1) == Ray("ray://there:10001", gpus=1)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1", "nowhere", "auto"])
def test_a_cluster_that_is_not_there_is_named(address, campaign, tmp_path):
    command = [sys.executable, "-c", "from clusterml.cli.main import main; main()", "dataset", "generate"]
    command += [str(campaign), "-o", str(tmp_path / "d"), "--cluster", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1
    assert f"no Ray cluster at {address}" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_ray_the_user_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match="Ray"):
        list(Ray("local").run(str, iter([1])))
