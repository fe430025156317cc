"""Broadened spectral functions of a symmetric matrix, with derivatives that degenerate states cannot harm.

For a Hamiltonian H (n, n) with eigenpairs H u_k = e_k u_k and d vectors W (n, d)

    S(E) = sum_k (u_k.W) (u_k.W)^T g(E - e_k)

with a Gaussian g of unit area: (d, d) matrices W^T g(E - H) W, smooth in H even where levels cross.  The derivative is
that of a matrix function (Y. L. Daletskii, S. G. Krein, 1965; N. J. Higham, Functions of Matrices, 2008, theorem 3.11):
divided differences of the function contracted with the incoming gradient, never 1 / (e_i - e_j) of close levels.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    found: Tensor = _SpectralDensity.apply(h, w, grid, sigma)
    return found


def densities_of(parts: Sequence[tuple[Tensor, Tensor]], grid: Tensor, sigma: float, padded: bool) -> Tensor:
    """S(E) (b, g, d, d) of b systems of any sizes, each several matrices: h (k, n, n) and w (k, n, d), added up.

    ``padded``: all at once, with uncoupled dark levels far away added to the smaller ones, which suits a GPU; otherwise
    one after the other.  Always in the precision of ``grid``: levels need more than half precision.
    """
    parts = [(h.to(grid), w.to(grid)) for h, w in parts]
    with torch.autocast(grid.device.type, enabled=False):
        if padded:
            size = max(h.shape[-1] for h, _ in parts)
            h, w = (torch.stack(each) for each in zip(*(_padded(*part, size) for part in parts), strict=True))
            return spectral_density(h, w, grid, sigma).sum(1)
        return torch.stack([spectral_density(*part, grid, sigma).sum(0) for part in parts])


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
