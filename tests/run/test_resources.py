"""The number of threads: the option, the environment, the machine."""

from __future__ import annotations

import os

import pytest

from clusterml.errors import OptionError
from clusterml.run import resources


@pytest.mark.parametrize(("set_to", "given", "expected"), [("3", None, 3), ("3,2", None, 3), ("3", 5, 5)])
def test_the_option_comes_before_the_environment(monkeypatch, set_to, given, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", set_to)
    assert resources.choose_threads(given) == expected


@pytest.mark.parametrize("set_to", ["", "many", "0", "-1", "99999", "²"])
def test_nonsense_in_the_environment_is_not_used(monkeypatch, set_to):
    monkeypatch.setenv("OMP_NUM_THREADS", set_to)
    assert resources.choose_threads(None) == resources.available_cores()


@pytest.mark.parametrize("given", [0, -1, 5000])
def test_impossible_numbers_are_refused(given):
    with pytest.raises(OptionError, match="threads"):
        resources.choose_threads(given)


@pytest.mark.parametrize(
    ("quota", "most"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", 4096), ("", 4096)]
)
def test_a_container_may_grant_less_than_the_machine_has(monkeypatch, tmp_path, quota, most):
    path = tmp_path / "cpu.max"
    path.write_text(quota)
    monkeypatch.setattr(resources, "_CGROUP_QUOTA", path)
    assert 1 <= resources.available_cores() <= most


def test_torch_and_child_processes_get_them(monkeypatch):
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = torch.get_num_threads()
    try:
        resources.use_threads(2)
        assert os.environ["OMP_NUM_THREADS"] == "2"
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
