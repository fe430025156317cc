"""Networks with random weights as checkpoints, and screens small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterml.screening.config import Screen
from helpers import random_release


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """Two networks, whose spread is the uncertainty; tests must not change it."""
    return random_release(tmp_path_factory.mktemp("models") / "pair", 2)


@pytest.fixture(scope="session")
def single(tmp_path_factory) -> Path:
    """One network, which knows no uncertainty."""
    return random_release(tmp_path_factory.mktemp("models") / "single", seed=7)


@pytest.fixture(scope="session")
def make_screen():
    """Keys of a screen that differ from a small one -> the screen."""

    def make(**changes: Any) -> Screen:
        values: dict[str, Any] = {
            "name": "tiny",
            "seed": 3,
            "parents": {"ag3": {"build": {"name": "ag3", "thiolate": "SH"}}},
            "distortions": [{"modes": {"shear": "-4..4 by 1 %"}}],
            "objectives": [{"max_g": "2..5 eV"}],
            "block": 4,
            "top": 3,
        }
        return Screen.model_validate(values | changes)

    return make
