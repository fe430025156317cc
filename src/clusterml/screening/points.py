"""Amounts of distortions: the points of a grid, independent random points, or a Sobol sequence, each by its number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from clusterml.screening.config import Distortion, Screen
from clusterml.screening.quantities import parse_range
from clusterml.structure.distort.modes import NORMAL_MODE
from clusterml.typing import FloatArray

_RANDOM, _SOBOL = 2, 3  # of the random draws, see clusterml.screening.space
_SOBOL_BLOCK = 1024


@dataclass(frozen=True)
class Place:
    """Point ``point`` of the set of distortions ``block`` of a screen."""

    block: int
    point: int


def number_of_points(block: Distortion) -> int:
    """How many points a set of distortions has."""
    if block.points is not None:
        return block.points
    return math.prod(len(grid(amounts)) for amounts in block.modes.values())


def grid(amounts: float | str | list[float]) -> tuple[float, ...]:
    """The amounts of a mode on a grid."""
    return _grid(amounts if isinstance(amounts, float | int | str) else tuple(amounts))


@lru_cache(maxsize=64)
def _grid(amounts: float | str | tuple[float, ...]) -> tuple[float, ...]:
    if isinstance(amounts, str):
        return parse_range(amounts).values()
    return amounts if isinstance(amounts, tuple) else (float(amounts),)


def extremes(block: Distortion, amounts: float | str | list[float]) -> tuple[float, ...]:
    """Amounts of a mode among which are the lowest and the highest one."""
    if block.sampling == "grid":
        return grid(amounts)
    found = parse_range(str(amounts))
    return found.low, found.high


def amounts_at(screen: Screen, place: Place, before: tuple[int, ...]) -> tuple[tuple[str, float], ...]:
    """Mode -> amount at a point.  ``before``: the candidate's parent, shell and snapshot, for independent draws."""
    block = screen.distortions[place.block]
    if block.sampling == "grid":
        return _on_grid(block, place.point)
    if block.sampling == "random":
        rng = np.random.default_rng([screen.seed, _RANDOM, place.block, *before, place.point])
        shares = rng.random(len(block.modes))
    else:
        start, row = divmod(place.point, _SOBOL_BLOCK)
        shares = _sobol(screen.seed, place.block, len(block.modes), start)[row]
    return tuple(
        (mode, _between(amounts, float(u))) for (mode, amounts), u in zip(block.modes.items(), shares, strict=True)
    )


def split_mode(mode: str) -> tuple[str, int]:
    """Name and index of a mode as a screen writes it: ``normal-mode 3``; the index is 1 for all others."""
    name, _, index = mode.partition(" ")
    return (name, int(index)) if name == NORMAL_MODE and index.strip().isdigit() else (mode, 1)


def _on_grid(block: Distortion, point: int) -> tuple[tuple[str, float], ...]:
    chosen = []
    for mode, amounts in reversed(block.modes.items()):
        values = grid(amounts)
        point, which = divmod(point, len(values))
        chosen.append((mode, values[which]))
    return tuple(reversed(chosen))


def _between(amounts: float | str | list[float], share: float) -> float:
    found = parse_range(str(amounts))
    return round(found.low + share * (found.high - found.low), 6)


@lru_cache(maxsize=8)
def _sobol(seed: int, block: int, dimensions: int, start: int) -> FloatArray:
    """Points ``start * 1024`` onwards of a scrambled Sobol sequence in the unit cube: (1024, dimensions)."""
    from scipy.stats import qmc

    sequence = qmc.Sobol(dimensions, seed=np.random.default_rng([seed, _SOBOL, block]))
    if start:
        sequence.fast_forward(start * _SOBOL_BLOCK)
    return np.asarray(sequence.random(_SOBOL_BLOCK))
