"""A trend read back from trends.csv, and what of it is linear."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np

from clusterml.screening.trends import Series
from clusterml.typing import FloatArray

LEAST = 5
"""Numbers below which nothing is said of a line through them."""


@dataclass(frozen=True)
class Linear:
    """A line through weighted points: its ``slope``, and the ``share`` of the variance that it explains."""

    slope: float
    share: float


@dataclass(frozen=True, eq=False)
class Trend:
    """A ``line`` of the screen along a series: arrays (places,) of where, how many candidates, mean, spread and mean
    standard deviation (0 where the network has none) of the predictions, how many labels and their mean (or NaN)."""

    series: Series
    line: str
    at: FloatArray
    count: FloatArray
    mean: FloatArray
    spread: FloatArray
    std: FloatArray
    labels: FloatArray
    label: FloatArray

    @property
    def predicted(self) -> Linear | None:
        """The line through all candidates."""
        return linear(self.at, self.mean, self.count, self.spread)

    @property
    def verified(self) -> Linear | None:
        """The line through the labels, of several at one place through their mean."""
        known = self.labels > 0
        return linear(self.at[known], self.label[known], self.labels[known], np.zeros(int(known.sum())))


def linear(x: FloatArray, mean: FloatArray, weight: FloatArray, spread: FloatArray) -> Linear | None:
    """The least-squares line through ``weight`` numbers at each ``x``, given by ``mean`` and ``spread``.

    None for fewer than five numbers and where all are at one place or all are equal.
    """
    total = weight.sum()
    if total < LEAST:
        return None
    dx, dy = x - (weight @ x) / total, mean - (weight @ mean) / total
    along, variance = weight @ dx**2, weight @ (dy**2 + spread**2)
    if along <= 0.0 or variance <= 0.0:
        return None
    slope = (weight @ (dx * dy)) / along
    return Linear(float(slope), float(slope**2 * along / variance))


def read_trends(text: str) -> list[Trend]:
    """The trends in the text of trends.csv; raises KeyError or ValueError for another one."""
    found: dict[tuple[Series, str], list[list[float]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        series = Series(row["coordinate"], row["unit"], row["parent"], row["series"])
        cells = [row["at"], row["count"], row["mean"], row["spread"], row["std"] or "0", row["labels"]]
        found.setdefault((series, row["line"]), []).append([*map(float, cells), float(row["label"] or "nan")])
    return [Trend(series, line, *np.array(rows).T) for (series, line), rows in found.items()]
