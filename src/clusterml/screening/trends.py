"""How the measures go with what a screen varies, written and read back.

A trend is the mean of a measure over all valid candidates with one amount or number, whatever else is different about
them, for each parent and each kind of exchange.  Drawn amounts are gathered in bins.  Memory grows with the number of
different ligand shells, not with that of candidates.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from clusterml.io.files import write_text
from clusterml.io.log import Log
from clusterml.screening.board import rows_in
from clusterml.screening.measures.measure import Value
from clusterml.screening.space import Recipe, Space, exchange_of, extremes, split_mode
from clusterml.screening.verification import Verification
from clusterml.structure.distort.modes import MODES
from clusterml.typing import FloatArray

K = TypeVar("K")

TRENDS = "trends.csv"
"""The file's name in the results folder."""
_NUMBERS = ("count", "mean", "spread", "std", "labels", "label", "label_spread", "best_labels", "best_label")
COLUMNS = ("coordinate", "unit", "parent", "series", "at", "line", *_NUMBERS)
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


class Key(NamedTuple):
    """A series as it is gathered: which exchange of which ``shell`` of the screen varies (-1: none), and all
    ``others`` in words."""

    series: Series
    shell: int
    others: str


@dataclass
class Moments:
    """Count, mean, and sum of squares about the mean (Welford's recurrence: no cancellation)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Take in a number."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    @property
    def cells(self) -> list[str]:
        """Count, mean and standard deviation between the numbers; empty where there is none."""
        if not self.count:
            return ["0", "", ""]
        return [str(self.count), f"{self.mean:.8g}", f"{(self.squares / self.count) ** 0.5:.8g}"]


@dataclass
class Sums:
    """Predictions and their standard deviations; labels of random candidates, and of the best."""

    predicted: Moments = field(default_factory=Moments)
    stds: Moments = field(default_factory=Moments)
    random: Moments = field(default_factory=Moments)
    best: Moments = field(default_factory=Moments)

    def add(self, value: Value) -> None:
        """Take in a prediction."""
        self.predicted.add(value.value)
        if value.std is not None:
            self.stds.add(value.std)

    @property
    def cells(self) -> list[str]:
        """The columns from ``count`` on."""
        return [*self.predicted.cells, self.stds.cells[1], *self.random.cells, *self.best.cells[:2]]


@dataclass
class Trends:
    """Sums by series, place on its coordinate, and line of the screen (``names``)."""

    space: Space
    names: Sequence[str]
    _found: dict[Key, dict[float, list[Sums]]] = field(default_factory=lambda: defaultdict(dict))
    _first: dict[Key, int] = field(default_factory=dict)
    _shells: dict[tuple[str, str], list[Sums]] = field(default_factory=dict)

    def add(self, number: int, values: Sequence[Value]) -> None:
        """Take in the predicted values of candidate ``number``."""
        for sums in self._places(number):
            for each, value in zip(sums, values, strict=True):
                each.add(value)

    def add_label(self, number: int, values: Sequence[Value], *, best: bool) -> None:
        """Take in what the engine says of a candidate that was chosen as one of the ``best``, or at random."""
        for sums in self._places(number):
            for each, value in zip(sums, values, strict=True):
                (each.best if best else each.random).add(value.value)

    def rows(self) -> Iterator[list[str]]:
        """The lines of the file, with its columns; their order does not depend on that of the candidates."""
        seen = Counter(key.series for key in self._found)
        for key in sorted(self._found, key=lambda key: self._first[key]):
            series, places = key.series, self._found[key]
            start = self._shells.get((series.parent, key.others))
            if key.shell >= 0 and start is not None:
                places = {0.0: start, **places}
            if seen[series] > 1:
                series = series._replace(words=f"{series.words} (shell {key.shell + 1})")
            if len(places) > 1:
                for at in sorted(places):
                    for name, sums in zip(self.names, places[at], strict=True):
                        yield [*series, f"{at:.8g}", name, *sums.cells]

    def _places(self, number: int) -> Iterator[list[Sums]]:
        """The sums that a candidate belongs to."""
        recipe = self.space.recipe(number)
        parent, steps = recipe.variant.name, self._words(recipe)
        yield self._sums(self._shells, (parent, ", ".join(steps)))
        for which, step in enumerate(recipe.steps):
            before, after = steps[:which], steps[which + 1 :]
            words = ", ".join([*before, steps[which].partition(" ")[2], *after])
            key = Key(Series(EXCHANGED, "", parent, words), step.shell, ", ".join([*before, *after]))
            yield self._at(key, float(step.count), number)
        for mode, at in self._amounts(recipe):
            series = Series(mode, MODES[split_mode(mode)[0]].unit, parent, ", ".join(steps))
            yield self._at(Key(series, -1, ""), at, number)

    def _at(self, key: Key, at: float, number: int) -> list[Sums]:
        self._first[key] = min(number, self._first.get(key, number))
        return self._sums(self._found[key], at)

    def _sums(self, where: dict[K, list[Sums]], key: K) -> list[Sums]:
        if key not in where:
            where[key] = [Sums() for _ in self.names]
        return where[key]

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
    if found is not None:
        for part, best in ((found.random, False), (found.best, True)):
            for entry, label in found.labels(part):
                trends.add_label(entry.row.number, label.values, best=best)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(trends.rows())
    return write_text(folder / TRENDS, text.getvalue())


LEAST, LEAST_PLACES = 5, 3
"""Numbers, and places that they stand at, below which nothing is said of a line through them."""


@dataclass(frozen=True)
class Linear:
    """A line through weighted points: its ``slope``, and the ``share`` of the variance that it explains."""

    slope: float
    share: float


@dataclass(frozen=True, eq=False)
class Trend:
    """A ``line`` of the screen along a series: the columns of trends.csv as arrays (places,), NaN where empty."""

    series: Series
    line: str
    at: FloatArray
    count: FloatArray
    mean: FloatArray
    spread: FloatArray
    std: FloatArray
    labels: FloatArray
    label: FloatArray
    label_spread: FloatArray
    best_labels: FloatArray
    best_label: FloatArray

    @property
    def predicted(self) -> Linear | None:
        """The line through all candidates."""
        return linear(self.at, self.mean, self.count, self.spread)

    @property
    def verified(self) -> Linear | None:
        """The line through the labels of random candidates."""
        known = self.labels > 0
        return linear(self.at[known], self.label[known], self.labels[known], self.label_spread[known])

    @property
    def band(self) -> FloatArray:
        """The spread between candidates; their uncertainty (or 0) where there is one candidate at each place."""
        return self.spread if np.any(self.count > 1) else np.nan_to_num(self.std)


def linear(x: FloatArray, mean: FloatArray, weight: FloatArray, spread: FloatArray) -> Linear | None:
    """The least-squares line through ``weight`` numbers at each ``x``, given by ``mean`` and ``spread``.

    None for fewer than five numbers or three places, and where all numbers are equal.
    """
    total = weight.sum()
    if total < LEAST or len(x) < LEAST_PLACES:
        return None
    dx, dy = x - (weight @ x) / total, mean - (weight @ mean) / total
    along, variance = weight @ dx**2, weight @ (dy**2 + spread**2)
    if variance <= 0.0:
        return None
    slope = (weight @ (dx * dy)) / along
    return Linear(float(slope), float(slope**2 * along / variance))


def read_trends(text: str) -> list[Trend]:
    """The trends in the text of trends.csv; raises KeyError, TypeError or ValueError for another one."""
    found: dict[tuple[Series, str], list[list[float]]] = {}
    numbers = ("at", *COLUMNS[COLUMNS.index("count") :])
    for row in csv.DictReader(io.StringIO(text)):
        series = Series(row["coordinate"], row["unit"], row["parent"], row["series"])
        cells = [float(row[name] or "nan") for name in numbers]
        found.setdefault((series, row["line"]), []).append(cells)
    return [Trend(series, line, *np.array(rows).T) for (series, line), rows in found.items()]
