"""Block Lanczos: pseudo-states that reproduce broadened spectra without the eigenpairs of a large matrix.

Started from the electric, velocity and magnetic dipole vectors, the Krylov space of p blocks reproduces the first
2p + 1 moments of every spectral function <x|delta(E - A)|y> between start vectors.  Its Ritz pairs therefore act as
transitions: isolated states converge to the true ones, dense regions are represented by fewer, averaged
pseudo-states, and the broadened spectrum converges geometrically with p.  Every block is orthogonalised against the
whole basis, which keeps it orthonormal to working precision.
Sources: C. Lanczos, J. Res. Natl. Bur. Stand. 45, 255 (1950); G. H. Golub, R. Underwood, in Mathematical Software III
(1977), p. 361 (block form).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterml.errors import ElectronicStructureError

if TYPE_CHECKING:
    import torch

_FIRST_CHECK = 24
_CHECK_GROWTH = 1.15
"""Convergence is tested at these numbers of blocks: each test costs an eigenproblem of the projected matrix."""


@dataclass(frozen=True)
class RitzPairs:
    """Ritz pairs of a block Krylov space: ``values`` (n,) ascending, ``rotation`` (m, n), ``basis`` (m, n_vector).

    Ritz vector k is ``rotation[:, k] @ basis``.
    """

    values: torch.Tensor
    rotation: torch.Tensor
    basis: torch.Tensor
    n_blocks: int

    def project(self, targets: torch.Tensor) -> torch.Tensor:
        """Overlaps (n, k) in float64 of the Ritz vectors with ``targets`` (k, n_vector)."""
        return self.rotation.T @ (self.basis @ targets.T).double()

    def vectors(self, which: torch.Tensor) -> torch.Tensor:
        """Ritz vectors (len(which), n_vector) of the chosen indices."""
        return self.rotation[:, which].T.to(self.basis.dtype) @ self.basis


def orthonormalised(vectors: torch.Tensor) -> torch.Tensor:
    """Orthonormal rows spanning the rows of ``vectors`` (k, n), found through their Gram matrix, twice.

    Directions that are dependent to working precision are dropped; the second pass restores the orthogonality that
    the first loses to cancellation.
    """
    import torch

    norms = vectors.norm(dim=1)
    kept = vectors[norms > 0] / norms[norms > 0][:, None]
    cutoff = 100.0 * torch.finfo(vectors.dtype).eps
    for _ in range(2):
        if len(kept) == 0:
            break
        values, rotation = torch.linalg.eigh((kept @ kept.T).double())
        good = values > cutoff * values[-1]
        kept = (rotation[:, good] / values[good].sqrt()).T.to(vectors.dtype) @ kept
    return kept


class BlockLanczos:
    """A growing block Krylov space of a symmetric operator.

    ``apply`` maps (k, n) to (k, n); ``start`` (k, n) are the start vectors; ``capacity`` is the most basis vectors
    held: memory is capacity * n elements of the start vectors' dtype plus a few blocks.
    """

    def __init__(self, apply: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, capacity: int) -> None:
        first = orthonormalised(start)
        if len(first) == 0:
            raise ElectronicStructureError(
                "all transition moments vanish", "the molecule does not absorb; check the input"
            )
        self._apply = apply
        self._capacity = max(min(capacity, start.shape[1]), len(first))
        self._basis = start.new_empty((self._capacity, start.shape[1]))
        self._projected = start.new_zeros((self._capacity, self._capacity)).double()
        self._basis[: len(first)] = first
        self._sizes = [len(first)]
        self._done = 0

    @property
    def size(self) -> int:
        """Number of basis vectors."""
        return sum(self._sizes)

    @property
    def n_blocks(self) -> int:
        """Number of blocks the operator was applied to."""
        return len(self._sizes) - 1

    @property
    def exhausted(self) -> bool:
        """Whether the space cannot grow: it is invariant under the operator, or the capacity is used up."""
        return self._sizes[-1] == 0

    @property
    def full(self) -> bool:
        """Whether growth ended because the capacity is used up rather than because the space is complete."""
        return self.exhausted and self._done == self._capacity < self._basis.shape[1]

    def expand(self) -> None:
        """Apply the operator to the newest block and add the new directions found."""
        import torch

        first, last = self._done, self.size
        block, known = self._basis[first:last], self._basis[:last]
        image = self._apply(block)
        scale = float(image.norm(dim=1).max())
        if not scale < float("inf"):
            raise ElectronicStructureError("the Krylov expansion met non-finite numbers", "use --dtype float64")
        previous = first - (self._sizes[-2] if len(self._sizes) > 1 else 0)
        recent = self._basis[previous:last]
        residual = image - (image @ recent.T) @ recent
        eps = torch.finfo(image.dtype).eps
        fresh = orthonormalised(residual[residual.norm(dim=1) > 100.0 * eps * scale])
        fresh = orthonormalised(fresh - (fresh @ known.T) @ known)[: self._capacity - last]
        self._store(first, last, block @ image.T)
        self._store(last, last + len(fresh), fresh @ image.T, column=first)
        self._basis[last : last + len(fresh)] = fresh
        self._sizes.append(len(fresh))
        self._done = last

    def _store(self, start: int, stop: int, values: torch.Tensor, column: int | None = None) -> None:
        column = start if column is None else column
        self._projected[start:stop, column : column + values.shape[1]] = values.double()
        self._projected[column : column + values.shape[1], start:stop] = values.T.double()

    def ritz(self) -> RitzPairs:
        """Ritz pairs of the blocks the operator has been applied to."""
        import torch

        n = self._done
        projected = self._projected[:n, :n]
        values, rotation = torch.linalg.eigh(0.5 * (projected + projected.T))
        return RitzPairs(values, rotation, self._basis[:n], self.n_blocks)


def converged_ritz_pairs(
    space: BlockLanczos,
    accept: Callable[[RitzPairs], bool],
    progress: Callable[[int], None] | None = None,
) -> tuple[RitzPairs, bool]:
    """Grow ``space`` until ``accept(pairs)`` is true or it cannot grow; returns the pairs and whether they converged.

    A space that is exhausted without being full is complete, hence exact.
    """
    next_check = _FIRST_CHECK
    while not space.exhausted:
        while not space.exhausted and space.n_blocks < next_check:
            space.expand()
            if progress is not None:
                progress(space.n_blocks)
        pairs = space.ritz()
        if accept(pairs):
            return pairs, True
        next_check = max(next_check + 4, int(next_check * _CHECK_GROWTH))
    return space.ritz(), not space.full
