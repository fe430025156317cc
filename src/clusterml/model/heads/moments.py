"""The moments head: cluster moments of every energy bin, without a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from clusterml.config.schema import Strict, Whole
from clusterml.model.heads.head import Head, LocalMagnetic, Strength, centred, per_graph, spectra_of_density
from clusterml.model.heads.registry import HeadKind
from clusterml.model.layers import Readout, matrix_of_parts

if TYPE_CHECKING:
    from clusterml.model.spec import NetworkSpec


class MomentsOptions(Strict):
    """Options of the moments head."""

    channels: Whole = Field(4, ge=1, le=256, description="a whole number from 1 to 256: excitations of an energy bin")
    strength: Strength = Field(100.0, description="an absorption from 0 to 1e9 L mol-1 cm-1 of every bin at the start")
    local_magnetic_a: LocalMagnetic = Field(
        1.0, description="a length from 0 to 1000 Å: size of local magnetic vectors"
    )


class MomentsHead(Head):
    """For every node of a coarse energy grid and channel: P = sum p_A and M = sum (m_A + r_A x p_A); |P|^2 and P.M.

    A channel is an excitation polarised in all three directions: p_A and m_A are 3 x 3 matrices, rows for the members
    of the triplet.  Single vectors would not do: the sum of any equivariant vector vanishes in a cluster of tetrahedral
    or icosahedral symmetry, and with it all absorption.  Absorption is positive, CD is independent of the origin (a
    shift d adds d x P to M, and P.(d x P) = 0) and odd under a mirror.  Between the nodes spectra are interpolated.
    """

    def __init__(self, options: MomentsOptions, spec: NetworkSpec, irreps: Any, grid: Tensor, sigma_ev: float) -> None:
        super().__init__()
        nodes = torch.arange(float(grid[0]), float(grid[-1]) + 1e-9, 1.2 * sigma_ev, dtype=grid.dtype)
        self.n_bins, self.n_channels = len(nodes), options.channels
        self.grid: Tensor
        self.spread: Tensor
        self.register_buffer("grid", grid, persistent=False)
        spread = torch.exp(-0.5 * ((grid - nodes.unsqueeze(1)) / sigma_ev) ** 2)
        self.register_buffer("spread", spread / spread.sum(0), persistent=False)
        count = self.n_bins * self.n_channels
        electric = f"{count}x0e + {count}x1e + {count}x2e"
        self.electric, self.length = Readout(irreps, electric), Readout(irreps, electric)
        self.magnetic = Readout(irreps, f"{count}x0o + {count}x1o + {count}x2o")
        self.strength = nn.Parameter(torch.full((self.n_bins, 1), options.strength**0.5))
        self.size = options.local_magnetic_a

    def local(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Matrices (c, bins, channels, 3, 3) of P and M; those of ``epsilon``."""
        electric, length = self._matrices(self.electric(features)), self._matrices(self.length(features))
        radius = centred(graph)[:, None, None, None, :].expand_as(electric)
        magnetic = self.size * self._matrices(self.magnetic(features)) + torch.linalg.cross(radius, electric, dim=-1)
        return electric, magnetic, (length,)

    def spectra(self, graph: Any, electric: Tensor, magnetic: Tensor, rest: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Spectra and tensors by name."""
        vectors = torch.cat([electric, magnetic, *rest], dim=-1)
        total = self.strength[..., None, None] * per_graph(vectors, graph.batch[graph.core_index], graph.num_graphs)
        density = torch.einsum("gbcki,gbckj,bm->gmij", total, total, self.spread)
        return spectra_of_density(density, self.grid)

    def _matrices(self, x: Tensor) -> Tensor:
        """Matrices (c, bins, channels, 3, 3) of their scalar, axial and l = 2 parts."""
        shape, count = (len(x), self.n_bins, self.n_channels), self.n_bins * self.n_channels
        trace, axial, tensor = torch.split(x, [count, 3 * count, 5 * count], dim=1)
        return matrix_of_parts(trace.reshape(shape), axial.reshape(*shape, 3), tensor.reshape(*shape, 5))


HEADS = (HeadKind("moments", "cluster moments of every energy bin", MomentsOptions, MomentsHead),)
