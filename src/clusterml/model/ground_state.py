"""What a network may learn of the electrons beside spectra: the charges of shells, and how many levels there are where.

These are the electronic structure that a spectrum comes from.  A network that must tell them too has to carry them in
its features; nothing else of a prediction follows from them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from clusterml.model.heads.head import per_graph
from clusterml.model.layers import Mlp, Readout

ANGULAR = 3
"""Shells of an atom are told apart by their angular momentum: s, p and d."""
N_LEVELS = 80
"""Intervals of the level histogram."""
_CHARGE, _LEVELS = 0.3, 0.1
"""Units of both, so that they begin near one: in e, and levels of an atom in an interval."""


class GroundState(nn.Module):
    """Charges of the shells and orbital levels, from the invariants of core atoms."""

    def __init__(self, irreps: Any, width: int = 64) -> None:
        super().__init__()
        scalars = sum(mul for mul, irrep in irreps if irrep.l == 0 and irrep.p == 1)
        self.readout = Readout(irreps, f"{scalars}x0e")
        self.charges = Mlp(scalars, width, ANGULAR)
        self.levels = Mlp(scalars, width, N_LEVELS)

    def forward(self, graph: Any, features: Tensor) -> dict[str, Tensor]:
        """``shell_charges`` (c, 3) of the core atoms in e, and ``level_histogram`` (g, 80): see
        :data:`clusterml.dataset.record.HISTOGRAM_EV`."""
        invariants = self.readout(features)
        levels = nn.functional.softplus(self.levels(invariants))
        return {
            "shell_charges": _CHARGE * self.charges(invariants),
            "level_histogram": _LEVELS * per_graph(levels, graph.batch[graph.core_index], graph.num_graphs),
        }
