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

from clusterml.dataset.record import COLUMNS, GRID_EV, SCHEMA_VERSION, Column, Record
from clusterml.errors import DatasetError
from clusterml.spectrum.files import write_bytes
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    import h5py

_COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
_LARGEST_HALF = 6.0e4  # of float16: 65,504


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

    Raises :class:`DatasetError` naming the file if it is not a shard, damaged, or of another schema version.
    """

    def __init__(self, path: Path) -> None:
        import h5py

        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise DatasetError(
                f"{path}: is not a readable HDF5 file ({error})", "restore it, or label again"
            ) from error
        version = self._file.attrs.get("schema_version")
        if version != SCHEMA_VERSION:
            self._file.close()
            raise DatasetError(
                f"{path}: has schema version {version}, not {SCHEMA_VERSION}", "use the clusterml it was written with"
            )
        self._offsets = self._dataset("offsets")[:]

    def __len__(self) -> int:
        """Number of records."""
        return len(self._offsets) - 1

    def column(self, name: str) -> Any:
        """One column over all records: an array (n, ...) or, for text, a list; JSON comes parsed."""
        column = next((c for c in COLUMNS if c.name == name), None)
        if column is None:
            raise DatasetError(f"there is no column '{name}'", f"columns: {', '.join(c.name for c in COLUMNS)}")
        if column.dtype in ("str", "json"):
            texts = self._dataset(name).asstr()[:]
            return [json.loads(text) for text in texts] if column.dtype == "json" else [str(text) for text in texts]
        return self._numbers(column, slice(None))

    def n_atoms(self) -> Any:
        """Atoms per record, (n,)."""
        return np.diff(self._offsets)

    def record(self, index: int) -> Record:
        """Record number ``index`` (from 0)."""
        rows = slice(int(self._offsets[index]), int(self._offsets[index + 1]))
        values: dict[str, Any] = {
            "numbers": self._dataset("numbers")[rows].astype(np.int64),
            "positions": self._dataset("positions")[rows].astype(np.float64),
        }
        for column in COLUMNS:
            if column.dtype in ("str", "json"):
                text = str(self._dataset(column.name).asstr()[index])
                values[column.name] = json.loads(text) if column.dtype == "json" else text
            elif column.shape:
                values[column.name] = self._numbers(column, slice(index, index + 1))[0]
            else:
                values[column.name] = self._dataset(column.name)[index].item()
        return Record(**values)

    def __iter__(self) -> Iterator[Record]:
        """The records, one at a time."""
        return (self.record(index) for index in range(len(self)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _numbers(self, column: Column, rows: slice) -> FloatArray:
        values = self._dataset(column.name)[rows]
        if column.dtype == "scaled":
            scale = self._dataset(f"{column.name}_scale")[rows].astype(np.float64)
            return np.asarray(values * scale.reshape(-1, *(1,) * len(column.shape)))
        return np.asarray(values.astype(np.float64) if values.dtype.kind == "f" else values)

    def _dataset(self, name: str) -> h5py.Dataset:
        try:
            return self._file[name]
        except KeyError as error:
            raise DatasetError(f"{self.path}: has no column '{name}'", "restore it, or label again") from error


def checksum(path: Path) -> str:
    """SHA-256 (hex) of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
