"""Numbers that describe a whole cluster, for baselines: invariants, and pseudoscalars that change sign in a mirror.

Hydrogens are left out.  With f_a(r) a bump of the distance times the kind of the neighbour (a: channel), every atom i
has moments V_a(i) = sum_j f_a(r_ij) r^_ij and Q_a(i) = sum_j f_a(r_ij) (r^_ij r^_ij - 1/3).  Invariants are smoothed
histograms of distances by pair of kinds, and, summed over the atoms of a kind, V_a.V_b and Q_a:Q_b, which are Legendre
moments of the angles.  Pseudoscalars are sums of triple products, each of three or four atoms and a reference:
V_a.(V_b x V_c) at an atom, r^_ij.(V_a(i) x V_b(j)) along a contact, and R_i.(V_a(i) x V_b(i)) about the centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement

import numpy as np

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
    found = [np.array([float((kinds == kind).sum()) for kind in range(4)])]
    upper = np.triu(np.ones(distance.shape, dtype=bool), 1) & (distance < _DISTANCES[-1] + 3.0 * _WIDTH)
    first, second = np.nonzero(upper)
    values = distance[first, second]
    low, high = np.minimum(kinds[first], kinds[second]), np.maximum(kinds[first], kinds[second])
    for pair in combinations_with_replacement(range(4), 2):
        of_pair = values[(low == pair[0]) & (high == pair[1])]
        found.append(np.exp(-0.5 * ((_DISTANCES[:, None] - of_pair[None, :]) / _WIDTH) ** 2).sum(axis=1))
    return found


def _angular(kinds: IntArray, vectors: FloatArray, tensors: FloatArray) -> list[FloatArray]:
    flat = tensors.reshape(*tensors.shape[:2], 9)
    upper = np.triu_indices(vectors.shape[1])
    found = []
    for kind in _CENTRE_KINDS:
        at = kinds == kind
        found += [np.einsum("nax,nbx->ab", moments[at], moments[at])[upper] for moments in (vectors, flat)]
    return found


def _at_atoms(kinds: IntArray, vectors: FloatArray) -> list[FloatArray]:
    a, b, c = np.array(list(combinations(range(vectors.shape[1]), 3))).T
    products = np.einsum("nkx,nkx->nk", vectors[:, a], np.cross(vectors[:, b], vectors[:, c]))
    return [products[kinds == kind].sum(axis=0) for kind in _CENTRE_KINDS]


def _along_contacts(kinds: IntArray, vectors: FloatArray, contacts: FloatArray) -> list[FloatArray]:
    """r^_ij.(V_a(i) x V_b(j)) for contacts between each two kinds of centres; ``contacts`` (n, n, 3) weighted."""
    upper = np.triu_indices(vectors.shape[1])
    found = []
    for one, other in combinations_with_replacement(_CENTRE_KINDS, 2):
        left, right = kinds == one, kinds == other
        between = contacts[np.ix_(left, right)]
        turned = np.cross(between[:, :, None, :], vectors[left][:, None, :, :])  # (i, j, a, 3)
        sums = np.einsum("ijax,jbx->ab", turned, vectors[right])
        found.append((sums + sums.T)[upper])
    return found


def _about_centre(kinds: IntArray, vectors: FloatArray, where: FloatArray) -> list[FloatArray]:
    a, b = np.array(list(combinations(range(vectors.shape[1]), 2))).T
    products = np.einsum("nx,nkx->nk", where, np.cross(vectors[:, a], vectors[:, b]))
    return [products[kinds == kind].sum(axis=0) for kind in _CENTRE_KINDS]
