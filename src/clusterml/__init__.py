"""Absorption and circular-dichroism spectra of ligand-protected silver clusters, from their geometry."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clusterml.batch.chemiscope import to_chemiscope
    from clusterml.batch.tables import to_ase, to_pandas, to_xarray
    from clusterml.chirality.batch import BatchChirality, chirality_batch
    from clusterml.chirality.report import ChiralityReport, chirality_report
    from clusterml.dataset.store import Dataset
    from clusterml.engine.charge import inspect
    from clusterml.engine.consensus import find_consensus
    from clusterml.engine.contributions import Contributions, label_contributions
    from clusterml.engine.gfn1_calculator import Gfn1Calculator
    from clusterml.engine.label import Label, label
    from clusterml.engine.protocol import Compute, Protocol
    from clusterml.engine.relax import RelaxSettings, relax
    from clusterml.errors import ClusterMLError
    from clusterml.inference.answer import Answer, Prediction
    from clusterml.inference.calculator import SpectrumCalculator
    from clusterml.inference.explain import explain
    from clusterml.inference.predict import predict
    from clusterml.inference.predictor import Predictor
    from clusterml.io.shipped import locate
    from clusterml.screening.config import Screen, load_screen
    from clusterml.screening.design.run import design
    from clusterml.screening.run import screen
    from clusterml.server.client import Client
    from clusterml.spectrum.calculation import read_transitions
    from clusterml.spectrum.compare import Comparison, compare
    from clusterml.spectrum.measured import read_spectrum
    from clusterml.spectrum.spectrum import Spectrum
    from clusterml.spectrum.transitions import Transitions
    from clusterml.spectrum.view import View
    from clusterml.structure.anatomy.anatomy import Anatomy, anatomy
    from clusterml.structure.anatomy.library import Library, load_library, using_library
    from clusterml.structure.build.build import build
    from clusterml.structure.build.complete import complete
    from clusterml.structure.distort.apply import distort, scan
    from clusterml.structure.distort.substitute import substitute
    from clusterml.structure.inspect import Inspection
    from clusterml.structure.options import ReadOptions
    from clusterml.structure.read import read, read_all
    from clusterml.structure.write import write_extxyz

    __version__: str

__all__ = [
    "Anatomy",
    "Answer",
    "BatchChirality",
    "ChiralityReport",
    "Client",
    "ClusterMLError",
    "Comparison",
    "Compute",
    "Contributions",
    "Dataset",
    "Gfn1Calculator",
    "Inspection",
    "Label",
    "Library",
    "Prediction",
    "Predictor",
    "Protocol",
    "ReadOptions",
    "RelaxSettings",
    "Screen",
    "Spectrum",
    "SpectrumCalculator",
    "Transitions",
    "View",
    "__version__",
    "anatomy",
    "build",
    "chirality_batch",
    "chirality_report",
    "compare",
    "complete",
    "design",
    "distort",
    "explain",
    "find_consensus",
    "inspect",
    "label",
    "label_contributions",
    "load_library",
    "load_screen",
    "locate",
    "predict",
    "read",
    "read_all",
    "read_spectrum",
    "read_transitions",
    "relax",
    "scan",
    "screen",
    "substitute",
    "to_ase",
    "to_chemiscope",
    "to_pandas",
    "to_xarray",
    "using_library",
    "write_extxyz",
]

_HOMES = {
    "Anatomy": "clusterml.structure.anatomy.anatomy",
    "Answer": "clusterml.inference.answer",
    "BatchChirality": "clusterml.chirality.batch",
    "ChiralityReport": "clusterml.chirality.report",
    "Client": "clusterml.server.client",
    "ClusterMLError": "clusterml.errors",
    "Comparison": "clusterml.spectrum.compare",
    "Compute": "clusterml.engine.protocol",
    "Contributions": "clusterml.engine.contributions",
    "Dataset": "clusterml.dataset.store",
    "Gfn1Calculator": "clusterml.engine.gfn1_calculator",
    "Inspection": "clusterml.structure.inspect",
    "Label": "clusterml.engine.label",
    "Library": "clusterml.structure.anatomy.library",
    "Prediction": "clusterml.inference.answer",
    "Predictor": "clusterml.inference.predictor",
    "Protocol": "clusterml.engine.protocol",
    "ReadOptions": "clusterml.structure.options",
    "RelaxSettings": "clusterml.engine.relax",
    "Screen": "clusterml.screening.config",
    "Spectrum": "clusterml.spectrum.spectrum",
    "SpectrumCalculator": "clusterml.inference.calculator",
    "Transitions": "clusterml.spectrum.transitions",
    "View": "clusterml.spectrum.view",
    "anatomy": "clusterml.structure.anatomy.anatomy",
    "build": "clusterml.structure.build.build",
    "chirality_batch": "clusterml.chirality.batch",
    "chirality_report": "clusterml.chirality.report",
    "compare": "clusterml.spectrum.compare",
    "complete": "clusterml.structure.build.complete",
    "design": "clusterml.screening.design.run",
    "distort": "clusterml.structure.distort.apply",
    "explain": "clusterml.inference.explain",
    "inspect": "clusterml.engine.charge",
    "find_consensus": "clusterml.engine.consensus",
    "label": "clusterml.engine.label",
    "label_contributions": "clusterml.engine.contributions",
    "load_library": "clusterml.structure.anatomy.library",
    "load_screen": "clusterml.screening.config",
    "locate": "clusterml.io.shipped",
    "predict": "clusterml.inference.predict",
    "read": "clusterml.structure.read",
    "read_all": "clusterml.structure.read",
    "read_spectrum": "clusterml.spectrum.measured",
    "read_transitions": "clusterml.spectrum.calculation",
    "relax": "clusterml.engine.relax",
    "scan": "clusterml.structure.distort.apply",
    "screen": "clusterml.screening.run",
    "substitute": "clusterml.structure.distort.substitute",
    "to_ase": "clusterml.batch.tables",
    "to_chemiscope": "clusterml.batch.chemiscope",
    "to_pandas": "clusterml.batch.tables",
    "to_xarray": "clusterml.batch.tables",
    "using_library": "clusterml.structure.anatomy.library",
    "write_extxyz": "clusterml.structure.write",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that ``import clusterml`` stays quick."""
    if name == "__version__":
        from importlib.metadata import version

        return version("clusterml")
    if name not in _HOMES:
        from clusterml.errors import nearest

        close = "" if name.startswith("_") else nearest(name, __all__)
        hint = f"; did you mean {close!r}?" if close else ""
        raise AttributeError(f"module 'clusterml' has no attribute {name!r}{hint}", name=name)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, for people who look around."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
