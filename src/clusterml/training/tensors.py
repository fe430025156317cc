"""A run's tensors by name: weights, averaged weights and the optimizer's moments in one flat mapping, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clusterml.training.average import Average
from clusterml.training.state import TrainingError

_NETWORK, _AVERAGE, _OPTIMIZER = "network/", "average/", "optimizer/"


def gathered(network: nn.Module, average: Average, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """``network/NAME``, ``average/NAME`` and ``optimizer/NUMBER/NAME``."""
    found = {f"{_NETWORK}{name}": value for name, value in network.state_dict().items()}
    found |= {f"{_AVERAGE}{name}": value for name, value in average.weights.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        found |= {f"{_OPTIMIZER}{number}/{name}": value for name, value in moments.items()}
    return found


def restore(
    tensors: Mapping[str, Tensor], network: nn.Module, average: Average, optimizer: torch.optim.Optimizer
) -> None:
    """Put ``tensors`` back where :func:`gathered` took them from.

    Raises :class:`TrainingError` if they are of another network.
    """
    load_weights(network, _part(tensors, _NETWORK))
    average.load(_part(tensors, _AVERAGE))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, _OPTIMIZER).items():
        number, _, name = key.partition("/")
        moments.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def averaged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of the network with averaged weights in place of the last ones."""
    return _part(tensors, _NETWORK) | _part(tensors, _AVERAGE)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set a network's state to ``weights``; raises :class:`TrainingError` if names or shapes do not fit."""
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise TrainingError(f"the weights are not of this network: {error}", "use the clusterml they are of") from error


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
