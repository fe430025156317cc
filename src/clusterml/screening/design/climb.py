"""Steepest ascent that never goes down: steps are shortened until the score rises, and lengthened again after that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from clusterml.screening.design.aim import Judged
from clusterml.typing import FloatArray

TRIES = 10
"""A step is tried so often, each time half as long, before the climb is over."""
LEAST_GAIN = 1e-4
"""The climb is over when a step gains less than this share of the largest gain."""

Try = Callable[[FloatArray], Judged | None]
"""Coordinates (k,) -> what is there, or None where nothing can be."""
Direction = Callable[[FloatArray, Judged], FloatArray]
"""Coordinates (k,) and what is there -> where to go from there (k,)."""


def climb(
    start: tuple[FloatArray, Judged], direction: Direction, look: Try, steps: int, reach: float, bound: float = np.inf
) -> Iterator[tuple[FloatArray, Judged]]:
    """At most ``steps`` points, each higher than the one before, no coordinate changing by more than ``reach``.

    Coordinates stay between ``-bound`` and ``bound``.  No point violates more constraints than the one before.
    """
    (where, here), length, largest = start, reach, 0.0
    for _ in range(steps):
        way = direction(where, here)
        size = float(np.abs(way).max(initial=0.0))
        if not (np.isfinite(size) and size > 0.0):
            return
        found: Judged | None = None
        for _ in range(TRIES):
            there = np.clip(where + (length / size) * way, -bound, bound)
            found = look(there)
            if found is not None and found.score > here.score and len(found.violated) <= len(here.violated):
                break
            found, length = None, 0.5 * length
        if found is None:
            return
        gain = found.score - here.score
        yield there, found
        where, here, length, largest = there, found, min(2.0 * length, reach), max(largest, gain)
        if gain < LEAST_GAIN * largest:
            return
