"""Where tables are printed: as wide as the terminal, or wide enough for whole rows when the output is not one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_A_PIPE = 160


def table_console() -> Console:
    """A rich console for standard output that neither colours words nor cuts rows in a pipe."""
    from rich.console import Console

    console = Console(emoji=False, highlight=False)
    return console if console.is_terminal else Console(emoji=False, highlight=False, width=_WIDTH_OF_A_PIPE)
