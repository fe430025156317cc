"""Write the generated parts of the reference pages from the code: python scripts/make_docs.py [--check].

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the words around it are written by hand.  With
``--check`` nothing is written, and the exit code is 1 if a page is not what the code says.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import clusterml
from clusterml import units
from clusterml.cli.main import app
from clusterml.cli.verbs import VERBS
from clusterml.dataset.campaign import Campaign
from clusterml.dataset.record import COLUMNS
from clusterml.screening.config import Screen
from clusterml.screening.measures.measure import measures
from clusterml.training.config import Config

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"
_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ROOMS = {
    "batch": "Results for other libraries",
    "chirality": "Chirality",
    "dataset": "Datasets",
    "errors": "Errors",
    "inference": "The network's predictions",
    "screening": "Screens and design",
    "server": "The server",
    "shipped": "What is installed",
    "spectrum": "Spectra",
    "engine": "The engine",
    "structure": "Structures",
}


def cell(text: str) -> str:
    """``text`` as it can stand in a cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


# Configurations


def type_words(annotation: Any) -> str:
    """The type of a key in words: ``whole number``, ``list of text``; of a choice its values, as code."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(type_words(part) for part in inner)
    if origin is not None and hasattr(annotation, "__metadata__"):
        return type_words(inner[0])
    if origin is list:
        return f"list of {plural(type_words(inner[0]))}"
    if origin is tuple:
        return f"{len(inner)} {plural(type_words(inner[0]))}"
    if origin is dict:
        return f"mapping to {plural(type_words(inner[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {int: "whole number", float: "number", str: "text", Path: "path", bool: "true or false", type(None): "null"}
    return names.get(annotation, "anything")


def plural(words: str) -> str:
    """``words`` for several values."""
    return re.sub(r"\b(number|text|section)\b", r"\1s", words)


def default_words(field: FieldInfo) -> str:
    """The default of a key as YAML has it."""
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value is PydanticUndefined:
        return "null"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(str(each) for each in value)}]`"
    return f"`{value!r}`" if value == "" else f"`{value}`"


def inner_models(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Models inside an annotation, each with what stands between its key and the keys of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
    place = {list: "[]", dict: ".NAME"}.get(get_origin(annotation), "")
    for part in get_args(annotation):
        for more, model in inner_models(part):
            yield place + more, model


def keys_of(model: type[BaseModel], path: str = "", shown: dict[type[BaseModel], str] | None = None) -> str:
    """Sections for a model and the models inside it: heading, docstring, table of keys; each model once."""
    shown = {} if shown is None else shown
    shown[model] = path
    rows = [
        (f"`{name}`", type_words(field.annotation), default_words(field), cell(field.description or ""))
        for name, field in model.model_fields.items()
    ]
    title = f"`{path}`" if path else "At the top"
    words = cell((inspect.getdoc(model) or "").split("\n\n")[0].replace("``", "`"))
    parts = [f"### {title}\n\n{words}\n\n{table(('key', 'type', 'default', 'meaning'), rows)}"]
    for name, field in model.model_fields.items():
        for place, inner in inner_models(field.annotation):
            below = f"{path}.{name}{place}".lstrip(".")
            if inner in shown:
                parts.append(f"### `{below}`\n\nThe keys of `{shown[inner]}`.\n")
            else:
                parts.append(keys_of(inner, below, shown))
    return "\n".join(parts)


# Commands


def commands() -> str:
    """A section for every verb: its help, arguments and options."""
    group: Any = typer.main.get_command(app)
    parts = []
    for verb in VERBS:
        command = group.get_command(None, verb)
        inner = getattr(command, "commands", None)
        if inner:
            parts.append(f"## `{verb}`\n\n{cell(command.help or VERBS[verb])}\n")
            parts += [command_part(f"{verb} {name}", inner[name], 3) for name in inner]
        else:
            parts.append(command_part(verb, command, 2))
    return "\n".join(parts)


def command_part(name: str, command: Any, level: int) -> str:
    """Heading, help and tables of one command."""
    rows = [option_row(option) for option in command.params if option.name != "help"]
    words = "\n\n".join(cell(block) for block in (command.help or "").split("\n\n"))
    return f"{'#' * level} `{name}`\n\n{words}\n\n{table(('option', 'value', 'default', 'meaning'), rows)}"


def option_row(option: Any) -> tuple[str, str, str, str]:
    """The row of an argument or option."""
    argument = option.param_type_name == "argument"
    names = [(option.metavar or option.name).upper()] if argument else [*option.opts, *option.secondary_opts]
    annotation = getattr(getattr(option, "type_descriptor", None), "annotation", str)
    if getattr(option, "is_flag", False):
        value = "on or off"
    elif argument or option.metavar:
        value = f"`{cell(option.metavar or 'TEXT')}`"
    else:
        value = type_words(annotation)
    default = option.default
    if callable(default) or default in (None, (), [], "") or default is False or "Sentinel" in type(default).__name__:
        shown = "needed" if option.required else ""
    else:
        shown = f"`{getattr(default, 'value', default)}`"
    return ", ".join(f"`{each}`" for each in names), value, shown, cell(getattr(option, "help", None) or "")


# Conventions


def constants() -> str:
    """Table of the numbers in ``clusterml.units`` with their docstrings."""
    body = ast.parse(inspect.getsource(units)).body
    rows = []
    for node, following in pairwise(body):
        if not isinstance(node, ast.Assign) or not isinstance(following, ast.Expr):
            continue
        name, words = ast.unparse(node.targets[0]), following.value
        value = getattr(units, name)
        if isinstance(value, int | float) and isinstance(words, ast.Constant):
            rows.append((f"`{name}`", f"{value:.12g}", cell(str(words.value))))
    return table(("name", "value", "meaning"), rows)


def columns() -> str:
    """Table of what a record of a dataset holds."""
    rows = [
        (f"`{c.name}`", " x ".join(map(str, c.shape)) or "1", c.dtype, cell(c.unit), cell(c.meaning)) for c in COLUMNS
    ]
    return table(("column", "shape", "stored as", "unit", "meaning"), rows)


def measure_table() -> str:
    """Table of the measures of screens."""
    rows = [(f"`{m.key}`", cell(m.unit), f"{m.step:g}", cell(m.means)) for m in measures().values()]
    return table(("measure", "unit", "step", "meaning"), rows)


# Python


def api() -> str:
    """A section for every room with public names, and in it one for each name."""
    rooms: dict[str, list[str]] = {}
    for name, home in clusterml._HOMES.items():
        rooms.setdefault(home.split(".")[1], []).append(name)
    parts = []
    for room in sorted(rooms, key=lambda room: _ROOMS.get(room, room)):
        parts.append(f"## {_ROOMS.get(room, room.capitalize())}\n")
        for name in sorted(rooms[room], key=lambda name: (name[0].isupper(), name)):
            home = getattr(import_module(clusterml._HOMES[name]), name).__module__
            parts.append(f"::: {home}.{name}\n")
    return "\n".join(parts)


PARTS: dict[str, Callable[[], str]] = {
    "screen": lambda: keys_of(Screen),
    "campaign": lambda: keys_of(Campaign),
    "train": lambda: keys_of(Config),
    "commands": commands,
    "constants": constants,
    "columns": columns,
    "measures": measure_table,
    "api": api,
}
"""What each generated part of the pages is made by."""


def renewed(text: str) -> str:
    """A page with its generated parts made anew."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}{part[3]}", text)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or compare them; the number of those that are not up to date."""
    stale = [page for page in sorted(PAGES.glob("*.md")) if renewed(page.read_text()) != page.read_text()]
    for page in stale:
        print(f"{'not what the code says' if '--check' in arguments else 'written'}: {page}")
        if "--check" not in arguments:
            page.write_text(renewed(page.read_text()))
    return len(stale) if "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
