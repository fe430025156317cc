"""Which records are learnt from and which are tested on, its file, and the recipe by which it is made again.

A file names records in series: ``"ag2-hcoo-mode-{00007}": "..v-t"`` are records 00007 to
00011, of which two are for training (.), one for validation (v), one for the test (t), and one does not exist (-).
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from clusterml.config.schema import Strict
from clusterml.errors import DatasetError, InputFileError
from clusterml.io.files import write_text
from clusterml.io.json import json_text, read_json

if TYPE_CHECKING:
    from clusterml.dataset.store import Dataset

Question = Literal["random", "foreign", "shell", "parent", "core"]
SETS = ("train", "validation", "test")
SPLIT_FILE = "split.json"
"""The file of a training run that holds its split."""
SCHEMA_VERSION = 2
"""Version of the files; the first, which said no version, named every record."""
_LETTERS = {"train": ".", "validation": "v", "test": "t"}
_NOBODY = "-"
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.ASCII | re.DOTALL)
_SERIES = re.compile(r"([^{}]*)\{(\d{1,18})\}([^{}]*)", re.ASCII | re.DOTALL)
_LONGEST_GAP = 16  # of numbers that no record has, within a series


@dataclass(frozen=True)
class Split:
    """``question`` and, for each of train, validation and test, the names of its records in dataset order.

    ``unseen``: the ligands, shells or families that the test set consists of (none for a random split).  ``fractions``
    (shares of validation and test) and ``held_out``: how it was drawn; None for one that was made in several steps.
    """

    question: Question
    seed: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    fractions: tuple[float, float] | None = None
    held_out: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of which record is in which set, whatever their order."""
        lines = sorted(f"{name} {part}\n" for part in SETS for name in getattr(self, part))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def recipe(self) -> SplitRecipe:
        """How to make it again, and the checksum that it then has."""
        how = {"fractions": self.fractions, "held_out": self.held_out}
        return SplitRecipe(question=self.question, seed=self.seed, sha256=self.sha256, **how)


class SplitRecipe(Strict):
    """What a checkpoint says of the split that it was trained with."""

    question: Question = Field(description="random, foreign, shell, parent or core: what was held out")
    seed: int = Field(description="a whole number: the seed of the draw")
    fractions: tuple[float, float] | None = Field(
        None, description="two shares, of validation and test; null: it was made in several steps"
    )
    held_out: tuple[str, ...] = Field((), description="a list of groups that were chosen for the test")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="64 hexadecimal digits: of which record is in which set")


_SPLIT = TypeAdapter(Split)


def save_split(split: Split, path: Path) -> Path:
    """Write a split as JSON, atomically."""
    recipe = split.recipe().model_dump(mode="json")
    content = {"schema_version": SCHEMA_VERSION, **recipe, "unseen": list(split.unseen), "records": _series(split)}
    return write_text(path, json_text(content, indent=1))


def load_split(path: Path, dataset: Dataset | None = None) -> Split:
    """Read a split, of any version; with ``dataset`` its records come in the order of the dataset.

    Raises :class:`DatasetError` naming the file if it cannot be read or is of a newer version.
    """
    try:
        content = read_json(path)
        version = content.pop("schema_version", 1)
        if version not in (1, SCHEMA_VERSION):
            raise DatasetError(f"{path}: has schema version {version!r:.20}, newer than 2", "update clusterml")
        stated = content.pop("sha256", None)
        split = _SPLIT.validate_python(content if version == 1 else _with_names(content))
    except (InputFileError, ValidationError, ValueError) as error:
        raise DatasetError(f"{path}: is not a split ({_reason(error)})", "make it again with dataset split") from error
    if stated not in (None, split.sha256):
        raise DatasetError(f"{path}: has changed since it was written (checksum)", "make it again with dataset split")
    return split if dataset is None else _in_order(split, dataset.ids)


def _in_order(split: Split, ids: Sequence[str]) -> Split:
    """The same with the records of each set as in ``ids``; those that are not there come last."""
    place = {name: number for number, name in enumerate(ids)}

    def ordered(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted(names, key=lambda name: place.get(name, len(place))))

    return replace(split, train=ordered(split.train), validation=ordered(split.validation), test=ordered(split.test))


def _series(split: Split) -> dict[str, str]:
    """The records as series of numbered names, see the module."""
    numbered: dict[tuple[str, int, str], dict[int, str]] = defaultdict(dict)
    rows: dict[str, str] = {}
    for part in SETS:
        for name in getattr(split, part):
            match = _NUMBERED.fullmatch(name)
            if match is None or len(match[2]) > 18:
                rows[name] = _LETTERS[part]
            else:
                numbered[match[1], len(match[2]), match[3]][int(match[2])] = _LETTERS[part]
    for (before, width, after), letters in numbered.items():
        for first, text in _runs(letters):
            rows[f"{before}{{{first:0{width}d}}}{after}"] = text
    return dict(sorted(rows.items()))


def _runs(letters: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    """First number and letters of runs without long gaps."""
    first, text = -1, ""
    for number in sorted(letters):
        gap = number - first - len(text)
        if text and gap <= _LONGEST_GAP:
            text += _NOBODY * gap + letters[number]
            continue
        if text:
            yield first, text
        first, text = number, letters[number]
    if text:
        yield first, text


def _with_names(content: dict[str, Any]) -> dict[str, Any]:
    """Content of version 2 with the names of each set in place of the series; raises ValueError."""
    records = content.pop("records", None)
    if not isinstance(records, dict):
        raise ValueError("records is missing")
    sets: dict[str, list[str]] = {letter: [] for letter in _LETTERS.values()}
    for key, letters in records.items():
        if not isinstance(letters, str) or not set(letters) <= {*sets, _NOBODY}:
            raise ValueError(f"records: {key[:80]} is {letters!r:.80}")
        match = _SERIES.fullmatch(key)
        if match is None and len(letters) != 1:
            raise ValueError(f"records: {key[:80]} has no number")
        for number, letter in enumerate(letters):
            name = f"{match[1]}{int(match[2]) + number:0{len(match[2])}d}{match[3]}" if match else key
            if letter != _NOBODY:
                sets[letter].append(name)
    return content | {part: sets[letter] for part, letter in _LETTERS.items()}


def _reason(error: InputFileError | ValueError) -> str:
    if isinstance(error, InputFileError):
        return error.problem
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors()[0]
    return f"{'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}"
