"""Matching atoms of one geometry to those of another: per kind of atom, the permutation with the least cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from math import factorial, prod

import numpy as np

from clusterml.typing import FloatArray, IntArray


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
        from scipy.optimize import linear_sum_assignment

        permutation = np.empty(self.count, dtype=np.int64)
        for there, here in zip(self.mobile, self.target, strict=True):
            cost = (mobile[there] ** 2).sum(axis=1) - 2.0 * (target[here] @ mobile[there].T)
            nearest = np.argmin(cost, axis=1)
            if np.bincount(nearest, minlength=len(there)).max() > 1:  # else it is the best assignment already
                nearest = linear_sum_assignment(cost)[1]
            permutation[here] = there[nearest]
        return permutation
