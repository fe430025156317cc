"""One step of the optimizer, by all processes together; a batch with a number that is not finite changes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.optim import Optimizer

from clusterml.training.forward import Forward, SingularError
from clusterml.training.losses import Loss
from clusterml.training.parallel import Group

if TYPE_CHECKING:
    from clusterml.model.graph import Graph


@dataclass(frozen=True)
class Outcome:
    """What a step did: ``sums`` of each term over the structures of all processes, and the ``norm`` of the gradient.

    ``bad``: rows of the structures whose loss or gradient is not finite; if there are any, the step was not taken.
    """

    sums: dict[str, float]
    norm: float
    bad: tuple[int, ...] = ()


class Stepper:
    """Takes steps; ``clip``: largest norm of the gradient; ``rows``: structures in the training set."""

    def __init__(
        self, forward: Forward, loss: Loss, optimizer: Optimizer, group: Group, *, clip: float, rows: int
    ) -> None:
        self._forward = forward
        self._loss = loss
        self._optimizer = optimizer
        self._group = group
        self._clip = clip
        self._rows = rows
        self._names = (*loss.weights, "loss")
        self._parameters = [p for p in forward.network.parameters() if p.requires_grad]

    def __call__(self, part: Sequence[Graph], count: int) -> Outcome:
        """Step on a batch of ``count`` structures, of which ``part`` (perhaps none) is this process's."""
        self._optimizer.zero_grad()
        sums = self._backward(part, count)
        good = all(math.isfinite(value) for value in sums)
        totals = torch.tensor([float(not good), *sums], dtype=torch.float64, device=self._group.device)
        broken, *totals_of = self._group.add(totals).tolist()
        norm = math.inf if broken else self._norm()
        if not math.isfinite(norm):
            bad = self._culprits(part)
            self._optimizer.zero_grad()
            return Outcome({}, norm, bad)
        self._optimizer.step()
        return Outcome(dict(zip(self._names, totals_of, strict=True)), norm)

    def _backward(self, part: Sequence[Graph], count: int) -> list[float]:
        """Gradients of the mean over the whole batch; returns the sums of this part's terms, NaN if it has no loss."""
        if not part:
            return [0.0] * len(self._names)
        try:
            terms = self._loss(*self._forward(part))
            (terms["loss"].sum() / count).backward()
        except SingularError:  # of a matrix with NaN
            return [math.nan] * len(self._names)
        return [float(terms[name].detach().double().sum()) for name in self._names]

    def _norm(self) -> float:
        """Norm of the gradient of all processes, which is then clipped."""
        self._group.add_gradients(self._parameters)
        return float(torch.nn.utils.clip_grad_norm_(self._parameters, self._clip))

    def _culprits(self, part: Sequence[Graph]) -> tuple[int, ...]:
        """Rows, of all processes, of the structures that alone give no finite gradient; of all, if none does."""
        mine = [sample for sample in part if not self._fine(sample)]
        flags = torch.zeros(2, self._rows, device=self._group.device)
        flags[0, [int(sample.row) for sample in mine]] = 1.0
        flags[1, [int(sample.row) for sample in part]] = 1.0
        found, present = self._group.add(flags)
        return tuple(torch.nonzero(found if found.any() else present).flatten().tolist())

    def _fine(self, sample: Graph) -> bool:
        self._optimizer.zero_grad()
        if not all(math.isfinite(value) for value in self._backward([sample], 1)):
            return False
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
