"""Fixtures every test can use: where the shipped examples and the (optional) real structures are; fixed seeds."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("clusterml", derandomize=True, deadline=None)
settings.load_profile("clusterml")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no GPU")


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Files need not survive a loss of power here; what a killed process has written stays either way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@functools.lru_cache(maxsize=64)
def _built(name: str, options: tuple[tuple[str, str], ...]) -> Atoms:
    from clusterml.structure.build.build import build

    return build(name, **dict(options))


@pytest.fixture(scope="session")
def built() -> Callable[..., Atoms]:
    """Name and options of a blueprint -> a copy of the model."""

    def make(name: str, **options: str) -> Atoms:
        atoms = _built(name, tuple(sorted(options.items())))
        copy = atoms.copy()
        copy.info = {**atoms.info, "provenance": {**atoms.info["provenance"]}}
        return copy

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that are written as PNG, in their order: a test looks at what they show."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    saved: list[Figure] = []
    write = FigureCanvasAgg.print_png

    @functools.wraps(write)  # matplotlib looks at its signature
    def kept(canvas: FigureCanvasAgg, *arguments: Any, **options: Any) -> None:
        write(canvas, *arguments, **options)
        saved.append(canvas.figure)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", kept)
    return saved


@pytest.fixture(scope="session")
def examples() -> Path:
    return ROOT / "datasets" / "examples"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of other people's structures and reference data, which is not part of the project."""
    folder = Path(os.environ.get("CLUSTERML_SHARED", ROOT.parent / "shared"))
    if not (folder / "structures").is_dir():
        pytest.skip("no shared folder of real structures (set CLUSTERML_SHARED)")
    return folder


@pytest.fixture(scope="session")
def outputs() -> ModuleType:
    """The module of miniature outputs of quantum-chemistry programs."""
    import outputs_in_miniature as module

    return module
