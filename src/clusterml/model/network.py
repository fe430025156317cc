"""The network: a graph of a cluster in, its absorption and CD spectrum and a few properties out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from clusterml.model.backbone import Backbone
from clusterml.model.ground_state import GroundState
from clusterml.model.heads.head import per_graph
from clusterml.model.heads.registry import head_kind
from clusterml.model.layers import Mlp, Readout, double_precision
from clusterml.model.start import RESPONSE, ResponseStart
from clusterml.units import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from clusterml.model.spec import NetworkSpec


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


class Network(nn.Module):
    """Network of the specification ``spec`` (:func:`clusterml.model.spec.read_spec` reads one).

    O(3)-equivariant: a rotation or reflection of the cluster leaves ``epsilon`` as it is and multiplies
    ``delta_epsilon`` and ``opd`` by the determinant, exactly, whatever the weights.  ``dtype`` is that of parameters
    and constants; do not convert a network of single precision to double: its constants are rounded.
    """

    def __init__(self, spec: NetworkSpec, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        with double_precision():
            self._build(spec)
        self.to(dtype)

    def _build(self, spec: NetworkSpec) -> None:
        self.spec = spec
        grid = torch.from_numpy(spec.grid.energy_ev)
        self.backbone = Backbone(spec)
        sigma = spec.fwhm_ev / FWHM_PER_SIGMA
        self.head = head_kind(spec.head).build(spec.head_options, spec, self.backbone.irreps, grid, sigma)
        self.start = ResponseStart(spec, self.backbone.irreps, grid) if spec.start == RESPONSE else None
        self.properties = Properties(self.backbone.irreps, with_gap=not self.head.gives_gap)
        self.ground_state = GroundState(self.backbone.irreps) if spec.ground_state else None

    def forward(self, graph: Any) -> dict[str, Tensor]:
        """For a batch of g graphs (:func:`clusterml.model.start.network_graph`):

        ``epsilon`` and ``delta_epsilon`` (g, m) on the specification's grid in L mol-1 cm-1, ``gap_ev`` (g,),
        ``opd`` (g,): signed chirality index of metals and donors times 1000, ``ccm`` (g,): their continuous chirality
        measure, and ``features`` (g, f): invariants by which clusters are compared; except from the atomic head also
        ``absorption_tensor`` (velocity gauge) and ``rotatory_tensor`` (g, m, 3, 3), about the centroid of all atoms,
        and from a network that learns the ground state what :class:`~clusterml.model.ground_state.GroundState` gives.
        """
        features = self.backbone(graph)
        spectra, numbers = self.head(graph, features), self.properties(graph, features)
        if self.start is not None:
            spectra = self.start(graph, features, spectra)
            numbers["gap_ev"] = self.start.gap_ev(graph, numbers["gap_ev"])
        if self.ground_state is not None:
            numbers |= self.ground_state(graph, features)
        return {**spectra, **numbers}

    def contributions(self, graph: Any, weights: Tensor) -> Tensor:
        """What each atom (n,) of a batch of graphs adds to sum_E weights(E) delta_epsilon(E), ``weights`` (m,).

        The shares of a graph's atoms add up to its total; atoms that are neither metal nor donor have none, they act
        through their neighbours.  Opposite for the mirror image.  Not under ``torch.inference_mode``.  Of a network
        that starts from a response these are not all of the CD.
        """
        with torch.no_grad():
            features = self.backbone(graph)
            shares = self.head.contributions(graph, features, weights)
        return torch.zeros_like(graph.pos[:, 0]).index_copy(0, graph.core_index, shares)
