"""Several structures in one result, some of which do not exist: the good ones are kept, the others reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.errors import StructureError

MOST_REFUSED = 20
"""Structures that do not exist and are named one by one."""


def kept_and_refused(
    names: Sequence[str], made: Sequence[Atoms | StructureError]
) -> tuple[list[Atoms], list[tuple[str, StructureError]]]:
    """The structures, and name and error of the others; raises the first error if there is no structure at all."""
    from clusterml.errors import StructureError

    refused = [(name, each) for name, each in zip(names, made, strict=True) if isinstance(each, StructureError)]
    frames = [each for each in made if not isinstance(each, StructureError)]
    if refused and not frames:
        raise refused[0][1]
    return frames, refused


def end_with_refused(refused: Sequence[tuple[str, StructureError]], count: int) -> None:
    """Say on stderr which of ``count`` structures do not exist and why, and end with exit code 1; nothing if all do."""
    if not refused:
        return
    for name, error in refused[:MOST_REFUSED]:
        typer.echo(f"error: {error}" if name in str(error) else f"error: {name}: {error}", err=True)
    rest = len(refused) - MOST_REFUSED
    if rest > 0:
        typer.echo(f"error: and {rest} more: {', '.join(name for name, _ in refused[MOST_REFUSED:])}", err=True)
    typer.echo(f"{len(refused)} of {count} structures do not exist and were left out", err=True)
    raise typer.Exit(1)
