"""Configurations of the reference method: primaries, perturbatively selected secondaries, and their matrix A.

METHOD 11.5 to 11.7; S. Grimme, J. Chem. Phys. 138, 244104 (2013), in the form of the program std2 2.0.  Everything is
streamed over the occupied orbital of the second index, so that memory stays at n_atoms n_v^2 plus the final matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterml.stda.active import ActiveSpace
from clusterml.stda.parameters import HARTREE_EV_THRESHOLD, tables

if TYPE_CHECKING:
    import torch


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
    """(ij|ab)_J and (ia|jb)_K for one j at a time and chosen virtual orbitals b."""

    def __init__(self, space: ActiveSpace) -> None:
        self.space = space
        n_v = space.shape[1]
        self.q_ov = space.transition_charges()
        sizes = space.atom_of_row.bincount(minlength=space.n_atoms).tolist()
        self.q_vv = space.l_v.new_empty((space.n_atoms, n_v, n_v))
        for atom, block in enumerate(space.l_v.split(sizes)):
            self.q_vv[atom] = block.T @ block
        self.potential_ov = (space.gamma_k @ self.q_ov.flatten(1)).reshape(self.q_ov.shape)

    def coulomb(self, j: int, b: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        """(ij|ab)_J for occupied ``rows`` i, all virtual a and the virtual orbitals ``b``: (n_rows, len(b), n_v)."""
        s = self.space
        charges = s.atom_sum(s.l_o[:, rows] * s.l_o[:, j : j + 1])
        potential = (s.gamma_j @ charges).T
        return (potential @ self.q_vv[:, b].flatten(1)).reshape(-1, len(b), s.shape[1])

    def exchange(self, j: int, b: torch.Tensor) -> torch.Tensor:
        """(ia|jb)_K for all i, a and the virtual orbitals ``b``: (n_o, len(b), n_v)."""
        n_o, n_v = self.space.shape
        k = self.potential_ov[:, j, b].T @ self.q_ov.flatten(1)
        return k.reshape(len(b), n_o, n_v).transpose(0, 1)


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
    for j, positions, b in _by_occupied(primary, diagonal.shape[1]):
        coupling = 2.0 * pairs.exchange(j, b) - pairs.coulomb(j, b)
        energy = coupling.square_().mul_(secondary[:, None, :])
        energy /= diagonal[:, None, :] - diagonal[j, b][None, :, None] + regulariser
        per_secondary += energy.sum(1)
        per_primary[positions] = energy.sum((0, 2))
    return per_secondary, per_primary


def _matrix(pairs: _PairIntegrals, index: torch.Tensor, diagonal: torch.Tensor) -> torch.Tensor:
    """A over the configurations ``index`` (ascending), symmetric, with the given unlowered ``diagonal`` (n_o, n_v)."""
    n_v = diagonal.shape[1]
    q = pairs.q_ov.flatten(1)[:, index]
    a = 2.0 * (q.T @ (pairs.space.gamma_k @ q))
    occupied, virtual = index // n_v, index % n_v
    for j, positions, b in _by_occupied(index, n_v):
        first, last = int(positions[0]), int(positions[-1]) + 1
        block = pairs.coulomb(j, b, slice(j, None)).transpose(1, 2)[occupied[first:] - j, virtual[first:]]
        a[first:, first:last] -= block
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
