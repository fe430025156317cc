"""Matrices over the core atoms of a cluster, block by block, for the heads that diagonalise them.

An atom carries ``a`` scalars and ``b`` triplets, that is ``s = a + 3 b`` rows: scalars first, then triplets with their
three components.  Couplings between atoms have the two-centre form of J. C. Slater, G. F. Koster, Phys. Rev. 94, 1498
(1954).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clusterml.model.layers import Mlp, RadialBasis, Readout, symmetric_matrix


def energy_irreps(a: int, b: int, k: int) -> str:
    """Irreps of what :func:`energy_blocks` takes, for ``k`` bands: scalars' own and triplets' isotropic energies,
    scalar-triplet, and triplets' anisotropic ones."""
    return f"{k * (a + b * b)}x0e + {k * a * b}x1o + {k * b * b}x2e"


def energy_blocks(x: Tensor, scalar: Tensor, triplet: Tensor) -> Tensor:
    """On-site energies (n, k, s, s), to be symmetrised, from ``x`` (n, irreps), about ``scalar`` (.., k, a) and
    ``triplet`` (.., k, b)."""
    n, (k, a), b = len(x), scalar.shape[-2:], triplet.shape[-1]
    even, mixed, tensor = torch.split(x, [k * (a + b * b), 3 * k * a * b, 5 * k * b * b], dim=1)
    even, mixed, tensor = even.reshape(n, k, -1), mixed.reshape(n, k, a, 3 * b), tensor.reshape(n, k, b, b, 5)
    own, isotropic = even[..., :a] + scalar, even[..., a:].reshape(n, k, b, b)
    isotropic = 0.5 * (isotropic + isotropic.transpose(2, 3)) + torch.diag_embed(triplet)
    eye = torch.eye(3, dtype=x.dtype, device=x.device)
    triplets = isotropic[..., :, None, :, None] * eye[:, None, :]
    triplets = triplets + symmetric_matrix(tensor).transpose(3, 4)
    upper = torch.cat([torch.diag_embed(own), mixed], dim=3)
    lower = torch.cat([mixed.transpose(2, 3), triplets.reshape(n, k, 3 * b, 3 * b)], dim=3)
    return torch.cat([upper, lower], dim=2)


class PairFactors(nn.Module):
    """``n_out`` learned functions of the distance and of both atoms of ordered pairs, which fade at the cutoff."""

    def __init__(self, irreps: Any, n_out: int, cutoff: float, n_radial: int) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.basis = RadialBasis(n_radial)
        self.invariants = Readout(irreps, "8x0e")
        self.weights = Mlp(n_radial + 16, 64, n_out)
        self.envelope = nn.Linear(n_radial, n_out, bias=False)

    def factors(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        """Values for the pairs of ``graph.pair_index``, and unit vectors (p, 3) from the first atom to the second."""
        first, second = ranks(graph)[graph.pair_index]
        vectors = graph.pos[graph.pair_index[1]] - graph.pos[graph.pair_index[0]]
        distance = torch.linalg.vector_norm(vectors, dim=1)
        radial = self.basis(distance, self.cutoff)
        x = self.invariants(features)
        values = self.weights(torch.cat([radial, x[first], x[second]], dim=1)) * self.envelope(radial)
        return values, vectors / distance.unsqueeze(1)


class Couplings(PairFactors):
    """Blocks (p, bands, s, s) in eV between the rows of two atoms: two-centre integrals that fade at the cutoff."""

    def __init__(self, irreps: Any, bands: int, n_scalar: int, n_triplet: int, cutoff: float, n_radial: int) -> None:
        n_out = bands * (n_scalar**2 + 2 * n_scalar * n_triplet + 2 * n_triplet**2)
        super().__init__(irreps, n_out, cutoff, n_radial)
        self.bands, self.a, self.b = bands, n_scalar, n_triplet

    def forward(self, graph: Any, features: Tensor) -> Tensor:
        """Blocks of the pairs of ``graph.pair_index``, first atom in rows."""
        return self._blocks(*self.factors(graph, features))

    def _blocks(self, integrals: Tensor, unit: Tensor) -> Tensor:
        n, k, a, b = len(unit), self.bands, self.a, self.b
        integrals = integrals.unflatten(1, (k, integrals.shape[1] // k))
        ss, sp, ps, sigma, pi = torch.split(integrals, [a * a, a * b, a * b, b * b, b * b], dim=2)
        along = unit[:, :, None] * unit[:, None, :]
        across = torch.eye(3, dtype=unit.dtype, device=unit.device) - along
        pp = sigma.reshape(n, k, b, 1, b, 1) * along[:, None, None, :, None, :]
        pp = (pp + pi.reshape(n, k, b, 1, b, 1) * across[:, None, None, :, None, :]).reshape(n, k, 3 * b, 3 * b)
        sp = (sp.reshape(n, k, a, b, 1) * unit[:, None, None, None, :]).reshape(n, k, a, 3 * b)
        ps = -(ps.reshape(n, k, b, 1, a) * unit[:, None, None, :, None]).reshape(n, k, 3 * b, a)
        upper = torch.cat([ss.reshape(n, k, a, a), sp], dim=3)
        return torch.cat([upper, torch.cat([ps, pp], dim=3)], dim=2)


def ranks(graph: Any) -> Tensor:
    """The place (n,) of each atom among the core atoms; anything for the others."""
    rank = torch.zeros_like(graph.z)
    rank[graph.core_index] = torch.arange(len(graph.core_index), device=rank.device)
    return rank


Rows = tuple[Tensor, ...]


def systems(
    graph: Any, atoms: Sequence[Tensor], pairs: Sequence[Tensor]
) -> Iterator[tuple[Rows, Rows, Tensor, Tensor]]:
    """For each graph of a batch its rows of ``atoms``, each (c, ..), and of ``pairs``, each (p, ..), and the first and
    the second atoms of these pairs, counted from 0."""
    where = graph.batch[graph.core_index]
    first, second = ranks(graph)[graph.pair_index]
    starts = torch.searchsorted(where, torch.arange(graph.num_graphs + 1, device=where.device))
    sizes, counts = (torch.diff(x).tolist() for x in (starts, torch.searchsorted(first, starts)))
    of_atoms = zip(*(x.split(sizes) for x in atoms), strict=True)
    of_pairs = zip(*(x.split(counts) for x in (*pairs, first, second)), strict=True)
    for start, own, (*between, i, j) in zip(starts.tolist()[:-1], of_atoms, of_pairs, strict=True):
        yield own, tuple(between), i - start, j - start


def dense(own: Tensor, pairs: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The matrix (n s, n t, ..) of blocks (n, s, t, ..) of atoms and (p, s, t, ..) of ordered pairs of them."""
    n, s, t = own.shape[:3]
    blocks = own.new_zeros(n * n, *own.shape[1:])
    diagonal = torch.arange(n, device=first.device) * (n + 1)
    blocks = blocks.index_add(0, torch.cat([diagonal, first * n + second]), torch.cat([own, pairs]))
    return blocks.unflatten(0, (n, n)).transpose(1, 2).reshape(n * s, n * t, *own.shape[3:])


def carried(metal: Sequence[int], donor: Sequence[int]) -> Tensor:
    """Which rows (2, s) metals and donors carry, of as many scalars and triplets ``(a, b)`` as either has."""
    size = [max(pair) for pair in zip(metal, donor, strict=True)]
    rows = [
        [k < a for k in range(size[0])] + [k < b for k in range(size[1]) for _ in range(3)] for a, b in (metal, donor)
    ]
    return torch.tensor(rows)
