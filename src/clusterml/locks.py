"""One process at a time in a folder that is written to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clusterml.errors import FolderInUseError, OutputError


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
