"""Solving the singles problem: all eigenpairs, or block-Lanczos pseudo-states with the same broadened spectrum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import ElectronicStructureError, MemoryLimitError
from clusterml.spectrum.transitions import Transitions
from clusterml.stda.active import ActiveSpace
from clusterml.stda.couplings import Couplings
from clusterml.stda.intensities import Moments, transitions
from clusterml.stda.lanczos import BlockLanczos, RitzPairs, converged_ritz_pairs
from clusterml.stda.parameters import HARTREE_EV_THRESHOLD
from clusterml.stda.settings import ExcitedSettings
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

_TAIL_EV = 1.0
"""Pseudo-states are kept this far above emax, so that bands near emax keep their upper half."""

_CD_FLOOR = 1e-5
"""A CD spectrum is converged on the scale of its maximum or of this fraction of the absorption, if that is larger."""

_MAX_KRYLOV_VECTORS = 6000
_MIN_KRYLOV_VECTORS = 300


@dataclass(frozen=True)
class OpticalVectors:
    """What light couples to, over n configurations: each (3, n): r, nabla, r x nabla, and B applied to the last two."""

    r: torch.Tensor
    v: torch.Tensor
    m: torch.Tensor
    bv: torch.Tensor
    bm: torch.Tensor

    @classmethod
    def collect(
        cls,
        space: ActiveSpace,
        couplings: Couplings,
        weight: torch.Tensor | None = None,
        index: torch.Tensor | None = None,
    ) -> OpticalVectors:
        """Moments of all configurations times ``weight`` (n_o, n_v), or of the subset ``index`` (n,) of them."""
        import torch

        mask = space.l_o.new_ones(space.shape) if weight is None else weight
        if index is not None:
            mask = torch.zeros_like(mask).flatten().index_fill_(0, index, 1.0).reshape(space.shape)
        r, v, m = (mask * x for x in (space.position, space.velocity, space.angular))
        arrays = [x.flatten(1) for x in (r, v, m, couplings.apply_b(v), couplings.apply_b(m))]
        return cls(*(arrays if index is None else [x[:, index] for x in arrays]))

    def moments(self, project: Callable[[torch.Tensor], torch.Tensor]) -> Moments:
        """Transition moments from ``project``: (k, n) -> overlaps (n_states, k)."""
        return Moments(*(project(x).double().cpu().numpy() for x in (self.r, self.v, self.m, self.bv, self.bm)))


@dataclass(frozen=True)
class ExcitedStates:
    """States (or pseudo-states) with their intensities and, on demand, their amplitudes.

    ``amplitudes(which)`` gives X as a tensor (k, n_o, n_v) over ``space`` for state indices ``which`` (k,).
    ``counts``: sizes worth reporting; ``converged``: whether the spectrum met the tolerance.
    """

    transitions: Transitions
    space: ActiveSpace
    amplitudes: Callable[[IntArray], torch.Tensor]
    counts: dict[str, int]
    converged: bool = True
    timings_s: dict[str, float] = field(default_factory=dict)


def _amplitudes(
    space: ActiveSpace, vectors: Callable[[torch.Tensor], torch.Tensor], kept: torch.Tensor, index: torch.Tensor | None
) -> Callable[[IntArray], torch.Tensor]:
    """Amplitude lookup: ``vectors`` maps solver indices to rows over configurations ``index`` (all when None)."""

    def lookup(which: IntArray) -> torch.Tensor:
        import torch

        rows = vectors(kept[torch.as_tensor(which, device=kept.device)])
        if index is None:
            return rows.reshape(-1, *space.shape)
        full = rows.new_zeros((len(rows), space.n_csf))
        full[:, index] = rows
        return full.reshape(-1, *space.shape)

    return lookup


def _finite(states: Transitions) -> Transitions:
    if not all(np.isfinite(x).all() for x in (states.energy_ev, states.f_length, states.r_velocity_cgs)):
        raise ElectronicStructureError("excitation energies or intensities are not finite", "check geometry and charge")
    return states


def solve_dense(
    space: ActiveSpace,
    matrix: torch.Tensor,
    optical: OpticalVectors,
    settings: ExcitedSettings,
    index: torch.Tensor | None = None,
) -> ExcitedStates:
    """All eigenpairs with 0 < energy <= emax of ``matrix`` (n, n), hartree."""
    import torch

    values, vectors = torch.linalg.eigh(matrix)
    kept = ((values > 0) & (values <= settings.emax_ev / HARTREE_EV_THRESHOLD)).nonzero().flatten()
    chosen = vectors[:, kept]
    moments = optical.moments(lambda x: chosen.T @ x.T)
    result = transitions(values[kept].double().cpu().numpy(), moments, damped=settings.mode == "reference")
    lookup = _amplitudes(space, lambda which: vectors[:, which].T, kept, index)
    counts = {"n_csf": len(matrix), "n_states": len(kept)}
    return ExcitedStates(_finite(result), space, lookup, counts)


def krylov_capacity(n_csf: int, itemsize: int, settings: ExcitedSettings, reserved_gb: float) -> int:
    """Number of Krylov vectors that fit into the allowed memory beside ``reserved_gb``.

    Raises MemoryLimitError when fewer than 300 fit.
    """
    left = 1e9 * (settings.memory_gb - reserved_gb) - 16.0 * _MAX_KRYLOV_VECTORS**2
    capacity = int(left / (n_csf * itemsize))
    if capacity < min(_MIN_KRYLOV_VECTORS, n_csf):
        needed = reserved_gb + (_MIN_KRYLOV_VECTORS * n_csf * itemsize + 16.0 * _MAX_KRYLOV_VECTORS**2) / 1e9
        raise MemoryLimitError(
            f"the spectrum of {n_csf} configurations needs at least {needed:.1f} GB, {settings.memory_gb:.1f} GB are allowed",
            "raise --memory-gb, use --dtype float32, or a smaller --emax",
        )
    return min(capacity, _MAX_KRYLOV_VECTORS)


class _SpectrumConvergence:
    """Accepts Ritz pairs once the broadened absorption and CD stop changing."""

    def __init__(self, optical: OpticalVectors, settings: ExcitedSettings) -> None:
        self._optical = optical
        self._settings = settings
        self._grid = np.arange(1, int(8 * settings.emax_ev / settings.fwhm_ev) + 1) * settings.fwhm_ev / 8.0
        self._last: tuple[FloatArray, FloatArray] | None = None

    def states(self, pairs: RitzPairs) -> tuple[Transitions, torch.Tensor]:
        """Intensities of the pseudo-states up to emax plus a tail, and their indices among the Ritz pairs."""
        limit = (self._settings.emax_ev + _TAIL_EV) / HARTREE_EV_THRESHOLD
        kept = ((pairs.values > 0) & (pairs.values <= limit)).nonzero().flatten()
        chosen = replace(pairs, values=pairs.values[kept], rotation=pairs.rotation[:, kept])
        moments = self._optical.moments(chosen.project)
        energies = chosen.values.cpu().numpy()
        return transitions(energies, moments, damped=self._settings.mode == "reference"), kept

    def __call__(self, pairs: RitzPairs) -> bool:
        spectrum = self.states(pairs)[0].broaden(self._grid, self._settings.fwhm_ev)
        current = (spectrum.epsilon, spectrum.delta_epsilon)
        last, self._last = self._last, current
        if last is None:
            return False
        absorption_scale = np.abs(current[0]).max(initial=0.0)
        scales = (absorption_scale, max(np.abs(current[1]).max(initial=0.0), _CD_FLOOR * absorption_scale))
        changes = [np.abs(a - b).max() for a, b in zip(current, last, strict=True)]
        return all(c <= self._settings.tolerance * s for c, s in zip(changes, scales, strict=True))


def solve_krylov(
    space: ActiveSpace,
    apply: Callable[[torch.Tensor], torch.Tensor],
    optical: OpticalVectors,
    settings: ExcitedSettings,
    progress: Callable[[int], None] | None = None,
    index: torch.Tensor | None = None,
) -> ExcitedStates:
    """Pseudo-states whose broadened spectrum up to emax agrees with that of all eigenpairs.

    ``apply``: the symmetric operator, (k, n) -> (k, n). Memory: up to ``settings.memory_gb``, as Krylov vectors.
    """
    import torch

    start = torch.cat([optical.r, optical.v, optical.m])
    reserved: Any = (
        4.0 * len(space.atom_of_row) ** 2 + 30.0 * space.n_csf + space.l_o.numel() * 2 + space.l_v.numel() * 2
    )
    itemsize = start.element_size()
    capacity = krylov_capacity(start.shape[1], itemsize, settings, float(reserved) * itemsize / 1e9)
    lanczos = BlockLanczos(apply, start, capacity)
    convergence = _SpectrumConvergence(optical, settings)
    pairs, converged = converged_ritz_pairs(lanczos, convergence, progress)
    states, kept = convergence.states(pairs)
    counts = {"n_csf": start.shape[1], "n_states": len(kept), "n_krylov": len(pairs.values), "n_blocks": pairs.n_blocks}
    lookup = _amplitudes(space, pairs.vectors, kept, index)
    return ExcitedStates(_finite(states), space, lookup, counts, converged)
