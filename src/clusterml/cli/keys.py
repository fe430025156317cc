"""What ``--keys`` prints: every key of a configuration with its default and what it means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def print_keys(keys: Iterable[tuple[str, FieldInfo]]) -> None:
    """A table of dotted keys with their fields."""
    from rich.table import Table

    from clusterml.cli.console import table_console

    table = Table("key", "default", "meaning")
    for name, field in keys:
        default = "needed" if field.is_required() else str(field.default)
        table.add_row(name, default, field.description or "")
    table_console().print(table)
