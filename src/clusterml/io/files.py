"""Files read within bounds, written so that a crash never leaves half of one, and folders locked by their writer.

A pipe, a device or an endless file is refused before a byte is read, and a name that another file gives leads nowhere
but into its folder.

Whatever is written replaces a link, and never what the link points to.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from clusterml.errors import FolderInUseError, InputFileError, OutputError
from clusterml.io.shipped import PREFIX, is_shipped

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
    with _open_regular(Path(path), most, links) as handle:
        return read_stream(handle, most, str(path))  # files of /proc say that they are empty


@contextmanager
def _open_regular(path: Path, most: int, links: bool) -> Iterator[BufferedReader]:
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
            yield handle
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path} cannot be read: {error}", "check the path and its permissions") from error


def sha256(content: bytes | str) -> str:
    """SHA-256 of ``content``, a text as UTF-8, in hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def sha256_of_file(path: str | Path, most: int = LARGEST_FILE, *, links: bool = True) -> str:
    """SHA-256 of the file at ``path``, read in pieces; arguments and errors as :func:`read_bounded`."""
    with _open_regular(Path(path), most, links) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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


def kind_of(mode: int) -> str:
    """What a file's ``st_mode`` says it is, in words: ``a folder``, ``a pipe``."""
    return next((name for test, name in _KINDS if test(mode)), "no regular file")


def _too_large(source: str, most: int) -> InputFileError:
    size = f"{most // 1024**2} MiB" if most >= 1024**2 else f"{most} bytes"
    return InputFileError(f"{source} is larger than {size}", "is it the right file?")


def read_text(path: str | Path, most: int = LARGEST_FILE) -> str:
    """The text of the file at ``path``: UTF-8 (with or without mark), UTF-16 with mark, or else Latin-1.

    Instruments still write Latin-1 and UTF-16.  Raises :class:`InputFileError` as :func:`read_bounded` does, and for a
    file that is empty or binary.
    """
    text = decode(read_bounded(path, most), str(path))
    if not text.strip():
        raise InputFileError(f"{path} is empty", "is it the right file?")
    return text


def decode(content: bytes, source: str) -> str:
    """Text of ``content``; raises :class:`InputFileError` naming ``source`` if it is binary."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InputFileError(f"{source} is damaged UTF-16 text", "export it again as UTF-8") from error
    if (text := _utf16_without_mark(content)) is not None:
        return text
    if b"\0" in content:
        raise InputFileError(f"{source} is a binary file", "export it as text: CSV, JSON or JCAMP-DX")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _utf16_without_mark(content: bytes) -> str | None:
    """Text of UTF-16 that does not say so: every other byte of its beginning is zero; None for anything else."""
    start = content[:64]
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) >= 8 and not any(start[offset::2]) and all(start[1 - offset :: 2]):
            try:
                return content.decode(name)
            except UnicodeDecodeError:
                return None
    return None


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write ``content`` to ``path`` atomically (temporary name, fsync, rename) and return the path.

    A symbolic link is replaced, what it points to stays as it is.  Raises :class:`OutputError` naming the path; an
    existing file then stays as it was.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        target = _replaceable(path)
        temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
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
        if temporary is not None:
            _remove(temporary)
    return path


def make_folder(path: str | Path, *, within: Path | None = None) -> Path:
    """The folder ``path``, made with its parents if it is not there; raises :class:`OutputError` naming it.

    ``within``: the user's folder that ``path`` lies in.  That one may be a symbolic link, a folder inside may not.
    """
    path = Path(path)
    try:
        if within is not None:
            inside = path.relative_to(within).parts
            for part in (within.joinpath(*inside[: count + 1]) for count in range(len(inside))):
                if part.is_symlink():
                    raise OutputError(f"{part} is a symbolic link", "remove it, or choose another folder")
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"the folder {path} cannot be made: {reason}", "choose another folder") from error
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8, atomically; see :func:`write_bytes`."""
    return write_bytes(path, text.encode("utf-8", errors="replace"))


def _replaceable(path: Path) -> Path:
    """``path`` in its real folder; OSError where no file may take its place: a folder, a device, a link to one."""
    if path.name in ("", ".", ".."):
        raise IsADirectoryError("it is a folder")
    target = Path(os.path.realpath(path.parent)) / path.name
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    if not stat.S_ISREG(mode):
        raise OSError(f"it is {kind_of(mode)}")
    return target


def _remove(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except (OSError, ValueError):
        return  # the folder itself is gone or read-only: the error being raised already says so


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which exists, until the block ends; the system lets go of it when the process dies.

    Raises :class:`~clusterml.errors.FolderInUseError` if another process holds it, and
    :class:`~clusterml.errors.OutputError` where it cannot be held: it may not be written to, or ``.lock`` is a link.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise FolderInUseError(f"{folder}: another process is working in it", "wait for it, or end it") from error
    except OSError as error:
        raise OutputError(f"{folder / '.lock'}: {error.strerror}", "remove it, or choose another folder") from error
    try:
        yield
    finally:
        lock.release()
