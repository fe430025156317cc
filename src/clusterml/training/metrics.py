"""How good predicted spectra are: one number per structure, or one for a set.

Spectra are arrays (s, m): s structures, m energies, in L mol-1 cm-1.  A number that a structure does not have (the
cosine of a spectrum that is zero) is NaN; medians over a set leave such structures out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clusterml.errors import DatasetError
from clusterml.spectrum.peaks import match
from clusterml.spectrum.spectrum import G_FLOOR
from clusterml.typing import FloatArray

BAND_PROMINENCE = 0.1
"""A main band stands out from its surroundings by this share of the largest value."""
FARTHEST_EV = 0.3
"""Bands farther apart than this are not the same band; one that is missing counts as this error."""


def cosine(predicted: FloatArray, target: FloatArray) -> FloatArray:
    """p.t / |p||t| of each structure, (s,); NaN where the target is zero, 0 where only the prediction is."""
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(target, axis=1)
    products = np.einsum("sm,sm->s", predicted, target)
    values = np.divide(products, lengths, out=np.zeros(len(products)), where=lengths > 0.0)
    return np.where(np.any(target != 0.0, axis=1), values, np.nan)


def mean_absolute_error(predicted: FloatArray, target: FloatArray) -> FloatArray:
    """Mean of |p - t| over the energies, (s,), in L mol-1 cm-1."""
    return np.asarray(np.abs(predicted - target).mean(axis=1))


def sign_accuracy(predicted: FloatArray, target: FloatArray) -> FloatArray:
    """Share of the energies where the CD has the right sign, (s,), of those where |t| is above its median.

    NaN where the target is zero.
    """
    size = np.abs(target)
    counted = (size > np.median(size, axis=1, keepdims=True)) & (size > 0.0)
    right = counted & (np.sign(predicted) == np.sign(target))
    total = counted.sum(axis=1)
    return np.divide(right.sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)


def r2(predicted: FloatArray, target: FloatArray, mean: FloatArray, scale: FloatArray | None = None) -> float:
    """1 - sum |p - t|^2 / sum |t - mean|^2 over all structures and energies; NaN if every target is the mean.

    ``mean`` (m,) or (s, m): what a model that has learnt nothing would say, see :class:`TrainingMean`.  ``scale`` (s,):
    structures are divided by it first, so that large clusters do not decide alone.
    """
    weight = np.ones(len(target)) if scale is None else 1.0 / np.asarray(scale) ** 2
    left = float(weight @ np.square(predicted - target).sum(axis=1))
    total = float(weight @ np.square(target - mean).sum(axis=1))
    return 1.0 - left / total if total > 0.0 else float("nan")


class TrainingMean:
    """The mean spectrum of the training set, by parent: the simplest thing that a model must beat.

    ``spectra`` (s, m) and ``parents`` (s,) of the training set.  A parent that it does not hold gets the mean of all.
    Raises :class:`~clusterml.errors.DatasetError` for an empty training set.
    """

    def __init__(self, spectra: FloatArray, parents: Sequence[str]) -> None:
        if not len(spectra):
            raise DatasetError("the training set is empty", "choose other records, or another split")
        names = np.asarray(parents)
        self.overall: FloatArray = np.mean(spectra, axis=0, dtype=np.float64)
        self.by_parent = {str(name): np.mean(spectra[names == name], axis=0, dtype=np.float64) for name in set(parents)}

    def of(self, parents: Sequence[str]) -> FloatArray:
        """The mean spectrum for each of ``parents``, (s, m)."""
        return np.stack([self.by_parent.get(name, self.overall) for name in parents])


def peak_error_ev(predicted: FloatArray, target: FloatArray, energy_ev: FloatArray) -> FloatArray:
    """Mean distance (eV) of each structure's main bands in the target to those in the prediction, (s,).

    Bands of either sign are matched one to one within 0.3 eV; a band without a partner counts as 0.3 eV.  ``energy_ev``
    (m,) equally spaced.  NaN where the target has no band.
    """
    return np.array([_peak_error(p, t, energy_ev) for p, t in zip(predicted, target, strict=True)])


def _peak_error(predicted: FloatArray, target: FloatArray, energy_ev: FloatArray) -> float:
    errors: list[float] = []
    for sign in (1.0, -1.0):
        bands, wanted = (main_bands(sign * values, energy_ev) for values in (predicted, target))
        pairs = match(wanted, bands, FARTHEST_EV)
        errors += [abs(wanted[i] - bands[j]) for i, j in pairs] + [FARTHEST_EV] * (len(wanted) - len(pairs))
    return float(np.mean(errors)) if errors else float("nan")


def main_bands(values: FloatArray, energy_ev: FloatArray) -> list[float]:
    """Energies (eV) of the maxima of ``values`` (m,) that stand out by 10 % of the largest absolute value."""
    from scipy.signal import find_peaks

    largest = float(np.abs(values).max())
    if largest == 0.0:
        return []
    at, _ = find_peaks(values / largest, prominence=BAND_PROMINENCE, height=BAND_PROMINENCE)
    left, middle, right = values[at - 1], values[at], values[at + 1]
    bend = left - 2.0 * middle + right
    move = np.divide(0.5 * (left - right), bend, out=np.zeros(len(at)), where=bend < 0.0)  # vertex of a parabola
    return [float(x) for x in energy_ev[at] + move * (energy_ev[1] - energy_ev[0])]


def largest_g(epsilon: FloatArray, delta_epsilon: FloatArray) -> FloatArray:
    """max |CD / absorption| of each structure, (s,), where the absorption is above 2 % of its maximum."""
    floor = np.maximum(G_FLOOR * epsilon.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    g = np.divide(np.abs(delta_epsilon), epsilon, out=np.zeros(epsilon.shape), where=epsilon > floor)
    return np.asarray(g.max(axis=1))


def rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Spearman's rank correlation of two lists (s,); NaN for fewer than 3 structures or a list of equal numbers."""
    from scipy.stats import rankdata

    if len(first) < 3:
        return float("nan")
    a, b = (rankdata(values) - 0.5 * (len(values) + 1) for values in (first, second))
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0.0 else float("nan")


def mean_of_known(values: FloatArray) -> float:
    """Mean of ``values`` (s,) that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def median(values: FloatArray) -> float:
    """Median of ``values`` (s,) that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def summary(
    epsilon: tuple[FloatArray, FloatArray],
    delta_epsilon: tuple[FloatArray, FloatArray],
    means: tuple[FloatArray, FloatArray],
    energy_ev: FloatArray,
) -> dict[str, float]:
    """The numbers of a table row for s structures on the energies ``energy_ev`` (m,).

    ``epsilon``, ``delta_epsilon``: (predicted, target), each (s, m); ``means``: the training means of absorption and
    CD, (m,) or (s, m).  Medians over the structures, except R2 and the rank correlation of max |g|.
    """
    numbers: dict[str, float] = {"structures": float(len(epsilon[1]))}
    for name, (predicted, target), mean in (("absorption", epsilon, means[0]), ("cd", delta_epsilon, means[1])):
        numbers[f"{name}_cosine"] = median(cosine(predicted, target))
        numbers[f"{name}_r2"] = r2(predicted, target, mean)
        numbers[f"{name}_mae"] = median(mean_absolute_error(predicted, target))
        numbers[f"{name}_peak_error_ev"] = median(peak_error_ev(predicted, target, energy_ev))
    numbers["sign_accuracy"] = median(sign_accuracy(*delta_epsilon))
    g = [largest_g(e, d) for e, d in zip(epsilon, delta_epsilon, strict=True)]
    numbers["largest_g_rank"] = rank_correlation(g[0], g[1])
    return numbers
