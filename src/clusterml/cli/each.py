"""One result per file: what the verbs share that look at several files, and how they print JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from clusterml.batch.inputs import Input

T = TypeVar("T")

_MOST_NAMES = 4
"""Names of files that a line says."""


def each_file(
    files: Sequence[Path], work: Callable[[Input], T], *, doing: str, output: Path | None, debug: bool
) -> tuple[list[T], int, int]:
    """``work`` on every structure file in ``files`` (folders are searched): ``(results, files, failures)``.

    The folder ``output`` is made.  A file that fails costs a line on stderr; with ``debug`` its error is raised.
    ``doing`` is the name of the progress that is shown of several files.
    """
    from clusterml.batch.inputs import expand
    from clusterml.batch.structures import failure
    from clusterml.cli.progress import reporter
    from clusterml.errors import UNEXPECTED, ClusterMLError
    from clusterml.io.files import make_folder
    from clusterml.run.progress import State

    inputs, problems = expand(files)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    if output is not None:
        make_folder(output)
    results: list[T] = []
    failed = len(problems)
    finished, ahead = 0, sum(item.bytes**2 for item in inputs)  # time grows as about the square of the size
    with reporter(quiet=len(inputs) < 2) as shown:
        for number, item in enumerate(inputs):
            shown.show(State(doing, number, len(inputs), item.base, (finished, ahead)))
            finished, ahead = finished + item.bytes**2, ahead - item.bytes**2
            if item.note:
                shown.say(f"warning: {item.where}: {item.note}")
            try:
                results.append(work(item))
            except (ClusterMLError, *UNEXPECTED) as error:  # also of a library: the other files go on
                if debug:
                    raise
                shown.say(f"error: {failure(error, item.where)}")
                failed += 1
    return results, len(inputs), failed


def echo_files(files: Sequence[Path]) -> None:
    """Say which files were written, or how many, and in which folder."""
    if files:
        names = ", ".join(file.name for file in files) if len(files) <= _MOST_NAMES else f"{len(files)} files"
        typer.echo(f"results in {files[0].parent}: {names}")


def echo_json(objects: Sequence[dict[str, Any]], asked: int) -> None:
    """Print an object for one file, a list for several, and nothing where the only file failed."""
    from clusterml.io.json import json_text

    if asked > 1 or objects:
        typer.echo(json_text(list(objects) if asked > 1 else objects[0], indent=1), nl=False)
