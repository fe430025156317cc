"""A signed measure of chirality: the index of Osipov, Pickup and Dunmur, which changes sign with the mirror image.

G0S = 4! / (3 N^4) sum_ijkl w_i w_j w_k w_l (r_ij x r_kl . r_il) (r_ij . r_jk) (r_jk . r_kl) / ((r_ij r_jk r_kl)^2 r_il)

over all atoms with r_ij = r_i - r_j: the scaled index, dimensionless, the same for a scaled geometry.  M. A. Osipov, B.
T. Pickup, D. A. Dunmur, Mol. Phys. 84, 1193 (1995); M. Solymosi, R. J. Low, M. Grayson, M. P. Neal, J. Chem. Phys. 116,
9875 (2002).  It is a continuous function of the coordinates and exactly zero for achiral geometries; like every signed
measure it also passes through zero between the two hands of some chiral ones.  Right-handed helices are positive.

The sum over four atoms is a trace of matrices of 3N rows.  With Q_(ia)(jb) = r_ij,a r_ij,b / r_ij^2 and
A_(ia)(lb) = sum_c epsilon_abc r_il,c / r_il the sum is trace(A Q Q Q): O(N^3) operations, without any cut-off.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.nearest import one_torch_thread
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    import torch

_CHUNK_BYTES = 3_000_000  # of matrices at a time: what fits into the cache is quickest
_SMALL = 200  # atoms up to which one thread is quickest


def opd_index(positions: FloatArray, weights: FloatArray | None = None, reach: float | None = None) -> FloatArray:
    """The scaled index G0S ``(...)`` of ``positions`` ``(..., n, 3)`` (A), computed in float64 by torch.

    ``weights`` ``(n,)`` multiply each atom's part; default 1 each, so that only places count and elements do not.
    ``reach`` (A): the local index.  All four distances of a term are damped by exp(-(r / reach)^2), so that quartets of
    neighbours count, and N^4 becomes N (sum_ij exp(-(r_ij / reach)^2) / N)^3, which the scaled index has for an
    infinite reach.  Large clusters need it: in the long-range sum the twists of neighbouring groups nearly cancel.
    """
    return np.asarray(opd_contributions(positions, weights, reach).sum(axis=-1))


def opd_contributions(
    positions: FloatArray, weights: FloatArray | None = None, reach: float | None = None
) -> FloatArray:
    """Each atom's part of the index ``(..., n)``: a quarter of all terms in which it takes part; they sum to it."""
    import torch

    points = torch.as_tensor(np.ascontiguousarray(positions, dtype=np.float64))
    n_atoms = points.shape[-2]
    root = torch.ones(n_atoms, dtype=torch.float64)
    if weights is not None:
        root = torch.as_tensor(np.ascontiguousarray(weights, dtype=np.float64)).sqrt()
    flat = points.reshape(-1, n_atoms, 3)
    step = max(1, _CHUNK_BYTES // max(1, 4 * 8 * (3 * n_atoms) ** 2))
    with one_torch_thread() if n_atoms <= _SMALL else nullcontext():
        parts = [_contributions(flat[start : start + step], root, reach) for start in range(0, len(flat), step)]
    found = torch.cat(parts) if parts else torch.zeros((0, n_atoms), dtype=torch.float64)
    return np.asarray(found.reshape(points.shape[:-1]).numpy())


def _contributions(points: torch.Tensor, root: torch.Tensor, reach: float | None) -> torch.Tensor:
    """Parts ``(b, n)`` of the index of ``points`` ``(b, n, 3)``; ``root`` ``(n,)``: square roots of the weights."""
    import torch

    batch, n_atoms = points.shape[:2]
    vectors = points[:, :, None, :] - points[:, None, :, :]
    distance = vectors.norm(dim=-1, keepdim=True)
    unit = vectors / torch.where(distance > 0, distance, torch.ones_like(distance))
    damping = torch.ones_like(distance) if reach is None else torch.exp(-((distance / reach) ** 2))
    pair = (root[:, None] * root[None, :])[None, :, :, None, None] * damping[..., None]
    x, y, z = unit.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).reshape(batch, n_atoms, n_atoms, 3, 3)
    a, q = (
        (pair * blocks).permute(0, 1, 3, 2, 4).reshape(batch, 3 * n_atoms, 3 * n_atoms)
        for blocks in (cross, unit[..., :, None] * unit[..., None, :])
    )
    qq, aq = q @ q, a @ q
    ends = (qq * aq).sum(-1)  # the atom is i (or, by symmetry, l)
    middle = (qq * aq.mT).sum(-1)  # the atom is j (or k)
    total = 0.5 * (ends + middle).reshape(batch, n_atoms, 3).sum(-1)
    partners = damping.sum(dim=(1, 2)) / n_atoms
    return total * (8.0 / (n_atoms * partners**3))
