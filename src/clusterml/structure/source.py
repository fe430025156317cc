"""Where a structure is read from: a file, bytes, or a stream such as standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from clusterml.errors import InputFileError
from clusterml.spectrum.files import check_regular, read_bounded, read_stream

Source: TypeAlias = str | Path | bytes | IO[bytes] | IO[str]
"""A path (``-`` is standard input), the content itself as bytes, or an open stream."""
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
        stream: Any = getattr(source, "buffer", source)  # the bytes below a stream of text
        chunk = stream.read(0)
        if isinstance(chunk, str):
            return _encoded(stream, most, self.where)
        return read_stream(stream, most, self.where)


def content_of(source: Source) -> Content:
    """The content of ``source``, checked as far as that goes without reading: a file is there and is a regular one.

    Raises :class:`InputFileError`.
    """
    if isinstance(source, bytes):
        return Content(source, "data", None)
    if isinstance(source, str | Path):
        if str(source) == STDIN:
            return Content(source, "stdin", None)
        check_regular(Path(source))
        return Content(source, str(source), Path(source).name)
    name = getattr(source, "name", None)
    if isinstance(name, str) and not name.startswith("<"):
        return Content(source, name, Path(name).name)
    return Content(source, "stream", None)


def _encoded(stream: IO[str], most: int, where: str) -> bytes:
    text = stream.read(most + 1)
    if len(text) > most:
        raise InputFileError(f"{where}: is larger than {most} characters", "split it")
    return text.encode()
