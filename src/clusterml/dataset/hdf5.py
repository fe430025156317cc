"""HDF5 files opened as if anybody had made them.

HDF5 can point to other files (external links, external storage, virtual datasets), load code for a filter it does not
know, declare 36 TiB in a kilobyte, and inflate a small chunk to gigabytes.  A shard needs none of this, so all of it is
refused before a value is read.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.errors import DatasetError, InputFileError
from clusterml.io.files import check_regular, sha256_of_file

if TYPE_CHECKING:
    import h5py


LARGEST_SHARD = 2 * 1024**3
"""Largest file that is opened, in bytes."""
LARGEST_ARRAY = 256 * 1024**2
"""Largest dataset that is read, in bytes; the spectra of a shard have 10 MB."""
_LARGEST_CHUNK = 4 * 1024**2  # bytes of a chunk as declared
_SMALL_CHUNK = 16 * 1024  # stored bytes; deflate makes at most 1032 times as much of them, which does no harm
_MOST_CHUNKS = 2**20
_FILTERS = (1, 2, 3)  # deflate, shuffle, Fletcher's checksum: built into HDF5, no plug-in is loaded
DAMAGED = "restore it from a copy, or label the geometries again"
"""What to do about a file that is not what it was."""
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
        raise DatasetError(f"{path}: is not a readable HDF5 file ({error})", DAMAGED) from error


@contextmanager
def name_damage(where: str) -> Iterator[None]:
    """What HDF5 raises about a damaged file, and about one that lies about itself, as :class:`DatasetError`."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, MemoryError, OverflowError, zlib.error) as error:
        raise DatasetError(f"{where} is damaged ({error})", DAMAGED) from error


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
            DAMAGED,
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
        if dataset.size * dataset.dtype.itemsize > LARGEST_ARRAY:
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


def checksum(path: Path) -> str:
    """SHA-256 (hex) of a shard; raises :class:`DatasetError` if it cannot be read."""
    try:
        return sha256_of_file(path, sys.maxsize, links=False)
    except InputFileError as error:
        raise DatasetError(error.problem, error.remedy) from error
