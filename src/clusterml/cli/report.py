"""What ``label`` and ``predict`` show: progress and problems on stderr; a summary table, or JSON, on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clusterml.batch.structures import Failure, Finished, Outcome, Result
from clusterml.cli.console import table_console
from clusterml.cli.progress import LOG_NAME, reporter
from clusterml.run.progress import Reporter

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS = {
    "\nfile": "left",
    "\nresult": "left",
    "\nformula": "left",
    "\ncharge": "right",
    "first band\nnm": "right",
    "strongest CD\nnm": "right",
    "CD\nsign": "left",
    "\nby": "left",
    "\ndomain": "left",
    "time\ns": "right",
    "\nwarnings": "right",
}
_SHOWN_IF_ANY = ("CD\nsign", "\nby", "\ndomain")
"""Columns that only predictions have."""
_MOST_NOTES = _MOST_NAMES = 20
"""So many different notes, each with so many names, say why the engine computed a spectrum, and what a CD is worth; all
JSON files say it."""


def report(
    results: Callable[[Reporter], Iterator[Result]],
    *,
    as_json: bool,
    output: Path | None,
    doing: str,
    debug: bool = False,
    note: str = "",
) -> bool:
    """Show ``results`` as they come; True if nothing failed.

    ``results`` is called with what is to be told of the progress.  ``as_json``: print the JSON of each instead of the
    summary.  ``output``: where the files and the log are.  ``doing``: the verb, for the progress.  ``debug`` adds
    tracebacks to failures.  ``note``: a sentence below the summary.
    """
    done: list[Outcome] = []
    count = failed = kept = 0
    start = time.monotonic()
    stream = _JsonStream()
    go_on = f"finished structures are in {output}; go on with the same command and --resume"
    with reporter(output and output / LOG_NAME, kept=go_on if output else "nothing was written") as shown:
        shown.log(f"{doing} begins")
        for result in results(shown):
            count += 1
            if isinstance(result, Failure):
                failed += 1
                shown.say((result.trace if debug else "") + f"error: {result}")
            elif isinstance(result, Finished):
                kept += 1
            else:
                for warning in result.warnings:
                    shown.say(f"warning: {result.where}: {' '.join(warning.split())}")
            if as_json:
                stream.add(None if isinstance(result, Failure) else result.json)
            elif isinstance(result, Outcome):
                done.append(result)
        shown.log(f"{doing}: {_counts(count - failed - kept, kept, failed)}, {time.monotonic() - start:.0f} s")
    if as_json:
        stream.end()
    else:
        _print_summary(done, kept, failed, output, note)
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


def _print_summary(done: list[Outcome], kept: int, failed: int, output: Path | None, note: str) -> None:
    if done:
        table_console().print(_table(done))
        for reason, alike in _alike(done, lambda outcome: outcome.reason if outcome.computed_by == "engine" else ""):
            typer.echo(f"{_names([outcome.name for outcome in alike])}: by the engine, {reason}")
        for outcome in done:
            if outcome.table:
                typer.echo(f"{outcome.name}: {outcome.table}\n")
        for worth, alike in _alike(done, lambda outcome: "" if outcome.cd_height is None else outcome.worth):
            _print_worth(worth, alike)
        if note:
            typer.echo(note)
    end = f"; results in {output}" if output is not None and (done or kept) else ""
    typer.echo(f"{_counts(len(done), kept, failed)}{end}")


def _alike(done: list[Outcome], note: Callable[[Outcome], str]) -> list[tuple[str, list[Outcome]]]:
    """Each note once, with all that it is of; empty ones are left out."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in done:
        groups.setdefault(note(outcome), []).append(outcome)
    return [(words, alike) for words, alike in groups.items() if words][:_MOST_NOTES]


def _print_worth(worth: str, alike: list[Outcome]) -> None:
    """What the CD of some results is worth: once, with their names, and of how many bands DFT supports the sign."""
    from clusterml.engine.label_error import SUPPORTED

    if not alike[0].supported:
        typer.echo(f"{_names([outcome.name for outcome in alike])}: {worth}")
    elif len(alike) == 1:
        typer.echo(f"{alike[0].name}: {worth}; {SUPPORTED}: {alike[0].supported}")
    else:
        typer.echo(f"{worth}; {SUPPORTED}:\n  {_names([f'{outcome.name} {outcome.supported}' for outcome in alike])}")


def _names(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _counts(done: int, kept: int, failed: int) -> str:
    left_out = f"{kept} left out, whose results were there, " if kept else ""
    return f"{done} done, {left_out}{failed} failed"


def _table(done: list[Outcome]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rows = [dict(zip(_COLUMNS, _row(outcome), strict=True)) for outcome in done]
    # The names of the results are shown where they are not those of the files.
    hidden = set() if any(outcome.name != Path(outcome.where).stem for outcome in done) else {"\nresult"}
    hidden |= {heading for heading in _SHOWN_IF_ANY if not any(row[heading] for row in rows)}
    shown = [heading for heading in _COLUMNS if heading not in hidden]
    for heading in shown:
        table.add_column(heading, justify="right" if _COLUMNS[heading] == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[heading]) for heading in shown))
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
        outcome.sign,
        outcome.computed_by,
        outcome.domain,
        f"{outcome.seconds:.1f}",
        str(len(outcome.warnings)),
    )
