"""Broadened spectral functions of a matrix, sums over transitions, and derivatives that degenerate states cannot spoil.

For a Hamiltonian H (n, n) with eigenpairs H u_k = e_k u_k and d vectors W (n, d)

    S(E) = sum_k (u_k.W) (u_k.W)^T g(E - e_k)

with a Gaussian g of unit area: (d, d) matrices W^T g(E - H) W, smooth in H even where levels cross.  The derivative is
that of a matrix function (Y. L. Daletskii, S. G. Krein, 1965; N. J. Higham, Functions of Matrices, 2008, theorem 3.11):
divided differences of the function contracted with the incoming gradient, never 1 / (e_i - e_j) of close levels.

For Hamiltonians H_o (n, n) and H_v (m, m) of occupied and virtual orbitals with eigenpairs H_o u_i = e_i u_i and
H_v u_a = e_a u_a, and d operators w (n, m, d) between them, w_ia = u_i.w.u_a,

    S_k(E) = sum_ia w_ia[left_k] w_ia[right_k] g(E - e_a + e_i)

with a Gaussian g of unit area.  The derivative is as above, once for each Hamiltonian.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

_FAR_EV = 1e3
"""Energy of the levels that fill up the smaller matrices of a batch."""
_SAME_LEVEL = 1e-3
"""Levels (eV) closer than this take the derivative in place of the divided difference."""


class _SpectralDensity(torch.autograd.Function):
    """(H, W, grid, sigma) -> S; see the module."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, w: Tensor, grid: Tensor, sigma: float) -> Tensor:
        levels, states = torch.linalg.eigh(h)
        moments = states.transpose(-1, -2) @ w
        ctx.save_for_backward(levels, states, moments, grid)
        ctx.sigma = sigma
        products = (moments.unsqueeze(-1) * moments.unsqueeze(-2)).flatten(-2)
        bands = gaussian(levels, grid, sigma)
        return (bands.transpose(-1, -2) @ products).unflatten(-1, (w.shape[-1], w.shape[-1]))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        levels, states, moments, grid = ctx.saved_tensors
        bands = gaussian(levels, grid, ctx.sigma)
        slopes = bands * (grid - levels.unsqueeze(-1)) / ctx.sigma**2
        both = (0.5 * (grad + grad.transpose(-1, -2))).flatten(-2)
        size = moments.shape[-1]
        value, slope = ((each @ both).unflatten(-1, (size, size)) for each in (bands, slopes))
        turned, tilted = ((each @ moments.unsqueeze(-1)).squeeze(-1) for each in (value, slope))
        inner = divided(levels, turned @ moments.transpose(-1, -2), tilted @ moments.transpose(-1, -2))
        return states @ inner @ states.transpose(-1, -2), 2.0 * (states @ turned), None, None


def spectral_density(h: Tensor, w: Tensor, grid: Tensor, sigma: float) -> Tensor:
    """S(E) (..., g, d, d) on ``grid`` (g,) in eV of ``h`` (..., n, n) in eV and ``w`` (..., n, d).

    ``sigma``: standard deviation of the Gaussian in eV.
    """
    density: Tensor = _SpectralDensity.apply(h, w, grid, sigma)
    return density


def densities_of(
    parts: Sequence[tuple[Tensor, Tensor]], grid: Tensor, sigma: float, padded: bool, signs: Tensor
) -> Tensor:
    """S(E) (b, g, d, d) of b systems of any sizes, each several matrices: h (k, n, n) and w (k, n, d), added up with
    ``signs`` (k,).

    ``padded``: all at once, with uncoupled dark levels far away added to the smaller ones, which suits a GPU; otherwise
    one after the other.  Always in the precision of ``grid``: levels need more than half precision.
    """
    parts = [(h.to(grid), w.to(grid)) for h, w in parts]
    factors = signs.to(grid)[:, None, None, None]
    with torch.autocast(grid.device.type, enabled=False):
        if padded:
            size = max(h.shape[-1] for h, _ in parts)
            h, w = (torch.stack(each) for each in zip(*(_padded(*part, size) for part in parts), strict=True))
            return (factors * spectral_density(h, w, grid, sigma)).sum(1)
        return torch.stack([(factors * spectral_density(*part, grid, sigma)).sum(0) for part in parts])


def _padded(h: Tensor, w: Tensor, size: int) -> tuple[Tensor, Tensor]:
    pad, more = torch.nn.functional.pad, size - h.shape[-1]
    far = pad(h.new_full((more,), _FAR_EV), (size - more, 0))
    return pad(h, (0, more, 0, more)) + torch.diag(far), pad(w, (0, 0, 0, more))


def gaussian(levels: Tensor, grid: Tensor, sigma: float) -> Tensor:
    """Gaussians (..., n, g) of unit area about ``levels`` (..., n)."""
    x = (grid - levels.unsqueeze(-1)) / sigma
    return torch.exp(-0.5 * x**2) / (sigma * (2.0 * torch.pi) ** 0.5)


def divided(levels: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """Divided differences w_k.(f_k - f_l).w_l / (e_k - e_l) of ``value`` w_k.f_k.w_l (..., n, n) at ``levels``; where
    two are close, the mean of ``slope`` there."""
    apart = levels.unsqueeze(-1) - levels.unsqueeze(-2)
    near = apart.abs() < _SAME_LEVEL
    mean = 0.5 * (slope + slope.transpose(-1, -2))
    return torch.where(near, mean, (value - value.transpose(-1, -2)) / torch.where(near, 1.0, apart))


_REACH = 7.0
"""A Gaussian is left out where it is below exp(-_REACH^2 / 2), 2e-11 of its height."""
_WINDOW = 12
"""Nodes of the grid by which transitions are taken together."""


class _TransitionDensity(torch.autograd.Function):
    """(H_o, H_v, w, left, right, grid, sigma, softness) -> S, gap; see :func:`transition_density`."""

    @staticmethod
    def forward(
        ctx: Any,
        h_o: Tensor,
        h_v: Tensor,
        w: Tensor,
        left: Tensor,
        right: Tensor,
        grid: Tensor,
        sigma: float,
        softness: float,
    ) -> tuple[Tensor, Tensor]:
        (e_o, u_o), (e_v, u_v) = torch.linalg.eigh(h_o), torch.linalg.eigh(h_v)
        moments = _turned(w, u_o, u_v)
        omega, order = _within_reach((e_v - e_o.unsqueeze(1)).flatten(), grid, sigma)
        each = moments.flatten(0, 1)[order]
        products = (each @ left) * (each @ right)
        density = w.new_zeros(len(grid), left.shape[1])
        for own, near in _windows(omega, grid, sigma):
            density[near] += gaussian(omega[own], grid[near], sigma).T @ products[own]
        share_o, share_v = torch.softmax(e_o / softness, 0), torch.softmax(-e_v / softness, 0)
        homo, lumo = share_o @ e_o, share_v @ e_v
        slope_o = share_o * (1.0 + (e_o - homo) / softness)
        slope_v = share_v * (1.0 - (e_v - lumo) / softness)
        ctx.save_for_backward(e_o, u_o, e_v, u_v, moments, omega, order, left, right, grid, slope_o, slope_v)
        ctx.sigma = sigma
        return density, lumo - homo

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_gap: Tensor) -> tuple[Tensor | None, ...]:
        e_o, u_o, e_v, u_v, moments, omega, order, left, right, grid, slope_o, slope_v = ctx.saved_tensors
        value, slope = [grad.new_zeros(0, grad.shape[1])], [grad.new_zeros(0, grad.shape[1])]
        for own, near in _windows(omega, grid, ctx.sigma):
            bands, away = gaussian(omega[own], grid[near], ctx.sigma), grid[near] - omega[own].unsqueeze(-1)
            value.append(bands @ grad[near])
            slope.append((bands * away) @ (grad[near] / ctx.sigma**2))
        turned, tilted = (_applied(torch.cat(each), moments, order, left, right) for each in (value, slope))
        inner_o = divided(e_o, turned.flatten(1) @ moments.flatten(1).T, -tilted.flatten(1) @ moments.flatten(1).T)
        across, turned_v, tilted_v = (x.transpose(0, 1).flatten(1) for x in (moments, turned, tilted))
        inner_v = divided(e_v, turned_v @ across.T, tilted_v @ across.T)
        inner_o = inner_o - grad_gap * torch.diag(slope_o)
        inner_v = inner_v + grad_gap * torch.diag(slope_v)
        grads = (u_o @ inner_o @ u_o.T, u_v @ inner_v @ u_v.T, _turned(2.0 * turned, u_o.T, u_v.T))
        return (*grads, None, None, None, None, None)


def _turned(w: Tensor, u_o: Tensor, u_v: Tensor) -> Tensor:
    """``w`` (n, m, d) in other orbitals, the columns of ``u_o`` (n, n) and ``u_v`` (m, m)."""
    half = (u_o.T @ w.flatten(1)).unflatten(1, w.shape[1:]).transpose(0, 1)
    return (u_v.T @ half.flatten(1)).unflatten(1, half.shape[1:]).transpose(0, 1).contiguous()


def _applied(weights: Tensor, moments: Tensor, order: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Half the derivative (n, m, d) of sum_k weights_k w[left_k] w[right_k]; ``weights`` (q, k), in ``order``."""
    each = moments.flatten(0, 1)[order]
    derivative = 0.5 * ((weights * (each @ right)) @ left.T + (weights * (each @ left)) @ right.T)
    return torch.zeros_like(moments).flatten(0, 1).index_copy(0, order, derivative).reshape(moments.shape)


def _within_reach(omega: Tensor, grid: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """The energies ``omega`` that the ``grid`` feels, sorted, and where they were."""
    omega, order = torch.sort(omega)
    ends = torch.stack([grid[0] - _REACH * sigma, grid[-1] + _REACH * sigma])
    start, stop = torch.searchsorted(omega, ends).tolist()
    return omega[start:stop], order[start:stop]


def _windows(omega: Tensor, grid: Tensor, sigma: float) -> Iterator[tuple[slice, slice]]:
    """Slices of the sorted energies ``omega``, one after the other, each with that of the even ``grid`` it reaches."""
    if not len(omega):
        return
    margin, width = _REACH * sigma, _WINDOW * float(grid[1] - grid[0])
    low = float(omega[0])
    edges = low + width * torch.arange(1, int((float(omega[-1]) - low) / width) + 1, dtype=torch.float64)
    cuts = [0, *torch.searchsorted(omega, edges.to(omega)).tolist(), len(omega)]
    for start, stop in pairwise(cuts):
        if start < stop:
            ends = torch.stack([omega[start] - margin, omega[stop - 1] + margin])
            first, last = torch.searchsorted(grid, ends).tolist()
            yield slice(start, stop), slice(first, last)


def transition_density(
    h_o: Tensor, h_v: Tensor, w: Tensor, products: Tensor, grid: Tensor, sigma: float, softness: float = 0.02
) -> tuple[Tensor, Tensor]:
    """S (g, k) on the evenly spaced ``grid`` (g,) in eV of ``h_o`` (n, n), ``h_v`` (m, m), in eV, and ``w`` (n, m, d).

    ``products`` (2, k): left and right, the operators that are multiplied.  ``sigma``: standard deviation of the
    Gaussian in eV.  Also the gap () in eV between the highest occupied and the lowest virtual level, each the mean over
    levels within about ``softness`` (eV), so that degenerate levels count as one.  First derivatives only.
    """
    left, right = torch.nn.functional.one_hot(products, w.shape[-1]).to(w).transpose(1, 2)
    density: tuple[Tensor, Tensor] = _TransitionDensity.apply(h_o, h_v, w, left, right, grid, sigma, softness)
    return density
