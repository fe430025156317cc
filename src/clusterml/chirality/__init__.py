"""How chiral a cluster is: continuous chirality and symmetry measures, signed indices, template fits.

``clusterml.chirality(atoms)`` calls :func:`clusterml.chirality.report.chirality`; :func:`chirality_batch` measures
thousands of distortions of one cluster.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clusterml.chirality.batch import BatchChirality, chirality_batch
    from clusterml.chirality.report import ChiralityReport

__all__ = ["BatchChirality", "ChiralityReport", "chirality_batch"]

_HOMES = {
    "BatchChirality": "clusterml.chirality.batch",
    "ChiralityReport": "clusterml.chirality.report",
    "chirality_batch": "clusterml.chirality.batch",
}


class _Package(ModuleType):
    """This package, callable: the function of the same name is the one most users want."""

    def __call__(self, *arguments: Any, **options: Any) -> ChiralityReport:
        from clusterml.chirality.report import chirality

        return chirality(*arguments, **options)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import public names on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'clusterml.chirality' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
