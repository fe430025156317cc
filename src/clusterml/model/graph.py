"""From a cluster to the graph that the network reads: which atoms carry the spectrum and which pairs talk.

Metals and donor elements (the rules list them) are the *core* atoms: they receive messages and carry oscillators or
orbitals.  All other atoms, hydrogens too, only send: they are what a core atom sees of its ligand.  Every pair of atoms
within the cutoff of its class is an edge; each contribution vanishes smoothly at that cutoff (see
:mod:`clusterml.model.layers`), so that nothing jumps when an atom crosses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clusterml.errors import StructureError, UnsupportedElementError
from clusterml.io.shipped import import_extra

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch_geometric.data import Data

    from clusterml.model.spec import GraphRules

METAL, DONOR, OTHER = 0, 1, 2
"""Roles of atoms."""


class Graph:
    """Tensors by name, as attributes and as items: a cluster, or several as one (:func:`batched`).

    Names with ``index`` hold numbers of atoms; every other tensor has a first dimension of its own, of atoms or of 1.
    """

    num_graphs = 1

    def __init__(self, **tensors: Tensor) -> None:
        self._tensors = dict(tensors)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._tensors:
            raise AttributeError(f"the graph has no {name}")
        return self._tensors[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self._tensors[name] = value
        else:
            super().__setattr__(name, value)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        self._tensors[name] = value

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    @property
    def num_nodes(self) -> int:
        """Number of atoms."""
        return len(self._tensors["z"])

    @property
    def num_edges(self) -> int:
        """Number of directed edges."""
        return int(self._tensors["edge_index"].shape[1])

    def to_data(self) -> Data:
        """The same as a ``torch_geometric.data.Data``, for networks of one's own: its ``Batch`` and ``DataLoader`` join
        such graphs as :func:`batched` does.

        Raises :class:`~clusterml.errors.OptionError` where PyTorch Geometric (the extra ``geometric``) is missing.
        """
        data: Data = import_extra("torch_geometric.data", "geometric", "to_data").Data(**self._tensors)
        return data

    def to(self, device: torch.device) -> Graph:
        """The same on ``device``."""
        moved = Graph(**{name: tensor.to(device) for name, tensor in self._tensors.items()})
        moved.num_graphs = self.num_graphs
        return moved


def cluster_graph(
    numbers: ArrayLike,
    positions: ArrayLike,
    charge: float,
    rules: GraphRules,
    dtype: torch.dtype = torch.float32,
) -> Graph:
    """The graph of a cluster: atomic ``numbers`` (n,), ``positions`` (n, 3) in A, total ``charge``.

    ``rules``: ``spec.graph`` of a network.  The result holds ``z`` (n,), ``role`` (n,), ``pos`` (n, 3), ``charge``
    (1,), ``core_index`` (c,), ``edge_index`` (2, e): sender and receiver, a core atom, and ``pair_index`` (2, p):
    ordered pairs of core atoms that couple.

    Raises :class:`~clusterml.errors.UnsupportedElementError` for an element that the network does not know, and
    :class:`~clusterml.errors.StructureError` for a structure without a core atom.
    """
    z = torch.as_tensor(numbers, dtype=torch.int64)
    pos = torch.as_tensor(positions, dtype=dtype)
    _check(z, rules)
    role = roles(z, rules)
    core = torch.nonzero(role != OTHER).flatten()
    distance = torch.cdist(pos[core].double(), pos.double(), compute_mode="donot_use_mm_for_euclid_dist")
    cutoff = edge_cutoffs(role, role[core].unsqueeze(1), rules)
    others = core.unsqueeze(1) != torch.arange(len(z))
    receiver, sender = torch.nonzero((distance < cutoff) & others, as_tuple=True)
    first, second = torch.nonzero((distance[:, core] < rules.pair_cutoff) & others[:, core], as_tuple=True)
    return Graph(
        z=z,
        role=role,
        pos=pos,
        charge=torch.tensor([float(charge)], dtype=dtype),
        core_index=core,
        edge_index=torch.stack([sender, core[receiver]]),
        pair_index=torch.stack([core[first], core[second]]),
    )


def batched(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one, for the network: their tensors joined along the first dimension, indices along the last.

    ``batch`` (n,) says of which graph each atom is, ``num_graphs`` how many there are.
    """
    first = graphs[0]
    counts = [graph.num_nodes for graph in graphs]
    starts = [sum(counts[:k]) for k in range(len(counts))]
    joined = Graph()
    for name in first:
        parts = [graph[name] for graph in graphs]
        if "index" in name:
            joined[name] = torch.cat([part + start for part, start in zip(parts, starts, strict=True)], dim=-1)
        else:
            joined[name] = torch.cat(parts)
    joined.batch = torch.repeat_interleave(torch.arange(len(graphs)), torch.tensor(counts))
    joined.num_graphs = len(graphs)
    return joined


def roles(z: Tensor, rules: GraphRules) -> Tensor:
    """Role (n,) of each atom of atomic number ``z`` (n,)."""
    role = torch.full_like(z, OTHER)
    role[torch.isin(z, torch.tensor(rules.donors, device=z.device))] = DONOR
    role[torch.isin(z, torch.tensor(rules.metals, device=z.device))] = METAL
    return role


def edge_cutoffs(sender: Tensor, receiver: Tensor, rules: GraphRules) -> Tensor:
    """Cutoff (A) of edges between atoms of these roles (broadcast): metal-metal, metal-donor, or any other."""
    table = torch.full((3, 3), float(rules.other_cutoff))
    table[METAL, METAL] = rules.metal_cutoff
    table[METAL, DONOR] = table[DONOR, METAL] = rules.donor_cutoff
    return table.to(sender.device)[sender, receiver]


def _check(z: Tensor, rules: GraphRules) -> None:
    from ase.data import chemical_symbols

    unknown = sorted(set(z.tolist()) - set(rules.elements))
    if unknown:
        names = ", ".join(chemical_symbols[number] for number in unknown)
        known = ", ".join(chemical_symbols[number] for number in sorted(rules.elements))
        raise UnsupportedElementError(f"the network does not know {names}", f"it was made for {known}")
    core = set(rules.metals) | set(rules.donors)
    if not core & set(z.tolist()):
        raise StructureError("there is no metal and no donor atom", "give a ligand-protected cluster")
