"""Where a structure is read from: a file, bytes, or a stream such as standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from clusterml.errors import InputFileError
from clusterml.io.bounded import check_regular, read_bounded
from clusterml.shipped import locate

Source: TypeAlias = str | Path | bytes | IO[bytes] | IO[str]
"""A path (``-``: standard input, ``shipped:NAME``: the program's), the content itself as bytes, or an open stream."""
STDIN = "-"
"""The path that stands for standard input."""


@dataclass(frozen=True)
class Content:
    """What is read: ``where`` names it in messages, ``file_name`` is that of a file (None: content must tell)."""

    source: Source
    where: str
    file_name: str | None

    @property
    def stem(self) -> str:
        """What the structure is called: the file's name without its ending."""
        return Path(self.file_name).stem if self.file_name else self.where.replace(" ", "_")

    def text(self, most: int) -> str:
        """The text, of at most ``most`` bytes.

        Raises :class:`InputFileError` for what is missing, no regular file, larger, empty or binary.
        """
        data = self._data(most)
        if not data.strip():
            raise InputFileError(f"{self.where}: the file is empty", "give a file that holds a structure")
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16", errors="replace")
        if b"\0" in data:
            raise InputFileError(f"{self.where}: the file is binary, not text", "give a structure file that is text")
        return data.decode("utf-8-sig", errors="replace")  # old CIFs have Latin-1 author names

    def _data(self, most: int) -> bytes:
        source = self.source
        if isinstance(source, bytes):
            if len(source) > most:
                raise InputFileError(f"{self.where}: is larger than {most} bytes", "split it")
            return source
        if isinstance(source, str | Path):
            if self.file_name is not None:
                return read_bounded(source, most)
            source = sys.stdin.buffer
        return _drained(getattr(source, "buffer", source), most, self.where)  # the bytes below a stream of text


def content_of(source: Source) -> Content:
    """The content of ``source``, checked as far as that goes without reading: a file is there and is a regular one.

    Raises :class:`InputFileError`.
    """
    if isinstance(source, bytes):
        return Content(source, "data", None)
    if isinstance(source, str | Path):
        if str(source) == STDIN:
            return Content(source, "stdin", None)
        path = locate(source)
        check_regular(path)
        return Content(path, str(source), path.name)
    name = getattr(source, "name", None)
    if isinstance(name, str) and not name.startswith("<"):
        return Content(source, name, Path(name).name)
    return Content(source, "stream", None)


def _drained(stream: IO[Any], most: int, where: str) -> bytes:
    """What is left in ``stream``, of at most ``most`` bytes; it may come in pieces, as from a network."""
    parts: list[bytes] = []
    room = most + 1
    while room > 0:
        piece = stream.read(room)
        part = piece.encode() if isinstance(piece, str) else bytes(piece or b"")
        if not part:
            break
        parts.append(part)
        room -= len(part)
    if room <= 0:
        raise InputFileError(f"{where}: is larger than {most // 1024**2} MiB", "is it the right file?")
    return b"".join(parts)
