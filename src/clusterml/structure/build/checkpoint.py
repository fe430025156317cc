"""Where a relaxation is kept between steps: one JSON file, always whole, that knows what calculation it belongs to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.errors import InputFileError, OutputError
from clusterml.io.bounded import read_bounded
from clusterml.spectrum.files import write_text
from clusterml.typing import FloatArray

_VERSION = 1


class Checkpoint:
    """The state of a relaxation in the file ``path``.

    ``task``: plain values that say what is calculated; a file of another task is refused.  After construction
    ``number`` is the step to go on with (0 if there is no file), ``positions`` ``(n, 3)`` in A and ``state`` (the
    optimiser's memory) are what was written last, or None.

    Raises :class:`~clusterml.errors.InputFileError` for a file that is damaged or of another calculation.
    """

    def __init__(self, path: Path, task: dict[str, Any]) -> None:
        self.path = path
        self._key = hashlib.sha256(json.dumps(task, sort_keys=True).encode()).hexdigest()
        self.number = 0
        self.positions: FloatArray | None = None
        self.state: Any = None
        if path.exists():
            self._read()

    def write(self, number: int, positions: FloatArray, state: Any) -> None:
        """Replace the file, atomically; raises :class:`~clusterml.errors.OutputError`."""
        from ase.io.jsonio import encode

        content = {"version": _VERSION, "task": self._key, "number": number, "positions": positions, "state": state}
        write_text(self.path, encode(content))

    def remove(self) -> None:
        """Delete the file, if it is there."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be deleted: {error}", "delete it by hand") from error

    def _read(self) -> None:
        from ase.io.jsonio import decode

        try:
            content = decode(read_bounded(self.path, links=False).decode("utf-8"))
            version, key = content["version"], content["task"]
            positions = np.asarray(content["positions"], dtype=np.float64)
            number, state = int(content["number"]), content["state"]
        except (ValueError, LookupError, TypeError, AttributeError, MemoryError, RecursionError) as error:
            raise InputFileError(
                f"{self.path}: is not a checkpoint of a relaxation ({type(error).__name__})", "delete it to start anew"
            ) from error
        if version != _VERSION or key != self._key:
            raise InputFileError(
                f"{self.path}: belongs to another structure, charge or method", "delete it, or write elsewhere"
            )
        self.number, self.positions, self.state = number, positions, state
