"""Radial functions: a Bessel basis and an envelope that vanishes smoothly at the cutoff."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class RadialBasis(nn.Module):
    """``n`` spherical Bessel functions sin(k pi x) / r of x = r / cutoff, times the envelope.

    J. Gasteiger, J. Gross, S. Günnemann, ICLR 2020 (arXiv:2003.03123), equation 7.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.frequency: Tensor
        self.register_buffer("frequency", torch.pi * torch.arange(1, n + 1, dtype=torch.float64), persistent=False)

    def forward(self, distance: Tensor, cutoff: Tensor | float) -> Tensor:
        """Values (e, n) at ``distance`` (e,), both in A; zero at ``cutoff`` (e,) with two derivatives."""
        x = (distance / cutoff).unsqueeze(-1)
        waves = torch.sin(self.frequency.to(distance) * x) / (distance.unsqueeze(-1) / 2.0)
        return waves * envelope(x)


def envelope(x: Tensor) -> Tensor:
    """1 at 0, 0 at 1 and beyond, where two derivatives vanish: the polynomial of the same paper with p = 6, eq. 8."""
    y = x.clamp(max=1.0)
    return 1.0 - 28.0 * y**6 + 48.0 * y**7 - 21.0 * y**8


class Mlp(nn.Sequential):
    """Linear layers of the given ``sizes`` with SiLU between them."""

    def __init__(self, *sizes: int, last_bias: bool = True) -> None:
        layers: list[nn.Module] = []
        for k, (n_in, n_out) in enumerate(pairwise(sizes)):
            last = k == len(sizes) - 2
            layers.append(nn.Linear(n_in, n_out, bias=last_bias or not last))
            if not last:
                layers.append(nn.SiLU())
        super().__init__(*layers)
