"""One step of the optimizer: the network applied, the loss, and gradients shared by all processes.

For a spectrum t of scale s and its prediction p, x = (p - t) / s; H is Huber's function (x^2 / 2 up to ``huber``, then
linear) or x^2 / 2.  The terms of one structure, averaged over the energies that its label reaches (``known``):

* ``epsilon``, ``delta_epsilon``: H(x(E));
* ``.._cumulative``: H(C(E)), C(E) the integral of x up to E, in eV: a band that is a little off costs little, one that
  is missing or has the wrong sign costs all of its area (an earth mover's distance for signed spectra);
* ``epsilon_sid``: sum over E of (P - T) ln(P / T), P and T the two absorptions divided by their sums;
* ``absorption_tensor``, ``rotatory_tensor``: H(x) of their elements, in units of their own scale;
* ``gap_ev``, ``opd``, ``ccm``: H of the residual in units of the spread over the training set;
* ``shell_charges``: mean of H over the shells of core atoms, in units of 0.1 e; ``level_histogram``: mean of H over its
  intervals, in units of their root mean square.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from clusterml.errors import OptionError
from clusterml.model.graph import batched
from clusterml.model.heads.head import per_graph
from clusterml.training.config import LossConfig
from clusterml.training.parallel import Group
from clusterml.training.targets import MEASURES, SPECTRA, TENSORS

if TYPE_CHECKING:
    from clusterml.model.graph import Graph


_SID_FLOOR = 1e-4
"""Share of an even spectrum that is added to both spectra of the divergence."""

_CHARGE = 0.1
"""Unit of charges of shells, in e."""


class Loss:
    """The terms of a batch, structure by structure.

    ``step_ev``: spacing of the grid; ``spread``: unit of each number that is learnt, see
    :func:`clusterml.training.material.spreads`.  Raises :class:`OptionError` if every weight is zero.
    """

    def __init__(self, config: LossConfig, step_ev: float, spread: Mapping[str, float]) -> None:
        weights = config.model_dump(exclude={"huber", "floor"})
        self.weights: dict[str, float] = {name: weight for name, weight in weights.items() if weight > 0.0}
        if not self.weights:
            raise OptionError("every weight of the loss is 0", "give loss.delta_epsilon or another one a weight")
        self._huber = config.huber
        self._step_ev = step_ev
        self._spread = dict(spread)

    def __call__(self, predicted: Mapping[str, Tensor], batch: Any) -> dict[str, Tensor]:
        """Each term (g,) of the g structures of ``batch``, and ``loss`` (g,), their weighted sum.

        Raises :class:`OptionError` naming the outputs found if the network does not make one that has a weight.
        """
        terms: dict[str, Tensor] = {}
        for name in SPECTRA:
            terms |= self._of_spectrum(name, predicted, batch)
        for name in (name for name in TENSORS if name in self.weights):
            residual = (_output(predicted, name) - batch[name]) / batch[f"{name}_scale"][:, None, None, None]
            terms[name] = self._penalty(residual).flatten(1).mean(dim=1)
        for name in (name for name in MEASURES if name in self.weights):
            terms[name] = self._penalty((_output(predicted, name) - batch[name]) / self._spread[name])
        if "shell_charges" in self.weights:
            core = batch["core_index"]
            residual = (_output(predicted, "shell_charges") - batch["shell_charges"][core]) / _CHARGE
            where, count = batch["batch"][core], batch.num_graphs
            atoms = per_graph(torch.ones_like(residual[:, 0]), where, count)
            terms["shell_charges"] = per_graph(self._penalty(residual).mean(dim=1), where, count) / atoms
        if "level_histogram" in self.weights:
            target = batch["level_histogram"]
            size = target.square().mean(dim=1, keepdim=True).sqrt()
            residual = (_output(predicted, "level_histogram") - target) / size
            terms["level_histogram"] = self._penalty(residual).mean(dim=1)
        terms["loss"] = torch.stack([weight * terms[name] for name, weight in self.weights.items()]).sum(dim=0)
        return terms

    def _of_spectrum(self, name: str, predicted: Mapping[str, Tensor], batch: Any) -> dict[str, Tensor]:
        wanted = [term for term in self.weights if term == name or term.startswith(f"{name}_")]
        if not wanted:
            return {}
        known = batch["known"]
        values, target = known * _output(predicted, name), known * batch[name]
        residual = (values - target) / batch[f"{name}_scale"][:, None]
        made: dict[str, Tensor] = {}
        if name in wanted:
            made[name] = _mean(self._penalty(residual), known)
        if f"{name}_cumulative" in wanted:
            integral = torch.cumsum(residual, dim=1) * self._step_ev
            made[f"{name}_cumulative"] = _mean(self._penalty(integral), known)
        if f"{name}_sid" in wanted:
            made[f"{name}_sid"] = divergence(values, target)
        return made

    def _penalty(self, x: Tensor) -> Tensor:
        if self._huber is None:
            return 0.5 * x.square()
        return torch.nn.functional.huber_loss(x, torch.zeros_like(x), reduction="none", delta=self._huber)


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Mean (g,) of ``values`` (g, m) over the energies where ``known`` (g, m) is 1."""
    return (known * values).sum(dim=1) / known.sum(dim=1)


def divergence(predicted: Tensor, target: Tensor) -> Tensor:
    """Symmetric spectral information divergence (g,) of absorptions (g, m): 0 for equal shapes, whatever their heights.

    Negative values count as zero.  Every energy gets a floor of 1e-4 of an even share, which the logarithm needs.
    """
    points = target.shape[1]
    p, t = (_shares(values) + _SID_FLOOR / points for values in (predicted, target))
    return ((p - t) * (p.log() - t.log())).sum(dim=1)


def _shares(values: Tensor) -> Tensor:
    positive = values.clamp_min(0.0)
    return positive / positive.sum(dim=1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)


def _output(predicted: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in predicted:
        raise OptionError(f"the network does not predict '{name}', but {', '.join(predicted)}", f"set loss.{name} to 0")
    values = predicted[name]
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


SingularError: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
"""What decompositions of a matrix with NaN raise."""


class Forward:
    """Samples -> (outputs by name, the batch they are of).  ``precision`` matters on a GPU only."""

    def __init__(self, network: nn.Module, device: torch.device, precision: str = "float32") -> None:
        self.network = network
        self.device = device
        self._half = precision == "bf16" and device.type == "cuda"

    def __call__(self, samples: Sequence[Graph]) -> tuple[dict[str, Tensor], Any]:
        """Outputs (g, ..) of the g ``samples``, of which there is at least one."""
        batch = batched(samples).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._half):
            return self.network(batch), batch


@contextmanager
def matrix_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Within this context float32 matrix products may use TF32, if ``precision`` allows it and ``device`` is a GPU."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda" and precision != "float32":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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
        bad, present = self._group.add(flags)
        return tuple(torch.nonzero(bad if bad.any() else present).flatten().tolist())

    def _fine(self, sample: Graph) -> bool:
        self._optimizer.zero_grad()
        if not all(math.isfinite(value) for value in self._backward([sample], 1)):
            return False
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
