"""How sure a checkpoint is: its calibration for known clusters, and those for ligands and clusters it has not seen.

The spread of an ensemble says little where nothing was learnt.  There the errors count that networks of the same kind,
trained without some ligands or clusters, made on these (calibrated by themselves, parents counting equally): relative
to the size of the predicted spectrum, as their members' spread is another's.

Known clusters in a geometry from elsewhere (other conformers, a frame scaled or relaxed by another method) lie between:
the spread grows with the distance from the training geometries by a factor 1 + k min(score, 1), with the k that makes
the intervals hold on labelled geometries of this kind (see :func:`fit_reach`).

The error of the strongest CD, on which its sign depends, is larger again (:mod:`clusterml.inference.signs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from clusterml.errors import InputFileError
from clusterml.inference.calibration import Calibration, absorbs, normal_quantile, parent_weights
from clusterml.inference.signs import LARGEST_SIGN_ERROR
from clusterml.typing import FloatArray

Novelty = Literal["ligand", "cluster"]
"""What of a structure no training data held: a ligand, or the metal core."""
NOVELTIES: tuple[Novelty, ...] = get_args(Novelty)


LARGEST_REACH = 20.0
"""Largest growth of the spread with the distance from the training geometries that is tried."""


@dataclass(frozen=True)
class Reach:
    """How much the spread grows on the way to the edge of the domain: by 1 + ``epsilon``, or ``delta_epsilon``."""

    epsilon: float = 0.0
    delta_epsilon: float = 0.0

    def factors(self, quantity: str, scores: FloatArray | None) -> FloatArray | float:
        """The factor (g, 1) on the spread of structures with the domain ``scores`` (g,); 1 where they are unknown."""
        if scores is None:
            return 1.0
        return np.asarray(1.0 + getattr(self, quantity) * np.clip(scores, 0.0, 1.0)[:, None])


@dataclass(frozen=True)
class Uncertainty:
    """``known``: for compositions that training held; ``novel``: for others, where it was measured; ``reach``: for
    geometries away from those of training; ``sign_error``: the error of the strongest CD, in standard deviations."""

    known: Calibration
    novel: Mapping[Novelty, Calibration] = field(default_factory=dict)
    reach: Reach = Reach()
    sign_error: float = 1.0

    def spread(
        self,
        quantity: str,
        energy_ev: FloatArray,
        members: FloatArray,
        novelties: Sequence[Novelty | None],
        scores: FloatArray | None = None,
    ) -> FloatArray:
        """The calibrated standard deviation (g, m) of the mean of ``members`` (k, g, m), see
        :meth:`Calibration.spread`; ``novelties`` (g,): for a novel structure the larger of both; ``scores`` (g,):
        distances from the training geometries, see :class:`~clusterml.inference.domain.Domain`."""
        std = self.known.spread(quantity, energy_ev, members) * self.reach.factors(quantity, scores)
        mean = members.mean(axis=0, keepdims=True)
        for novelty, calibration in self.novel.items():
            rows = [row for row, own in enumerate(novelties) if own == novelty]
            # fmax: what one of them has not measured does not hide the other
            std[rows] = np.fmax(std[rows], calibration.spread(quantity, energy_ev, mean[:, rows]))
        return std

    def coverage(
        self,
        quantity: str,
        energy_ev: FloatArray,
        members: FloatArray,
        truth: FloatArray,
        novelties: Sequence[Novelty | None],
        scores: FloatArray | None = None,
    ) -> FloatArray:
        """Share (g,) of each record's energies, of those with an interval, at which it holds the truth (g, m); aim:
        the level, 0.9."""
        half = self.spread(quantity, energy_ev, members, novelties, scores) * normal_quantile(self.known.level)
        inside = np.abs(truth - members.mean(axis=0)) <= half
        return np.sum(inside, axis=1) / np.maximum(np.sum(np.isfinite(half), axis=1), 1)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        novel = {key: own.to_dict() for key, own in self.novel.items()}
        reach = asdict(self.reach)
        return {"calibration": self.known.to_dict(), "reach": reach, "sign_error": self.sign_error, "novel": novel}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Uncertainty:
        """What :meth:`to_dict` gave (older schemas lack parts of it); raises :class:`InputFileError` naming ``source``
        if it is anything else."""
        novel = values.get("novel", {})
        if not isinstance(novel, dict) or not set(novel) <= set(NOVELTIES):
            problem = f"{source}: novel is not a mapping of {', '.join(NOVELTIES)} to calibrations"
            raise InputFileError(problem, "get the checkpoint again")
        measured = {key: Calibration.from_dict(novel[key], source) for key in NOVELTIES if key in novel}
        known = Calibration.from_dict(values.get("calibration"), source)
        return cls(known, measured, _reach(values, source), _sign_error(values, source))


def fit_reach(
    known: Calibration,
    energy_ev: FloatArray,
    members: Mapping[str, FloatArray],
    truth: Mapping[str, FloatArray],
    parents: Sequence[str],
    scores: FloatArray,
) -> Reach:
    """The smallest growth with which the intervals hold the truth of labelled geometries from elsewhere as often as
    ``known`` promises, parents counting equally.

    Arguments as :func:`~clusterml.inference.calibration.calibrate`, with the domain ``scores`` (g,).
    """
    counts = absorbs(members["epsilon"].mean(axis=0), truth["epsilon"])
    weights = parent_weights(parents)[:, None] * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def needed(quantity: str) -> float:
        error = np.abs(truth[quantity] - members[quantity].mean(axis=0))
        half = known.spread(quantity, energy_ev, members[quantity]) * normal_quantile(known.level)
        used = counts & np.isfinite(half) & (half > 0.0)
        way = np.broadcast_to(np.clip(scores, 1e-3, 1.0)[:, None], used.shape)
        growth = (error[used] / half[used] - 1.0) / way[used]
        order = np.argsort(growth)
        share = np.cumsum(weights[used][order])
        at = min(int(np.searchsorted(share, known.level * share[-1])), len(order) - 1)
        return float(np.clip(growth[order[at]], 0.0, LARGEST_REACH))

    return Reach(*(needed(quantity) for quantity in ("epsilon", "delta_epsilon")))


def _reach(values: Mapping[str, Any], source: str) -> Reach:
    """The growth in ``values``, none where a file of version 0.1 does not know it."""
    try:
        reach = Reach(**{key: float(value) for key, value in values.get("reach", {}).items()})
    except (AttributeError, TypeError, ValueError) as error:
        raise InputFileError(f"{source}: reach is {values.get('reach')!r}", "get the checkpoint again") from error
    if not all(0.0 <= value <= LARGEST_REACH for value in (reach.epsilon, reach.delta_epsilon)):
        raise InputFileError(f"{source}: reach is {values.get('reach')!r}", "get the checkpoint again")
    return reach


def _sign_error(values: Mapping[str, Any], source: str) -> float:
    """The error of the strongest CD in ``values``, 1 where an older file does not know it."""
    value = values.get("sign_error", 1.0)
    if not isinstance(value, int | float) or not 1.0 <= value <= LARGEST_SIGN_ERROR:
        raise InputFileError(f"{source}: sign_error is {value!r}", "get the checkpoint again")
    return float(value)
