"""What ``label`` and ``predict`` show: progress and problems on stderr; a summary table, or JSON, on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clusterml.cli.console import table_console
from clusterml.stda.structures import Failure, Outcome, Watch

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

_COLUMNS = {
    "\nfile": "left",
    "\nresult": "left",
    "\nformula": "left",
    "\ncharge": "right",
    "first band\nnm": "right",
    "strongest CD\nnm": "right",
    "time\ns": "right",
    "\nwarnings": "right",
}


def report(
    results: Callable[[Watch], Iterator[Outcome | Failure]],
    *,
    as_json: bool,
    output: Path | None,
    debug: bool = False,
) -> bool:
    """Show ``results`` as they come; True if nothing failed.

    ``results`` is called with what is to be told of the progress.  ``as_json``: print the JSON of each instead of the
    summary.  ``output``: where the files are, for the summary.  ``debug`` adds tracebacks to failures.
    """
    done: list[Outcome] = []
    failed = 0
    stream = _JsonStream()
    with _progress() as bar:
        for result in results(bar):
            bar.advance()
            if isinstance(result, Failure):
                failed += 1
                typer.echo((result.trace if debug else "") + f"error: {result}", err=True)
            else:
                for warning in result.warnings:
                    typer.echo(f"warning: {result.where}: {' '.join(warning.split())}", err=True)
            if as_json:
                stream.add(result.json if isinstance(result, Outcome) else None)
            elif isinstance(result, Outcome):
                done.append(result)
    if as_json:
        stream.end()
    else:
        _print_summary(done, failed, output)
    return failed == 0


class _JsonStream:
    """Prints results as they come: one object if there was one structure, else a list of those that succeeded."""

    def __init__(self) -> None:
        self._count = 0
        self._printed = 0
        self._first: str | None = None

    def add(self, text: str | None) -> None:
        """The next structure's JSON, or None if it failed."""
        self._count += 1
        if self._count == 1:
            self._first = text
            return
        if self._count == 2:
            typer.echo("[", nl=False)
            self._print(self._first)
        self._print(text)

    def end(self) -> None:
        """No more structures."""
        if self._count > 1:
            typer.echo("]")
        elif self._first is not None:
            typer.echo(self._first)

    def _print(self, text: str | None) -> None:
        if text is not None:
            typer.echo((",\n" if self._printed else "") + text, nl=False)
            self._printed += 1


class _Bar(Watch):
    """A progress bar, or nothing without ``progress``."""

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self._task: TaskID | None = progress.add_task("reading", total=None) if progress else None

    def planned(self, total: int) -> None:
        self._update(total=total)

    def working(self, name: str, blocks: int) -> None:
        self._update(description=f"{name}: {blocks} Krylov blocks")

    def advance(self) -> None:
        """One structure is done or has failed."""
        self._update(advance=1)

    def _update(self, *, total: int | None = None, description: str | None = None, advance: int | None = None) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=total, description=description, advance=advance)


@contextmanager
def _progress() -> Iterator[_Bar]:
    """A bar on stderr that disappears when done; none where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield _Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress)


def _print_summary(done: list[Outcome], failed: int, output: Path | None) -> None:
    if done:
        table_console().print(_table(done))
    end = f"; results in {output}" if output is not None and done else ""
    typer.echo(f"{len(done)} done, {failed} failed{end}")


def _table(done: list[Outcome]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    # The names of the results are shown where they are not those of the files.
    renamed = any(outcome.name != Path(outcome.where).stem for outcome in done)
    shown = [renamed or heading != "\nresult" for heading in _COLUMNS]
    for (heading, side), wanted in zip(_COLUMNS.items(), shown, strict=True):
        if wanted:
            table.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for outcome in done:
        table.add_row(*(Text(cell) for cell, wanted in zip(_row(outcome), shown, strict=True) if wanted))
    return table


def _row(outcome: Outcome) -> tuple[str, ...]:
    cd = "-"
    if outcome.cd_band_nm is not None and outcome.cd_height is not None:
        cd = f"{outcome.cd_band_nm:.0f} ({'+' if outcome.cd_height > 0 else '-'})"
    return (
        Path(outcome.where).name,
        outcome.name,
        outcome.formula,
        f"{outcome.charge:+d}" if outcome.charge else "0",
        "-" if outcome.first_band_nm is None else f"{outcome.first_band_nm:.0f}",
        cd,
        f"{outcome.seconds:.1f}",
        str(len(outcome.warnings)),
    )
