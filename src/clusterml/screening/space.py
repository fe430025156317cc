"""The space of candidates: how many there are, which recipe each number stands for, and the recipe in words.

Numbers count through the parents, their ligand shells, thermal snapshots and distortions, the last of these fastest,
so that neighbours share as much work as possible.  Any number can be looked up by itself: a screen of any size needs
little memory, can be resumed, and can be divided among workers.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np

from clusterml.errors import OptionError
from clusterml.io.words import is_whole
from clusterml.screening.config import Screen, ScreenDistortion, ScreenExchange
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


def number_of_points(block: ScreenDistortion) -> int:
    """Number of points of a set of distortions."""
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


def extremes(block: ScreenDistortion, amounts: float | str | list[float]) -> tuple[float, ...]:
    """Amounts of a mode that include the lowest and the highest."""
    if block.sampling == "grid":
        return grid(amounts)
    limits = parse_range(str(amounts))
    return limits.low, limits.high


def amounts_at(screen: Screen, place: Place, before: tuple[int, ...]) -> tuple[tuple[str, float], ...]:
    """Pairs of mode and amount at a point; ``before``: parent, shell and snapshot, so that draws are independent."""
    block = screen.distortions[place.block]
    if block.sampling == "grid":
        return _grid_point(block, place.point)
    if block.sampling == "random":
        rng = np.random.default_rng([screen.seed, _RANDOM, place.block, *before, place.point])
        shares = rng.random(len(block.modes))
    else:
        start, row = divmod(place.point, _SOBOL_BLOCK)
        shares = _sobol(screen.seed, place.block, len(block.modes), start)[row]
    return tuple(
        (mode, _interpolate(amounts, float(u))) for (mode, amounts), u in zip(block.modes.items(), shares, strict=True)
    )


def split_mode(mode: str) -> tuple[str, int]:
    """Name and index of a mode as written in a screen: ``normal-mode 3``; the index of all others is 1."""
    name, _, index = mode.partition(" ")
    return (name, int(index)) if name == NORMAL_MODE and is_whole(index.strip()) else (mode, 1)


def _grid_point(block: ScreenDistortion, point: int) -> tuple[tuple[str, float], ...]:
    pairs = []
    for mode, amounts in reversed(block.modes.items()):
        values = grid(amounts)
        point, which = divmod(point, len(values))
        pairs.append((mode, values[which]))
    return tuple(reversed(pairs))


def _interpolate(amounts: float | str | list[float], share: float) -> float:
    limits = parse_range(str(amounts))
    return round(limits.low + share * (limits.high - limits.low), 6)


@lru_cache(maxsize=8)
def _sobol(seed: int, block: int, dimensions: int, start: int) -> FloatArray:
    """Points ``start * 1024`` onwards of a scrambled Sobol sequence in the unit cube: (1024, dimensions)."""
    from scipy.stats import qmc

    sequence = qmc.Sobol(dimensions, seed=np.random.default_rng([seed, _SOBOL, block]))
    if start:
        sequence.fast_forward(start * _SOBOL_BLOCK)
    return np.asarray(sequence.random(_SOBOL_BLOCK))


_STRATA = 1
"""First of the numbers that seed the random draws of :attr:`Screen.most`; the others are in their modules."""


@dataclass(frozen=True)
class Variant:
    """A parent: its ``name``, the key ``parent`` in the screen, and the ``options`` of its blueprint, if any."""

    number: int
    name: str
    parent: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ExchangeStep:
    """An exchange of ``count`` ligands for ``new``: exchange number ``exchange`` of a ``shell``, draw ``draw``."""

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
    steps: tuple[ExchangeStep, ...]
    snapshot: int | None
    place: Place | None
    amounts: tuple[tuple[str, float], ...]

    def to_dict(self, screen: Screen) -> dict[str, Any]:
        """The recipe as plain values."""
        content: dict[str, Any] = {"parent": self.variant.parent}
        if self.variant.options:
            content["build"] = dict(self.variant.options)
        if self.steps:
            content["exchanges"] = [
                {"old": exchange_of(screen, s).old, "new": s.new, "count": s.count, "draw": s.draw, "shell": s.shell}
                for s in self.steps
            ]
        if self.snapshot is not None and screen.conformers is not None:
            content["snapshot"] = {"temperature_k": screen.conformers.temperature_k, "draw": self.snapshot}
        if self.amounts:
            content["distortions"] = dict(self.amounts)
        return content


def exchange_of(screen: Screen, step: ExchangeStep) -> ScreenExchange:
    """The exchange that a step belongs to."""
    shell = screen.exchanges[step.shell]
    return shell if step.exchange == 0 else shell.then[step.exchange - 1]


class Space:
    """All ``len(space)`` candidates of a screen; ``space.recipe(number)`` gives each.

    Their count raises :class:`OptionError` if it is larger than any sequence can be.
    """

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def __len__(self) -> int:
        """Number of candidates."""
        count = self.size if self.screen.most is None else min(self.screen.most, self.size)
        if count > sys.maxsize:
            raise OptionError(
                f"there are more than {sys.maxsize:.1e} candidates", "set most to draw a smaller number evenly"
            )
        return count

    @cached_property
    def size(self) -> int:
        """Number of all combinations."""
        return len(self.variants) * self._shells * self._snapshots * self._points

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """All parents; lists of build options give one for each combination."""
        return tuple(_variants(self.screen))

    def recipe(self, number: int) -> Recipe:
        """The recipe of candidate ``number`` (from 0); raises IndexError beyond the last one."""
        if not 0 <= number < len(self):
            raise IndexError(f"there is no candidate {number}")
        rest, point = divmod(self._combination_number(number), self._points)
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

    def _combination_number(self, number: int) -> int:
        """The number among all combinations: with ``most``, a random one from each of as many equal shares."""
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


def _options(exchange: ScreenExchange) -> int:
    """Number of ways to carry out an exchange; to exchange nothing is one way, whatever the ligand and the draw."""
    numbers = exchange.numbers
    return (numbers[0] == 0) + len(exchange.ligands) * exchange.draws * sum(n > 0 for n in numbers)


def _shell_sizes(screen: Screen) -> list[int]:
    return [int(np.prod([_options(e) for e in (shell, *shell.then)], dtype=object)) for shell in screen.exchanges]


def _steps(screen: Screen, number: int) -> tuple[ExchangeStep, ...]:
    """The exchanges of ligand shell ``number``, the last exchange counting fastest."""
    for at, size in enumerate(_shell_sizes(screen)):
        if number < size:
            shell = screen.exchanges[at]
            return _decode_steps(at, (shell, *shell.then), number)
        number -= size
    return ()


def _decode_steps(shell: int, exchanges: Sequence[ScreenExchange], number: int) -> tuple[ExchangeStep, ...]:
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
        steps.append(ExchangeStep(shell, at, exchange.ligands[new], draw, positive[count]))
    return tuple(reversed(steps))


def _place(screen: Screen, point: int) -> Place | None:
    for at, block in enumerate(screen.distortions):
        size = number_of_points(block)
        if point < size:
            return Place(at, point)
        point -= size
    return None


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """A recipe in words: parent with its options, exchanges, snapshot, and distortions with amounts and units."""
    build = recipe.get("build", {})
    options = ", ".join(f"{key} {value}" for key, value in build.items() if key != "name")
    words = [str(recipe.get("parent") or recipe.get("name", "")) + (f" ({options})" if options else "")]
    words += [
        f"{exchange['count']} x {exchange['old']} to {exchange['new']}" for exchange in recipe.get("exchanges", [])
    ]
    if "snapshot" in recipe:
        words.append(f"snapshot {recipe['snapshot']['draw']} at {recipe['snapshot']['temperature_k']:g} K")
    words += [_amount(mode, amount) for mode, amount in recipe.get("distortions", {}).items()]
    return "; ".join(words)


def _amount(mode: str, amount: float) -> str:
    from clusterml.structure.distort.modes import MODES

    known_mode = MODES.get(split_mode(mode)[0])
    unit = "" if known_mode is None or known_mode.unit in ("", "1", "fraction") else f" {known_mode.unit}"
    return f"{mode} {amount:+.3g}{unit}" if amount else f"{mode} 0{unit}"
