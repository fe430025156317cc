"""The steps of a design, and which of them is the best."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clusterml.screening.bench import Bench
from clusterml.screening.config import Screen
from clusterml.screening.design.climb import Climbed
from clusterml.screening.labels import Verified

if TYPE_CHECKING:
    from ase import Atoms

Stage = Literal["start", "amounts", "free"]


@dataclass(frozen=True)
class Step:
    """Step ``count`` of a ``stage`` of climb number ``climb`` (from 1), and what was found there.

    Step 0 of a stage is where it begins: of ``free`` the last point before, with what its strain costs.
    """

    climb: int
    stage: Stage
    count: int
    climbed: Climbed

    @property
    def name(self) -> str:
        """A name that no other step of the design has, and that a file can have."""
        return f"climb-{self.climb}-{self.stage}-{self.count:03d}"


@dataclass(frozen=True)
class Designed:
    """The user's ``screen``, the ``bench`` (of expected values, for the candidates that were drawn), the ``paths`` of
    all climbs, each from its start to its end, the folder of the screen that it started from or None, and the engine's
    word on the best end, or None."""

    screen: Screen
    bench: Bench
    paths: list[list[Step]]
    screened: Path | None = None
    label: Verified | None = None

    @property
    def end(self) -> Step:
        """The highest end."""
        return max((path[-1] for path in self.paths), key=lambda step: step.climbed.judged.order)

    @property
    def screens_best(self) -> Step | None:
        """The best candidate of the screen that was started from."""
        return None if self.screened is None else self.paths[0][0]

    @property
    def is_worse(self) -> bool:
        """Does the highest end have a lower score in the screen than the best candidate of that?"""
        best = self.screens_best
        return best is not None and self.end.climbed.judged.standing.order < best.climbed.judged.standing.order

    @property
    def best(self) -> Step:
        """The highest end, or the screen's best candidate where that is better."""
        best = self.screens_best
        return best if best is not None and self.is_worse else self.end

    def named(self, step: Step) -> Atoms:
        """The geometry of a step with its name, and what is known of it in its provenance."""
        judged = step.climbed.judged
        atoms = judged.atoms.copy()
        atoms.info |= {"name": step.name, "charge": judged.prediction.charge}
        atoms.info["provenance"] = {**atoms.info.get("provenance", {}), "design": self.described(step)}
        return atoms

    def described(self, step: Step) -> dict[str, Any]:
        """A step as plain values; ``values``: column to [value, standard deviation]."""
        judged = step.climbed.judged
        values = zip(self.bench.merit.names, judged.values, strict=True)
        return {
            "climb": step.climb,
            "stage": step.stage,
            "step": step.count,
            "score": judged.standing.score,
            "cost_of_strain": judged.cost,
            "values": {name: [value.value, value.std] for name, value in values},
            "violated": list(judged.violated),
            "in_domain": judged.prediction.in_domain,
            "recipe": step.climbed.recipe.to_dict(self.bench.screen),
        }
