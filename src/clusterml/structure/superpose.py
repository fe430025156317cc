"""The best superposition of two geometries when it is not known which atom belongs to which.

Rotation and permutation depend on each other, so many starts are tried: frames built from matching pairs of atoms,
principal axes, and an even grid of rotations.  All are scored by distances to the nearest atom of the same kind and
improved in batches (iterated nearest neighbours); the best are refined by exact assignment in turn with Kabsch's fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations, product
from math import factorial, prod
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.rotations import frames, kabsch, nearest_rotation, rotation_grid
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import torch


PROBES = 16
"""Atoms of each kind that are looked at when thousands of rotations are scored."""
_CHUNK = 4_000_000  # distances held in memory at a time: more are slower, for they leave the cache
_MATCHED = 250_000  # costs of exact assignments in memory at a time
_ROUNDS = 4


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Use so many CPU threads for torch within the block, None: as they are.

    1 is right where tensors are small: more threads would only wait.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if threads is None else threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class NearestAtoms:
    """Distances from rotated mobile atoms to the nearest target atom of their kind; both geometries are centred."""

    def __init__(self, kinds: Kinds, mobile: FloatArray, target: FloatArray) -> None:
        import torch

        self.kinds = kinds
        self.mobile = torch.as_tensor(np.ascontiguousarray(mobile), dtype=torch.float32)
        self.target = torch.as_tensor(np.ascontiguousarray(target), dtype=torch.float32)
        self.radius = np.linalg.norm(mobile, axis=1)

    def score(self, rotations: FloatArray, probes: int | None = PROBES) -> FloatArray:
        """Mean square distance (A^2) ``(m,)`` to the nearest atom of the kind, for ``rotations`` ``(m, 3, 3)``.

        ``probes``: atoms of each kind that are taken (spread over their distances from the centre); None for all.
        """
        total, used = np.zeros(len(rotations)), 0
        with torch_threads(1):
            for mobile, target in zip(self.kinds.mobile, self.kinds.target, strict=True):
                chosen = mobile if probes is None else self._probes(mobile, probes)
                total += self._nearest(rotations, chosen, target)[0]
                used += len(chosen)
        return total / max(used, 1)

    def improve(self, rotations: FloatArray, improper: bool, keep: int) -> FloatArray:
        """The best of ``rotations`` ``(m, 3, 3)`` after some rounds of nearest-neighbour fits: ``(<= keep, 3, 3)``.

        Best first; of several with the same score (equivalent by symmetry) one is kept.
        """
        best = rotations[np.argsort(self.score(rotations), kind="stable")[: 8 * keep]]
        for rounds in range(_ROUNDS):
            with torch_threads(1):
                best = self._fit(best, improper)
            if rounds == 1:  # most of the gain is made: go on with the better part only
                best = best[np.argsort(self.score(best, None), kind="stable")[: 3 * keep]]
        score = self.score(best, None)
        distinct = np.unique(np.round(score, 4), return_index=True)[1]
        return best[distinct[:keep]]

    def _fit(self, rotations: FloatArray, improper: bool) -> FloatArray:
        """One round: match every atom to the nearest, then fit the rotations ``(m, 3, 3)`` to the matches."""
        import torch

        covariance = torch.zeros((len(rotations), 3, 3), dtype=torch.float64)
        for mobile, target in zip(self.kinds.mobile, self.kinds.target, strict=True):
            match = torch.as_tensor(target)[self._nearest(rotations, mobile, target)[1]]
            covariance += torch.einsum("mna,nb->mab", self.target[match], self.mobile[mobile]).double()
        return nearest_rotation(covariance.numpy(), improper)

    def _nearest(self, rotations: FloatArray, atoms: IntArray, others: IntArray) -> tuple[FloatArray, torch.Tensor]:
        """Sum of squared nearest distances ``(m,)``, and which of ``others`` is nearest ``(m, len(atoms))``."""
        import torch

        turned = torch.as_tensor(rotations, dtype=torch.float32)
        points, targets = self.mobile[atoms], self.target[others]
        step = max(1, _CHUNK // (len(atoms) * len(others)))
        sums, which = [], []
        for start in range(0, len(turned), step):
            moved = points @ turned[start : start + step].mT
            # |x - y|^2 = |x|^2 - 2 (x.y - |y|^2 / 2): only the bracket decides which atom is nearest
            best = (moved @ targets.T - 0.5 * (targets**2).sum(1)).max(dim=-1)
            sums.append(((points**2).sum(1) - 2.0 * best.values).sum(-1))
            which.append(best.indices)
        return torch.cat(sums).double().numpy(), torch.cat(which)

    def _probes(self, atoms: IntArray, count: int) -> IntArray:
        """Some of ``atoms``: all if few, else spread evenly from the innermost to the outermost."""
        if len(atoms) <= count:
            return atoms
        order = atoms[np.argsort(self.radius[atoms], kind="stable")]
        return order[np.linspace(0, len(order) - 1, count).round().astype(np.int64)]


@dataclass(frozen=True)
class Kinds:
    """Atoms that may be exchanged: for each kind their indices in the mobile and in the target geometry.

    ``mobile`` and ``target``: tuples of equally long index arrays, one pair per kind.
    """

    mobile: tuple[IntArray, ...]
    target: tuple[IntArray, ...]

    @classmethod
    def of(cls, labels: IntArray, target_labels: IntArray | None = None) -> Kinds:
        """Kinds from the ``labels`` ``(n,)`` of the atoms (atomic numbers, say) and those of the target ``(n,)``.

        Raises ValueError if the two are not permutations of each other.
        """
        other = labels if target_labels is None else target_labels
        if not np.array_equal(np.sort(labels), np.sort(other)):
            raise ValueError("the two geometries do not have the same kinds of atoms")
        kinds = np.unique(labels)
        mobile = tuple(np.flatnonzero(labels == kind) for kind in kinds)
        return cls(mobile, tuple(np.flatnonzero(other == kind) for kind in kinds))

    @property
    def count(self) -> int:
        """Number of atoms."""
        return sum(len(members) for members in self.mobile)

    def count_permutations(self) -> int:
        """Number of permutations within kinds."""
        return prod(factorial(len(members)) for members in self.mobile)

    def permutations(self) -> IntArray:
        """All permutations within kinds ``(m, n)``: for each target atom the mobile atom; meant for few atoms."""
        table = np.empty((self.count_permutations(), self.count), dtype=np.int64)
        for row, choice in zip(table, product(*map(permutations, self.mobile)), strict=True):
            for here, chosen in zip(self.target, choice, strict=True):
                row[here] = chosen
        return table

    def match(self, mobile: FloatArray, target: FloatArray) -> IntArray:
        """The permutation ``(n,)`` within kinds that minimises the sum of squares of ``mobile[permutation] - target``.

        ``mobile``, ``target``: ``(n, 3)``.  Exact (scipy's Jonker-Volgenant solver).
        """
        return self.match_all(mobile, target[None])[0]

    def match_all(self, mobile: FloatArray, targets: FloatArray) -> IntArray:
        """:meth:`match` for each of several ``targets`` ``(m, n, 3)``: permutations ``(m, n)``."""
        permutations = np.empty((len(targets), self.count), dtype=np.int64)
        for mobile_atoms, target_atoms in zip(self.mobile, self.target, strict=True):
            if len(mobile_atoms) == 1:
                permutations[:, target_atoms] = mobile_atoms
                continue
            step = max(1, _MATCHED // len(mobile_atoms) ** 2)
            for start in range(0, len(targets), step):
                batch = slice(start, start + step)
                assignment = _assign(mobile[mobile_atoms], targets[batch, target_atoms])
                permutations[batch, target_atoms] = mobile_atoms[assignment]
        return permutations


def _assign(points: FloatArray, targets: FloatArray) -> IntArray:
    """Which of ``points`` ``(k, 3)`` belongs to which place of ``targets`` ``(m, k, 3)`` at the least cost: (m, k)."""
    from scipy.optimize import linear_sum_assignment

    cost = (points**2).sum(axis=1) - 2.0 * (targets @ points.T)
    nearest = np.argmin(cost, axis=-1)
    ordered = np.sort(nearest, axis=-1)
    taken_twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=-1)  # else it is the best assignment already
    for number in np.flatnonzero(taken_twice):
        nearest[number] = linear_sum_assignment(cost[number])[1]
    return nearest


GRID = 4096
"""Rotations of the even grid among the starts."""
MOST_FRAMES = 6000
"""Most starts made from matching pairs of atoms."""
ALIKE = 0.6
"""How much (A) the distances of matching atoms from the centre may differ."""
MOST_ENUMERATED = 720
"""With no more permutations than this, all are tried and the result is exact."""
_REFINED = 10_000  # starts times atoms that are worth exact assignments: many for molecules, few for large clusters
_SMALL = 30  # atoms; up to here starts are refined as they are, too: a nearest-neighbour fit loses some of the optima
_TARGET_PAIRS = 3
_EXACT = 1e-6
"""A misfit (A) at which the search ends."""


@dataclass(frozen=True)
class Superposition:
    """``mobile[permutation] @ rotation.T + translation`` lies on the target with the root-mean-square misfit ``rmsd``.

    rotation      (3, 3), determinant +1, or -1 if ``improper``
    translation   (3,) in A
    permutation   (n,): for each target atom, the mobile atom that is put on it
    rmsd          A
    improper      whether the mirror image of the mobile geometry was superposed
    """

    rotation: FloatArray
    translation: FloatArray
    permutation: IntArray
    rmsd: float
    improper: bool

    def apply(self, mobile: FloatArray) -> FloatArray:
        """The mobile positions ``(n, 3)`` (A), moved onto the target and in its order of atoms."""
        return np.asarray(mobile[self.permutation] @ self.rotation.T + self.translation)


def superpose(
    numbers: IntArray,
    mobile: FloatArray,
    target: FloatArray,
    *,
    improper: bool = False,
    permute: bool = True,
    target_numbers: IntArray | None = None,
) -> Superposition:
    """Superpose ``mobile`` on ``target``, both ``(n, 3)`` in A, so that the root-mean-square misfit is least.

    ``numbers`` ``(n,)``: atomic numbers, or any labels; atoms with the same label may be exchanged if ``permute``.
    ``target_numbers`` ``(n,)``: those of the target where its order differs.  ``improper``: superpose the mirror image.

    With at most 720 permutations the result is exact.  Else it is the best of many local optima: exact for geometries
    that nearly coincide, an upper bound for others.  Raises StructureError if the two do not have the same atoms.
    """
    numbers = np.asarray(numbers)
    other = numbers if target_numbers is None else np.asarray(target_numbers)
    mobile, target = np.asarray(mobile, dtype=np.float64), np.asarray(target, dtype=np.float64)
    _check(numbers, other, mobile, target)
    centre, aim = mobile.mean(axis=0), target.mean(axis=0)
    moved, fixed = mobile - centre, target - aim
    if permute:
        kinds = Kinds.of(numbers, other)
        find = _enumerate if kinds.count_permutations() <= MOST_ENUMERATED else _search
        rotation, permutation = find(kinds, moved, fixed, improper)
    else:
        permutation = np.arange(len(numbers))
        rotation = kabsch(moved, fixed, improper)
    misfit = _rms(moved[permutation] @ rotation.T - fixed)
    return Superposition(rotation, aim - rotation @ centre, permutation, misfit, improper)


def refine(
    kinds: Kinds, mobile: FloatArray, target: FloatArray, rotation: FloatArray, improper: bool, rounds: int = 40
) -> tuple[float, FloatArray, IntArray]:
    """Assignment and Kabsch's fit in turn until neither changes: misfit (A), rotation ``(3, 3)``, permutation ``(n,)``.

    ``mobile`` and ``target`` ``(n, 3)`` are centred; the misfit never grows from round to round.
    """
    before = np.empty(0, dtype=np.int64)
    for _ in range(rounds):
        permutation = kinds.match(mobile @ rotation.T, target)
        rotation = kabsch(mobile[permutation], target, improper)
        if np.array_equal(permutation, before):
            break
        before = permutation
    return _rms(mobile[permutation] @ rotation.T - target), rotation, permutation


def _check(numbers: IntArray, other: IntArray, mobile: FloatArray, target: FloatArray) -> None:
    n_atoms = len(numbers)
    if n_atoms == 0 or mobile.shape != (n_atoms, 3) or target.shape != (n_atoms, 3):
        raise StructureError(
            f"geometries of {mobile.shape} and {target.shape} with {n_atoms} elements cannot be superposed",
            "both need the same, positive number of atoms",
        )
    if not np.array_equal(np.sort(numbers), np.sort(other)):
        raise StructureError(
            "the geometries to superpose consist of different elements", "compare clusters of the same composition"
        )
    if not (np.isfinite(mobile).all() and np.isfinite(target).all()):
        raise StructureError("a geometry to superpose has coordinates that are not finite", "correct the coordinates")


def superpositions(kinds: Kinds, mobile: FloatArray, target: FloatArray, improper: bool, count: int) -> FloatArray:
    """Promising rotations ``(<= count, 3, 3)`` of ``mobile`` onto ``target``, both ``(n, 3)`` and centred, best first.

    They are improved by nearest neighbours only; determinant -1 if ``improper``.
    """
    return NearestAtoms(kinds, mobile, target).improve(_starts(kinds, mobile, target, improper), improper, count)


def _search(kinds: Kinds, mobile: FloatArray, target: FloatArray, improper: bool) -> tuple[FloatArray, IntArray]:
    """The best rotation ``(3, 3)`` and permutation ``(n,)``."""
    refined = int(np.clip(_REFINED // kinds.count, 16, 400))
    candidates = superpositions(kinds, mobile, target, improper, refined)
    if kinds.count <= _SMALL:
        starts = _starts(kinds, mobile, target, improper)
        score = NearestAtoms(kinds, mobile, target).score(starts)
        candidates = np.concatenate([candidates, starts[np.argsort(score, kind="stable")[:refined]]])
    best = (np.inf, candidates[0], np.arange(kinds.count))
    for rotation in candidates:
        candidate = refine(kinds, mobile, target, rotation, improper)
        best = min(best, candidate, key=lambda result: result[0])
        if best[0] < _EXACT:
            break
    return best[1], best[2]


def _enumerate(kinds: Kinds, mobile: FloatArray, target: FloatArray, improper: bool) -> tuple[FloatArray, IntArray]:
    """The best rotation and permutation, of all permutations."""
    every = kinds.permutations()
    rotations = kabsch(mobile[every], np.broadcast_to(target, (len(every), *target.shape)), improper)
    overlap = np.einsum("pna,pab,nb->p", mobile[every], np.swapaxes(rotations, -1, -2), target)
    best = int(np.argmax(overlap))
    return rotations[best], every[best]


def _starts(kinds: Kinds, mobile: FloatArray, target: FloatArray, improper: bool) -> FloatArray:
    """Candidate orthogonal matrices ``(m, 3, 3)`` of the required determinant."""
    signs = np.array(list(product([1.0, -1.0], repeat=3)))
    axes, own = (np.linalg.eigh(points.T @ points)[1] for points in (target, mobile))
    principal = (axes * signs[:, None, :]) @ own.T
    principal = principal[(np.linalg.det(principal) < 0) == improper]
    grid = rotation_grid(GRID) @ np.diag([1.0, 1.0, -1.0 if improper else 1.0])
    return np.concatenate([matching_frames(kinds, mobile, target, improper), principal, grid])


def matching_frames(
    kinds: Kinds, mobile: FloatArray, target: FloatArray, improper: bool, alike: float = ALIKE
) -> FloatArray:
    """Matrices ``(m, 3, 3)`` that carry two atoms of the mobile geometry onto two of the target, both centred.

    Matching atoms are of one kind and differ by at most ``alike`` (A) in their distance from the centre, matching pairs
    by twice that in length.  The target pairs are those that the fewest mobile atoms resemble.
    """
    mirror = np.diag([1.0, 1.0, -1.0 if improper else 1.0])
    similar = _similar(kinds, mobile, target, alike)
    matrices = [np.empty((0, 3, 3))]
    for i, j in _choose_pairs(similar.sum(axis=1), target):
        first, second = (grid.ravel() for grid in np.meshgrid(np.flatnonzero(similar[i]), np.flatnonzero(similar[j])))
        stretch = np.linalg.norm(mobile[first] - mobile[second], axis=1) - np.linalg.norm(target[i] - target[j])
        sine = np.linalg.norm(np.cross(mobile[first], mobile[second]), axis=1)
        order = np.argsort(np.abs(stretch), kind="stable")
        order = order[(np.abs(stretch) < 2 * alike)[order] & (sine > 0.1)[order]][: MOST_FRAMES // _TARGET_PAIRS]
        if len(order):
            mobile_frames = frames(mobile[first[order]], mobile[second[order]])
            matrices.append(frames(target[i], target[j]) @ mirror @ np.swapaxes(mobile_frames, -1, -2))
    return np.concatenate(matrices)


def _similar(kinds: Kinds, mobile: FloatArray, target: FloatArray, alike: float) -> BoolArray:
    """``(n, n)``: is a mobile atom (column) of a target atom's (row) kind, and about as far from the centre?"""
    similar = np.zeros((len(target), len(mobile)), dtype=np.bool_)
    radius, aim = np.linalg.norm(mobile, axis=1), np.linalg.norm(target, axis=1)
    for mobile_atoms, target_atoms in zip(kinds.mobile, kinds.target, strict=True):
        similar[np.ix_(target_atoms, mobile_atoms)] = (
            np.abs(aim[target_atoms, None] - radius[None, mobile_atoms]) < alike
        )
    return similar


def _choose_pairs(counts: IntArray, target: FloatArray) -> list[tuple[int, int]]:
    """Pairs of target atoms, in directions that differ clearly, that leave the fewest possibilities ``counts`` (n,)."""
    radius = np.linalg.norm(target, axis=1)
    usable = np.flatnonzero((counts > 0) & (radius > 0.5))
    order = usable[np.argsort(counts[usable], kind="stable")]
    direction = target / np.maximum(radius, 1e-9)[:, None]
    pairs: list[tuple[int, int]] = []
    for i in order:
        partner = next((int(j) for j in order if abs(direction[i] @ direction[j]) < 0.9), None)
        if partner is not None and (partner, int(i)) not in pairs:
            pairs.append((int(i), partner))
        if len(pairs) == _TARGET_PAIRS:
            break
    return pairs


def _rms(difference: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.sum(difference**2, axis=-1))))
