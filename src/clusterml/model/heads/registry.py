"""The heads there are: one module of this package each, and those that installed packages add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clusterml.config.registry import Registry
from clusterml.config.schema import Strict
from clusterml.config.usercode import Guard
from clusterml.errors import OptionError, nearest

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


def _adopted(kind: HeadKind, origin: str) -> HeadKind:
    """A head of the package ``origin``, which is named where it cannot be built."""

    def build(options: Any, spec: NetworkSpec, irreps: Irreps, grid: Tensor, sigma_ev: float) -> Head:
        with Guard(f"head {kind.name} ({origin})", typed=True):
            return kind.build(options, spec, irreps, grid, sigma_ev)

    return replace(kind, build=build)


REGISTRY: Registry[HeadKind] = Registry(
    what="head",
    kind=HeadKind,
    package="clusterml.model.heads",
    attribute="HEADS",
    group="clusterml.heads",
    name=lambda kind: kind.name,
    adopt=_adopted,
)
"""Every head, by name."""


def head_kind(name: str) -> HeadKind:
    """The head of that name; raises :class:`OptionError` naming the nearest, or all there are."""
    kinds = {kind.name: kind for kind in REGISTRY.all()}
    if name in kinds:
        return kinds[name]
    meant = nearest(name, list(kinds))
    hint = f"did you mean '{meant}'?" if meant else f"choose {', '.join(kinds)}"
    raise OptionError(f"network head is '{name[:80]}'", hint)
