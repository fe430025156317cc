"""From what the user names (files, folders) to the structures to compute, each with its own name for the results."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from clusterml.errors import InputFileError
from clusterml.io.shipped import with_shipped_names
from clusterml.structure.formats.format import format_of_name, readable
from clusterml.structure.read import STDIN

_SAME_CRYSTAL = (".cif", ".res", ".ins")
"""Files of a refinement, the one that says most first."""


@dataclass(frozen=True)
class Input:
    """One structure file (``-``: standard input), and the ``base`` of its results' names, different from every other
    input's; ``note``: what is to be said of the choice of this file, if anything."""

    path: Path
    base: str
    note: str = ""

    @property
    def stem(self) -> str:
        """What a structure in it is called."""
        return _stem(self.path)

    @property
    def where(self) -> str:
        """What the file is called in messages."""
        return with_shipped_names(str(self.path))

    @property
    def bytes(self) -> int:
        """Size of the file; 0 where that cannot be said."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


def expand(paths: Iterable[str | Path]) -> tuple[list[Input], list[InputFileError]]:
    """The structure files among ``paths`` (a folder stands for those in it), and an error for each folder without any.

    A file named twice counts once; one that is not there is kept, so that reading it says so.
    """
    files: dict[str, Path] = {}
    notes: dict[str, str] = {}
    problems = []
    for path in map(Path, paths):
        members = _one_of_each_crystal(_members(path)) if path.is_dir() else {path: ""}
        if not members:
            problems.append(InputFileError(f"{path}: holds no structure files", f"can be read: {readable()}"))
        for file, note in members.items():
            files.setdefault(os.path.abspath(file), file)
            notes.setdefault(os.path.abspath(file), note)
    named = _named(list(files.values()))
    return [replace(entry, note=notes[os.path.abspath(entry.path)]) for entry in named], problems


def _members(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [e for e in entries if format_of_name(e.name) and not e.name.startswith(".") and e.is_file()]


def _one_of_each_crystal(files: list[Path]) -> dict[Path, str]:
    """The files of a folder with what is to be said of each: SHELX files beside a CIF of their name are its crystal."""
    crystals: defaultdict[str, list[Path]] = defaultdict(list)
    for file in files:
        if file.suffix.lower() in _SAME_CRYSTAL:
            crystals[file.stem].append(file)
    notes = dict.fromkeys(files, "")
    for versions in crystals.values():
        first, *others = sorted(versions, key=lambda file: _SAME_CRYSTAL.index(file.suffix.lower()))
        for file in others:
            del notes[file]
        if others:
            names = " and ".join(file.name for file in others)
            notes[first] = f"{names} beside it taken to be the same crystal and left out; name the file to have it read"
    return notes


def _named(files: list[Path]) -> list[Input]:
    """Stems where they are unique; else with the ending (``a_cif``, ``a_xyz``), else with a number too."""
    # Compared without case: some file systems do not tell A.json from a.json.
    stems = Counter(_stem(file).casefold() for file in files)
    endings = Counter(file.name.casefold() for file in files)
    seen: defaultdict[str, int] = defaultdict(int)
    inputs = []
    for file in files:
        base = _stem(file)
        if stems[base.casefold()] > 1:
            base += f"_{file.suffix[1:].lower()}" if file.suffix else ""
            if endings[file.name.casefold()] > 1:
                seen[file.name.casefold()] += 1
                base += f"_{seen[file.name.casefold()]}"
        inputs.append(Input(file, base))
    return inputs


def _stem(file: Path) -> str:
    return "stdin" if str(file) == STDIN else file.stem


class Names:
    """Hands out names that differ, without regard to case, from all handed out before."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def unique(self, name: str) -> str:
        """``name``, or with the first of ``_2``, ``_3``, ... that makes it new."""
        candidate, number = name, 1
        while candidate.casefold() in self._used:
            number += 1
            candidate = f"{name}_{number}"
        self._used.add(candidate.casefold())
        return candidate
