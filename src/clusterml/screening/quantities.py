"""Ranges and quantities as written in a screen's YAML file: ``2..3 eV``, ``450 nm``, ``-20..20 by 1 deg``.

Every function raises ValueError with a sentence for the user; the schema adds the file and the key.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from clusterml.units import nm_to_ev

MOST_STEPS = 1_000_000
"""Longest grid of amounts or counts."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(?:by\s+({_NUMBER})\s*)?([^\d\s]\S*)?\s*")
_SINGLE = re.compile(rf"\s*({_NUMBER})\s*([^\d\s]\S*)?\s*")


@dataclass(frozen=True)
class Range:
    """``low`` to ``high`` in steps of ``step`` (None: not given) and in ``unit`` (empty: not given)."""

    low: float
    high: float
    step: float | None = None
    unit: str = ""

    def values(self) -> tuple[float, ...]:
        """The grid, with both ends where the steps reach them."""
        if self.step is None:
            raise ValueError("a grid needs steps: LOW..HIGH by STEP, or a list")
        count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        grid = (self.low + k * self.step for k in range(count))
        scale = abs(self.low) + abs(self.high)
        return tuple(0.0 if abs(x) < 1e-12 * scale else round(x, 12) for x in grid)


def parse_range(text: str) -> Range:
    """``LOW..HIGH [by STEP] [UNIT]``."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError("write LOW..HIGH UNIT, for example 2..3 eV or -20..20 by 1 deg")
    low, high = float(match[1]), float(match[2])
    step = None if match[3] is None else float(match[3])
    if not low < high:
        raise ValueError("the first number must be below the second")
    if step is not None and not (step > 0.0 and (high - low) / step < MOST_STEPS):
        raise ValueError(f"the step must be positive and give at most {MOST_STEPS} values")
    return Range(low, high, step, match[4] or "")


def parse_band(text: str, unit: str = "") -> tuple[float, float]:
    """``2..3 eV`` or ``400..600 nm`` as energies (low, high) in eV; ``unit``: of a text that gives none."""
    band = parse_range(text)
    if band.step is not None:
        raise ValueError("a band has no steps: LOW..HIGH eV")
    if band.low <= 0.0:
        raise ValueError("the energies of a band must be positive")
    low, high = sorted(_in_ev(end, band.unit or unit) for end in (band.low, band.high))
    return low, high


def parse_energy(text: str) -> float:
    """``450 nm`` or ``2.7 eV`` as an energy in eV."""
    value, unit = parse_single(text)
    if value <= 0.0:
        raise ValueError("an energy must be positive")
    return _in_ev(value, unit)


def parse_single(text: str) -> tuple[float, str]:
    """``5 %`` as a number and its unit (empty: none)."""
    match = _SINGLE.fullmatch(text)
    if match is None:
        raise ValueError("write a number with its unit, for example 450 nm or 5 %")
    return float(match[1]), match[2] or ""


def parse_counts(value: int | str | list[int]) -> tuple[int, ...]:
    """``3``, ``[0, 4, 8]`` or ``0..20 [by 2]`` as distinct whole numbers from 0 in ascending order."""
    if isinstance(value, str):
        limits = parse_range(value)
        step = 1.0 if limits.step is None else limits.step
        if not (limits.high - limits.low) / step < MOST_STEPS:
            raise ValueError(f"counts are at most {MOST_STEPS}")
        if limits.unit or any(x != int(x) for x in (limits.low, limits.high, step)):
            raise ValueError("counts are whole numbers: 0..20 or 0..20 by 2")
        value = list(range(int(limits.low), int(limits.high) + 1, int(step)))
    counts = tuple(sorted({value} if isinstance(value, int) else set(value)))
    if not counts or counts[0] < 0:
        raise ValueError("counts are whole numbers from 0, at least one")
    return counts


def _in_ev(value: float, unit: str) -> float:
    if unit == "eV":
        return value
    if unit == "nm":
        return nm_to_ev(value)
    raise ValueError(f"the unit is '{unit}', not eV or nm" if unit else "give the unit, eV or nm")
