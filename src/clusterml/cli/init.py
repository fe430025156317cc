"""``clusterml init KIND [FILE]``: a commented configuration to start from: a shipped one and the keys it leaves out."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clusterml.errors import OptionError, OutputError
from clusterml.io.shipped import PREFIX, shipped

if TYPE_CHECKING:
    from pydantic import BaseModel


Kind = Literal["screen", "campaign", "train"]
EXAMPLE = "small"
"""The shipped configuration of each kind that runs in a minute or few."""
VERBS: Mapping[str, str] = {"screen": "screen", "campaign": "dataset generate", "train": "train"}
"""The verb that takes a configuration of each kind."""
_FOLDERS = {"screen": "screen", "campaign": "campaigns", "train": "train"}
_SCHEMAS = {
    "screen": ("clusterml.screening.config", "Screen"),
    "campaign": ("clusterml.dataset.campaign", "Campaign"),
    "train": ("clusterml.training.config", "Config"),
}
_WIDTH = 120


def write_example(kind: Kind, target: Path, name: str = EXAMPLE) -> Path:
    """Write the shipped configuration ``name`` of a ``kind`` to ``target``, which must not be there yet.

    Raises :class:`OptionError` for a name that is not shipped, listing those that are, and :class:`OutputError` for a
    file that is there or cannot be written.
    """
    text = example_text(kind, target, name)
    try:
        with open(target, "x", encoding="utf-8") as file:  # x: neither a file nor a link is written through
            file.write(text)
    except FileExistsError as error:
        raise OutputError(f"{target}: is there already", "give another name, or remove it first") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{target}: cannot be written ({reason})", "check its folder and permissions") from error
    return target


def example_text(kind: Kind, target: Path, name: str = EXAMPLE) -> str:
    """What :func:`write_example` writes: paths are ``shipped:`` ones, and the commands in comments name ``target``."""
    from clusterml.config.schema import read_yaml

    folder = shipped("configs") / _FOLDERS[kind]
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise OptionError(f"no example '{name}' of a {kind} is shipped", f"give one of: {', '.join(known)}")
    source = folder / f"{name}.yaml"
    text = source.read_text(encoding="utf-8").replace("../../datasets/", f"{PREFIX}datasets/")
    text = text.replace(f"configs/{_FOLDERS[kind]}/{name}.yaml", str(target))
    module, schema = _SCHEMAS[kind]
    rest = _comments(getattr(import_module(module), schema), read_yaml(source))
    return "\n".join([text.rstrip(), "", "# Every other key, with its default.", *rest, ""])


def _comments(model: type[BaseModel], given: Mapping[Any, Any], depth: int = 0) -> Iterator[str]:
    """Lines of comment for the keys of ``model`` that are not ``given``; of sections, for the keys inside them."""
    from pydantic import BaseModel

    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            own = given.get(name)
            lines = list(_comments(inner, own if isinstance(own, Mapping) else {}, depth + 1))
            yield from [f"# {'  ' * depth}{name}:{' (more keys of it)' if own else ''}", *lines] if lines else []
        elif name not in given and not field.is_required():
            line = f"# {'  ' * depth}{name}: {json.dumps(field.get_default(call_default_factory=True), default=str)}"
            words = re.sub(r"\s+", " ", field.description or "")
            yield from _aligned(line, words)


def _aligned(line: str, words: str) -> list[str]:
    """``line`` with ``words`` as its comment from column 42 on."""
    start = f"{line:<40}  # "
    if not words:
        return [line]
    rows = textwrap.wrap(words, max(_WIDTH - len(start), 40))
    return [f"{start}{rows[0]}", *(f"{'#':<40}  # {row}" for row in rows[1:])]


def init(
    kind: Annotated[Kind, typer.Argument(metavar="screen|campaign|train", help="What it configures.")],
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Where; default KIND.yaml.")] = None,
    example: Annotated[
        str, typer.Option(metavar="NAME", help="Which of the shipped configurations; a wrong name lists them.")
    ] = EXAMPLE,
) -> None:
    """Write a commented configuration that runs as it is, with every key that it does not give in a comment.

    A file that is there is never overwritten.
    """

    target = write_example(kind, file or Path(f"{kind}.yaml"), example)
    output = " -o DATASET" if kind == "campaign" else ""
    typer.echo(f"written to {target}; start it with:  clusterml {VERBS[kind]} {target}{output}")
