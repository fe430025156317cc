"""The atomic head: plain sums over atoms, the baseline of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from clusterml.config.schema import Number, Strict
from clusterml.model.heads.head import Head, Strength, per_graph
from clusterml.model.heads.registry import HeadKind
from clusterml.model.layers import Readout

if TYPE_CHECKING:
    from clusterml.model.spec import NetworkSpec


class AtomicOptions(Strict):
    """Options of the atomic head."""

    strength: Strength = Field(
        100.0, description="an absorption from 0 to 1e9 L mol-1 cm-1 at every energy at the start"
    )
    dissymmetry: Number = Field(1e-3, ge=0.0, le=2.0, description="a dissymmetry factor from 0 to 2 at the start")


class AtomicHead(Head):
    """Absorption and CD as sums over atoms of scalars and pseudoscalars: local, the baseline of the other heads."""

    degree = 1

    def __init__(self, options: AtomicOptions, spec: NetworkSpec, irreps: Any, grid: Tensor, sigma_ev: float) -> None:
        super().__init__()
        self.even, self.odd = Readout(irreps, f"{len(grid)}x0e"), Readout(irreps, f"{len(grid)}x0o")
        self.strength = nn.Parameter(torch.full((len(grid),), options.strength))
        self.dissymmetry = options.dissymmetry

    def local(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Absorption and CD (c, m) of each atom."""
        even = nn.functional.softplus(self.even(features)) * self.strength
        return even, self.odd(features) * self.strength * self.dissymmetry, ()

    def spectra(self, graph: Any, electric: Tensor, magnetic: Tensor, rest: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Spectra by name."""
        where, count = graph.batch[graph.core_index], graph.num_graphs
        even, odd = (per_graph(x, where, count) for x in (electric, magnetic))
        return {"epsilon": even, "delta_epsilon": odd}


HEADS = (HeadKind("atomic", "sums over atoms of scalars and pseudoscalars", AtomicOptions, AtomicHead),)
