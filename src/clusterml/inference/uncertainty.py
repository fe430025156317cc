"""How sure a checkpoint is: its calibration for known clusters, and those for ligands and clusters it has not seen.

The spread of an ensemble says little where nothing was learnt.  There the errors count that networks of the same kind,
trained without some ligands or clusters, made on these (calibrated by themselves, parents counting equally): relative
to the size of the predicted spectrum, as their members' spread is another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from clusterml.errors import InputFileError
from clusterml.inference.calibration import Calibration, normal_quantile
from clusterml.typing import FloatArray

Novelty = Literal["ligand", "cluster"]
"""What of a structure no training data held: a ligand, or the metal core."""
NOVELTIES: tuple[Novelty, ...] = get_args(Novelty)


@dataclass(frozen=True)
class Uncertainty:
    """``known``: for compositions that training held; ``novel``: for others, where it was measured."""

    known: Calibration
    novel: Mapping[Novelty, Calibration] = field(default_factory=dict)

    def spread(
        self, quantity: str, energy_ev: FloatArray, members: FloatArray, novelties: Sequence[Novelty | None]
    ) -> FloatArray:
        """The calibrated standard deviation (g, m) of the mean of ``members`` (k, g, m), see
        :meth:`Calibration.spread`; ``novelties`` (g,): for a novel structure the larger of both."""
        found = self.known.spread(quantity, energy_ev, members)
        mean = members.mean(axis=0, keepdims=True)
        for novelty, calibration in self.novel.items():
            rows = [row for row, own in enumerate(novelties) if own == novelty]
            found[rows] = np.maximum(found[rows], calibration.spread(quantity, energy_ev, mean[:, rows]))
        return found

    def coverage(
        self,
        quantity: str,
        energy_ev: FloatArray,
        members: FloatArray,
        truth: FloatArray,
        novelties: Sequence[Novelty | None],
    ) -> FloatArray:
        """Share (g,) of each record's energies at which the interval holds the truth (g, m); aim: the level, 0.9."""
        half = self.spread(quantity, energy_ev, members, novelties) * normal_quantile(self.known.level)
        return np.mean(np.abs(truth - members.mean(axis=0)) <= half, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return {"calibration": self.known.to_dict(), "novel": {key: own.to_dict() for key, own in self.novel.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Uncertainty:
        """What :meth:`to_dict` gave (without ``novel`` for the first schema); raises :class:`InputFileError` naming
        ``source`` if it is anything else."""
        novel = values.get("novel", {})
        if not isinstance(novel, dict) or not set(novel) <= set(NOVELTIES):
            problem = f"{source}: novel is not a mapping of {', '.join(NOVELTIES)} to calibrations"
            raise InputFileError(problem, "get the checkpoint again")
        measured = {key: Calibration.from_dict(novel[key], source) for key in NOVELTIES if key in novel}
        return cls(Calibration.from_dict(values.get("calibration"), source), measured)
