"""The smooth mode: sTDA-xTB singles made invariant under rotation and continuous in the geometry.

Against the reference method (:mod:`clusterml.stda.reference`) it differs in six points (docs/science/smooth-mode.md): Löwdin
populations over spherical functions; no orientation-dependent cut in the charge term; the K-shift from an exchange
integral averaged over near-degenerate orbitals; every configuration of the window instead of a perturbative
selection; a smooth window edge, independent of ``emax``; rotatory strengths without the low-energy damping.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import MemoryLimitError
from clusterml.stda.active import ActiveSpace, active_space
from clusterml.stda.couplings import Couplings, coulomb_integrals, exchange_integrals
from clusterml.stda.excited import ExcitedStates, OpticalVectors, solve_dense, solve_krylov
from clusterml.stda.intensities import no_transitions
from clusterml.stda.kshift import averaged, k_shift
from clusterml.stda.orbitals import Orbitals
from clusterml.stda.parameters import HARTREE_EV
from clusterml.stda.selection import full_matrix
from clusterml.stda.settings import ExcitedSettings
from clusterml.typing import IntArray

if TYPE_CHECKING:
    import torch

_EDGE_EV = 1.0
"""Width over which the configuration window closes."""


def window(orbitals: Orbitals, window_ev: float) -> tuple[IntArray, IntArray]:
    """Orbitals that take part in any configuration with an energy difference below ``window_ev``."""
    e, n_occ = orbitals.energies_ev, orbitals.n_occupied
    occupied = np.flatnonzero(e[n_occ] - e[:n_occ] < window_ev)
    virtual = n_occ + np.flatnonzero(e[n_occ:] - e[n_occ - 1] < window_ev)
    return occupied, virtual


def window_weight(gaps: torch.Tensor, window_ev: float) -> torch.Tensor:
    """Weight of configurations with orbital energy differences ``gaps`` (hartree): 1 inside, 0 from ``window_ev`` on.

    A cubic step over the last 1 eV, a function of orbital energies only: invariant and continuously differentiable.
    """
    x = ((window_ev - gaps * HARTREE_EV) / _EDGE_EV).clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def smooth_states(
    orbitals: Orbitals, settings: ExcitedSettings, progress: Callable[[int], None] | None = None
) -> ExcitedStates:
    """Excited states, or pseudo-states with the same broadened spectrum, of the smooth mode.

    Raises MemoryLimitError when the solver does not fit into ``settings.memory_gb``.
    """
    start = time.perf_counter()
    occupied, virtual = window(orbitals, settings.window_ev)
    origin = orbitals.basis.coords_bohr.mean(axis=0)
    space = active_space(orbitals, occupied, virtual, "spherical", settings.dtype, settings.device, origin)
    weight = window_weight(space.gaps, settings.window_ev)
    width = settings.k_shift_width_ev / HARTREE_EV
    diagonal = space.gaps + k_shift(averaged(exchange_integrals(space), space.e_o, space.e_v, width))
    couplings = Couplings(space, diagonal, weight)
    optical = OpticalVectors.collect(space, couplings, weight)

    def apply(x: torch.Tensor) -> torch.Tensor:
        return couplings.apply_a(x.reshape(-1, *space.shape)).flatten(1)

    prepared = time.perf_counter()
    if not bool((optical.starts != 0).any()):
        return ExcitedStates(no_transitions(), space, None, {"n_csf": space.n_csf, "n_states": 0})
    if settings.solver == "states":
        states = solve_dense(space, _dense(space, diagonal, weight, settings), optical, settings)
    else:
        states = solve_krylov(space, apply, optical, settings, progress)
    states.timings_s.update(preparation=prepared - start, solver=time.perf_counter() - prepared)
    return states


def _dense(space: ActiveSpace, diagonal: torch.Tensor, weight: torch.Tensor, settings: ExcitedSettings) -> torch.Tensor:
    """A over all configurations; those of weight 0 stay decoupled and dark."""
    n, itemsize = space.n_csf, diagonal.element_size()
    needed = (3 * n**2 + space.n_atoms * (space.shape[1] ** 2 + 2 * n)) * itemsize / 1e9
    if needed > settings.memory_gb:
        raise MemoryLimitError(
            f"all eigenpairs of {n} configurations need about {needed:.2g} GB, {settings.memory_gb:.2g} GB are allowed",
            "use the spectrum solver (without --states), --mode reference, or raise --memory-gb",
        )
    flat = weight.flatten()
    matrix = full_matrix(space, 2.0 * exchange_integrals(space) - coulomb_integrals(space))
    matrix *= flat[:, None] * flat[None, :]
    matrix.diagonal().add_(diagonal.flatten())
    return matrix
