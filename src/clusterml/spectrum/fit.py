"""Aligning one spectrum with another: a common shift of all energies and a further broadening."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clusterml.errors import OptionError, SpectrumError
from clusterml.spectrum.peaks import resample, uniform_grid
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray
from clusterml.units import FWHM_PER_SIGMA

SMALLEST_OVERLAP_EV = 0.1
"""Spectra that overlap by less than this cannot be compared."""
KEPT_OVERLAP = 0.6
"""A shift may not remove more than 40 % of the shared range: a short rest would always fit better."""
SILENT_G = 1e-7
"""CD below this share of the absorption maximum is numerical noise."""
MAX_EXTRA_FWHM_EV = 0.8
"""Largest further broadening that a fit may choose, eV."""
UNKNOWN_SHARE = 0.05
"""A broadened standard deviation is unknown where more than this share of its weight falls on unknown values."""
FIELDS = ("epsilon", "delta_epsilon")
"""The quantities that are compared."""


@dataclass(frozen=True)
class Alignment:
    """``shift_ev`` is added to the energies of the first spectrum, ``extra_fwhm_ev`` broadens it.

    ``at_bound``: which of the two ended at the edge of its allowed range.
    """

    shift_ev: float = 0.0
    extra_fwhm_ev: float = 0.0
    at_bound: tuple[str, ...] = ()


def cosine(f: FloatArray, g: FloatArray) -> float:
    """f . g / (|f| |g|); NaN if one of them vanishes."""
    norm = math.sqrt(float(f @ f)) * math.sqrt(float(g @ g))
    return float(f @ g) / norm if norm > 0.0 else math.nan


def is_silent(spectrum: Spectrum, quantity: str) -> bool:
    """Is ``quantity`` absent, zero, or (for the CD) nothing but numerical noise?"""
    values = getattr(spectrum, quantity)
    if np.isnan(values[0]):
        return True
    floor = 0.0
    if quantity == "delta_epsilon" and spectrum.has_absorption:
        floor = SILENT_G * float(np.abs(spectrum.epsilon).max())
    return float(np.abs(values).max()) <= floor


def common_quantities(a: Spectrum, b: Spectrum) -> list[str]:
    """The quantities that both spectra show."""
    return [key for key in FIELDS if not (is_silent(a, key) or is_silent(b, key))]


def overlap_range(a: Spectrum, b: Spectrum, shift_ev: float = 0.0) -> tuple[float, float]:
    """Energies (low, high) in eV that both spectra cover once ``a`` is shifted; :class:`SpectrumError` if < 0.1 eV."""
    low = max(float(a.energy_ev[0]) + shift_ev, float(b.energy_ev[0]))
    high = min(float(a.energy_ev[-1]) + shift_ev, float(b.energy_ev[-1]))
    if high - low < SMALLEST_OVERLAP_EV:
        raise SpectrumError(
            f"the spectra do not overlap: {a.energy_ev[0]:.2f} to {a.energy_ev[-1]:.2f} eV and "
            f"{b.energy_ev[0]:.2f} to {b.energy_ev[-1]:.2f} eV",
            "compare spectra that share at least 0.1 eV",
        )
    return low, high


def broaden_curve(grid_ev: FloatArray, values: FloatArray, extra_fwhm_ev: float) -> FloatArray:
    """``values`` (m,) on the equally spaced ``grid_ev``, convolved with a Gaussian of that width.

    Beyond the ends the last value is taken to continue.
    """
    from scipy.ndimage import gaussian_filter1d

    sigma = extra_fwhm_ev / FWHM_PER_SIGMA / float(grid_ev[1] - grid_ev[0])
    return np.asarray(gaussian_filter1d(values, sigma, mode="nearest", truncate=5.0)) if sigma > 0.0 else values


def broaden_std(grid_ev: FloatArray, std: FloatArray, extra_fwhm_ev: float) -> FloatArray:
    """Standard deviation (m,) of a curve after :func:`broaden_curve`, from ``std`` (m,) before it, NaN where not known.

    The deviation of a weighted mean is at most the weighted mean of the deviations, which is returned: exact if the
    errors at neighbouring energies are fully correlated, too large otherwise.  It is unknown where more than 5 % of the
    weight falls on energies at which ``std`` is unknown.
    """
    unknown = np.isnan(std)
    share = broaden_curve(grid_ev, unknown.astype(np.float64), extra_fwhm_ev)
    mean = broaden_curve(grid_ev, np.where(unknown, 0.0, std), extra_fwhm_ev)
    valid = ~unknown & (share <= UNKNOWN_SHARE)
    return np.where(valid, mean / np.where(valid, 1.0 - share, 1.0), np.nan)


def align(spectrum: Spectrum, alignment: Alignment) -> Spectrum:
    """``spectrum`` shifted and broadened on the energy axis; unchanged for the zero alignment.

    The label error moves too; it is known for the width alone, and is left out where that grows.
    """
    if alignment.shift_ev == 0.0 and alignment.extra_fwhm_ev == 0.0:
        return spectrum
    grid = uniform_grid(float(spectrum.energy_ev[0]), float(spectrum.energy_ev[-1]))
    fields = {
        key: broaden_curve(grid, resample(spectrum.energy_ev, values, grid), alignment.extra_fwhm_ev)
        for key in FIELDS
        if not np.isnan((values := getattr(spectrum, key))[0])
    }
    stds = {
        name: broaden_std(grid, np.interp(grid, spectrum.energy_ev, std), alignment.extra_fwhm_ev)
        for name in (f"{key}_std" for key in FIELDS)
        if (std := getattr(spectrum, name)) is not None
    }
    if spectrum.label_error is not None and alignment.extra_fwhm_ev == 0.0:
        stds["label_error"] = np.interp(grid, spectrum.energy_ev, spectrum.label_error)
    shifted = grid + alignment.shift_ev
    positive = shifted > 0.01
    absent = np.full(len(grid), np.nan)
    columns = {key: fields.get(key, absent)[positive] for key in FIELDS} | {
        key: std[positive] for key, std in stds.items()
    }
    return Spectrum(shifted[positive], **columns, meta=spectrum.meta)


def fit_alignment(a: Spectrum, b: Spectrum, shift: bool, width: bool, max_shift_ev: float = 0.5) -> Alignment:
    """The shift and further width of ``a`` that make it most similar to ``b``.

    The fit maximises the mean of the cosine of absorption and the absolute cosine of CD, so that the hand is a result
    and not fitted away: first on a grid, then by Nelder-Mead within the bounds |shift| <= ``max_shift_ev``
    and 0 <= width <= 0.8 eV.  Without a usable quantity, or nothing to fit, the alignment is zero.  Raises
    :class:`OptionError` for a bad bound, :class:`SpectrumError` if the spectra do not overlap.
    """
    if not (math.isfinite(max_shift_ev) and 0.0 < max_shift_ev <= 3.0):
        raise OptionError(f"max_shift_ev = {max_shift_ev} is not a bound", "give a number of eV up to 3")
    overlap_range(a, b)
    if not (shift or width) or not common_quantities(a, b):
        return Alignment()
    from scipy.optimize import minimize

    bounds = [(-max_shift_ev, max_shift_ev) if shift else (0.0, 0.0), (0.0, MAX_EXTRA_FWHM_EV) if width else (0.0, 0.0)]
    loss = _loss(a, b)
    steps = np.linspace(*bounds[0], 2 * max(round(max_shift_ev / 0.05), 1) + 1) if shift else np.zeros(1)
    widths = np.linspace(*bounds[1], 9) if width else np.zeros(1)
    start = min(((s, w) for s in steps for w in widths), key=lambda point: (loss(np.array(point)), abs(point[0])))
    free = [i for i, fitted in enumerate((shift, width)) if fitted]
    simplex = np.array([start, (start[0] + 0.02, start[1]), (start[0], start[1] + 0.05)])
    simplex = _inside(simplex[[0, *(i + 1 for i in free)]][:, free], bounds, free)
    result = minimize(
        lambda x: loss(_full(x, free)),
        np.array(start)[free],
        method="Nelder-Mead",
        bounds=[bounds[i] for i in free],
        options={"initial_simplex": simplex, "xatol": 1e-5},
    )
    optimum = _full(result.x, free)
    names = (("shift", abs(optimum[0]) >= max_shift_ev - 1e-3), ("width", optimum[1] >= MAX_EXTRA_FWHM_EV - 1e-3))
    return Alignment(float(optimum[0]), float(optimum[1]), tuple(name for name, hit in names if hit))


def _full(x: FloatArray, free: list[int]) -> FloatArray:
    point = np.zeros(2)
    point[free] = x
    return point


def _inside(simplex: FloatArray, bounds: list[tuple[float, float]], free: list[int]) -> FloatArray:
    """A start simplex, reflected inwards where it would leave the bounds."""
    low, high = np.array([bounds[i] for i in free]).T
    return np.where(simplex > high, 2.0 * simplex[0] - simplex, np.maximum(simplex, low))


def _loss(a: Spectrum, b: Spectrum) -> Callable[[FloatArray], float]:
    """Dissimilarity as a function of (shift, width)."""
    from scipy.interpolate import CubicSpline

    keys = common_quantities(a, b)
    grid_a, grid_b = (uniform_grid(float(s.energy_ev[0]), float(s.energy_ev[-1])) for s in (a, b))
    of_a = np.stack([resample(a.energy_ev, getattr(a, key), grid_a) for key in keys])
    of_b = np.stack([resample(b.energy_ev, getattr(b, key), grid_b) for key in keys])
    low, high = overlap_range(a, b)
    least = max(KEPT_OVERLAP * (high - low), SMALLEST_OVERLAP_EV / 2)
    splines: dict[float, CubicSpline] = {}

    def loss(point: FloatArray) -> float:
        shift, width = float(point[0]), float(point[1])
        shared = (grid_b >= grid_a[0] + shift) & (grid_b <= grid_a[-1] + shift)
        if shared.sum() < 5 or grid_b[shared][-1] - grid_b[shared][0] < least:
            return 2.0
        if width not in splines:
            splines[width] = CubicSpline(grid_a, np.stack([broaden_curve(grid_a, y, width) for y in of_a]), axis=1)
        values = splines[width](grid_b[shared] - shift)
        cosines = [cosine(f, g) for f, g in zip(values, of_b[:, shared], strict=True)]
        scores = [abs(c) if key == "delta_epsilon" else c for key, c in zip(keys, cosines, strict=True)]
        return 2.0 if any(math.isnan(score) for score in scores) else 1.0 - sum(scores) / len(scores)

    return loss
