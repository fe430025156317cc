"""Keeping covalent bond lengths while everything else moves: the SHAKE idea, solved for all bonds together.

A straight displacement along a soft mode stretches the bonds it turns, to second order.  The correction is the smallest
mass-weighted one that restores the lengths (Ryckaert, Ciccotti and Berendsen, J. Comput. Phys. 23, 327 (1977)).
"""

from __future__ import annotations

import numpy as np

from clusterml.errors import StructureError
from clusterml.typing import FloatArray, IntArray

TOLERANCE = 1e-11
"""Largest remaining error (A) of a bond length."""
_MOST_STEPS = 50
_TINY = 1e-12  # keeps rings of bonds, whose lengths depend on each other, solvable
_BATCH_NUMBERS = 20_000_000  # floats in the largest temporary array


def keep_lengths(
    parent: FloatArray, moved: FloatArray, bonds: IntArray, lengths: FloatArray, masses: FloatArray
) -> FloatArray:
    """``moved`` ``(a, n, 3)`` corrected so that ``bonds`` ``(m, 2)`` have ``lengths`` ``(a, m)`` or ``(m,)`` (A).

    The correction acts along the bonds of ``parent`` ``(n, 3)``, weighted by the inverse ``masses`` ``(n,)``; it is
    zero where nothing is to be corrected, and smooth in ``moved``.  Raises :class:`StructureError` if the displacement
    is too large for lengths to be restored.
    """
    if len(bonds) == 0:
        return moved.copy()
    lengths = np.broadcast_to(lengths, (len(moved), len(bonds)))
    step = max(1, _BATCH_NUMBERS // (len(bonds) ** 2 + 9 * len(bonds)))
    parts = [
        _corrected(parent, moved[k : k + step], bonds, lengths[k : k + step], 1.0 / masses)
        for k in range(0, len(moved), step)
    ]
    return np.concatenate(parts)


def _corrected(
    parent: FloatArray, points: FloatArray, bonds: IntArray, lengths: FloatArray, mobility: FloatArray
) -> FloatArray:
    """Newton's method for the multipliers of all bonds; see :func:`keep_lengths`."""
    first, second = bonds.T
    guide = parent[first] - parent[second]
    coupling = 2.0 * (_touch(first, first, second, mobility) - _touch(second, first, second, mobility))
    atoms = np.arange(len(parent))[:, None]
    spread = mobility[:, None] * ((atoms == first) * 1.0 - (atoms == second))
    for _ in range(_MOST_STEPS):
        line = points[:, first] - points[:, second]
        error = np.sum(line**2, axis=2) - lengths**2
        worst = float(np.abs(error).max())
        if worst < 2.0 * TOLERANCE * lengths.min():
            return points
        if not worst < 1e3:  # diverging, or not a number
            break
        response = coupling * np.einsum("abx,cx->abc", line, guide) + _TINY * np.eye(len(bonds))
        push = np.linalg.solve(response, -error[..., None]) * guide
        points = points + spread @ push
    raise StructureError(
        f"bond lengths cannot be kept in a displacement this large (off by {worst:.2g} A^2)", "choose a smaller amount"
    )


def _touch(atom: IntArray, first: IntArray, second: IntArray, mobility: FloatArray) -> FloatArray:
    """How a push along each bond (column) moves ``atom`` of each bond (row): ``(m, m)``."""
    return np.asarray(((atom[:, None] == first) * 1.0 - (atom[:, None] == second)) * mobility[atom][:, None])
