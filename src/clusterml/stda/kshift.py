"""The K-shift: sTDA-xTB raises configurations with a small exchange integral, here also averaged.

The shift (docs/science/stda-xtb.md, 11.4) depends on single configurations, so it is not invariant when degenerate orbitals are
rotated among themselves.  The smooth mode evaluates it at an exchange integral averaged over orbitals close in energy:
sums over a whole degenerate set contain only the projector on the set, which no rotation changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clusterml.stda.parameters import EV_HARTREE_KSHIFT, tables

if TYPE_CHECKING:
    import torch


def k_shift(k: torch.Tensor) -> torch.Tensor:
    """Shift D / (1 + (K/w)^4) in hartree for exchange integrals ``k`` (hartree), any shape."""
    p = tables()["stda"]
    maximum = p["kshift_max_eV"] * EV_HARTREE_KSHIFT
    width = p["kshift_width_eV"] * EV_HARTREE_KSHIFT
    return maximum / (1.0 + (k / width) ** p["kshift_steepness"])


def averaged(k: torch.Tensor, e_o: torch.Tensor, e_v: torch.Tensor, width: float) -> torch.Tensor:
    """Energy-weighted average of exchange integrals over near-degenerate orbitals (docs/science/stda-xtb.md, section 17).

    Kbar_ia = sum w K_i'a' / sum w with w = exp(-((e_i - e_i')^2 + (e_a - e_a')^2) / (2 width^2)); ``k`` (n_o, n_v),
    ``e_o`` (n_o,), ``e_v`` (n_v,) and ``width`` in the same energy unit.
    """
    w_o = (-((e_o[:, None] - e_o[None, :]) ** 2) / (2.0 * width**2)).exp()
    w_v = (-((e_v[:, None] - e_v[None, :]) ** 2) / (2.0 * width**2)).exp()
    return (w_o @ k @ w_v) / (w_o.sum(1)[:, None] * w_v.sum(1)[None, :])
