"""Linear algebra that must not depend on how many threads there are."""

import subprocess
import sys
import threading
import time

import pytest
import torch

from clusterml.engine.linalg import own_threads, solve, threads_for, together

STACKED = """
import torch
from clusterml.engine.linalg import solve
torch.set_num_threads(4)
generator = torch.Generator().manual_seed(1)
matrices = torch.randn(3, {n}, {n}, generator=generator, dtype=torch.complex128) + 30.0 * torch.eye({n})
right = torch.randn(3, {n}, 9, generator=generator, dtype=torch.complex128)
print(float((matrices @ solve(matrices, right) - right).abs().max()))
"""


@pytest.mark.parametrize("n", [32, 33, 300])
def test_many_threads_solve_a_stack_of_matrices(n: int) -> None:
    """torch.linalg.solve never comes back from 300."""
    done = subprocess.run(
        [sys.executable, "-c", STACKED.format(n=n)], capture_output=True, text=True, timeout=60, check=True
    )
    assert float(done.stdout) < 1e-10


def test_solve_has_the_shape_of_the_right_hand_side() -> None:
    """Any number of leading dimensions."""
    matrices = 10.0 * torch.eye(40) + torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    right = torch.ones(2, 3, 40, 2)
    torch.testing.assert_close(matrices @ solve(matrices, right), right)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_calls_share_threads_that_are_torch_s_own_no_longer() -> None:
    """Results in order; torch computes on one thread in each, and a call divides its own work no further."""
    at_a_time = threading.Barrier(3, timeout=30)

    def call(number: int) -> tuple[int, int, list[int], bool]:
        if number < 3:
            at_a_time.wait()
        with own_threads():
            inner = together([threading.get_ident] * 4, threads_for(torch.ones(1)))
        assert set(inner) == {threading.get_ident()}
        return number, torch.get_num_threads(), inner, torch.is_grad_enabled()

    with own_threads(), torch.no_grad():
        threads = threads_for(torch.ones(1))
        results = together([lambda number=number: call(number) for number in range(8)], threads)
        assert torch.get_num_threads() == 1
    assert threads == 3
    assert [number for number, *_ in results] == list(range(8))
    assert all(count == 1 and not grad for _, count, _, grad in results)
    assert len({thread for _, _, inner, _ in results for thread in inner}) == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
@pytest.mark.parametrize("of_main", [True, False])
def test_after_an_error_nothing_else_is_begun(error: type[BaseException], of_main: bool) -> None:
    begun, raised = [], threading.Event()

    def call() -> None:
        begun.append(1)
        if (threading.current_thread() is threading.main_thread()) is of_main and not raised.is_set():
            raised.set()
            raise error
        raised.wait(30)
        time.sleep(0.02)

    with pytest.raises(error), own_threads():
        together([call] * 60, 3)
    assert len(begun) < 30
