"""A shard: some records in one HDF5 file, written whole or not at all, and never changed afterwards.

A record of 70 atoms costs less than 2 kB.  Numbers are whole numbers of small units (0.001 A, 0.001 e, parts of a
curve's maximum), stored as what a prediction from the numbers before misses, and compressed; text is one line of JSON
for each record, compressed too.  Opening one checks it as if anybody had made it (:mod:`clusterml.dataset.hdf5`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

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
from clusterml.dataset.packing import (
    CHANNELS,
    ORDER,
    curve_of,
    curves_of,
    differences,
    predictor_of,
    residuals,
    sums,
    thousandths,
    unzigzag,
    whole_curves,
    zigzag,
)
from clusterml.dataset.record import (
    COLUMNS,
    N_FRONTIER,
    N_LOWEST,
    SCHEMA_VERSION,
    STEPS,
    Column,
    Record,
    SpectralGrid,
)
from clusterml.dataset.shards_v1 import ShardV1
from clusterml.errors import DatasetError
from clusterml.io.files import sha256, write_bytes
from clusterml.typing import FloatArray, IntArray

_COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
_MOST_ATOMS = 100_000  # of one record
_LONGEST_TEXT = 64 * 1024**2  # characters of one shard
_RECORDS_IN_CHUNK = 64
_ROWS_IN_CHUNK = 32 * 1024
_TEXTS = tuple(column.name for column in COLUMNS if column.dtype in ("str", "json"))
_SCALARS = tuple(column.name for column in COLUMNS if column.dtype[0] in "if" and not column.shape)
_LISTS = tuple(column.name for column in COLUMNS if column.dtype == "f4" and column.shape == (N_LOWEST,))


def write_shard(path: Path, records: Sequence[Record]) -> str:
    """Write ``records`` to ``path`` atomically and return the file's SHA-256 (hex).

    Raises :class:`~clusterml.errors.OutputError` if the file cannot be written, :class:`DatasetError` for no records
    and for records on different grids.
    """
    import h5py

    if not records:
        raise DatasetError(f"{path}: there are no records to write", "label something first")
    grid = records[0].grid
    if odd := next((record for record in records if record.grid != grid), None):
        raise DatasetError(f"record {odd.id}: has other energies than {records[0].id}", "store them apart")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        predictor = predictor_of(grid)
        file.attrs.update(schema_version=SCHEMA_VERSION, grid=grid.model_dump_json(), predictor=predictor)
        for name, values in _arrays(records, predictor).items():
            stored = {"chunks": _chunks(values), **_COMPRESSION} if values.size else {}
            file.create_dataset(name, data=values, **stored)
    content = buffer.getvalue()
    write_bytes(path, content)
    return sha256(content)


def _chunks(values: Any) -> tuple[int, ...]:
    rows = _RECORDS_IN_CHUNK if values.ndim == 3 else _ROWS_IN_CHUNK
    return (min(len(values), rows), *values.shape[1:])


def _arrays(records: Sequence[Record], predictor: IntArray) -> dict[str, Any]:
    """What is written, by name of the HDF5 dataset."""
    curves, scales = zip(*(whole_curves(record) for record in records), strict=True)
    steps = [thousandths(record.positions, "i4") for record in records]
    charges = [thousandths(record.shell_charges, "i2") for record in records]
    frontier = [record.levels_ev if len(record.levels_ev) else np.zeros(2 * N_FRONTIER) for record in records]
    histogram = [record.level_histogram for record in records]
    longest = max(map(len, histogram))
    padded = [counts if len(counts) else np.zeros(longest) for counts in histogram]
    lines = [json.dumps([getattr(record, name) for name in _TEXTS], allow_nan=False) for record in records]
    text = "\n".join(lines).encode()
    arrays = {
        "n_atoms": np.array([record.n_atoms for record in records], dtype="u4"),
        "n_shells": np.array([len(record.shell_charges) for record in records], dtype="u4"),
        "has_levels": np.array([len(record.levels_ev) > 0 for record in records], dtype="u1"),
        "numbers": np.concatenate([record.numbers for record in records]).astype("u1"),
        "positions": np.concatenate([differences(x) for x in steps]),
        "spectra": residuals(np.stack(curves), predictor),
        "scales": np.stack(scales),
        "shell_charges": zigzag(np.concatenate(charges)),
        "levels": zigzag(thousandths(np.stack(frontier), "i4")),
        "histogram": np.stack(padded).astype("u2"),
        "text": np.frombuffer(text, dtype="u1"),
    }
    of_columns = {column.name: column.dtype for column in COLUMNS}
    for name in (*_SCALARS, *_LISTS):
        arrays[name] = np.stack([np.asarray(getattr(record, name)) for record in records]).astype(of_columns[name])
    return arrays


class Shard:
    """An open shard; arrays are read when they are asked for, and then kept.

    ``sha256``: what the file must be (hex), where that is known; ``checked``: it is the very file that was opened
    before, and its checksum is not computed again.  Raises :class:`DatasetError` naming the file if it is not a shard,
    damaged, of another schema version, or leads out of itself.
    """

    def __init__(self, path: Path, sha256: str | None = None, *, checked: bool = False) -> None:
        self.path = path
        if not checked and sha256 is not None and checksum(path) != sha256:
            raise DatasetError(f"{path}: has changed since it was written (checksum)", "restore it from a copy")
        self._file = open_hdf5(path)
        self._held: dict[str, Any] = {}
        try:
            self._check()
        except DatasetError:
            self.close()
            raise

    def _check(self) -> None:
        version = integer_attribute(self._file, "schema_version")
        if version != SCHEMA_VERSION:
            problem = f"{self.path}: has schema version {version}, not {SCHEMA_VERSION}"
            raise DatasetError(problem, "use the clusterml it was written with")
        self.grid, self._predictor = self._read_attributes()
        check_names(self._file, _layouts(self.grid).keys())
        for name in ("n_atoms", "n_shells"):
            self._datasets = {name: open_dataset(self._file, name, Layout("u4", (None,)))}
            self._held[name] = self._raw(name)
        n_atoms, n_shells = self._held["n_atoms"], self._held["n_shells"]
        if len(n_atoms) < 1 or n_atoms.min() < 1 or n_atoms.max() > _MOST_ATOMS or n_shells.max(initial=0) > 1e7:
            raise DatasetError(f"{self.path}: 'n_atoms' do not count atoms", DAMAGED)
        sizes = {"records": len(n_atoms), "atoms": int(n_atoms.sum()), "shells": int(n_shells.sum())}
        layouts = _layouts(self.grid, sizes)
        self._datasets = {name: open_dataset(self._file, name, layout) for name, layout in layouts.items()}
        self._atoms, self._shells = (np.concatenate([[0], np.cumsum(n, dtype=np.int64)]) for n in (n_atoms, n_shells))

    def _read_attributes(self) -> tuple[SpectralGrid, IntArray]:
        try:
            with name_damage(f"{self.path}:"):
                names = ("grid", "predictor")
                kinds = {
                    name: (self._file.attrs.get_id(name).shape, self._file.attrs.get_id(name).dtype) for name in names
                }
                if kinds["grid"][0] != () or kinds["predictor"] != ((ORDER,), np.dtype("i4")):
                    raise DatasetError(f"{self.path}: 'grid' or 'predictor' is of another type", DAMAGED)
                text, predictor = (self._file.attrs[name] for name in names)
                return SpectralGrid.model_validate_json(text), predictor
        except ValidationError as error:
            raise DatasetError(f"{self.path}: 'grid' is no grid of energies", DAMAGED) from error

    def __len__(self) -> int:
        """Number of records."""
        return len(self._atoms) - 1

    def column(self, name: str) -> Any:
        """One column over all records: an array (n, ...), or a list for text, JSON and what differs in length."""
        column = next((c for c in COLUMNS if c.name == name), None)
        if column is None:
            raise DatasetError(f"there is no column '{name}'", f"columns: {', '.join(c.name for c in COLUMNS)}")
        if name in _TEXTS:
            return [texts[_TEXTS.index(name)] for texts in self._texts()]
        if name in (*_SCALARS, *_LISTS):
            values = self._array(name)
            return values.astype(np.float64) if values.dtype.kind == "f" else values
        values = [self._value(column, index) for index in range(len(self))]
        return values if column.optional else np.stack(values)

    def n_atoms(self) -> Any:
        """Atoms per record, (n,)."""
        return np.diff(self._atoms)

    def record(self, index: int) -> Record:
        """Record number ``index`` (from 0)."""
        numbers, positions = self.geometry(index)
        values = {column.name: self._value(column, index) for column in COLUMNS}
        return Record(numbers=numbers, positions=positions, grid=self.grid, **values)

    def geometry(self, index: int) -> tuple[IntArray, FloatArray]:
        """Atomic numbers (n,) and positions (n, 3) in A of record number ``index``."""
        rows = slice(int(self._atoms[index]), int(self._atoms[index + 1]))
        return self._array("numbers")[rows].astype(np.int64), sums(self._array("positions")[rows]) / STEPS

    def __iter__(self) -> Iterator[Record]:
        """The records, one at a time."""
        return (self.record(index) for index in range(len(self)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _value(self, column: Column, index: int) -> Any:
        """The value of a column in one record."""
        name = column.name
        if name in _TEXTS:
            return self._texts()[index][_TEXTS.index(name)]
        if name in _SCALARS:
            return self._array(name)[index].item()
        if name in _LISTS:
            return self._array(name)[index].astype(np.float64)
        if name == "shell_charges":
            rows = slice(int(self._shells[index]), int(self._shells[index + 1]))
            return unzigzag(self._array(name)[rows]) / STEPS
        if name in ("levels_ev", "level_histogram"):
            return self._levels(name, index)
        return curve_of(name, self._steps(index), self._array("scales")[index].tolist())

    def _levels(self, name: str, index: int) -> Any:
        if not self._array("has_levels")[index]:
            return np.zeros(0)
        if name == "levels_ev":
            return unzigzag(self._array("levels")[index]) / STEPS
        return self._array("histogram")[index].astype(np.float64)

    def _steps(self, index: int) -> Any:
        """All curves of a record in steps of their scales, (21, m)."""
        if "curves" not in self._held:
            self._held["curves"] = curves_of(self._array("spectra"), self._predictor)
            del self._held["spectra"]
        return self._held["curves"][index]

    def _array(self, name: str) -> Any:
        if name not in self._held:
            self._held[name] = self._raw(name)
        return self._held[name]

    def _raw(self, name: str) -> Any:
        with name_damage(f"{self.path}: '{name}'"):
            return self._datasets[name][()]

    def _texts(self) -> list[list[Any]]:
        """The texts of each record, in the order of their columns."""
        if "lines" not in self._held:
            content = self._raw("text")
            lines = content.tobytes().split(b"\n") if content.size <= _LONGEST_TEXT else []
            if len(lines) != len(self):
                raise DatasetError(f"{self.path}: 'text' has not a line for each record", DAMAGED)
            self._held["lines"] = [self._parse(line) for line in lines]
        return list(self._held["lines"])

    def _parse(self, line: bytes) -> list[Any]:
        try:
            values = json.loads(line)
            *words, details = values
            sound = len(values) == len(_TEXTS) and isinstance(details, dict) and all(isinstance(w, str) for w in words)
        except (ValueError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise DatasetError(f"{self.path}: 'text' has a line that is no record", DAMAGED)
        return list(values)


def _layouts(grid: SpectralGrid, sizes: Mapping[str, int] | None = None) -> dict[str, Layout]:
    """What a shard of so many records, atoms and shells (None: not known yet) consists of."""
    counts = sizes or {}
    n, atoms, shells = (counts.get(key) for key in ("records", "atoms", "shells"))
    layouts = {
        "n_atoms": Layout("u4", (n,)),
        "n_shells": Layout("u4", (n,)),
        "has_levels": Layout("u1", (n,)),
        "numbers": Layout("u1", (atoms,)),
        "positions": Layout("u4", (atoms, 3)),
        "spectra": Layout("u2", (n, CHANNELS["antisymmetric"].stop, grid.n_points)),
        "scales": Layout("f4", (n, len(CHANNELS))),
        "shell_charges": Layout("u2", (shells,)),
        "levels": Layout("u4", (n, 2 * N_FRONTIER)),
        "histogram": Layout("u2", (n, None)),
        "text": Layout("u1", (None,)),
    }
    of_columns = {column.name: column for column in COLUMNS}
    layouts |= {name: Layout(of_columns[name].dtype, (n,)) for name in _SCALARS}
    return layouts | {name: Layout("f4", (n, N_LOWEST)) for name in _LISTS}


def open_shard(path: Path, sha256: str | None = None, *, checked: bool = False) -> Shard | ShardV1:
    """The shard at ``path``, of either version; arguments and errors as those of :class:`Shard`."""
    if ShardV1.is_at(path):
        return ShardV1(path, sha256, checked=checked)
    return Shard(path, sha256, checked=checked)
