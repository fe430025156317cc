"""Labelled records beside what the networks say of them: from these the uncertainty is fitted, and on these checked.

Of the sign of the strongest CD: its standard deviation is calibrated over all energies.  Phi(|height| / std) would be
the probability of a right sign if true heights of any size were as frequent as any others.  They are not: where they
are no larger than the errors, a predicted height is in part an error, of its own sign.  For true heights of normal
scatter t and errors s the probability is Phi(|height| / (s sqrt(1 + s^2 / t^2))), so that the error of the strongest CD
counts as larger by a factor.  It is fitted to what it is for: with it the right and wrong signs of labelled records
that no network has learnt from are likeliest, parents counting equally.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clusterml.inference.calibration import (
    LARGEST_REACH,
    LARGEST_SIGN_ERROR,
    Calibration,
    Novelty,
    Reach,
    Uncertainty,
    counted,
    normal_quantile,
    parent_weights,
)
from clusterml.spectrum.significance import SURE, judge_sign, significance
from clusterml.spectrum.spectrum import Spectrum
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

    def coverages(self, uncertainty: Uncertainty) -> dict[str, FloatArray]:
        """See :meth:`Uncertainty.coverages`."""
        return uncertainty.coverages(self.energy_ev, self.members, self.truth, self.novelties, self.scores)


def fit_reach(
    calibration: Calibration,
    energy_ev: FloatArray,
    members: Mapping[str, FloatArray],
    truth: Mapping[str, FloatArray],
    parents: Sequence[str],
    scores: FloatArray,
) -> Reach:
    """The smallest growth with which the intervals hold the truth of labelled geometries from elsewhere as often as
    ``calibration`` promises, parents counting equally.

    Arguments as :func:`~clusterml.inference.calibration.calibrate`, with the domain ``scores`` (g,).
    """
    counts = counted(members, truth)

    def growth_of(quantity: str) -> float:
        points = counts[quantity]
        weights = parent_weights(parents)[:, None] * points / np.maximum(points.sum(axis=1, keepdims=True), 1)
        error = np.abs(truth[quantity] - members[quantity].mean(axis=0))
        half = calibration.spread(quantity, energy_ev, members[quantity]) * normal_quantile(calibration.level)
        valid = points & np.isfinite(half) & (half > 0.0)
        if not valid.any():
            return 0.0
        way = np.broadcast_to(np.clip(scores, 1e-3, 1.0)[:, None], valid.shape)
        growth = (error[valid] / half[valid] - 1.0) / way[valid]
        order = np.argsort(growth)
        share = np.cumsum(weights[valid][order])
        at = min(int(np.searchsorted(share, calibration.level * share[-1])), len(order) - 1)
        return float(np.clip(growth[order[at]], 0.0, LARGEST_REACH))

    return Reach(*map(growth_of, counts))


def by_parent(records: LabelledOutputs) -> list[tuple[LabelledOutputs, LabelledOutputs]]:
    """The records of each parent, and those of the others; of a single parent both are the same."""
    parents = np.array(records.parents)
    pairs = []
    for parent in np.unique(parents):
        of_parent = parents == parent
        pairs.append((records.select(of_parent), records.select(~of_parent if (~of_parent).any() else of_parent)))
    return pairs


@dataclass(frozen=True)
class Signs:
    """The strongest CD of labelled records: ``ratio`` (g,), its height in standard deviations, NaN where there is no CD
    or no deviation is known; ``right`` (g,): whether the label has its sign there; ``parents`` (g,)."""

    ratio: FloatArray
    right: BoolArray
    parents: tuple[str, ...]

    def select(self, rows: BoolArray) -> Signs:
        """Those of ``rows`` (g,)."""
        parents = tuple(np.array(self.parents)[rows].tolist())
        return Signs(self.ratio[rows], self.right[rows], parents)

    def sure(self, sign_error: float) -> BoolArray:
        """Where (g,) the sign is stated to be right with :data:`~clusterml.spectrum.significance.SURE` or more."""
        stated = [judge_sign(ratio, sign_error)[1] for ratio in self.ratio.tolist()]
        measured = np.isfinite(self.ratio)
        return measured & np.array([value is not None and value >= SURE for value in stated], dtype=np.bool_)


def strongest_signs(
    energy_ev: FloatArray,
    predicted: Mapping[str, FloatArray],
    std: FloatArray,
    truth: FloatArray,
    parents: Sequence[str],
) -> Signs:
    """The strongest CD of records as :func:`~clusterml.spectrum.significance.significance` sees it, beside the label.

    ``predicted``: ``epsilon`` and ``delta_epsilon``, each (g, m) at ``energy_ev`` (m,); ``std`` (g, m) of the CD, NaN
    where it is not known; ``truth`` (g, m): the label's CD; ``parents`` (g,).
    """
    ratio, right = np.full(len(truth), np.nan), np.zeros(len(truth), dtype=np.bool_)
    absorption = np.maximum(predicted["epsilon"], 0.0)
    for row, cd in enumerate(predicted["delta_epsilon"]):
        strongest = significance(Spectrum(energy_ev, absorption[row], cd, None, std[row]))
        if strongest.energy_ev is None or strongest.height is None or not strongest.std:
            continue
        ratio[row] = abs(strongest.height) / strongest.std
        right[row] = np.interp(strongest.energy_ev, energy_ev, truth[row]) * strongest.height > 0.0
    return Signs(ratio, right, tuple(parents))


def fit_sign_error(signs: Signs) -> float:
    """The error of the strongest CD, in its standard deviations, with which the stated probabilities of a right sign
    are likeliest; 1 to :data:`LARGEST_SIGN_ERROR`, 1 where nothing was measured."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_ndtr

    measured = np.isfinite(signs.ratio)
    if not measured.any():
        return 1.0
    usable = signs.select(measured)
    weights = parent_weights(usable.parents)
    signed = np.where(usable.right, usable.ratio, -usable.ratio)

    def unlikely(logarithm: float) -> float:
        return -float(weights @ log_ndtr(signed / np.exp(logarithm)))

    best = minimize_scalar(unlikely, bounds=(0.0, np.log(LARGEST_SIGN_ERROR)), method="bounded")
    return float(np.exp(best.x)) if unlikely(best.x) < unlikely(0.0) else 1.0


def sign_error_of_mean(cd: FloatArray, standard_error: FloatArray) -> float:
    """The error of the strongest CD of a mean ``cd`` (m,) over snapshots, in its ``standard_error`` (m,), which both
    are taken over all energies for; 1 to :data:`LARGEST_SIGN_ERROR`.

    Of a mean whose true CD is zero the strongest of a dozen bands is two standard errors high.  See the module: with s
    from the snapshots, t^2 = <height^2> - s^2 is what the bands scatter more than chance.
    """
    height, error = float(np.mean(cd**2)), float(np.mean(standard_error**2))
    if error == 0.0:
        return 1.0
    real = max(height - error, height / LARGEST_SIGN_ERROR**2)
    return float(np.sqrt(height / real)) if real > 0.0 else LARGEST_SIGN_ERROR
