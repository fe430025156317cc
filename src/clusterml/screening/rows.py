"""What is kept of every candidate, and of a block of them: one line of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any

from clusterml.screening.making import Dropped
from clusterml.screening.measures.measure import Value

_ALIKE = 1e-4
"""Numbers of one geometry, built twice, agree to this share and better."""


@dataclass(frozen=True)
class Row:
    """A valid candidate: its ``number``, ``name``, ``values`` by line of the screen, and what the network says of it.

    ``sites``: of each exchange, the sites that were used.  ``in_domain`` is None where the network does not know.
    ``sign``: how sure the sign of the strongest CD is, in the words of :mod:`clusterml.spectrum.significance`.
    """

    number: int
    name: str
    values: tuple[Value, ...]
    charge: int
    gap_ev: float
    in_domain: bool | None
    domain_score: float | None
    sites: tuple[tuple[int, ...], ...] = ()
    sign: str = ""

    def alike(self, other: Row) -> bool:
        """Are these one geometry, turned or mirrored? What the network says of it is the same but for signs."""
        return self.charge == other.charge and all(map(_alike, self._numbers(), other._numbers()))

    def to_list(self) -> list[Any]:
        """Plain values for the log."""
        pairs = [[value.value, value.std] for value in self.values]
        rest = (self.charge, self.gap_ev, self.in_domain, self.domain_score, [list(each) for each in self.sites])
        return [self.number, self.name, pairs, *rest, self.sign]

    def _numbers(self) -> Iterator[float | None]:
        yield self.gap_ev
        yield self.domain_score
        for value in self.values:
            yield value.value
            yield value.std

    @classmethod
    def from_list(cls, given: Sequence[Any]) -> Row:
        """What :meth:`to_list` gave; raises TypeError or ValueError for anything else."""
        number, name, pairs, charge, gap, inside, score, sites, *sign = given  # the sign is not in older logs
        values = tuple(Value(float(value), None if std is None else float(std)) for value, std in pairs)
        places = tuple(tuple(int(site) for site in each) for each in sites)
        return cls(int(number), str(name), values, int(charge), float(gap), inside, score, places, *map(str, sign[:1]))


def _alike(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return isclose(abs(a), abs(b), rel_tol=_ALIKE)


@dataclass
class Drops:
    """Candidates that do not exist, by reason, each with an example."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, dropped: Dropped) -> None:
        """Count one."""
        self.counts[dropped.reason] += 1
        self.examples.setdefault(dropped.reason, dropped.example)

    def merge(self, other: Drops) -> None:
        """Count those of another block."""
        self.counts.update(other.counts)
        self.examples = {**other.examples, **self.examples}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Reason -> ``count`` and ``example``, the most frequent first."""
        return {
            reason: {"count": count, "example": self.examples[reason]} for reason, count in self.counts.most_common()
        }


@dataclass(frozen=True)
class Block:
    """What became of the candidates ``start`` to ``stop`` - 1; ``seconds`` by what they went into.

    ``given``: fingerprint of the structures where a user's iterable gave them, else empty.
    """

    number: int
    start: int
    stop: int
    rows: tuple[Row, ...]
    drops: Drops
    seconds: dict[str, float]
    given: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the log."""
        return {
            "block": self.number,
            "start": self.start,
            "stop": self.stop,
            "rows": [row.to_list() for row in self.rows],
            "dropped": self.drops.to_dict(),
            "seconds": self.seconds,
            "given": self.given,
        }

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Block:
        """What :meth:`to_dict` gave; raises KeyError, TypeError or ValueError for anything else."""
        drops = Drops()
        for reason, found in given["dropped"].items():
            drops.counts[reason] = int(found["count"])
            drops.examples[reason] = str(found["example"])
        rows = tuple(Row.from_list(row) for row in given["rows"])
        number, start, stop = (int(given[key]) for key in ("block", "start", "stop"))
        return cls(number, start, stop, rows, drops, dict(given["seconds"]), str(given["given"]))


def rows_in(log: Iterable[dict[str, Any]]) -> Iterator[Row]:
    """Every valid candidate in a screen's log, once, a block at a time."""
    done = set[int]()
    for entry in log:
        if entry["block"] not in done:
            done.add(entry["block"])
            yield from map(Row.from_list, entry["rows"])


def different(rows: Iterable[Row], most: int) -> list[Row]:
    """The first ``most`` rows without those that are an earlier one's geometry, turned or mirrored: both hands of a
    parent, a ligand on another of equivalent sites."""
    found: list[Row] = []
    for row in rows:
        if len(found) == most:
            break
        if not any(map(row.alike, found)):
            found.append(row)
    return found
