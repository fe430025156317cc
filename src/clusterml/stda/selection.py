"""Configurations of the reference method: primaries, perturbatively selected secondaries, and their matrix A.

docs/science/stda-xtb.md, 11.5 to 11.7; S. Grimme, J. Chem. Phys. 138, 244104 (2013), in the form of the program std2 2.0.
Couplings are streamed over batches of primaries, so that memory stays at the transition charges plus the final matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterml.stda.active import ActiveSpace
from clusterml.stda.parameters import HARTREE_EV_THRESHOLD, tables

if TYPE_CHECKING:
    import torch


BATCH = 192
"""Primaries treated at a time: enough to keep matrix products busy, few enough to bound memory."""


@dataclass(frozen=True)
class Selection:
    """Selected configurations: ``index`` (n_csf,) into the flattened (n_o, n_v) window, ascending;
    ``n_primary`` of them are primaries.

    ``matrix`` (n_csf, n_csf): the Tamm-Dancoff matrix A in hartree with perturbatively lowered primary diagonals.
    """

    index: torch.Tensor
    n_primary: int
    matrix: torch.Tensor


class _PairIntegrals:
    """(ij|ab)_J and (ia|jb)_K for one j at a time and chosen virtual orbitals b, as (len(b), n_o, n_v)."""

    def __init__(self, space: ActiveSpace) -> None:
        import torch

        self.space = space
        self.q_ov = space.transition_charges()
        sizes = space.atom_of_row.bincount(minlength=space.n_atoms).tolist()
        self.q_vv = torch.stack([block.T @ block for block in space.l_v.split(sizes)], dim=1)  # (n_v, n_atoms, n_v)
        q_oo = torch.stack([block.T @ block for block in space.l_o.split(sizes)], dim=1)
        self.potential_oo = (space.gamma_j @ q_oo).transpose(1, 2)  # (n_o, n_o, n_atoms)
        self.potential_ov = (space.gamma_k @ self.q_ov.flatten(1)).reshape(self.q_ov.shape)

    def coulomb(self, j: int, b: torch.Tensor, rows: slice) -> torch.Tensor:
        """(ij|ab)_J for occupied ``rows`` i, all virtual a and the virtual orbitals ``b``: (len(b), n_rows, n_v)."""
        return self.potential_oo[j, rows] @ self.q_vv[b]

    def coupling(self, index: torch.Tensor) -> torch.Tensor:
        """2 (ia|jb)_K - (ij|ab)_J of all i, a with the ascending configurations ``index``: (len(index), n_o, n_v)."""
        n_o, n_v = self.space.shape
        k = (self.potential_ov.flatten(1)[:, index].T @ self.q_ov.flatten(1)).reshape(len(index), n_o, n_v)
        for j, positions, b in _by_occupied(index, n_v):
            potential = self.potential_oo[j].expand(len(b), -1, -1)
            k[int(positions[0]) : int(positions[-1]) + 1].baddbmm_(potential, self.q_vv[b], beta=2.0, alpha=-1.0)
        return k


def _by_occupied(index: torch.Tensor, n_v: int) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Group configurations by occupied orbital: ``(j, positions in index, virtual orbitals)``."""
    occupied = index // n_v
    for j in occupied.unique().tolist():
        positions = (occupied == j).nonzero().flatten()
        yield int(j), positions, index[positions] % n_v


def _perturbation(
    pairs: _PairIntegrals, diagonal: torch.Tensor, primary: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Second-order energies summed over primaries per configuration (n_o, n_v), and over secondaries per primary."""
    secondary = diagonal.new_ones(diagonal.numel()).index_fill_(0, primary, 0.0).reshape(diagonal.shape)
    per_secondary = diagonal.new_zeros(diagonal.shape)
    per_primary = diagonal.new_empty(len(primary))
    regulariser = tables()["stda"]["pt_denominator_regulariser"]
    for start in range(0, len(primary), BATCH):
        batch = primary[start : start + BATCH]
        energy = pairs.coupling(batch).square_().mul_(secondary)
        energy /= (diagonal - diagonal.flatten()[batch][:, None, None]).add_(regulariser)
        per_secondary += energy.sum(0)
        per_primary[start : start + BATCH] = energy.sum((1, 2))
    return per_secondary, per_primary


def _matrix(pairs: _PairIntegrals, index: torch.Tensor, diagonal: torch.Tensor) -> torch.Tensor:
    """A over the configurations ``index`` (ascending), symmetric, with the given unlowered ``diagonal`` (n_o, n_v)."""
    n_v = diagonal.shape[1]
    q = pairs.q_ov.flatten(1)[:, index]
    a = 2.0 * (q.T @ (pairs.space.gamma_k @ q))
    occupied, virtual = index // n_v, index % n_v
    for j, positions, b in _by_occupied(index, n_v):
        first, last = int(positions[0]), int(positions[-1]) + 1
        block = pairs.coulomb(j, b, slice(j, None))[:, occupied[first:] - j, virtual[first:]]
        a[first:, first:last] -= block.T
        a[first:last, last:] = a[last:, first:last].T
    a.diagonal().copy_(diagonal.flatten()[index])
    return a


def select(
    space: ActiveSpace, diagonal: torch.Tensor, emax_ev: float, check_size: Callable[[int], None] = lambda n: None
) -> Selection:
    """Choose the configurations of the reference method and build A.

    ``diagonal`` (n_o, n_v): A_ia,ia in hartree. ``check_size`` is called with the number of configurations before the
    matrix is built, and may raise. An empty selection has ``n_primary`` 0.
    """
    import torch

    flat = diagonal.flatten()
    primary = (flat <= emax_ev / HARTREE_EV_THRESHOLD).nonzero().flatten()
    if len(primary) == 0:
        return Selection(primary, 0, flat.new_zeros((0, 0)))
    pairs = _PairIntegrals(space)
    per_secondary, per_primary = _perturbation(pairs, diagonal, primary)
    accepted = (per_secondary.flatten() > tables()["stda"]["pt_threshold_hartree"]).nonzero().flatten()
    index = torch.cat([primary, accepted]).sort().values
    check_size(len(index))
    a = _matrix(pairs, index, diagonal)
    at_primary, at_accepted = torch.searchsorted(index, primary), torch.searchsorted(index, accepted)
    included = a[at_accepted][:, at_primary] ** 2
    included /= flat[accepted][:, None] - flat[primary][None, :] + tables()["stda"]["pt_denominator_regulariser"]
    a.diagonal()[at_primary] -= per_primary - included.sum(0)
    return Selection(index, len(primary), a)


def full_matrix(space: ActiveSpace, diagonal: torch.Tensor) -> torch.Tensor:
    """A over every configuration of the window, (n_csf, n_csf); for small windows and for checking."""
    import torch

    return _matrix(_PairIntegrals(space), torch.arange(space.n_csf, device=diagonal.device), diagonal)
