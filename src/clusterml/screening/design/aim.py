"""What is climbed: the score of a geometry, and how every atom would have to move to raise it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import OptionError
from clusterml.inference.members import slopes
from clusterml.screening.bench import Bench
from clusterml.screening.measures.measure import Sample, Value
from clusterml.screening.merit import Standing, merit_slope
from clusterml.screening.space import Recipe
from clusterml.screening.strain import elastic_slope, elastic_strain
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.prediction import Prediction


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
