"""How good a network is on the validation set, by all processes together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clusterml.training.batches import plan, share
from clusterml.training.config import BatchConfig
from clusterml.training.forward import Forward, SingularError
from clusterml.training.losses import Loss
from clusterml.training.material import LabelledSet
from clusterml.training.metrics import TrainingMean, cosine, median, r2
from clusterml.training.parallel import Group
from clusterml.training.targets import SPECTRA

if TYPE_CHECKING:
    from clusterml.model.graph import Graph

QUANTITIES = {"epsilon": "absorption", "delta_epsilon": "cd"}
"""Output -> its name in front of the metrics."""


class Validator:
    """Validation of a network on ``part``; ``means``: the training means of both spectra, by output."""

    def __init__(
        self,
        forward: Forward,
        loss: Loss,
        part: LabelledSet,
        means: dict[str, TrainingMean],
        group: Group,
        batches: BatchConfig,
    ) -> None:
        self._forward = forward
        self._loss = loss
        self._part = part
        self._group = group
        self._names = (*loss.weights, "loss")
        self._target = {name: part.spectra(name) for name in SPECTRA}
        self._mean = {name: means[name].of(part.groups) for name in SPECTRA}
        planned = plan(part.sizes, batches.edges, batches.structures, processes=group.size)
        self._batches = [share(batch, part.sizes, group.size, group.rank) for batch in planned]

    def __call__(self) -> dict[str, float]:
        """``validation_<term>`` (means over the structures), median cosines, R2 against the training mean.

        ``validation_failed``: structures without a finite loss, which the other numbers leave out; they are NaN if no
        structure is left.
        """
        table = self._table()
        good = torch.isfinite(table).all(dim=1)
        found = {"validation_failed": float((~good).sum())}
        means = table[good].mean(dim=0).tolist() if good.any() else [math.nan] * table.shape[1]
        found |= {f"validation_{name}": value for name, value in zip(self._names, means, strict=False)}
        spectra = table[good, len(self._names) :].numpy()
        rows = good.numpy()
        for number, (name, quantity) in enumerate(QUANTITIES.items()):
            points = self._target[name].shape[1]
            predicted = spectra[:, number * points : (number + 1) * points]
            target = self._target[name][rows]
            found[f"{quantity}_cosine"] = median(cosine(predicted, target))
            found[f"{quantity}_r2"] = r2(predicted, target, self._mean[name][rows])
        return found

    def _table(self) -> Tensor:
        """One row for each structure: its terms, then its predicted spectra; NaN where the network failed."""
        width = len(self._names) + sum(target.shape[1] for target in self._target.values())
        table = torch.zeros(len(self._part), width, dtype=torch.float64, device=self._group.device)
        self._forward.network.eval()
        with torch.no_grad():
            for batch in self._batches:
                if batch:
                    table[batch] = self._rows([self._part.samples[k] for k in batch], width)
        self._forward.network.train()
        return self._group.add(table).cpu()

    def _rows(self, samples: Sequence[Graph], width: int) -> Tensor:
        try:
            predicted, batch = self._forward(samples)
        except SingularError:  # of a matrix with NaN: find out whose
            if len(samples) == 1:
                return torch.full((1, width), math.nan, dtype=torch.float64, device=self._group.device)
            return torch.cat([self._rows([sample], width) for sample in samples])
        terms = self._loss(predicted, batch)
        columns = [terms[name][:, None] for name in self._names] + [predicted[name] for name in SPECTRA]
        return torch.cat([column.double() for column in columns], dim=1)
