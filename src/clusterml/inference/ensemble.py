"""Several networks of one specification on many structures, in batches that fit into memory; thermal means of them.

Snapshots as :mod:`clusterml.engine.label` labels them: the thermal motion of an elastic network about the geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from clusterml.engine.protocol import check_device
from clusterml.errors import MemoryLimitError, OptionError
from clusterml.model.graph import batched as collate
from clusterml.spectrum.curves import spline_matrix
from clusterml.training.state import load_weights
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from clusterml.model.graph import Graph
    from clusterml.model.spec import NetworkSpec


T = TypeVar("T")

EDGES_ON_CPU = 8_000
"""Most edges of a batch on a CPU: what more need leaves its caches, and takes longer for each."""
FIRST_EDGES_ON_GPU = 200_000
"""Edges of the first batch on a GPU; from its memory follows how many later ones may have."""
SHARE_OF_MEMORY = 0.6
"""Share of a GPU's free memory that a batch may fill."""
MOST_STRUCTURES = 4096
"""Most structures of a batch."""
_NAMES = ("epsilon", "delta_epsilon", "gap_ev", "opd", "ccm", "features")


@dataclass(frozen=True, eq=False)
class Output:
    """What k networks say of g structures, float64.

    ``epsilon``, ``delta_epsilon`` (k, g, m) in L mol-1 cm-1 on the networks' grid; ``gap_ev``, ``opd`` (index times
    1000), ``ccm`` (k, g); ``features`` (g, f) of the first network.
    """

    epsilon: FloatArray
    delta_epsilon: FloatArray
    gap_ev: FloatArray
    opd: FloatArray
    ccm: FloatArray
    features: FloatArray

    def average(self, sizes: Sequence[int]) -> Output:
        """The means over ``sizes[0]`` first structures, ``sizes[1]`` next ones, and so on; they add up to g."""
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        count = np.asarray(sizes, dtype=np.float64)

        def mean(values: FloatArray, axis: int) -> FloatArray:
            shape = [-1 if k == axis else 1 for k in range(values.ndim)]
            return np.asarray(np.add.reduceat(values, starts, axis=axis) / count.reshape(shape))

        return Output(**{name: mean(getattr(self, name), 0 if name == "features" else 1) for name in _NAMES})

    def curves(self, sizes: Sequence[int], matrix: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """The mean of the networks for each structure of such groups, on the energies of ``matrix`` (n, m):
        epsilon and delta_epsilon (size, n), group by group."""
        epsilon, delta_epsilon = (values.mean(axis=0) @ matrix.T for values in (self.epsilon, self.delta_epsilon))
        for end, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
            yield np.maximum(epsilon[end - size : end], 0.0), delta_epsilon[end - size : end]


class Ensemble:
    """``network`` with each of ``states`` (name -> tensor) as its weights in turn, on ``device``.

    To build a network takes a second, to exchange its weights next to nothing.  See
    :class:`clusterml.model.network.Network` for what it promises; ``spec`` is its own.  Raises
    :class:`~clusterml.training.state.TrainingError` for states of another network, OptionError for none.
    """

    def __init__(self, network: nn.Module, states: Sequence[Mapping[str, Tensor]], device: torch.device) -> None:
        if not states:
            raise OptionError("there is no network", "give the weights of at least one")
        copies: list[dict[str, Tensor]] = []
        for state in reversed(states):  # the network keeps the weights of the first
            load_weights(network, state)  # which also brings older names up to date
            copies.insert(0, {name: value.detach().clone() for name, value in network.state_dict().items()})
        self.spec: NetworkSpec = cast("Any", network).spec
        self.device = device
        self.energy_ev: FloatArray = self.spec.grid.energy_ev
        self._network = network.eval().requires_grad_(False).to(device)
        self._states = [{name: value.to(device) for name, value in state.items()} for state in copies]
        self._most_edges = EDGES_ON_CPU if device.type == "cpu" else FIRST_EDGES_ON_GPU

    def __len__(self) -> int:
        """Number of networks."""
        return len(self._states)

    def first(self, count: int) -> Ensemble:
        """The first ``count`` of them alone; network and weights are shared."""
        fewer = copy(self)
        fewer._states = self._states[:count]
        return fewer

    @property
    def most_edges(self) -> int:
        """Edges that a batch may have now; on a GPU this follows its memory."""
        return self._most_edges

    def __call__(self, graphs: Sequence[Graph]) -> Output:
        """The networks' output for ``graphs``, of which there is at least one, in their order."""
        parts = [self._outputs_in_halves(batch) for batch in in_batches(graphs, edges_of, lambda: self._most_edges)]
        joined = {name: torch.cat([part[name] for part in parts], dim=1).numpy() for name in _NAMES}
        return Output(**(joined | {"features": joined["features"][0]}))

    def _outputs_in_halves(self, graphs: list[Graph]) -> dict[str, Tensor]:
        """:meth:`_outputs`, in halves where a GPU's memory is too small.

        Raises :class:`~clusterml.errors.MemoryLimitError` for a single graph that is too large.
        """
        try:
            return self._outputs(graphs)
        except torch.OutOfMemoryError as error:
            if len(graphs) == 1:
                problem = f"a graph of {edges_of(graphs[0])} edges does not fit into the memory of device {self.device}"
                raise MemoryLimitError(problem, "use --device cpu, or stop other programs on the device") from error
        torch.cuda.empty_cache()
        half = len(graphs) // 2
        self._most_edges = max(1, self._most_edges // 2)
        first, second = self._outputs_in_halves(graphs[:half]), self._outputs_in_halves(graphs[half:])
        return {name: torch.cat([first[name], second[name]], dim=1) for name in _NAMES}

    @torch.inference_mode()
    def _outputs(self, graphs: list[Graph]) -> dict[str, Tensor]:
        """Name -> (k, g, ..) on the CPU in double precision."""
        on_gpu = self.device.type == "cuda"
        before = torch.cuda.memory_allocated(self.device) if on_gpu else 0
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        batch = collate(graphs).to(self.device)
        outputs = [self._network(batch)]
        outputs += [functional_call(self._network, state, (batch,)) for state in self._states[1:]]
        if on_gpu:
            used = torch.cuda.max_memory_allocated(self.device) - before
            self._most_edges = self._affordable(used / sum(edges_of(graph) for graph in graphs))
        return {name: torch.stack([output[name] for output in outputs]).double().cpu() for name in _NAMES}

    def _affordable(self, bytes_per_edge: float) -> int:
        """Edges whose batch fills the allowed share of the memory that is free or kept for reuse."""
        free, _ = torch.cuda.mem_get_info(self.device)
        reusable = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return max(1, int(SHARE_OF_MEMORY * (free + reusable) / max(bytes_per_edge, 1.0)))


def edges_of(graph: Graph) -> int:
    """The size of a graph for batching: its edges, at least 1."""
    return max(1, int(graph.num_edges))


def in_batches(items: Iterable[T], edges: Callable[[T], int], most: Callable[[], int]) -> Iterator[list[T]]:
    """``items`` in their order in lists of at most ``most()`` edges (a larger item alone), read as they are needed."""
    batch: list[T] = []
    load = 0
    for item in items:
        size = edges(item)
        if batch and (load + size > most() or len(batch) >= MOST_STRUCTURES):
            yield batch
            batch, load = [], 0
        batch.append(item)
        load += size
    if batch:
        yield batch


def choose_device(name: str) -> torch.device:
    """The device called ``name``; ``auto``: a GPU where there is one.  Raises OptionError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_device(name, "auto, cpu or cuda")
    return torch.device(name)


def refine_grid(energy_ev: FloatArray, step_ev: float) -> tuple[FloatArray, FloatArray]:
    """Energies (n,) from the first to the last of ``energy_ev`` (m,) in steps of ``step_ev``, and the matrix (n, m) of
    cubic spline interpolation to them."""
    count = round((energy_ev[-1] - energy_ev[0]) / step_ev) + 1
    grid = np.linspace(energy_ev[0], energy_ev[-1], count)
    return grid, spline_matrix(energy_ev, grid)
