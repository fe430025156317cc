"""What all heads share: cluster moments from atomic vectors, and the size of a CD."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clusterml.units import BOHR_ANGSTROM, HARTREE_EV, SPEED_OF_LIGHT_AU

CD_OF_MOMENT = 2.0 / (HARTREE_EV * SPEED_OF_LIGHT_AU * BOHR_ANGSTROM)
"""delta_epsilon = CD_OF_MOMENT * E * sum P.(r x P), in units of epsilon = sum |P|^2: per eV and A.

From the dissymmetry 4 R / D of an excitation with velocity moment v and magnetic moment (r x v) / 2c in atomic units.
"""


def per_graph(values: Tensor, batch: Tensor, count: int) -> Tensor:
    """Sums (g, ...) over the atoms (n, ...) of each graph."""
    return values.new_zeros(count, *values.shape[1:]).index_add_(0, batch, values)


def centred(graph: Any) -> Tensor:
    """Positions (c, 3) of the core atoms about the centroid of the core of their graph, in A."""
    pos, batch = graph.pos[graph.core_index], graph.batch[graph.core_index]
    ones = torch.ones_like(pos[:, :1])
    count = per_graph(ones, batch, graph.num_graphs)
    return pos - (per_graph(pos, batch, graph.num_graphs) / count)[batch]
