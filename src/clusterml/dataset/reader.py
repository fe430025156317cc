"""Reading a dataset: records and columns on demand, one open file at a time per process, flat memory."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.dataset.record import Record
from clusterml.dataset.shards import Shard
from clusterml.dataset.store import Entry, read_index
from clusterml.errors import DatasetError

_OPEN_SHARDS = 8


class Dataset(Sequence[Record]):
    """The packed records of a dataset folder, in the order of its index.

    Nothing but the index is in memory.  Files are opened when a record is asked for, at most eight at a time, and again
    in every process that a copy of this object is sent to, so that it can be handed to data-loading workers.  A
    shard is checked, its SHA-256 included, when it is opened first (0.4 s for 68 MB), and where it has been replaced.

    Raises :class:`~clusterml.errors.DatasetError` naming the file for a folder that is no dataset or is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._entries, self.about = read_index(self.folder)
        self.ids: tuple[str, ...] = tuple(name for entry in self._entries for name in entry.ids)
        self._starts = np.cumsum([0, *(len(entry.ids) for entry in self._entries)])
        self._place = {name: index for index, name in enumerate(self.ids)}
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._intact: dict[int, tuple[int, int, int]] = {}  # shards that were checked: size, time, inode
        self._process = os.getpid()

    def __len__(self) -> int:
        """Number of records."""
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        """Record number ``index``, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = int(index) + (len(self) if index < 0 else 0)
        if not 0 <= position < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        return self._shard(number).record(position - int(self._starts[number]))

    def __iter__(self) -> Iterator[Record]:
        """The records, one at a time."""
        return (self[index] for index in range(len(self)))

    def find(self, name: str) -> Record:
        """The record called ``name``; raises :class:`DatasetError` if there is none."""
        if name not in self._place:
            raise DatasetError(f"{self.folder}: has no record '{name}'", "see the ids of the dataset")
        record: Record = self[self._place[name]]
        return record

    def column(self, name: str) -> Any:
        """One column over all records: an array (n, ...), or a list for text and JSON; ``n_atoms`` is one too."""
        parts = [self._column(number, name) for number in range(len(self._entries))]
        if not parts:
            return np.zeros(0)
        return [value for part in parts for value in part] if isinstance(parts[0], list) else np.concatenate(parts)

    def _column(self, number: int, name: str) -> Any:
        shard = self._shard(number)
        return shard.n_atoms() if name == "n_atoms" else shard.column(name)

    def close(self) -> None:
        """Close all files; the dataset stays usable."""
        while self._open:
            self._open.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: everything but the open files."""
        return {**self.__dict__, "_open": OrderedDict()}

    def _shard(self, number: int) -> Shard:
        if self._process != os.getpid():  # HDF5 handles do not survive a fork
            self._open = OrderedDict()
            self._process = os.getpid()
        if number not in self._open:
            entry: Entry = self._entries[number]
            path = self.folder / "shards" / entry.name
            shard = Shard(path, entry.sha256, checked=self._intact.get(number) == _state(path))
            self._intact[number] = _state(path)
            if len(shard) != len(entry.ids):
                raise DatasetError(
                    f"{shard.path}: holds {len(shard)} records, the index says {len(entry.ids)}",
                    "restore the folder from a copy",
                )
            self._open[number] = shard
            while len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return self._open[number]


def _state(path: Path) -> tuple[int, int, int]:
    """What is different once a file has been written or replaced; zeros if there is none."""
    try:
        state = path.lstat()
    except OSError:
        return (0, 0, 0)
    return (state.st_size, state.st_mtime_ns, state.st_ino)
