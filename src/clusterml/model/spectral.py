"""Broadened spectral functions of a symmetric matrix, with derivatives that degenerate states cannot harm.

For a Hamiltonian H (n, n), electric vectors P (n, 3) and magnetic vectors M (n, 3) with eigenpairs H u_k = e_k u_k

    A(E) = sum_k |u_k.P|^2 g(E - e_k)            C(E) = sum_k (u_k.P).(u_k.M) g(E - e_k)

with a Gaussian g of unit area.  Both are traces of matrix functions g(E - H), smooth in H even where levels cross.  The
derivative is that of a matrix function (Y. L. Daletskii, S. G. Krein, 1965; N. J. Higham, Functions of Matrices, 2008,
theorem 3.11): divided differences of the function contracted with the incoming gradient, never 1 / (e_i - e_j).
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


class _SpectralFunctions(torch.autograd.Function):
    """(H, P, M, grid, sigma) -> (A, C); see the module."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, p: Tensor, m: Tensor, grid: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        levels, states = torch.linalg.eigh(h)
        electric, magnetic = states.transpose(-1, -2) @ p, states.transpose(-1, -2) @ m
        ctx.save_for_backward(levels, states, electric, magnetic, grid)
        ctx.sigma = sigma
        bands = gaussian(levels, grid, sigma)
        strength, rotatory = (electric**2).sum(-1), (electric * magnetic).sum(-1)
        return (strength.unsqueeze(-2) @ bands).squeeze(-2), (rotatory.unsqueeze(-2) @ bands).squeeze(-2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_a: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
        levels, states, electric, magnetic, grid = ctx.saved_tensors
        bands = gaussian(levels, grid, ctx.sigma)
        slopes = bands * (grid - levels.unsqueeze(-1)) / ctx.sigma**2
        value_a, value_c = (bands @ grad.unsqueeze(-1) for grad in (grad_a, grad_c))
        slope_a, slope_c = (slopes @ grad.unsqueeze(-1) for grad in (grad_a, grad_c))
        grad_p = states @ (2.0 * value_a * electric + value_c * magnetic)
        grad_m = states @ (value_c * electric)
        cross = electric @ magnetic.transpose(-1, -2)
        inner = (electric @ electric.transpose(-1, -2)) * _divided(levels, value_a, slope_a)
        inner = inner + 0.5 * (cross + cross.transpose(-1, -2)) * _divided(levels, value_c, slope_c)
        return states @ inner @ states.transpose(-1, -2), grad_p, grad_m, None, None


def spectral_functions(h: Tensor, p: Tensor, m: Tensor, grid: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """A(E) and C(E) (..., g) on ``grid`` (g,) in eV of ``h`` (..., n, n) in eV, ``p`` and ``m`` (..., n, 3).

    ``sigma``: standard deviation of the Gaussian in eV.
    """
    a, c = _SpectralFunctions.apply(h, p, m, grid, sigma)
    return a, c


def spectra_of(
    parts: Sequence[tuple[Tensor, Tensor, Tensor]], grid: Tensor, sigma: float, padded: bool
) -> tuple[Tensor, Tensor]:
    """A(E) and C(E) (b, g) of b systems of any sizes, each several matrices: h (k, n, n), p and m (k, n, 3), added up.

    ``padded``: all at once, with uncoupled dark levels far away added to the smaller ones, which suits a GPU; otherwise
    one after the other.  Always in the precision of ``grid``: levels need more than half precision.
    """
    parts = [(h.to(grid), p.to(grid), m.to(grid)) for h, p, m in parts]
    with torch.autocast(grid.device.type, enabled=False):
        if padded:
            size = max(h.shape[-1] for h, _, _ in parts)
            h, p, m = (torch.stack(each) for each in zip(*(_padded(part, size) for part in parts), strict=True))
            absorption, rotation = spectral_functions(h, p, m, grid, sigma)
        else:
            found = [spectral_functions(*part, grid, sigma) for part in parts]
            absorption, rotation = (torch.stack(each) for each in zip(*found, strict=True))
        return absorption.sum(1), rotation.sum(1)


def _padded(part: tuple[Tensor, Tensor, Tensor], size: int) -> tuple[Tensor, Tensor, Tensor]:
    h, p, m = part
    pad, more = torch.nn.functional.pad, size - h.shape[-1]
    far = pad(h.new_full((more,), _FAR_EV), (size - more, 0))
    return pad(h, (0, more, 0, more)) + torch.diag(far), pad(p, (0, 0, 0, more)), pad(m, (0, 0, 0, more))


def gaussian(levels: Tensor, grid: Tensor, sigma: float) -> Tensor:
    """Gaussians (..., n, g) of unit area about ``levels`` (..., n)."""
    x = (grid - levels.unsqueeze(-1)) / sigma
    return torch.exp(-0.5 * x**2) / (sigma * (2.0 * torch.pi) ** 0.5)


def _divided(levels: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """Divided differences (..., n, n) of a function with ``value`` and ``slope`` (..., n, 1) at ``levels``."""
    apart = levels.unsqueeze(-1) - levels.unsqueeze(-2)
    near = apart.abs() < _SAME_LEVEL
    mean = 0.5 * (slope + slope.transpose(-1, -2))
    return torch.where(near, mean, (value - value.transpose(-1, -2)) / torch.where(near, 1.0, apart))
