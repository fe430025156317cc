"""The networks of an ensemble where predictions need more than their outputs: contributions of atoms, derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from clusterml.inference.ensemble import finer
from clusterml.inference.predictor import STEP_EV
from clusterml.model.graph import batched, cluster_graph
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.ensemble import Ensemble
    from clusterml.model.graph import Graph


@dataclass(frozen=True, eq=False)
class Slopes:
    """Spectra of a geometry with the way back to it.

    ``epsilon``, ``delta_epsilon`` (m,): means over the networks on the predictor's energies, as in its spectra.
    """

    epsilon: FloatArray
    delta_epsilon: FloatArray
    _back: Callable[[FloatArray, FloatArray], FloatArray]

    def back(self, by_epsilon: FloatArray, by_delta_epsilon: FloatArray) -> FloatArray:
        """Derivative (n, 3) per A by the positions of a number whose derivatives by the curves (m,) are given."""
        return self._back(by_epsilon, by_delta_epsilon)


def contributions(ensemble: Ensemble, graph: Graph, weights: FloatArray) -> FloatArray:
    """What each atom adds to sum_E weights(E) delta_epsilon(E), of each network: (k, n).

    ``weights`` (m,) on the predictor's energies.
    """
    batch = batched([graph]).to(ensemble.device)
    on_grid = torch.as_tensor(_matrix(ensemble).T @ weights, dtype=graph.pos.dtype, device=ensemble.device)
    found = [_detached(call(batch, on_grid)) for call in _calls(ensemble, "contributions")]
    return np.stack(found)


def slopes(ensemble: Ensemble, atoms: Atoms, charge: int) -> Slopes:
    """The mean spectra of ``atoms`` with total ``charge``, and how they depend on its positions.

    Raises what :func:`clusterml.model.graph.cluster_graph` raises.
    """
    positions = torch.tensor(np.asarray(atoms.positions), dtype=torch.float32, requires_grad=True)
    # edges are found anew for every geometry: what crosses a cutoff vanishes there with its derivative
    graph = cluster_graph(atoms.numbers, positions, charge, ensemble.spec["graph"])
    batch = batched([graph]).to(ensemble.device)
    outputs = [call(batch) for call in _calls(ensemble, "forward")]
    raw = {name: torch.stack([one[name][0] for one in outputs]) for name in ("epsilon", "delta_epsilon")}
    matrix = _matrix(ensemble)
    epsilon, delta_epsilon = (_detached(curves) @ matrix.T for curves in raw.values())
    seen = epsilon > 0.0  # a member's splines are cut off below zero

    def back(by_epsilon: FloatArray, by_delta_epsilon: FloatArray) -> FloatArray:
        by = (np.where(seen, by_epsilon, 0.0) @ matrix, np.tile(by_delta_epsilon @ matrix, (len(seen), 1)))
        incoming = [torch.as_tensor(each / len(seen)).to(raw["epsilon"]) for each in by]
        (found,) = torch.autograd.grad(list(raw.values()), positions, incoming, retain_graph=True)
        return _detached(found)

    return Slopes(np.maximum(epsilon, 0.0).mean(axis=0), delta_epsilon.mean(axis=0), back)


class _Method(nn.Module):
    """A method of a network as what functional_call calls."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self._name = network, name

    def forward(self, *arguments: Any) -> Any:
        """What the method gives."""
        return getattr(self.network, self._name)(*arguments)


def _calls(ensemble: Ensemble, name: str) -> Iterator[Callable[..., Any]]:
    """The method ``name`` of each network."""
    method = _Method(ensemble._network, name)
    for state in ensemble._states:
        weights = {f"network.{key}": value for key, value in state.items()}
        yield lambda *arguments, weights=weights: functional_call(method, weights, arguments)


def _matrix(ensemble: Ensemble) -> FloatArray:
    """From the networks' grid to the predictor's energies (n, m)."""
    return finer(ensemble.energy_ev, STEP_EV)[1]


def _detached(tensor: Tensor) -> FloatArray:
    return tensor.detach().double().cpu().numpy()
