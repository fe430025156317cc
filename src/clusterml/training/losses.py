"""What is minimised: residuals of spectra in units of each structure's own scale, their running integrals, and numbers.

For a spectrum t of scale s and its prediction p, x = (p - t) / s; H is Huber's function (x^2 / 2 up to ``huber``, then
linear) or x^2 / 2.  The terms of one structure, averaged over the energies:

* ``epsilon``, ``delta_epsilon``: H(x(E));
* ``.._cumulative``: H(C(E)), C(E) the integral of x up to E, in eV: a band that is a little off costs little, one that
  is missing or has the wrong sign costs all of its area (an earth mover's distance for signed spectra);
* ``epsilon_sid``: sum over E of (P - T) ln(P / T), P and T the two absorptions divided by their sums;
* ``absorption_tensor``, ``rotatory_tensor``: H(x) of their elements, in units of their own scale;
* ``gap_ev``, ``opd``, ``ccm``: H of the residual in units of the spread over the training set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from clusterml.errors import OptionError
from clusterml.training.config import LossConfig
from clusterml.training.targets import MEASURES, SPECTRA, TENSORS

_SID_FLOOR = 1e-4
"""Share of an even spectrum that is added to both spectra of the divergence."""


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
        terms["loss"] = torch.stack([weight * terms[name] for name, weight in self.weights.items()]).sum(dim=0)
        return terms

    def _of_spectrum(self, name: str, predicted: Mapping[str, Tensor], batch: Any) -> dict[str, Tensor]:
        wanted = [term for term in self.weights if term == name or term.startswith(f"{name}_")]
        if not wanted:
            return {}
        values, target = _output(predicted, name), batch[name]
        residual = (values - target) / batch[f"{name}_scale"][:, None]
        made: dict[str, Tensor] = {}
        if name in wanted:
            made[name] = self._penalty(residual).mean(dim=1)
        if f"{name}_cumulative" in wanted:
            integral = torch.cumsum(residual, dim=1) * self._step_ev
            made[f"{name}_cumulative"] = self._penalty(integral).mean(dim=1)
        if f"{name}_sid" in wanted:
            made[f"{name}_sid"] = divergence(values, target)
        return made

    def _penalty(self, x: Tensor) -> Tensor:
        if self._huber is None:
            return 0.5 * x.square()
        return torch.nn.functional.huber_loss(x, torch.zeros_like(x), reduction="none", delta=self._huber)


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
