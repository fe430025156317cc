"""A tiny network that keeps the contract of the real one, a few records that it can learn, and a configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny import CONFIG, tiny_architecture, write_records


@pytest.fixture
def dataset(tmp_path):
    return write_records(tmp_path / "data", 16)


@pytest.fixture
def config_file(tmp_path, dataset):
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def architecture():
    return tiny_architecture()
