"""Labelled records beside what the networks say of them: from these the uncertainty is fitted, and on these checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from clusterml.inference.calibration import Novelty, Uncertainty, fit_reach
from clusterml.inference.signs import Signs, fit_sign_error, strongest_signs
from clusterml.typing import BoolArray, FloatArray


@dataclass(frozen=True)
class Labelled:
    """``members`` (k, g, m) of k networks and ``truth`` (g, m) of g records, by quantity at ``energy_ev`` (m,); their
    ``parents`` (g,), ``novelties`` (g,), domain ``scores`` (g,), and whether they are ``inside`` (g,) the domain."""

    energy_ev: FloatArray
    members: Mapping[str, FloatArray]
    truth: Mapping[str, FloatArray]
    parents: tuple[str, ...]
    novelties: tuple[Novelty | None, ...]
    scores: FloatArray
    inside: BoolArray

    def chosen(self, rows: BoolArray) -> Labelled:
        """The records ``rows`` (g,)."""
        kept = np.flatnonzero(rows)
        return replace(
            self,
            members={key: values[:, kept] for key, values in self.members.items()},
            truth={key: values[kept] for key, values in self.truth.items()},
            parents=tuple(self.parents[row] for row in kept),
            novelties=tuple(self.novelties[row] for row in kept),
            scores=self.scores[kept],
            inside=self.inside[kept],
        )

    def reached(self, uncertainty: Uncertainty) -> Uncertainty:
        """``uncertainty`` with the growth of the spread that these records ask for."""
        known, parents = uncertainty.known, self.parents
        reach = fit_reach(known, self.energy_ev, self.members, self.truth, parents, self.scores)
        return replace(uncertainty, reach=reach)

    def signed(self, uncertainty: Uncertainty) -> Uncertainty:
        """``uncertainty`` with the error of the strongest CD that these records ask for, if it is larger."""
        error = fit_sign_error(self.signs(uncertainty))
        return replace(uncertainty, sign_error=max(uncertainty.sign_error, error))

    def signs(self, uncertainty: Uncertainty) -> Signs:
        """The strongest CD of the records in the domain: out of it no sign is stated."""
        own = self.chosen(self.inside)
        std = uncertainty.spread(
            "delta_epsilon", own.energy_ev, own.members["delta_epsilon"], own.novelties, own.scores
        )
        means = {key: values.mean(axis=0) for key, values in own.members.items()}
        return strongest_signs(own.energy_ev, means, std, own.truth["delta_epsilon"], own.parents)

    def coverage(self, uncertainty: Uncertainty, quantity: str) -> FloatArray:
        """See :meth:`Uncertainty.coverage`."""
        return uncertainty.coverage(
            quantity, self.energy_ev, self.members[quantity], self.truth[quantity], self.novelties, self.scores
        )


def by_parent(records: Labelled) -> list[tuple[Labelled, Labelled]]:
    """The records of each parent, and those of the others; of a single parent both are the same."""
    parents = np.array(records.parents)
    pairs = []
    for parent in np.unique(parents):
        own = parents == parent
        pairs.append((records.chosen(own), records.chosen(~own if (~own).any() else own)))
    return pairs
