"""Broadened sums over the transitions between two sets of orbitals, with derivatives that degeneracy cannot harm.

For Hamiltonians H_o (n, n) and H_v (m, m) of occupied and virtual orbitals with eigenpairs H_o u_i = e_i u_i and
H_v u_a = e_a u_a, and d operators w (n, m, d) between them, w_ia = u_i.w.u_a,

    S_k(E) = sum_ia w_ia[left_k] w_ia[right_k] g(E - e_a + e_i)

with a Gaussian g of unit area.  The derivative is that of :mod:`clusterml.model.spectral`, once for each Hamiltonian:
divided differences, never 1 / (e_i - e_j) of close levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from clusterml.model.spectral import divided, gaussian

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
    found = 0.5 * ((weights * (each @ right)) @ left.T + (weights * (each @ left)) @ right.T)
    return torch.zeros_like(moments).flatten(0, 1).index_copy(0, order, found).reshape(moments.shape)


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
    found: tuple[Tensor, Tensor] = _TransitionDensity.apply(h_o, h_v, w, left, right, grid, sigma, softness)
    return found
