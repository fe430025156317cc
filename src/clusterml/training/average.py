"""Averaged weights: an exponential moving average that is smoother, and usually better, than the last step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The moving average of a network's parameters: a <- d a + (1 - d) w after every step.

    d = min(``decay``, (1 + n) / (10 + n)) after n steps, so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.weights: dict[str, Tensor] = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network's parameters after ``step`` steps."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step))
        for name, parameter in self._network.named_parameters():
            self.weights[name].lerp_(parameter, 1.0 - decay)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Set the average to ``weights``."""
        for name, value in self.weights.items():
            value.copy_(weights[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the network has the averaged weights."""
        parameters = dict(self._network.named_parameters())
        kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        self._copy(self.weights, parameters)
        try:
            yield
        finally:
            self._copy(kept, parameters)

    @staticmethod
    @torch.no_grad()
    def _copy(source: Mapping[str, Tensor], target: Mapping[str, nn.Parameter]) -> None:
        for name, parameter in target.items():
            parameter.copy_(source[name])
