"""Absorption and circular-dichroism spectra of ligand-protected silver clusters, from their geometry."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clusterml.chirality.report import ChiralityReport, chirality
    from clusterml.inference.answer import Answer
    from clusterml.inference.predict import predict
    from clusterml.inference.prediction import Prediction
    from clusterml.inference.predictor import Predictor
    from clusterml.spectrum.spectrum import Spectrum
    from clusterml.spectrum.transitions import Transitions
    from clusterml.stda.label import Label, label
    from clusterml.structure.anatomy.anatomy import Anatomy, anatomy
    from clusterml.structure.build.build import build
    from clusterml.structure.distort.apply import distort
    from clusterml.structure.distort.substitute import substitute
    from clusterml.structure.inspect import Inspection, inspect
    from clusterml.structure.read import read, read_all

    __version__: str

__all__ = [
    "Anatomy",
    "Answer",
    "ChiralityReport",
    "Inspection",
    "Label",
    "Prediction",
    "Predictor",
    "Spectrum",
    "Transitions",
    "__version__",
    "anatomy",
    "build",
    "chirality",
    "distort",
    "inspect",
    "label",
    "predict",
    "read",
    "read_all",
    "substitute",
]

_HOMES = {
    "Anatomy": "clusterml.structure.anatomy.anatomy",
    "Answer": "clusterml.inference.answer",
    "ChiralityReport": "clusterml.chirality.report",
    "Inspection": "clusterml.structure.inspect",
    "Label": "clusterml.stda.label",
    "Prediction": "clusterml.inference.prediction",
    "Predictor": "clusterml.inference.predictor",
    "Spectrum": "clusterml.spectrum.spectrum",
    "Transitions": "clusterml.spectrum.transitions",
    "anatomy": "clusterml.structure.anatomy.anatomy",
    "build": "clusterml.structure.build.build",
    "chirality": "clusterml.chirality.report",
    "distort": "clusterml.structure.distort.apply",
    "inspect": "clusterml.structure.inspect",
    "label": "clusterml.stda.label",
    "predict": "clusterml.inference.predict",
    "read": "clusterml.structure.read",
    "read_all": "clusterml.structure.read",
    "substitute": "clusterml.structure.distort.substitute",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that ``import clusterml`` stays quick."""
    if name == "__version__":
        from importlib.metadata import version

        return version("clusterml")
    if name not in _HOMES:
        raise AttributeError(f"module 'clusterml' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
