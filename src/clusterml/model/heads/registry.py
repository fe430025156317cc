"""The heads there are: one module of this package each, and those that installed packages add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clusterml.config.registry import Registry
from clusterml.config.schema import Strict

if TYPE_CHECKING:
    from torch import Tensor

    from clusterml.model.heads.head import Head
    from clusterml.model.irreps import Irreps
    from clusterml.model.spec import NetworkSpec


@dataclass(frozen=True)
class HeadKind:
    """A head that can be chosen.

    name       what ``network.head`` calls it
    about      what it is, in a line
    options    its own options, each with a description; ``network.head_options``
    build      from its options, the network's specification, the irreps of the features, the energies (m,) in eV and
               the standard deviation of a band in eV
    """

    name: str
    about: str
    options: type[Strict]
    build: Callable[[Any, NetworkSpec, Irreps, Tensor, float], Head]


REGISTRY: Registry[HeadKind] = Registry("heads", HeadKind, "clusterml.model.heads")
"""Every head, by name."""


def head_kind(name: str) -> HeadKind:
    """The head of that name; raises :class:`OptionError` naming the nearest, or all there are."""
    return REGISTRY.named(name, "network head")
