"""The part of a spectrum that a picture shows, and its axis: photon energy or wavelength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from clusterml.errors import OptionError
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray
from clusterml.units import ev_to_nm

Axis: TypeAlias = Literal["ev", "nm"]
"""Unit of the axis of a picture."""
FAINT = 0.01
"""An axis without a range ends at low energies where every curve stays below this share of its largest value."""
SMALLEST_G = 1e-5
"""CD below this share of the absorption is not measurable; CD and g axes reach at least this far."""
BEYOND = 50.0
"""Spectra of clusters end below this many eV, and this many nm are 25 eV."""
ROUND_NM, ROUND_EV = 50.0, 0.1
"""That end is then rounded outwards to a multiple of this."""


@dataclass(frozen=True)
class View:
    """``axis``: eV or nm, linear in that unit.  ``limits``: the range, ascending, in the unit of the axis; None: all.

    "All" leaves out the end at low energies where the curves vanish: of an nm axis it would take most.

    Examples:
        >>> import clusterml as cm
        >>> spectrum = cm.Spectrum([2.0, 3.0, 4.0], [1e4, 2e4, 1e4], [5.0, -20.0, 0.0])
        >>> figure = spectrum.plot("spectrum.png", view=cm.View("nm"))
    """

    axis: Axis = "ev"
    limits: tuple[float, float] | None = None

    def x(self, energy_ev: FloatArray) -> FloatArray:
        """Positions on the axis (m,) of photon energies (m,) in eV."""
        return energy_ev if self.axis == "ev" else ev_to_nm(energy_ev)

    def shown(self, spectra: Sequence[Spectrum]) -> tuple[float, float]:
        """The limits of the axis, ascending, for a picture of ``spectra``.

        Raises :class:`OptionError` if fewer than 2 points of every spectrum lie within ``limits``.
        """
        low, high = self.limits or self._ends(spectra)
        if self.limits is None and self.axis == "nm":
            return low, min(high, max(_end_nm(spectrum) for spectrum in spectra))
        if self.limits is None:
            return max(low, min(_start_ev(spectrum) for spectrum in spectra)), high
        if max(np.count_nonzero(self.inside(spectrum, (low, high))) for spectrum in spectra) < 2:
            raise self._outside(*self._ends(spectra))
        return low, high

    def check(self, low_ev: float, high_ev: float) -> None:
        """Raise :class:`OptionError` if no part of a spectrum from ``low_ev`` to ``high_ev`` would be shown."""
        first, last = sorted(self.x(np.array([low_ev, high_ev])).tolist())
        if self.limits is not None and (self.limits[1] <= first or self.limits[0] >= last):
            raise self._outside(first, last)

    def _ends(self, spectra: Sequence[Spectrum]) -> tuple[float, float]:
        ends = [float(end) for spectrum in spectra for end in self.x(spectrum.energy_ev[[0, -1]])]
        return min(ends), max(ends)

    def _outside(self, first: float, last: float) -> OptionError:
        low, high = self.limits or (first, last)
        unit = "eV" if self.axis == "ev" else "nm"
        return OptionError(
            f"the range {low:g}:{high:g} {unit} holds no part of a spectrum from {first:.4g} to {last:.4g} {unit}",
            "choose a range inside; it is in the unit of --axis (ev or nm)",
        )

    def inside(self, spectrum: Spectrum, limits: tuple[float, float]) -> np.ndarray:
        """Which points (m,) of ``spectrum`` lie within ``limits`` (in the axis' unit)."""
        x = self.x(spectrum.energy_ev)
        return np.asarray((x >= limits[0]) & (x <= limits[1]))


WHOLE = View()
"""All of a spectrum, over photon energies."""


def parse_view(axis: Axis, text: str | None) -> View:
    """The view of ``--axis`` and ``--range LOW:HIGH``, in the unit of the axis; raises :class:`OptionError`."""
    if text is None:
        return View(axis)
    example = "give LOW:HIGH in the unit of --axis, e.g. --axis nm --range 250:900"
    try:
        low, high = sorted(float(word) for word in text.split(":"))
    except ValueError as error:
        raise OptionError(f"--range is '{text[:40]}'", example) from error
    if not (math.isfinite(high) and 0.0 < low < high):
        raise OptionError(f"--range is '{text[:40]}'", f"two different positive numbers are needed: {example}")
    if axis == "ev" and low >= BEYOND:
        raise OptionError(f"--range {text} is in eV, and looks like nm", "add --axis nm")
    if axis == "nm" and high <= BEYOND:
        raise OptionError(f"--range {text} is in nm, and looks like eV", "leave --axis nm out")
    return View(axis, (low, high))


def _end_nm(spectrum: Spectrum) -> float:
    """The wavelength (nm) beyond which the curves vanish, rounded."""
    return ROUND_NM * math.ceil(ev_to_nm(_first_ev(spectrum)) / ROUND_NM)


def _start_ev(spectrum: Spectrum) -> float:
    """The energy (eV) below which the curves vanish, rounded."""
    return ROUND_EV * math.floor(_first_ev(spectrum) / ROUND_EV)


def _first_ev(spectrum: Spectrum) -> float:
    """The lowest energy (eV) at which a curve is seen."""
    visible = np.zeros(len(spectrum), dtype=bool)
    least = SMALLEST_G * float(np.nan_to_num(spectrum.epsilon).max())
    for values, floor in ((spectrum.epsilon, 0.0), (spectrum.delta_epsilon, least)):
        size = np.abs(np.nan_to_num(values))
        visible |= size > max(FAINT * float(size.max()), floor)
    first = int(visible.argmax()) if visible.any() else 0
    return float(spectrum.energy_ev[first])
