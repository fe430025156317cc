"""The backbone: equivariant features of every core atom from its surroundings.

First each core atom expands the density of its neighbours in radial functions and spherical harmonics, per element (as
in the atomic cluster expansion, R. Drautz, Phys. Rev. B 99, 014104 (2019)); products of these, channel by channel,
raise the body order: a pseudoscalar needs four bodies, so two products come before the first message.  Then core atoms
exchange messages with all irreps of both parities (as in S. Batzner et al., Nat. Commun. 13, 2453 (2022)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from clusterml.model.graph import edge_cutoffs
from clusterml.model.layers import (
    ChannelProduct,
    Gate,
    Linear,
    Mlp,
    NeighbourProduct,
    RadialBasis,
    harmonics,
    hidden_irreps,
    times_harmonics,
)

if TYPE_CHECKING:
    from clusterml.model.spec import NetworkSpec


@dataclass(frozen=True)
class Edges:
    """Directed edges: ``sender`` (e,) and ``receiver`` (e,) core atoms, ``radial`` (e, b), ``sphere`` (e, s)."""

    sender: Tensor
    receiver: Tensor
    radial: Tensor
    sphere: Tensor


class Backbone(nn.Module):
    """Graph -> features (d, c, channels) of the core atoms, in the order of ``core_index``, with the components of
    ``irreps``, see :mod:`clusterml.model.layers`."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.rules, self.lmax = spec.graph, spec.lmax
        elements = self.rules.elements
        self.elements: Tensor
        table = torch.full((max(elements) + 1,), -1)
        table[torch.tensor(elements)] = torch.arange(len(elements))
        self.register_buffer("elements", table, persistent=False)
        self.irreps = hidden_irreps(spec.channels, self.lmax, spec.parity)
        width = spec.element_width
        self.embedding = nn.Embedding(len(elements), width)
        self.basis = RadialBasis(spec.n_radial)
        self.density = Density(spec, width)
        self.mixing = Mixing(self.density.irreps, self.irreps, width, spec.channels)
        layers = [Interaction(self.irreps, spec, width) for _ in range(spec.layers)]
        self.layers = nn.ModuleList(layers)

    def forward(self, graph: Any) -> Tensor:
        """Features (d, c, channels) of the core atoms of a batch of graphs."""
        kind = self.embedding(self.elements[graph.z])
        core = graph.core_index
        rank = torch.full((len(graph.z),), -1, device=core.device)
        rank[core] = torch.arange(len(core), device=core.device)
        sender, receiver = graph.edge_index
        edges = self._edges(graph, sender, rank[receiver])
        x = self.density(edges, kind[sender], kind[core], len(core))
        x = self.mixing(x, kind[core], charge_features(graph)[core])
        inner = rank[sender] >= 0
        among = Edges(rank[sender][inner], edges.receiver[inner], edges.radial[inner], edges.sphere[inner])
        for layer in self.layers:
            x = layer(x, among, kind[core])
        return x

    def _edges(self, graph: Any, sender: Tensor, receiver: Tensor) -> Edges:
        vectors = graph.pos[graph.edge_index[0]] - graph.pos[graph.edge_index[1]]
        distance = torch.linalg.vector_norm(vectors, dim=1)
        cutoff = edge_cutoffs(graph.role[graph.edge_index[0]], graph.role[graph.edge_index[1]], self.rules)
        radial = self.basis(distance, cutoff.to(distance))
        return Edges(sender, receiver, radial, harmonics(self.lmax, vectors))


def charge_features(graph: Any) -> Tensor:
    """(n, 2): total charge per metal atom of the cluster and number of metals (logarithm), of each atom's graph."""
    metals = torch.zeros_like(graph.charge).index_add_(0, graph.batch, (graph.role == 0).to(graph.charge))
    metals = metals.clamp(min=1.0)
    each = torch.stack([10.0 * graph.charge / metals, torch.log(metals) / 4.0], dim=1)
    return each[graph.batch]


class Density(nn.Module):
    """Expansion of the neighbours' density in spherical harmonics: features of natural parity."""

    def __init__(self, spec: NetworkSpec, width: int) -> None:
        super().__init__()
        self.channels, self.lmax, n_radial = spec.channels, spec.lmax, spec.n_radial
        self.irreps = hidden_irreps(self.channels, self.lmax, "natural")
        self.kinds = Mlp(2 * width, 32, n_radial * 4, last_bias=True)
        self.radial = nn.Linear(n_radial * 4, self.channels * (self.lmax + 1), bias=False)
        self.scale = spec.density_scale

    def forward(self, edges: Edges, sender: Tensor, core: Tensor, count: int) -> Tensor:
        """``(d, c, channels)`` from edges and the elements' embeddings of senders (e, w) and of core atoms (c, w)."""
        kinds = self.kinds(torch.cat([sender, core[edges.receiver]], dim=1)).unflatten(1, (4, -1))
        weights = self.radial((edges.radial.unsqueeze(1) * kinds).flatten(1)) * self.scale
        weights = weights.unflatten(1, (self.channels, -1))
        messages = times_harmonics(weights, edges.sphere.unsqueeze(1))
        density = messages.new_zeros(count, *messages.shape[1:]).index_add_(0, edges.receiver, messages)
        return density.permute(2, 0, 1).contiguous()


class Mixing(nn.Module):
    """The density, its products of second and third order, and the charge, mixed into hidden features."""

    def __init__(self, density: Any, out: Any, width: int, channels: int) -> None:
        super().__init__()
        self.left, self.right = Linear(density, density), Linear(density, density)
        self.second = ChannelProduct(density, density, out)
        self.third = ChannelProduct(density, out, out)
        self.first_out, self.second_out = Linear(density, out), Linear(out, out)
        self.second_in, self.third_out = Linear(out, out), Linear(out, out)
        self.scalars = Mlp(width + 2, 32, channels)
        self.gate = Gate(out)

    def forward(self, density: Tensor, kind: Tensor, charge: Tensor) -> Tensor:
        """``(d, c, channels)``, ``(c, width)``, ``(c, 2)`` -> ``(d, c, channels)`` of ``out``."""
        left, right = self.left(density), self.right(density)
        pairs = self.second(left, right)
        triples = self.third(right, self.second_in(pairs))
        x = self.first_out(density) + self.second_out(pairs) + self.third_out(triples)
        scalars = x[:1] + self.scalars(torch.cat([kind, charge], dim=1))
        return self.gate(torch.cat([scalars, x[1:]]))


class Interaction(nn.Module):
    """One round of messages between core atoms, and a product with what was there: features in, features out."""

    def __init__(self, irreps: Any, spec: NetworkSpec, width: int) -> None:
        super().__init__()
        self.channels, lmax, n_radial = spec.channels, spec.lmax, spec.n_radial
        self.message = NeighbourProduct(irreps, lmax, irreps)
        n_weights = self.channels * (lmax + 1)
        self.weights = Mlp(n_radial + 2 * width, spec.radial_width, n_weights, last_bias=False)
        self.envelope = nn.Linear(n_radial, n_weights, bias=False)
        self.enter, self.keep = Linear(irreps, irreps), Linear(irreps, irreps)
        self.left, self.right, self.leave = Linear(irreps, irreps), Linear(irreps, irreps), Linear(irreps, irreps)
        self.product = ChannelProduct(irreps, irreps, irreps)
        self.gate = Gate(irreps)
        self.scale = spec.message_scale

    def forward(self, x: Tensor, edges: Edges, kind: Tensor) -> Tensor:
        """``(d, c, channels)`` -> the same."""
        invariants = torch.cat([edges.radial, kind[edges.sender], kind[edges.receiver]], dim=1)
        weights = self.weights(invariants) * self.envelope(edges.radial) * self.scale
        weights = weights.unflatten(1, (self.channels, -1)).transpose(0, 1)
        sender, sphere = _by_receiver(edges, times_harmonics(weights, edges.sphere), x.shape[1])
        y = self.message(self.enter(x), sender, sphere)
        y = y + self.product(self.left(x), self.right(y))
        return self.keep(x) + self.leave(self.gate(y))


def _by_receiver(edges: Edges, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Senders (c, k) and ``values`` (channels, e, ..) -> (channels, c k, ..) of each core atom's edges, filled up with
    zeros to equal numbers."""
    degree = torch.bincount(edges.receiver, minlength=count)
    most = int(degree.max()) if len(degree) else 0
    order = torch.argsort(edges.receiver, stable=True)
    receiver = edges.receiver[order]
    slot = torch.arange(len(order), device=order.device) - (torch.cumsum(degree, 0) - degree)[receiver]
    where = receiver * most + slot
    sender = torch.zeros(count * most, dtype=edges.sender.dtype, device=order.device)
    sender[where] = edges.sender[order]
    table = values.new_zeros(len(values), count * most, *values.shape[2:]).index_copy(
        1, where, values.index_select(1, order)
    )
    return sender.reshape(count, most), table
