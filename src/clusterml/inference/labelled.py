"""Labelled records beside what the networks say of them: from these the uncertainty is fitted, and on these checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from clusterml.inference.calibration import Novelty, Uncertainty, fit_reach
from clusterml.inference.signs import Signs, fit_sign_error, strongest_signs
from clusterml.typing import BoolArray, FloatArray


@dataclass(frozen=True)
class LabelledOutputs:
    """``members`` (k, g, m) of k networks and ``truth`` (g, m) of g records, by quantity at ``energy_ev`` (m,); their
    ``parents`` (g,), ``novelties`` (g,), domain ``scores`` (g,), and whether they are ``inside`` (g,) the domain."""

    energy_ev: FloatArray
    members: Mapping[str, FloatArray]
    truth: Mapping[str, FloatArray]
    parents: tuple[str, ...]
    novelties: tuple[Novelty | None, ...]
    scores: FloatArray
    inside: BoolArray

    def select(self, rows: BoolArray) -> LabelledOutputs:
        """The records ``rows`` (g,)."""
        indices = np.flatnonzero(rows)
        return replace(
            self,
            members={key: values[:, indices] for key, values in self.members.items()},
            truth={key: values[indices] for key, values in self.truth.items()},
            parents=tuple(self.parents[row] for row in indices),
            novelties=tuple(self.novelties[row] for row in indices),
            scores=self.scores[indices],
            inside=self.inside[indices],
        )

    def with_reach(self, uncertainty: Uncertainty) -> Uncertainty:
        """``uncertainty`` with the growth of the spread that these records ask for."""
        calibration, parents = uncertainty.calibration, self.parents
        reach = fit_reach(calibration, self.energy_ev, self.members, self.truth, parents, self.scores)
        return replace(uncertainty, reach=reach)

    def with_sign_error(self, uncertainty: Uncertainty) -> Uncertainty:
        """``uncertainty`` with the error of the strongest CD that these records ask for, if it is larger."""
        error = fit_sign_error(self.signs(uncertainty))
        return replace(uncertainty, sign_error=max(uncertainty.sign_error, error))

    def signs(self, uncertainty: Uncertainty) -> Signs:
        """The strongest CD of the records in the domain: out of it no sign is stated."""
        in_domain = self.select(self.inside)
        std = uncertainty.spread(
            "delta_epsilon",
            in_domain.energy_ev,
            in_domain.members["delta_epsilon"],
            in_domain.novelties,
            in_domain.scores,
        )
        means = {key: values.mean(axis=0) for key, values in in_domain.members.items()}
        return strongest_signs(in_domain.energy_ev, means, std, in_domain.truth["delta_epsilon"], in_domain.parents)

    def coverage(self, uncertainty: Uncertainty, quantity: str) -> FloatArray:
        """See :meth:`Uncertainty.coverage`."""
        return uncertainty.coverage(
            quantity, self.energy_ev, self.members[quantity], self.truth[quantity], self.novelties, self.scores
        )


def by_parent(records: LabelledOutputs) -> list[tuple[LabelledOutputs, LabelledOutputs]]:
    """The records of each parent, and those of the others; of a single parent both are the same."""
    parents = np.array(records.parents)
    pairs = []
    for parent in np.unique(parents):
        of_parent = parents == parent
        pairs.append((records.select(of_parent), records.select(~of_parent if (~of_parent).any() else of_parent)))
    return pairs
