"""What may change on the way up: the amounts of the distortions, or every coordinate against the elastic network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from clusterml.errors import ClusterMLError
from clusterml.screening.config import Screen
from clusterml.screening.design.aim import Aim, Judged
from clusterml.screening.design.climb import climb
from clusterml.screening.making import Dropped, Maker
from clusterml.screening.points import extremes
from clusterml.screening.space import Recipe
from clusterml.screening.strain import elastic_hessian, superposed
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import compare
from clusterml.typing import FloatArray

REACH = 0.1
"""Longest step of an amount, as a share of half its range."""
FREE_REACH_A = 0.1
"""Longest step of a free coordinate."""
_DIFFERENCE = 1e-3  # of half the range, for derivatives of positions by amounts
_SOFTEST = 1.0  # eV/A^2, added to the elastic network so that soft motions are not all that moves


@dataclass(frozen=True)
class Climbed:
    """A point on the way: the ``recipe`` it is made by (before atoms moved freely), and what is there."""

    recipe: Recipe
    judged: Judged


def by_amounts(aim: Aim, maker: Maker, screen: Screen, start: Climbed, steps: int) -> Iterator[Climbed]:
    """Climb on the amounts of the candidate's distortions, within the ranges that the screen gives them."""
    recipe = start.recipe
    low, high = _ranges(screen, recipe)
    middle, half = 0.5 * (high + low), 0.5 * (high - low)

    def at(where: FloatArray) -> Recipe:
        amounts = middle + half * where
        return replace(recipe, amounts=tuple((k, float(a)) for (k, _), a in zip(recipe.amounts, amounts, strict=True)))

    def look(where: FloatArray) -> Judged | None:
        return _judged(aim, maker, at(where))

    def direction(where: FloatArray, here: Judged) -> FloatArray:
        slope = aim.slope(here.atoms)
        found = np.zeros(len(where))
        for k in np.flatnonzero(half):
            ends = []
            for sign in (-1.0, 1.0):
                there = where.copy()
                there[k] = np.clip(where[k] + sign * _DIFFERENCE, -1.0, 1.0)
                moved = _positions(maker, at(there))
                ends.append((where[k], here.atoms.positions) if moved is None else (there[k], moved))
            (before, x), (after, y) = ends
            if after > before:
                found[k] = np.sum(slope * (y - x)) / (after - before)
        found[((where >= 1.0) & (found > 0.0)) | ((where <= -1.0) & (found < 0.0))] = 0.0
        return found

    given = np.array([amount for _, amount in recipe.amounts])
    where = np.divide(given - middle, half, out=np.zeros_like(given), where=half > 0.0)
    for there, judged in climb((where, start.judged), direction, look, steps, REACH, 1.0):
        yield Climbed(at(there), judged)


def freely(aim: Aim, start: Climbed, steps: int, penalty: float) -> Iterator[Climbed]:
    """The ``start`` with what its strain costs, then a climb with every coordinate as long as the chemistry stays.

    1 eV of elastic strain costs ``penalty``.  Steps follow the elastic network: where it is stiff, atoms move less.
    """
    subject = Subject(aim.rest)
    factor = cho_factor(penalty * (elastic_hessian(aim.rest) + _SOFTEST * np.eye(3 * len(aim.rest))))
    rest, begun = aim.rest.positions, start.judged.atoms.copy()
    begun.positions = rest + superposed(begun.positions, rest)[1]  # the elastic network is not turned

    def look(where: FloatArray) -> Judged | None:
        atoms = start.judged.atoms.copy()
        atoms.positions = where.reshape(-1, 3)
        try:
            return None if compare(subject, atoms.positions).wrong else aim.at(atoms, penalty)
        except ClusterMLError:
            return None

    def direction(where: FloatArray, here: Judged) -> FloatArray:
        return np.asarray(cho_solve(factor, aim.slope(here.atoms, penalty).ravel()))

    first = aim.at(begun, penalty)
    yield Climbed(start.recipe, first)
    for _, judged in climb((begun.positions.ravel(), first), direction, look, steps, FREE_REACH_A):
        yield Climbed(start.recipe, judged)


def _ranges(screen: Screen, recipe: Recipe) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest amount (k,) of each distortion of a recipe."""
    block = None if recipe.place is None else screen.distortions[recipe.place.block]
    ranges = [] if block is None else [extremes(block, amounts) for amounts in block.modes.values()]
    return np.array([min(each) for each in ranges]), np.array([max(each) for each in ranges])


def _judged(aim: Aim, maker: Maker, recipe: Recipe) -> Judged | None:
    atoms = maker.make(recipe)
    try:
        return None if isinstance(atoms, Dropped) else aim.at(atoms)
    except ClusterMLError:
        return None


def _positions(maker: Maker, recipe: Recipe) -> FloatArray | None:
    """Positions (n, 3) of a recipe, None where there are none."""
    atoms = maker.make(recipe)
    return None if isinstance(atoms, Dropped) else np.asarray(atoms.positions)
