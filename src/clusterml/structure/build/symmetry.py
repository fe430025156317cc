"""Symmetry operations of a structure as it is, and a constraint that keeps them while it is relaxed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.structure.build.groups import permutations, symmetrise
from clusterml.structure.rotations import kabsch
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

TOLERANCE = 0.02
"""Largest distance (A) between an atom and the image of another that still counts as symmetric."""
_ON_CENTRE = 0.1
_FLAT = 0.05
_MOST_PAIRS = 20_000


@dataclass(frozen=True)
class Operations:
    """A point group of a structure: ``matrices`` ``(g, 3, 3)`` about ``centre`` ``(3,)`` in A, and where each operation
    takes each atom, ``table`` ``(g, n)``."""

    matrices: FloatArray
    centre: FloatArray
    table: IntArray

    def __len__(self) -> int:
        return len(self.matrices)

    def mean(self, vectors: FloatArray) -> FloatArray:
        """Vectors ``(n, 3)`` on the atoms (forces, displacements) averaged over the group."""
        return symmetrise(vectors, self.matrices, self.table)

    def restore(self, positions: FloatArray) -> FloatArray:
        """Positions ``(n, 3)`` averaged over the group."""
        return self.mean(positions - self.centre) + self.centre


def find_operations(atoms: Atoms, tolerance: float = TOLERANCE) -> Operations:
    """All operations, proper and improper, that leave ``atoms`` as they are within ``tolerance`` (A).

    Candidates map a pair of atoms of the least frequent kind onto every like pair; each is tested on all atoms.  A
    structure on one line is given the identity only.  If the tolerance lets through operations that do not form a
    group, the identity is returned.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    centre = atoms.positions.mean(axis=0)
    local = np.asarray(atoms.positions - centre, dtype=np.float64)
    found = [np.eye(3)]
    for matrix in _candidates(numbers, local, tolerance):
        table, worst = permutations(local, numbers, matrix[None])
        if worst < 3 * tolerance:
            better = kabsch(local, local[table[0]], improper=bool(np.linalg.det(matrix) < 0))
            worst = float(np.linalg.norm(local @ better.T - local[table[0]], axis=1).max())
            if worst < tolerance and not any(np.abs(better - other).max() < 0.05 for other in found):
                found.append(better)
    matrices = np.array(found)
    if not _is_group(matrices):
        matrices = matrices[:1]
    return Operations(matrices, centre, permutations(local, numbers, matrices)[0])


def _candidates(numbers: IntArray, local: FloatArray, tolerance: float) -> list[FloatArray]:
    """Orthogonal matrices that take the first of a pair of atoms and the second to a like pair."""
    radius = np.linalg.norm(local, axis=1)
    shells = _shells(numbers, radius, tolerance)
    first, second = _pair(shells, local)
    if first is None or second is None:
        return []
    start = _frame(local[first], local[second])
    angle = float(local[first] @ local[second])
    slack = 2 * tolerance * (radius[first] + radius[second])
    matrices: list[FloatArray] = []
    for i in shells[_shell_of(shells, first)]:
        for j in shells[_shell_of(shells, second)]:
            if i == j or abs(float(local[i] @ local[j]) - angle) > slack or len(matrices) > _MOST_PAIRS:
                continue
            for side in (1.0, -1.0):
                matrices.append(_frame(local[i], local[j], side) @ start.T)
    return matrices


def _shells(numbers: IntArray, radius: FloatArray, tolerance: float) -> list[IntArray]:
    """Atoms of one element at about the same distance from the centre, the smallest sets first."""
    found: list[IntArray] = []
    for number in np.unique(numbers):
        atoms = np.flatnonzero((numbers == number) & (radius > _ON_CENTRE))
        atoms = atoms[np.argsort(radius[atoms], kind="stable")]
        cuts = np.flatnonzero(np.diff(radius[atoms]) > 2 * tolerance) + 1
        found += [part for part in np.split(atoms, cuts) if len(part)]
    return sorted(found, key=len)


def _pair(shells: list[IntArray], local: FloatArray) -> tuple[int | None, int | None]:
    """Two atoms of small shells whose directions differ."""
    if not shells:
        return None, None
    first = int(shells[0][0])
    for shell in shells:
        for second in shell.tolist():
            cross = np.cross(local[first], local[second])
            if np.linalg.norm(cross) > _FLAT * np.linalg.norm(local[first]) * np.linalg.norm(local[second]):
                return first, int(second)
    return first, None


def _shell_of(shells: list[IntArray], atom: int) -> int:
    return next(k for k, shell in enumerate(shells) if atom in shell)


def _frame(first: FloatArray, second: FloatArray, side: float = 1.0) -> FloatArray:
    """Columns: along ``first``, the rest of ``second``, and their normal times ``side``."""
    a = first / np.linalg.norm(first)
    b = second - (second @ a) * a
    b /= np.linalg.norm(b)
    return np.stack([a, b, side * np.cross(a, b)], axis=1)


def _is_group(matrices: FloatArray) -> bool:
    products = np.einsum("aij,bjk->abik", matrices, matrices).reshape(-1, 3, 3)
    gap = np.abs(products[:, None] - matrices[None]).max(axis=(2, 3)).min(axis=1)
    return bool(gap.max() < 0.1)


class KeepSymmetry:
    """An ASE constraint: displacements and forces are projected on the symmetric ones.

    ASE has one for crystals (``FixSymmetry``) but none for molecules.
    """

    def __init__(self, operations: Operations) -> None:
        self.operations = operations

    def adjust_positions(self, atoms: Atoms, new: FloatArray) -> None:
        """Make proposed positions ``(n, 3)`` symmetric, in place."""
        new[:] = self.operations.restore(new)

    def adjust_forces(self, atoms: Atoms, forces: FloatArray) -> None:
        """Make forces ``(n, 3)`` symmetric, in place."""
        forces[:] = self.operations.mean(forces)

    def get_removed_dof(self, atoms: Atoms) -> int:
        """Not counted."""
        return 0

    def todict(self) -> dict[str, Any]:
        """Name and arguments, for ASE's own files."""
        return {"name": "KeepSymmetry", "kwargs": {}}
