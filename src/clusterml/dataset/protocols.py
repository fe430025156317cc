"""What a label protocol is worth beside a reference set: cosines, shifts, errors of the CD, and how well they hold.

Each geometry of a reference set has a spectrum of Kohn-Sham orbitals and one of the protocol.  Means go over clusters
(parents), each the mean of its geometries, so that no cluster counts for the number of its geometries.  What is fitted
(:func:`measure`) is kept as an :class:`~clusterml.engine.label_error.ErrorTable`; :func:`held_out` judges every cluster
by numbers fitted to the clusters of other families.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist, mean
from typing import TYPE_CHECKING

import numpy as np

from clusterml.dataset.record import Record
from clusterml.engine.label_error import Kind, Measured, local_scale, strong_bands
from clusterml.spectrum.fit import cosine
from clusterml.spectrum.peaks import Peak, find_bands
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

WINDOWS_EV: dict[Kind, tuple[float, float]] = {"superatom": (1.2, 4.4), "silver(I) complex": (2.5, 5.4)}
"""Energies that cosines go over: where these clusters have their bands, and anions have bound states."""
WIDTHS_EV = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Of the table of errors."""
TYPICAL_WIDTH_EV = 0.3
"""Of the bands that shifts are fitted with."""
ENERGIES_EV = tuple(0.5 * k for k in range(2, 12))
"""Of the table of errors; each holds what lies within 1 eV."""
NEAR_EV = 1.0
SHIFTS_EV = 0.02 * np.arange(-30, 31)
STRONG = 0.05
"""A maximum of the absorption is a band from this share of the highest in the window."""
STRONGEST = 5
"""CD bands of the reference whose signs are counted."""
LEAST_G = 1e-5
"""A reference whose CD is below this share of its absorption is achiral, but for its grid and rounding."""
NOTHING = 1e-3
"""A protocol whose CD is below this share of the reference's has no bands within its energies."""
COUNTED = 0.1
"""An energy counts where the CD of one of the two has a local scale above this share of its largest."""
SMALLEST_ERROR = 1e-3
"""In local scales: the numerical precision of a label."""
COVERAGE = 0.9
"""Share of deviations that ``SIGMAS`` errors hold."""
SIGMAS = NormalDist().inv_cdf(0.5 + 0.5 * COVERAGE)
_LARGEST_SLOPE = 10.0
_FEWEST_FAMILIES = 2


def geometry_hash(of: Record | Atoms) -> str:
    """16 hexadecimal digits of elements and positions."""
    content = [np.ascontiguousarray(a, dtype=np.float32).tobytes() for a in (of.numbers, of.positions)]
    return hashlib.sha256(b"".join(content)).hexdigest()[:16]


def record_hash(record: Record) -> str:
    """16 hexadecimal digits of geometry and CD spectrum."""
    content = geometry_hash(record).encode() + np.float32(record.delta_epsilon).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True)
class Pair:
    """A geometry of a ``kind`` under the reference and under a protocol, both at one width; ``gaps``: of both, eV."""

    record: Record
    kind: Kind
    reference: Spectrum
    spectrum: Spectrum
    gaps: tuple[float, float]

    @cached_property
    def chiral(self) -> bool:
        """Has the reference a CD, and the protocol one within the same energies?"""
        strongest = float(np.abs(self.record.delta_epsilon).max())
        mine = float(np.abs(self.spectrum.delta_epsilon).max())
        return strongest > LEAST_G * float(self.record.epsilon.max()) and mine > NOTHING * strongest

    def cosines(self, shift: float) -> tuple[float, float]:
        """Of absorption and CD within the window of the kind, the protocol's energies moved by ``shift``."""
        axis = self.reference.energy_ev
        inside = (axis >= WINDOWS_EV[self.kind][0]) & (axis <= WINDOWS_EV[self.kind][1])

        def of(key: str) -> float:
            mine = np.interp(axis, self.spectrum.energy_ev + shift, getattr(self.spectrum, key))
            return cosine(mine[inside], getattr(self.reference, key)[inside])

        return of("epsilon"), of("delta_epsilon")

    def likeness(self, shift: float) -> float:
        """The mean cosine of absorption and CD, that of the absorption where there is no CD."""
        return mean(self.cosines(shift)) if self.chiral else self.cosines(shift)[0]

    @cached_property
    def own_shift(self) -> float:
        """That of the largest likeness."""
        return float(max(SHIFTS_EV, key=self.likeness))

    @cached_property
    def mirrored(self) -> Pair:
        """The same with the mirror image of the reference, which a shift should not fit as well."""
        return replace(self, reference=self.reference.mirrored())

    def first_band(self) -> float:
        """Error of the first absorption band in eV, NaN where one of the two has none."""
        mine, theirs = (self._first_band(s) for s in (self.spectrum, self.reference))
        return mine - theirs

    def _first_band(self, spectrum: Spectrum) -> float:
        high = WINDOWS_EV[self.kind][1]
        inside = [band for band in find_bands(spectrum, "epsilon", shoulders=False) if band.energy_ev <= high]
        highest = max((band.height for band in inside), default=np.nan)
        return next((band.energy_ev for band in inside if band.height >= STRONG * highest), np.nan)

    def right_signs(self, shift: float) -> float:
        """Share of the reference's strongest CD bands in the window whose sign the protocol has there; NaN without
        any, or without a shift."""
        if not np.isfinite(shift):
            return np.nan
        low, high = WINDOWS_EV[self.kind]
        inside = [band for band in strong_bands(self.reference) if low <= band.energy_ev <= high]
        strongest = sorted(inside, key=lambda band: -abs(band.height))[:STRONGEST]
        same = [_value(self.spectrum, band.energy_ev - shift) * band.height > 0.0 for band in strongest]
        return mean(same) if same else np.nan

    @cached_property
    def bands(self) -> list[tuple[float, bool]]:
        """Of each CD band of the protocol: height in units of the local scale, and has the reference its sign?"""
        scale = local_scale(self.spectrum.energy_ev, self.spectrum.delta_epsilon)

        def relative(band: Peak) -> float:
            return abs(band.height) / float(np.interp(band.energy_ev, self.spectrum.energy_ev, scale))

        inside = [band for band in strong_bands(self.spectrum) if ENERGIES_EV[0] <= band.energy_ev <= ENERGIES_EV[-1]]
        return [(relative(band), _value(self.reference, band.energy_ev) * band.height > 0.0) for band in inside]

    @cached_property
    def deviations(self) -> tuple[FloatArray, FloatArray]:
        """Energies (k,) that count, and the deviations of the CD there in units of the protocol's local scale."""
        axis = self.reference.energy_ev
        mine, theirs = (local_scale(axis, s.delta_epsilon) for s in (self.spectrum, self.reference))
        counts = (mine > COUNTED * mine.max()) | (theirs > COUNTED * theirs.max())
        counts &= (axis >= ENERGIES_EV[0]) & (axis <= ENERGIES_EV[-1])
        deviation = np.abs(self.spectrum.delta_epsilon - self.reference.delta_epsilon) / mine
        return axis[counts], deviation[counts]


def _value(spectrum: Spectrum, energy_ev: float) -> float:
    return float(np.interp(energy_ev, spectrum.energy_ev, spectrum.delta_epsilon))


def cluster_mean(pairs: Sequence[Pair], value: Callable[[Pair], float]) -> float:
    """Mean of ``value`` over clusters, each the mean of its geometries; NaN without any."""
    by_cluster = defaultdict(list)
    for pair in pairs:
        if np.isfinite(number := value(pair)):
            by_cluster[pair.record.parent].append(number)
    return mean(map(mean, by_cluster.values())) if by_cluster else float("nan")


def common_shift(pairs: Sequence[Pair]) -> float:
    """The shift of the largest mean cosine, of absorption and CD alike; of the absorption where there is no CD."""
    return float(max(SHIFTS_EV, key=lambda shift: cluster_mean(pairs, lambda pair: pair.likeness(shift))))


def held_out_shifts(pairs: Sequence[Pair]) -> dict[str, float]:
    """Family -> the common shift of the clusters of other families; empty where there are none."""
    families = sorted({pair.record.family for pair in pairs})
    if len(families) < _FEWEST_FAMILIES:
        return {}
    return {family: common_shift([p for p in pairs if p.record.family != family]) for family in families}


def useful_shift(pairs: Sequence[Pair]) -> float:
    """The common shift where it makes clusters more alike that it was not fitted to, else none."""
    shifts = held_out_shifts(pairs)
    plain = cluster_mean(pairs, lambda pair: pair.likeness(0.0))
    moved = cluster_mean(pairs, lambda pair: pair.likeness(shifts[pair.record.family])) if shifts else plain
    return common_shift(pairs) if moved > plain else 0.0


def clusters_of(pairs: Sequence[Pair]) -> int:
    """How many clusters there are among them."""
    return len({pair.record.parent for pair in pairs})


def relative_errors(pairs: Sequence[Pair]) -> list[float]:
    """At each of ``ENERGIES_EV``: the error of the CD in units of its local scale, from the quantile of deviations."""
    by_cluster = defaultdict(list)
    for pair in pairs:
        by_cluster[pair.record.parent].append(pair.deviations)
    joined = [tuple(map(np.concatenate, zip(*parts, strict=True))) for parts in by_cluster.values()]
    values = np.maximum([_quantile_near(energy, joined) for energy in ENERGIES_EV], SMALLEST_ERROR)
    known = np.isfinite(values)
    return list(map(float, np.interp(ENERGIES_EV, np.array(ENERGIES_EV)[known], values[known])))


def _quantile_near(energy: float, clusters: Sequence[tuple[FloatArray, ...]]) -> float:
    """The error from deviations within 1 eV of ``energy``, clusters counting equally; NaN where there are none."""
    weights, deviations = [], []
    for energies, values in clusters:
        near = np.clip(1.0 - np.abs(energies - energy) / NEAR_EV, 0.0, None)
        if near.sum() > 0.0:
            weights.append(near / near.sum())
            deviations.append(values)
    if not weights:
        return float("nan")
    weight, deviation = np.concatenate(weights), np.concatenate(deviations)
    order = np.argsort(deviation)
    total = np.cumsum(weight[order])
    return float(deviation[order][np.searchsorted(total, COVERAGE * total[-1])]) / SIGMAS


def sign_slope(pairs: Sequence[Pair]) -> float:
    """The slope a of the probability Phi(a z) of a right sign: maximum likelihood, clusters counting equally.

    One more cluster, of which half the bands of z = 1 are right, stands for what is not known.
    """
    by_cluster: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for pair in pairs:
        by_cluster[pair.record.parent] += pair.bands
    by_cluster["unknown"] = [(1.0, True), (1.0, False)]
    signed = [np.array([z if right else -z for z, right in bands]) for bands in by_cluster.values() if bands]
    return _likeliest_slope(signed, _LARGEST_SLOPE)


def measure(pairs: dict[float, list[Pair]], factor: float, of_slope: float) -> Measured | None:
    """All numbers of a protocol and a kind from its pairs by width; None without a CD.

    ``factor``: of the errors, see :func:`error_factor`; ``of_slope``: of the slopes, see :func:`slope_factor`.
    """
    chiral = {width: [pair for pair in of_width if pair.chiral] for width, of_width in pairs.items()}
    typical = chiral[TYPICAL_WIDTH_EV]
    if not typical:
        return None
    shift = useful_shift(typical)

    def cosines(at: float, which: int) -> tuple[float, ...]:
        return tuple(round(cluster_mean(p, lambda pair: pair.cosines(at)[which]), 3) for p in chiral.values())

    return Measured(
        clusters=clusters_of(typical),
        geometries=len(typical),
        shift_ev=round(shift, 2),
        absorption=cosines(0.0, 0),
        cosine=cosines(0.0, 1),
        shifted=cosines(shift, 1),
        error=tuple(tuple(round(factor * e, 3) for e in relative_errors(p)) for p in chiral.values()),
        sign_slope=tuple(round(of_slope * sign_slope(p), 3) for p in chiral.values()),
    )


@dataclass(frozen=True)
class Held:
    """A family that is judged by numbers of the others: per counted energy its deviation in units of the error, and per
    band slope times height in local scales, and whether the sign is right."""

    deviations: FloatArray
    signs: list[tuple[float, bool]]


def held_out(pairs: Sequence[Pair]) -> list[Held]:
    """Every cluster judged by the errors and the slope of clusters of other families; none where there is no other."""
    chiral = [pair for pair in pairs if pair.chiral]
    judged = []
    for family in sorted({pair.record.family for pair in chiral}):
        rest = [pair for pair in chiral if pair.record.family != family]
        if not rest:
            return []
        errors, slope = relative_errors(rest), sign_slope(rest)
        held = [pair for pair in chiral if pair.record.family == family]
        parts = [pair.deviations for pair in held]
        deviations = [values / np.interp(energies, ENERGIES_EV, errors) for energies, values in parts]
        signs = [(slope * z, right) for pair in held for z, right in pair.bands]
        judged.append(Held(np.concatenate(deviations), signs))
    return judged


def error_factor(judged: Sequence[Held]) -> float:
    """What errors are multiplied by so that they hold 90 % of the deviations of clusters that were held out."""
    if not judged:
        return 1.0
    weights = np.concatenate([np.full(len(held.deviations), 1.0 / len(held.deviations)) for held in judged])
    values = np.concatenate([held.deviations for held in judged])
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return max(1.0, float(values[order][np.searchsorted(total, COVERAGE * total[-1])]) / SIGMAS)


def slope_factor(judged: Sequence[Held]) -> float:
    """What slopes are multiplied by, 0 to 1, so that the probabilities of signs hold for families that were held out:
    maximum likelihood, families counting equally; 0 where there are none."""
    signed = [np.array([x if right else -x for x, right in held.signs]) for held in judged if held.signs]
    return _likeliest_slope(signed, 1.0) if signed else 0.0


def _likeliest_slope(signed: Sequence[FloatArray], largest: float) -> float:
    """a of Phi(a z) for groups of z, negative where the sign is wrong, each counting equally."""
    from scipy.optimize import minimize_scalar
    from scipy.stats import norm

    def loss(slope: float) -> float:
        return -sum(float(norm.logcdf(slope * z).mean()) for z in signed)

    best = float(minimize_scalar(loss, bounds=(0.0, largest), method="bounded").x)
    return min((0.0, best, largest), key=loss)


def coverage(judged: Sequence[Held], factor: float, sigmas: float) -> float:
    """Share of the deviations of held-out clusters within ``sigmas`` errors, clusters counting equally."""
    return mean(float(np.mean(held.deviations <= factor * sigmas)) for held in judged)
