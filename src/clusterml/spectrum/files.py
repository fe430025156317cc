"""Reading text, and writing results so that a crash never leaves half a file under the final name.

Whatever is written replaces a link, and never what the link points to.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from clusterml.errors import InputFileError, OutputError
from clusterml.io.bounded import LARGEST_FILE, kind_of, read_bounded


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
