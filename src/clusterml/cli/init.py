"""``clusterml init KIND [FILE]``: a commented configuration to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clusterml.examples import EXAMPLE, Kind


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
    from clusterml.examples import VERBS, write_example

    target = write_example(kind, file or Path(f"{kind}.yaml"), example)
    output = " -o DATASET" if kind == "campaign" else ""
    typer.echo(f"written to {target}; start it with:  clusterml {VERBS[kind]} {target}{output}")
