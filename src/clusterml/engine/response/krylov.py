"""Spectra from a block Krylov space: grown until they no longer change, its pseudo-states in place of eigenpairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.parameters import tables
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.active import ActiveSpace
from clusterml.engine.response.excited import (
    LOWEST_EV,
    SPIN_FACTOR,
    ExcitedStates,
    OpticalVectors,
    finite,
    scatter,
    split_moments,
    transitions,
)
from clusterml.engine.response.lanczos import (
    CHECK_GROWTH,
    FIRST_CHECK,
    BlockLanczos,
    Resolvent,
    RitzPairs,
    converged_ritz_pairs,
)
from clusterml.engine.response.quadrature import Contour
from clusterml.engine.response.response import TAIL_EV
from clusterml.errors import MemoryLimitError
from clusterml.spectrum.transitions import Transitions
from clusterml.typing import FloatArray, IntArray
from clusterml.units import (
    DELTA_EPSILON_AREA_PER_ER,
    EPSILON_AREA_PER_F,
    FWHM_PER_SIGMA,
    REFERENCE_OUTPUT_HARTREE_EV,
    REFERENCE_THRESHOLD_HARTREE_EV,
)

if TYPE_CHECKING:
    import torch

_CD_FLOOR = 1e-5
"""A CD spectrum is converged on the scale of its maximum or of this fraction of the absorption, if that is larger."""

MAX_KRYLOV_VECTORS = 6000


def krylov_memory_gb(space: ActiveSpace, n_csf: int, itemsize: int) -> tuple[float, float]:
    """Memory (GB) of the spectrum solver: ``(needed, kept)``, without and for keeping 2,000 Krylov vectors.

    Needed: six matrices over atomic functions, about 60 vectors, and the projected matrix with its eigenvectors.
    """
    n_rows = len(space.atom_of_row)
    projected = 3 * 8.0 * min(MAX_KRYLOV_VECTORS, n_csf) ** 2
    return (itemsize * (6.0 * n_rows**2 + 60.0 * n_csf) + projected) / 1e9, 4.0 * min(2000, n_csf) * n_csf / 1e9


_Complex = np.ndarray[Any, np.dtype[np.complex128]]

_COMPARED = 1.1
"""A spectrum is compared with one of so many times fewer blocks."""


class SpectrumConvergence:
    """Accepts a Krylov space once the broadened absorption and CD stop changing."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        points = np.arange(1, int(8 * protocol.emax_ev / protocol.fwhm_ev) + 1, dtype=np.float64)
        grid = points * (protocol.fwhm_ev / 8.0)
        self._grid: FloatArray = grid[grid >= min(LOWEST_EV, grid[-1])]
        self._known: list[tuple[int, FloatArray, FloatArray]] = []

    @cached_property
    def _contour(self) -> tuple[Resolvent, _Complex, _Complex]:
        """The resolvent on a contour, its points, and their weights at the energies of the grid, per eV."""
        import torch

        scale = REFERENCE_OUTPUT_HARTREE_EV
        sigma = self._protocol.fwhm_ev / FWHM_PER_SIGMA / scale
        contour = Contour.spanning(float(self._grid[0]) / scale, float(self._grid[-1]) / scale, sigma)
        weights = contour.weights(self._grid / scale, sigma) / (2.0 * contour.points * scale)
        return Resolvent(torch.as_tensor(contour.points)), contour.points, weights

    def spectrum(self, space: BlockLanczos) -> tuple[FloatArray, FloatArray]:
        """Broadened absorption and CD of the space."""
        resolvent, points, weights = self._contour
        x = resolvent.of(space).cpu().numpy()

        def traces(rows: slice, columns: slice) -> _Complex:
            return np.asarray(np.trace(x[:, rows, columns], axis1=1, axis2=2))

        r, v, m, bv, bm = (slice(k, k + 3) for k in range(0, 15, 3))
        absorption = traces(r, r) * points
        rotation = traces(v, m) + (traces(bv, m) + traces(bm, v)) * 0.5 / points
        cgs = REFERENCE_OUTPUT_HARTREE_EV * SPIN_FACTOR * tables()["constants"]["rotatory_au_to_1e40cgs"]
        return (
            EPSILON_AREA_PER_F * 2.0 / 3.0 * SPIN_FACTOR * (weights @ absorption).imag,
            DELTA_EPSILON_AREA_PER_ER * cgs * (weights @ rotation).imag,
        )

    def states(self, pairs: RitzPairs) -> tuple[Transitions, RitzPairs]:
        """Intensities of the pseudo-states up to emax plus a tail, and their Ritz pairs."""
        limit = (self._protocol.emax_ev + TAIL_EV) / REFERENCE_THRESHOLD_HARTREE_EV
        kept = ((pairs.values > 0) & (pairs.values <= limit)).nonzero().flatten()
        chosen = pairs.select(kept)
        moments = split_moments(chosen.starts, chosen.targets)
        energies = chosen.values.cpu().numpy()
        return transitions(energies, moments, damped=self._protocol.mode == "reference"), chosen

    def __call__(self, space: BlockLanczos) -> bool:
        """Has the spectrum changed by less than the tolerance over the last tenth of the blocks?"""
        current = self.spectrum(space)
        earlier = [known for known in self._known if known[0] * _COMPARED <= space.n_blocks]
        self._known = [*earlier[-1:], *self._known[len(earlier) :], (space.n_blocks, *current)]
        if not earlier:
            return False
        last = earlier[-1][1:]
        absorption_scale = np.abs(current[0]).max(initial=0.0)
        scales = (absorption_scale, max(np.abs(current[1]).max(initial=0.0), _CD_FLOOR * absorption_scale))
        changes = [np.abs(a - b).max() for a, b in zip(current, last, strict=True)]
        return all(c <= self._protocol.tolerance * s for c, s in zip(changes, scales, strict=True))


def solve_krylov(
    space: ActiveSpace,
    apply: Callable[[torch.Tensor], torch.Tensor],
    optical: OpticalVectors,
    protocol: Protocol,
    compute: Compute,
    progress: Callable[[int], None] | None = None,
    index: torch.Tensor | None = None,
) -> ExcitedStates:
    """Pseudo-states whose broadened spectrum up to emax agrees with that of all eigenpairs.

    ``apply``: the symmetric operator, (k, n) -> (k, n). Memory is bounded by ``compute.memory``: without room for
    the Krylov basis the amplitudes are not available. Raises MemoryLimitError when not even the operator fits.
    """
    starts = optical.starts
    needed, kept = krylov_memory_gb(space, starts.shape[1], starts.element_size())
    if needed > compute.memory:
        raise MemoryLimitError(
            f"{starts.shape[1]} configurations need {needed:.2g} GB; {compute.memory:.2g} GB allowed",
            "raise --memory-gb, or use --dtype float32",
        )
    return run_krylov(
        space,
        apply,
        optical.starts,
        optical.targets,
        SpectrumConvergence(protocol),
        lambda pairs, rows: scatter(space, rows, index),
        needed + kept <= compute.memory,
        progress,
    )


def run_krylov(
    space: ActiveSpace,
    apply: Callable[[torch.Tensor], torch.Tensor],
    starts: torch.Tensor,
    targets: torch.Tensor,
    convergence: SpectrumConvergence,
    amplitudes: Callable[[RitzPairs, torch.Tensor], torch.Tensor],
    keep: bool,
    progress: Callable[[int], None] | None,
    first_check: int = FIRST_CHECK,
    growth: float = CHECK_GROWTH,
) -> ExcitedStates:
    """Pseudo-states of an operator, grown from ``starts`` (k, n) until ``convergence`` accepts them.

    ``apply``: (k, n) -> (k, n); ``targets`` (k', n): further vectors whose overlaps are wanted.  ``amplitudes``: Ritz
    pairs and their vectors (k, n) -> X (k, n_o, n_v); the vectors are there only with ``keep``.  ``first_check`` and
    ``growth``: see :func:`~clusterml.engine.response.lanczos.converged_ritz_pairs`.
    """
    lanczos = BlockLanczos(apply, starts, targets, MAX_KRYLOV_VECTORS, keep)
    pairs, converged = converged_ritz_pairs(lanczos, convergence, progress, first_check, growth)
    states, chosen = convergence.states(pairs)
    counts = {
        "n_csf": starts.shape[1],
        "n_states": len(chosen.values),
        "n_krylov": len(pairs.values),
        "n_blocks": lanczos.n_blocks,
    }

    def lookup(which: IntArray) -> torch.Tensor:
        import torch

        selected = chosen.select(torch.as_tensor(which, device=starts.device))
        return amplitudes(selected, lanczos.vectors(selected).to(starts.dtype))

    return ExcitedStates(finite(states), space, lookup if keep else None, counts, converged)
