"""``clusterml models``: the checkpoints there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clusterml.training.release import Release


def models(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show the card of this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """List the checkpoints that predict can use, or show the card of one.

    They are looked for in the folder that the environment variable CLUSTERML_CHECKPOINTS names, in ./checkpoints, and
    beside the program. One that is damaged is reported on stderr; the exit code is then 1.
    """
    from clusterml.errors import ClusterMLError
    from clusterml.io.json import json_text
    from clusterml.training.catalogue import find_release, known_releases
    from clusterml.training.release import open_release

    known = known_releases() if name is None else {Path(name).name: find_release(name)}
    releases: dict[str, Release] = {}
    for title, folder in known.items():
        try:
            releases[title] = open_release(folder)
        except ClusterMLError as error:
            if context.obj.debug:
                raise
            typer.echo(f"error: {error}", err=True)
    if as_json:
        rows = [release.row(title) for title, release in releases.items()]
        typer.echo(json_text(rows if name is None else rows[0], indent=1) if rows or name is None else "", nl=False)
    elif name is not None:
        typer.echo("".join(release.card for release in releases.values()))
    else:
        _print(releases)
    if len(releases) < len(known):
        raise typer.Exit(1)


def _print(releases: dict[str, Release]) -> None:
    from rich import box
    from rich.table import Table

    from clusterml.cli.console import table_console
    from clusterml.io.shipped import DEFAULT_MODEL, QUICK_MODEL

    if not releases:
        typer.echo("there are no checkpoints; clusterml train makes one")
        return
    table = Table("name", "networks", "parameters", "head", "eV", "trained on", "records", box=box.SIMPLE_HEAD)
    for title, release in releases.items():
        row = release.row(title)
        table.add_row(
            title,
            str(row["members"]),
            f"{row['parameters']:,}",
            row["head"],
            "{:g} to {:g}".format(*row["energy_ev"]),
            str(row["data"] or "-"),
            str(row["records"] or "-"),
        )
    table_console().print(table)
    typer.echo(f"where none is named: {DEFAULT_MODEL}; for the page and designs with free atoms {QUICK_MODEL}")
