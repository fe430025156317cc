"""What a screen keeps: a row for each candidate on disk, and in memory the best ones and the Pareto front."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import isclose
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from clusterml.screening.making import Rejection
from clusterml.screening.measures.measure import Value
from clusterml.screening.merit import Merit, Standing
from clusterml.screening.spectra import SMALLEST_GAP_EV

if TYPE_CHECKING:
    from ase import Atoms

_ALIKE = 1e-4
"""Numbers of one geometry that was built twice agree to this relative tolerance, where they are of full precision."""
_SAME_REPULSION = 1e-10
"""The repulsion of its nuclei does to this one; a turn of trigons by 0.1 degrees changes it by ten times as much."""


@dataclass(frozen=True)
class Row:
    """A valid candidate: its ``number``, ``name``, ``values`` by line of the screen, and what the network predicts.

    ``sites``: the sites of each exchange.  ``in_domain`` is None where the network does not know its domain.
    ``sign``: how certain the sign of the strongest CD is, in the words of :mod:`clusterml.spectrum.significance`.
    ``repulsion``: see :func:`nuclear_repulsion`; None in logs of earlier versions.
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
    repulsion: float | None = None

    def alike(self, other: Row) -> bool:
        """Are these one geometry, turned or mirrored?

        The repulsion of the nuclei then agrees, or the predictions do but for signs: ligands on equivalent sites of a
        frame whose symmetry is not exact have nearly the same spectrum.
        """
        if self.charge != other.charge:
            return False
        if None not in (self.repulsion, other.repulsion) and self._same_repulsion(other):
            return True
        return all(map(_alike, self._numbers(), other._numbers()))

    def _same_repulsion(self, other: Row) -> bool:
        return isclose(self.repulsion or 0.0, other.repulsion or 0.0, rel_tol=_SAME_REPULSION)

    def to_list(self) -> list[Any]:
        """Plain values for the log."""
        pairs = [[value.value, value.std] for value in self.values]
        rest = (
            self.charge,
            self.gap_ev,
            self.in_domain,
            self.domain_score,
            [list(exchange) for exchange in self.sites],
        )
        return [self.number, self.name, pairs, *rest, self.sign, self.repulsion]

    def _numbers(self) -> Iterator[float | None]:
        yield self.gap_ev
        yield self.domain_score
        for value in self.values:
            yield value.value
            yield value.std

    @classmethod
    def from_list(cls, cells: Sequence[Any]) -> Row:
        """What :meth:`to_list` gave; raises TypeError or ValueError for anything else."""
        number, name, pairs, charge, gap, inside, score, sites, *later = cells
        sign = str(later[0]) if later else ""  # which is not in older logs, nor is the repulsion
        apart = None if len(later) < 2 or later[1] is None else float(later[1])
        values = tuple(Value(float(value), None if std is None else float(std)) for value, std in pairs)
        places = tuple(tuple(int(site) for site in exchange) for exchange in sites)
        return cls(int(number), str(name), values, int(charge), float(gap), inside, score, places, sign, apart)


def nuclear_repulsion(atoms: Atoms) -> float:
    """Sum of Z_i Z_j / d_ij over the pairs of atoms, in 1/A: the same for every turned, mirrored or renumbered copy."""
    from scipy.spatial.distance import pdist

    charges, (first, second) = atoms.numbers.astype(np.float64), np.triu_indices(len(atoms), k=1)
    return float((charges[first] * charges[second] / pdist(atoms.positions)).sum())


def _alike(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return isclose(abs(a), abs(b), rel_tol=_ALIKE)


@dataclass
class Rejections:
    """Numbers of rejected candidates by reason, each with an example."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, rejection: Rejection) -> None:
        """Count a rejection."""
        self.counts[rejection.reason] += 1
        self.examples.setdefault(rejection.reason, rejection.example)

    def merge(self, other: Rejections) -> None:
        """Add the counts of another block."""
        self.counts.update(other.counts)
        self.examples = {**other.examples, **self.examples}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Reason -> ``count`` and ``example``, the most frequent first."""
        return {
            reason: {"count": count, "example": self.examples[reason]} for reason, count in self.counts.most_common()
        }


@dataclass(frozen=True)
class CandidateBlock:
    """The outcome of the candidates ``start`` to ``stop`` - 1, and the ``seconds`` spent on each kind of work.

    ``given``: the fingerprint of the structures where the user gave them, else empty.
    """

    number: int
    start: int
    stop: int
    rows: tuple[Row, ...]
    rejections: Rejections
    seconds: dict[str, float]
    given: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the log."""
        return {
            "block": self.number,
            "start": self.start,
            "stop": self.stop,
            "rows": [row.to_list() for row in self.rows],
            "dropped": self.rejections.to_dict(),
            "seconds": self.seconds,
            "given": self.given,
        }

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> CandidateBlock:
        """What :meth:`to_dict` gave; raises AttributeError, KeyError, TypeError or ValueError for anything
        else."""
        rejections = Rejections()
        for reason, rejection in entry["dropped"].items():
            rejections.counts[reason] = int(rejection["count"])
            rejections.examples[reason] = str(rejection["example"])
        rows = tuple(Row.from_list(row) for row in entry["rows"])
        number, start, stop = (int(entry[key]) for key in ("block", "start", "stop"))
        return cls(number, start, stop, rows, rejections, dict(entry["seconds"]), str(entry["given"]))


def rows_in(log: Iterable[dict[str, Any]]) -> Iterator[Row]:
    """Every valid candidate in a screen's log, once, a block at a time."""
    seen = set[int]()
    for entry in log:
        if entry["block"] not in seen:
            seen.add(entry["block"])
            yield from map(Row.from_list, entry["rows"])


def distinct_rows(rows: Iterable[Row], most: int) -> list[Row]:
    """The first ``most`` rows of distinct geometries.

    A row with the geometry of an earlier one, turned or mirrored, is left out: the other hand of a parent, or a ligand
    on an equivalent site.
    """
    distinct: list[Row] = []
    for row in rows:
        if len(distinct) == most:
            break
        if not any(map(row.alike, distinct)):
            distinct.append(row)
    return distinct


T = TypeVar("T", bound=tuple[Any, ...])


@dataclass(frozen=True)
class BoardEntry:
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
    (``front_cut``): then those with the highest scores stay.  ``best``: the first of all.
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
    small_gap: int = 0
    front_cut: bool = False
    rejections: Rejections = field(default_factory=Rejections)
    seconds: dict[str, float] = field(default_factory=dict)
    best: BoardEntry | None = None
    _best: list[tuple[tuple[bool, float, int], BoardEntry]] = field(default_factory=list)
    _drawn: list[tuple[int, int, BoardEntry]] = field(default_factory=list)
    _front: list[BoardEntry] = field(default_factory=list)

    def add(self, block: CandidateBlock) -> None:
        """Add the rows and rejections of a block."""
        self.evaluated += block.stop - block.start
        self.rejections.merge(block.rejections)
        for key, value in block.seconds.items():
            self.seconds[key] = self.seconds.get(key, 0.0) + value
        for row in block.rows:
            self._take(row)

    @property
    def ranked(self) -> list[BoardEntry]:
        """The best candidates, best first."""
        return [entry for _, entry in sorted(self._best, key=lambda pair: pair[0], reverse=True)]

    def distinct_entries(self, most: int) -> list[BoardEntry]:
        """The best ``most`` of distinct geometries, see :func:`~clusterml.screening.board.distinct_rows`."""
        ranked = self.ranked
        numbers = {row.number for row in distinct_rows((entry.row for entry in ranked), most)}
        return [entry for entry in ranked if entry.row.number in numbers]

    @property
    def front(self) -> list[BoardEntry]:
        """The Pareto front of the objectives' merits, best score first."""
        return sorted(self._front, key=lambda entry: entry.key, reverse=True)

    @property
    def random(self) -> list[BoardEntry]:
        """Candidates drawn at random from all valid ones, by their numbers."""
        return sorted((entry for _, _, entry in self._drawn), key=lambda entry: entry.row.number)

    @property
    def numbers(self) -> set[int]:
        """The numbers of all that is kept."""
        kept = (*(entry for _, entry in self._best), *self._front, *(entry for _, _, entry in self._drawn))
        return {entry.row.number for entry in kept}

    @property
    def members(self) -> list[BoardEntry]:
        """The best candidates, then the other members of the front."""
        return unique_entries([*self.ranked, *self.front])

    def _take(self, row: Row) -> None:
        entry = BoardEntry(row, self.merit.standing(row.values))
        self.valid += 1
        self.out_of_domain += row.in_domain is False
        self.small_gap += row.gap_ev < SMALLEST_GAP_EV
        if self.best is None or entry.key > self.best.key:
            self.best = entry
        _push(self._best, (entry.key, entry), self.keep)
        if self.sample:
            _push(self._drawn, (-_lot(self.seed, row.number), row.number, entry), self.sample)
        if not entry.standing.violated:
            self.feasible += 1
            self._onto_front(entry)

    def _onto_front(self, entry: BoardEntry) -> None:
        merits = entry.standing.merits
        if any(_beats(member.standing.merits, merits) for member in self._front):
            return
        self._front = [member for member in self._front if not _beats(merits, member.standing.merits)]
        self._front.append(entry)
        if len(self._front) > self.most_front:
            self.front_cut = True
            self._front.remove(min(self._front, key=lambda member: member.key))


def unique_entries(entries: Iterable[BoardEntry]) -> list[BoardEntry]:
    """Each candidate once, in the order of its first appearance."""
    by_number: dict[int, BoardEntry] = {}
    for entry in entries:
        by_number.setdefault(entry.row.number, entry)
    return list(by_number.values())


def _push(heap: list[T], item: T, most: int) -> None:
    if len(heap) < most:
        heapq.heappush(heap, item)
    else:
        heapq.heappushpop(heap, item)


def _beats(merits: tuple[float, ...], others: tuple[float, ...]) -> bool:
    """Are the ``merits`` nowhere worse than the ``others``, and somewhere better?"""
    return merits != others and all(a >= b for a, b in zip(merits, others, strict=True))


def _lot(seed: int, number: int) -> int:
    """A random whole number for a candidate, the same in every run."""
    return int.from_bytes(blake2b(f"{seed}/{number}".encode(), digest_size=8).digest())
