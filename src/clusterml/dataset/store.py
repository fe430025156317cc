"""A dataset folder: records just labelled, shards of many, the index; records and columns read on demand.

    FOLDER/index.json          the shards with their SHA-256 and records, and what the dataset says of itself
    FOLDER/shards/00000.h5     many records; a shard that was written never changes
    FOLDER/staging/ID.h5       a finished record, with others that belong to it, until they are packed into a shard

A record is finished when its staging file has its final name.  Packing writes new shards, then the index, then removes
the staging files; a crash in between leaves files that the index does not know (removed by the next packing) or staging
files that it does know (removed as well), never a damaged or doubled record.
"""

from __future__ import annotations

import json
import os
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from clusterml.config.schema import Strict, validated
from clusterml.dataset.record import FINE, SCHEMA_VERSION, Name, Record, SpectralGrid
from clusterml.dataset.shards import Shard, open_shard, write_shard
from clusterml.dataset.shards_v1 import ShardV1
from clusterml.errors import DatasetError, InputFileError
from clusterml.io.files import exclusive, make_folder, write_text
from clusterml.io.json import read_json
from clusterml.typing import FloatArray, IntArray

RECORDS_PER_SHARD = 1024
"""Records in a full shard: 2 MB of clusters of 70 atoms."""
_LARGEST_INDEX = 256 * 1024**2  # bytes: three million records


class ShardEntry(Strict):
    """One shard of the index: file ``name``, ``sha256``, and the ``ids`` of its records in order."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*\.h5$", max_length=200, description="a file name, NAME.h5")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="64 hexadecimal digits")
    ids: tuple[Name, ...] = Field(min_length=1, description="a list of names of records")


class Index(Strict):
    """The content of ``index.json``; ``about``: what the dataset says of itself, plain JSON; ``grid``: of all spectra.

    Version 1 has no grid, its spectra are on the fine one.
    """

    schema_version: Literal[1, 2]
    about: dict[str, Any]
    grid: SpectralGrid = FINE
    shards: tuple[ShardEntry, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of all records."""
        return tuple(name for entry in self.shards for name in entry.ids)


class Store:
    """A dataset folder that records are added to; made if it does not exist, then with spectra on ``grid``.

    Raises :class:`DatasetError` for a ``grid`` that is not the folder's.
    """

    def __init__(self, folder: str | Path, grid: SpectralGrid | None = None) -> None:
        self.folder = Path(folder)
        self.staging = self.folder / "staging"
        self.shards = self.folder / "shards"
        make_folder(self.staging, within=self.folder)
        make_folder(self.shards, within=self.folder)
        if not (self.folder / "index.json").exists():
            self._write_index(Index(schema_version=2, about={}, grid=grid or FINE, shards=()))
        self.grid = read_index(self.folder).grid
        if grid is not None and grid != self.grid:
            problem = f"{self.folder}: holds spectra on {self.grid!r}, not on {grid!r}"
            raise DatasetError(problem, "choose another folder, or the grid that it has")

    @classmethod
    @contextmanager
    def held(cls, folder: str | Path, grid: SpectralGrid | None = None) -> Iterator[Store]:
        """The store of ``folder`` for this process alone, see :func:`~clusterml.io.files.exclusive`: held before its
        first index is written, which may not take the place of another process's.  Raises what both raise."""
        with exclusive(make_folder(folder)):
            yield cls(folder, grid)

    def add(self, record: Record, *others: Record) -> Path:
        """Keep a finished record, and ``others`` with it; on return they are on disk, all or none.

        Raises :class:`DatasetError` for spectra on another grid than the dataset's.
        """
        for each in (record, *others):
            if each.grid != self.grid:
                problem = f"record {each.id}: its spectra are on {each.grid!r}, those of {self.folder} on {self.grid!r}"
                raise DatasetError(problem, "choose another folder, or label the geometry on that grid")
        path = self.staging / f"{record.id}.h5"
        write_shard(path, [record, *others])
        return path

    def finished(self) -> set[str]:
        """Names of all packed records, and of those that files wait for."""
        return {path.stem for path in self.staging.glob("*.h5")} | set(read_index(self.folder).ids)

    def pack(self, about: dict[str, Any] | None = None) -> int:
        """Move the staged records into new shards, set what the dataset says of itself; returns how many there are."""
        return self._pack(about or {}, full=False)

    def pack_full(self) -> None:
        """Move staged records into full shards, if there are enough for one; what is left stays in staging."""
        if sum(1 for _ in self.staging.glob("*.h5")) >= RECORDS_PER_SHARD:
            self._pack({}, full=True)

    def _pack(self, about: dict[str, Any], *, full: bool) -> int:
        index = read_index(self.folder)
        packed = set(index.ids)
        staged = sorted(path for path in self.staging.glob("*.h5") if path.stem not in packed)
        if not full or len(staged) >= RECORDS_PER_SHARD:
            index = index.model_copy(
                update={
                    "schema_version": SCHEMA_VERSION,
                    "shards": (*index.shards, *self._new_shards(staged, len(index.shards), full)),
                }
            )
        index = index.model_copy(update={"about": {**index.about, **about}})
        self._write_index(index)
        self._sweep(index)
        return len(index.ids)

    def _new_shards(self, staged: Sequence[Path], first: int, full: bool) -> Iterator[ShardEntry]:
        """Shards of the staged files, each in order of the names, so that those of one parent compress."""
        number, files = first, list(staged)
        while files:
            records: list[Record] = []
            while files and len(records) < RECORDS_PER_SHARD:
                records += self._read_staged(files.pop(0))
            if full and len(records) < RECORDS_PER_SHARD:
                return
            records.sort(key=lambda record: record.id)
            name = f"{number:05d}-{len(records):04d}.h5"
            sha256 = write_shard(self.shards / name, records)
            yield ShardEntry(name=name, sha256=sha256, ids=tuple(record.id for record in records))
            number += 1

    def _read_staged(self, path: Path) -> list[Record]:
        shard = open_shard(path)
        try:
            return list(shard)
        finally:
            shard.close()

    def _write_index(self, index: Index) -> None:
        write_text(self.folder / "index.json", json.dumps(index.model_dump(mode="json"), indent=1) + "\n")

    def _sweep(self, index: Index) -> None:
        keep, packed = {entry.name for entry in index.shards}, set(index.ids)
        for path in (*self.shards.glob("*.h5"), *self.staging.glob("*.h5")):
            if (path.parent == self.shards and path.name not in keep) or path.stem in packed:
                path.unlink()


def read_index(folder: Path) -> Index:
    """The index of a dataset folder.

    Raises :class:`DatasetError` naming the file if there is no index, it cannot be read, has another version, or names
    what does not lie in the folder.
    """
    path = folder / "index.json"
    if not path.exists():
        raise DatasetError(f"{folder}: is not a dataset (no index.json)", "give a dataset folder")
    try:
        content = read_json(path, _LARGEST_INDEX)
        if content.get("schema_version") not in (1, SCHEMA_VERSION):
            problem = f"{path}: has schema version {content.get('schema_version')!r:.20}, not {SCHEMA_VERSION}"
            raise DatasetError(problem, "use a matching clusterml")
        index = validated(Index, content, str(path))
    except InputFileError as error:
        raise DatasetError(error.problem, "restore it from a copy") from error
    names = Counter((*(entry.name for entry in index.shards), *index.ids))
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise DatasetError(f"{path}: names '{twice[0]}' twice", "restore it from a copy")
    if (folder / "shards").is_symlink():
        raise DatasetError(f"{folder / 'shards'} is a symbolic link", "put the folder itself there")
    return index


def grid_of(folder: Path) -> SpectralGrid:
    """The grid of a dataset folder, or the one that a new dataset has; raises what :func:`read_index` raises."""
    return read_index(folder).grid if (folder / "index.json").exists() else FINE


def damaged_shards(folder: Path) -> Iterator[tuple[str, str]]:
    """Shards that are missing, whose checksum is wrong, or that cannot be read: ``(name, what is wrong)``."""
    for entry in read_index(folder).shards:
        path = folder / "shards" / entry.name
        if not path.is_file():
            yield entry.name, "is missing"
            continue
        try:
            open_shard(path, entry.sha256).close()
        except DatasetError as error:
            yield entry.name, error.problem.removeprefix(f"{path}").lstrip(": ")


_OPEN_SHARDS = 64


class Dataset(Sequence[Record]):
    """The packed records of a dataset folder, in the order of its index.

    Nothing but the index is in memory.  Files are opened when a record is asked for, at most 64 at a time (5 MB of
    memory each, on the grid of 0.06 eV), and again
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
        index = read_index(self.folder)
        self._entries, self.about, self.grid, self.ids = index.shards, index.about, index.grid, index.ids
        self._starts = np.cumsum([0, *(len(entry.ids) for entry in self._entries)])
        self._place = {name: index for index, name in enumerate(self.ids)}
        self._open: OrderedDict[int, Shard | ShardV1] = OrderedDict()
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

    def geometry(self, index: int) -> tuple[IntArray, FloatArray]:
        """Atomic numbers (n,) and positions (n, 3) in A of record number ``index``."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._shard(number).geometry(index - int(self._starts[number]))

    def geometries(self) -> Iterator[tuple[IntArray, FloatArray]]:
        """Those of all records, one at a time."""
        return (self.geometry(index) for index in range(len(self)))

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

    def _shard(self, number: int) -> Shard | ShardV1:
        if self._process != os.getpid():  # HDF5 handles do not survive a fork
            self._open = OrderedDict()
            self._process = os.getpid()
        if number not in self._open:
            entry: ShardEntry = self._entries[number]
            path = self.folder / "shards" / entry.name
            shard = open_shard(path, entry.sha256, checked=self._intact.get(number) == _state(path))
            self._intact[number] = _state(path)
            if shard.grid != self.grid:
                raise DatasetError(f"{shard.path}: has other energies than the index says", "restore it from a copy")
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
