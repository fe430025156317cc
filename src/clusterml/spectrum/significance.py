"""How certain a CD is: the probability of its sign, and how often a random spectrum matches as well.

A random spectrum has as many bands as the compared one, with the same heights in the same order, the same width and
about the same range of energies, but at random distances; bands of CD have random signs.  It is aligned with the same
freedom as the compared spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from clusterml.spectrum.fit import (
    KEPT_OVERLAP,
    MAX_EXTRA_FWHM_EV,
    SMALLEST_OVERLAP_EV,
    common_quantities,
    overlap_range,
)
from clusterml.spectrum.peaks import STEP_EV, Peak, find_bands, match, resample, uniform_grid
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray
from clusterml.units import FWHM_PER_SIGMA, ev_to_nm

Verdict = Literal["significant", "not significant", "unknown", "no CD", "computed"]
"""``unknown``: its uncertainty is not known; ``no CD``: zero by symmetry, but for rounding; ``computed``: by the
engine, whose error is that of its protocol."""

SIGN_WORDS = "as the engine:"
"""Before the probability that a predicted sign is the engine's, which need not be that of DFT or of a sample."""

SURE = 0.95
"""A CD is significant if the sign of its strongest band is right with at least this probability."""
NO_CD_G = 1e-6
"""CD below this share of the largest absorption counts as zero: an achiral structure with rounded coordinates."""


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
        """For a table: ``as the engine: 97 %``, or the verdict."""
        if self.verdict != "significant" or self.sign_probability is None:
            return self.verdict
        sure = 100.0 * self.sign_probability
        return f"{SIGN_WORDS} > 99.9 %" if sure > 99.9 else f"{SIGN_WORDS} {math.floor(sure)} %"

    @property
    def sentence(self) -> str:
        """With the band: ``strongest CD -305 at 242 nm, not significant``."""
        if self.energy_ev is None or self.height is None:
            return self.words
        words = "significance unknown" if self.verdict == "unknown" else in_full(self.words)
        return f"strongest CD {self.height:+.3g} at {ev_to_nm(self.energy_ev):.0f} nm, {words}"

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, and the ``sentence``."""
        return asdict(self) | {"sentence": self.sentence}


def in_full(words: str) -> str:
    """The ``words`` of a verdict for a place where no heading says that they are about the sign of a CD."""
    return f"sign {words}" if words.startswith(SIGN_WORDS) else words


def judge_sign(value: float, std: float | None) -> tuple[Verdict, float | None]:
    """Is the sign of ``value`` certain, and how probable is it, if the error is normal with ``std``?

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
    deviations = spectrum.delta_epsilon_std
    std = math.nan if deviations is None else float(np.interp(energy, spectrum.energy_ev, deviations))
    verdict, probability = judge_sign(height, sign_error * std if trusted else None)
    return Significance(verdict, energy, height, std if trusted and math.isfinite(std) else None, probability)


RANDOM_SPECTRA = 999
"""Number of random spectra that a match is compared with: chances are known to 0.1 %."""
SIGNIFICANT = 0.05
"""A match that at least this share of random spectra reach is not significant."""
FARTHEST_EV = 0.3
"""Bands farther apart than this, after alignment, are not the same band."""
SMALLEST_SIGMA_EV = 0.02
"""Random bands are at least this wide (standard deviation): noise on a measured curve is not a band."""
SAME_COSINE = 0.01
"""A random spectrum matches as well if its cosine is smaller by no more than this, which no measurement resolves."""
FLAT = 0.1
"""An absorption that varies by less than this share of its maximum has no bands: a blank, whose cosine says nothing."""
_WIDTHS = 9


@dataclass(frozen=True)
class MatchChance:
    """Shares of ``random_spectra`` that match as well or better, 0.001 to 1; None for what was not compared.

    ``absorption``: by its cosine.  ``cd``: by its cosine of either sign, which is also the chance of a hand.
    ``sign_agreement``: by how far the matched CD bands with equal signs outnumber the others, or these them.
    """

    absorption: float | None
    cd: float | None
    sign_agreement: float | None
    random_spectra: int


@dataclass(frozen=True)
class MatchQuality:
    """The quality of a match: cosines of absorption and CD, and signs of the matched CD bands (True: equal)."""

    absorption: float | None
    cd: float | None
    signs: Sequence[bool]


def chance_of(
    quality: MatchQuality,
    a: Spectrum,
    b: Spectrum,
    fit_shift: bool,
    fit_width: bool,
    max_shift_ev: float,
    random_spectra: int = RANDOM_SPECTRA,
) -> MatchChance:
    """The chances of ``quality``, which ``a`` reached with ``b`` when it was fitted as the flags say.

    Chances are None without ``random_spectra``, where the two have nothing in common, and for a flat absorption.
    """
    rng = np.random.default_rng(0)
    keys = common_quantities(a, b)
    if not keys or random_spectra < 1:
        return MatchChance(None, None, None, 0)
    random_bands = {key: _random_bands(a, key, random_spectra, rng) for key in keys}
    shifts = round(max_shift_ev / STEP_EV) if fit_shift else 0
    extra = np.linspace(0.0, MAX_EXTRA_FWHM_EV, _WIDTHS) / FWHM_PER_SIGMA if fit_width else np.zeros(1)
    cosines, shift_ev = _best_matches(random_bands, a, b, shifts, extra)
    flat = any(
        np.ptp(spectrum.epsilon) < FLAT * np.abs(spectrum.epsilon).max() for spectrum in (a, b) if "epsilon" in keys
    )
    absorption = None if flat else _share(cosines.get("epsilon"), quality.absorption)
    cd = cosines.get("delta_epsilon")
    return MatchChance(
        absorption,
        _share(None if cd is None else np.abs(cd), None if quality.cd is None else abs(quality.cd)),
        _sign_chance(quality.signs, random_bands["delta_epsilon"], b, shift_ev) if quality.signs else None,
        random_spectra,
    )


def random_positions(energy_ev: FloatArray, rng: np.random.Generator) -> FloatArray:
    """As many energies as ``energy_ev`` (n,), ascending, over about the same range, at random distances.

    None are closer than the closest of ``energy_ev``: bands are only seen when they stand apart.
    """
    gaps = np.diff(energy_ev)
    if len(gaps):
        span = gaps.sum() * rng.uniform(0.8, 1.2)
        least = min(float(gaps.min()), 0.9 * span / len(gaps))
        gaps = least + rng.dirichlet(np.ones(len(gaps))) * (span - least * len(gaps))
    start = max(energy_ev[0] + rng.uniform(-FARTHEST_EV, FARTHEST_EV), 0.1)
    return np.asarray(start + np.concatenate([[0.0], np.cumsum(gaps)]))


@dataclass(frozen=True, eq=False)
class _RandomBands:
    """Bands of k random spectra: ``energy_ev`` and ``height`` (k, n), all of ``sigma_ev``."""

    energy_ev: FloatArray
    height: FloatArray
    sigma_ev: float

    def curves(self, grid_ev: FloatArray, extra_sigma_ev: float) -> FloatArray:
        """The spectra (k, m) on ``grid_ev`` (m,), broadened further without change of the bands' areas."""
        sigma = math.hypot(self.sigma_ev, extra_sigma_ev)
        total = np.zeros((len(self.height), len(grid_ev)))
        for energy, height in zip(self.energy_ev.T, self.height.T, strict=True):
            total += height[:, None] * np.exp(-0.5 * ((grid_ev[None, :] - energy[:, None]) / sigma) ** 2)
        return total * self.sigma_ev / sigma


def _random_bands(spectrum: Spectrum, key: str, count: int, rng: np.random.Generator) -> _RandomBands:
    bands = find_bands(spectrum, key)
    values = getattr(spectrum, key)
    if not bands:  # nothing but a slope: one band at its higher end
        highest = int(np.abs(values).argmax())
        energy, height = spectrum.energy_ev[[highest]], values[[highest]]
    else:
        energy, height = np.array([band.energy_ev for band in bands]), np.array([band.height for band in bands])
    positions = np.array([random_positions(energy, rng) for _ in range(count)])
    signs = rng.choice([-1.0, 1.0], size=positions.shape) if key == "delta_epsilon" else np.ones(positions.shape)
    return _RandomBands(positions, signs * np.abs(height), _sigma(spectrum, values))


def _sigma(spectrum: Spectrum, values: FloatArray) -> float:
    """Standard deviation of the Gaussian bands that a curve f consists of: s^2 = <f^2> / (2 <f'^2>).

    Exact for one band, and on average for many at random places with random signs.
    """
    grid = uniform_grid(float(spectrum.energy_ev[0]), float(spectrum.energy_ev[-1]))
    curve = resample(spectrum.energy_ev, values, grid)
    slope = np.gradient(curve, grid)
    steepness = float(slope @ slope)
    sigma = math.sqrt(float(curve @ curve) / (2.0 * steepness)) if steepness > 0.0 else float(grid[-1] - grid[0])
    return min(max(sigma, SMALLEST_SIGMA_EV), float(grid[-1] - grid[0]))


def _best_matches(
    random_bands: dict[str, _RandomBands], a: Spectrum, b: Spectrum, shifts: int, extra_sigma: FloatArray
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Cosines (k,) of every random spectrum with ``b`` at its best alignment, and the shifts (k,) of these in eV.

    As in :func:`clusterml.spectrum.fit.fit_alignment` the best alignment has the largest mean of the cosine of
    absorption and the absolute cosine of CD, on steps of 0.01 eV; it keeps most of the shared range in sight.
    """
    low, high = overlap_range(a, b)
    least = max(KEPT_OVERLAP * (high - low), SMALLEST_OVERLAP_EV / 2)
    reach = STEP_EV * shifts  # beyond it no point of B comes into the range of A
    first = max(math.ceil(float(b.energy_ev[0]) / STEP_EV), math.floor((float(a.energy_ev[0]) - reach) / STEP_EV))
    last = min(math.floor(float(b.energy_ev[-1]) / STEP_EV), math.ceil((float(a.energy_ev[-1]) + reach) / STEP_EV))
    points = np.arange(first, last + 1)
    energies_b: FloatArray = np.asarray(STEP_EV * points)
    wide = STEP_EV * np.arange(points[0] - shifts, points[-1] + shifts + 1)
    target = {key: resample(b.energy_ev, getattr(b, key), energies_b) for key in random_bands}
    count = len(next(iter(random_bands.values())).height)
    best, shift_ev = np.full(count, -np.inf), np.zeros(count)
    cosines = {key: np.zeros(count) for key in random_bands}
    for sigma in extra_sigma:
        curves = {key: bands.curves(wide, float(sigma)) for key, bands in random_bands.items()}
        for move in range(-shifts, shifts + 1):
            part_of_b = _points_in_range(energies_b - STEP_EV * move, a, least)
            if part_of_b is None:
                continue
            part_of_curves = slice(part_of_b.start - move + shifts, part_of_b.stop - move + shifts)
            now = {key: _cosines(curves[key][:, part_of_curves], target[key][part_of_b]) for key in random_bands}
            score = np.mean([np.abs(c) if key == "delta_epsilon" else c for key, c in now.items()], axis=0)
            better = score > best
            best[better], shift_ev[better] = score[better], STEP_EV * move
            for key, values in now.items():
                cosines[key][better] = values[better]
    return cosines, shift_ev


def _points_in_range(own_ev: FloatArray, a: Spectrum, least: float) -> slice | None:
    """Which points of B lie in the range of A, whose own energies there are ``own_ev``; None if too few."""
    start, stop = np.searchsorted(own_ev, [a.energy_ev[0] - 1e-9, a.energy_ev[-1] + 1e-9])
    return slice(int(start), int(stop)) if stop - start >= 5 and own_ev[stop - 1] - own_ev[start] >= least else None


def _cosines(curves: FloatArray, target: FloatArray) -> FloatArray:
    """Cosines (k,) of ``curves`` (k, m) with ``target`` (m,); 0 where one of them vanishes."""
    norm = np.sqrt(np.einsum("km,km->k", curves, curves)) * math.sqrt(float(target @ target))
    return np.divide(curves @ target, norm, out=np.zeros(len(curves)), where=norm > 0.0)


def _share(random: FloatArray | None, reached: float | None) -> float | None:
    if random is None or reached is None or math.isnan(reached):
        return None
    return float((np.count_nonzero(random >= reached - SAME_COSINE) + 1) / (len(random) + 1))


def _sign_chance(signs: Sequence[bool], random_bands: _RandomBands, b: Spectrum, shift_ev: FloatArray) -> float:
    """Share of random spectra whose equal and opposite signs differ in number at least as much."""
    bands = [(band.energy_ev, band.sign) for band in find_bands(b, "delta_epsilon")]
    places = [energy for energy, _ in bands]
    excess = np.zeros(len(shift_ev))
    for k in range(len(shift_ev)):
        energies, heights = random_bands.energy_ev[k] + shift_ev[k], random_bands.height[k]
        inside = (energies >= b.energy_ev[0]) & (energies <= b.energy_ev[-1])
        pairs = match(energies[inside].tolist(), places, FARTHEST_EV)
        excess[k] = abs(sum(bands[j][1] * math.copysign(1, heights[inside][i]) for i, j in pairs))
    reached = float(abs(2 * sum(signs) - len(signs)))
    return _share(excess, reached) or 1.0
