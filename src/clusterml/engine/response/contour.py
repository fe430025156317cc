"""Linear response on a contour: broadened spectra without eigenpairs, a Krylov space or an approximation.

The Casida matrix of orbitals without Fock exchange is a diagonal plus a low rank, Omega = D^2 + F^T gamma F with
F = 2 sqrt(D) q (n_atoms, n) (see :mod:`clusterml.engine.response.linear`).  Three steps give its spectra:

1.  By Woodbury, with g = 1 / (D^2 - z^2), chi = F g F^T and the start vectors S (9, n) in the metric of Z,
    X(z) = S (Omega - z^2)^-1 S^T = S g S^T - (S g F^T) (1 + gamma chi)^-1 gamma (F g S^T).
2.  A Gaussian is an entire function, so that bands of standard deviation sigma are an integral along Im z = a,
    sum_n (s.Z_n)(s'.Z_n) G(E - w_n) = (1/pi) Im sum_j h G(E - z_j) 2 z_j X(z_j),  z_j = w_j + i a.
    The trapezoid rule errs by exp(-(pi sigma / h)^2) at a = pi sigma^2 / (2 h); a wider band errs less.
3.  All z are far from the real axis, so g is smooth in D: configurations are binned into intervals of D, narrow beside
    their distance to the contour, and interpolated on Chebyshev nodes.  One matrix per node serves all z.

All configurations are explicit, and all is matrix products, on any device.  The derivative by orbital energies,
transition charges and moments is torch's own: z keeps away from every pole, degenerate or not.
Sources: M. A. Woodbury, Memorandum Report 42, Princeton (1950); L. N. Trefethen, J. A. C. Weideman, SIAM Rev. 56, 385
(2014) (the trapezoid rule); L. N. Trefethen, Approximation Theory and Approximation Practice (2013), chapter 8.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.linalg import solve
from clusterml.engine.parameters import tables
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.active import ActiveSpace
from clusterml.engine.response.excited import LOWEST_EV, SPIN_FACTOR
from clusterml.engine.response.linear import response_space, without_exchange
from clusterml.engine.response.quadrature import BLOCK, COLUMNS, MOST_NODES, TAIL_EV, TILE, Contour, NodeSums
from clusterml.engine.response.response import AtomShares, BandKind
from clusterml.engine.response.solver import ResponseSolver
from clusterml.errors import MemoryLimitError, OptionError
from clusterml.spectrum.curves import check_axis
from clusterml.spectrum.spectrum import Spectrum, default_grid
from clusterml.typing import FloatArray
from clusterml.units import (
    DELTA_EPSILON_AREA_PER_ER,
    EPSILON_AREA_PER_F,
    FWHM_PER_SIGMA,
    REFERENCE_OUTPUT_HARTREE_EV,
)

if TYPE_CHECKING:
    import torch

    from clusterml.engine.orbitals.orbitals import Orbitals

_BAND_MARGIN_EV = 3.0
"""Configurations so far above a band have no part in where it lives."""
_CHARGES = 2_000_000
"""Transition charges that are computed at a time."""
_MOMENTS = ("position", "velocity", "angular")


def resolvent(products: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """X(z), complex (..., 9, 9), of step 1.

    ``products``: T g(z) T^T (..., n_atoms + 9, n_atoms + 9) with T the charges F above the start vectors S; ``gamma``
    (n_atoms, n_atoms) in hartree.
    """
    n = len(gamma)
    return products[..., n:, n:] - products[..., :n, n:].mT @ _screened(products, gamma)


def _screened(products: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """(1 + gamma chi)^-1 gamma F g S^T, complex (..., n_atoms, 9)."""
    import torch

    n = len(gamma)
    real, imaginary = gamma @ products.real[..., :n, :], gamma @ products.imag[..., :n, :]
    real.diagonal(dim1=-2, dim2=-1).add_(1.0)
    screened = torch.complex(real, imaginary)
    return solve(screened[..., :n], screened[..., n:])


def configurations(space: ActiveSpace, block: int = BLOCK) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """All configurations by occupied orbitals, a block of at most about ``block`` numbers at a time.

    Yields their energies (n,), the charges F (n, n_atoms) in single precision, and the start vectors (n, 9): r sqrt(D),
    nabla / sqrt(D) and (r x nabla) / sqrt(D).  The next block's charges take the place of the last one's.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    n_o, n_v = space.shape
    size = min(n_o, max(1, block // ((space.n_atoms + 9) * n_v)))
    few = max(1, _CHARGES // (space.n_atoms * n_v))
    counts = space.atom_of_row.bincount(minlength=space.n_atoms).tolist()
    # functions of each atom, padded to the same number: (n_atoms, functions, orbitals)
    l_o, l_v = (pad_sequence(list(x.split(counts)), batch_first=True) for x in (space.l_o, space.l_v))
    l_o = l_o.transpose(1, 2).contiguous()
    held = l_o.new_empty((size * n_v, space.n_atoms), dtype=torch.float32)
    for start in range(0, n_o, size):
        chosen = slice(start, min(n_o, start + size))
        gaps = space.gaps[chosen].flatten()
        root = gaps.sqrt()
        charges = held[: len(gaps)]
        for first in range(chosen.start, chosen.stop, few):
            some = (l_o[:, first : min(chosen.stop, first + few)] @ l_v).float()  # rounded at the end
            place = (first - start) * n_v
            charges[place : place + some.shape[1] * n_v] = some.flatten(1).T
        charges *= 2.0 * root.float()[:, None]
        r, v, m = (x[:, chosen].flatten(1) for x in (space.position, space.velocity, space.angular))
        yield gaps, charges, torch.cat([r * root, v / root, m / root]).T.contiguous()


def absorption_factor() -> float:
    """L mol-1 cm-1 of the absorption per sum of squared moments, in atomic units and per eV, over the components."""
    return EPSILON_AREA_PER_F * 2.0 / 3.0 * SPIN_FACTOR


@cache
def rotation_factor() -> float:
    """L mol-1 cm-1 of the CD per sum of products of nabla and r x nabla, in atomic units and per eV, times eV."""
    return float(DELTA_EPSILON_AREA_PER_ER * SPIN_FACTOR * tables()["constants"]["rotatory_au_to_1e40cgs"])


@dataclass(frozen=True, eq=False)
class ContourResponse:
    """The response on a contour, from which spectra of any width from ``fwhm_ev`` up follow.

    ``response`` (j, 9, 9): X at the contour's points, over the components of r, nabla and r x nabla; ``gap_ev``: the
    smallest orbital energy difference; ``emax_ev``: the end of the range.
    """

    contour: Contour
    response: np.ndarray[Any, np.dtype[np.complex128]]
    gap_ev: float
    emax_ev: float
    fwhm_ev: float

    @property
    def dark(self) -> bool:
        """Is every orbital energy difference, below which no excitation lies, well above the range?"""
        return self.gap_ev > self.emax_ev + TAIL_EV

    def broaden(
        self,
        grid: FloatArray | None = None,
        fwhm_ev: float = 0.2,
        *,
        gauge: str = "velocity",
        absorption_gauge: str = "length",
    ) -> Spectrum:
        """The spectrum, as :meth:`clusterml.spectrum.transitions.Transitions.broaden` of all transitions.

        Raises OptionError for a width below that it was computed for or an unknown gauge, SpectrumError for a bad grid.
        """
        axis, width = self._checked(grid, fwhm_ev)
        for name in (gauge, absorption_gauge):
            if name not in ("length", "velocity"):
                raise OptionError(f"gauge '{name}' is unknown", "choose one of length, velocity")
        strengths = self._strengths(axis, width)
        first = slice(0, 3) if absorption_gauge == "length" else slice(3, 6)
        second = slice(0, 3) if gauge == "length" else slice(3, 6)
        epsilon = absorption_factor() * np.trace(strengths[0][:, first, first], axis1=1, axis2=2)
        cd = rotation_factor() * np.trace(strengths[1][:, second, 6:], axis1=1, axis2=2)
        meta = {"gauge": gauge, "absorption_gauge": absorption_gauge, "fwhm_ev": float(width), "shape": "gaussian"}
        return Spectrum(axis, epsilon, cd, meta=meta)

    def broaden_tensors(self, grid: FloatArray | None = None, fwhm_ev: float = 0.2) -> tuple[FloatArray, FloatArray]:
        """Oriented absorption and CD (m, 3, 3), as those of :class:`~clusterml.spectrum.transitions.Transitions`."""
        axis, width = self._checked(grid, fwhm_ev)
        plain, weighted = self._strengths(axis, width)
        return absorption_factor() * plain[:, 3:6, 3:6], rotation_factor() * weighted[:, 3:6, 6:]

    def _checked(self, grid: FloatArray | None, fwhm_ev: float) -> tuple[FloatArray, float]:
        axis = default_grid() if grid is None else check_axis("grid", grid)
        if not fwhm_ev >= self.fwhm_ev * (1.0 - 1e-9):
            raise OptionError(
                f"fwhm_ev is {fwhm_ev:g}, less than the {self.fwhm_ev:g} that the response was computed for",
                "compute it for the smaller width",
            )
        return axis, fwhm_ev

    def _strengths(self, axis: FloatArray, fwhm_ev: float) -> tuple[FloatArray, FloatArray]:
        """Sums over states of products of moments times bands, per eV, (m, 9, 9); the second times the energy in eV."""
        if self.dark:
            return np.zeros((len(axis), 9, 9)), np.zeros((len(axis), 9, 9))
        scale = REFERENCE_OUTPUT_HARTREE_EV
        weights = self.contour.weights(axis / scale, fwhm_ev / FWHM_PER_SIGMA / scale) / scale
        flat = self.response.reshape(len(self.response), -1)
        plain = (weights @ flat).imag
        weighted = ((weights * self.contour.points * scale) @ flat).imag
        shape = (len(axis), 9, 9)
        return plain.reshape(shape), weighted.reshape(shape)


@dataclass(frozen=True, eq=False)
class ContourSpectra(ContourResponse):
    """The response of all orbitals of ``space``, which also tells where in the cluster bands are."""

    space: ActiveSpace
    sums: NodeSums
    counts: dict[str, int]
    converged: bool = True
    timings_s: dict[str, float] = field(default_factory=dict)

    def shares(self, kind: BandKind, energies_ev: Sequence[float], spectrum: Spectrum) -> AtomShares:
        """Shares of atoms in hole and electron, from the response vectors at each band.

        They are the imaginary parts of g (S^T - F^T (1 + gamma chi)^-1 gamma F g S^T) at E + i sigma: what light of
        that energy stirs, through r for absorption, and through nabla and r x nabla for CD.
        """
        import torch

        components = slice(0, 3) if kind == "absorption" else slice(3, 9)
        energies = torch.as_tensor(energies_ev, dtype=torch.float64, device=self.space.gaps.device)
        energies = energies / REFERENCE_OUTPUT_HARTREE_EV
        points = torch.complex(energies, torch.full_like(energies, self.contour.sigma))
        gamma = self.space.gamma_k.float()
        at_points = self.sums.at(points.to(torch.complex64))
        screened = torch.cat([_screened(products, gamma)[..., components] for products in at_points])
        near = near_in_energy(self.space, float(energies.max()))
        vectors = torch.cat(list(_response_vectors(near, points, screened.transpose(1, 2), components)), dim=2)
        holes: list[FloatArray] = []
        electrons: list[FloatArray] = []
        for x in vectors:  # (components, n_o, n_v)
            hole = x.transpose(0, 1).flatten(1) @ x.transpose(0, 1).flatten(1).T
            electron = x.flatten(0, 1).T @ x.flatten(0, 1)
            for density, left, side in ((hole, near.l_o, holes), (electron, near.l_v, electrons)):
                populations = near.atom_sum(((left @ density) * left).sum(dim=1).double())
                side.append((populations / populations.sum()).cpu().numpy())
        return np.array(holes), np.array(electrons)


def near_in_energy(space: ActiveSpace, energy: float) -> ActiveSpace:
    """``space`` in single precision, without orbitals whose configurations all lie far above ``energy`` (hartree)."""
    gaps = space.gaps
    limit = max(energy, float(gaps.min())) + _BAND_MARGIN_EV / REFERENCE_OUTPUT_HARTREE_EV
    occupied, virtual = (gaps < limit).any(dim=1), (gaps < limit).any(dim=0)
    return replace(
        space,
        e_o=space.e_o[occupied].float(),
        e_v=space.e_v[virtual].float(),
        l_o=space.l_o[:, occupied].float().contiguous(),
        l_v=space.l_v[:, virtual].float().contiguous(),
        **{name: getattr(space, name)[:, occupied][:, :, virtual].float() for name in _MOMENTS},
    )


def _response_vectors(
    space: ActiveSpace, points: torch.Tensor, screened: torch.Tensor, components: slice
) -> Iterator[torch.Tensor]:
    """X + Y of the response at each of ``points`` (b,), imaginary parts (b, c, n_o', n_v), by blocks of occupied
    orbitals; ``screened`` (b, c, n_atoms) complex, ``components`` the c start vectors."""
    import torch

    shape = (*screened.shape[:2], -1)
    factors = screened.flatten(0, 1).to(torch.complex64)
    for gaps, charges, moments in configurations(space):
        ratio = (gaps.double() / points.real[:, None]).sqrt()
        amplitude = (ratio + 1.0 / ratio) / (gaps.double() ** 2 - points[:, None] ** 2)
        amplitude = amplitude.to(torch.complex64)[:, None, :]
        x = (moments.T[components] - (factors.real @ charges.T).reshape(shape)).mul_(amplitude.imag)
        x -= (factors.imag @ charges.T).reshape(shape).mul_(amplitude.real)
        yield x.reshape(*shape, space.shape[1])


def contour_spectra(
    orbitals: Orbitals,
    protocol: Protocol,
    compute: Compute,
    progress: Callable[[int], None] | None = None,
) -> ContourSpectra:
    """Spectra of orbitals without Fock exchange up to ``emax_ev`` at ``fwhm_ev``, all configurations explicit.

    ``progress``: told how many blocks of configurations are done.  Raises ElectronicStructureError without a gap,
    MemoryLimitError before anything large is allocated.
    """
    import torch

    start = time.perf_counter()
    scale = REFERENCE_OUTPUT_HARTREE_EV
    sigma = protocol.fwhm_ev / FWHM_PER_SIGMA / scale
    contour = Contour.spanning(LOWEST_EV / scale, protocol.emax_ev / scale, sigma)
    space = response_space(orbitals, protocol, compute)
    gaps = space.gaps.detach()
    intervals = contour.intervals(float(gaps.min()) * (1.0 - 1e-6), float(gaps.max()))
    n_nodes = sum(interval.n_nodes for interval in intervals)
    size = space.n_atoms + 9
    _check_memory(size, n_nodes, len(contour.points), space, compute)
    sums = NodeSums(intervals, size, space.n_atoms)
    prepared = time.perf_counter()
    for number, block in enumerate(configurations(space), start=1):
        sums.add(*block)
        if progress is not None:
            progress(number)
    summed = time.perf_counter()
    points = torch.as_tensor(contour.points, device=space.gaps.device)
    gamma = space.gamma_k.double()
    response = torch.cat([resolvent(products, gamma) for products in sums.at(points)])
    counts = {"n_csf": space.n_csf, "n_points": len(contour.points), "n_nodes": n_nodes}
    timings = {
        "preparation": prepared - start,
        "sums": summed - prepared,
        "solver": time.perf_counter() - prepared,
    }
    gap_ev = float(gaps.min()) * scale
    numbers = response.cpu().numpy()
    return ContourSpectra(
        contour, numbers, gap_ev, protocol.emax_ev, protocol.fwhm_ev, space, sums, counts, timings_s=timings
    )


def _check_memory(size: int, n_nodes: int, n_points: int, space: ActiveSpace, compute: Compute) -> None:
    """The matrices of the nodes, those of the points, and a block of configurations with its weighted copies."""
    nodes = n_nodes * size * (4 * (size + TILE) // 2 + 8 * 9)
    points = 20 * min(BLOCK // 16, n_points * size**2)
    blocks = 4 * min(BLOCK, size * space.n_csf) + 4 * COLUMNS * (MOST_NODES * TILE + 3 * size)
    needed = (nodes + points + blocks) / 1e9
    if needed > compute.memory:
        raise MemoryLimitError(
            f"the response of {space.n_csf} configurations needs {needed:.2g} GB; {compute.memory:.2g} GB allowed",
            "raise --memory-gb; a larger --fwhm and a lower --emax need less",
        )


RESPONSE_SOLVERS = (ResponseSolver("contour", ("spectrum", "contour"), without_exchange, contour_spectra),)
