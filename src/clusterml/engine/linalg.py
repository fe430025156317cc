"""Dense linear algebra on the chosen device (torch): eigenproblems and linear systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clusterml.errors import ElectronicStructureError

if TYPE_CHECKING:
    import torch

_STACKED = 32
"""Up to this size a stack of matrices is safe, and quicker than one after the other."""


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
