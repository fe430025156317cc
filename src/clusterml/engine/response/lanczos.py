"""Block Lanczos: pseudo-states that reproduce broadened spectra without the eigenpairs of a large matrix.

Started from the electric, velocity and magnetic dipole vectors, the Krylov space of p blocks reproduces the first
2p + 1 moments of every spectral function <x|delta(E - A)|y> between start vectors.  Its Ritz pairs therefore act as
transitions: isolated states converge to the true ones, dense regions are represented by fewer, averaged
pseudo-states, and the broadened spectrum converges geometrically with p.

Blocks are orthogonalised against their two predecessors only.  Orthogonality to older blocks is then lost as Ritz
values converge, and converged states reappear as copies that share their intensity; f(A) b = Q f(T) e_1 stays exact
to working precision all the same (V. Druskin, L. Knizhnerman, Comput. Math. Math. Phys. 29, 112 (1989)), as long as
overlaps with start vectors are taken from the first block.  Small spaces, which can be exhausted, are orthogonalised in
full.  Sources: C. Lanczos, J. Res. Natl. Bur. Stand. 45, 255 (1950); G. H. Golub, R. Underwood, in Mathematical
Software III (1977), p. 361 (block form).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterml.engine.linalg import solve
from clusterml.errors import ElectronicStructureError

if TYPE_CHECKING:
    import torch

FIRST_CHECK = 24
CHECK_GROWTH = 1.04
"""Convergence is tested at these numbers of blocks, for next to nothing with a :class:`Resolvent`."""

_JOINED = 32
"""Blocks that are stored as one when vectors are made."""

_FULL_ORTHOGONALISATION = 3000
"""Vectors up to this length are orthogonalised against all blocks."""


@dataclass(frozen=True)
class RitzPairs:
    """Ritz pairs of a block Krylov space, float64.

    ``values`` (n,) ascending; ``rotation`` (m, n): Ritz vectors in the Krylov basis; ``starts`` (n, k) and ``targets``
    (n, k'): overlaps of the Ritz vectors with the start and the target vectors.
    """

    values: torch.Tensor
    rotation: torch.Tensor
    starts: torch.Tensor
    targets: torch.Tensor

    def select(self, which: torch.Tensor) -> RitzPairs:
        """The chosen pairs only."""
        return RitzPairs(self.values[which], self.rotation[:, which], self.starts[which], self.targets[which])


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

    ``apply`` maps (k, n) to (k, n); ``start`` (k, n) are the start vectors, ``targets`` (k', n) further vectors whose
    overlaps with the Ritz vectors are wanted.  ``capacity``: most basis vectors in all.  ``keep``: store the basis in
    single precision (capacity * n * 4 bytes), which :meth:`vectors` needs; without it memory is a few blocks.
    """

    def __init__(
        self,
        apply: Callable[[torch.Tensor], torch.Tensor],
        start: torch.Tensor,
        targets: torch.Tensor,
        capacity: int,
        keep: bool = True,
    ) -> None:
        import torch

        first = orthonormalised(start)
        if len(first) == 0:
            raise ElectronicStructureError("all transition moments vanish", "the molecule is dark; check the input")
        n_vector = start.shape[1]
        self._apply = apply
        self._capacity = max(min(capacity, n_vector), len(first))
        self._full = n_vector <= _FULL_ORTHOGONALISATION
        self._keep = keep or self._full
        self._dtype = start.dtype if self._full else torch.float32
        self._diagonal: list[torch.Tensor] = []
        self._lower: list[torch.Tensor] = []
        self._starts = (first @ start.T).double()
        self._targets = targets
        self._overlaps = [(first @ targets.T).double()]
        self._recent = [first]
        self._stored = [first.to(self._dtype)] if self._keep else []
        self._sizes = [len(first)]

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
    def truncated(self) -> bool:
        """Whether growth ended at the capacity rather than because the space is complete."""
        return self.exhausted and self.size == self._capacity < self._recent[0].shape[1]

    def expand(self) -> None:
        """Apply the operator to the newest block and add the new directions found."""
        import torch

        block = self._recent[-1]
        image = self._apply(block)
        scale = float(image.norm(dim=1).max())
        if not scale < float("inf"):
            raise ElectronicStructureError("the Krylov expansion met non-finite numbers", "use --dtype float64")
        known = torch.cat(self._stored if self._full else self._recent)
        residual = image - (image @ known.T) @ known
        smallest = 100.0 * torch.finfo(image.dtype).eps * scale
        fresh = orthonormalised(residual[residual.norm(dim=1) > smallest])
        fresh = orthonormalised(fresh - (fresh @ known.T) @ known)[: self._capacity - self.size]
        self._diagonal.append((block @ image.T).double())
        self._lower.append((fresh @ image.T).double())
        self._overlaps.append((fresh @ self._targets.T).double())
        self._recent = [block, fresh]
        if self._keep:
            self._stored.append(fresh.to(self._dtype))
        self._sizes.append(len(fresh))

    @property
    def n_start(self) -> int:
        """Number of start vectors."""
        return self._starts.shape[1]

    def projected_blocks(self, first: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Of the blocks from the one numbered ``first`` on: the diagonal block of the projected operator, the one below
        it, and the overlaps with start and target vectors."""
        import torch

        for number in range(first, self.n_blocks):
            targets = self._overlaps[number]
            starts = self._starts if number == 0 else targets.new_zeros((len(targets), self.n_start))
            yield self._diagonal[number], self._lower[number], torch.cat([starts, targets], dim=1)

    def _projected(self) -> torch.Tensor:
        """The operator in the Krylov basis: symmetric, block-tridiagonal, (n, n)."""
        import torch

        matrix = torch.block_diag(*self._diagonal)
        at = 0
        for size, lower in zip(self._sizes, self._lower[:-1], strict=False):
            rows, columns = slice(at + size, at + size + len(lower)), slice(at, at + size)
            matrix[rows, columns] = lower
            matrix[columns, rows] = lower.T
            at += size
        return 0.5 * (matrix + matrix.T)

    def ritz(self) -> RitzPairs:
        """Ritz pairs of the blocks the operator has been applied to."""
        import torch

        values, rotation = torch.linalg.eigh(self._projected())
        overlaps = torch.cat(self._overlaps)[: len(values)]
        return RitzPairs(values, rotation, rotation[: self._sizes[0]].T @ self._starts, rotation.T @ overlaps)

    def vectors(self, pairs: RitzPairs) -> torch.Tensor:
        """Ritz vectors (n, n_vector) of ``pairs`` in single precision, not normalised; needs the basis to be kept."""
        import torch

        rows = pairs.rotation.T.to(self._dtype)
        total = rows.new_zeros((len(rows), self._recent[0].shape[1]))
        joined, offset = [], 0
        while self._stored:
            joined.append(torch.cat(self._stored[:_JOINED]))
            del self._stored[:_JOINED]
        self._stored = joined
        for stored in joined:
            block = stored[: rows.shape[1] - offset]
            total.addmm_(rows[:, offset : offset + len(block)], block)
            offset += len(block)
        return total


class Resolvent:
    """<x|(A - z)^-1|s> of start vectors s with start and target vectors x, for complex z, over a growing Krylov space.

    By block elimination: with D_p the diagonal blocks of the projected A, L_p those below them, F_p the overlaps of
    block p with all x, and S_p = D_p - z - L_p-1 S_p-1^-1 L_p-1^T, G_p = F_p - L_p-1 S_p-1^-1 G_p-1, it is the sum of
    G_p^T S_p^-1 G_p.  A new block adds a term.  No S_p is singular, as z is not real.
    """

    def __init__(self, points: torch.Tensor) -> None:
        self._minus_z = -points[:, None, None]
        self._carried = self._sum = self._correction = self._minus_z.new_zeros((1, 1, 1))
        self._done = 0

    def of(self, space: BlockLanczos) -> torch.Tensor:
        """The matrices (j, k + k', k) for the blocks that the operator was applied to."""
        import torch

        for diagonal, lower, overlaps in space.projected_blocks(self._done):
            middle, below, vectors = (block.to(self._minus_z) for block in (diagonal, lower, overlaps))
            unit, n_start = torch.eye(len(middle)).to(middle), space.n_start
            pivot = 0.5 * (middle + middle.T) + self._minus_z * unit - self._correction
            vectors = (vectors - self._carried).expand(len(pivot), -1, -1)
            solved = solve(pivot, torch.cat([vectors, below.T.expand(len(pivot), -1, -1)], dim=2))
            width = vectors.shape[2]
            self._sum = self._sum + vectors.transpose(1, 2) @ solved[:, :, :n_start]
            self._carried, self._correction = below @ solved[:, :, :width], below @ solved[:, :, width:]
            self._done += 1
        return self._sum


def converged_ritz_pairs(
    space: BlockLanczos,
    accept: Callable[[BlockLanczos], bool],
    progress: Callable[[int], None] | None = None,
    first_check: int = FIRST_CHECK,
    growth: float = CHECK_GROWTH,
) -> tuple[RitzPairs, bool]:
    """Grow ``space`` until ``accept(space)`` is true or it cannot grow; returns its pairs and whether they converged.

    ``accept`` is asked at ``first_check`` blocks and then whenever their number has grown by the factor ``growth``: a
    large one where a test is dear beside the operator.
    A space that is exhausted without being truncated is complete, hence exact.
    """
    next_check = first_check
    while not space.exhausted:
        while not space.exhausted and space.n_blocks < next_check:
            space.expand()
            if progress is not None:
                progress(space.n_blocks)
        if accept(space):
            return space.ritz(), True
        next_check = max(next_check + 1, int(next_check * growth))
    return space.ritz(), not space.truncated
