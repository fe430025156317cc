"""Solving the singles problem: all eigenpairs, or block-Lanczos pseudo-states; moments and strengths of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.parameters import tables
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.active import ActiveSpace, Couplings
from clusterml.engine.response.lanczos import (
    CHECK_GROWTH,
    FIRST_CHECK,
    BlockLanczos,
    Resolvent,
    RitzPairs,
    converged_ritz_pairs,
)
from clusterml.engine.response.quadrature import Contour
from clusterml.engine.response.response import AtomShares, BandKind, atom_shares
from clusterml.errors import ElectronicStructureError, MemoryLimitError
from clusterml.spectrum.spectrum import Spectrum
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


SPIN_FACTOR = 2.0
"""Closed-shell singlets: both spins contribute."""


@dataclass(frozen=True)
class Moments:
    """Transition moments of n states, each (n, 3), atomic units, without the spin factor.

    ``r``, ``v``, ``m``: sums of X_ia <i|r|a>, <i|nabla|a>, <i|r x nabla|a>; ``bv``, ``bm``: sums of (B X)_ia with
    nabla and r x nabla, for the velocity correction.
    """

    r: FloatArray
    v: FloatArray
    m: FloatArray
    bv: FloatArray
    bm: FloatArray


def transitions(energy_hartree: FloatArray, moments: Moments, damped: bool = False) -> Transitions:
    """Intensities of states with energies (n,) in hartree.

    ``damped`` multiplies R_V by the reference program's omega^(1-h), h = 1 - exp(-150 omega^2).
    """
    p = tables()["stda"]
    regular = energy_hartree + p["omega_regulariser"]
    r, v, m = moments.r, moments.v, moments.m
    h = 1.0 - np.exp(-p["rv_damp"] * energy_hartree**2) if damped else 1.0
    to_cgs = SPIN_FACTOR * tables()["constants"]["rotatory_au_to_1e40cgs"]
    tensor = _outer(v, m) + (0.5 / regular)[:, None, None] * (_outer(moments.bv, m) + _outer(v, moments.bm))
    tensor *= (to_cgs / (energy_hartree**h + p["omega_regulariser"]))[:, None, None]
    return Transitions(
        energy_ev=energy_hartree * REFERENCE_OUTPUT_HARTREE_EV,
        f_length=2.0 / 3.0 * SPIN_FACTOR * energy_hartree * (r**2).sum(1),
        f_velocity=2.0 / 3.0 * SPIN_FACTOR * (v**2).sum(1) / regular,
        r_length_cgs=to_cgs * (r * m).sum(1),
        r_velocity_cgs=np.trace(tensor, axis1=1, axis2=2),
        electric_au=r,
        velocity_au=v,
        magnetic_au=m,
        rotatory_tensor_cgs=tensor,
    )


def _outer(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.asarray(first[:, :, None] * second[:, None, :])


def no_transitions() -> Transitions:
    """The empty set of transitions: nothing absorbs below emax."""
    return transitions(np.zeros(0), Moments(*(np.zeros((0, 3)) for _ in range(5))))


LOWEST_EV = 0.5
"""Lowest energy of a spectrum."""

TAIL_EV = 1.0
"""States are kept this far above emax, so that bands near emax keep their upper half."""

_CD_FLOOR = 1e-5
"""A CD spectrum is converged on the scale of its maximum or of this fraction of the absorption, if that is larger."""

MAX_KRYLOV_VECTORS = 6000


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

    @property
    def starts(self) -> torch.Tensor:
        """r, nabla and r x nabla stacked, (9, n)."""
        import torch

        return torch.cat([self.r, self.v, self.m])

    @property
    def targets(self) -> torch.Tensor:
        """B nabla and B (r x nabla) stacked, (6, n)."""
        import torch

        return torch.cat([self.bv, self.bm])


def split_moments(starts: torch.Tensor, targets: torch.Tensor) -> Moments:
    """Transition moments from overlaps with :attr:`OpticalVectors.starts` (n, 9) and ``targets`` (n, 6)."""
    parts = [*starts.split(3, dim=1), *targets.split(3, dim=1)]
    return Moments(*(x.double().cpu().numpy() for x in parts))


_SIGNIFICANT = 0.01
"""States that give less than this share of a band's largest contribution are left out of its assignment."""
_MAX_STATES_PER_BAND = 24
_STATES = 128
"""States whose amplitudes are held at a time."""


@dataclass(frozen=True)
class ExcitedStates:
    """States (or pseudo-states) with their intensities and, on demand, their amplitudes: a :class:`Response`.

    ``amplitudes(which)`` gives X as a tensor (k, n_o, n_v) over ``space`` for state indices ``which`` (k,), normalised
    only by the dense solver; None when there was no memory to keep them.
    ``counts``: sizes worth reporting; ``converged``: whether the spectrum met the tolerance.
    """

    transitions: Transitions
    space: ActiveSpace
    amplitudes: Callable[[IntArray], torch.Tensor] | None
    counts: dict[str, int]
    converged: bool = True
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def dark(self) -> bool:
        """Is there no state?"""
        return len(self.transitions) == 0

    def broaden(
        self,
        grid: FloatArray | None = None,
        fwhm_ev: float = 0.2,
        *,
        gauge: str = "velocity",
        absorption_gauge: str = "length",
    ) -> Spectrum:
        """The spectrum of the transitions."""
        return self.transitions.broaden(grid, fwhm_ev, gauge=gauge, absorption_gauge=absorption_gauge)

    def broaden_tensors(self, grid: FloatArray | None = None, fwhm_ev: float = 0.2) -> tuple[FloatArray, FloatArray]:
        """Oriented spectra of the transitions."""
        return self.transitions.broaden_tensors(grid, fwhm_ev)

    def shares(self, kind: BandKind, energies_ev: Sequence[float], spectrum: Spectrum) -> AtomShares | None:
        """Averages over the states under each band, weighted with their contribution to it (absolute value for CD);
        None where the amplitudes were not kept."""
        if self.amplitudes is None:
            return None
        t = self.transitions
        strengths = t.f(str(spectrum.meta["absorption_gauge"]))
        if kind == "cd":
            strengths = t.energy_ev * t.r_cgs(str(spectrum.meta["gauge"]))
        sigma = float(spectrum.meta["fwhm_ev"]) / FWHM_PER_SIGMA
        bands: list[tuple[IntArray, FloatArray]] = []
        for energy in energies_ev:
            weight = np.abs(strengths) * np.exp(-0.5 * ((t.energy_ev - energy) / sigma) ** 2)
            strongest = np.argsort(-weight, kind="stable")[:_MAX_STATES_PER_BAND]
            which = strongest[weight[strongest] > _SIGNIFICANT * weight.max()]
            bands.append((which, weight[which]))
        wanted = np.unique(np.concatenate([which for which, _ in bands])) if bands else np.zeros(0, dtype=np.int64)
        parts = [
            atom_shares(self.space, self.amplitudes(wanted[k : k + _STATES])) for k in range(0, len(wanted), _STATES)
        ]
        sides = [np.concatenate([part[side] for part in parts]) for side in (0, 1)] if parts else [np.zeros((0, 0))] * 2
        holes, electrons = (
            np.array([np.average(side[np.searchsorted(wanted, which)], axis=0, weights=w) for which, w in bands])
            for side in sides
        )
        return holes, electrons


def scatter(space: ActiveSpace, rows: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
    """Amplitudes (k, n_o, n_v) from rows (k, n) over the configurations ``index`` (all when None)."""
    if index is None:
        return rows.reshape(-1, *space.shape)
    full = rows.new_zeros((len(rows), space.n_csf))
    full[:, index] = rows
    return full.reshape(-1, *space.shape)


def _finite(states: Transitions) -> Transitions:
    if not all(np.isfinite(x).all() for x in (states.energy_ev, states.f_length, states.r_velocity_cgs)):
        raise ElectronicStructureError("excitation energies or intensities are not finite", "check geometry and charge")
    return states


def solve_dense(
    space: ActiveSpace,
    matrix: torch.Tensor,
    optical: OpticalVectors,
    protocol: Protocol,
    index: torch.Tensor | None = None,
) -> ExcitedStates:
    """All eigenpairs with 0 < energy <= emax (smooth mode: and the tail above) of ``matrix`` (n, n), hartree."""
    import torch

    values, vectors = torch.linalg.eigh(matrix)
    limit = protocol.emax_ev + (0.0 if protocol.mode == "reference" else TAIL_EV)
    kept = ((values > 0) & (values <= limit / REFERENCE_THRESHOLD_HARTREE_EV)).nonzero().flatten()
    chosen = vectors[:, kept]
    moments = split_moments(chosen.T @ optical.starts.T, chosen.T @ optical.targets.T)
    result = transitions(values[kept].double().cpu().numpy(), moments, damped=protocol.mode == "reference")

    def lookup(which: IntArray) -> torch.Tensor:
        return scatter(space, chosen[:, torch.as_tensor(which, device=chosen.device)].T, index)

    counts = {"n_csf": len(matrix), "n_states": len(kept)}
    return ExcitedStates(_finite(result), space, lookup, counts)


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

    return ExcitedStates(_finite(states), space, lookup if keep else None, counts, converged)
