"""Scoring and improving many candidate rotations at once by the nearest atoms of the same kind, in torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.assign import Kinds
from clusterml.structure.rotations import nearest_rotation
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

PROBES = 16
"""Atoms of each kind that are looked at when thousands of rotations are scored."""
_CHUNK = 4_000_000  # distances held in memory at a time: more are slower, for they leave the cache
_ROUNDS = 4


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """One CPU thread for torch in the block: more only wait for each other where tensors are small."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
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
        with one_torch_thread():
            for there, here in zip(self.kinds.mobile, self.kinds.target, strict=True):
                chosen = there if probes is None else self._probes(there, probes)
                total += self._nearest(rotations, chosen, here)[0]
                used += len(chosen)
        return total / max(used, 1)

    def improve(self, rotations: FloatArray, improper: bool, keep: int) -> FloatArray:
        """The best of ``rotations`` ``(m, 3, 3)`` after some rounds of nearest-neighbour fits: ``(<= keep, 3, 3)``.

        Best first; of several with the same score (equivalent by symmetry) one is kept.
        """
        found = rotations[np.argsort(self.score(rotations), kind="stable")[: 8 * keep]]
        for rounds in range(_ROUNDS):
            with one_torch_thread():
                found = self._fit(found, improper)
            if rounds == 1:  # most of the gain is made: go on with the better part only
                found = found[np.argsort(self.score(found, None), kind="stable")[: 3 * keep]]
        score = self.score(found, None)
        distinct = np.unique(np.round(score, 4), return_index=True)[1]
        return found[distinct[:keep]]

    def _fit(self, rotations: FloatArray, improper: bool) -> FloatArray:
        """One round: match every atom to the nearest, then fit the rotations ``(m, 3, 3)`` to the matches."""
        import torch

        covariance = torch.zeros((len(rotations), 3, 3), dtype=torch.float64)
        for there, here in zip(self.kinds.mobile, self.kinds.target, strict=True):
            match = torch.as_tensor(here)[self._nearest(rotations, there, here)[1]]
            covariance += torch.einsum("mna,nb->mab", self.target[match], self.mobile[there]).double()
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
