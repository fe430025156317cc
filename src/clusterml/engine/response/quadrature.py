"""The contour of the response, its trapezoid rule, and sums over configurations that serve all of its points.

See :mod:`clusterml.engine.response.contour`, steps 2 and 3, for what they are and their sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.typing import FloatArray
from clusterml.units import REFERENCE_OUTPUT_HARTREE_EV

if TYPE_CHECKING:
    import torch

_TRAPEZOID_ERROR = 5e-7
"""Error of the contour integral, relative to a band."""
_REACH = 6.0
"""The contour goes on for so many standard deviations beyond the energies that are asked for."""
TAIL_EV = 1.0
"""At least so far beyond, so that bands of twice the width are right at the edges too."""
_NEAR = (5, 0.25)
_FAR = (3, 0.06)
"""Chebyshev nodes of an interval, and its width in units of its distance to the contour.

They interpolate to 2e-6 and 7e-6.  Beyond the contour nothing is resonant, and fewer nodes for each of the many
configurations there are worth more intervals.
"""
MOST_NODES = _NEAR[0]
"""Most nodes of an interval."""
_FAR_EV = 1.0
"""Distance from the contour's end at which ``_FAR`` begins."""
TILE = 96
"""Columns of a tile when one triangle of a symmetric product is computed."""
_JOINED = 3_000_000
"""Numbers of the nodes that are joined at a time."""
BLOCK = 100_000_000
"""Numbers of a block of configurations (charges and moments), or of points, held at a time."""
TOGETHER = 1_000_000
"""Numbers of the matrices of points that are solved for together: small ones cost more calls than sums."""
COLUMNS = 8192
"""Configurations of an interval whose weighted copies are held at a time."""


@dataclass(frozen=True)
class Contour:
    """Points z (j,) in hartree on the line Im z = a, with spacing ``step``, for bands of at least ``sigma``."""

    points: np.ndarray[Any, np.dtype[np.complex128]]
    step: float
    sigma: float

    @classmethod
    def spanning(cls, low: float, high: float, sigma: float) -> Contour:
        """For spectra from ``low`` to ``high`` with bands of standard deviation ``sigma``, all in hartree."""
        step = np.pi * sigma / np.sqrt(-np.log(_TRAPEZOID_ERROR))
        reach = max(_REACH * sigma, TAIL_EV / REFERENCE_OUTPUT_HARTREE_EV)
        real = np.arange(low - reach, high + reach + step, step)
        return cls(real + 1j * np.pi * sigma**2 / (2.0 * step), float(step), sigma)

    def weights(self, energy: FloatArray, sigma: float) -> np.ndarray[Any, np.dtype[np.complex128]]:
        """(e, j): what the points give to bands of ``sigma`` at ``energy`` (e,), the factor 2 z of step 2 included."""
        distance = energy[:, None] - self.points[None, :]
        gaussian = np.exp(-0.5 * (distance / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
        return np.asarray(self.step / np.pi * gaussian * 2.0 * self.points)

    def distance(self, gap: float) -> float:
        """From ``gap`` on the real axis to the nearest point of the line."""
        real = self.points.real
        return float(np.hypot(max(real[0] - gap, gap - real[-1], 0.0), self.points.imag[0]))

    def intervals(self, low: float, high: float) -> list[Interval]:
        """Intervals from ``low`` to ``high``, narrow beside their distance to the contour."""
        far = float(self.points.real[-1]) + _FAR_EV / REFERENCE_OUTPUT_HARTREE_EV
        intervals, edge = [], low
        while edge <= high:
            nodes, share = _FAR if edge >= far else _NEAR
            start, edge = edge, edge + share * self.distance(edge)
            intervals.append(Interval(start, edge, nodes))
        return intervals


@dataclass(frozen=True)
class Interval:
    """Energies from ``low`` to ``high`` in hartree, interpolated on ``n_nodes`` Chebyshev nodes."""

    low: float
    high: float
    n_nodes: int

    @cached_property
    def places(self) -> FloatArray:
        """The nodes on -1 .. 1, (n_nodes,)."""
        return np.asarray(np.cos(np.pi * (np.arange(self.n_nodes) + 0.5) / self.n_nodes))

    @cached_property
    def nodes(self) -> FloatArray:
        """The nodes in hartree, (n_nodes,)."""
        return np.asarray(0.5 * (self.low + self.high) + 0.5 * (self.high - self.low) * self.places)

    def polynomials(self, energies: torch.Tensor) -> torch.Tensor:
        """Lagrange's polynomials of the nodes at ``energies`` (n,), shape (n, n_nodes)."""
        import torch

        x = (2.0 * energies.double() - self.low - self.high) / (self.high - self.low)
        others, scale = _others(self.n_nodes)
        distances = x[:, None, None] - torch.as_tensor(others, device=x.device)
        return distances.prod(dim=2) / torch.as_tensor(scale, device=x.device)


@lru_cache(maxsize=8)
def _others(n_nodes: int) -> tuple[FloatArray, FloatArray]:
    """The other Chebyshev nodes (n_nodes, n_nodes - 1) of each, and the product (n_nodes,) of the distances to them."""
    places = Interval(-1.0, 1.0, n_nodes).places
    others = np.array([np.delete(places, k) for k in range(n_nodes)])
    return others, np.asarray(np.prod(places[:, None] - others, axis=1))


class NodeSums:
    """The matrices of all nodes: sums of T L_k(D) T^T over configurations, from which T g(z) T^T follows for any z.

    T (r, n) has rows of transition charges, the first ``n_charges``, and of moments; L_k the polynomials of the nodes
    of an interval.  Of the products of charges one triangle is computed, in tiles of ``TILE`` columns.
    """

    def __init__(self, intervals: Sequence[Interval], size: int, n_charges: int) -> None:
        self._intervals = list(intervals)
        self._size, self._n_charges = size, n_charges
        self._tiles = [(start, min(n_charges, start + TILE)) for start in range(0, n_charges, TILE)]
        self._sums: list[list[torch.Tensor] | None] = [None] * len(intervals)

    def add(self, gaps: torch.Tensor, charges: torch.Tensor, moments: torch.Tensor) -> None:
        """Add configurations with energies ``gaps`` (n,) in hartree, ``charges`` (n, n_charges) and ``moments`` (n, 9).

        Charges are multiplied among themselves in their own precision, and with moments in that of the moments.
        """
        import torch

        edges = torch.as_tensor([part.low for part in self._intervals], dtype=torch.float64, device=gaps.device)
        order = torch.argsort(gaps.detach())
        gaps = gaps[order]
        bounds = [*torch.searchsorted(gaps.detach().double(), edges).tolist(), len(gaps)]
        for number, (start, stop) in enumerate(pairwise(bounds)):
            for first in range(start, stop, COLUMNS):
                part = slice(first, min(stop, first + COLUMNS))
                weights = self._intervals[number].polynomials(gaps[part])
                self._add_to(number, weights, *(rows.index_select(0, order[part]) for rows in (charges, moments)))

    def _add_to(self, number: int, weights: torch.Tensor, charges: torch.Tensor, moments: torch.Tensor) -> None:
        """Add configurations of one interval with ``weights`` (n, n_nodes)."""
        k, n = weights.shape[1], self._n_charges
        sums = self._sums[number]
        if sums is None:
            sums = [charges.new_zeros((n - start, k * (stop - start))) for start, stop in self._tiles]
            sums += [moments.new_zeros((k * (self._size - n), rows)) for rows in (n, self._size - n)]
            self._sums[number] = sums
        light, heavy = (weights.to(x.dtype)[:, :, None] for x in (charges, moments))
        for (start, stop), tile in zip(self._tiles, sums, strict=False):
            tile.addmm_(charges[:, start:].T, (light * charges[:, None, start:stop]).flatten(1))
        weighted = (heavy * moments[:, None]).flatten(1).T
        for rows, products in zip((charges.to(moments.dtype), moments), sums[-2:], strict=True):
            products.addmm_(weighted, rows)

    def at(self, points: torch.Tensor) -> Iterator[torch.Tensor]:
        """T g(z) T^T for all ``points`` (j,), complex (some, r, r) of their precision, some points at a time."""
        import torch

        held = [(part.n_nodes, sums) for part, sums in zip(self._intervals, self._sums, strict=True) if sums]
        nodes = [part.nodes for part, sums in zip(self._intervals, self._sums, strict=True) if sums]
        place = torch.as_tensor(np.concatenate(nodes), device=points.device).to(points.real.dtype)
        n, own = self._n_charges, self._size - self._n_charges
        for some in points.split(max(1, BLOCK // (16 * self._size**2))):
            g = 1.0 / (place[None, :] ** 2 - some[:, None] ** 2)
            g = torch.cat([g.real, g.imag])
            tiles = [
                _joined(g, [sums[number].reshape(n - start, k, -1) for k, sums in held])
                for number, (start, _) in enumerate(self._tiles)
            ]
            mixed, last = (
                _joined(g, [sums[number].reshape(k, own, -1).transpose(0, 1) for k, sums in held])
                for number in (-2, -1)
            )
            few = max(1, TOGETHER // self._size**2)
            for first in range(0, len(some), few):
                yield self._assembled(*([x[:, first : first + few] for x in parts] for parts in (tiles, (mixed, last))))

    def _assembled(self, tiles: Sequence[torch.Tensor], moments: Sequence[torch.Tensor]) -> torch.Tensor:
        """Whole matrices (j, r, r) of ``tiles`` (rows, j, columns), and products of moments with charges and moments
        (9, j, columns)."""
        mixed, last = moments
        n = self._n_charges
        whole = last.new_empty((last.shape[1], self._size, self._size))
        whole[:, n:, :n], whole[:, :n, n:] = mixed.transpose(0, 1), mixed.permute(1, 2, 0)
        whole[:, n:, n:] = last.transpose(0, 1)
        for (start, stop), tile in zip(self._tiles, tiles, strict=True):
            whole[:, start:n, start:stop], whole[:, start:stop, start:n] = tile.transpose(0, 1), tile.permute(1, 2, 0)
        return whole


def _joined(g: torch.Tensor, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Sums over nodes, complex (rows, j, columns), of ``parts`` (rows, nodes, columns) with ``g`` (2 j, nodes), its
    real above its imaginary part; some rows at a time."""
    import torch

    pieces = []
    size = max(1, _JOINED // (g.shape[1] * parts[0].shape[2]))
    for start in range(0, len(parts[0]), size):
        matrices = torch.cat([part[start : start + size] for part in parts], dim=1).to(g.dtype)
        real, imaginary = (g @ matrices).chunk(2, dim=1)
        pieces.append(torch.complex(real, imaginary))
    return torch.cat(pieces)
