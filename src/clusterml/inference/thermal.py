"""The network's nuclear-ensemble spectrum: what a sample at a temperature shows, as the mean over thermal snapshots.

Snapshots as :mod:`clusterml.stda.ensemble` labels them: the thermal motion of an elastic network about the geometry.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError
from clusterml.stda.ensemble import MOST_MEMBERS

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Thermal:
    """Snapshots of a geometry: ``members`` of them at ``temperature_k``, drawn with ``seed``."""

    members: int = 32
    temperature_k: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises :class:`OptionError` for a number that cannot be drawn."""
        if not 2 <= self.members <= MOST_MEMBERS:
            raise OptionError(f"ensemble is {self.members}", f"give a number of snapshots between 2 and {MOST_MEMBERS}")

    def of(self, atoms: Atoms) -> list[Atoms]:
        """The snapshots.  Raises :class:`~clusterml.errors.StructureError` if none keeps the chemistry."""
        from clusterml.structure.distort.ensemble import snapshots

        return snapshots(atoms, self.temperature_k, self.members, rng=np.random.default_rng(self.seed))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the provenance."""
        return {**asdict(self), "motion": "elastic network"}
