"""Reads shards of version 1 (datasets made before 0.2), which are not written any more.

Atoms of all records stand one after the other, with offsets; text and JSON are UTF-8 strings.  Tensors are kept in half
precision, scaled by their largest element (error below 5e-4 of it).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.dataset.hdf5 import (
    DAMAGED,
    Layout,
    check_names,
    checksum,
    integer_attribute,
    name_damage,
    open_dataset,
    open_hdf5,
)
from clusterml.dataset.record import COLUMNS, FINE, GRID_EV, Column, Record
from clusterml.errors import DatasetError
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import h5py

_VERSION = 1
_MOST_ATOMS = 100_000  # of one record
_LONGEST_TEXT = 16 * 1024**2  # characters of one record's details
_SCALED = ("absorption_tensor", "rotatory_tensor")
_COLUMNS = tuple(column for column in COLUMNS if not column.optional)
"""The columns that there were."""


class ShardV1:
    """An open shard of version 1; records and columns are read when asked for.

    ``sha256``: what the file must be (hex), where that is known; ``checked``: it is the very file that was opened
    before, and is not checked again.  Raises :class:`DatasetError` naming the file if it is not a shard, damaged, of
    another schema version, or leads out of itself.
    """

    grid = FINE

    @staticmethod
    def is_at(path: Path) -> bool:
        """Does the file at ``path`` say that it is of this version?  Nothing else is read of it."""
        with suppress(DatasetError):
            file = open_hdf5(path)
            try:
                return integer_attribute(file, "schema_version") == _VERSION
            finally:
                file.close()
        return False

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
        if version != _VERSION:
            problem = f"{self.path}: has schema version {version}, not {_VERSION}"
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
        column = next((c for c in _COLUMNS if c.name == name), None)
        if column is None:
            raise DatasetError(f"there is no column '{name}'", f"columns: {', '.join(c.name for c in _COLUMNS)}")
        if column.dtype in ("str", "json"):
            texts = [str(text) for text in self._read(name)]
            return [self._parse(text) for text in texts] if column.dtype == "json" else texts
        return self._numbers(column, slice(None))

    def n_atoms(self) -> Any:
        """Atoms per record, (n,)."""
        return np.diff(self._offsets)

    def record(self, index: int) -> Record:
        """Record number ``index`` (from 0)."""
        numbers, positions = self.geometry(index)
        values: dict[str, Any] = {"numbers": numbers, "positions": positions}
        for column in _COLUMNS:
            if column.dtype in ("str", "json"):
                text = str(self._read(column.name, index))
                values[column.name] = self._parse(text) if column.dtype == "json" else text
            elif column.shape:
                values[column.name] = self._numbers(column, slice(index, index + 1))[0]
            else:
                values[column.name] = self._read(column.name, index).item()
        return Record(**values)

    def geometry(self, index: int) -> tuple[IntArray, FloatArray]:
        """Atomic numbers (n,) and positions (n, 3) in A of record number ``index``."""
        rows = slice(int(self._offsets[index]), int(self._offsets[index + 1]))
        return self._read("numbers", rows).astype(np.int64), self._read("positions", rows).astype(np.float64)

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
            raise DatasetError(f"{self.path}: 'offsets' do not count atoms", DAMAGED)
        return len(steps), int(offsets[-1])

    def _numbers(self, column: Column, rows: slice) -> FloatArray:
        values = self._read(column.name, rows)
        if column.name in _SCALED:
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
            raise DatasetError(f"{self.path}: 'details' hold no JSON object", DAMAGED)
        return value


def _layouts(n_records: int | None = None, n_atoms: int | None = None) -> dict[str, Layout]:
    """What a shard of that many records and atoms (None: not known yet) consists of."""
    layouts = {
        "energy_ev": Layout("f8", (len(GRID_EV),)),
        "offsets": Layout("i8", (None if n_records is None else n_records + 1,)),
        "numbers": Layout("u1", (n_atoms,)),
        "positions": Layout("f4", (n_atoms, 3)),
    }
    for column in _COLUMNS:
        kind = {"json": "str", "curve": "f4"}.get(column.dtype, column.dtype)
        kind = "f2" if column.name in _SCALED else kind
        layouts[column.name] = Layout(kind, (n_records, *column.shape_on(FINE)))
        if column.name in _SCALED:
            layouts[f"{column.name}_scale"] = Layout("f4", (n_records,))
    return layouts
