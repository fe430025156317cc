"""What a network must beat: the training mean, the nearest neighbour, and kernel ridge regression on descriptors.

All are exact in the mirror: the mirror image of a structure has the same absorption and the opposite CD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from clusterml.dataset.record import Record
from clusterml.structure.elements import is_metal
from clusterml.training.descriptors import descriptor
from clusterml.typing import FloatArray

_WIDTHS = (0.3, 1.0, 3.0)
"""Kernel widths that are tried, in units of the median distance between training samples."""
_RIDGES = (1e-4, 1e-2, 1.0, 100.0)
"""Regularisations that are tried; the kernel of a sample with itself is 1."""
_HANDS = {"R": 1, "P": 1, "S": -1, "M": -1}


@dataclass(frozen=True, eq=False)
class Samples:
    """What the baselines know of n structures.

    ``parent``: name of each; ``hand`` (n,): +1 for R and P, -1 for S and M, 0 for parents without; ``metals`` (n,):
    number of metal atoms, at least 1; ``invariant`` (n, k) and ``pseudoscalar`` (n, p): descriptors.
    """

    parent: tuple[str, ...]
    hand: FloatArray
    metals: FloatArray
    invariant: FloatArray
    pseudoscalar: FloatArray

    @classmethod
    def of(cls, records: Iterable[Record]) -> Samples:
        """The samples of ``records``, of which there is at least one; each is read once."""
        rows = [(r.parent, _HANDS.get(r.hand, 0), max(int(is_metal(r.numbers).sum()), 1), _numbers(r)) for r in records]
        parent, hand, metals, made = zip(*rows, strict=True)
        return cls(
            parent,
            np.array(hand, dtype=float),
            np.array(metals, dtype=float),
            np.stack([one for one, _ in made]),
            np.stack([other for _, other in made]),
        )


@dataclass(frozen=True, eq=False)
class Spectra:
    """``epsilon`` (n, m) and ``delta_epsilon`` (n, m) in L mol-1 cm-1."""

    epsilon: FloatArray
    delta_epsilon: FloatArray


Baseline: TypeAlias = Callable[[Samples], Spectra]
"""A fitted baseline: samples -> their spectra."""
Fit: TypeAlias = Callable[[Samples, Spectra, Samples, Spectra], Baseline]
"""Training samples and spectra, validation samples and spectra -> the fitted baseline."""


def fit_mean(train: Samples, spectra: Spectra, validation: Samples, wanted: Spectra) -> Baseline:
    """The mean of the training spectra of the same parent and hand.

    The CD of the two hands of a parent is averaged with the sign turned for one of them.  An unknown parent gets the
    mean per metal atom over the known ones, which has no CD.
    """
    signs = np.where(train.hand == 0.0, 1.0, train.hand)
    keys = list(zip(train.parent, np.abs(train.hand), strict=True))
    members = {key: np.array([k == key for k in keys]) for key in dict.fromkeys(keys)}
    epsilon = {key: spectra.epsilon[rows].mean(axis=0) for key, rows in members.items()}
    cd = {key: (signs[rows, None] * spectra.delta_epsilon[rows]).mean(axis=0) for key, rows in members.items()}
    per_metal = (spectra.epsilon / train.metals[:, None]).mean(axis=0)

    def one(parent: str, hand: float, metals: float) -> tuple[FloatArray, FloatArray]:
        key = (parent, abs(hand))
        if key not in epsilon:
            return metals * per_metal, np.zeros_like(per_metal)
        return epsilon[key], (hand or 1.0) * cd[key]

    def predict(samples: Samples) -> Spectra:
        pairs = [one(*row) for row in zip(samples.parent, samples.hand.tolist(), samples.metals, strict=True)]
        return Spectra(np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs]))

    return predict


def fit_nearest(train: Samples, spectra: Spectra, validation: Samples, wanted: Spectra) -> Baseline:
    """The spectrum of the training structure, or of the mirror image of one, whose descriptors are nearest."""
    scale = _Scale(train)
    x, p = scale(train)

    def predict(samples: Samples) -> Spectra:
        y, q = scale(samples)
        same = _squared(y, x) + _squared(q, p)
        mirrored = _squared(y, x) + _squared(q, -p)
        nearest = np.argmin(np.minimum(same, mirrored), axis=1)
        rows = np.arange(len(y))
        sign = np.where(same[rows, nearest] <= mirrored[rows, nearest], 1.0, -1.0)
        size = (samples.metals / train.metals[nearest])[:, None]
        cd = size * sign[:, None] * spectra.delta_epsilon[nearest]
        return Spectra(size * spectra.epsilon[nearest], cd)

    return predict


def fit_kernel_ridge(train: Samples, spectra: Spectra, validation: Samples, wanted: Spectra) -> Baseline:
    """Kernel ridge regression, per metal atom, of what the training mean leaves.

    Absorption: a Gaussian kernel of the invariants.  CD: the part of a Gaussian kernel of invariants and pseudoscalars
    that is odd in the latter.  Width and regularisation are those with the smallest squared error on ``validation``.
    """
    scale, mean = _Scale(train), fit_mean(train, spectra, validation, wanted)
    ours, theirs = scale(train), scale(validation)
    said, expected = mean(train), mean(validation)
    size, other = train.metals[:, None], validation.metals[:, None]
    even = _best(
        _even_kernel, ours, theirs, (spectra.epsilon - said.epsilon) / size, (wanted.epsilon - expected.epsilon) / other
    )
    odd = _best(
        _odd_kernel,
        ours,
        theirs,
        (spectra.delta_epsilon - said.delta_epsilon) / size,
        (wanted.delta_epsilon - expected.delta_epsilon) / other,
    )

    def predict(samples: Samples) -> Spectra:
        described, sizes, base = scale(samples), samples.metals[:, None], mean(samples)
        epsilon = np.maximum(base.epsilon + sizes * even(described), 0.0)
        return Spectra(epsilon, base.delta_epsilon + sizes * odd(described))

    return predict


BASELINES: dict[str, Fit] = {
    "training mean": fit_mean,
    "nearest neighbour": fit_nearest,
    "kernel ridge": fit_kernel_ridge,
}
"""Name -> how it is fitted."""

_Described: TypeAlias = tuple[FloatArray, FloatArray]
_Kernel: TypeAlias = Callable[[_Described, _Described, float], FloatArray]


def _numbers(record: Record) -> tuple[FloatArray, FloatArray]:
    found = descriptor(record.numbers, record.positions)
    return found.invariant, found.pseudoscalar


class _Scale:
    """Brings descriptors to unit variance over the training samples and the two blocks to the same total.

    Pseudoscalars are divided by their root mean square, not centred: zero must stay zero.
    """

    def __init__(self, train: Samples) -> None:
        self._mean = train.invariant.mean(axis=0)
        self._std = _positive(train.invariant.std(axis=0)) * np.sqrt(train.invariant.shape[1])
        rms = np.sqrt(np.mean(train.pseudoscalar**2, axis=0))
        self._rms = _positive(rms) * np.sqrt(train.pseudoscalar.shape[1])

    def __call__(self, samples: Samples) -> _Described:
        """Scaled invariants and pseudoscalars."""
        return (samples.invariant - self._mean) / self._std, samples.pseudoscalar / self._rms


def _positive(values: FloatArray) -> FloatArray:
    """``values`` with 1 in place of what is zero but for rounding."""
    return np.where(values > max(1e-9 * float(values.max()), 1e-12), values, 1.0)


def _squared(x: FloatArray, y: FloatArray) -> FloatArray:
    """Squared distances (a, b) between the rows of x (a, k) and y (b, k)."""
    return np.maximum((x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2.0 * x @ y.T, 0.0)


def _even_kernel(a: _Described, b: _Described, gamma: float) -> FloatArray:
    return np.exp(-gamma * _squared(a[0], b[0]))


def _odd_kernel(a: _Described, b: _Described, gamma: float) -> FloatArray:
    near = np.exp(-gamma * _squared(a[1], b[1])) - np.exp(-gamma * _squared(a[1], -b[1]))
    return 0.5 * near * np.exp(-gamma * _squared(a[0], b[0]))


def _best(
    kernel: _Kernel, train: _Described, validation: _Described, y: FloatArray, wanted: FloatArray
) -> Callable[[_Described], FloatArray]:
    """The kernel ridge regression of ``y`` (n, m) that is best on the validation set."""
    from sklearn.kernel_ridge import KernelRidge

    typical = max(float(np.median(_squared(train[0], train[0]))), 1e-12)
    tried: list[tuple[float, int, float, Any]] = []
    for width in _WIDTHS:
        gamma = 0.5 / (width**2 * typical)
        gram, across = kernel(train, train, gamma), kernel(validation, train, gamma)
        for ridge in _RIDGES:
            model = KernelRidge(alpha=ridge, kernel="precomputed").fit(gram, y)
            error = float(np.mean((model.predict(across) - wanted) ** 2))
            tried.append((error, len(tried), gamma, model))
    _, _, gamma, model = min(tried, key=lambda entry: entry[:2])
    return lambda described: model.predict(kernel(described, train, gamma))
