"""A shard: some records in one HDF5 file, written whole or not at all, and opened as if anybody had made it.

HDF5 can point to other files (external links, external storage, virtual datasets), load code for a filter it does not
know, declare 36 TiB in a kilobyte, and inflate a small chunk to gigabytes.  A shard needs none of this, so all of it is
refused before a value is read.

Atoms of all records stand one after the other, with offsets; text and JSON are UTF-8 strings.  Tensors are kept in half
precision, scaled by their largest element (error below 5e-4 of it); everything is compressed.
"""

from __future__ import annotations

import io
import json
import sys
import zlib
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.dataset.record import COLUMNS, GRID_EV, SCHEMA_VERSION, Column, Record
from clusterml.errors import DatasetError, InputFileError
from clusterml.io.files import check_regular, sha256, sha256_of_file, write_bytes
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    import h5py


LARGEST_SHARD = 2 * 1024**3
"""Largest file that is opened, in bytes."""
_LARGEST_ARRAY = 256 * 1024**2  # bytes of one dataset; a tensor of 512 records has 2.3 MB
_LARGEST_CHUNK = 4 * 1024**2  # bytes of a chunk as declared
_SMALL_CHUNK = 16 * 1024  # stored bytes; deflate makes at most 1032 times as much of them, which does no harm
_MOST_CHUNKS = 2**20
_FILTERS = (1, 2, 3)  # deflate, shuffle, Fletcher's checksum: built into HDF5, no plug-in is loaded
_DAMAGED = "restore it from a copy, or label the geometries again"
_REMEDY = "do not use this file: no version of clusterml writes such a one"


@dataclass(frozen=True)
class Layout:
    """What a dataset must be: ``dtype`` (numpy's name, or ``str``), and ``shape``, where None is any length."""

    dtype: str
    shape: tuple[int | None, ...]


def open_hdf5(path: Path) -> h5py.File:
    """The HDF5 file at ``path``, for reading; raises :class:`DatasetError` for what is no plain file of that kind."""
    import h5py

    try:
        check_regular(path, links=False)
        if path.stat().st_size > LARGEST_SHARD:
            raise InputFileError(f"{path} is larger than {LARGEST_SHARD // 1024**3} GiB", "is it the right file?")
        return h5py.File(path, "r")
    except InputFileError as error:
        raise DatasetError(error.problem, error.remedy) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise DatasetError(f"{path}: is not a readable HDF5 file ({error})", _DAMAGED) from error


@contextmanager
def name_damage(where: str) -> Iterator[None]:
    """What HDF5 raises about a damaged file, and about one that lies about itself, as :class:`DatasetError`."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, MemoryError, OverflowError, zlib.error) as error:
        raise DatasetError(f"{where} is damaged ({error})", _DAMAGED) from error


def integer_attribute(file: h5py.File, name: str) -> int | None:
    """A whole number among the attributes of ``file``; None if there is none of that name, or it is something else."""
    with name_damage(f"{file.filename}:"):
        if name not in file.attrs:
            return None
        attribute = file.attrs.get_id(name)
        return int(file.attrs[name]) if attribute.shape == () and attribute.dtype.kind in "iu" else None


def check_names(file: h5py.File, names: Set[str]) -> None:
    """Raise :class:`DatasetError` naming the file unless it holds ``names`` and nothing else."""
    with name_damage(f"{file.filename}:"):
        held = set(file) if len(file) <= 2 * len(names) else None
        if held is None or not held <= names:
            unknown = f"{len(file)} datasets" if held is None else f"'{min(held - names)}'"
            raise DatasetError(f"{file.filename}: holds {unknown}, which no shard does", _REMEDY)
    if held < names:
        raise DatasetError(
            f"{file.filename}: has no column '{min(names - held)}'",
            _DAMAGED,
        )


def open_dataset(file: h5py.File, name: str, layout: Layout) -> h5py.Dataset:
    """The dataset ``name``, which lies in ``file`` itself and is what ``layout`` says.

    Raises :class:`DatasetError` naming file and dataset for a link, for one that is stored elsewhere, of another type
    or shape, or larger than it may be when it is read.
    """
    where = f"{file.filename}: '{name}'"
    with name_damage(where):
        dataset = _dataset(file, name, where)
        if not _has_type(dataset.dtype, layout.dtype):
            raise DatasetError(f"{where} has type {dataset.dtype}, not {layout.dtype}", _REMEDY)
        shape = dataset.shape
        fits = shape is not None and len(shape) == len(layout.shape)
        if not fits or any(want not in (None, have) for want, have in zip(layout.shape, shape, strict=True)):
            raise DatasetError(f"{where} has shape {shape}, not {layout.shape}", _REMEDY)
        if dataset.size * dataset.dtype.itemsize > _LARGEST_ARRAY:
            raise DatasetError(f"{where} declares {dataset.size:.3g} values", _REMEDY)
        _check_storage(dataset, where)
    return dataset


def _dataset(file: h5py.File, name: str, where: str) -> h5py.Dataset:
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DatasetError(f"{where} is a link", _REMEDY)
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise DatasetError(f"{where} is no HDF5 dataset", _REMEDY)
    if dataset.is_virtual or dataset.external:
        raise DatasetError(f"{where} is stored in other files", _REMEDY)
    return dataset


def _has_type(dtype: Any, expected: str) -> bool:
    import h5py
    import numpy as np

    if expected == "str":
        kind = h5py.check_string_dtype(dtype)
        return kind is not None and kind.length is None
    return dtype.metadata is None and dtype == np.dtype(expected)


def _check_storage(dataset: h5py.Dataset, where: str) -> None:
    """Filters that are built in, and chunks that are no larger than declared when they are inflated."""
    created = dataset.id.get_create_plist()
    filters = [created.get_filter(number)[0] for number in range(created.get_nfilters())]
    if not set(filters) <= set(_FILTERS):
        raise DatasetError(f"{where} is stored with a filter ({filters}) that is not built in", _REMEDY)
    if dataset.chunks is None:
        return
    size = dataset.dtype.itemsize
    for length in dataset.chunks:
        size *= length
    if size > _LARGEST_CHUNK or dataset.id.get_num_chunks() > _MOST_CHUNKS:
        raise DatasetError(f"{where} declares chunks of {size:.3g} bytes", _REMEDY)
    large: list[tuple[int, ...]] = []
    dataset.id.chunk_iter(lambda chunk: large.append(chunk.chunk_offset) if chunk.size > _SMALL_CHUNK else None)
    if 1 not in filters:
        return
    for offset in large:
        _, content = dataset.id.read_direct_chunk(offset)
        inflate = zlib.decompressobj()
        inflate.decompress(content, size + 64)  # four bytes of Fletcher's checksum may follow
        if inflate.unconsumed_tail:
            raise DatasetError(f"{where} has a chunk that is larger than it declares", _REMEDY)


_COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
_LARGEST_HALF = 6.0e4  # of float16: 65,504
_MOST_ATOMS = 100_000  # of one record
_LONGEST_TEXT = 16 * 1024**2  # characters of one record's details


def write_shard(path: Path, records: Sequence[Record]) -> str:
    """Write ``records`` to ``path`` atomically and return the file's SHA-256 (hex).

    Raises :class:`~clusterml.errors.OutputError` if the file cannot be written, :class:`DatasetError` for no records.
    """
    import h5py

    if not records:
        raise DatasetError(f"{path}: there are no records to write", "label something first")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update(schema_version=SCHEMA_VERSION, n_records=len(records))
        file.create_dataset("energy_ev", data=GRID_EV)
        file.create_dataset("offsets", data=np.cumsum([0, *(record.n_atoms for record in records)]))
        _atoms(file, "numbers", np.concatenate([record.numbers for record in records]).astype("u1"))
        _atoms(file, "positions", np.concatenate([record.positions for record in records]).astype("f4"))
        for column in COLUMNS:
            _write(file, column, [getattr(record, column.name) for record in records])
    content = buffer.getvalue()
    write_bytes(path, content)
    return sha256(content)


def _atoms(file: h5py.File, name: str, values: Any) -> None:
    file.create_dataset(name, data=values, **_COMPRESSION)


def _write(file: h5py.File, column: Column, values: list[Any]) -> None:
    import h5py

    if column.dtype in ("str", "json"):
        texts = [json.dumps(v, allow_nan=False, sort_keys=True) for v in values] if column.dtype == "json" else values
        file.create_dataset(column.name, data=texts, dtype=h5py.string_dtype(), chunks=(len(texts),), **_COMPRESSION)
        return
    array = np.stack([np.asarray(value) for value in values])
    if column.dtype == "scaled":
        scale = (np.abs(array).reshape(len(array), -1).max(axis=1) / _LARGEST_HALF).astype("f4")
        scale[scale < np.finfo("f4").tiny] = 0.0  # nothing is left of such a tensor in single precision
        file.create_dataset(f"{column.name}_scale", data=scale)
        divisor = np.where(scale > 0.0, scale, np.inf)
        array = (array / divisor.reshape(-1, *(1,) * len(column.shape))).astype("f2")
    else:
        array = array.astype(column.dtype)
    # one chunk per record, so that reading one does not unpack the others
    chunks = {"chunks": (1, *column.shape)} if column.shape else {}
    file.create_dataset(column.name, data=array, **chunks, **(_COMPRESSION if column.shape else {}))


class Shard:
    """An open shard; records and columns are read when asked for.

    ``sha256``: what the file must be (hex), where that is known; ``checked``: it is the very file that was opened
    before, and is not checked again.  Raises :class:`DatasetError` naming the file if it is not a shard, damaged, of
    another schema version, or leads out of itself (see :mod:`clusterml.dataset.shards`).
    """

    def __init__(self, path: Path, sha256: str | None = None, *, checked: bool = False) -> None:
        self.path = path
        if not checked and sha256 is not None and checksum(path) != sha256:
            raise DatasetError(f"{path}: has changed since it was written (checksum)", "restore it from a copy")
        self._file = open_hdf5(path)
        self._datasets: dict[str, h5py.Dataset] = {}
        try:
            if checked:
                with name_damage(f"{path}:"):
                    self._datasets |= {name: self._file[name] for name in _layouts()}
            else:
                self._check()
        except DatasetError:
            self.close()
            raise
        self._offsets = self._read("offsets")

    def _check(self) -> None:
        version = integer_attribute(self._file, "schema_version")
        if version != SCHEMA_VERSION:
            problem = f"{self.path}: has schema version {version}, not {SCHEMA_VERSION}"
            raise DatasetError(problem, "use the clusterml it was written with")
        check_names(self._file, _layouts().keys())
        self._datasets["offsets"] = open_dataset(self._file, "offsets", _layouts()["offsets"])
        for name, layout in _layouts(*self._sizes()).items():
            self._datasets[name] = open_dataset(self._file, name, layout)
        if np.abs(self._read("energy_ev") - GRID_EV).max() > 1e-9:
            raise DatasetError(
                f"{self.path}: has other energies than {GRID_EV[0]} to {GRID_EV[-1]} eV", "label the geometries again"
            )

    def __len__(self) -> int:
        """Number of records."""
        return len(self._offsets) - 1

    def column(self, name: str) -> Any:
        """One column over all records: an array (n, ...) or, for text, a list; JSON comes parsed."""
        column = next((c for c in COLUMNS if c.name == name), None)
        if column is None:
            raise DatasetError(f"there is no column '{name}'", f"columns: {', '.join(c.name for c in COLUMNS)}")
        if column.dtype in ("str", "json"):
            texts = [str(text) for text in self._read(name)]
            return [self._parse(text) for text in texts] if column.dtype == "json" else texts
        return self._numbers(column, slice(None))

    def n_atoms(self) -> Any:
        """Atoms per record, (n,)."""
        return np.diff(self._offsets)

    def record(self, index: int) -> Record:
        """Record number ``index`` (from 0)."""
        rows = slice(int(self._offsets[index]), int(self._offsets[index + 1]))
        values: dict[str, Any] = {
            "numbers": self._read("numbers", rows).astype(np.int64),
            "positions": self._read("positions", rows).astype(np.float64),
        }
        for column in COLUMNS:
            if column.dtype in ("str", "json"):
                text = str(self._read(column.name, index))
                values[column.name] = self._parse(text) if column.dtype == "json" else text
            elif column.shape:
                values[column.name] = self._numbers(column, slice(index, index + 1))[0]
            else:
                values[column.name] = self._read(column.name, index).item()
        return Record(**values)

    def __iter__(self) -> Iterator[Record]:
        """The records, one at a time."""
        return (self.record(index) for index in range(len(self)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _sizes(self) -> tuple[int, int]:
        """Records and atoms; the offsets say so."""
        offsets = self._read("offsets")
        steps = np.diff(offsets)
        if len(steps) < 1 or offsets[0] != 0 or steps.min() < 1 or steps.max() > _MOST_ATOMS:
            raise DatasetError(f"{self.path}: 'offsets' do not count atoms", _DAMAGED)
        return len(steps), int(offsets[-1])

    def _numbers(self, column: Column, rows: slice) -> FloatArray:
        values = self._read(column.name, rows)
        if column.dtype == "scaled":
            scale = self._read(f"{column.name}_scale", rows).astype(np.float64)
            return np.asarray(values * scale.reshape(-1, *(1,) * len(column.shape)))
        return np.asarray(values.astype(np.float64) if values.dtype.kind == "f" else values)

    def _read(self, name: str, rows: slice | int = slice(None)) -> Any:
        """Values of a dataset; text comes as ``str``."""
        dataset = self._datasets[name]
        with name_damage(f"{self.path}: '{name}'"):
            return dataset.asstr()[rows] if dataset.dtype.kind == "O" else dataset[rows]

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text) if len(text) <= _LONGEST_TEXT else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise DatasetError(f"{self.path}: 'details' hold no JSON object", _DAMAGED)
        return value


def _layouts(n_records: int | None = None, n_atoms: int | None = None) -> dict[str, Layout]:
    """What a shard of that many records and atoms (None: not known yet) consists of."""
    layouts = {
        "energy_ev": Layout("f8", (len(GRID_EV),)),
        "offsets": Layout("i8", (None if n_records is None else n_records + 1,)),
        "numbers": Layout("u1", (n_atoms,)),
        "positions": Layout("f4", (n_atoms, 3)),
    }
    for column in COLUMNS:
        kind = {"json": "str", "scaled": "f2"}.get(column.dtype, column.dtype)
        layouts[column.name] = Layout(kind, (n_records, *column.shape))
        if column.dtype == "scaled":
            layouts[f"{column.name}_scale"] = Layout("f4", (n_records,))
    return layouts


def checksum(path: Path) -> str:
    """SHA-256 (hex) of a shard; raises :class:`DatasetError` if it cannot be read."""
    try:
        return sha256_of_file(path, sys.maxsize, links=False)
    except InputFileError as error:
        raise DatasetError(error.problem, error.remedy) from error
