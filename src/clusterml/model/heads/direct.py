"""Heads without a matrix: cluster moments of every energy bin, or plain sums over atoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clusterml.model.heads.common import Head, centred, per_graph, spectra_of_density
from clusterml.model.layers import Readout, matrix_of_parts


class MomentsHead(Head):
    """For every node of a coarse energy grid and channel: P = sum p_A and M = sum (m_A + r_A x p_A); |P|^2 and P.M.

    A channel is an excitation polarised in all three directions: p_A and m_A are 3 x 3 matrices, rows for the members
    of the triplet.  Single vectors would not do: the sum of any equivariant vector vanishes in a cluster of tetrahedral
    or icosahedral symmetry, and with it all absorption.  Absorption is positive, CD is independent of the origin (a
    shift d adds d x P to M, and P.(d x P) = 0) and odd under a mirror.  Between the nodes spectra are interpolated.
    """

    def __init__(self, spec: Mapping[str, Any], irreps: Any, grid: Tensor, sigma_ev: float) -> None:
        super().__init__()
        options = spec["bins"]
        nodes = torch.arange(float(grid[0]), float(grid[-1]) + 1e-9, 1.2 * sigma_ev, dtype=grid.dtype)
        self.n_bins, self.n_channels = len(nodes), int(options["channels"])
        self.grid: Tensor
        self.spread: Tensor
        self.register_buffer("grid", grid, persistent=False)
        spread = torch.exp(-0.5 * ((grid - nodes.unsqueeze(1)) / sigma_ev) ** 2)
        self.register_buffer("spread", spread / spread.sum(0), persistent=False)
        count = self.n_bins * self.n_channels
        electric = f"{count}x0e + {count}x1e + {count}x2e"
        self.electric, self.length = Readout(irreps, electric), Readout(irreps, electric)
        self.magnetic = Readout(irreps, f"{count}x0o + {count}x1o + {count}x2o")
        self.strength = nn.Parameter(torch.full((self.n_bins, 1), float(options["strength"]) ** 0.5))
        self.size = float(options["local_magnetic_a"])

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


class AtomicHead(Head):
    """Absorption and CD as sums over atoms of scalars and pseudoscalars: local, the baseline of the other heads."""

    degree = 1

    def __init__(self, spec: Mapping[str, Any], irreps: Any, grid: Tensor, sigma_ev: float) -> None:
        super().__init__()
        self.even, self.odd = Readout(irreps, f"{len(grid)}x0e"), Readout(irreps, f"{len(grid)}x0o")
        self.strength = nn.Parameter(torch.full((len(grid),), float(spec["bins"]["strength"])))
        self.dissymmetry = float(spec["bins"]["dissymmetry"])

    def local(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Absorption and CD (c, m) of each atom."""
        even = nn.functional.softplus(self.even(features)) * self.strength
        return even, self.odd(features) * self.strength * self.dissymmetry, ()

    def spectra(self, graph: Any, electric: Tensor, magnetic: Tensor, rest: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Spectra by name."""
        where, count = graph.batch[graph.core_index], graph.num_graphs
        even, odd = (per_graph(x, where, count) for x in (electric, magnetic))
        return {"epsilon": even, "delta_epsilon": odd}
