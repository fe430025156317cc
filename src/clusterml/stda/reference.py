"""The reference mode: excited states exactly as the program std2 computes them from xtb4stda orbitals.

docs/science/stda-xtb.md, sections 11 and 12: Löwdin populations over Cartesian functions, canonical K-shift, primary and
perturbatively selected configurations with lowered primaries, damped velocity rotatory strengths.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from clusterml.errors import MemoryLimitError
from clusterml.stda.active import ActiveSpace, active_space, window
from clusterml.stda.couplings import Couplings, coulomb_integrals, exchange_integrals
from clusterml.stda.excited import ExcitedStates, OpticalVectors, solve_dense, solve_krylov
from clusterml.stda.intensities import no_transitions
from clusterml.stda.kshift import k_shift
from clusterml.stda.orbitals import Orbitals
from clusterml.stda.selection import BATCH, select
from clusterml.stda.settings import ExcitedSettings

if TYPE_CHECKING:
    pass


def reference_states(
    orbitals: Orbitals, settings: ExcitedSettings, progress: Callable[[int], None] | None = None
) -> ExcitedStates:
    """Excited states up to emax of the reference method; none when no configuration lies below emax.

    Raises MemoryLimitError when the charges or the matrix do not fit into ``settings.memory_gb``.
    """
    start = time.perf_counter()
    occupied, virtual = window(orbitals, settings.emax_ev)
    space = active_space(orbitals, occupied, virtual, "cartesian", settings.dtype, settings.device)
    _check_charges(space, settings)
    k = exchange_integrals(space)
    diagonal = space.gaps - coulomb_integrals(space) + 2.0 * k + k_shift(k)
    selection = select(space, diagonal, settings.emax_ev, lambda n: _check_matrix(n, space, settings))
    counts = {"n_primary": selection.n_primary, "n_selected": len(selection.index) - selection.n_primary}
    if selection.n_primary == 0:
        return ExcitedStates(no_transitions(), space, None, counts | {"n_csf": 0})
    optical = OpticalVectors.collect(space, Couplings(space, diagonal), index=selection.index)
    selected = time.perf_counter()
    if settings.solver == "states":
        states = solve_dense(space, selection.matrix, optical, settings, selection.index)
    else:
        a = selection.matrix
        states = solve_krylov(space, lambda x: x @ a, optical, settings, progress, selection.index)
    states.counts.update(counts)
    states.timings_s.update(preparation=selected - start, solver=time.perf_counter() - selected)
    return states


def _require(needed_gb: float, what: str, settings: ExcitedSettings) -> None:
    if needed_gb > settings.memory_gb:
        raise MemoryLimitError(
            f"{what} need about {needed_gb:.2g} GB, {settings.memory_gb:.2g} GB are allowed",
            "raise --memory-gb, use --dtype float32, a smaller --emax, or --mode smooth, which needs less",
        )


def _charge_elements(space: ActiveSpace) -> int:
    """Numbers held while couplings are computed: q_ia and its potential, q_ab, and the potential of q_ij."""
    n_o, n_v = space.shape
    return space.n_atoms * (2 * space.n_csf + n_v**2 + n_o**2)


def _check_charges(space: ActiveSpace, settings: ExcitedSettings) -> None:
    """Transition charges and one batch of couplings with its denominators."""
    batch = 2 * min(BATCH, space.n_csf) * space.n_csf
    elements = _charge_elements(space) + batch
    _require(elements * space.l_o.element_size() / 1e9, "the transition charges of the reference mode", settings)


def _check_matrix(n_csf: int, space: ActiveSpace, settings: ExcitedSettings) -> None:
    """The matrix A beside the transition charges, and its eigenvectors when all states are wanted."""
    copies = 4 if settings.solver == "states" else 2
    elements = _charge_elements(space) + copies * n_csf**2
    _require(elements * space.l_o.element_size() / 1e9, f"{n_csf} selected configurations", settings)
