"""Configurations far above the contour: their part in the response costs matrix products of orbitals, not of pairs.

Of a thousand functions nine in ten pairs of orbitals lie above all that light of the range excites.  There is nothing
to resolve there, and two bases of few functions of D stand for g(z) = 1 / (D^2 - z^2) at all points z at once:

1.  Among charges, exponentials: 4 D g(z) = sum_k c_k(z) exp(-D t_k), fitted to the far range.  They factorise, so that
    sum_ia q_A q_B exp(-D t) = sum over functions mu of A and nu of B of (L_o e^(E_o t) L_o^T) (L_v e^(-E_v t) L_v^T),
    elementwise: no pair of orbitals is seen.
2.  Charges with moments, polynomials in u = 1 / (D^2 - b): g / u is interpolated on Chebyshev nodes.  Poles of g lie
    far from the interval of u, and the error is relative to g at all D.

Pairs are far whose occupied orbital lies deep enough for every virtual one, or the virtual one high enough for every
occupied one; the others are explicit (:class:`~clusterml.engine.response.quadrature.NodeSums`).
Sources: M. Haeser, J. Almloef, J. Chem. Phys. 96, 489 (1992) (Laplace transform); the polynomials as in
:mod:`clusterml.engine.response.contour`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine.linalg import threads_for, together
from clusterml.engine.response.active import ActiveSpace
from clusterml.engine.response.quadrature import Contour, Interval
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    import torch

_DECAYS = 14
"""Exponentials; they fit to 3e-5 where the far range is 200 times as long as its distance to the contour, to 5e-7 where
it is 40 times as long."""
_SLOWEST, _FASTEST = 0.77, 5.5
"""Their first and last time, in units of the reciprocal length of the far range, and of that of its distance."""
_CONDITION = 1e-6
"""Relative size of singular values of the fit that are nothing: coefficients do not grow, nor does rounding."""
_GRID = 400
"""Energies at which they are fitted."""
_TERMS = 7
"""Polynomials in u: 3e-5."""
_POLE = 0.68
"""b in units of the square of the contour's end."""
_DECAYED = 1e-9
"""Exponentials smaller than this are nothing."""
_ROWS = 256
"""Functions of a block of rows of the densities, of which one triangle is computed."""


@dataclass(frozen=True)
class FarBasis:
    """Functions of D, from ``low`` to ``high``, that stand for g at points whose real part ends at ``end``; hartree."""

    low: float
    high: float
    end: float

    @cached_property
    def times(self) -> FloatArray:
        """t_k of the exponentials, per hartree, (k,)."""
        slowest, fastest = _SLOWEST / (self.high - self.end), _FASTEST / (self.low - self.end)
        return np.geomspace(min(slowest, 0.5 * fastest), fastest, _DECAYS)

    def coefficients(self, points: torch.Tensor) -> torch.Tensor:
        """c_k of exp(-(D - low) t_k) that make up 4 D g at ``points`` (j,), complex (j, k), relative least squares."""
        import torch

        z = points.to(torch.complex128).cpu()
        energies = self.end + torch.as_tensor(np.geomspace(self.low - self.end, self.high - self.end, _GRID))[:, None]
        wanted = 4.0 * energies / (energies**2 - z**2)
        scale = 1.0 / wanted.abs().amax(dim=1, keepdim=True)
        decays = torch.exp(-(energies - self.low) * torch.as_tensor(self.times)).to(z.dtype)
        solution = torch.linalg.lstsq(decays * scale, wanted * scale, rcond=_CONDITION, driver="gelsd").solution
        return solution.T.to(points.device)

    @property
    def _b(self) -> float:
        return _POLE * self.end**2

    @cached_property
    def _interval(self) -> Interval:
        return Interval(1.0 / (self.high**2 - self._b), 1.0 / (self.low**2 - self._b), _TERMS)

    def polynomials(self, energies: torch.Tensor) -> torch.Tensor:
        """u T_k(u), T_k Chebyshev's polynomials of the interval of u, at ``energies`` (n,), shape (n_terms, n)."""
        import torch

        u = 1.0 / (energies.double() ** 2 - self._b)
        x = (2.0 * u - self._interval.low - self._interval.high) / (self._interval.high - self._interval.low)
        terms = [u, u * x]
        while len(terms) < _TERMS:
            terms.append(2.0 * x * terms[-1] - terms[-2])
        return torch.stack(terms)

    def terms(self, points: torch.Tensor) -> torch.Tensor:
        """What ``polynomials`` are multiplied with for g at ``points`` (j,), complex (j, n_terms): g / u is
        interpolated."""
        import torch

        z = points.to(torch.complex128)[:, None]
        u = torch.as_tensor(self._interval.nodes, device=points.device)
        angles = np.pi * (np.arange(_TERMS) + 0.5) / _TERMS
        transform = np.cos(np.outer(angles, np.arange(_TERMS))) * np.where(np.arange(_TERMS), 2.0, 1.0) / _TERMS
        values = 1.0 / (u * (1.0 / u + self._b - z**2))
        return values @ torch.as_tensor(transform, device=points.device).to(z.dtype)


@dataclass(frozen=True)
class FarSums:
    """Sums over far pairs with the exponentials of ``basis``, ``charges`` (k, n_atoms, n_atoms); with its polynomials,
    of moments with charges, ``mixed`` (n_terms, 9, n_atoms), and of moments, ``moments`` (n_terms, 9, 9)."""

    basis: FarBasis
    charges: torch.Tensor
    mixed: torch.Tensor
    moments: torch.Tensor


@dataclass(frozen=True)
class FarPairs:
    """Pairs whose energies exceed ``low`` (hartree): all of some occupied with all of some virtual orbitals, in
    ``blocks``; all others are those of ``occupied`` with ``virtual`` orbitals."""

    low: float
    blocks: tuple[_Block, ...]
    occupied: slice
    virtual: slice


@dataclass(frozen=True)
class _Block:
    """All pairs of ``occupied`` with ``virtual`` orbitals; ``below`` (n_o,) and ``above`` (n_v,): by how much their
    energies exceed the beginning of the far range, in two parts that are positive."""

    occupied: slice
    virtual: slice
    below: torch.Tensor
    above: torch.Tensor


def far_pairs(space: ActiveSpace, low: float) -> FarPairs:
    """The pairs of ``space``, whose orbitals ascend, that are far from ``low`` (hartree) on."""
    homo, lumo = space.e_o[-1], space.e_v[0]
    n_o, n_v = space.shape
    deep, near = int((space.e_o <= lumo - low).sum()), int((space.e_v < homo + low).sum())
    every = _Block(slice(0, deep), slice(0, n_v), lumo - low - space.e_o[:deep], space.e_v - lumo)
    top = _Block(slice(deep, n_o), slice(near, n_v), homo - space.e_o[deep:], space.e_v[near:] - homo - low)
    blocks = tuple(block for block in (every, top) if len(block.below) and len(block.above))
    return FarPairs(low, blocks, slice(deep, n_o), slice(0, near))


def far_sums(space: ActiveSpace, pairs: FarPairs, contour: Contour) -> FarSums | None:
    """The sums over far ``pairs`` of ``space``; None without any."""
    if not pairs.blocks:
        return None
    high = max(float(space.gaps.detach().max()), 1.5 * pairs.low)
    basis = FarBasis(pairs.low, high, float(contour.points.real[-1]))
    first, *others = (_sums(space, block, basis) for block in pairs.blocks)
    for parts in others:
        for total, part in zip(first, parts, strict=True):
            total += part
    return FarSums(basis, *first)


def _sums(space: ActiveSpace, block: _Block, basis: FarBasis) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return _charge_sums(space, block, basis.times), *_moment_sums(space, block, basis)


def _charge_sums(space: ActiveSpace, block: _Block, times: FloatArray) -> torch.Tensor:
    """Sums over the pairs of ``block`` of q_A q_B exp(-(D - low) t), (k, n_atoms, n_atoms), in single precision."""
    l_o, l_v = space.l_o[:, block.occupied].float(), space.l_v[:, block.virtual].float()
    atom = space.atom_of_row
    edges = _atom_edges(space)
    sums = l_o.new_empty(len(times), space.n_atoms, space.n_atoms)

    def add(k: int, time: float) -> None:
        filled, occupied = _decayed(l_o, block.below, time)
        empty, virtual = _decayed(l_v, block.above, time)
        for start, stop in pairwise(edges):
            products = (filled[start:stop] @ occupied[start:].T).mul_(empty[start:stop] @ virtual[start:].T)
            first, last = int(atom[start]), int(atom[stop - 1]) + 1
            rows = products.new_zeros(last - first, products.shape[1]).index_add_(0, atom[start:stop] - first, products)
            both = rows.new_zeros(space.n_atoms - first, last - first).index_add_(0, atom[start:] - first, rows.T)
            sums[k, first:, first:last], sums[k, first:last, first:] = both, both.T

    together([partial(add, k, time) for k, time in enumerate(times.tolist())], threads_for(sums))
    return sums


def _decayed(rows: torch.Tensor, energies: torch.Tensor, time: float) -> tuple[torch.Tensor, torch.Tensor]:
    """``rows`` (n_rows, n) times exp(-``energies`` ``time``), and themselves, without those that have decayed;
    ``energies`` ascend or descend."""
    decay = (-time * energies).exp().float()
    kept = (decay > _DECAYED).nonzero().flatten().tolist()
    part = slice(kept[0], kept[-1] + 1) if kept else slice(0, 0)
    return rows[:, part] * decay[part], rows[:, part]


def _atom_edges(space: ActiveSpace) -> list[int]:
    """Row numbers at which an atom begins, about ``_ROWS`` apart, the first and the end included."""
    ends = space.atom_of_row.bincount(minlength=space.n_atoms).cumsum(0).tolist()
    edges = [0]
    for end in ends:
        if end - edges[-1] >= _ROWS or end == ends[-1] > edges[-1]:
            edges.append(end)
    return edges


def _moment_sums(space: ActiveSpace, block: _Block, basis: FarBasis) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over the pairs of ``block`` with the polynomials of ``basis``: of moments with charges (n_terms, 9, n_atoms)
    and among themselves (n_terms, 9, 9), in the metric of Z."""
    import torch

    part = space.restricted(block.occupied, block.virtual)
    part = replace(part, l_o=part.l_o.float(), l_v=part.l_v.float())

    def products(chosen: slice, charges: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        gaps, moments = part.gaps[chosen].flatten(), part.moments(chosen)
        root = 2.0 * gaps.sqrt()
        weights = (basis.polynomials(gaps) * root).to(moments.dtype)
        weighted = (weights[:, None] * moments).flatten(0, 1)
        return (weighted.float() @ charges().T).to(moments.dtype), weighted @ (moments / root).T

    blocks = [partial(products, *block) for block in part.charge_blocks(slice(0, part.shape[0]))]
    mixed, own = zip(*together(blocks, threads_for(part.l_o)), strict=True)
    shape = (_TERMS, 9)
    return torch.stack(mixed).sum(dim=0).unflatten(0, shape), torch.stack(own).sum(dim=0).unflatten(0, shape)
