"""How the measures go with what a screen varies: amounts of distortions, numbers of exchanged ligands.

A trend is the mean of a measure over all valid candidates with one amount or number, whatever else is different about
them, for each parent and each kind of exchange.  Drawn amounts are gathered in bins.  Memory does not grow with the
number of candidates.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from clusterml.screening.board import unique
from clusterml.screening.measures import Value
from clusterml.screening.points import extremes, split_mode
from clusterml.screening.rows import rows_in
from clusterml.screening.space import Recipe, Space, exchange_of
from clusterml.screening.verification import Verification
from clusterml.spectrum.files import write_text
from clusterml.spectrum.log import Log
from clusterml.structure.distort.modes import MODES

K = TypeVar("K")

TRENDS = "trends.csv"
"""The file's name in the results folder."""
COLUMNS = ("coordinate", "unit", "parent", "series", "at", "line", "count", "mean", "spread", "std", "labels", "label")
EXCHANGED = "ligands exchanged"
"""The coordinate of exchanges; that of a distortion is the name of its mode."""
BINS = 25
"""Drawn amounts are gathered in so many bins between the lowest and the highest."""


class Series(NamedTuple):
    """Candidates of one ``parent`` that differ in one ``coordinate``; ``words``: which exchanges, or none."""

    coordinate: str
    unit: str
    parent: str
    words: str


@dataclass
class Sums:
    """Count, sum, sum of squares and sum of standard deviations of predictions; count and sum of labels."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    stds: float | None = 0.0
    labels: int = 0
    label_total: float = 0.0

    def add(self, value: Value) -> None:
        """Take in a prediction."""
        self.count += 1
        self.total += value.value
        self.squares += value.value**2
        self.stds = None if value.std is None or self.stds is None else self.stds + value.std

    @property
    def cells(self) -> list[str]:
        """Count, mean, spread and mean standard deviation of the predictions, count and mean of the labels."""
        mean = self.total / self.count
        spread = max(self.squares / self.count - mean**2, 0.0) ** 0.5
        std = "" if self.stds is None else f"{self.stds / self.count:.8g}"
        label = f"{self.label_total / self.labels:.8g}" if self.labels else ""
        return [str(self.count), f"{mean:.8g}", f"{spread:.8g}", std, str(self.labels), label]


@dataclass
class Trends:
    """Sums by series, place on its coordinate, and line of the screen (``names``)."""

    space: Space
    names: Sequence[str]
    _found: dict[Series, dict[float, list[Sums]]] = field(default_factory=lambda: defaultdict(dict))
    _shells: dict[tuple[str, str], list[Sums]] = field(default_factory=dict)

    def add(self, number: int, values: Sequence[Value]) -> None:
        """Take in the predicted values of candidate ``number``."""
        for sums in self._places(number):
            for each, value in zip(sums, values, strict=True):
                each.add(value)

    def add_label(self, number: int, values: Sequence[Value]) -> None:
        """Take in what the engine says of a candidate that has been added."""
        for sums in self._places(number):
            for each, value in zip(sums, values, strict=True):
                each.labels += 1
                each.label_total += value.value

    def rows(self) -> Iterator[list[str]]:
        """The lines of the file, with its columns."""
        for series, places in self._found.items():
            start = self._shells.get((series.parent, _before(series.words)))
            if series.coordinate == EXCHANGED and start is not None:
                places = {0.0: start, **places}
            if len(places) > 1:
                for at in sorted(places):
                    for name, sums in zip(self.names, places[at], strict=True):
                        yield [*series, f"{at:.8g}", name, *sums.cells]

    def _places(self, number: int) -> Iterator[list[Sums]]:
        """The sums that a candidate belongs to."""
        recipe = self.space.recipe(number)
        parent, steps = recipe.variant.name, self._words(recipe)
        yield self._sums(self._shells, (parent, ", ".join(steps)))
        if recipe.steps:
            words = [*steps[:-1], steps[-1].partition(" ")[2]]
            series = Series(EXCHANGED, "", parent, ", ".join(words))
            yield self._sums(self._found[series], float(recipe.steps[-1].count))
        for mode, at in self._amounts(recipe):
            series = Series(mode, MODES[split_mode(mode)[0]].unit, parent, ", ".join(steps))
            yield self._sums(self._found[series], at)

    def _sums(self, where: dict[K, list[Sums]], key: K) -> list[Sums]:
        return where.setdefault(key, [Sums() for _ in self.names])

    def _words(self, recipe: Recipe) -> list[str]:
        """Each exchange in words that begin with its count: ``3 SH to SCH3``."""
        screen = self.space.screen
        return [f"{step.count} {exchange_of(screen, step).old} to {step.new}" for step in recipe.steps]

    def _amounts(self, recipe: Recipe) -> Iterator[tuple[str, float]]:
        """The modes of a candidate and where it lies: the amount on a grid, else the middle of its bin."""
        if recipe.place is None:
            return
        block = self.space.screen.distortions[recipe.place.block]
        for mode, amount in recipe.amounts:
            if block.sampling != "grid":
                low, high = extremes(block, block.modes[mode])
                width = (high - low) / BINS
                amount = low + width * (min(int((amount - low) / width), BINS - 1) + 0.5) if width > 0.0 else low
            yield mode, amount


def write_trends(space: Space, names: Sequence[str], log: Log, found: Verification | None, folder: Path) -> Path:
    """Write the trends over all candidates in a screen's ``log``; raises :class:`~clusterml.errors.OutputError`."""
    trends = Trends(space, names)
    for row in rows_in(log):
        trends.add(row.number, row.values)
    for each in [] if found is None else unique([*found.best, *found.random]):
        label = found.found.get(each.row.number) if found is not None else None
        if label is not None and not label.problem:
            trends.add_label(each.row.number, label.values)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(trends.rows())
    return write_text(folder / TRENDS, text.getvalue())


def _before(words: str) -> str:
    """The exchanges before the last one of a series."""
    return words.rpartition(", ")[0]
