"""A file of JSON lines that only grows: each line is on disk before the work that follows it begins."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from clusterml.errors import InputFileError, OutputError
from clusterml.io.files import check_regular

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # nor a pipe that nobody reads
_LONGEST_LINE = 256 * 1024**2  # bytes


class Log:
    """The lines of ``path``.  One that a crash cut short is passed over, and cut off before the next is written.

    Whoever only reads changes nothing, so that another process may write meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sound = False

    def add(self, *entries: dict[str, Any]) -> None:
        """Append a line for each entry and wait until they are on disk.

        Raises :class:`OutputError` for a file that cannot be written, or is a symbolic link.
        """
        lines = "".join(json.dumps(entry, allow_nan=False, separators=(",", ":")) + "\n" for entry in entries)
        try:
            if not self._sound and self.path.exists() and stat.S_ISREG(os.lstat(self.path).st_mode):
                self._repair()
            self._sound = True
            with open(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, 0o666), "ab") as handle:
                handle.write(lines.encode())
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise _not_written(self.path, error) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All entries, read one at a time; raises :class:`InputFileError` naming a line that is damaged."""
        if not self.path.exists():
            return
        check_regular(self.path, links=False)
        with self.path.open("rb") as handle:
            for number, line in enumerate(iter(partial(handle.readline, _LONGEST_LINE), b""), start=1):
                if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                    return  # cut short, or still being written
                try:
                    entry = json.loads(line)
                    if not isinstance(entry, dict):
                        raise ValueError("it is no object")
                except (ValueError, RecursionError) as error:
                    raise InputFileError(
                        f"{self.path}: line {number} is damaged", "restore the file, or choose another folder"
                    ) from error
                yield entry

    def _repair(self) -> None:
        """Cut off what follows the last end of a line."""
        with open(os.open(self.path, os.O_RDWR | _NO_LINK), "rb+") as handle:
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
    if error.errno == errno.ELOOP:
        return OutputError(f"{path} is a symbolic link", "remove it, or choose another folder")
    remedy = "make room, then go on with --resume: what was finished is kept"
    return OutputError(f"{path} cannot be written: {error.strerror or error}", remedy)
