"""A dataset folder: records just labelled, shards of many, the index; records and columns read on demand.

    FOLDER/index.json          the shards with their SHA-256 and records, and what the dataset says of itself
    FOLDER/shards/00000.h5     records in order of their names
    FOLDER/staging/ID.h5       one finished record each, until they are packed into shards

A record is finished when its staging file has its final name.  Packing writes new shards, then the index, then removes
the staging files; a crash in between leaves files that the index does not know (removed by the next packing) or staging
files that it does know (removed as well), never a damaged or doubled record.
"""

from __future__ import annotations

import json
import os
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from clusterml.config.schema import Strict, validated
from clusterml.dataset.record import SCHEMA_VERSION, Name, Record
from clusterml.dataset.shards import Shard, write_shard
from clusterml.errors import DatasetError, InputFileError
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import read_json

RECORDS_PER_SHARD = 512
"""Most records in one shard."""
_LARGEST_INDEX = 256 * 1024**2  # bytes: three million records


class ShardEntry(Strict):
    """One shard of the index: file ``name``, ``sha256``, and the ``ids`` of its records in order."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*\.h5$", max_length=200, description="a file name, NAME.h5")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="64 hexadecimal digits")
    ids: tuple[Name, ...] = Field(min_length=1, description="a list of names of records")


class Index(Strict):
    """The content of ``index.json``; ``about``: what the dataset says of itself, plain JSON."""

    schema_version: int
    about: dict[str, Any]
    shards: tuple[ShardEntry, ...]


class Store:
    """A dataset folder that records are added to; made if it does not exist."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.staging = self.folder / "staging"
        self.shards = self.folder / "shards"
        make_folder(self.staging, within=self.folder)
        make_folder(self.shards, within=self.folder)
        if not (self.folder / "index.json").exists():
            self._write_index([], {})

    def add(self, record: Record) -> Path:
        """Keep one finished record; on return it is on disk."""
        path = self.staging / f"{record.id}.h5"
        write_shard(path, [record])
        return path

    def finished(self) -> set[str]:
        """Names of all records, packed or not."""
        entries, _ = read_index(self.folder)
        return {path.stem for path in self.staging.glob("*.h5")} | {i for entry in entries for i in entry.ids}

    def pack(self, about: dict[str, Any] | None = None) -> int:
        """Move the staged records into shards, set what the dataset says of itself; returns the number of records."""
        entries, earlier = read_index(self.folder)
        packed = {i for entry in entries for i in entry.ids}
        staged = sorted(path for path in self.staging.glob("*.h5") if path.stem not in packed)
        if staged:
            # the last shard may be short: fill it up rather than leave a trail of small ones
            last = entries.pop() if entries and len(entries[-1].ids) < RECORDS_PER_SHARD else None
            entries += self._new_shards(staged, last, len(entries))
        self._write_index(entries, {**earlier, **(about or {})})
        self._sweep(entries)
        return sum(len(entry.ids) for entry in entries)

    def _new_shards(self, staged: Sequence[Path], last: ShardEntry | None, first: int) -> list[ShardEntry]:
        old = Shard(self.shards / last.name, last.sha256) if last else None
        records = [(i, old, k) for k, i in enumerate(last.ids)] if last else []
        records += [(path.stem, None, 0) for path in staged]
        entries = []
        for number, start in enumerate(range(0, len(records), RECORDS_PER_SHARD), start=first):
            part = sorted(records[start : start + RECORDS_PER_SHARD])
            loaded = [shard.record(k) if shard else self._read_staged(name) for name, shard, k in part]
            # a new name for changed content: the index never points to a file that is not what it says
            name = f"{number:05d}-{len(part):04d}.h5"
            sha256 = write_shard(self.shards / name, loaded)
            entries.append(ShardEntry(name=name, sha256=sha256, ids=tuple(record.id for record in loaded)))
        if old:
            old.close()
        return entries

    def _read_staged(self, name: str) -> Record:
        shard = Shard(self.staging / f"{name}.h5")
        try:
            return shard.record(0)
        finally:
            shard.close()

    def _write_index(self, entries: Sequence[ShardEntry], about: dict[str, Any]) -> None:
        index = Index(schema_version=SCHEMA_VERSION, about=about, shards=tuple(entries))
        write_text(self.folder / "index.json", json.dumps(index.model_dump(mode="json"), indent=1) + "\n")

    def _sweep(self, entries: Sequence[ShardEntry]) -> None:
        keep = {entry.name for entry in entries}
        packed = {i for entry in entries for i in entry.ids}
        for path in (*self.shards.glob("*.h5"), *self.staging.glob("*.h5")):
            if (path.parent == self.shards and path.name not in keep) or path.stem in packed:
                path.unlink()


def read_index(folder: Path) -> tuple[list[ShardEntry], dict[str, Any]]:
    """The shards of a dataset folder and what it says of itself.

    Raises :class:`DatasetError` naming the file if there is no index, it cannot be read, has another version, or names
    what does not lie in the folder.
    """
    path = folder / "index.json"
    if not path.exists():
        raise DatasetError(f"{folder}: is not a dataset (no index.json)", "give a dataset folder")
    try:
        content = read_json(path, _LARGEST_INDEX)
        if content.get("schema_version") != SCHEMA_VERSION:
            problem = f"{path}: has schema version {content.get('schema_version')!r:.20}, not {SCHEMA_VERSION}"
            raise DatasetError(problem, "use a matching clusterml")
        index = validated(Index, content, str(path))
    except InputFileError as error:
        raise DatasetError(error.problem, "restore it from a copy") from error
    names = Counter(name for entry in index.shards for name in (entry.name, *entry.ids))
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise DatasetError(f"{path}: names '{twice[0]}' twice", "restore it from a copy")
    if (folder / "shards").is_symlink():
        raise DatasetError(f"{folder / 'shards'} is a symbolic link", "put the folder itself there")
    return list(index.shards), index.about


def damaged_shards(folder: Path) -> Iterator[tuple[str, str]]:
    """Shards that are missing, whose checksum is wrong, or that cannot be read: ``(name, what is wrong)``."""
    for entry in read_index(folder)[0]:
        path = folder / "shards" / entry.name
        if not path.is_file():
            yield entry.name, "is missing"
            continue
        try:
            Shard(path, entry.sha256).close()
        except DatasetError as error:
            yield entry.name, error.problem.removeprefix(f"{path}").lstrip(": ")


_OPEN_SHARDS = 8


class Dataset(Sequence[Record]):
    """The packed records of a dataset folder, in the order of its index.

    Nothing but the index is in memory.  Files are opened when a record is asked for, at most eight at a time, and again
    in every process that a copy of this object is sent to, so that it can be handed to data-loading workers.  A
    shard is checked, its SHA-256 included, when it is opened first (0.4 s for 68 MB), and where it has been replaced.

    Raises :class:`~clusterml.errors.DatasetError` naming the file for a folder that is no dataset or is damaged.

    Examples:
        >>> import clusterml as cm
        >>> try:
        ...     records = cm.Dataset("results")  # the folder of clusterml dataset generate
        ... except cm.ClusterMLError as error:
        ...     print(error.problem)
        results: is not a dataset (no index.json)
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
            entry: ShardEntry = self._entries[number]
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
