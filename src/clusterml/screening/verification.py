"""Verification: the engine labels the best candidates and a random sample, and predictions are held against it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.dataset.launch import Launcher, Lost
from clusterml.screening.agreement import Pairs, statistics
from clusterml.screening.bench import Setting
from clusterml.screening.board import Board, Entry, unique
from clusterml.screening.config import Screen
from clusterml.screening.labels import LabelTask, Verified, label_one
from clusterml.screening.merit import Merit, Standing
from clusterml.screening.names import ScreeningError
from clusterml.screening.source import Source
from clusterml.spectrum.files import make_folder
from clusterml.spectrum.log import Log

LABELS = "verified.jsonl"
"""One line for each label."""
FOLDER = "verified"
"""Spectra of the engine, as JSON."""

Tell = Callable[[int, int, int, float], None]
"""Is told of labels done, of how many, done in this run, and its seconds."""


@dataclass(frozen=True)
class Verification:
    """The ``best`` and the ``random`` candidates that were chosen, and what the engine says by number."""

    screen: Screen
    merit: Merit
    best: tuple[Entry, ...]
    random: tuple[Entry, ...]
    found: dict[int, Verified]

    @property
    def failed(self) -> dict[int, str]:
        """Number -> why the engine has no label."""
        return {number: each.problem for number, each in self.found.items() if each.problem}

    @property
    def seconds_per_label(self) -> float | None:
        """Mean seconds of a label; None without any."""
        seconds = [each.seconds for each in self.found.values() if not each.problem]
        return float(np.mean(seconds)) if seconds else None

    def statistics(self) -> dict[str, Any]:
        """See :func:`clusterml.screening.agreement.statistics`."""
        parts = [[entry for entry, _ in self.labels(part)] for part in (self.best, self.random)]
        lines = {name: _two(self._values(part, at) for part in parts) for at, name in enumerate(self.merit.names)}
        expected = _two(self._scores(part, self._expected) for part in parts)
        ranked = _two(self._scores(part, _ranked_by) for part in parts)
        return statistics(lines, expected, ranked, self.screen.hit_share)

    def to_dict(self) -> dict[str, Any]:
        """The content of verified.json: every label beside its prediction, and the statistics."""
        return {
            "engine": self.screen.engine.model_dump(),
            "best": [self._described(entry) for entry in self.best],
            "random": [self._described(entry) for entry in self.random],
            "failed": len(self.failed),
            "seconds_per_label": self.seconds_per_label,
            "statistics": self.statistics(),
        }

    def labels(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Verified]]:
        """Those ``entries`` that have a label, with it."""
        for entry in entries:
            label = self.found.get(entry.row.number)
            if label is not None and not label.problem:
                yield entry, label

    def _values(self, entries: Sequence[Entry], at: int) -> Pairs:
        predicted = np.array([entry.row.values[at].value for entry in entries])
        return Pairs(predicted, np.array([self.found[entry.row.number].values[at].value for entry in entries]))

    def _scores(self, entries: Sequence[Entry], predicted: Callable[[Entry], float]) -> Pairs:
        verified = [self._label_standing(entry).score for entry in entries]
        return Pairs(np.array([predicted(entry) for entry in entries]), np.array(verified))

    def _expected(self, entry: Entry) -> float:
        """The score of the predicted values as they are, without optimism or pessimism."""
        return self.merit.standing(entry.row.values, certain=True).score

    def _label_standing(self, entry: Entry) -> Standing:
        return self.merit.standing(self.found[entry.row.number].values, certain=True)

    def _described(self, entry: Entry) -> dict[str, Any]:
        row, label = entry.row, self.found.get(entry.row.number)
        described: dict[str, Any] = {
            "number": row.number,
            "name": row.name,
            "in_domain": row.in_domain,
            "predicted": _by_name(self.merit.names, row.values) | {"score": self._expected(entry)},
            "ranked_by": _ranked_by(entry),
            "predicted_std": {name: v.std for name, v in zip(self.merit.names, row.values, strict=True)},
            "verified": None,
            "problem": "not labelled yet" if label is None else label.problem,
        }
        if label is not None and not label.problem:
            standing = self._label_standing(entry)
            described["verified"] = _by_name(self.merit.names, label.values) | {"score": standing.score}
            described |= {"violated": standing.violated, "seconds": label.seconds, "warnings": label.warnings}
        return described


def labels_of(folder: Path) -> Path:
    """Where the labels of the screen in ``folder`` are. Raises :class:`ScreeningError` if it has none."""
    place = folder / FOLDER
    if not place.is_dir():
        raise ScreeningError(f"{folder}: holds no labels", f"give the results of a screen, with a folder '{FOLDER}'")
    return place.resolve()


def verify(
    setting: Setting,
    board: Board,
    source: Source,
    folder: Path,
    launcher: Launcher,
    screen: Screen,
    tell: Tell,
    known: Path | None = None,
) -> Verification | None:
    """Label the best ``screen.verify`` and all random candidates of the ``board``; None if none are wanted.

    The best ones are different geometries; random ones are as drawn.

    Labels that are in the ``folder`` already are not made again, nor those of the same geometries in ``known``.
    """
    best, random = tuple(board.different(screen.verify)), tuple(board.random[: screen.verify_random])
    if not best and not random:
        return None
    log = Log(folder / LABELS)
    found = {label.number: label for label in map(partial(_read, log), log) if not label.problem}  # failed: once more
    chosen = unique([*best, *random])
    todo = [entry for entry in chosen if entry.row.number not in found]
    place = make_folder(folder / FOLDER, within=folder).resolve()
    start, before = time.perf_counter(), len(chosen) - len(todo)
    work = partial(label_one, setting, place, known=known)
    for done, (task, label) in enumerate(launcher.run(work, _tasks(todo, source)), 1):
        if isinstance(label, Lost):
            label = Verified(task.number, (), 0.0, 0.0, problem=label.reason)  # tried again on --resume
        else:
            log.add(label.to_dict())
        found[task.number] = label
        tell(before + done, len(chosen), done, time.perf_counter() - start)
    return Verification(screen, board.merit, best, random, found)


def _tasks(entries: Sequence[Entry], source: Source) -> Iterator[LabelTask]:
    for entry in entries:
        atoms = source.geometry(entry.row.number)
        atoms.info["name"] = entry.row.name
        yield LabelTask(entry.row.number, atoms, entry.row.charge)


def _read(log: Log, entry: dict[str, Any]) -> Verified:
    try:
        return Verified.from_dict(entry)
    except (KeyError, TypeError, ValueError) as error:
        raise ScreeningError(f"{log.path}: holds no labels of this version", "choose another folder") from error


def _ranked_by(entry: Entry) -> float:
    return entry.standing.score


def _by_name(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {name: value.value for name, value in zip(names, values, strict=True)}


def _two(pairs: Iterator[Pairs]) -> tuple[Pairs, Pairs]:
    best, random = pairs
    return best, random
