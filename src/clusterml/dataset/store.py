"""A dataset folder: records that have just been labelled, shards of many records, and the index that counts.

    FOLDER/index.json          the shards with their SHA-256 and records, and what the dataset says of itself
    FOLDER/shards/00000.h5     records in order of their names
    FOLDER/staging/ID.h5       one finished record each, until they are packed into shards

A record is finished when its staging file has its final name.  Packing writes new shards, then the index, then removes
the staging files; a crash in between leaves files that the index does not know (removed by the next packing) or staging
files that it does know (removed as well), never a damaged or doubled record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterml.dataset.record import SCHEMA_VERSION, Record
from clusterml.dataset.shards import Shard, checksum, write_shard
from clusterml.errors import DatasetError
from clusterml.spectrum.files import make_folder, write_text

RECORDS_PER_SHARD = 512
"""Most records in one shard."""


@dataclass(frozen=True)
class Entry:
    """One shard of the index: file ``name``, ``sha256``, and the ``ids`` of its records in order."""

    name: str
    sha256: str
    ids: tuple[str, ...]


class Store:
    """A dataset folder that records are added to; made if it does not exist."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.staging = self.folder / "staging"
        self.shards = self.folder / "shards"
        make_folder(self.staging)
        make_folder(self.shards)
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
        entries, known = read_index(self.folder)
        packed = {i for entry in entries for i in entry.ids}
        staged = sorted(path for path in self.staging.glob("*.h5") if path.stem not in packed)
        if staged:
            # the last shard may be short: fill it up rather than leave a trail of small ones
            last = entries.pop() if entries and len(entries[-1].ids) < RECORDS_PER_SHARD else None
            entries += self._new_shards(staged, last, len(entries))
        self._write_index(entries, {**known, **(about or {})})
        self._sweep(entries)
        return sum(len(entry.ids) for entry in entries)

    def _new_shards(self, staged: Sequence[Path], last: Entry | None, first: int) -> list[Entry]:
        old = Shard(self.shards / last.name) if last else None
        records = [(i, old, k) for k, i in enumerate(last.ids)] if last else []
        records += [(path.stem, None, 0) for path in staged]
        entries = []
        for number, start in enumerate(range(0, len(records), RECORDS_PER_SHARD), start=first):
            part = sorted(records[start : start + RECORDS_PER_SHARD])
            loaded = [shard.record(k) if shard else self._staged(name) for name, shard, k in part]
            # a new name for changed content: the index never points to a file that is not what it says
            name = f"{number:05d}-{len(part):04d}.h5"
            entries.append(Entry(name, write_shard(self.shards / name, loaded), tuple(record.id for record in loaded)))
        if old:
            old.close()
        return entries

    def _staged(self, name: str) -> Record:
        shard = Shard(self.staging / f"{name}.h5")
        try:
            return shard.record(0)
        finally:
            shard.close()

    def _write_index(self, entries: Sequence[Entry], about: dict[str, Any]) -> None:
        shards = [{"name": e.name, "sha256": e.sha256, "ids": list(e.ids)} for e in entries]
        content = {"schema_version": SCHEMA_VERSION, "about": about, "shards": shards}
        write_text(self.folder / "index.json", json.dumps(content, indent=1, allow_nan=False) + "\n")

    def _sweep(self, entries: Sequence[Entry]) -> None:
        keep = {entry.name for entry in entries}
        packed = {i for entry in entries for i in entry.ids}
        for path in (*self.shards.glob("*.h5"), *self.staging.glob("*.h5")):
            if (path.parent == self.shards and path.name not in keep) or path.stem in packed:
                path.unlink()


def read_index(folder: Path) -> tuple[list[Entry], dict[str, Any]]:
    """The shards of a dataset folder and what it says of itself.

    Raises :class:`DatasetError` naming the file if there is no index, it cannot be read, or has another version.
    """
    path = folder / "index.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = [Entry(s["name"], s["sha256"], tuple(s["ids"])) for s in content["shards"]]
        version, about = content["schema_version"], dict(content["about"])
    except FileNotFoundError as error:
        raise DatasetError(f"{folder}: is not a dataset (no index.json)", "give a dataset folder") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})", "restore it from a copy") from error
    if version != SCHEMA_VERSION:
        raise DatasetError(f"{path}: has schema version {version}, not {SCHEMA_VERSION}", "use a matching clusterml")
    return entries, about


def damaged_shards(folder: Path) -> Iterator[tuple[str, str]]:
    """Shards that are missing or whose checksum is wrong: ``(name, what is wrong)``."""
    for entry in read_index(folder)[0]:
        path = folder / "shards" / entry.name
        if not path.is_file():
            yield entry.name, "is missing"
        elif checksum(path) != entry.sha256:
            yield entry.name, "has changed since it was written (checksum)"
