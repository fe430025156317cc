"""How a run makes its network and graphs: those of :mod:`clusterml.model`, or others with the same contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from clusterml.dataset.record import Record
    from clusterml.model.graph import Graph


@dataclass(frozen=True)
class Architecture:
    """``spec``: the complete spec that a config's ``network`` mapping means; ``network``: the module of such a spec;
    ``graph``: the graph of (numbers, positions in A, charge, ``spec["graph"]``)."""

    spec: Callable[[Mapping[str, Any]], dict[str, Any]]
    network: Callable[[Mapping[str, Any]], nn.Module]
    graph: Callable[..., Graph]

    def graph_of(self, record: Record, spec: Mapping[str, Any]) -> Graph:
        """The graph of a record's geometry."""
        return self.graph(record.numbers, record.positions, record.charge, spec["graph"])

    def seeded(self, spec: Mapping[str, Any], seed: int) -> nn.Module:
        """A network whose first weights depend on ``seed`` alone."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.network(spec)


def shipped() -> Architecture:
    """The networks of :mod:`clusterml.model`."""
    from clusterml.model.graph import cluster_graph
    from clusterml.model.network import Network
    from clusterml.model.presets import complete

    return Architecture(lambda wanted: complete({"preset": "S", **wanted}), Network, cluster_graph)
