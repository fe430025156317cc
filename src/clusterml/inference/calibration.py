"""Calibrated uncertainty: how wide a band about a predicted spectrum holds the truth at a stated share of energies.

The spread of an ensemble is too small by a factor that depends on the energy.  Split-conformal calibration measures it
on records that took no part in training: for every energy band the factor is the quantile of |truth - mean| / spread,
parents counting equally (J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)).  The spread is
sqrt(s^2 + (floor a)^2) with s the members' standard deviation and a the root mean square of the predicted spectrum over
its energies: members can agree by chance, and an achiral cluster (a = 0 for the CD) stays exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from clusterml.errors import DatasetError, InputFileError
from clusterml.typing import FloatArray

LEVEL = 0.9
"""Share of the energies whose truth the interval is to hold."""
BAND_EV = 0.5
"""Width of the energy bands that get a factor of their own."""
LARGEST_FACTOR = 1e6
"""A factor beyond this says that members agree although they are wrong; a floor that avoids it is preferred."""
SMALLEST_FACTOR = 1e-3
"""An interval is at least so much of the spread, also where no error was seen."""
FLOORS = (0.0, 0.03, 0.1, 0.3, 1.0)
"""Shares of the spectrum's root mean square that are tried as floor; the one with the narrowest intervals is kept."""


_ROUNDS = 4  # as neighbouring bands share their edges, their factors are fitted in turns


@dataclass(frozen=True)
class BandFactors:
    """Of one quantity: ``floor`` (see above) and ``factors`` at the centres of the bands, from low to high energy."""

    floor: float
    factors: tuple[float, ...]


@dataclass(frozen=True)
class Calibration:
    """Factors for absorption and CD over the bands from ``low_ev`` in steps of ``band_ev``; ``level``: their share."""

    low_ev: float
    band_ev: float
    level: float
    epsilon: BandFactors
    delta_epsilon: BandFactors

    def spread(self, quantity: str, energy_ev: FloatArray, members: FloatArray) -> FloatArray:
        """The calibrated standard deviation (g, m) of the mean of ``members`` (k, g, m) at ``energy_ev`` (m,).

        Times :func:`normal_quantile` it is the half width that holds the share ``level``.  ``quantity``: ``epsilon`` or
        ``delta_epsilon``.
        """
        chosen: BandFactors = getattr(self, quantity)
        factors = _between(energy_ev, self.low_ev, self.band_ev, np.array(chosen.factors))
        return raw_spread(members, chosen.floor) * factors / normal_quantile(self.level)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str) -> Calibration:
        """What :meth:`to_dict` gave; raises :class:`InputFileError` naming ``source`` if it is anything else."""
        try:
            bands = {key: _factors(values[key]) for key in ("epsilon", "delta_epsilon")}
            made = cls(float(values["low_ev"]), float(values["band_ev"]), float(values["level"]), **bands)
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(f"{source}: is not a calibration ({error!r})", "get the checkpoint again") from error
        if not (made.band_ev > 0.0 and 0.0 < made.level < 1.0):
            raise InputFileError(f"{source}: band_ev or level is impossible", "get the checkpoint again")
        return made


def normal_quantile(level: float) -> float:
    """Half width of the interval that holds the share ``level`` of a normal distribution, in standard deviations."""
    return NormalDist().inv_cdf(0.5 * (1.0 + level))


def raw_spread(members: FloatArray, floor: float) -> FloatArray:
    """The spread (g, m) of ``members`` (k, g, m) with ``floor`` times the mean's root mean square added in squares."""
    mean = members.mean(axis=0)
    size = np.sqrt(np.mean(mean**2, axis=-1, keepdims=True))
    variance = members.var(axis=0, ddof=1) if len(members) > 1 else np.zeros_like(mean)
    return np.sqrt(variance + (floor * size) ** 2)


def calibrate(
    energy_ev: FloatArray,
    members: Mapping[str, FloatArray],
    truth: Mapping[str, FloatArray],
    parents: Sequence[str],
    level: float = LEVEL,
    floors: Sequence[float] = FLOORS,
) -> Calibration:
    """Fit the factors on held-out records.

    ``energy_ev`` (m,); ``members``: ``epsilon`` and ``delta_epsilon``, each (k, g, m) for k networks and g records;
    ``truth``: the same (g, m); ``parents`` (g,): each counts as much as any other; ``floors``: those tried.  Raises
    :class:`DatasetError` for no records.
    """
    if not len(parents):
        raise DatasetError("there are no records to calibrate on", "give a split with validation records")
    weights = _weights(parents)
    keys = ("epsilon", "delta_epsilon")
    fitted = {key: _fit(energy_ev, members[key], truth[key], weights, level, floors) for key in keys}
    return Calibration(float(energy_ev[0]), BAND_EV, level, **fitted)


def _between(energy_ev: FloatArray, low_ev: float, band_ev: float, factors: FloatArray) -> FloatArray:
    """Factors (m,) at ``energy_ev`` (m,): those of the bands at their centres, straight lines of the logarithm between.

    So the large factor of a band without absorption, where members agree on nothing, does not reach into the next.
    """
    centres = low_ev + band_ev * (0.5 + np.arange(len(factors)))
    return np.asarray(np.exp(np.interp(energy_ev, centres, np.log(np.maximum(factors, SMALLEST_FACTOR)))))


def _weights(parents: Sequence[str]) -> FloatArray:
    """Weight (g,) of each record: those of one parent add up to 1."""
    _, place, counts = np.unique(np.array(parents), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[place])


def _fit(
    energy_ev: FloatArray,
    members: FloatArray,
    truth: FloatArray,
    weights: FloatArray,
    level: float,
    floors: Sequence[float],
) -> BandFactors:
    """The floor whose intervals are narrowest in the geometric mean, with its factors."""
    low = float(energy_ev[0])
    band = np.floor((energy_ev - low) / BAND_EV + 1e-9).astype(np.int64)
    error = np.abs(truth - members.mean(axis=0))
    fits = []
    for floor in floors:
        spread = raw_spread(members, floor)
        factors = np.ones(int(band.max()) + 1)
        for _ in range(_ROUNDS):
            half = spread * _between(energy_ev, low, BAND_EV, factors)
            needed = [_factor(error[:, band == k], half[:, band == k], weights, level) for k in range(len(factors))]
            factors = np.minimum(factors * needed, LARGEST_FACTOR)
        width = np.maximum(spread * _between(energy_ev, low, BAND_EV, factors), 1e-30)
        capped = int(np.sum(factors == LARGEST_FACTOR))
        fits.append((capped, float(np.mean(np.log(width))), BandFactors(floor, tuple(factors.tolist()))))
    return min(fits, key=lambda fit: fit[:2])[2]


def _factor(error: FloatArray, spread: FloatArray, weights: FloatArray, level: float) -> float:
    """The weighted quantile of error / spread, at ``level`` (g + 1) / g for the finite number g of records.

    A point without spread counts as covered where its error is nothing but rounding, and as never covered elsewhere.
    """
    rounding = error <= 1e-4 * max(float(error.max(initial=0.0)), 1e-12)
    ratio = np.divide(error, spread, out=np.where(rounding, 0.0, np.inf), where=spread > 0.0)
    share = min(level * (1.0 + 1.0 / len(error)), 1.0)
    order = np.argsort(ratio, axis=None)
    total = np.cumsum(np.broadcast_to(weights[:, None], ratio.shape).ravel()[order])
    at = min(int(np.searchsorted(total, share * total[-1] * (1.0 - 1e-12))), len(order) - 1)
    return min(float(ratio.ravel()[order[at]]), LARGEST_FACTOR)


def _factors(values: Any) -> BandFactors:
    factors = tuple(float(value) for value in values["factors"])
    if not factors or not np.isfinite(factors).all() or min(factors) < 0.0:
        raise ValueError("factors must be finite and positive")
    return BandFactors(float(values["floor"]), factors)
