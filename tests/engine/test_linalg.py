"""Linear algebra that must not depend on how many threads there are."""

import subprocess
import sys

import pytest
import torch

from clusterml.engine.linalg import solve

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
