"""The climb in all coordinates: the score and its gradient, and a steepest ascent that never goes down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from clusterml.errors import ClusterMLError, OptionError
from clusterml.inference.explain import check_slopes, slopes
from clusterml.screening.bench import Bench
from clusterml.screening.measures.measure import Sample, Value
from clusterml.screening.merit import Standing, merit_slope
from clusterml.screening.space import Recipe
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
    """Raise :class:`OptionError` for a network or an objective without a derivative by positions, which moving every
    atom needs; constraints do not need one."""
    check_slopes(bench.network.ensemble)
    for line, gauge in zip(bench.screen.objectives, bench.gauges, strict=False):  # gauges of constraints follow
        if gauge.slope is None:
            raise OptionError(
                f"objective {': '.join(line.measure)} has no derivative by positions",
                "leave design.free out, or make it a constraint",
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
                raise OptionError(f"objective {line.measure[0]} has no derivative", "make it a constraint")
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
) -> Iterator[tuple[FloatArray, PointEvaluation]]:
    """At most ``steps`` points, each higher than the last; no coordinate changes by more than ``reach`` in a step.

    No point violates more constraints than the last.
    """
    (coordinates, evaluation), length, largest = start, reach, 0.0
    for _ in range(steps):
        uphill = direction(coordinates, evaluation)
        size = float(np.abs(uphill).max(initial=0.0))
        if not (np.isfinite(size) and size > 0.0):
            return
        candidate: PointEvaluation | None = None
        for _ in range(TRIES):
            trial = coordinates + (length / size) * uphill
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


FREE_REACH_A = 0.1
"""Longest step of a free coordinate."""
_SOFTEST = 1.0  # eV/A^2, added to the elastic network so that soft motions are not all that moves


@dataclass(frozen=True)
class ClimbPoint:
    """A point of a climb: its ``recipe`` (before atoms moved freely), and its ``evaluation``."""

    recipe: Recipe
    evaluation: PointEvaluation


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
