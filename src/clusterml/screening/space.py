"""The space of candidates: how many there are, and which recipe each number stands for, without making any of them.

Numbers count through the parents, their ligand shells, thermal snapshots and distortions, the last ones fastest, so
that neighbours share as much work as possible.  Any number can be looked up by itself: that makes a screen of any size
flat in memory, resumable, and divisible among workers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from clusterml.errors import OptionError
from clusterml.screening.config import Exchange, Screen
from clusterml.screening.points import Place, amounts_at, number_of_points

_STRATA = 1
"""First of the numbers that seed the random draws of :attr:`Screen.most`; the others are in their modules."""


@dataclass(frozen=True)
class Variant:
    """A parent: its ``name``, the ``parent`` of the screen that it belongs to, ``options`` of its blueprint or none."""

    number: int
    name: str
    parent: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Step:
    """An exchange of ``count`` ligands: which ``exchange`` of which ``shell``, for ``new``, with draw ``draw``."""

    shell: int
    exchange: int
    new: str
    draw: int
    count: int


@dataclass(frozen=True)
class Recipe:
    """How candidate ``number`` is made: parent, exchanges, snapshot (None: at rest) and distortions."""

    number: int
    variant: Variant
    steps: tuple[Step, ...]
    snapshot: int | None
    place: Place | None
    amounts: tuple[tuple[str, float], ...]

    def to_dict(self, screen: Screen) -> dict[str, Any]:
        """The recipe as plain values."""
        made: dict[str, Any] = {"parent": self.variant.parent}
        if self.variant.options:
            made["build"] = dict(self.variant.options)
        if self.steps:
            made["exchanges"] = [
                {"old": exchange_of(screen, s).old, "new": s.new, "count": s.count, "draw": s.draw, "shell": s.shell}
                for s in self.steps
            ]
        if self.snapshot is not None and screen.conformers is not None:
            made["snapshot"] = {"temperature_k": screen.conformers.temperature_k, "draw": self.snapshot}
        if self.amounts:
            made["distortions"] = dict(self.amounts)
        return made


def exchange_of(screen: Screen, step: Step) -> Exchange:
    """The exchange that a step belongs to."""
    shell = screen.exchanges[step.shell]
    return shell if step.exchange == 0 else shell.then[step.exchange - 1]


class Space:
    """All candidates of a screen: ``len(space)`` of them, ``space.recipe(number)`` each.

    Raises :class:`OptionError` when they are counted and there are more than a computer can count.
    """

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def __len__(self) -> int:
        """Number of candidates."""
        count = self.size if self.screen.most is None else min(self.screen.most, self.size)
        if count > sys.maxsize:
            raise OptionError(f"there are more than {sys.maxsize:.1e} candidates", "give most: so many, drawn evenly")
        return count

    @cached_property
    def size(self) -> int:
        """Number of all combinations."""
        return len(self.variants) * self._shells * self._snapshots * self._points

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """All parents, those from lists of build options one by one."""
        return tuple(_variants(self.screen))

    def recipe(self, number: int) -> Recipe:
        """The recipe of candidate ``number`` (from 0); raises IndexError beyond the last one."""
        if not 0 <= number < len(self):
            raise IndexError(f"there is no candidate {number}")
        rest, point = divmod(self._drawn(number), self._points)
        rest, snapshot = divmod(rest, self._snapshots)
        variant, shell = divmod(rest, self._shells)
        steps = _steps(self.screen, shell)
        conformers = self.screen.conformers
        shaken: int | None = snapshot
        if conformers is None:
            shaken = None
        elif conformers.at_rest:
            shaken = None if snapshot == 0 else snapshot - 1
        place = _place(self.screen, point)
        amounts: tuple[tuple[str, float], ...] = ()
        if place is not None:
            amounts = amounts_at(self.screen, place, (variant, shell, snapshot))
        return Recipe(number, self.variants[variant], steps, shaken, place, amounts)

    def _drawn(self, number: int) -> int:
        """Which of all combinations: with ``most`` one at random from each of as many equal shares."""
        if self.screen.most is None or self.screen.most >= self.size:
            return number
        count = self.screen.most
        low, high = number * self.size // count, (number + 1) * self.size // count
        return low + _below(high - low, np.random.default_rng([self.screen.seed, _STRATA, number]))

    @cached_property
    def _shells(self) -> int:
        return sum(_shell_sizes(self.screen)) or 1

    @cached_property
    def _snapshots(self) -> int:
        conformers = self.screen.conformers
        return 1 if conformers is None else conformers.snapshots + conformers.at_rest

    @cached_property
    def _points(self) -> int:
        return sum(number_of_points(block) for block in self.screen.distortions) or 1


def _below(count: int, rng: np.random.Generator) -> int:
    """A random whole number from 0 to ``count`` - 1, which may be larger than numpy's integers."""
    if count <= sys.maxsize:
        return int(rng.integers(count))
    return int.from_bytes(rng.bytes(count.bit_length() // 8 + 9)) % count  # 8 bytes more than needed: even to 1e-19


def _variants(screen: Screen) -> Iterator[Variant]:
    number = 0
    for name, parent in screen.parents.items():
        lists = {key: [v] if isinstance(v, str) else v for key, v in (parent.build or {}).items()}
        for values in product(*lists.values()):
            varied = [v for v, choices in zip(values, lists.values(), strict=True) if len(choices) > 1]
            options = tuple(zip(lists, values, strict=True))
            words = re.sub(r"[^A-Za-z0-9._-]+", "_", "_".join([name, *varied]))  # an alias: 2,4-DMBT
            yield Variant(number, words, name, options)
            number += 1


def _options(exchange: Exchange) -> int:
    """Ways to carry out an exchange; nothing exchanged is one way, whatever the ligand and the draw."""
    numbers = exchange.numbers
    return (numbers[0] == 0) + len(exchange.ligands) * exchange.draws * sum(n > 0 for n in numbers)


def _shell_sizes(screen: Screen) -> list[int]:
    return [int(np.prod([_options(e) for e in (shell, *shell.then)], dtype=object)) for shell in screen.exchanges]


def _steps(screen: Screen, number: int) -> tuple[Step, ...]:
    """The exchanges of ligand shell ``number``, the last exchange counting fastest."""
    for at, size in enumerate(_shell_sizes(screen)):
        if number < size:
            shell = screen.exchanges[at]
            return _decoded(at, (shell, *shell.then), number)
        number -= size
    return ()


def _decoded(shell: int, exchanges: Sequence[Exchange], number: int) -> tuple[Step, ...]:
    steps = []
    for at in reversed(range(len(exchanges))):
        exchange = exchanges[at]
        number, which = divmod(number, _options(exchange))
        positive = [n for n in exchange.numbers if n > 0]
        which -= len(positive) < len(exchange.numbers)
        if which < 0:
            continue
        rest, count = divmod(which, len(positive))
        new, draw = divmod(rest, exchange.draws)
        steps.append(Step(shell, at, exchange.ligands[new], draw, positive[count]))
    return tuple(reversed(steps))


def _place(screen: Screen, point: int) -> Place | None:
    for at, block in enumerate(screen.distortions):
        size = number_of_points(block)
        if point < size:
            return Place(at, point)
        point -= size
    return None
