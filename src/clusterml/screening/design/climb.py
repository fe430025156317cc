"""The climb: the score and its gradient, a steepest ascent that never goes down, and the coordinates it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from clusterml.errors import ClusterMLError, OptionError
from clusterml.inference.explain import check_slopes, slopes
from clusterml.screening.bench import Bench
from clusterml.screening.config import Screen
from clusterml.screening.making import Maker, Rejection
from clusterml.screening.measures.measure import Sample, Value
from clusterml.screening.merit import Standing, merit_slope
from clusterml.screening.space import Recipe, extremes
from clusterml.screening.strain import elastic_hessian, elastic_slope, elastic_strain, superpose
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import compare
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.answer import Prediction


@dataclass(frozen=True, eq=False)
class PointEvaluation:
    """A geometry with its ``prediction``, ``values`` by line of the screen, ``standing``, and what its strain costs."""

    prediction: Prediction
    values: tuple[Value, ...]
    standing: Standing
    cost: float

    @property
    def score(self) -> float:
        """The score of the climb: that of the expected values, less the cost of strain."""
        return self.standing.score - self.cost

    @property
    def violated(self) -> tuple[str, ...]:
        """Names of the constraints that are violated."""
        return self.standing.violated

    @property
    def order(self) -> tuple[bool, float]:
        """Sort key: points that violate no constraint rank above all others."""
        return not self.violated, self.score

    @property
    def atoms(self) -> Atoms:
        """The geometry."""
        return self.prediction.atoms


def check_smooth(bench: Bench) -> None:
    """Raise :class:`OptionError` for a network or an objective without a gradient; constraints do not need one."""
    check_slopes(bench.network.ensemble)
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
        """The geometry without strain."""
        return self._origin.rest()

    def evaluate(self, atoms: Atoms, penalty: float = 0.0) -> PointEvaluation:
        """Predict and score a geometry; 1 eV of elastic strain costs ``penalty``.

        Raises what the predictor and the measures raise.
        """
        (prediction,) = self._bench.network.predict([self._bench.prepare(self._recipe, atoms)])
        values = self._bench.values(self._recipe.number, prediction)
        standing = self._bench.merit.standing(values, certain=True)
        cost = penalty * elastic_strain(atoms, self.rest) if penalty else 0.0
        return PointEvaluation(prediction, values, standing, cost)

    def slope(self, atoms: Atoms, penalty: float = 0.0) -> FloatArray:
        """Derivative (n, 3) of the score with respect to the positions, per A."""
        charge = self._bench.prepare(self._recipe, atoms).charge
        predictor = self._bench.network
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
"""How often a step is halved before the climb ends."""
LEAST_GAIN = 1e-4
"""The climb ends when a step gains less than this share of the largest gain."""

Try = Callable[[FloatArray], PointEvaluation | None]
"""Coordinates (k,) -> the evaluation there, or None where there is no valid geometry."""
Direction = Callable[[FloatArray, PointEvaluation], FloatArray]
"""Coordinates (k,) and the evaluation there -> the direction (k,) of the next step."""


def climb(
    start: tuple[FloatArray, PointEvaluation],
    direction: Direction,
    look: Try,
    steps: int,
    reach: float,
    bound: float = np.inf,
) -> Iterator[tuple[FloatArray, PointEvaluation]]:
    """At most ``steps`` points, each higher than the last; no coordinate changes by more than ``reach`` in a step.

    Coordinates stay between ``-bound`` and ``bound``.  No point violates more constraints than the last.
    """
    (coordinates, evaluation), length, largest = start, reach, 0.0
    for _ in range(steps):
        uphill = direction(coordinates, evaluation)
        size = float(np.abs(uphill).max(initial=0.0))
        if not (np.isfinite(size) and size > 0.0):
            return
        candidate: PointEvaluation | None = None
        for _ in range(TRIES):
            trial = np.clip(coordinates + (length / size) * uphill, -bound, bound)
            candidate = look(trial)
            if (
                candidate is not None
                and candidate.score > evaluation.score
                and len(candidate.violated) <= len(evaluation.violated)
            ):
                break
            candidate, length = None, 0.5 * length
        if candidate is None:
            return
        gain = candidate.score - evaluation.score
        yield trial, candidate
        coordinates, evaluation, length, largest = trial, candidate, min(2.0 * length, reach), max(largest, gain)
        if gain < LEAST_GAIN * largest:
            return


REACH = 0.1
"""Longest step of an amount, as a share of half its range."""
FREE_REACH_A = 0.1
"""Longest step of a free coordinate."""
_DIFFERENCE = 1e-3  # of half the range, for derivatives of positions by amounts
_SOFTEST = 1.0  # eV/A^2, added to the elastic network so that soft motions are not all that moves


@dataclass(frozen=True)
class ClimbPoint:
    """A point of a climb: its ``recipe`` (before atoms moved freely), and its ``evaluation``."""

    recipe: Recipe
    evaluation: PointEvaluation


def climb_amounts(aim: Aim, maker: Maker, screen: Screen, start: ClimbPoint, steps: int) -> Iterator[ClimbPoint]:
    """Climb in the amounts of the candidate's distortions, within their ranges in the screen."""
    recipe = start.recipe
    low, high = _ranges(screen, recipe)
    middle, half = 0.5 * (high + low), 0.5 * (high - low)

    def recipe_at(coordinates: FloatArray) -> Recipe:
        amounts = middle + half * coordinates
        return replace(recipe, amounts=tuple((k, float(a)) for (k, _), a in zip(recipe.amounts, amounts, strict=True)))

    def look(coordinates: FloatArray) -> PointEvaluation | None:
        return _score_recipe(aim, maker, recipe_at(coordinates))

    def direction(coordinates: FloatArray, evaluation: PointEvaluation) -> FloatArray:
        slope = aim.slope(evaluation.atoms)
        gradient = np.zeros(len(coordinates))
        for k in np.flatnonzero(half):
            ends = []
            for sign in (-1.0, 1.0):
                shifted = coordinates.copy()
                shifted[k] = np.clip(coordinates[k] + sign * _DIFFERENCE, -1.0, 1.0)
                positions = _positions(maker, recipe_at(shifted))
                ends.append(
                    (coordinates[k], evaluation.atoms.positions) if positions is None else (shifted[k], positions)
                )
            (before, x), (after, y) = ends
            if after > before:
                gradient[k] = np.sum(slope * (y - x)) / (after - before)
        gradient[((coordinates >= 1.0) & (gradient > 0.0)) | ((coordinates <= -1.0) & (gradient < 0.0))] = 0.0
        return gradient

    amounts_at_start = np.array([amount for _, amount in recipe.amounts])
    coordinates = np.divide(amounts_at_start - middle, half, out=np.zeros_like(amounts_at_start), where=half > 0.0)
    for shifted, evaluation in climb((coordinates, start.evaluation), direction, look, steps, REACH, 1.0):
        yield ClimbPoint(recipe_at(shifted), evaluation)


def climb_freely(aim: Aim, start: ClimbPoint, steps: int, penalty: float) -> Iterator[ClimbPoint]:
    """Yield the ``start`` with its cost of strain, then climb in all coordinates as long as the chemistry stays intact.

    1 eV of elastic strain costs ``penalty``.  Steps follow the elastic network: where it is stiff, atoms move less.
    """
    subject = Subject(aim.rest)
    factor = cho_factor(penalty * (elastic_hessian(aim.rest) + _SOFTEST * np.eye(3 * len(aim.rest))))
    rest, start_atoms = aim.rest.positions, start.evaluation.atoms.copy()
    start_atoms.positions = rest + superpose(start_atoms.positions, rest)[1]  # the elastic network is not turned

    def look(coordinates: FloatArray) -> PointEvaluation | None:
        atoms = start.evaluation.atoms.copy()
        atoms.positions = coordinates.reshape(-1, 3)
        try:
            return None if compare(subject, atoms.positions).wrong else aim.evaluate(atoms, penalty)
        except ClusterMLError:
            return None

    def direction(coordinates: FloatArray, evaluation: PointEvaluation) -> FloatArray:
        return np.asarray(cho_solve(factor, aim.slope(evaluation.atoms, penalty).ravel()))

    first = aim.evaluate(start_atoms, penalty)
    yield ClimbPoint(start.recipe, first)
    for _, evaluation in climb((start_atoms.positions.ravel(), first), direction, look, steps, FREE_REACH_A):
        yield ClimbPoint(start.recipe, evaluation)


def _ranges(screen: Screen, recipe: Recipe) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest amount (k,) of each distortion of a recipe."""
    block = None if recipe.place is None else screen.distortions[recipe.place.block]
    ranges = [] if block is None else [extremes(block, amounts) for amounts in block.modes.values()]
    return np.array([min(amounts) for amounts in ranges]), np.array([max(amounts) for amounts in ranges])


def _score_recipe(aim: Aim, maker: Maker, recipe: Recipe) -> PointEvaluation | None:
    atoms = maker.make(recipe)
    try:
        return None if isinstance(atoms, Rejection) else aim.evaluate(atoms)
    except ClusterMLError:
        return None


def _positions(maker: Maker, recipe: Recipe) -> FloatArray | None:
    """Positions (n, 3) of a recipe; None where it has no geometry."""
    atoms = maker.make(recipe)
    return None if isinstance(atoms, Rejection) else np.asarray(atoms.positions)
