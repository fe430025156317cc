"""Reading text files and writing results so that a crash never leaves half a file under the final name."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from clusterml.errors import InputFileError, OutputError

LARGEST_FILE = 64 * 1024 * 1024
"""Largest text file that is read, in bytes."""


def read_text(path: str | Path) -> str:
    """The text of the file at ``path``: UTF-8 (with or without mark), UTF-16 with mark, or else Latin-1.

    Instruments still write Latin-1 and UTF-16.  Raises :class:`InputFileError` if the file is missing, empty, binary or
    larger than 64 MiB.
    """
    path = Path(path)
    try:
        if not path.is_file():
            state = "is not a file" if path.exists() else "does not exist"
            raise InputFileError(f"{path} {state}", "give the path of a spectrum file")
        if path.stat().st_size > LARGEST_FILE:
            raise InputFileError(f"{path} is larger than 64 MiB", "a spectrum is smaller: is it the right file?")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path} cannot be read: {error}", "check the path and its permissions") from error
    text = decode(content, str(path))
    if not text.strip():
        raise InputFileError(f"{path} is empty", "give a file that holds a spectrum")
    return text


def decode(content: bytes, source: str) -> str:
    """Text of ``content``; raises :class:`InputFileError` naming ``source`` if it is binary."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InputFileError(f"{source} is damaged UTF-16 text", "export it again as UTF-8") from error
    if b"\0" in content:
        raise InputFileError(f"{source} is a binary file", "export the spectrum as CSV, JSON or JCAMP-DX")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write ``content`` to ``path`` atomically (temporary name, fsync, rename) and return the path.

    Raises :class:`OutputError` naming the path; an existing file then stays as it was.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError("it is a folder")
        with open(temporary, "xb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{path} cannot be written: {reason}",
            "check that its folder exists, may be written to, and has space",
        ) from error
    finally:
        _remove(temporary)
    return path


def make_folder(path: str | Path) -> Path:
    """The folder ``path``, made with its parents if it is not there; raises :class:`OutputError` naming it."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"the folder {path} cannot be made: {reason}", "choose another folder") from error
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8, atomically; see :func:`write_bytes`."""
    return write_bytes(path, text.encode("utf-8", errors="replace"))


def _remove(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except (OSError, ValueError):
        return  # the folder itself is gone or read-only: the error being raised already says so
