"""Trends of the measures with what a screen varies, written and read back.

A trend is the mean of a measure over all valid candidates with the same amount or number, whatever else differs, for
each parent and each kind of exchange.  Random amounts are gathered in bins.  Memory grows with the number of
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
"""Number of bins for random amounts, between the lowest and the highest."""


class Series(NamedTuple):
    """Candidates of one ``parent`` that differ in one ``coordinate``; ``words`` describe the exchanges, if any."""

    coordinate: str
    unit: str
    parent: str
    words: str


class SeriesKey(NamedTuple):
    """A series while it is gathered: the ``shell`` of the screen in which an exchange varies (-1: none), and all
    ``other_exchanges`` in words."""

    series: Series
    shell: int
    other_exchanges: str


@dataclass
class RunningMoments:
    """Count, mean, and sum of squares about the mean (Welford's recurrence: no cancellation)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Add a number."""
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
class TrendSums:
    """Predictions and their standard deviations; labels of random candidates, and of the best."""

    predicted: RunningMoments = field(default_factory=RunningMoments)
    stds: RunningMoments = field(default_factory=RunningMoments)
    random: RunningMoments = field(default_factory=RunningMoments)
    best: RunningMoments = field(default_factory=RunningMoments)

    def add(self, value: Value) -> None:
        """Add a prediction."""
        self.predicted.add(value.value)
        if value.std is not None:
            self.stds.add(value.std)

    @property
    def cells(self) -> list[str]:
        """The columns of trends.csv from ``count`` on."""
        return [*self.predicted.cells, self.stds.cells[1], *self.random.cells, *self.best.cells[:2]]


@dataclass
class Trends:
    """Sums by series, place on its coordinate, and line of the screen (``names``)."""

    space: Space
    names: Sequence[str]
    _by_series: dict[SeriesKey, dict[float, list[TrendSums]]] = field(default_factory=lambda: defaultdict(dict))
    _first: dict[SeriesKey, int] = field(default_factory=dict)
    _shells: dict[tuple[str, str], list[TrendSums]] = field(default_factory=dict)

    def add(self, number: int, values: Sequence[Value]) -> None:
        """Add the predicted values of candidate ``number``."""
        for sums in self._places(number):
            for entry, value in zip(sums, values, strict=True):
                entry.add(value)

    def add_label(self, number: int, values: Sequence[Value], *, best: bool) -> None:
        """Add the label of a candidate that was chosen as one of the ``best``, or at random."""
        for sums in self._places(number):
            for entry, value in zip(sums, values, strict=True):
                (entry.best if best else entry.random).add(value.value)

    def rows(self) -> Iterator[list[str]]:
        """The lines of the file, with its columns; their order does not depend on that of the candidates."""
        repeats = Counter(key.series for key in self._by_series)
        for key in sorted(self._by_series, key=lambda key: self._first[key]):
            series, places = key.series, self._by_series[key]
            start = self._shells.get((series.parent, key.other_exchanges))
            if key.shell >= 0 and start is not None:
                places = {0.0: start, **places}
            if repeats[series] > 1:
                series = series._replace(words=f"{series.words} (shell {key.shell + 1})")
            if len(places) > 1:
                for at in sorted(places):
                    for name, sums in zip(self.names, places[at], strict=True):
                        yield [*series, f"{at:.8g}", name, *sums.cells]

    def _places(self, number: int) -> Iterator[list[TrendSums]]:
        """The sums that a candidate belongs to."""
        recipe = self.space.recipe(number)
        parent, steps = recipe.variant.name, self._words(recipe)
        yield self._sums(self._shells, (parent, ", ".join(steps)))
        for which, step in enumerate(recipe.steps):
            before, after = steps[:which], steps[which + 1 :]
            words = ", ".join([*before, steps[which].partition(" ")[2], *after])
            key = SeriesKey(Series(EXCHANGED, "", parent, words), step.shell, ", ".join([*before, *after]))
            yield self._at(key, float(step.count), number)
        for mode, at in self._amounts(recipe):
            series = Series(mode, MODES[split_mode(mode)[0]].unit, parent, ", ".join(steps))
            yield self._at(SeriesKey(series, -1, ""), at, number)

    def _at(self, key: SeriesKey, at: float, number: int) -> list[TrendSums]:
        self._first[key] = min(number, self._first.get(key, number))
        return self._sums(self._by_series[key], at)

    def _sums(self, table: dict[K, list[TrendSums]], key: K) -> list[TrendSums]:
        if key not in table:
            table[key] = [TrendSums() for _ in self.names]
        return table[key]

    def _words(self, recipe: Recipe) -> list[str]:
        """Each exchange in words, beginning with its count: ``3 SH to SCH3``."""
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


def write_trends(space: Space, names: Sequence[str], log: Log, verification: Verification | None, folder: Path) -> Path:
    """Write the trends over all candidates in a screen's ``log``; raises :class:`~clusterml.errors.OutputError`."""
    trends = Trends(space, names)
    for row in rows_in(log):
        trends.add(row.number, row.values)
    if verification is not None:
        for part, best in ((verification.random, False), (verification.best, True)):
            for entry, label in verification.labels(part):
                trends.add_label(entry.row.number, label.values, best=best)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(trends.rows())
    return write_text(folder / TRENDS, text.getvalue())


LEAST, LEAST_PLACES = 5, 3
"""Fewest numbers, and fewest different places, for a line through them."""


@dataclass(frozen=True)
class LinearTrend:
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
    def predicted(self) -> LinearTrend | None:
        """The line through all candidates."""
        return fit_line(self.at, self.mean, self.count, self.spread)

    @property
    def verified(self) -> LinearTrend | None:
        """The line through the labels of random candidates."""
        has_label = self.labels > 0
        return fit_line(self.at[has_label], self.label[has_label], self.labels[has_label], self.label_spread[has_label])

    @property
    def band(self) -> FloatArray:
        """The spread between candidates; their uncertainty (or 0) where there is one candidate at each place."""
        return self.spread if np.any(self.count > 1) else np.nan_to_num(self.std)


def fit_line(x: FloatArray, mean: FloatArray, weight: FloatArray, spread: FloatArray) -> LinearTrend | None:
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
    return LinearTrend(float(slope), float(slope**2 * along / variance))


def read_trends(text: str) -> list[Trend]:
    """The trends in the text of trends.csv; raises KeyError, TypeError or ValueError for any other text."""
    tables: dict[tuple[Series, str], list[list[float]]] = {}
    numbers = ("at", *COLUMNS[COLUMNS.index("count") :])
    for row in csv.DictReader(io.StringIO(text)):
        series = Series(row["coordinate"], row["unit"], row["parent"], row["series"])
        cells = [float(row[name] or "nan") for name in numbers]
        tables.setdefault((series, row["line"]), []).append(cells)
    return [Trend(series, line, *np.array(rows).T) for (series, line), rows in tables.items()]
