"""The check of a GPU, on the CPU: its rows, what it does where there is no GPU, and where a part of it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import clusterml
from helpers import script_module

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "check_gpu.py"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with script_module("check_gpu") as module:
        yield module


def started(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OUT": str(tmp_path / "out")}
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.mark.parametrize("check", ["predictions", "labels"])
def test_on_the_cpu_a_check_agrees_with_itself(script, check):
    rows = list(script.run_here(check, script.Place("cpu", quick=True)))
    assert len(rows) >= 3
    assert [row.result for row in rows if row.failed] == []
    assert all(row.seconds > 0.0 and row.memory_gb is None for row in rows)
    assert any("deviation of absorption 0e+00, of CD 0e+00" in row.result for row in rows)
    assert {str(row).count("|") for row in rows} == {script.HEADER.splitlines()[0].count("|")}


def test_without_a_gpu_there_is_nothing_to_check(tmp_path):
    done = started(tmp_path)
    assert done.returncode == 0
    assert "There is no GPU" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_check_that_fails_is_a_row_and_the_others_go_on(tmp_path):
    done = started(tmp_path, "--device", "cuda", "--quick", "--only", "predictions", "labels")
    assert done.returncode == 1
    table = (tmp_path / "out" / "check_gpu.md").read_text()
    assert "| predictions | load and predict one |" in table
    for check in ("predictions", "labels"):
        assert re.search(rf"\| {check} \| .* failed: OptionError: device is 'cuda' but torch finds no CUDA GPU", table)
    assert done.stdout.endswith("0 rows are well, 2 failed.\n")


def test_a_check_that_takes_too_long_is_ended(script):
    (row,) = script.run_apart("labels", script.Place("cpu", quick=True), 0.1)
    assert row.failed
    assert "the time is up" in row.result


def test_a_spectrum_that_is_off_is_a_failed_row(script):
    energy = np.linspace(1.0, 4.0, 31)
    curve = np.exp(-((energy - 2.5) ** 2))
    reference, other = (clusterml.Spectrum(energy, 1e4 * curve, factor * curve) for factor in (10.0, 10.1))
    with script.measured(script.Row("labels", "a case"), "cpu") as row:
        row.result = script._agreement([script.deviation(other, reference)], 5e-3)
    assert row.failed
    assert row.result == "deviation of absorption 0e+00, of CD 1e-02: more than 0.005"
    with script.measured(script.Row("labels", "a case"), "cpu") as row:
        row.result = script._agreement([script.deviation(other, reference)], 2e-2)
    assert not row.failed


@pytest.mark.parametrize("broken", [(0.0, np.nan), (np.nan, 0.0)])
def test_a_spectrum_of_nan_is_too_far_off_wherever_it_stands(script, broken):
    for deviations in ([broken, (0.0, 0.0)], [(0.0, 0.0), broken], [broken]):
        with pytest.raises(script.CheckFailed, match=r"nan.*: more than 0.005"):
            script._agreement(deviations, 5e-3)
