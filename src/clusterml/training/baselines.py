"""What a network must beat: the training mean, the nearest neighbour, and kernel ridge regression on descriptors.

Hydrogens are left out.  With f_a(r) a bump of the distance times the kind of the neighbour (a: channel), every atom i
has moments V_a(i) = sum_j f_a(r_ij) r^_ij and Q_a(i) = sum_j f_a(r_ij) (r^_ij r^_ij - 1/3).  Invariants are smoothed
histograms of distances by pair of kinds, and, summed over the atoms of a kind, V_a.V_b and Q_a:Q_b, which are Legendre
moments of the angles.  Pseudoscalars are sums of triple products, each of three or four atoms and a reference:
V_a.(V_b x V_c) at an atom, r^_ij.(V_a(i) x V_b(j)) along a contact, and R_i.(V_a(i) x V_b(i)) about the centre.

All are exact in the mirror: the mirror image of a structure has the same absorption and the opposite CD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import TypeAlias

import numpy as np

from clusterml.dataset.record import Record
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

_HEAVY_DONORS = (15, 16, 17, 33, 34, 35, 52, 53)  # P S Cl As Se Br Te I
_CARBON, _HYDROGEN = 6, 1
_METAL, _DONOR, _HETERO, _ORGANIC = range(4)
_DISTANCES = np.linspace(1.2, 9.2, 25)  # A, centres of the histogram's bumps
_WIDTH = 0.3  # A, their standard deviation
_BUMPS = ((2.6, 0.5), (4.4, 0.8))  # A: centre and width of f_a: bonded atoms, next neighbours
_NEIGHBOUR_KINDS = ((_METAL,), (_DONOR,), (_HETERO, _ORGANIC))
_CENTRE_KINDS = (_METAL, _DONOR)


@dataclass(frozen=True, eq=False)
class Descriptor:
    """``invariant`` (k,), the same for the mirror image; ``pseudoscalar`` (p,), opposite; both per metal atom."""

    invariant: FloatArray
    pseudoscalar: FloatArray


def descriptor(numbers: IntArray, positions: FloatArray) -> Descriptor:
    """The descriptor of one structure, ``numbers`` (n,) and ``positions`` (n, 3) in A; independent of the order."""
    metal = is_metal(numbers)
    count = max(int(metal.sum()), 1)
    heavy = numbers != _HYDROGEN
    kinds = _kinds(numbers[heavy])
    where = positions[heavy] - (positions[metal] if metal.any() else positions).mean(axis=0)
    offsets = where[None, :, :] - where[:, None, :]
    distance = np.linalg.norm(offsets, axis=2)
    np.fill_diagonal(distance, np.inf)
    units = offsets / distance[:, :, None]
    vectors, tensors, bonded = _moments(kinds, distance, units)
    invariant = [*_histograms(kinds, distance), *_angular(kinds, vectors, tensors)]
    pseudoscalar = [
        *_at_atoms(kinds, vectors),
        *_along_contacts(kinds, vectors, units * bonded[:, :, None]),
        *_about_centre(kinds, vectors, where),
    ]
    return Descriptor(np.concatenate(invariant) / count, np.concatenate(pseudoscalar) / count)


def _kinds(numbers: IntArray) -> IntArray:
    """Kind (n,) of each atom: metal, heavy donor, other hetero atom, carbon."""
    kinds = np.full(len(numbers), _HETERO)
    kinds[np.isin(numbers, _HEAVY_DONORS)] = _DONOR
    kinds[numbers == _CARBON] = _ORGANIC
    kinds[is_metal(numbers)] = _METAL
    return kinds


def _moments(kinds: IntArray, distance: FloatArray, units: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """V (n, c, 3) and Q (n, c, 3, 3) over the channels, and how much each pair is bonded (n, n)."""
    bumps = [np.exp(-0.5 * ((distance - centre) / width) ** 2) for centre, width in _BUMPS]
    weights = np.stack([bump * np.isin(kinds, near)[None, :] for near in _NEIGHBOUR_KINDS for bump in bumps], axis=1)
    vectors = weights @ units
    products = (units[:, :, :, None] * units[:, :, None, :] - np.eye(3) / 3.0).reshape(*distance.shape, 9)
    tensors = (weights @ products).reshape(*weights.shape[:2], 3, 3)
    return vectors, tensors, bumps[0]


def _histograms(kinds: IntArray, distance: FloatArray) -> list[FloatArray]:
    """Smoothed counts of distances for each pair of kinds, and the number of atoms of each kind."""
    numbers = [np.array([float((kinds == kind).sum()) for kind in range(4)])]
    upper = np.triu(np.ones(distance.shape, dtype=bool), 1) & (distance < _DISTANCES[-1] + 3.0 * _WIDTH)
    first, second = np.nonzero(upper)
    values = distance[first, second]
    low, high = np.minimum(kinds[first], kinds[second]), np.maximum(kinds[first], kinds[second])
    for pair in combinations_with_replacement(range(4), 2):
        of_pair = values[(low == pair[0]) & (high == pair[1])]
        numbers.append(np.exp(-0.5 * ((_DISTANCES[:, None] - of_pair[None, :]) / _WIDTH) ** 2).sum(axis=1))
    return numbers


def _angular(kinds: IntArray, vectors: FloatArray, tensors: FloatArray) -> list[FloatArray]:
    flat = tensors.reshape(*tensors.shape[:2], 9)
    upper = np.triu_indices(vectors.shape[1])
    numbers = []
    for kind in _CENTRE_KINDS:
        at = kinds == kind
        numbers += [np.einsum("nax,nbx->ab", moments[at], moments[at])[upper] for moments in (vectors, flat)]
    return numbers


def _at_atoms(kinds: IntArray, vectors: FloatArray) -> list[FloatArray]:
    a, b, c = np.array(list(combinations(range(vectors.shape[1]), 3))).T
    products = np.einsum("nkx,nkx->nk", vectors[:, a], np.cross(vectors[:, b], vectors[:, c]))
    return [products[kinds == kind].sum(axis=0) for kind in _CENTRE_KINDS]


def _along_contacts(kinds: IntArray, vectors: FloatArray, contacts: FloatArray) -> list[FloatArray]:
    """r^_ij.(V_a(i) x V_b(j)) for contacts between each two kinds of centres; ``contacts`` (n, n, 3) weighted."""
    upper = np.triu_indices(vectors.shape[1])
    numbers = []
    for one, other in combinations_with_replacement(_CENTRE_KINDS, 2):
        left, right = kinds == one, kinds == other
        between = contacts[np.ix_(left, right)]
        turned = np.cross(between[:, :, None, :], vectors[left][:, None, :, :])  # (i, j, a, 3)
        sums = np.einsum("ijax,jbx->ab", turned, vectors[right])
        numbers.append((sums + sums.T)[upper])
    return numbers


def _about_centre(kinds: IntArray, vectors: FloatArray, where: FloatArray) -> list[FloatArray]:
    a, b = np.array(list(combinations(range(vectors.shape[1]), 2))).T
    products = np.einsum("nx,nkx->nk", where, np.cross(vectors[:, a], vectors[:, b]))
    return [products[kinds == kind].sum(axis=0) for kind in _CENTRE_KINDS]


_WIDTHS = (0.3, 1.0, 3.0)
"""Kernel widths that are tried, in units of the median distance between training samples."""
_RIDGES = (1e-4, 1e-2, 1.0, 100.0)
"""Regularisations that are tried; the kernel of a sample with itself is 1."""
MOST_OF_KERNEL = 8000
"""Training records of kernel ridge regression: matrices of so many squared take half a gigabyte each."""
_AT_ONCE = 500
"""Structures whose nearest neighbours are looked for at a time."""
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
    def of(cls, records: Iterable[Record], *, described: bool = True) -> Samples:
        """The samples of ``records``, of which there is at least one; each is read once.

        Without ``described`` there are no descriptors (k and p are 0), which take longer than all else.
        """
        describe = _numbers if described else lambda record: (np.zeros(0), np.zeros(0))
        rows = [(r.parent, _HANDS.get(r.hand, 0), max(int(is_metal(r.numbers).sum()), 1), describe(r)) for r in records]
        parent, hand, metals, made = zip(*rows, strict=True)
        return cls(
            parent,
            np.array(hand, dtype=float),
            np.array(metals, dtype=float),
            np.stack([one for one, _ in made]),
            np.stack([other for _, other in made]),
        )

    def take(self, rows: IntArray) -> Samples:
        """Those of ``rows`` (k,)."""
        parent = tuple(self.parent[row] for row in rows.tolist())
        return Samples(parent, self.hand[rows], self.metals[rows], self.invariant[rows], self.pseudoscalar[rows])


@dataclass(frozen=True, eq=False)
class Spectra:
    """``epsilon`` (n, m) and ``delta_epsilon`` (n, m) in L mol-1 cm-1."""

    epsilon: FloatArray
    delta_epsilon: FloatArray

    def take(self, rows: IntArray) -> Spectra:
        """Those of ``rows`` (k,)."""
        return Spectra(self.epsilon[rows], self.delta_epsilon[rows])


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
    keys = list(zip(train.parent, np.abs(train.hand).tolist(), strict=True))
    members: dict[tuple[str, float], list[int]] = {}
    for row, key in enumerate(keys):
        members.setdefault(key, []).append(row)
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

    def find(y: FloatArray, q: FloatArray) -> tuple[IntArray, FloatArray]:
        """The nearest of the training structures, and 1, or -1 where its mirror image is nearer."""
        same = _squared(y, x) + _squared(q, p)
        mirrored = _squared(y, x) + _squared(q, -p)
        nearest = np.argmin(np.minimum(same, mirrored), axis=1)
        rows = np.arange(len(y))
        return nearest, np.where(same[rows, nearest] <= mirrored[rows, nearest], 1.0, -1.0)

    def predict(samples: Samples) -> Spectra:
        described = zip(*(np.array_split(part, len(part) // _AT_ONCE + 1) for part in scale(samples)), strict=True)
        nearest, sign = map(np.concatenate, zip(*(find(y, q) for y, q in described), strict=True))
        size = (samples.metals / train.metals[nearest])[:, None]
        cd = size * sign[:, None] * spectra.delta_epsilon[nearest]
        return Spectra(size * spectra.epsilon[nearest], cd)

    return predict


def fit_kernel_ridge(train: Samples, spectra: Spectra, validation: Samples, wanted: Spectra) -> Baseline:
    """Kernel ridge regression, per metal atom, of what the training mean leaves.

    Absorption: a Gaussian kernel of the invariants.  CD: the part of a Gaussian kernel of invariants and pseudoscalars
    that is odd in the latter.  Width and regularisation are those with the smallest squared error on ``validation``.
    Of more than :data:`MOST_OF_KERNEL` training records so many are drawn, for time and memory; the mean is of all.
    """
    mean = fit_mean(train, spectra, validation, wanted)
    if len(train.parent) > MOST_OF_KERNEL:
        rows = np.sort(np.random.default_rng(0).permutation(len(train.parent))[:MOST_OF_KERNEL])
        train, spectra = train.take(rows), spectra.take(rows)
    scale = _Scale(train)
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
    numbers = descriptor(record.numbers, record.positions)
    return numbers.invariant, numbers.pseudoscalar


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
    least, best, weights = np.inf, 1.0, np.zeros_like(y)
    for width in _WIDTHS:
        gamma = 0.5 / (width**2 * typical)
        gram, across = kernel(train, train, gamma), kernel(validation, train, gamma)
        for ridge in _RIDGES:
            fitted = KernelRidge(alpha=ridge, kernel="precomputed").fit(gram, y).dual_coef_
            error = float(np.mean((across @ fitted - wanted) ** 2))
            if error < least:
                least, best, weights = error, gamma, fitted
    return lambda described: kernel(described, train, best) @ weights
