"""What a run learns from: records chosen and divided, their graphs made once, with targets and scales attached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from clusterml.dataset.groups import hypothetical_families
from clusterml.dataset.split import Split
from clusterml.dataset.store import Dataset
from clusterml.errors import ClusterMLError, DatasetError
from clusterml.training.config import DataConfig
from clusterml.training.metrics import TrainingMean
from clusterml.training.targets import MEASURES, SPECTRA, TENSORS, Broadening, Wanted, targets
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from clusterml.dataset.record import Record
    from clusterml.model.graph import Graph
    from clusterml.model.spec import NetworkSpec

GraphMaker = Callable[["Record"], "Graph"]
"""The graph of a record's geometry, as a network reads it."""
SMALLEST_G = 1e-4
"""CD below this share of the absorption cannot be measured: a structure's CD scale is at least this share of it."""
_SMALLEST_EPSILON = 1.0  # L mol-1 cm-1


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Graphs with their targets: ``samples[k]`` is of record ``ids[k]``; ``groups[k]``: its parent and hand.

    A sample holds, beside the graph, ``row`` (1,) = k, the targets, ``known`` (1, m): 1 at energies that the label
    reaches, else 0, and the scales (1,) of targets with energies, ``epsilon_scale`` and so on.
    """

    samples: list[Graph]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    sizes: tuple[int, ...] = field(init=False)
    """Edges of each graph, at least 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(max(1, int(sample.num_edges)) for sample in self.samples))

    def __len__(self) -> int:
        return len(self.samples)

    def spectra(self, name: str) -> FloatArray:
        """The targets ``name``, (s, m) or (s, m, 3, 3), in L mol-1 cm-1."""
        return torch.cat([sample[name] for sample in self.samples]).double().numpy()

    def mean(self, name: str) -> TrainingMean:
        """The mean of the spectra ``name`` by group."""
        return TrainingMean(self.spectra(name), self.groups)


def chosen(dataset: Dataset, split: Split, config: DataConfig, seed: int) -> tuple[list[str], list[str]]:
    """Names of the training and validation records that ``config`` asks for.

    A ``fraction`` takes the first of a fixed random order, so that a smaller one is part of a larger one.  Raises
    :class:`DatasetError` if nothing is left, a record is gone, or several methods would be mixed.
    """
    wanted = _wanted(dataset, config)
    gone = sorted({*split.train, *split.validation} - set(dataset.ids))
    if gone:
        raise DatasetError(f"{dataset.folder}: has no record '{gone[0]}' of the split", "give the dataset it is of")
    train, validation = ([i for i in ids if i in wanted] for ids in (split.train, split.validation))
    order = np.random.default_rng([seed, 1]).permutation(len(train))
    kept = set(order[: int(np.ceil(config.fraction * len(train)))].tolist())
    train = [name for number, name in enumerate(train) if number in kept]
    for part, names in (("training", train), ("validation", validation)):
        if not names:
            raise DatasetError(
                f"{dataset.folder}: no record is left for {part}",
                "check data.kinds, method, parents, hypothetical and the split",
            )
    return train, validation


def _wanted(dataset: Dataset, config: DataConfig) -> set[str]:
    """Records of the wanted kinds, parents and method."""
    kind, parent, method = (dataset.column(name) for name in ("kind", "parent", "method"))
    unknown = sorted(set(config.parents) - set(parent))
    if unknown:
        raise DatasetError(
            f"{dataset.folder}: has no parent '{unknown[0]}'", f"it has {', '.join(sorted(set(parent)))}"
        )
    left_out = set() if config.hypothetical else hypothetical_families(dataset)
    family = dataset.column("family")
    rows = [
        (name, how)
        for name, what, who, whose, how in zip(dataset.ids, kind, parent, family, method, strict=True)
        if what in config.kinds
        and (not config.parents or who in config.parents)
        and whose not in left_out
        and (config.method is None or how == config.method)
    ]
    methods = sorted({how for _, how in rows})
    if len(methods) > 1:
        raise DatasetError(f"{dataset.folder}: holds labels of {', '.join(methods)}", "choose one with data.method")
    return {name for name, _ in rows}


def labelled(
    dataset: Dataset, names: Sequence[str], graph: GraphMaker, wanted: Wanted, spec: NetworkSpec
) -> LabelledSet:
    """The records ``names`` as graphs with targets on the grid and width of ``spec``, kept in memory.

    Raises :class:`DatasetError` for a missing label, and what ``graph`` raises, naming the record.
    """
    broadening = Broadening.of(spec)
    samples, groups = [], []
    for row, name in enumerate(names):
        record = dataset.find(name)
        try:
            sample = graph(record)
        except ClusterMLError as error:
            raise type(error)(f"record {name}: {error.problem}", error.remedy) from error
        sample.row = torch.tensor([row])
        sample.known = torch.from_numpy(broadening.known(record)).float()[None]
        for key, value in targets(record, wanted, broadening).items():
            sample[key] = value
        samples.append(sample)
        groups.append(f"{record.parent}/{record.hand}")
    return LabelledSet(samples, tuple(names), tuple(groups))


def attach_scales(sets: Sequence[LabelledSet], floor: float) -> None:
    """Give every sample the scale of its spectra and tensors: their root mean square (L mol-1 cm-1).

    It is no less than ``floor`` times the median of its parent's, so that a CD near zero is not blown up, nor than what
    can be measured.
    """
    parents = np.array([group.rpartition("/")[0] for part in sets for group in part.groups])
    samples = [sample for part in sets for sample in part.samples]
    smallest: FloatArray | float = _SMALLEST_EPSILON
    for name in (*SPECTRA, *(name for name in TENSORS if name in samples[0])):
        size = np.array([_size(sample, name) for sample in samples])
        middle = {who: np.median(size[parents == who]) for who in set(parents.tolist())}
        scale = np.maximum(size, floor * np.array([middle[who] for who in parents.tolist()]))
        scale = np.maximum(scale, smallest)
        if name == "epsilon":
            smallest = SMALLEST_G * scale
        for sample, value in zip(samples, scale, strict=True):
            sample[f"{name}_scale"] = torch.tensor([value], dtype=torch.float32)


def _size(sample: Graph, name: str) -> float:
    """Root mean square of a target over the energies that the label reaches."""
    reached = sample.known[0] > 0.0
    return float(sample[name][:, reached].double().square().mean().sqrt())


def spreads(part: LabelledSet) -> dict[str, float]:
    """Standard deviation over the set of each number that is learnt; 1 where it vanishes."""
    known = [name for name in MEASURES if name in part.samples[0]]
    values = {name: torch.cat([sample[name] for sample in part.samples]).double() for name in known}
    spreads = {name: float(value.std(correction=0)) for name, value in values.items()}
    return {name: spread if spread > 1e-6 else 1.0 for name, spread in spreads.items()}
