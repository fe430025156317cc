"""The command ``clusterml``: its verbs, and what happens to errors (one line on stderr, exit code 1; usage 2)."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from clusterml.cli.build import build
from clusterml.cli.chirality import chirality
from clusterml.cli.compare import compare
from clusterml.cli.complete import complete
from clusterml.cli.dataset import app as dataset
from clusterml.cli.design import design
from clusterml.cli.distort import distort
from clusterml.cli.evaluate import evaluate
from clusterml.cli.explain import explain
from clusterml.cli.inspect import inspect
from clusterml.cli.label import label
from clusterml.cli.models import models
from clusterml.cli.predict import predict
from clusterml.cli.relax import relax
from clusterml.cli.screen import screen
from clusterml.cli.substitute import substitute
from clusterml.cli.train import train
from clusterml.errors import ClusterMLError

app = typer.Typer(name="clusterml", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.command()(inspect)
app.command()(label)
app.add_typer(dataset, name="dataset")
app.command()(compare)
app.command()(chirality)
app.command()(build)
app.command()(relax)
app.command()(complete)
app.command()(distort)
app.command()(substitute)
app.command()(train)
app.command()(evaluate)
app.command()(predict)
app.command()(explain)
app.command()(screen)
app.command()(design)
app.command()(models)


@dataclass
class Globals:
    """Options before the verb; ``debug``: show tracebacks."""

    debug: bool = False


def _version(wanted: bool) -> None:
    if wanted:
        from clusterml import __version__

        typer.echo(f"clusterml {__version__}")
        raise typer.Exit()


@app.callback()
def _clusterml(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Absorption and circular-dichroism spectra of ligand-protected silver clusters, from their geometry."""
    context.obj.debug = debug


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``clusterml`` with ``arguments`` (default: those of the process) and exit.

    Exit codes: 0 all done, 1 something failed, 2 usage, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text in the terminal's encoding
    state = Globals()
    try:
        typer.main.get_command(app).main(arguments, prog_name="clusterml", obj=state)
    except ClusterMLError as error:
        if state.debug:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
