"""Whose is a folder: a screen that goes on must be the one that was begun there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from clusterml.errors import InputFileError
from clusterml.screening.config import Screen
from clusterml.screening.lines import FILES
from clusterml.screening.names import ScreeningError
from clusterml.spectrum.files import read_text
from clusterml.spectrum.jsonio import parse_json

MAY_CHANGE = ("title", "model", "top", "keep", "front", "verify", "verify_random", "hit_share", "design")
"""Keys that a screen may have different when it goes on; for ``model`` its checksum counts."""
GEOMETRY = 2
"""Version of how candidates are made: higher when one recipe gives another geometry than before."""


def fingerprint(screen: Screen, model_sha256: str, reference: bytes) -> str:
    """A hash of all that decides what the log of a screen holds, contents of files included."""
    content = screen.model_dump(mode="json", exclude=set(MAY_CHANGE))
    for parent in content["parents"].values():
        if parent["file"] is not None:
            parent["file"] = _hash(Path(parent["file"]))
    for line in (*content["objectives"], *content["constraints"]):
        line |= {key: _hash(Path(line[key])) for key in FILES if line[key] is not None}
    content |= {"geometry": GEOMETRY, "model": model_sha256, "reference": hashlib.sha256(reference).hexdigest()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_claim(folder: Path, mine: str, resume: bool) -> dict[str, Any]:
    """What ``run.json`` in ``folder`` says, empty for a new folder.

    Raises :class:`ScreeningError` for a folder that holds a screen (without ``resume``), or another one.
    """
    path = folder / "run.json"
    if not path.exists():
        if (folder / "results.jsonl").exists():
            raise ScreeningError(f"{folder}: holds results of a screen whose run.json is gone", "choose another folder")
        return {}
    try:
        known = parse_json(read_text(path), str(path))
    except InputFileError as error:
        raise ScreeningError(f"{path}: cannot be read: {error.problem}", "choose another folder") from error
    if not resume:
        raise ScreeningError(f"{folder}: holds a screen already", "add --resume to go on, or choose another folder")
    if known.get("fingerprint") != mine:
        raise ScreeningError(
            f"{folder}: was begun with another screen or model, or a file of it has changed since",
            f"choose another folder; only {', '.join(MAY_CHANGE)} may change",
        )
    return known


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}", "check the path") from error
