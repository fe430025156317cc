"""Shipped checkpoints by name, and several of them as one ensemble."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clusterml.io.bounded import read_bounded
from clusterml.shipped import shipped
from clusterml.spectrum.files import write_bytes
from clusterml.training.release import SPEC, SPLIT, ReleaseError, open_release, write_release

VARIABLE = "CLUSTERML_CHECKPOINTS"
"""Environment variable: a folder in which checkpoints are looked for by name."""


def find_release(name: str | Path) -> Path:
    """The folder of a checkpoint: a path, or a name in $CLUSTERML_CHECKPOINTS, ./checkpoints or the program itself.

    Raises :class:`ReleaseError` naming the checkpoints there are.
    """
    if (Path(name) / SPEC).is_file():
        return Path(name)
    known = known_releases()
    if str(name) in known:
        return known[str(name)]
    names = ", ".join(sorted(known)) or "none"
    problem = f"the folder '{name}' holds no {SPEC}" if Path(name).is_dir() else f"there is no checkpoint '{name}'"
    raise ReleaseError(problem, f"give the folder of a checkpoint, or one of: {names}")


def known_releases() -> dict[str, Path]:
    """Name -> folder of the checkpoints in $CLUSTERML_CHECKPOINTS, ./checkpoints and the program itself, first wins."""
    places = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
    places += [Path("checkpoints"), shipped("checkpoints")]
    return {path.parent.name: path.parent for place in reversed(places) for path in sorted(place.glob(f"*/{SPEC}"))}


def join_releases(
    folders: Sequence[str | Path], folder: str | Path, card: str, metrics: Mapping[str, Any], **about: Any
) -> Path:
    """Write the members of several checkpoints as one ensemble, with what the first says of its training and ``about``.

    Raises :class:`ReleaseError` if their specs differ or they were trained with different splits.
    """
    parts = [open_release(each) for each in folders]
    splits = [
        read_bounded(path, links=False) if path.exists() else b"" for path in (part.folder / SPLIT for part in parts)
    ]
    for part, split in zip(parts[1:], splits[1:], strict=True):
        if part.spec != parts[0].spec:
            raise ReleaseError(f"{part.folder}: has another spec than {parts[0].folder}", "join networks of one spec")
        if split != splits[0]:
            raise ReleaseError(f"{part.folder}: has another {SPLIT} than {parts[0].folder}", "train with one split")
    networks = [state for part in parts for state in part.networks]
    first = (parts[0].spec, parts[0].about) if parts else ({}, {})
    target = write_release(folder, networks, first[0], card, metrics, first[1] | about)
    if splits and splits[0]:
        write_bytes(target / SPLIT, splits[0])
    return target
