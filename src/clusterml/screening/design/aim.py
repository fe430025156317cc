"""What is climbed: the score of a geometry, and how every atom would have to move to raise it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import OptionError
from clusterml.inference.members import slopes
from clusterml.screening.bench import Bench
from clusterml.screening.functionals import SPECTRAL, Functional, absorption_change, band_of, make_functional
from clusterml.screening.lines import STEPS, Objective
from clusterml.screening.measures import Value
from clusterml.screening.merit import Standing, merit_slope
from clusterml.screening.space import Recipe
from clusterml.screening.strain import elastic_slope, elastic_strain
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.inference.prediction import Prediction
    from clusterml.screening.config import Screen

SMOOTH = (*SPECTRAL, "absorption_change", "strain: elastic")
"""Measures that have a gradient."""


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


def check_smooth(screen: Screen) -> None:
    """Raise :class:`OptionError` for an objective without a gradient; constraints need none."""
    for line in screen.objectives:
        key, text = line.measure
        if key not in SPECTRAL and key != "absorption_change" and (key, text) != ("strain", "elastic"):
            raise OptionError(
                f"objective {key}: {text} has no gradient", f"design climbs {', '.join(SMOOTH)}; make it a constraint"
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
        way = slopes(self._bench.predictor.ensemble, atoms, charge)
        spectrum = Spectrum(self._bench.predictor.energy_ev, way.epsilon, way.delta_epsilon)
        by_curves = np.zeros((2, len(spectrum.energy_ev)))
        strain = penalty
        for line, functional in zip(self._bench.screen.objectives, self._functionals, strict=True):
            if functional is None:
                strain -= line.weight / STEPS["strain"] * merit_slope(line.aim, elastic_strain(atoms, self.rest))
                continue
            local = functional(spectrum)
            factor = line.weight / STEPS[line.measure[0]] * merit_slope(line.aim, local.value)
            by_curves += factor * np.array([local.by_epsilon, local.by_delta_epsilon])
        found = way.back(*by_curves)
        return found - strain * elastic_slope(atoms, self.rest) if strain else found

    @cached_property
    def _functionals(self) -> list[Functional | None]:
        """One for each objective; None for the elastic strain."""
        return [self._functional(line) for line in self._bench.screen.objectives]

    def _functional(self, line: Objective) -> Functional | None:
        key, text = line.measure
        energy = self._bench.predictor.energy_ev
        if key == "strain":
            return None
        if key == "absorption_change":
            band, before = band_of(key, text, energy), self._origin.spectrum()
            return lambda spectrum: absorption_change(*band, before, spectrum)
        return make_functional(key, text, energy)
