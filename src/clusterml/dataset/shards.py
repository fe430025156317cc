"""A shard: some records in one HDF5 file, written whole or not at all.

Atoms of all records stand one after the other, with offsets; text and JSON are UTF-8 strings.  Tensors are kept in half
precision, scaled by their largest element (error below 5e-4 of it); everything is compressed.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.dataset.hdf5 import Layout, check_names, checked_dataset, damage_named, integer_attribute, open_hdf5
from clusterml.dataset.record import COLUMNS, GRID_EV, SCHEMA_VERSION, Column, Record
from clusterml.errors import DatasetError, InputFileError
from clusterml.io.bounded import check_regular
from clusterml.spectrum.files import write_bytes
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    import h5py

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
    return hashlib.sha256(content).hexdigest()


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
    another schema version, or leads out of itself (see :mod:`clusterml.dataset.hdf5`).
    """

    def __init__(self, path: Path, sha256: str | None = None, *, checked: bool = False) -> None:
        self.path = path
        if not checked and sha256 is not None and checksum(path) != sha256:
            raise DatasetError(f"{path}: has changed since it was written (checksum)", "restore it from a copy")
        self._file = open_hdf5(path)
        self._datasets: dict[str, h5py.Dataset] = {}
        try:
            if checked:
                with damage_named(f"{path}:"):
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
        self._datasets["offsets"] = checked_dataset(self._file, "offsets", _layouts()["offsets"])
        for name, layout in _layouts(*self._sizes()).items():
            self._datasets[name] = checked_dataset(self._file, name, layout)
        if np.abs(self._read("energy_ev") - GRID_EV).max() > 1e-9:
            raise DatasetError(f"{self.path}: has other energies than {GRID_EV[0]} to {GRID_EV[-1]} eV", "label again")

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
            return [self._parsed(text) for text in texts] if column.dtype == "json" else texts
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
                values[column.name] = self._parsed(text) if column.dtype == "json" else text
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
            raise DatasetError(f"{self.path}: 'offsets' do not count atoms", "restore it, or label again")
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
        with damage_named(f"{self.path}: '{name}'"):
            return dataset.asstr()[rows] if dataset.dtype.kind == "O" else dataset[rows]

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text) if len(text) <= _LONGEST_TEXT else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise DatasetError(f"{self.path}: 'details' hold no JSON object", "restore it, or label again")
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
    """SHA-256 (hex) of a file, read in pieces; raises :class:`DatasetError` if it cannot be read."""
    try:
        check_regular(path, links=False)
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except InputFileError as error:
        raise DatasetError(error.problem, error.remedy) from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})", "check its permissions") from error
