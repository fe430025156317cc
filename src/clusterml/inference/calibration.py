"""Calibrated uncertainty: the band about a predicted spectrum that holds the truth, for known structures and new ones.

The spread of an ensemble is too small by a factor that depends on the energy.  Split-conformal calibration measures it
on records that took no part in training: for every energy band the factor is the quantile of |truth - mean| / spread,
parents counting equally (J. Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)).  The spread is
sqrt(s^2 + (floor a)^2) with s the members' standard deviation and a the predicted spectrum, both as root mean squares
over the surroundings of an energy (a Gaussian of standard deviation POOL_EV): three members agree at one energy by
chance, hardly over a whole band.  An achiral cluster (s = a = 0 for the CD) stays exact.

An energy counts where a record absorbs, by its label or by its prediction.  Where nothing absorbs, the error is zero
whatever the spread: a band in which too few records absorb has no factor, and a spectrum no interval there.  Of the CD
no energy counts where it is zero by symmetry in both: what is there is rounding, of the size of its own error.

The spread of an ensemble says little where nothing was learnt.  There the errors count that networks of the same kind,
trained without some ligands or clusters, made on these (calibrated by themselves, parents counting equally): relative
to the size of the predicted spectrum, as their members' spread is another's.

Known clusters in a geometry from elsewhere (other conformers, a frame scaled or relaxed by another method) lie between:
the spread grows with the distance from the training geometries by a factor 1 + k min(score, 1), with the k that makes
the intervals hold on labelled geometries of this kind (:func:`~clusterml.inference.labelled.fit_reach`).

The error of the strongest CD, on which its sign depends, is larger again (:mod:`clusterml.inference.labelled`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal, get_args

import numpy as np

from clusterml.errors import DatasetError, InputFileError
from clusterml.spectrum.significance import NO_CD_G
from clusterml.typing import BoolArray, FloatArray, IntArray

LARGEST_SIGN_ERROR = 20.0
"""Largest error of the strongest CD, in its standard deviations, that is tried."""
LEVEL = 0.9
"""Share of the energies whose truth the interval is to hold."""
BAND_EV = 0.5
"""Width of the energy bands that get a factor of their own."""
LARGEST_FACTOR = 1e6
"""A factor beyond this says that members agree although they are wrong; a floor that avoids it is preferred."""
SMALLEST_FACTOR = 1e-3
"""An interval is at least so much of the spread, also where no error was seen."""
FLOORS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Shares of the spectrum's root mean square that are tried as floor; the one with the narrowest intervals is kept."""
POOL_EV = 0.5
"""Energies over which spread and size are pooled: with it intervals are half as wide as without, and hold as much."""
ABSORBS = 0.003
"""A record absorbs where its absorption exceeds this share of its maximum."""
LEAST_RECORDS = 5
"""A band has a factor if at least so many records absorb in it."""

_ROUNDS = 4  # as neighbouring bands share their edges, their factors are fitted in turns


@dataclass(frozen=True)
class BandFactors:
    """Of one quantity: ``floor`` (see above) and ``factors`` at the centres of the bands, from low to high energy; None
    where nothing was measured."""

    floor: float
    factors: tuple[float | None, ...]


@dataclass(frozen=True)
class Calibration:
    """Factors for absorption and CD over the bands from ``low_ev`` in steps of ``band_ev``; ``level``: their share;
    ``pool_ev``: see :data:`POOL_EV` (0 in files of version 0.1)."""

    low_ev: float
    band_ev: float
    level: float
    epsilon: BandFactors
    delta_epsilon: BandFactors
    pool_ev: float = POOL_EV

    def spread(self, quantity: str, energy_ev: FloatArray, members: FloatArray) -> FloatArray:
        """The calibrated standard deviation (g, m) of the mean of ``members`` (k, g, m) at ``energy_ev`` (m,), NaN in
        bands without a factor.

        Times :func:`normal_quantile` it is the half width that holds the share ``level``.  ``quantity``: ``epsilon`` or
        ``delta_epsilon``.
        """
        bands: BandFactors = getattr(self, quantity)
        factors = _interpolate_factors(energy_ev, self.low_ev, self.band_ev, _array(bands.factors))
        return raw_spread(energy_ev, members, bands.floor, self.pool_ev) * factors / normal_quantile(self.level)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any, source: str) -> Calibration:
        """What :meth:`to_dict` gave; raises :class:`InputFileError` naming ``source`` if it is anything else."""
        try:
            bands = {key: _factors(values[key]) for key in ("epsilon", "delta_epsilon")}
            low, band, level = (float(values[key]) for key in ("low_ev", "band_ev", "level"))
            pool = float(values["pool_ev"])
            calibration = cls(low, band, level, bands["epsilon"], bands["delta_epsilon"], pool)
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(f"{source}: is not a calibration ({error!r})", "get the checkpoint again") from error
        if not (calibration.band_ev > 0.0 and 0.0 < calibration.level < 1.0 and 0.0 <= calibration.pool_ev <= 10.0):
            raise InputFileError(f"{source}: band_ev, level or pool_ev is impossible", "get the checkpoint again")
        return calibration


def normal_quantile(level: float) -> float:
    """Half width of the interval that holds the share ``level`` of a normal distribution, in standard deviations."""
    return NormalDist().inv_cdf(0.5 * (1.0 + level))


def raw_spread(energy_ev: FloatArray, members: FloatArray, floor: float, pool_ev: float = POOL_EV) -> FloatArray:
    """The spread (g, m) of ``members`` (k, g, m) at the evenly spaced ``energy_ev`` (m,), with ``floor`` times the
    size of their mean added in squares, both pooled over ``pool_ev`` (0: the spread at each energy by itself, the size
    over all)."""
    mean = members.mean(axis=0)
    variance = members.var(axis=0, ddof=1) if len(members) > 1 else np.zeros_like(mean)
    if pool_ev == 0.0:
        return np.sqrt(variance + floor**2 * np.mean(mean**2, axis=-1, keepdims=True))
    return np.sqrt(_pool(energy_ev, variance + (floor * mean) ** 2, pool_ev))


def _pool(energy_ev: FloatArray, values: FloatArray, pool_ev: float) -> FloatArray:
    """Mean of ``values`` (g, m) about each energy with Gaussian weights; beyond the ends there is nothing."""
    return np.asarray(values @ _pooling(len(energy_ev), float(energy_ev[1] - energy_ev[0]) / pool_ev).T)


@lru_cache(maxsize=8)
def _pooling(count: int, step: float) -> FloatArray:
    """Gaussian weights (count, count) about each of evenly spaced points, ``step`` standard deviations apart."""
    points = step * np.arange(count)
    weights = np.exp(-0.5 * (points[:, None] - points) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


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
    weights = parent_weights(parents)
    counts = counted(members, truth)
    fitted = {key: _fit(energy_ev, members[key], truth[key], weights, counts[key], level, floors) for key in counts}
    return Calibration(float(energy_ev[0]), BAND_EV, level, fitted["epsilon"], fitted["delta_epsilon"])


def counted(members: Mapping[str, FloatArray], truth: Mapping[str, FloatArray]) -> dict[str, BoolArray]:
    """The energies (g, m) that say something of the errors of absorption and CD, see the module; arguments are those of
    :func:`calibrate`."""
    where = absorbs(members["epsilon"].mean(axis=0), truth["epsilon"])
    return {"epsilon": where, "delta_epsilon": where & ~without_cd(members, truth)[:, None]}


def without_cd(members: Mapping[str, FloatArray], truth: Mapping[str, FloatArray]) -> BoolArray:
    """Which records (g,) have no CD but for rounding, by label and by prediction; see :func:`calibrate`."""
    largest = np.maximum(np.abs(members["delta_epsilon"].mean(axis=0)), np.abs(truth["delta_epsilon"])).max(axis=1)
    return np.asarray(largest <= NO_CD_G * truth["epsilon"].max(axis=1))


def silent(predicted: FloatArray) -> BoolArray:
    """Where predicted absorptions (g, m) are next to nothing: no error was measured there, so there is no interval."""
    return np.asarray(predicted <= ABSORBS * predicted.max(axis=1, keepdims=True))


def absorbs(predicted: FloatArray, truth: FloatArray) -> BoolArray:
    """Where each record (g, m) absorbs, by its label or its prediction."""
    highest = truth.max(axis=1, keepdims=True)
    return np.asarray(np.maximum(predicted, truth) > ABSORBS * highest)


def _interpolate_factors(energy_ev: FloatArray, low_ev: float, band_ev: float, factors: FloatArray) -> FloatArray:
    """Factors (m,) at ``energy_ev`` (m,): those of the bands at their centres, straight lines of the logarithm between.

    NaN in a band whose own factor is NaN; other bands do not see it.
    """
    centres = low_ev + band_ev * (0.5 + np.arange(len(factors)))
    measured = np.isfinite(factors)
    if not measured.any():
        return np.full(len(energy_ev), np.nan)
    logarithms = np.log(np.maximum(factors[measured], SMALLEST_FACTOR))
    inside = measured[_band(energy_ev, low_ev, band_ev, len(factors))]
    return np.where(inside, np.exp(np.interp(energy_ev, centres[measured], logarithms)), np.nan)


def _band(energy_ev: FloatArray, low_ev: float, band_ev: float, count: int) -> IntArray:
    """The band (m,) of each energy; those beyond the last count to it."""
    return np.clip(np.floor((energy_ev - low_ev) / band_ev + 1e-9).astype(np.int64), 0, count - 1)


def parent_weights(parents: Sequence[str]) -> FloatArray:
    """Weight (g,) of each record: those of one parent add up to 1."""
    _, place, counts = np.unique(np.array(parents), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[place])


def _fit(
    energy_ev: FloatArray,
    members: FloatArray,
    truth: FloatArray,
    weights: FloatArray,
    counts: BoolArray,
    level: float,
    floors: Sequence[float],
) -> BandFactors:
    """The floor whose intervals are narrowest in the geometric mean over the points that count, with its factors."""
    low = float(energy_ev[0])
    bands = int((energy_ev[-1] - low) / BAND_EV + 1e-9) + 1
    band = _band(energy_ev, low, BAND_EV, bands)
    measured = np.array([np.sum(counts[:, band == k].any(axis=1)) >= LEAST_RECORDS for k in range(bands)])
    points = counts & measured[band]
    error = np.abs(truth - members.mean(axis=0))
    fits = []
    for floor in floors:
        spread = raw_spread(energy_ev, members, floor)
        factors = np.where(measured, 1.0, np.nan)
        for _ in range(_ROUNDS):
            half = spread * _interpolate_factors(energy_ev, low, BAND_EV, factors)
            for k in np.flatnonzero(measured):
                at = band == k
                factors[k] *= _factor(error[:, at], half[:, at], weights, counts[:, at], level)
            factors = np.minimum(factors, LARGEST_FACTOR)
        width = np.maximum(spread * _interpolate_factors(energy_ev, low, BAND_EV, factors), 1e-30)
        capped = int(np.sum(factors == LARGEST_FACTOR))
        listed = tuple(float(factor) if np.isfinite(factor) else None for factor in factors)
        narrow = float(np.mean(np.log(width[points]))) if points.any() else 0.0
        fits.append((capped, narrow, BandFactors(floor, listed)))
    return min(fits, key=lambda fit: fit[:2])[2]


def _factor(error: FloatArray, spread: FloatArray, weights: FloatArray, counts: BoolArray, level: float) -> float:
    """The weighted quantile of error / spread over the points that count, at ``level`` (g + 1) / g for the finite
    number g of records that have some.

    A point without spread counts as covered where its error is nothing but rounding, and as never covered elsewhere.
    """
    rounding = error <= 1e-4 * max(float(error.max(initial=0.0)), 1e-12)
    ratio = np.divide(error, spread, out=np.where(rounding, 0.0, np.inf), where=spread > 0.0)[counts]
    share = min(level * (1.0 + 1.0 / max(int(counts.any(axis=1).sum()), 1)), 1.0)
    order = np.argsort(ratio)
    total = np.cumsum((counts * (weights[:, None] / np.maximum(counts.sum(axis=1, keepdims=True), 1)))[counts][order])
    at = min(int(np.searchsorted(total, share * total[-1] * (1.0 - 1e-12))), len(order) - 1)
    return min(float(ratio[order[at]]), LARGEST_FACTOR)


def _array(factors: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if factor is None else factor for factor in factors])


def _factors(values: Any) -> BandFactors:
    factors = tuple(None if value is None else float(value) for value in values["factors"])
    if not factors or not all(factor is None or 0.0 <= factor < np.inf for factor in factors):
        raise ValueError("factors must be finite and positive, or null")
    return BandFactors(float(values["floor"]), factors)


Novelty = Literal["ligand", "cluster"]
"""What of a structure no training data held: a ligand, or the metal core."""
NOVELTIES: tuple[Novelty, ...] = get_args(Novelty)


LARGEST_REACH = 1000.0
"""Largest growth of the spread with the distance from the training geometries that is tried: a network that is nearly
exact where it has learnt has intervals of next to nothing there."""


@dataclass(frozen=True)
class Reach:
    """How much the spread grows on the way to the edge of the domain: by 1 + ``epsilon``, or ``delta_epsilon``."""

    epsilon: float = 0.0
    delta_epsilon: float = 0.0

    def factors(self, quantity: str, scores: FloatArray | None) -> FloatArray | float:
        """The factor (g, 1) on the spread of structures with the domain ``scores`` (g,); 1 where they are unknown."""
        if scores is None:
            return 1.0
        return np.asarray(1.0 + getattr(self, quantity) * np.clip(scores, 0.0, 1.0)[:, None])


@dataclass(frozen=True)
class Uncertainty:
    """``calibration``: for compositions that training held; ``novel``: for others, where it was measured; ``reach``:
    for geometries away from those of training; ``sign_error``: error of the strongest CD, in standard deviations."""

    calibration: Calibration
    novel: Mapping[Novelty, Calibration] = field(default_factory=dict)
    reach: Reach = Reach()
    sign_error: float = 1.0

    def spread(
        self,
        quantity: str,
        energy_ev: FloatArray,
        members: FloatArray,
        novelties: Sequence[Novelty | None],
        scores: FloatArray | None = None,
    ) -> FloatArray:
        """The calibrated standard deviation (g, m) of the mean of ``members`` (k, g, m), see
        :meth:`Calibration.spread`; ``novelties`` (g,): for a novel structure the larger of both; ``scores`` (g,):
        distances from the training geometries, see :class:`~clusterml.inference.domain.Domain`."""
        std = self.calibration.spread(quantity, energy_ev, members) * self.reach.factors(quantity, scores)
        mean = members.mean(axis=0, keepdims=True)
        for novelty, calibration in self.novel.items():
            rows = [row for row, of_row in enumerate(novelties) if of_row == novelty]
            # fmax: what one of them has not measured does not hide the other
            std[rows] = np.fmax(std[rows], calibration.spread(quantity, energy_ev, mean[:, rows]))
        return std

    def coverage(
        self,
        quantity: str,
        energy_ev: FloatArray,
        members: FloatArray,
        truth: FloatArray,
        novelties: Sequence[Novelty | None],
        scores: FloatArray | None = None,
        told: BoolArray | bool = True,
    ) -> FloatArray:
        """Share (g,) of each record's energies, of those with an interval and where ``told`` (g, m), at which it holds
        the truth (g, m), NaN for a record without any; aim: the level, 0.9."""
        half = self.spread(quantity, energy_ev, members, novelties, scores) * normal_quantile(self.calibration.level)
        counts = np.isfinite(half) & told
        inside = counts & (np.abs(truth - members.mean(axis=0)) <= half)
        return np.where(counts.any(axis=1), inside.sum(axis=1) / np.maximum(counts.sum(axis=1), 1), np.nan)

    def coverages(
        self,
        energy_ev: FloatArray,
        members: Mapping[str, FloatArray],
        truth: Mapping[str, FloatArray],
        novelties: Sequence[Novelty | None],
        scores: FloatArray | None = None,
    ) -> dict[str, FloatArray]:
        """:meth:`coverage` (g,) of absorption and CD where predictions have an interval, NaN for the CD of records that
        have none; ``members`` and ``truth`` as for :func:`calibrate`."""
        told = ~silent(members["epsilon"].mean(axis=0))
        covered = {
            key: self.coverage(key, energy_ev, members[key], truth[key], novelties, scores, told)
            for key in ("epsilon", "delta_epsilon")
        }
        covered["delta_epsilon"] = np.where(without_cd(members, truth), np.nan, covered["delta_epsilon"])
        return covered

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        novel = {key: calibration.to_dict() for key, calibration in self.novel.items()}
        reach = asdict(self.reach)
        return {
            "calibration": self.calibration.to_dict(),
            "reach": reach,
            "sign_error": self.sign_error,
            "novel": novel,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Uncertainty:
        """What :meth:`to_dict` gave (of the newest version); raises :class:`InputFileError` naming ``source``
        if it is anything else."""
        novel = values.get("novel")
        if not isinstance(novel, dict) or not set(novel) <= set(NOVELTIES):
            problem = f"{source}: novel is not a mapping of {', '.join(NOVELTIES)} to calibrations"
            raise InputFileError(problem, "get the checkpoint again")
        of_novelty = {key: Calibration.from_dict(novel[key], source) for key in NOVELTIES if key in novel}
        calibration = Calibration.from_dict(values.get("calibration"), source)
        return cls(calibration, of_novelty, _reach(values, source), _sign_error(values, source))


def _reach(values: Mapping[str, Any], source: str) -> Reach:
    """The growth in ``values``."""
    try:
        reach = Reach(**{key: float(value) for key, value in values["reach"].items()})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputFileError(f"{source}: reach is {values.get('reach')!r}", "get the checkpoint again") from error
    if not all(0.0 <= value <= LARGEST_REACH for value in (reach.epsilon, reach.delta_epsilon)):
        raise InputFileError(f"{source}: reach is {values.get('reach')!r}", "get the checkpoint again")
    return reach


def _sign_error(values: Mapping[str, Any], source: str) -> float:
    """The error of the strongest CD in ``values``."""
    value = values.get("sign_error")
    if not isinstance(value, int | float) or not 1.0 <= value <= LARGEST_SIGN_ERROR:
        raise InputFileError(f"{source}: sign_error is {value!r}", "get the checkpoint again")
    return float(value)
