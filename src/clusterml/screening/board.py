"""What a screen remembers while it runs, whatever its size: the best candidates, the Pareto front, a random sample."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeVar

from clusterml.screening.merit import Merit, Standing
from clusterml.screening.rows import Block, Drops, Row, different

T = TypeVar("T", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Entry:
    """A candidate with its standing."""

    row: Row
    standing: Standing

    @property
    def key(self) -> tuple[bool, float, int]:
        """What to sort by, largest first: feasible, then the score, then the lower number."""
        return (*self.standing.order, -self.row.number)


@dataclass
class Board:
    """The best ``keep``, at most ``front`` members of the Pareto front, and ``sample`` candidates drawn at random.

    None of them depends on the order in which blocks arrive, except for a front that had to be cut
    (``front_cut``): then those with the highest scores stay.
    """

    merit: Merit
    seed: int
    keep: int
    most_front: int
    sample: int
    evaluated: int = 0
    valid: int = 0
    feasible: int = 0
    out_of_domain: int = 0
    front_cut: bool = False
    drops: Drops = field(default_factory=Drops)
    seconds: dict[str, float] = field(default_factory=dict)
    _best: list[tuple[tuple[bool, float, int], Entry]] = field(default_factory=list)
    _drawn: list[tuple[int, int, Entry]] = field(default_factory=list)
    _front: list[Entry] = field(default_factory=list)

    def add(self, block: Block) -> None:
        """Take in a block."""
        self.evaluated += block.stop - block.start
        self.drops.merge(block.drops)
        for key, value in block.seconds.items():
            self.seconds[key] = self.seconds.get(key, 0.0) + value
        for row in block.rows:
            self._take(row)

    @property
    def ranked(self) -> list[Entry]:
        """The best ones, the best first."""
        return [entry for _, entry in sorted(self._best, key=lambda pair: pair[0], reverse=True)]

    def different(self, most: int) -> list[Entry]:
        """The best ``most`` of different geometries, see :func:`~clusterml.screening.rows.different`."""
        ranked = self.ranked
        chosen = {row.number for row in different((entry.row for entry in ranked), most)}
        return [entry for entry in ranked if entry.row.number in chosen]

    @property
    def front(self) -> list[Entry]:
        """The Pareto front of the objectives' merits, the best score first."""
        return sorted(self._front, key=lambda entry: entry.key, reverse=True)

    @property
    def random(self) -> list[Entry]:
        """Candidates drawn at random from all valid ones, by their numbers."""
        return sorted((entry for _, _, entry in self._drawn), key=lambda entry: entry.row.number)

    @property
    def members(self) -> list[Entry]:
        """The best ones, then those of the front that are not among them."""
        return unique([*self.ranked, *self.front])

    def _take(self, row: Row) -> None:
        entry = Entry(row, self.merit.standing(row.values))
        self.valid += 1
        self.out_of_domain += row.in_domain is False
        _push(self._best, (entry.key, entry), self.keep)
        if self.sample:
            _push(self._drawn, (-_lot(self.seed, row.number), row.number, entry), self.sample)
        if not entry.standing.violated:
            self.feasible += 1
            self._onto_front(entry)

    def _onto_front(self, entry: Entry) -> None:
        merits = entry.standing.merits
        if any(_beats(other.standing.merits, merits) for other in self._front):
            return
        self._front = [other for other in self._front if not _beats(merits, other.standing.merits)]
        self._front.append(entry)
        if len(self._front) > self.most_front:
            self.front_cut = True
            self._front.remove(min(self._front, key=lambda other: other.key))


def unique(entries: Iterable[Entry]) -> list[Entry]:
    """Each candidate once, in the order of its first appearance."""
    found: dict[int, Entry] = {}
    for entry in entries:
        found.setdefault(entry.row.number, entry)
    return list(found.values())


def _push(heap: list[T], item: T, most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Is ``one`` nowhere worse, and somewhere better?"""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def _lot(seed: int, number: int) -> int:
    """A random whole number of a candidate, the same in every run."""
    return int.from_bytes(blake2b(f"{seed}/{number}".encode(), digest_size=8).digest())
