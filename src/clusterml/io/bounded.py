"""Reading files within bounds: regular files of a bounded size.

A pipe, a device or an endless file is refused before a byte is read, and a name that another file gives leads nowhere
but into its folder.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from clusterml.errors import InputFileError
from clusterml.shipped import PREFIX, is_shipped

LARGEST_FILE = 64 * 1024 * 1024
"""Largest text file that is read unless another bound is given, in bytes."""
LARGEST_INPUT = 512 * 1024 * 1024
"""Largest file that a configuration may name, in bytes: a long trajectory."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def read_bounded(path: str | Path, most: int = LARGEST_FILE, *, links: bool = True) -> bytes:
    """The content of the file at ``path``, of at most ``most`` bytes.

    Raises :class:`InputFileError` for a file that is missing, is no regular file (a folder, a pipe, a device), is
    larger, or cannot be read, and, without ``links``, for a symbolic link.
    """
    path = Path(path)
    flags = os.O_RDONLY | (0 if links else getattr(os, "O_NOFOLLOW", 0))
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        check_regular(path, links=links)
        with open(os.open(path, flags), "rb") as handle:  # a pipe put there since then must not be waited for
            state = os.fstat(handle.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise InputFileError(f"{path} is {kind_of(state.st_mode)}", "give a file")
            if state.st_size > most:
                raise _too_large(str(path), most)
            return read_stream(handle, most, str(path))  # files of /proc say that they are empty
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path} cannot be read: {error}", "check the path and its permissions") from error


def read_stream(stream: BinaryIO, most: int, source: str) -> bytes:
    """What is left in ``stream``, at most ``most`` bytes; raises :class:`InputFileError` naming ``source`` for more."""
    content = stream.read(most + 1)
    if len(content) > most:
        raise _too_large(source, most)
    return content


def check_regular(path: Path, *, links: bool = True) -> None:
    """Raise :class:`InputFileError` if ``path`` is missing or no regular file, or, without ``links``, a link to one."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) and not links:
            raise InputFileError(f"{path} is a symbolic link", "put the file itself there")
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        remedy = f"{PREFIX}{path} travels with the program" if is_shipped(path) else "check the path"
        raise InputFileError(f"{path}: there is no such file", remedy) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise InputFileError(f"{path} cannot be read: {error}", "check the path and its permissions") from error
    if not stat.S_ISREG(mode):
        raise InputFileError(f"{path} is {kind_of(mode)}", "give a file")


def file_within(folder: Path, name: str) -> Path:
    """The file ``name`` directly in ``folder``, for a name that another file gives.

    Raises :class:`InputFileError` for a name that leads elsewhere (a path, ``..``, a symbolic link) or to no file.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}", name):
        raise InputFileError(f"{folder}: {str(name)[:80]!r} is not the name of a file in it", "names hold no folders")
    check_regular(folder / name, links=False)
    return folder / name


def kind_of(mode: int) -> str:
    """What a file's ``st_mode`` says it is, in words: ``a folder``, ``a pipe``."""
    return next((name for test, name in _KINDS if test(mode)), "no regular file")


def _too_large(source: str, most: int) -> InputFileError:
    size = f"{most // 1024**2} MiB" if most >= 1024**2 else f"{most} bytes"
    return InputFileError(f"{source} is larger than {size}", "is it the right file?")
