"""Which screen a folder belongs to: only the screen that was begun there can go on in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clusterml.dataset.fingerprint import UNSAID_RESULTS
from clusterml.engine.protocol import RESULTS
from clusterml.errors import InputFileError, ScreeningError
from clusterml.io.files import LARGEST_INPUT, read_text, sha256, sha256_of_file
from clusterml.io.json import parse_json
from clusterml.screening.config import Screen
from clusterml.screening.lines import FILES, OWN
from clusterml.screening.measures.own import identity_of
from clusterml.screening.spectra import ENGINE_SHA256
from clusterml.structure.anatomy.library import load_library
from clusterml.structure.build.blueprint import packages_used

MAY_CHANGE = ("title", "model", "top", "keep", "front", "verify", "verify_random", "hit_share", "design")
"""Keys that may change between sessions of a screen; a ``model`` may be renamed, but its checksum must agree."""
GEOMETRY = 2
"""Version of how candidates are made; it rises when a recipe gives another geometry than before."""


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
    if packages := packages_of(screen):
        content["packages"] = packages
    content |= _version_of_labels(model_sha256)
    content |= {"geometry": GEOMETRY, "model": model_sha256, "reference": sha256(reference)}
    return sha256(json.dumps(content, sort_keys=True))


def inputs_of(screen: Screen, model_sha256: str) -> dict[str, str]:
    """Hash of every input of the screen, by its name in messages."""
    files = {f"parent {name}": parent.file for name, parent in screen.parents.items() if parent.file is not None}
    packages = packages_of(screen)
    for line in (*screen.objectives, *screen.constraints):
        files |= {f"{key} {Path(value).name}": value for key, value in line.given_measures().items() if key in FILES}
        packages |= {f"measure {line.kind.key}": line.kind.package} if line.kind.package else {}
        if line.file is not None:
            files[f"code {Path(line.file).name}"] = line.file
    if screen.library is not None:
        files[f"library {Path(screen.library).name}"] = screen.library
    hashes = {name: sha256_of_file(file, LARGEST_INPUT) for name, file in files.items()}
    return {"model": model_sha256} | _version_of_labels(model_sha256) | packages | hashes


def _version_of_labels(model_sha256: str) -> dict[str, str]:
    """What spectra the engine gives, where it ranks the candidates; empty for what folders do not say."""
    ranks = model_sha256 == ENGINE_SHA256 and RESULTS != UNSAID_RESULTS
    return {"version of the engine's spectra": str(RESULTS)} if ranks else {}


def packages_of(screen: Screen) -> dict[str, str]:
    """Each blueprint and ligand that comes from an installed package, with the package's name and version."""
    library = load_library(screen.library)
    exchanges = [exchange for shell in screen.exchanges for exchange in (shell, *shell.then)]
    used = packages_used(None, [name for exchange in exchanges for name in (exchange.old, *exchange.ligands)], library)
    for parent in screen.parents.values():
        used |= packages_used(parent.build, (), library)
    return used


def own_code(screen: Screen) -> dict[str, str]:
    """The identity of each function of the user's own, by file and name."""
    return {
        f"{line.file or 'installed'} {line.function}": identity_of(line.file, line.function)
        for line in (*screen.objectives, *screen.constraints)
        if line.function is not None
    }


def check_claim(folder: Path, screen: Screen, current: str, inputs: Mapping[str, str], resume: bool) -> dict[str, Any]:
    """The content of ``run.json`` in ``folder``; empty for a new folder.

    ``current``: the fingerprint of ``screen``; ``inputs``: see :func:`inputs_of`.

    Raises :class:`ScreeningError` for a folder that holds another screen, or this one and ``resume`` is not set.
    """
    path = folder / "run.json"
    if not path.exists():
        if (folder / "results.jsonl").exists():
            raise ScreeningError(f"{folder}: holds results of a screen whose run.json is gone", "choose another folder")
        return {}
    try:
        record = parse_json(read_text(path), str(path))
    except InputFileError as error:
        raise ScreeningError(f"{path}: cannot be read: {error.problem}", "choose another folder") from error
    if not resume:
        raise ScreeningError(f"{folder}: holds a screen already", "add --resume to go on, or choose another folder")
    if record.get("fingerprint") != current:
        difference = _difference(record.get("inputs", {}), inputs) or _changed_keys(record.get("config"), screen)
        raise ScreeningError(
            f"{folder}: was begun with another screen or model, or a file of it has changed{difference or ' since'}",
            f"{_former_model(record, inputs)}choose another folder; only {', '.join(MAY_CHANGE)} may change",
        )
    return record


def _former_model(record: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Advice to go on with the model that the screen began with; empty if it is this one, or not known."""
    name = record.get("provenance", {}).get("model", "")
    same = record.get("inputs", {}).get("model") == inputs["model"]
    return "" if same or not name else f"go on with --model {name}, or "


def _difference(earlier: Mapping[str, str], current: Mapping[str, str]) -> str:
    """Names the files that have changed since the screen began; empty if none has, or if it is not known."""
    names = [name for name in {**earlier, **current} if earlier.get(name) != current.get(name)]
    if not earlier or not names:
        return ""
    return ": " + "; ".join(
        f"{name} has changed"
        if name in earlier and name in current
        else f"{name} is no longer given"
        if name in earlier
        else f"{name} is new"
        for name in names
    )


def _changed_keys(earlier: Any, screen: Screen) -> str:
    """Names the keys of the configuration that have changed since the screen began; empty for none."""
    current = screen.model_dump(mode="json", exclude_none=True)
    if not isinstance(earlier, dict):
        return ""
    keys = sorted(key for key in {*earlier, *current} - set(MAY_CHANGE) if earlier.get(key) != current.get(key))
    return f": {', '.join(keys)}" if keys else ""
