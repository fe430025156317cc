"""Dense linear algebra on the chosen device (torch): eigenproblems, linear systems, and independent work on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from clusterml.errors import ElectronicStructureError
from clusterml.structure.superpose import torch_threads

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Matrix = np.ndarray[Any, Any]

_STACKED = 32
"""Up to this size a stack of matrices is safe, and quicker than one after the other."""


@dataclass(frozen=True)
class _Team:
    """``threads`` that share work: the one that has it, and those of the ``pool``."""

    threads: int = 1
    pool: ThreadPoolExecutor | None = None


_ALONE = _Team()
_TEAM: ContextVar[_Team] = ContextVar("team", default=_ALONE)


@contextmanager
def own_threads() -> Iterator[None]:
    """Within the block :func:`together` has the threads of torch, which itself computes on one.

    Else its idle threads would wait for work by turning in circles, at the expense of ours.
    """
    import torch

    threads = torch.get_num_threads()
    if threads == 1:  # or within such a block
        yield
        return
    with ThreadPoolExecutor(threads - 1) as pool, torch_threads(1):
        token = _TEAM.set(_Team(threads, pool))
        try:
            yield
        finally:
            _TEAM.reset(token)


def threads_for(tensor: torch.Tensor) -> int:
    """Threads of :func:`together` for work with ``tensor``: one where it is on a GPU."""
    return 1 if tensor.is_cuda else _TEAM.get().threads


def together(calls: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """Results of independent ``calls``, in order, computed on up to ``threads`` of :func:`own_threads`.

    Threads of a library divide every product, and wait for each other at the end of each: many small products take
    longer on two than on one.  Here a thread takes the next call when it is done with one.  The numbers are those of
    one thread.  After an error, which is raised, or an interrupt nothing else is begun.
    """
    import torch

    pool = _TEAM.get().pool
    if pool is None or min(threads, len(calls)) <= 1:
        return [call() for call in calls]
    left = iter(enumerate(calls))
    results: dict[int, T] = {}
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()  # each thread has its own

    def work() -> None:
        token = _TEAM.set(_ALONE)
        try:
            torch.set_num_threads(1)  # each thread has its own number
            with torch.inference_mode(inference), torch.set_grad_enabled(grad):
                for number, call in left:
                    results[number] = call()
        finally:
            list(left)
            _TEAM.reset(token)

    others = [pool.submit(work) for _ in range(min(threads, len(calls)) - 1)]
    try:
        work()
    finally:
        wait(others)
    for other in others:
        other.result()
    return [results[number] for number in range(len(calls))]


def product(left: Matrix, right: Matrix) -> Matrix:
    """``left`` (.., n) times ``right`` (n, ..) by torch: threads of numpy turn in circles for 40 ms after a product."""
    import torch

    return np.asarray((torch.as_tensor(left) @ torch.as_tensor(right)).numpy())


def symmetric_eigh(matrix: torch.Tensor, what: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues (n,) ascending and eigenvectors (n, n) of a symmetric matrix.

    Raises ElectronicStructureError, naming ``what``, when the solver fails or the result is not finite.
    """
    import torch

    try:
        values, vectors = torch.linalg.eigh(matrix)
    except RuntimeError as exc:
        raise ElectronicStructureError(
            f"the eigenproblem of the {what} did not converge", "check the geometry"
        ) from exc
    if not bool(torch.isfinite(values).all()):
        raise ElectronicStructureError(f"the eigenvalues of the {what} are not finite", "check the geometry")
    return values, vectors


def solve(matrices: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """X (.., n, k) of ``matrices`` (.., n, n) X = ``right`` (.., n, k).

    On a processor large matrices are solved for one by one: torch 2.13 with MKL and several threads never comes back
    from a stack of them.
    """
    import torch

    if matrices.dim() == 2 or matrices.is_cuda or matrices.shape[-1] <= _STACKED:
        return torch.linalg.solve(matrices, right)
    pairs = zip(matrices.flatten(0, -3), right.flatten(0, -3), strict=True)
    return torch.stack([torch.linalg.solve(matrix, known) for matrix, known in pairs]).reshape(right.shape)


def inverse_cholesky(overlap: torch.Tensor) -> torch.Tensor:
    """Inverse of the lower Cholesky factor of an overlap matrix, shape (n, n).

    Raises ElectronicStructureError when the overlap is not positive definite (atoms too close).
    """
    import torch

    factor, info = torch.linalg.cholesky_ex(overlap)
    if int(info) != 0:
        raise ElectronicStructureError(
            "the overlap matrix is not positive definite", "two atoms are probably too close; check the geometry"
        )
    identity = torch.eye(len(overlap), dtype=overlap.dtype, device=overlap.device)
    return torch.linalg.solve_triangular(factor, identity, upper=False)


def overlap_powers(overlap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``(S^(1/2), S^(-1/2))`` of an overlap matrix; ElectronicStructureError when it is not positive definite."""
    values, vectors = symmetric_eigh(overlap, "overlap matrix")
    if float(values[0]) <= 1e-10:
        raise ElectronicStructureError(
            f"the overlap matrix is singular (smallest eigenvalue {float(values[0]):.1e})",
            "two atoms are probably too close; check the geometry",
        )
    root = values.sqrt()
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
