"""The climb: the score and its slope, steepest ascent that never goes down, and what may change on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from clusterml.errors import ClusterMLError, OptionError
from clusterml.inference.explain import slopes
from clusterml.screening.bench import Bench
from clusterml.screening.config import Screen
from clusterml.screening.making import Dropped, Maker
from clusterml.screening.measures.measure import Sample, Value
from clusterml.screening.merit import Standing, merit_slope
from clusterml.screening.space import Recipe, extremes
from clusterml.screening.strain import elastic_hessian, elastic_slope, elastic_strain, superposed
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import compare
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import Prediction


@dataclass(frozen=True, eq=False)
class Judged:
    """A geometry with its ``prediction``, ``values`` by line of the screen, ``standing``, and what its strain costs."""

    prediction: Prediction
    values: tuple[Value, ...]
    standing: Standing
    cost: float

    @property
    def score(self) -> float:
        """What is climbed: the screen's score, of expected values, less the cost of strain."""
        return self.standing.score - self.cost

    @property
    def violated(self) -> tuple[str, ...]:
        """Names of the constraints that are violated."""
        return self.standing.violated

    @property
    def order(self) -> tuple[bool, float]:
        """What to sort by: what violates nothing goes first."""
        return not self.violated, self.score

    @property
    def atoms(self) -> Atoms:
        """The geometry."""
        return self.prediction.atoms


def check_smooth(bench: Bench) -> None:
    """Raise :class:`OptionError` for an objective without a gradient; constraints need none."""
    for line, gauge in zip(bench.screen.objectives, bench.gauges, strict=False):  # gauges of constraints follow
        if gauge.slope is None:
            raise OptionError(
                f"objective {': '.join(line.measure)} has no gradient",
                "design climbs measures of spectra, strain: elastic and functions of your own; make it a constraint",
            )


class Aim:
    """The objectives of a screen for candidates of one ``recipe``, whatever its distortions."""

    def __init__(self, bench: Bench, recipe: Recipe) -> None:
        self._bench, self._recipe = bench, recipe
        self._origin = bench.origin(recipe.number)

    @cached_property
    def rest(self) -> Atoms:
        """The geometry that strain is counted from."""
        return self._origin.rest()

    def at(self, atoms: Atoms, penalty: float = 0.0) -> Judged:
        """Predict and judge a geometry; 1 eV of elastic strain costs ``penalty``.

        Raises what the predictor and the measures raise.
        """
        (found,) = self._bench.predictor.predict([self._bench.prepare(self._recipe, atoms)])
        values = self._bench.values(self._recipe.number, found)
        standing = self._bench.merit.standing(values, certain=True)
        cost = penalty * elastic_strain(atoms, self.rest) if penalty else 0.0
        return Judged(found, values, standing, cost)

    def slope(self, atoms: Atoms, penalty: float = 0.0) -> FloatArray:
        """Derivative (n, 3) per A of the score by the positions."""
        charge = self._bench.prepare(self._recipe, atoms).charge
        predictor = self._bench.predictor
        way = slopes(predictor.ensemble, atoms, charge)
        spectrum = Spectrum(predictor.energy_ev, way.epsilon, way.delta_epsilon)
        sample = Sample(atoms, charge, spectrum, self._bench.fwhm_ev, self._origin)
        by_curves, by_positions = np.zeros((2, len(spectrum.energy_ev))), np.zeros((len(atoms), 3))
        for line, gauge in zip(self._bench.screen.objectives, self._bench.gauges, strict=False):
            if gauge.slope is None:
                raise OptionError(f"objective {line.measure[0]} has no gradient", "make it a constraint")
            local = gauge.slope(sample)
            factor = line.weight / line.kind.step * merit_slope(line.aim, gauge.value(sample).value)
            for at, curve in enumerate((local.by_epsilon, local.by_delta_epsilon)):
                by_curves[at] += 0.0 if curve is None else factor * curve
            by_positions += 0.0 if local.by_positions is None else factor * local.by_positions
        if penalty:
            by_positions -= penalty * elastic_slope(atoms, self.rest)
        return np.asarray(way.back(*by_curves) + by_positions)


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


REACH = 0.1
"""Longest step of an amount, as a share of half its range."""
FREE_REACH_A = 0.1
"""Longest step of a free coordinate."""
_DIFFERENCE = 1e-3  # of half the range, for derivatives of positions by amounts
_SOFTEST = 1.0  # eV/A^2, added to the elastic network so that soft motions are not all that moves


@dataclass(frozen=True)
class Climbed:
    """A point on the way: the ``recipe`` it is made by (before atoms moved freely), and what is there."""

    recipe: Recipe
    judged: Judged


def by_amounts(aim: Aim, maker: Maker, screen: Screen, start: Climbed, steps: int) -> Iterator[Climbed]:
    """Climb on the amounts of the candidate's distortions, within the ranges that the screen gives them."""
    recipe = start.recipe
    low, high = _ranges(screen, recipe)
    middle, half = 0.5 * (high + low), 0.5 * (high - low)

    def at(where: FloatArray) -> Recipe:
        amounts = middle + half * where
        return replace(recipe, amounts=tuple((k, float(a)) for (k, _), a in zip(recipe.amounts, amounts, strict=True)))

    def look(where: FloatArray) -> Judged | None:
        return _judged(aim, maker, at(where))

    def direction(where: FloatArray, here: Judged) -> FloatArray:
        slope = aim.slope(here.atoms)
        found = np.zeros(len(where))
        for k in np.flatnonzero(half):
            ends = []
            for sign in (-1.0, 1.0):
                there = where.copy()
                there[k] = np.clip(where[k] + sign * _DIFFERENCE, -1.0, 1.0)
                moved = _positions(maker, at(there))
                ends.append((where[k], here.atoms.positions) if moved is None else (there[k], moved))
            (before, x), (after, y) = ends
            if after > before:
                found[k] = np.sum(slope * (y - x)) / (after - before)
        found[((where >= 1.0) & (found > 0.0)) | ((where <= -1.0) & (found < 0.0))] = 0.0
        return found

    given = np.array([amount for _, amount in recipe.amounts])
    where = np.divide(given - middle, half, out=np.zeros_like(given), where=half > 0.0)
    for there, judged in climb((where, start.judged), direction, look, steps, REACH, 1.0):
        yield Climbed(at(there), judged)


def freely(aim: Aim, start: Climbed, steps: int, penalty: float) -> Iterator[Climbed]:
    """The ``start`` with what its strain costs, then a climb with every coordinate as long as the chemistry stays.

    1 eV of elastic strain costs ``penalty``.  Steps follow the elastic network: where it is stiff, atoms move less.
    """
    subject = Subject(aim.rest)
    factor = cho_factor(penalty * (elastic_hessian(aim.rest) + _SOFTEST * np.eye(3 * len(aim.rest))))
    rest, begun = aim.rest.positions, start.judged.atoms.copy()
    begun.positions = rest + superposed(begun.positions, rest)[1]  # the elastic network is not turned

    def look(where: FloatArray) -> Judged | None:
        atoms = start.judged.atoms.copy()
        atoms.positions = where.reshape(-1, 3)
        try:
            return None if compare(subject, atoms.positions).wrong else aim.at(atoms, penalty)
        except ClusterMLError:
            return None

    def direction(where: FloatArray, here: Judged) -> FloatArray:
        return np.asarray(cho_solve(factor, aim.slope(here.atoms, penalty).ravel()))

    first = aim.at(begun, penalty)
    yield Climbed(start.recipe, first)
    for _, judged in climb((begun.positions.ravel(), first), direction, look, steps, FREE_REACH_A):
        yield Climbed(start.recipe, judged)


def _ranges(screen: Screen, recipe: Recipe) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest amount (k,) of each distortion of a recipe."""
    block = None if recipe.place is None else screen.distortions[recipe.place.block]
    ranges = [] if block is None else [extremes(block, amounts) for amounts in block.modes.values()]
    return np.array([min(each) for each in ranges]), np.array([max(each) for each in ranges])


def _judged(aim: Aim, maker: Maker, recipe: Recipe) -> Judged | None:
    atoms = maker.make(recipe)
    try:
        return None if isinstance(atoms, Dropped) else aim.at(atoms)
    except ClusterMLError:
        return None


def _positions(maker: Maker, recipe: Recipe) -> FloatArray | None:
    """Positions (n, 3) of a recipe, None where there are none."""
    atoms = maker.make(recipe)
    return None if isinstance(atoms, Dropped) else np.asarray(atoms.positions)
