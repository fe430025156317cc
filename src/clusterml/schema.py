"""Reading YAML files that people write: each key checked, and what is wrong said in words with file, place and key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from clusterml.errors import InputFileError

_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, ten times faster, where PyYAML has it


class Strict(BaseModel):
    """Base of every schema: unknown keys are errors, numbers are finite (as in JSON), objects do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=BaseModel)


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds.

    Raises :class:`InputFileError` naming the file if it is missing, is not YAML, holds no mapping, or gives a key twice
    (which YAML would take as the last one, silently).
    """
    try:
        loader = _SAFE(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _check_keys(path, node)
        content = None if node is None else loader.construct_document(node)
    except FileNotFoundError as error:
        raise InputFileError(f"{path}: there is no such file", "check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path}: cannot be read ({error})", "give a YAML file") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that does not exist
        raise InputFileError(f"{path}: is not YAML: {error}", "correct it there; quote SMILES and names") from error
    if not isinstance(content, dict):
        raise InputFileError(f"{path}: holds no keys", "give KEY: VALUE lines")
    return content


def validated(model: type[M], values: Any, where: str) -> M:
    """``values`` as a ``model``; raises :class:`InputFileError` that says in words what is wrong at ``where``."""
    if not isinstance(values, dict):
        raise InputFileError(f"{where} is {values!r}", f"give a mapping with keys {', '.join(model.model_fields)}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        told = "; ".join(dict.fromkeys(_told(model, values, dict(problem)) for problem in error.errors()))
        raise InputFileError(f"{where}: {told}", f"keys are {', '.join(model.model_fields)}") from error


def load(model: type[M], path: Path) -> M:
    """The ``model`` that the YAML file ``path`` describes; errors as :func:`read_yaml` and :func:`validated`."""
    return validated(model, read_yaml(path), str(path))


def described(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every dotted key of ``model`` and of the models inside it, also in lists and mappings of them, with its field."""
    for name, field in model.model_fields.items():
        yield f"{before}{name}", field
        for inner in _models(field.annotation):
            yield from described(inner, f"{before}{name}.")


def _check_keys(path: Path, node: yaml.Node | None) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(path, item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                line = key.start_mark.line + 1
                raise InputFileError(f"{path}: '{key.value}' is given twice (line {line})", "keep one of them")
            seen.add(key.value)
        _check_keys(path, value)


def _told(model: type[BaseModel], values: Any, problem: dict[str, Any]) -> str:
    """What pydantic found wrong, in words: the key, its value, and what is expected (a field's description)."""
    if problem["type"] in ("extra_forbidden", "missing"):
        place = [str(step) for step in problem["loc"]]
        key = ".".join(place)
        if problem["type"] == "missing":
            return f"key '{key}' is missing"
        close = difflib.get_close_matches(place[-1], _keys(model), n=1)
        return f"unknown key '{key}'" + (f" (did you mean '{close[0]}'?)" if close else "")
    key, value, expected = _place(model, values, problem["loc"])
    if expected and problem["type"] != "value_error":  # a validator of ours says better what is wrong
        return f"{key} is {value!r}, not {expected}"
    reason = str(problem["msg"]).removeprefix("Value error, ")
    reason = f"{reason[:1].lower()}{reason[1:]}"
    return f"{key} is {value!r}: {reason}" if key else reason


def _place(model: type[BaseModel], values: Any, steps: tuple[Any, ...]) -> tuple[str, Any, str]:
    """Key, value and description of the field at ``steps``; pydantic's steps into a union's members are left out."""
    names: list[str] = []
    expected, fields = "", model.model_fields
    for step in steps:
        inside = isinstance(values, dict) and step in values
        if not inside and not (isinstance(values, list) and isinstance(step, int) and step < len(values)):
            break
        values = values[step]
        names.append(str(step))
        if step in fields:
            expected = fields[step].description or ""
            inner = _models(fields[step].annotation)
            fields = inner[0].model_fields if inner else {}
            if expected and not inner:
                break
    return ".".join(names), values, expected


def _keys(model: type[BaseModel]) -> list[str]:
    """Names of all keys of a model and of the models inside it."""
    found: list[str] = []
    todo, seen = [model], set()
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        for name, field in current.model_fields.items():
            found.append(name)
            todo += _models(field.annotation)
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    inner = [m for part in getattr(annotation, "__args__", ()) for m in _models(part)]
    return [annotation, *inner] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else inner
