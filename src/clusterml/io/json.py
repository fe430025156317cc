"""Strict JSON, text and files: NaN becomes null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.errors import CONTROLS, InputFileError, OutputError
from clusterml.io.files import LARGEST_FILE, decode, read_bounded, write_text


def plain(value: Any) -> Any:
    """``value`` as what JSON knows: arrays and tuples become lists, NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def json_text(value: Any, indent: int | None = None) -> str:
    """Strict JSON of ``value``, after :func:`plain`."""
    text = json.dumps(plain(value), allow_nan=False, ensure_ascii=False, indent=indent)
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"  # in strings only: JSON has no others


def write_json(value: Any, path: str | Path, indent: int | None = None) -> Path:
    """Write :func:`json_text` atomically; raises :class:`OutputError` naming the path."""
    try:
        text = json_text(value, indent)
    except (RecursionError, ValueError) as error:
        raise OutputError(f"{path}: the result cannot be written as JSON: {error}", "report this") from error
    return write_text(path, text)


def parse_json(text: str, source: str) -> dict[str, Any]:
    """The JSON object in ``text``; raises :class:`InputFileError` naming ``source`` and the line."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputFileError(f"{source}: line {error.lineno}: not JSON: {error.msg}", "the file is damaged") from error
    except (RecursionError, ValueError) as error:
        raise InputFileError(f"{source}: not usable JSON: {error}", "the file is damaged") from error
    if not isinstance(value, dict):
        raise InputFileError(f"{source} holds a JSON {type(value).__name__}", "an object with a spectrum is expected")
    return value


def read_json(path: Path, most: int = LARGEST_FILE) -> dict[str, Any]:
    """The JSON object in a file that a folder of ours holds, of at most ``most`` bytes.

    Raises :class:`InputFileError` naming a file that is missing, too large, a symbolic link, or holds no object.
    """
    return parse_json(decode(read_bounded(path, most, links=False), str(path)), str(path))
