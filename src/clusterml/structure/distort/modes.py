"""The available distortions: name, unit, meaning, sign convention and allowed range of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clusterml.errors import OptionError
from clusterml.typing import FloatArray

MIXTURE = "mixture"
NORMAL_MODE = "normal-mode"
THERMAL_NOISE = "thermal-noise"
WITH_AXIS = ("core-shell-twist", "shear", MIXTURE)
"""Modes that turn or shear about an axis."""


@dataclass(frozen=True)
class Mode:
    """One named distortion.

    ``unit`` of the amount; ``meaning`` and ``sign`` are sentences for the user; ``low`` and ``high`` bound the amount;
    ``typical`` is the amount that a random mixture takes for one standard deviation (0: never part of a mixture).
    ``mirrors``: on an achiral parent with a mirror plane through its axes, amount -x is the mirror image of +x.
    ``needs``: the kinds of motif it acts on (empty: any cluster). ``seeded``: it draws random numbers.
    """

    name: str
    unit: str
    meaning: str
    sign: str
    low: float
    high: float
    typical: float = 0.0
    mirrors: bool = False
    needs: tuple[str, ...] = ()
    seeded: bool = False


_TURN = "positive: anticlockwise seen from outside, looking down the outward axis at the cluster"

MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Mode(
            "trigon-rotation",
            "deg",
            "the metals of every apical trigon turn about its outward axis; a donor follows by its share of metals",
            _TURN,
            -45.0,
            45.0,
            typical=4.0,
            mirrors=True,
            needs=("trigon",),
        ),
        Mode(
            "crown-rotation",
            "deg",
            "the metals of every crown turn about its outward axis; a donor follows by its share of metals",
            _TURN,
            -45.0,
            45.0,
            typical=4.0,
            mirrors=True,
            needs=("crown",),
        ),
        Mode(
            "motif-twist",
            "deg",
            "every metal-sulfur motif (staple, crown, trigon) turns as one piece about its outward axis",
            _TURN,
            -45.0,
            45.0,
            typical=3.0,
            mirrors=True,
            needs=("staple", "crown", "trigon"),
        ),
        Mode(
            "core-shell-twist",
            "deg",
            "the shells turn about one axis, from not at all at the kernel to the full angle at the outermost metal",
            "positive: anticlockwise for a viewer at the tip of the axis",
            -45.0,
            45.0,
            typical=2.0,
            mirrors=True,
        ),
        Mode(
            "td-to-t",
            "fraction",
            "concerted path of Ag70 from Td to T: trigons with their sulfurs turn, the other thiolates turn back; 1 is "
            "the relaxed T model (2.6 deg)",
            _TURN,
            -5.0,
            5.0,
            typical=1.0,
            mirrors=True,
            needs=("trigon",),
        ),
        Mode(
            "breathing",
            "%",
            "metals and donors move away from the centre in proportion to their distance from it",
            "positive: the frame grows",
            -15.0,
            15.0,
            typical=1.0,
        ),
        Mode(
            "shear",
            "%",
            "pure shear of metals and donors in the plane normal to the axis (engineering strain, no rotation)",
            "positive: longer along u + v, shorter along u - v; u: from the axis to the farthest metal, v = axis x u",
            -30.0,
            30.0,
            typical=2.0,
        ),
        Mode(
            MIXTURE,
            "fraction",
            "a random sum of the modes this cluster has, each with a normal weight times its typical amount",
            "negative: every amount in the sum changes its sign",
            -3.0,
            3.0,
            seeded=True,
        ),
        Mode(
            THERMAL_NOISE,
            "A",
            "a thermal snapshot of the elastic network; root mean square displacement expected for a non-hydrogen atom",
            "negative: the opposite displacement",
            -0.5,
            0.5,
            seeded=True,
        ),
        Mode(
            NORMAL_MODE,
            "A",
            "one vibration of the elastic network (index from 1, softest first); shift of the atom that moves most",
            "positive: the largest component of the displacement is positive",
            -2.0,
            2.0,
        ),
    )
}
"""All distortions by name."""


def find_mode(name: str) -> Mode:
    """The mode called ``name``; raises :class:`OptionError` listing the names."""
    if name not in MODES:
        raise OptionError(f"mode is {name!r}", f"choose one of {', '.join(MODES)}")
    return MODES[name]


def check_amounts(mode: Mode, amounts: FloatArray) -> None:
    """Raise :class:`OptionError` unless all ``amounts`` ``(a,)`` are finite and in the mode's range."""
    bad = amounts[~((amounts >= mode.low) & (amounts <= mode.high))]
    if len(bad):
        raise OptionError(
            f"amount of {mode.name} is {bad[0]:g} {mode.unit}",
            f"give a number between {mode.low:g} and {mode.high:g} {mode.unit}",
        )


def check_rng(mode: Mode, rng: np.random.Generator | None) -> np.random.Generator:
    """The generator; raises :class:`OptionError` if the mode draws random numbers and none is given."""
    if rng is None:
        raise OptionError(f"{mode.name} draws random numbers", "give rng=numpy.random.default_rng(SEED)")
    return rng
