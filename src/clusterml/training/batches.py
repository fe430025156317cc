"""Which structures go into a batch: similar work in each, the same for any number of processes.

A batch is planned for all processes together and then divided among them, so that n processes with batches of b edges
take the same steps as one process with batches of n b edges.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np


def plan(
    sizes: Sequence[int], edges: int, structures: int, *, processes: int = 1, order: Sequence[int] | None = None
) -> list[list[int]]:
    """Batches of positions in ``sizes`` (edges of each graph), each position in one batch.

    A batch holds at most ``edges`` edges and ``structures`` structures for each of ``processes``; a larger graph is a
    batch of its own.  Positions are taken in ``order`` (default: as they stand).
    """
    made: list[list[int]] = []
    load = 0
    for position in range(len(sizes)) if order is None else order:
        full = not made or load + sizes[position] > edges * processes or len(made[-1]) >= structures * processes
        if full:
            made.append([])
            load = 0
        made[-1].append(position)
        load += sizes[position]
    return made


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """The order of ``count`` structures in an epoch; the same for the same ``seed`` and ``epoch``."""
    return [int(position) for position in np.random.default_rng([seed, 2, epoch]).permutation(count)]


def share(batch: Sequence[int], sizes: Sequence[int], processes: int, rank: int) -> list[int]:
    """The part of ``batch`` that process ``rank`` works on: the largest graphs first, each to who has least to do."""
    if processes == 1:
        return list(batch)
    loads = [(0, process) for process in range(processes)]
    mine = []
    for position in sorted(batch, key=lambda p: (-sizes[p], p)):
        load, process = heapq.heappop(loads)
        heapq.heappush(loads, (load + sizes[position], process))
        if process == rank:
            mine.append(position)
    return mine
