"""The form of a ligand library file: YAML with three sections, each entry checked key by key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clusterml.errors import InputFileError

KINDS = {"ligands": "ligand", "counter_ions": "counter-ion", "solvents": "solvent"}
"""Section of the file -> kind of its entries."""

_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, ten times faster, where PyYAML has it
Position = Annotated[int, Field(ge=0)]


class EntryModel(BaseModel):
    """One entry as it is written in the file; what the keys mean stands at the head of ``data/ligands.yaml``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    smiles: str = Field(min_length=1)
    donors: str | list[Position]
    charge: int
    hand: str | None = Field(default=None, pattern=r"^[RS](,[RS])*$")
    aliases: list[str] = Field(default_factory=list)


def parse_file(path: Path) -> list[tuple[str, str, EntryModel]]:
    """(kind, name, entry) of every entry of a library file.

    Raises :class:`~clusterml.errors.InputFileError`, naming the file, the entry and the key.
    """
    found = []
    for section, entries in _sections(path).items():
        if section not in KINDS:
            raise InputFileError(f"{path}: unknown section '{section}'", f"sections are {', '.join(KINDS)}")
        if not isinstance(entries, dict):
            raise InputFileError(f"{path}: section '{section}' holds no entries", "give NAME: {smiles: ..., ...}")
        for name, values in entries.items():
            if not isinstance(name, str) or not name.strip():
                raise InputFileError(f"{path}: the name {name!r} in '{section}' is not text", "put it in quotes")
            found.append((KINDS[section], name, _entry(path, name, values)))
    return found


def _sections(path: Path) -> dict[Any, Any]:
    try:
        loader = _SAFE(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _check_keys(path, node)
        content = None if node is None else loader.construct_document(node)
    except FileNotFoundError as error:
        raise InputFileError(f"{path}: there is no such file", "check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path}: cannot be read ({error})", "give a YAML file of ligands") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date that does not exist
        raise InputFileError(f"{path}: is not YAML: {error}", "correct it there; quote SMILES and names") from error
    if not isinstance(content, dict):
        raise InputFileError(f"{path}: holds no ligands", f"give the sections {', '.join(KINDS)}")
    return content


def _check_keys(path: Path, node: yaml.Node | None) -> None:
    """A key written twice would silently replace the first: say so."""
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


def _entry(path: Path, name: str, values: Any) -> EntryModel:
    if not isinstance(values, dict):
        raise InputFileError(f"{path}: entry '{name}' is {values!r}", "give {smiles: ..., donors: ..., charge: ...}")
    try:
        return EntryModel.model_validate(values)
    except ValidationError as error:
        told = "; ".join(dict.fromkeys(_told(dict(problem)) for problem in error.errors()))
        keys = ", ".join(EntryModel.model_fields)
        raise InputFileError(f"{path}: entry '{name}': {told}", f"keys are {keys}") from error


def _told(problem: dict[str, Any]) -> str:
    """What pydantic found wrong, in words."""
    key = str(problem["loc"][0]) if problem["loc"] else "?"
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, EntryModel.model_fields, n=1)
        return f"unknown key '{key}'" + (f" (did you mean '{close[0]}'?)" if close else "")
    if problem["type"] == "missing":
        return f"key '{key}' is missing"
    expected = {
        "smiles": "a SMILES in quotes",
        "donors": "an element or a list of positions counted from 0",
        "charge": "a whole number of negative charges",
        "hand": "R or S",
        "aliases": "a list of names in quotes",
    }
    return f"{key} is {problem['input']!r}, not {expected.get(key, 'usable')}"
