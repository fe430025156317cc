"""Whose is a folder: a screen that goes on must be the one that was begun there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clusterml.errors import InputFileError
from clusterml.io.files import LARGEST_INPUT, read_text, sha256, sha256_of_file
from clusterml.io.json import parse_json
from clusterml.screening.config import Screen
from clusterml.screening.lines import FILES, OWN
from clusterml.screening.measures.own import identity_of
from clusterml.screening.names import ScreeningError

MAY_CHANGE = ("title", "model", "top", "keep", "front", "verify", "verify_random", "hit_share", "design")
"""Keys that a screen may have different when it goes on; for ``model`` its checksum counts."""
GEOMETRY = 2
"""Version of how candidates are made: higher when one recipe gives another geometry than before."""


def fingerprint(screen: Screen, model_sha256: str, reference: bytes) -> str:
    """A hash of all that decides what the log of a screen holds, contents of files included."""
    content = screen.model_dump(mode="json", exclude=set(MAY_CHANGE))
    for parent in content["parents"].values():
        if parent["file"] is not None:
            parent["file"] = sha256_of_file(parent["file"], LARGEST_INPUT)
    kinds = [line.kind for line in (*screen.objectives, *screen.constraints)]
    for line, kind in zip((*content["objectives"], *content["constraints"]), kinds, strict=True):
        line |= {"package": kind.package} if kind.package else {}
        line |= {key: sha256_of_file(line[key], LARGEST_INPUT) for key in FILES if line[key] is not None}
        if line["function"] is not None and line["file"] is None:
            line["file"] = identity_of(None, line["function"])
        for key in (key for key in OWN if line[key] is None):
            del line[key]
    library = content.pop("library")
    if library is not None:
        content["library"] = sha256_of_file(library, LARGEST_INPUT)
    content |= {"geometry": GEOMETRY, "model": model_sha256, "reference": sha256(reference)}
    return sha256(json.dumps(content, sort_keys=True))


def inputs_of(screen: Screen, model_sha256: str) -> dict[str, str]:
    """Hash of everything that the screen reads, by what it is called in messages."""
    files = {f"parent {name}": parent.file for name, parent in screen.parents.items() if parent.file is not None}
    packages: dict[str, str] = {}
    for line in (*screen.objectives, *screen.constraints):
        files |= {f"{key} {Path(value).name}": value for key, value in line.given().items() if key in FILES}
        packages |= {f"measure {line.kind.key}": line.kind.package} if line.kind.package else {}
        if line.file is not None:
            files[f"code {Path(line.file).name}"] = line.file
    if screen.library is not None:
        files[f"library {Path(screen.library).name}"] = screen.library
    hashes = {name: sha256_of_file(file, LARGEST_INPUT) for name, file in files.items()}
    return {"model": model_sha256} | packages | hashes


def own_code(screen: Screen) -> dict[str, str]:
    """What identifies each function of the user's own, by file and name."""
    return {
        f"{line.file or 'installed'} {line.function}": identity_of(line.file, line.function)
        for line in (*screen.objectives, *screen.constraints)
        if line.function is not None
    }


def check_claim(folder: Path, screen: Screen, mine: str, inputs: Mapping[str, str], resume: bool) -> dict[str, Any]:
    """What ``run.json`` in ``folder`` says, empty for a new folder.

    ``mine``: the fingerprint of ``screen``; ``inputs``: see :func:`inputs_of`.

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
            f"{folder}: was begun with another screen or model, or a file of it has changed"
            f"{_difference(known.get('inputs', {}), inputs) or _changed_keys(known.get('config'), screen) or ' since'}",
            f"choose another folder; only {', '.join(MAY_CHANGE)} may change",
        )
    return known


def _difference(theirs: Mapping[str, str], mine: Mapping[str, str]) -> str:
    """Which files are not as they were when a screen was begun; empty if they are, or if that is not known."""
    names = [name for name in {**theirs, **mine} if theirs.get(name) != mine.get(name)]
    if not theirs or not names:
        return ""
    return ": " + "; ".join(
        f"{name}, which is not the same now"
        if name in theirs and name in mine
        else f"{name}, which is not given now"
        if name in theirs
        else f"no {name}"
        for name in names
    )


def _changed_keys(theirs: Any, screen: Screen) -> str:
    """Which keys of the configuration are others than those a screen was begun with; empty for none."""
    mine = screen.model_dump(mode="json", exclude_none=True)
    if not isinstance(theirs, dict):
        return ""
    keys = sorted(key for key in {*theirs, *mine} - set(MAY_CHANGE) if theirs.get(key) != mine.get(key))
    return f": {', '.join(keys)}" if keys else ""
