"""Whose fault is a result that could not be written: its own, or that of the disk, which all that follow would meet?"""

from __future__ import annotations

import errno

from clusterml.errors import OutputError

_SHARED = (
    {errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS}  # the disk
    | {errno.EACCES, errno.EEXIST, errno.ENOENT, errno.ENOTDIR}  # the folder
)


def concerns_all(error: BaseException) -> bool:
    """Would other results not be written either?  The disk is full or read-only, or the folder locked or none."""
    cause = error.__cause__
    return isinstance(error, OutputError) and isinstance(cause, OSError) and cause.errno in _SHARED
