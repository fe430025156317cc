"""A trend read back from trends.csv, and what of it is linear."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np

from clusterml.screening.trends import COLUMNS, Series
from clusterml.typing import FloatArray

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
