"""From measured values to merits, feasibility and the score that candidates are ranked by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterml.screening.config import Screen
from clusterml.screening.lines import Constraint, Goal, Objective
from clusterml.screening.measures.measure import Gauge, Value
from clusterml.typing import FloatArray


@dataclass(frozen=True)
class Standing:
    """How good a candidate is: ``score``, the ``merits`` of the objectives (larger is better, in the measures' units),
    and the names of the constraints that are ``violated``."""

    score: float
    merits: tuple[float, ...]
    violated: tuple[str, ...]

    @property
    def order(self) -> tuple[bool, float]:
        """Sort key: candidates that violate no constraint rank above all others."""
        return not self.violated, self.score


class Merit:
    """The objectives and constraints of a screen.

    ``names``: a column for each line, objectives first.  ``shift``: the number of standard deviations that is added in
    favour of a value.
    """

    def __init__(self, screen: Screen) -> None:
        self.objectives, self.constraints = screen.objectives, screen.constraints
        self.lines: tuple[Objective | Constraint, ...] = (*screen.objectives, *screen.constraints)
        self.names = _unique_names([line.measure[0] for line in self.lines])
        self.shift = {"expected": 0.0, "optimistic": 1.0, "pessimistic": -1.0}[screen.value] * screen.sigmas

    def gauges(self, energy_ev: FloatArray) -> list[Gauge]:
        """The gauge of each line, for spectra on ``energy_ev`` (m,).

        Raises :class:`~clusterml.errors.OptionError` for energies outside that range, and what reading a target or
        importing a function of the user's own raises.
        """
        return [line.kind.gauge(line.measure[1], energy_ev) for line in self.lines]

    def standing(self, values: Sequence[Value], *, certain: bool = False) -> Standing:
        """The standing of ``values``, one for each line; with ``certain`` their uncertainty does not count."""
        shift = 0.0 if certain else self.shift
        count = len(self.objectives)
        merits = tuple(
            merit(line.aim, value, shift) for line, value in zip(self.objectives, values[:count], strict=True)
        )
        worth = (line.weight / line.kind.step for line in self.objectives)
        score = sum(m * w for m, w in zip(merits, worth, strict=True))
        limits = zip(self.names[count:], self.constraints, values[count:], strict=True)
        violated = tuple(name for name, line, value in limits if not _is_satisfied(line, value, shift))
        return Standing(score, merits, violated)

    def describe(self) -> list[dict[str, object]]:
        """Each line as plain values: name, measure, its value, unit, and goal or limits."""
        entries: list[dict[str, object]] = []
        for name, line in zip(self.names, self.lines, strict=True):
            key, text = line.measure
            kind = line.kind
            entry: dict[str, object] = {"name": name, "measure": key, "of": text or "all energies", "unit": kind.unit}
            if line.function is not None:
                entry["of"] = Path(text).name
            if isinstance(line, Objective):
                entry |= {"goal": line.aim, "weight": line.weight, "step": kind.step}
            else:
                entry |= dict(zip(("at_least", "at_most"), line.limits, strict=True))
            entries.append(entry)
        return entries


def merit(aim: Goal | float, value: Value, shift: float) -> float:
    """How well a value serves an aim: larger is better.  ``shift`` standard deviations count in its favour."""
    gain = shift * (value.std or 0.0)
    if aim == "maximise":
        return value.value + gain
    if aim == "minimise":
        return -value.value + gain
    if aim == "magnitude":
        return abs(value.value) + gain
    return min(-abs(value.value - float(aim)) + gain, 0.0)


def merit_slope(aim: Goal | float, value: float) -> float:
    """Derivative of the merit with respect to the ``value``; at a kink, the derivative on the side of larger values."""
    if aim == "maximise":
        return 1.0
    if aim == "minimise":
        return -1.0
    if aim == "magnitude":
        return -1.0 if value < 0.0 else 1.0
    return -1.0 if value >= float(aim) else 1.0


def _is_satisfied(line: Constraint, value: Value, shift: float) -> bool:
    least, most = line.limits
    gain = shift * (value.std or 0.0)
    return (least is None or value.value + gain >= least) and (most is None or value.value - gain <= most)


def _unique_names(keys: Sequence[str]) -> tuple[str, ...]:
    """The keys; repeated ones are numbered from the second on: max_g, max_g_2."""
    names: list[str] = []
    for at, key in enumerate(keys):
        earlier = keys[:at].count(key)
        names.append(f"{key}_{earlier + 1}" if earlier else key)
    return tuple(names)
