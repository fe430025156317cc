"""Linear response on a contour: broadened spectra without eigenpairs, a Krylov space or an approximation.

The Casida matrix of orbitals without Fock exchange is a diagonal plus a low rank, Omega = D^2 + F^T gamma F with
F = 2 sqrt(D) q (n_atoms, n) (see :mod:`clusterml.engine.response.linear`).  Three steps give its spectra:

1.  By Woodbury, with g = 1 / (D^2 - z^2), chi = F g F^T and the start vectors S (9, n) in the metric of Z,
    X(z) = S (Omega - z^2)^-1 S^T = S g S^T - (S g F^T) (1 + gamma chi)^-1 gamma (F g S^T).
2.  A Gaussian is an entire function, so that bands of standard deviation sigma are an integral along Im z = a,
    sum_n (s.Z_n)(s'.Z_n) G(E - w_n) = (1/pi) Im sum_j h G(E - z_j) 2 z_j X(z_j),  z_j = w_j + i a.
    The trapezoid rule errs by exp(-(pi sigma / h)^2) at a = pi sigma^2 / (2 h); a wider band errs less.
3.  All z are far from the real axis, so g is smooth in D: configurations are binned into intervals of D, narrow beside
    their distance to the contour, and interpolated on Chebyshev nodes.  One matrix per node serves all z.  What is far
    above the contour is summed up by orbitals (:mod:`~clusterml.engine.response.far`).

No configuration is left out, and all is matrix products, on any device.  The derivative by orbital energies,
transition charges and moments is torch's own: z keeps away from every pole, degenerate or not.
Sources: M. A. Woodbury, Memorandum Report 42, Princeton (1950); L. N. Trefethen, J. A. C. Weideman, SIAM Rev. 56, 385
(2014) (the trapezoid rule); L. N. Trefethen, Approximation Theory and Approximation Practice (2013), chapter 8.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.linalg import own_threads, product, solve, threads_for, together
from clusterml.engine.parameters import tables
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.active import ActiveSpace
from clusterml.engine.response.excited import LOWEST_EV, SPIN_FACTOR
from clusterml.engine.response.far import far_pairs, far_sums
from clusterml.engine.response.linear import response_space, without_exchange
from clusterml.engine.response.quadrature import BLOCK, COLUMNS, MOST_NODES, TILE, TOGETHER, Contour, NodeSums
from clusterml.engine.response.response import TAIL_EV, AtomShares, BandKind, PlacedBand, check_reach
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
_STIRRED: dict[BandKind, slice] = {"absorption": slice(0, 3), "cd": slice(3, 9)}
"""What light stirs that makes a band: r, or nabla and r x nabla."""


def resolvent(products: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """X(z), complex (..., 9, 9), of step 1.

    ``products``: T g(z) T^T (..., n_atoms + 9, n_atoms + 9) with T the charges F above the start vectors S;
    ``inverse``: gamma^-1 (n_atoms, n_atoms) in 1 / hartree.
    """
    n = len(inverse)
    return products[..., n:, n:] - products[..., :n, n:].mT @ _screened(products, inverse)


def _screened(products: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """(gamma^-1 + chi)^-1 F g S^T = (1 + gamma chi)^-1 gamma F g S^T, complex (..., n_atoms, 9)."""
    n = len(inverse)
    return solve(products[..., :n, :n] + inverse, products[..., :n, n:])


def configurations(space: ActiveSpace, block: int = BLOCK) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """All configurations by occupied orbitals, a block of at most about ``block`` numbers at a time.

    Yields their energies (n,), the charges F (n, n_atoms) in single precision, and the start vectors (n, 9): r sqrt(D),
    nabla / sqrt(D) and (r x nabla) / sqrt(D).  The next block's charges take the place of the last one's.
    """
    import torch

    n_o, n_v = space.shape
    if not n_o or not n_v:
        return
    size = min(n_o, max(1, block // ((space.n_atoms + 9) * n_v)))
    held = space.l_o.new_empty((size * n_v, space.n_atoms), dtype=torch.float32)

    def fill(rows: torch.Tensor, orbitals: slice, charges: Callable[[], torch.Tensor]) -> None:
        scale = 2.0 * space.gaps[orbitals].flatten().sqrt().float()
        torch.mul(charges().float().T, scale[:, None], out=rows)  # rounded at the end

    for start in range(0, n_o, size):
        chosen = slice(start, min(n_o, start + size))
        blocks = space.charge_blocks(chosen)
        rows = held[: (chosen.stop - start) * n_v]
        parts = rows.split([(some.stop - some.start) * n_v for some, _ in blocks])
        together([partial(fill, part, *of) for part, of in zip(parts, blocks, strict=True)], threads_for(held))
        yield space.gaps[chosen].flatten(), rows, space.moments(chosen).T.contiguous()


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

        Raises OptionError for a width below that it was computed for or an unknown gauge or a grid beyond emax,
        SpectrumError for a bad grid.
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
        axis = default_grid(self.emax_ev) if grid is None else check_axis("grid", grid)
        check_reach(axis, self.emax_ev)
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
        plain = product(weights, flat).imag
        weighted = product(weights * self.contour.points * scale, flat).imag
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

    @own_threads()
    def shares(self, bands: Sequence[PlacedBand], spectrum: Spectrum) -> AtomShares:
        """Shares of atoms in hole and electron, from the response vectors at each band.

        They are the imaginary parts of g (S^T - F^T (1 + gamma chi)^-1 gamma F g S^T) at E + i sigma: what light of
        that energy stirs, through r for absorption, and through nabla and r x nabla for CD.
        """
        import torch

        energies = torch.as_tensor([energy for _, energy in bands], dtype=torch.float64, device=self.space.gaps.device)
        energies = energies / REFERENCE_OUTPUT_HARTREE_EV
        points = torch.complex(energies, torch.full_like(energies, self.contour.sigma))
        screened = screened_sources(self, points.to(torch.complex64))
        near = near_in_energy(self.space, float(energies.max()))
        vectors = _response_vectors(near, points, screened, [_STIRRED[kind] for kind, _ in bands])

        def of_atoms(of_band: torch.Tensor) -> list[FloatArray]:
            hole, electron = (of_band.new_zeros(n, n) for n in near.shape)
            for x in of_band:  # (n_o, n_v)
                hole.addmm_(x, x.T)
                electron.addmm_(x.T, x)
            sides = ((hole, near.l_o), (electron, near.l_v))
            populations = [near.atom_sum(((left @ density) * left).sum(dim=1).double()) for density, left in sides]
            return [(x / x.sum()).cpu().numpy() for x in populations]

        holes, electrons = zip(*together([partial(of_atoms, x) for x in vectors], threads_for(points)), strict=True)
        return np.array(holes), np.array(electrons)


def screened_sources(spectra: ContourSpectra, points: torch.Tensor) -> torch.Tensor:
    """(1 + gamma chi)^-1 gamma F g S^T at ``points`` (j,), complex (j, n_atoms, 9) of their precision."""
    import torch

    inverse = torch.linalg.inv(spectra.space.gamma_k.double()).to(points.real.dtype)
    return spectra.sums.at(points, lambda products: _screened(products, inverse))


def near_in_energy(space: ActiveSpace, energy: float) -> ActiveSpace:
    """``space`` in single precision, without orbitals whose configurations all lie far above ``energy`` (hartree)."""
    gaps = space.gaps
    limit = max(energy, float(gaps.min())) + _BAND_MARGIN_EV / REFERENCE_OUTPUT_HARTREE_EV
    near = space.restricted((gaps < limit).any(dim=1), (gaps < limit).any(dim=0))
    names = ("e_o", "e_v", "l_o", "l_v", "position", "velocity", "angular")
    return replace(near, **{name: getattr(near, name).float() for name in names})


def _response_vectors(
    space: ActiveSpace, points: torch.Tensor, screened: torch.Tensor, components: Sequence[slice]
) -> list[torch.Tensor]:
    """X + Y of the response at each of ``points`` (b,), imaginary parts (c, n_o, n_v), of c start vectors each,
    ``components``; ``screened`` (b, n_atoms, 9) complex."""
    import torch

    columns = [vectors[:, part] for vectors, part in zip(screened, components, strict=True)]
    sizes = [part.shape[1] for part in columns]
    factors = torch.cat(columns, dim=1).T
    factors = torch.cat([factors.real, factors.imag])
    vectors = factors.new_empty((sum(sizes), space.n_csf)).split(sizes)
    energy, sigma = (part[:, None].to(factors.dtype) for part in (points.real, points.imag))

    def fill(chosen: slice, charges: Callable[[], torch.Tensor]) -> None:
        place = slice(chosen.start * space.shape[1], chosen.stop * space.shape[1])
        gaps, moments = space.gaps[chosen].flatten(), space.moments(chosen)
        # (ratio + 1 / ratio) / (D^2 - z^2) with ratio^2 = D / E and z = E + i sigma
        distance, twice = (gaps - energy) * (gaps + energy) + sigma**2, 2.0 * energy * sigma
        scale = (gaps + energy) / (gaps * energy).sqrt() / (distance**2 + twice**2)
        bare, of_charges = twice * scale, -2.0 * gaps.sqrt() * scale
        a, b = of_charges * twice, of_charges * distance
        real, imaginary = (x.split(sizes) for x in (factors @ charges()).chunk(2))
        for k, part in enumerate(components):
            torch.mul(moments[part], bare[k], out=vectors[k][:, place])
            vectors[k][:, place].addcmul_(real[k], a[k]).addcmul_(imaginary[k], b[k])

    together([partial(fill, *block) for block in space.charge_blocks(slice(0, space.shape[0]))], threads_for(points))
    return [x.unflatten(1, space.shape) for x in vectors]


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
    start = time.perf_counter()
    scale = REFERENCE_OUTPUT_HARTREE_EV
    sigma = protocol.fwhm_ev / FWHM_PER_SIGMA / scale
    contour = Contour.spanning(LOWEST_EV / scale, protocol.emax_ev / scale, sigma)
    space = response_space(orbitals, protocol, compute)
    prepared = time.perf_counter()
    with own_threads():
        sums = response_sums(space, contour, compute, progress)
        summed = time.perf_counter()
        response = response_of(space, contour, sums)
    counts = {"n_csf": space.n_csf, "n_points": len(contour.points), "n_nodes": sums.n_nodes}
    timings = {
        "preparation": prepared - start,
        "sums": summed - prepared,
        "solver": time.perf_counter() - prepared,
    }
    gap_ev = float(space.gaps.detach().min()) * scale
    return ContourSpectra(
        contour, response, gap_ev, protocol.emax_ev, protocol.fwhm_ev, space, sums, counts, timings_s=timings
    )


@own_threads()
def response_sums(
    space: ActiveSpace, contour: Contour, compute: Compute, progress: Callable[[int], None] | None = None
) -> NodeSums:
    """Sums over all configurations of ``space`` for the points of ``contour``; ``progress``: told the blocks done.

    Raises MemoryLimitError before anything large is allocated.
    """
    import torch

    pairs = far_pairs(space, contour.far)
    near = space.restricted(pairs.occupied, pairs.virtual)
    intervals = contour.intervals(near.gaps.detach())
    n_nodes = sum(interval.n_nodes for interval in intervals)
    _check_memory(space.n_atoms + 9, n_nodes, len(contour.points), near, compute)
    charges, moments = space.l_o.new_empty((0, space.n_atoms), dtype=torch.float32), space.position.new_empty((0, 9))
    sums = NodeSums(intervals, charges, moments, far_sums(space, pairs, contour))
    for number, block in enumerate(configurations(near), start=1):
        sums.add(*block)
        if progress is not None:
            progress(number)
    return sums


@own_threads()
def response_of(space: ActiveSpace, contour: Contour, sums: NodeSums) -> np.ndarray[Any, np.dtype[np.complex128]]:
    """X (j, 9, 9) at the points of ``contour`` from the ``sums`` over configurations of ``space``."""
    import torch

    points = torch.as_tensor(contour.points, device=space.gaps.device)
    inverse = torch.linalg.inv(space.gamma_k.double())
    response = sums.at(points, lambda products: resolvent(products, inverse))
    return np.asarray(response.cpu().numpy())


def _check_memory(size: int, n_nodes: int, n_points: int, space: ActiveSpace, compute: Compute) -> None:
    """The matrices of the nodes and of the points, and weighted copies on all threads: of orbitals first, then of
    configurations beside a block of them."""
    threads = threads_for(space.gaps)
    nodes = n_nodes * size * (4 * (size + TILE) // 2 + 8 * 9)
    points = 5 * min(BLOCK, n_points * size**2) + 60 * max(TOGETHER, threads * size**2)
    blocks = 4 * min(BLOCK, size * space.n_csf) + 4 * threads * COLUMNS * (MOST_NODES * TILE + 3 * size)
    orbitals = 8 * threads * len(space.l_o) ** 2
    needed = (nodes + points + max(blocks, orbitals)) / 1e9
    if needed > compute.memory:
        raise MemoryLimitError(
            f"the response of {space.n_csf} configurations needs {needed:.2g} GB; {compute.memory:.2g} GB allowed",
            "raise --memory-gb; a larger --fwhm and a lower --emax need less",
        )


RESPONSE_SOLVERS = (ResponseSolver("contour", ("spectrum", "contour"), without_exchange, contour_spectra),)
