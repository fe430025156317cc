"""Scalar properties of a cluster, and the features by which clusters are compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clusterml.model.equivariant import Readout
from clusterml.model.heads.moments import per_graph
from clusterml.model.radial import Mlp


class Properties(nn.Module):
    """HOMO-LUMO gap (eV; where ``with_gap``), signed chirality index, continuous chirality measure, and mean invariants
    (g, f)."""

    def __init__(self, irreps: Any, with_gap: bool) -> None:
        super().__init__()
        scalars = sum(mul for mul, irrep in irreps if irrep.l == 0 and irrep.p == 1)
        self.even = Readout(irreps, f"{scalars}x0e")
        self.odd = Readout(irreps, "8x0o")
        self.gap = Mlp(scalars, 32, 1) if with_gap else None
        self.chirality = Mlp(scalars + 8, 32, 1)
        self.index = nn.Linear(8, 1, bias=False)

    def forward(self, graph: Any, features: Tensor) -> dict[str, Tensor]:
        """Perhaps ``gap_ev``, ``opd``, ``ccm`` (g,) and ``features`` (g, f)."""
        where, count = graph.batch[graph.core_index], graph.num_graphs
        atoms = per_graph(features.new_ones(features.shape[1], 1), where, count)
        even = per_graph(self.even(features), where, count) / atoms
        odd = per_graph(self.odd(features), where, count) / atoms
        softplus = nn.functional.softplus
        gap = {} if self.gap is None else {"gap_ev": softplus(self.gap(even)).squeeze(1)}
        return gap | {
            "opd": self.index(odd).squeeze(1),
            "ccm": softplus(self.chirality(torch.cat([even, odd**2], dim=1))).squeeze(1),
            "features": even,
        }
