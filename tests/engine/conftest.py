"""Fixtures of the engine's tests: molecules with the results of the original programs, and how to compare spectra."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from clusterml.spectrum.spectrum import Spectrum
from helpers import script_module

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "engine"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small matrices are fastest on one thread, and results do not depend on the machine's number of cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference_data() -> Callable[[str], dict[str, Any]]:
    """Name of a molecule -> what the original programs say about it."""
    return lambda name: json.loads((DATA / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def molecule(reference_data) -> Callable[[str], Atoms]:
    """Name of a molecule -> its geometry, with the charge in ``info``."""

    def build(name: str) -> Atoms:
        data = reference_data(name)
        return Atoms(data["symbols"], data["xyz_angstrom"], info={"charge": data["charge"], "name": name})

    return build


@pytest.fixture(scope="session")
def check_reference() -> Iterator[ModuleType]:
    """The script scripts/check_reference.py as a module: the tests judge what it prints."""
    with script_module("check_reference") as module:
        yield module


@pytest.fixture(scope="session")
def deviation() -> Callable[[Spectrum, Spectrum], tuple[float, float]]:
    """Largest difference of two spectra in epsilon and delta_epsilon, each relative to the second one's maximum."""

    def largest(a: Spectrum, b: Spectrum) -> tuple[float, float]:
        return tuple(
            float(np.abs(getattr(a, name) - getattr(b, name)).max() / np.abs(getattr(b, name)).max())
            for name in ("epsilon", "delta_epsilon")
        )

    return largest
