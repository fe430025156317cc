"""A file of JSON lines that only grows: each line is on disk before the work that follows it begins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clusterml.errors import InputFileError, OutputError


class Log:
    """The lines of ``path``; one that a crash cut short is dropped when the log is opened.

    Raises :class:`OutputError` for a file that cannot be opened for writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists():
                self._repair()
        except OSError as error:
            raise _not_written(path, error) from error

    def add(self, *entries: dict[str, Any]) -> None:
        """Append a line for each entry and wait until they are on disk; raises :class:`OutputError` naming the file."""
        lines = "".join(json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n" for entry in entries)
        try:
            with self.path.open("ab") as handle:
                handle.write(lines.encode())
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise _not_written(self.path, error) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All entries, read one at a time; raises :class:`InputFileError` naming a line that is damaged."""
        if not self.path.exists():
            return
        with self.path.open("rb") as handle:
            for number, line in enumerate(handle, start=1):
                try:
                    entry = json.loads(line)
                except ValueError as error:
                    raise InputFileError(
                        f"{self.path}: line {number} is damaged", "restore the file, or choose another folder"
                    ) from error
                yield entry

    def _repair(self) -> None:
        """Cut off what follows the last end of a line."""
        with self.path.open("rb+") as handle:
            at = handle.seek(0, os.SEEK_END)
            while at:
                step = min(65536, at)
                handle.seek(at - step)
                end = handle.read(step).rfind(b"\n")
                if end >= 0:
                    handle.truncate(at - step + end + 1)
                    return
                at -= step
            handle.truncate(0)


def _not_written(path: Path, error: OSError) -> OutputError:
    remedy = "make room, then go on with --resume: what was finished is kept"
    return OutputError(f"{path} cannot be written: {error.strerror or error}", remedy)
