"""The search in the amounts of a candidate's distortions: a quadratic model of the score within a trust region.

It needs no derivatives, so that every network and every measure will do.  The method is COBYQA (T. M. Ragonneau, Ph.D.
thesis, The Hong Kong Polytechnic University, 2022) of SciPy, which keeps ranges and constraints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import Bounds, NonlinearConstraint, minimize

from clusterml.errors import ClusterMLError
from clusterml.screening.config import Screen
from clusterml.screening.design.climb import Aim, ClimbPoint, PointEvaluation
from clusterml.screening.making import Maker, Rejection
from clusterml.screening.space import Recipe, extremes
from clusterml.typing import FloatArray

_FIRST_REACH, _LAST_REACH = 0.25, 0.01
"""Radius of the trust region at the start and at the end, as shares of half the range of an amount."""
_MARGIN = 0.01
"""How far the search stays within limits, in the steps of their measures, so that its end does not lie beyond."""


def climb_amounts(
    aim: Aim, maker: Maker, screen: Screen, start: ClimbPoint, steps: int, take: Callable[[ClimbPoint], None]
) -> None:
    """Search near ``start`` for better amounts, within their ranges in ``screen``; ``take`` is called with every point
    that is better than all before.

    Of k amounts 2 k + 1 geometries are looked at for a first model, then at most ``steps``.  Better: fewer constraints
    violated, or as many and a higher score.
    """
    search = _Search(aim, maker, screen, start, take)
    count = len(search.first)
    if not count or not steps:
        return
    limits = np.array([line.limits for line in screen.constraints], dtype=float).reshape(-1, 2)  # None becomes NaN
    least, most = (limits / search.scales[:, None]).T
    within = NonlinearConstraint(
        search.limited, np.nan_to_num(least + _MARGIN, nan=-np.inf), np.nan_to_num(most - _MARGIN, nan=np.inf)
    )
    minimize(
        search.cost,
        search.first,
        method="COBYQA",
        bounds=Bounds(-np.ones(count), np.ones(count)),
        constraints=[within] if screen.constraints else [],
        options={
            "initial_tr_radius": _FIRST_REACH,
            "final_tr_radius": _LAST_REACH,
            "maxfev": 2 * count + 1 + steps,
        },
    )


class _Search:
    """The score and the limited values as functions of the amounts that have a range, each from -1 to 1."""

    def __init__(
        self, aim: Aim, maker: Maker, screen: Screen, start: ClimbPoint, take: Callable[[ClimbPoint], None]
    ) -> None:
        self._aim, self._maker, self._take = aim, maker, take
        self._best, self._recipe = start.evaluation, start.recipe
        self._amounts = np.array([amount for _, amount in start.recipe.amounts])
        low, high = _ranges(screen, start.recipe)
        self._varies = high > low
        self._middle, self._half = (x[self._varies] for x in (0.5 * (high + low), 0.5 * (high - low)))
        self.first = (self._amounts[self._varies] - self._middle) / self._half
        self.scales = np.array([line.kind.step for line in screen.constraints])
        self._last: tuple[bytes, PointEvaluation | None] = (self.first.tobytes(), start.evaluation)

    def cost(self, x: FloatArray) -> float:
        """Minus the score at ``x``; NaN where there is no valid geometry."""
        evaluation = self._at(x)
        return np.nan if evaluation is None else -evaluation.score

    def limited(self, x: FloatArray) -> FloatArray:
        """Values of the constraints, in the steps of their measures; NaN where there is no valid geometry."""
        evaluation, count = self._at(x), len(self.scales)
        if evaluation is None:
            return np.full(count, np.nan)
        return np.array([value.value for value in evaluation.values[-count:]]) / self.scales

    def _at(self, x: FloatArray) -> PointEvaluation | None:
        key = x.tobytes()  # both functions are asked for the same point, one after the other
        if key != self._last[0]:
            recipe = self._recipe_at(x)
            self._last = key, _evaluated(self._aim, self._maker, recipe)
            self._keep(recipe, self._last[1])
        return self._last[1]

    def _keep(self, recipe: Recipe, evaluation: PointEvaluation | None) -> None:
        if evaluation is not None and _rank(evaluation) > _rank(self._best):
            self._best = evaluation
            self._take(ClimbPoint(recipe, evaluation))

    def _recipe_at(self, x: FloatArray) -> Recipe:
        amounts = self._amounts.copy()
        amounts[self._varies] = self._middle + self._half * np.clip(x, -1.0, 1.0)
        names = (name for name, _ in self._recipe.amounts)
        return replace(self._recipe, amounts=tuple(zip(names, amounts.tolist(), strict=True)))


def _rank(evaluation: PointEvaluation) -> tuple[int, float]:
    return -len(evaluation.violated), evaluation.score


def _ranges(screen: Screen, recipe: Recipe) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest amount (k,) of each distortion of a recipe."""
    block = None if recipe.place is None else screen.distortions[recipe.place.block]
    ranges = [] if block is None else [extremes(block, amounts) for amounts in block.modes.values()]
    return np.array([min(amounts) for amounts in ranges]), np.array([max(amounts) for amounts in ranges])


def _evaluated(aim: Aim, maker: Maker, recipe: Recipe) -> PointEvaluation | None:
    atoms = maker.make(recipe)
    try:
        return None if isinstance(atoms, Rejection) else aim.evaluate(atoms)
    except ClusterMLError:
        return None
