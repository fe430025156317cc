"""How sure the strongest CD band of a spectrum is: the probability that its sign is right."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from clusterml.spectrum.peaks import Peak, find_bands
from clusterml.spectrum.spectrum import Spectrum
from clusterml.units import ev_to_nm

Verdict = Literal["significant", "not significant", "unknown", "no CD", "computed"]
"""``unknown``: nothing says how sure it is; ``no CD``: zero but for rounding, as symmetry has it; ``computed``: by the
engine, whose error is that of its protocol."""

SURE = 0.95
"""A CD is significant if the sign of its strongest band is right with at least this probability."""
NO_CD_G = 1e-6
"""CD below this share of the largest absorption is none: an achiral structure's, but for rounded coordinates."""


@dataclass(frozen=True)
class Significance:
    """Of the strongest CD band: ``energy_ev``, ``height`` (L mol-1 cm-1, signed) and its standard deviation ``std``.

    ``sign_probability``: that the sign is right, 0.5 to 1, see :func:`significance`.  All None where there is no CD;
    ``std`` and ``sign_probability`` None where nothing is known about them.
    """

    verdict: Verdict
    energy_ev: float | None = None
    height: float | None = None
    std: float | None = None
    sign_probability: float | None = None

    @property
    def words(self) -> str:
        """For a table: ``sign sure to 97 %``, or the verdict."""
        if self.verdict != "significant" or self.sign_probability is None:
            return self.verdict
        sure = 100.0 * self.sign_probability
        return "sign sure to > 99.9 %" if sure > 99.9 else f"sign sure to {math.floor(sure)} %"

    @property
    def sentence(self) -> str:
        """With the band: ``strongest CD -305 at 242 nm, not significant``."""
        if self.energy_ev is None or self.height is None:
            return self.words
        known = {"unknown": "significance unknown"}.get(self.verdict, self.words)
        return f"strongest CD {self.height:+.3g} at {ev_to_nm(self.energy_ev):.0f} nm, {known}"

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def judge_sign(value: float, std: float | None) -> tuple[Verdict, float | None]:
    """Is the sign of ``value`` sure, and how probably right is it, if its error is normal with ``std``?

    ``unknown`` and None where the standard deviation is not known (None or NaN).
    """
    if std is None or not math.isfinite(std):
        return "unknown", None
    exact = 0.5 if value == 0.0 else 1.0
    probability = NormalDist().cdf(abs(value) / std) if std > 0.0 else exact
    return ("significant" if probability >= SURE else "not significant"), probability


def has_no_cd(spectrum: Spectrum) -> bool:
    """Is the CD absent, or zero but for rounding?"""
    if not spectrum.has_cd:
        return True
    largest = float(np.abs(spectrum.delta_epsilon).max())
    floor = NO_CD_G * float(spectrum.epsilon.max()) if spectrum.has_absorption else 0.0
    return largest <= floor


def strongest_cd(spectrum: Spectrum) -> Peak | None:
    """The CD band of the largest height; None where there is no CD, or no band within the range."""
    bands = [] if has_no_cd(spectrum) else find_bands(spectrum, "delta_epsilon", shoulders=False)
    return max(bands, key=lambda band: abs(band.height), default=None)


def significance(spectrum: Spectrum, trusted: bool = True, sign_error: float = 1.0) -> Significance:
    """The significance of a spectrum's CD; unknown where its standard deviation there is absent or NaN.

    ``trusted``: False where the standard deviation does not hold, as outside the domain of a network.
    ``sign_error``: the error of a strongest band, in standard deviations of any energy: as it was chosen for its
    height, it may be larger than 1.  Without a band the largest value of the CD counts.
    """
    if has_no_cd(spectrum):
        return Significance("no CD")
    band = strongest_cd(spectrum)
    at = int(np.argmax(np.abs(spectrum.delta_epsilon)))
    energy = float(spectrum.energy_ev[at]) if band is None else band.energy_ev
    height = float(spectrum.delta_epsilon[at]) if band is None else band.height
    known = spectrum.delta_epsilon_std
    std = math.nan if known is None else float(np.interp(energy, spectrum.energy_ev, known))
    verdict, probability = judge_sign(height, sign_error * std if trusted else None)
    return Significance(verdict, energy, height, std if trusted and math.isfinite(std) else None, probability)
