"""Bringing a spectrum to a larger width: it is broadened by the difference, never twice and never narrowed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from clusterml.errors import SpectrumError
from clusterml.spectrum.fit import FIELDS, broadened, broadened_std
from clusterml.spectrum.peaks import resample, uniform_grid
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

SAME_EV = 1e-6
"""Widths that differ by less are the same."""


def stated_width(spectrum: Spectrum) -> float | None:
    """The full width at half maximum (eV) of the bands that ``spectrum`` was broadened with; None if it states none."""
    fwhm = spectrum.meta.get("fwhm_ev")
    valid = isinstance(fwhm, int | float) and not isinstance(fwhm, bool) and math.isfinite(fwhm) and fwhm > 0.0
    return float(fwhm) if valid and fwhm is not None else None


def broadened_to(spectrum: Spectrum, fwhm_ev: float) -> Spectrum:
    """``spectrum`` with Gaussian bands of ``fwhm_ev`` (eV), on its own energies.

    Bands of width w become bands of width W by a Gaussian of width sqrt(W^2 - w^2), so the width that it has must be
    known (``meta["fwhm_ev"]``), Gaussian, and not larger.  Within about W of its ends the result depends on what is
    beyond them, which is taken to go on as at the end.  Standard deviations become upper bounds, see
    :func:`clusterml.spectrum.fit.broadened_std`.  Raises :class:`SpectrumError`.
    """
    own = stated_width(spectrum)
    if own is None:
        raise SpectrumError("the spectrum does not state the width of its bands", "state fwhm_ev (eV) with it")
    shape = spectrum.meta.get("shape", "gaussian")
    if not (math.isfinite(fwhm_ev) and fwhm_ev >= own - SAME_EV):
        raise SpectrumError(
            f"the bands of the spectrum are {own:g} eV wide and cannot become {fwhm_ev:g} eV wide",
            f"ask for {own:g} eV or more",
        )
    if fwhm_ev <= own + SAME_EV:
        return spectrum
    if shape != "gaussian":
        raise SpectrumError(f"the bands of the spectrum are {shape}, which only keep their width", "use Gaussian ones")
    extra = math.sqrt(fwhm_ev**2 - own**2)
    energy = spectrum.energy_ev
    grid = uniform_grid(float(energy[0]), float(energy[-1]))
    changed: dict[str, FloatArray] = {}
    for key in FIELDS:
        values, std = getattr(spectrum, key), getattr(spectrum, f"{key}_std")
        if not np.isnan(values[0]):
            changed[key] = resample(grid, broadened(grid, resample(energy, values, grid), extra), energy)
        if std is not None:
            wide = broadened_std(grid, np.interp(grid, energy, std), extra)
            changed[f"{key}_std"] = np.where(np.isnan(std), np.nan, np.interp(energy, grid, wide))
    return replace(spectrum, **changed, meta={**spectrum.meta, "fwhm_ev": float(fwhm_ev)})
