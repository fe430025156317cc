"""Which records are the same cluster in the same geometry, so that they never stand on two sides of a split.

Mirror images, labels of one geometry with several protocols, and thermal averages about one mean geometry are such.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from clusterml.dataset.reader import Dataset
from clusterml.typing import FloatArray

SAME_A = 1e-3
"""Geometries whose atoms stand at the same distances from their centroid, to this many A, are the same or mirrored."""


def together(dataset: Dataset) -> list[str]:
    """For each record the name of the first record that it must stay with (its own where there is none before it).

    These are the records of the same ``pair``, and those of the same geometry up to rotation and reflection.
    """
    homes = list(range(len(dataset)))
    seen_pair: dict[str, int] = {}
    of_kind: dict[bytes, list[int]] = defaultdict(list)
    distances: list[FloatArray] = []
    for index, record in enumerate(dataset):
        _unite(homes, index, seen_pair.setdefault(record.pair, index))
        order = np.lexsort((_radii(record.positions), record.numbers))
        distances.append(_radii(record.positions)[order])
        of_kind[record.numbers[order].tobytes() + str(record.charge).encode()].append(index)
    for members in of_kind.values():
        ordered = sorted(members, key=lambda index: float(distances[index].sum()))
        for position, index in enumerate(ordered):
            for other in ordered[position + 1 :]:
                apart = distances[other] - distances[index]
                if apart.sum() > SAME_A * len(apart):
                    break  # and so are all that follow
                if np.abs(apart).max() <= SAME_A:
                    _unite(homes, index, other)
    return [dataset.ids[_home(homes, index)] for index in range(len(dataset))]


def _radii(positions: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(positions - positions.mean(axis=0), axis=1))


def _home(homes: list[int], index: int) -> int:
    while homes[index] != index:
        index = homes[index]
    return index


def _unite(homes: list[int], one: int, other: int) -> None:
    """Give both the earlier of their homes."""
    first, second = sorted((_home(homes, one), _home(homes, other)))
    homes[second] = first
