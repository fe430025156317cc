"""The steps of a design, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clusterml.errors import counted
from clusterml.io.display import card, small_table, wrapped
from clusterml.screening.bench import Bench
from clusterml.screening.config import Screen
from clusterml.screening.design.climb import ClimbPoint
from clusterml.screening.labels import CandidateLabel
from clusterml.screening.page.tables import number
from clusterml.spectrum.picture import spectra_picture
from clusterml.structure.picture import structure_picture

if TYPE_CHECKING:
    from ase import Atoms

Stage = Literal["start", "amounts", "free"]


@dataclass(frozen=True)
class DesignStep:
    """Step ``count`` of a ``stage`` of climb number ``climb`` (from 1), and the ``point`` that it reached.

    Step 0 is where a stage begins: for ``free`` the last point of the stage before, with its cost of strain.
    """

    climb: int
    stage: Stage
    count: int
    point: ClimbPoint

    @property
    def name(self) -> str:
        """A name that is unique in the design and valid as a file name."""
        return f"climb-{self.climb}-{self.stage}-{self.count:03d}"


@dataclass(frozen=True, repr=False)
class DesignResult:
    """The result of a design.

    ``screen``: the user's; ``bench``: that of the starting candidates, with expected values; ``paths``: the steps of
    every climb from start to end; ``screen_folder``: results of the screen that it started from, if any; ``label``: the
    engine's label of the best end, if asked for.
    """

    screen: Screen
    bench: Bench
    paths: list[list[DesignStep]]
    screen_folder: Path | None = None
    label: CandidateLabel | None = None

    def __repr__(self) -> str:
        """Name, number of climbs, and the best end beside its start."""
        start, best = self.start, self.best
        scores = [step.point.evaluation.standing.score for step in (start, best)]
        words = f"{counted(len(self.paths), 'climb')}; best {best.name}, score {scores[0]:.4g} to {scores[1]:.4g}"
        return wrapped(f"DesignResult({self.screen.name}: {words})")

    def _repr_html_(self) -> str:
        """Numbers and spectra of the best end beside its start, the structure and warnings, for notebooks."""
        steps = {"start": self.start.point.evaluation, "end": self.best.point.evaluation}
        values = zip(self.bench.merit.names, *(step.values for step in steps.values()), strict=True)
        rows = [(name, *(number(value.value, value.std) for value in of_steps)) for name, *of_steps in values]
        spectra = [step.prediction.spectrum for step in steps.values()]
        parts = [small_table(rows, ("measure", *steps)), spectra_picture(spectra, list(steps))]
        parts.append(structure_picture(steps["end"].atoms))
        return card(repr(self), parts, steps["end"].prediction.warnings)

    @property
    def start(self) -> DesignStep:
        """The first step of the climb whose end is the best."""
        return self.paths[self.best.climb - 1][0]

    @property
    def end(self) -> DesignStep:
        """The highest end."""
        return max((path[-1] for path in self.paths), key=lambda step: step.point.evaluation.order)

    @property
    def best_of_screen(self) -> DesignStep | None:
        """The best candidate of the screen that was started from."""
        return None if self.screen_folder is None else self.paths[0][0]

    @property
    def is_worse(self) -> bool:
        """Does the highest end score lower than the best candidate of the screen?"""
        best = self.best_of_screen
        return best is not None and self.end.point.evaluation.standing.order < best.point.evaluation.standing.order

    @property
    def best(self) -> DesignStep:
        """The highest end, or the screen's best candidate if that is better."""
        best = self.best_of_screen
        return best if best is not None and self.is_worse else self.end

    def frame_of(self, step: DesignStep) -> Atoms:
        """The geometry of a step, with its name and, in the provenance, its numbers."""
        evaluation = step.point.evaluation
        atoms = evaluation.atoms.copy()
        atoms.info |= {"name": step.name, "charge": evaluation.prediction.charge}
        atoms.info["provenance"] = {**atoms.info.get("provenance", {}), "design": self.step_to_dict(step)}
        return atoms

    def step_to_dict(self, step: DesignStep) -> dict[str, Any]:
        """A step as plain values; ``values``: column to [value, standard deviation]."""
        evaluation = step.point.evaluation
        values = zip(self.bench.merit.names, evaluation.values, strict=True)
        return {
            "climb": step.climb,
            "stage": step.stage,
            "step": step.count,
            "score": evaluation.standing.score,
            "cost_of_strain": evaluation.cost,
            "values": {name: [value.value, value.std] for name, value in values},
            "violated": list(evaluation.violated),
            "in_domain": evaluation.prediction.in_domain,
            "recipe": step.point.recipe.to_dict(self.bench.screen),
        }
