"""Excited states: their moments and strengths, where bands are in the cluster, and all eigenpairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine.parameters import tables
from clusterml.engine.protocol import Protocol
from clusterml.engine.response.active import ActiveSpace, Couplings
from clusterml.engine.response.response import TAIL_EV, AtomShares, BandKind, PlacedBand, atom_shares
from clusterml.errors import ElectronicStructureError
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.typing import FloatArray, IntArray
from clusterml.units import (
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

    def shares(self, bands: Sequence[PlacedBand], spectrum: Spectrum) -> AtomShares | None:
        """Averages over the states under each band, weighted with their contribution to it (absolute value for CD);
        None where the amplitudes were not kept."""
        if self.amplitudes is None:
            return None
        t = self.transitions
        strengths: dict[BandKind, FloatArray] = {
            "absorption": t.f(str(spectrum.meta["absorption_gauge"])),
            "cd": t.energy_ev * t.r_cgs(str(spectrum.meta["gauge"])),
        }
        sigma = float(spectrum.meta["fwhm_ev"]) / FWHM_PER_SIGMA
        under: list[tuple[IntArray, FloatArray]] = []
        for kind, energy in bands:
            distance = ((t.energy_ev - energy) / sigma) ** 2
            weight = np.abs(strengths[kind]) * np.exp(-0.5 * (distance - distance.min()))  # however far all are
            if not weight.any():
                weight[np.argmin(distance)] = 1.0
            strongest = np.argsort(-weight, kind="stable")[:_MAX_STATES_PER_BAND]
            which = strongest[weight[strongest] > _SIGNIFICANT * weight.max()]
            under.append((which, weight[which]))
        wanted = np.unique(np.concatenate([which for which, _ in under]))
        parts = [
            atom_shares(self.space, self.amplitudes(wanted[k : k + _STATES])) for k in range(0, len(wanted), _STATES)
        ]
        holes, electrons = (
            np.array([np.average(side[np.searchsorted(wanted, which)], axis=0, weights=w) for which, w in under])
            for side in (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        )
        return holes, electrons


def scatter(space: ActiveSpace, rows: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
    """Amplitudes (k, n_o, n_v) from rows (k, n) over the configurations ``index`` (all when None)."""
    if index is None:
        return rows.reshape(-1, *space.shape)
    full = rows.new_zeros((len(rows), space.n_csf))
    full[:, index] = rows
    return full.reshape(-1, *space.shape)


def finite(states: Transitions) -> Transitions:
    """``states``, if all numbers of them are; else raises ElectronicStructureError."""
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
    return ExcitedStates(finite(result), space, lookup, counts)
