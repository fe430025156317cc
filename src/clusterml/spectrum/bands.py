"""Measured band positions of the clusters in the literature, and their comparison with a spectrum."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError, SpectrumError
from clusterml.io.display import WithWarnings
from clusterml.io.json import plain
from clusterml.spectrum.peaks import Peak, find_bands, match
from clusterml.spectrum.significance import FARTHEST_EV, random_positions
from clusterml.spectrum.spectrum import Spectrum
from clusterml.units import ev_to_nm, nm_to_ev

if TYPE_CHECKING:
    from clusterml.spectrum.view import View

MAX_SHIFT_EV = 0.5
"""Largest common shift that is tried, eV."""
RANDOM_LISTS = 99
"""Number of random band lists that an agreement is compared with."""
FEW = 3
"""With fewer matched bands than this a fitted shift says little."""
_FIELD = {"absorption": "epsilon", "cd": "delta_epsilon"}


@dataclass(frozen=True)
class MeasuredBand:
    """One measured band: ``quantity`` absorption or cd, ``state`` solvent or phase (None: not stated), ``kind`` strong,
    sharp, broad, shoulder, weak or unspecified, position ``nm``, ``doi`` of the paper (None: second hand)."""

    system: str
    quantity: str
    state: str | None
    kind: str
    nm: float
    doi: str | None

    @property
    def energy_ev(self) -> float:
        """Position in eV."""
        return nm_to_ev(self.nm)


@dataclass(frozen=True)
class BandMatch:
    """A measured band beside the computed one that matches it (None: none within 0.3 eV, or outside the spectrum).

    ``deviation_ev``: computed position plus common shift, minus measured position.
    """

    measured: MeasuredBand
    computed: Peak | None
    deviation_ev: float | None
    covered: bool


@dataclass(frozen=True)
class BandComparison(WithWarnings):
    """Result of :func:`compare_bands`: ``shift_ev`` was added to all computed energies.

    ``mean_deviation_ev``: mean absolute deviation of the matched bands, None if there are none.  ``chance``: share of
    random band lists of the same length that this spectrum matches at least as well.  Only a small chance (below 0.05,
    say) makes the agreement evidence, because a spectrum with many bands matches any list.
    """

    system: str
    shift_ev: float
    matches: tuple[BandMatch, ...]
    mean_deviation_ev: float | None
    chance: float
    warnings: tuple[str, ...]

    @property
    def n_matched(self) -> int:
        """Measured bands that have a counterpart."""
        return sum(entry.computed is not None for entry in self.matches)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        result: dict[str, Any] = plain(asdict(self))
        return result | {"n_matched": self.n_matched, "n_measured": len(self.matches)}

    def draw(self, spectrum: Spectrum, path: str | Path, view: View | None = None) -> None:
        """Draw ``spectrum`` with dotted lines at the measured bands on its energy axis (common shift undone)."""
        from clusterml.spectrum.plot import draw

        marks = {
            field: [m.measured.energy_ev - self.shift_ev for m in self.matches if m.measured.quantity == quantity]
            for quantity, field in _FIELD.items()
        }
        title = f"dotted: measured bands of {self.system}, moved by {-self.shift_ev:+.2f} eV"
        draw([spectrum], path=path, title=title, marks=marks, view=view)


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = files("clusterml.spectrum").joinpath("data/measured_bands.json").read_text(encoding="utf-8")
    systems: dict[str, Any] = json.loads(text)["systems"]
    return systems


def measured_systems() -> dict[str, str]:
    """Names and compositions of the systems with measured bands."""
    return {name: entry["composition"] for name, entry in _table().items()}


def measured_bands(system: str) -> tuple[MeasuredBand, ...]:
    """The measured bands of ``system`` (case does not matter), ascending in wavelength within a quantity.

    Raises :class:`OptionError` naming the known systems.
    """
    names = {name.lower(): name for name in _table()}
    name = names.get(system.strip().lower())
    if name is None:
        raise OptionError(f"there are no measured bands for '{system[:40]}'", f"choose one of {', '.join(_table())}")
    entry = _table()[name]
    return tuple(MeasuredBand(system=name, doi=entry["doi"], **{**b, "nm": float(b["nm"])}) for b in entry["bands"])


def compare_bands(spectrum: Spectrum, system: str, common_shift: bool = True) -> BandComparison:
    """The measured bands of ``system`` beside the nearest bands of ``spectrum`` (maxima and shoulders; CD of any sign).

    ``common_shift`` fits one shift of all computed energies, within 0.5 eV, that minimises the squared deviations of
    the matched bands, a band without counterpart counting 0.3 eV.  The signs of measured CD bands are not tabulated and
    not compared.  Raises :class:`OptionError` for an unknown system, :class:`SpectrumError` if the spectrum shows none
    of the measured quantities.
    """
    bands = measured_bands(system)
    computed = {quantity: find_bands(spectrum, field) for quantity, field in _FIELD.items()}
    bands_used = [band for band in bands if getattr(spectrum, f"has_{band.quantity}")]
    if not any(computed[band.quantity] for band in bands_used):
        quantities = " or ".join(sorted({band.quantity for band in bands}))
        raise SpectrumError(
            f"the spectrum has no {quantities} bands to compare with {system}", "give a spectrum that has"
        )
    shift = _best_shift(bands_used, computed) if common_shift else 0.0
    pairs = dict(_assign(bands_used, computed, shift))
    low, high = float(spectrum.energy_ev[0]) + shift, float(spectrum.energy_ev[-1]) + shift
    matches = tuple(
        BandMatch(
            measured=band,
            computed=pairs.get(band),
            deviation_ev=pairs[band].energy_ev + shift - band.energy_ev if band in pairs else None,
            covered=band in bands_used and low <= band.energy_ev <= high,
        )
        for band in bands
    )
    deviations = [abs(m.deviation_ev) for m in matches if m.deviation_ev is not None]
    mean = math.fsum(deviations) / len(deviations) if deviations else None
    chance = _chance(bands_used, computed, _cost(bands_used, computed, shift), common_shift)
    return BandComparison(
        bands[0].system,
        shift,
        matches,
        mean,
        chance,
        (*spectrum.meta.get("warnings", ()), *_warnings(matches, common_shift)),
    )


def _assign(
    bands: list[MeasuredBand], computed: dict[str, list[Peak]], shift: float
) -> Iterator[tuple[MeasuredBand, Peak]]:
    """Measured bands with their computed counterparts, each used once within a quantity."""
    for quantity, peaks in computed.items():
        of_quantity = [band for band in bands if band.quantity == quantity]
        pairs = match([band.energy_ev for band in of_quantity], [peak.energy_ev + shift for peak in peaks], FARTHEST_EV)
        yield from ((of_quantity[i], peaks[j]) for i, j in pairs)


def _cost(bands: list[MeasuredBand], computed: dict[str, list[Peak]], shift: float) -> float:
    """Sum of the squared deviations in eV2, a band without counterpart counting 0.3 eV."""
    pairs = list(_assign(bands, computed, shift))
    squares = math.fsum((peak.energy_ev + shift - band.energy_ev) ** 2 for band, peak in pairs)
    return squares + (len(bands) - len(pairs)) * FARTHEST_EV**2


def _best_shift(bands: list[MeasuredBand], computed: dict[str, list[Peak]]) -> float:
    """The shift with the least cost on a grid, moved to the mean deviation of its pairs where that costs less."""
    grid = [float(shift) for shift in np.linspace(-MAX_SHIFT_EV, MAX_SHIFT_EV, 51)]
    best = min(grid, key=lambda shift: (round(_cost(bands, computed, shift), 9), abs(shift)))
    for _ in range(2):
        pairs = list(_assign(bands, computed, best))
        if pairs:
            centred = math.fsum(band.energy_ev - peak.energy_ev for band, peak in pairs) / len(pairs)
            if abs(centred) <= MAX_SHIFT_EV and _cost(bands, computed, centred) <= _cost(bands, computed, best):
                best = centred
    return best


def _chance(bands: list[MeasuredBand], computed: dict[str, list[Peak]], cost: float, fitted: bool) -> float:
    """Share of random band lists that cost no more than ``cost``."""
    rng = np.random.default_rng(0)
    as_good = 0
    for _ in range(RANDOM_LISTS):
        random_bands = [band for quantity in _FIELD for band in _random_list(bands, quantity, rng)]
        shift = _best_shift(random_bands, computed) if fitted else 0.0
        as_good += _cost(random_bands, computed, shift) <= cost
    return (as_good + 1) / (RANDOM_LISTS + 1)


def _random_list(bands: list[MeasuredBand], quantity: str, rng: np.random.Generator) -> list[MeasuredBand]:
    """As many bands of ``quantity`` at :func:`~clusterml.spectrum.significance.random_positions`."""
    of_quantity = sorted((band for band in bands if band.quantity == quantity), key=lambda band: band.energy_ev)
    if not of_quantity:
        return []
    energies = random_positions(np.array([band.energy_ev for band in of_quantity]), rng)
    return [replace(band, nm=ev_to_nm(float(energy))) for band, energy in zip(of_quantity, energies, strict=True)]


def _warnings(matches: tuple[BandMatch, ...], common_shift: bool) -> tuple[str, ...]:
    warnings = []
    outside = [f"{ev_to_nm(m.measured.energy_ev):.0f}" for m in matches if not m.covered]
    if outside:
        warnings.append(f"not covered by the spectrum: {', '.join(outside)} nm")
    if common_shift and sum(m.computed is not None for m in matches) < FEW:
        warnings.append("fewer than three bands matched: the fitted shift says little")
    return tuple(warnings)
