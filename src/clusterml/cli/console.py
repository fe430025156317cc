"""Where text is printed: standard output and error hold no escape sequences but those that tables need.

File names, cards, titles and warnings come from anybody.  While a command runs, whatever is written to either stream
goes through :func:`clusterml.errors.printable`; rich, which draws tables and bars, writes past it, with the text in
them cleaned and nothing in it taken for markup.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO, cast

from clusterml.errors import PluginWarning, printable

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from rich.console import Console


_WIDTH_OF_A_PIPE = 160


class PrintableStream:
    """A text stream, ``unfiltered``, whose text is made printable as it is written."""

    def __init__(self, unfiltered: TextIO) -> None:
        self.unfiltered = unfiltered

    def write(self, text: str) -> int:
        """Write ``text`` without control characters."""
        self.unfiltered.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write every line, see :meth:`write`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own, except its bytes, which would go past :meth:`write`."""
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.unfiltered, name)


@contextmanager
def printable_output() -> Iterator[None]:
    """Standard output and error that hold printable text only, until the block ends."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, PrintableStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings about installed packages are a line for people, without a place in our source, until the block ends."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, PluginWarning):
                sys.stderr.write(f"warning: {message}\n")
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        yield


def table_console() -> Console:
    """A rich console for standard output that neither colours words nor cuts rows in a pipe."""
    console = _console_class()(file=_unfiltered(sys.stdout), emoji=False, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_PIPE
    return console


def error_console() -> Console:
    """A rich console for standard error, for bars."""
    return _console_class()(file=_unfiltered(sys.stderr), markup=False)


def _unfiltered(stream: TextIO) -> TextIO:
    return stream.unfiltered if isinstance(stream, PrintableStream) else stream


@cache
def _console_class() -> type[Console]:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Printable(Console):
        """Segments of text are made printable; rich's own control segments stay."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=printable(segment.text))

    return Printable


def print_keys(keys: Iterable[tuple[str, FieldInfo]]) -> None:
    """A table of dotted keys with their fields."""
    from rich.table import Table

    table = Table("key", "default", "meaning")
    for name, field in keys:
        default = "needed" if field.is_required() else str(field.default)
        table.add_row(name, default, field.description or "")
    table_console().print(table)
