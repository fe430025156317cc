"""The singles of sTDA-xTB: the smooth mode, and the reference mode with the selection of the program std2.

Reference mode (stda-xtb.md, sections 11 and 12): Löwdin populations over Cartesian functions, canonical K-shift,
primary and perturbatively selected configurations with lowered primaries, damped velocity rotatory strengths;
S. Grimme, J. Chem. Phys. 138, 244104 (2013), in the form of the program std2 2.0.  Couplings are streamed over batches
of primaries, so that memory stays at the transition charges plus the final matrix.

The smooth mode differs in six points (smooth-mode.md): Löwdin populations over spherical functions; no
orientation-dependent cut in the charge term; the K-shift from an exchange integral averaged over near-degenerate
orbitals; every configuration of the window instead of a perturbative selection; a smooth window edge, independent of
``emax``; rotatory strengths without the low-energy damping.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine.choices import Mode
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.engine.parameters import tables
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.active import (
    ActiveSpace,
    Couplings,
    active_space,
    averaged,
    coulomb_integrals,
    exchange_integrals,
    k_shift,
    window,
)
from clusterml.engine.response.excited import ExcitedStates, OpticalVectors, no_transitions, solve_dense
from clusterml.engine.response.krylov import solve_krylov
from clusterml.engine.response.solver import ResponseSolver
from clusterml.errors import MemoryLimitError
from clusterml.typing import IntArray
from clusterml.units import REFERENCE_HARTREE_EV, REFERENCE_THRESHOLD_HARTREE_EV

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
    primary = (flat <= emax_ev / REFERENCE_THRESHOLD_HARTREE_EV).nonzero().flatten()
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


_EDGE_EV = 1.0
"""Width over which the configuration window closes."""


def orbitals_within(orbitals: Orbitals, window_ev: float) -> tuple[IntArray, IntArray]:
    """Orbitals that take part in any configuration with an energy difference below ``window_ev``."""
    e, n_occ = orbitals.energies_ev, orbitals.n_occupied
    occupied = np.flatnonzero(e[n_occ] - e[:n_occ] < window_ev)
    virtual = n_occ + np.flatnonzero(e[n_occ:] - e[n_occ - 1] < window_ev)
    return occupied, virtual


def window_weight(gaps: torch.Tensor, window_ev: float) -> torch.Tensor:
    """Weight of configurations with orbital energy differences ``gaps`` (hartree): 1 inside, 0 from ``window_ev`` on.

    A cubic step over the last 1 eV, a function of orbital energies only: invariant and continuously differentiable.
    """
    x = ((window_ev - gaps * REFERENCE_HARTREE_EV) / _EDGE_EV).clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def smooth_states(
    orbitals: Orbitals, protocol: Protocol, compute: Compute, progress: Callable[[int], None] | None = None
) -> ExcitedStates:
    """Excited states, or pseudo-states with the same broadened spectrum, of the smooth mode.

    Raises MemoryLimitError when the solver does not fit into ``compute.memory``.
    """
    start = time.perf_counter()
    occupied, virtual = orbitals_within(orbitals, protocol.window)
    origin = orbitals.basis.coords_bohr.mean(axis=0)
    space = active_space(orbitals, occupied, virtual, "spherical", protocol.dtype, compute.device, origin)
    weight = window_weight(space.gaps, protocol.window)
    width = protocol.k_shift_width_ev / REFERENCE_HARTREE_EV
    diagonal = space.gaps
    if orbitals.kernels.k_shift:
        diagonal = diagonal + k_shift(averaged(exchange_integrals(space), space.e_o, space.e_v, width))
    couplings = Couplings(space, diagonal, weight)
    optical = OpticalVectors.collect(space, couplings, weight)

    def apply(x: torch.Tensor) -> torch.Tensor:
        return couplings.apply_a(x.reshape(-1, *space.shape)).flatten(1)

    prepared = time.perf_counter()
    if not bool((optical.starts != 0).any()):
        return ExcitedStates(no_transitions(), space, None, {"n_csf": space.n_csf, "n_states": 0})
    if protocol.solver == "states":
        states = solve_dense(space, _dense(space, diagonal, weight, compute), optical, protocol)
    else:
        states = solve_krylov(space, apply, optical, protocol, compute, progress)
    states.timings_s.update(preparation=prepared - start, solver=time.perf_counter() - prepared)
    return states


def _dense(space: ActiveSpace, diagonal: torch.Tensor, weight: torch.Tensor, compute: Compute) -> torch.Tensor:
    """A over all configurations; those of weight 0 stay decoupled and dark."""
    n, itemsize = space.n_csf, diagonal.element_size()
    needed = (3 * n**2 + space.n_atoms * (space.shape[1] ** 2 + 2 * n)) * itemsize / 1e9
    if needed > compute.memory:
        raise MemoryLimitError(
            f"all eigenpairs of {n} configurations need about {needed:.2g} GB, {compute.memory:.2g} GB are allowed",
            "use the spectrum solver (without --states), --mode reference, or raise --memory-gb",
        )
    flat = weight.flatten()
    matrix = full_matrix(space, 2.0 * exchange_integrals(space) - coulomb_integrals(space))
    matrix *= flat[:, None] * flat[None, :]
    matrix.diagonal().add_(diagonal.flatten())
    return matrix


def reference_states(
    orbitals: Orbitals, protocol: Protocol, compute: Compute, progress: Callable[[int], None] | None = None
) -> ExcitedStates:
    """Excited states up to emax of the reference method; none when no configuration lies below emax.

    Raises MemoryLimitError when the charges or the matrix do not fit into ``compute.memory``.
    """
    start = time.perf_counter()
    occupied, virtual = window(orbitals, protocol.emax_ev)
    space = active_space(orbitals, occupied, virtual, "cartesian", protocol.dtype, compute.device)
    _check_charges(space, compute)
    k = exchange_integrals(space)
    diagonal = space.gaps - coulomb_integrals(space) + 2.0 * k + k_shift(k)
    selection = select(space, diagonal, protocol.emax_ev, lambda n: _check_matrix(n, space, protocol, compute))
    counts = {"n_primary": selection.n_primary, "n_selected": len(selection.index) - selection.n_primary}
    if selection.n_primary == 0:
        return ExcitedStates(no_transitions(), space, None, counts | {"n_csf": 0})
    optical = OpticalVectors.collect(space, Couplings(space, diagonal), index=selection.index)
    selected = time.perf_counter()
    if protocol.solver == "states":
        states = solve_dense(space, selection.matrix, optical, protocol, selection.index)
    else:
        a = selection.matrix
        states = solve_krylov(space, lambda x: x @ a, optical, protocol, compute, progress, selection.index)
    states.counts.update(counts)
    states.timings_s.update(preparation=selected - start, solver=time.perf_counter() - selected)
    return states


def _require(needed_gb: float, what: str, compute: Compute) -> None:
    if needed_gb > compute.memory:
        raise MemoryLimitError(
            f"{what} need about {needed_gb:.2g} GB, {compute.memory:.2g} GB are allowed",
            "raise --memory-gb, use --dtype float32, a smaller --emax, or --mode smooth, which needs less",
        )


def _charge_elements(space: ActiveSpace) -> int:
    """Numbers held while couplings are computed: q_ia and its potential, q_ab, and the potential of q_ij."""
    n_o, n_v = space.shape
    return space.n_atoms * (2 * space.n_csf + n_v**2 + n_o**2)


def _check_charges(space: ActiveSpace, compute: Compute) -> None:
    """Transition charges and one batch of couplings with its denominators."""
    batch = 2 * min(BATCH, space.n_csf) * space.n_csf
    elements = _charge_elements(space) + batch
    _require(elements * space.l_o.element_size() / 1e9, "the transition charges of the reference mode", compute)


def _check_matrix(n_csf: int, space: ActiveSpace, protocol: Protocol, compute: Compute) -> None:
    """The matrix A beside the transition charges, and its eigenvectors when all states are wanted."""
    copies = 4 if protocol.solver == "states" else 2
    elements = _charge_elements(space) + copies * n_csf**2
    _require(elements * space.l_o.element_size() / 1e9, f"{n_csf} selected configurations", compute)


def _with_exchange(mode: Mode) -> Callable[[Orbitals, Protocol], bool]:
    """The reference mode is made of sTDA-xTB with its K-shift, the smooth one takes any share of exchange."""
    return lambda orbitals, protocol: (
        orbitals.kernels.ax > 0.0 and protocol.mode == mode and (mode == "smooth" or orbitals.kernels.k_shift)
    )


RESPONSE_SOLVERS = (
    ResponseSolver("smooth singles, Krylov", ("spectrum", "krylov"), _with_exchange("smooth"), smooth_states),
    ResponseSolver("smooth singles, states", ("states",), _with_exchange("smooth"), smooth_states),
    ResponseSolver("reference singles, Krylov", ("spectrum", "krylov"), _with_exchange("reference"), reference_states),
    ResponseSolver("reference singles, states", ("states",), _with_exchange("reference"), reference_states),
)
