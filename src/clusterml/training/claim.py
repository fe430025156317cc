"""Whose is a run's folder: a run that goes on must be the one that was begun there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from clusterml.schema import read_yaml
from clusterml.spectrum.files import write_text
from clusterml.training.config import Config
from clusterml.training.state import TrainingError

MAY_CHANGE = ("most_skipped", "save_minutes", "tensorboard", "stop_after", "schedule.epochs")
"""Keys that a run may have different when it goes on."""


def check_claim(folder: Path, config: Config, resume: bool) -> None:
    """Is ``folder`` new or, with ``resume``, one that holds this very run?

    Raises :class:`TrainingError` naming the keys that differ.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return
    if not resume:
        raise TrainingError(f"{folder}: holds a run already", "add --resume to go on, or choose another folder")
    changed = _differences(read_yaml(path), config.model_dump(mode="json"))
    if changed:
        raise TrainingError(
            f"{folder}: was begun with another {', '.join(changed)}", "choose another folder, or the old values"
        )


def claim(folder: Path, config: Config) -> None:
    """Write the configuration into ``folder``: from now on it is this run's."""
    write_text(folder / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Dotted keys whose values differ and may not."""
    flat = [_flat(values) for values in (old, new)]
    keys = sorted({*flat[0], *flat[1]} - set(MAY_CHANGE))
    return [key for key in keys if flat[0].get(key) != flat[1].get(key)]


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found
