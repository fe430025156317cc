"""The command ``clusterml``: its verbs, its version, and what happens to errors (one line on stderr, exit codes)."""

from __future__ import annotations

import io
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Annotated

import typer

from clusterml.cli.console import plain_warnings, printable_output
from clusterml.cli.verbs import LazyGroup
from clusterml.errors import ClusterMLError, OptionError
from clusterml.io.files import sha256


def version_lines() -> list[str]:
    """The program's version; the checkpoint with the first digits of its ``spec.json``'s SHA-256, and what wrote it.

    ``spec.json`` holds the checksums of the weights, so that its own tells two checkpoints of one name apart.
    """
    from clusterml import __version__
    from clusterml.io.shipped import DEFAULT_MODEL
    from clusterml.training.catalogue import SPEC, find_release

    lines = [f"clusterml {__version__}"]
    try:
        content = (find_release(DEFAULT_MODEL) / SPEC).read_bytes()
        writer = str(json.loads(content)["version"])
    except (ClusterMLError, OSError, ValueError, KeyError, TypeError):
        return [*lines, f"checkpoint {DEFAULT_MODEL}: missing or damaged, see clusterml models"]
    return [*lines, f"checkpoint {DEFAULT_MODEL} {sha256(content)[:8]}, of clusterml {writer}"]


app = typer.Typer(name="clusterml", cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None)


@dataclass
class Globals:
    """Options before the verb; ``debug``: show tracebacks."""

    debug: bool = False


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo("\n".join(version_lines()))
        raise typer.Exit()


@app.callback()
def _clusterml(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the versions of program and checkpoint.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Absorption and circular-dichroism spectra of ligand-protected silver clusters, from their geometry."""
    context.obj.debug = debug


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``clusterml`` with ``arguments`` (default: those of the process) and exit.

    Exit codes: 0 all done, 1 something failed, 2 a wrong option or command, 130 interrupted (Ctrl-C or SIGTERM).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text in the terminal's encoding
    with printable_output(), plain_warnings(), terminated_as_interrupted():
        _run(arguments)


def _run(arguments: Sequence[str] | None) -> None:
    state = Globals()
    try:
        words = [_located(word) for word in (sys.argv[1:] if arguments is None else arguments)]
        typer.main.get_command(app).main(words, prog_name="clusterml", obj=state)
    except ClusterMLError as error:
        if state.debug:
            raise
        from clusterml.io.shipped import with_shipped_names

        typer.echo(f"error: {with_shipped_names(str(error))}", err=True)
        sys.exit(2 if isinstance(error, OptionError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, as batch systems send it, is what Ctrl-C is: what is done is kept, and how to go on is said."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Raise once: a second signal must not break what the first has begun to save."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _located(word: str) -> str:
    """``word`` of the command line; ``shipped:NAME``, also after ``KEY=``, becomes the path of what was installed."""
    from clusterml.io.shipped import PREFIX, locate

    key, equals, value = word.partition("=")
    if word.startswith(PREFIX):
        return str(locate(word))
    return f"{key}={locate(value)}" if equals and value.startswith(PREFIX) else word
