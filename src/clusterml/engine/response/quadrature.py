"""The contour of the response, its trapezoid rule, and sums over configurations that serve all of its points.

See :mod:`clusterml.engine.response.contour`, steps 2 and 3, for what they are and their sources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.linalg import threads_for, together
from clusterml.engine.response.response import TAIL_EV
from clusterml.typing import FloatArray
from clusterml.units import REFERENCE_OUTPUT_HARTREE_EV

if TYPE_CHECKING:
    import torch

    from clusterml.engine.response.far import FarSums

_TRAPEZOID_ERROR = 5e-7
"""Error of the contour integral, relative to a band."""
_REACH = 6.0
"""The contour goes on for so many standard deviations beyond the energies that are asked for, and at least for the
tail, so that bands of twice the width are right at the edges too."""
_NEAR, _FAR = ((7, 0.55), (6, 0.4)), ((4, 0.15), (3, 0.06))
"""Chebyshev nodes of an interval, and its width in units of its distance to the contour: of few configurations and of
``_MANY``.

They interpolate to 2e-6 to 7e-6.  Beyond the contour nothing is resonant, and fewer nodes for each of the many
configurations there are worth more intervals; few configurations are worth fewer intervals everywhere.
"""
_MANY = 50_000
MOST_NODES = _NEAR[0][0]
"""Most nodes of an interval."""
_FAR_EV = 0.5
"""Distance from the contour's end at which ``_FAR`` begins, and what is summed without looking at every pair."""
TILE = 96
"""Columns of a tile when one triangle of a symmetric product is computed."""
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

    @property
    def far(self) -> float:
        """The energy in hartree from which on nothing is resonant."""
        return float(self.points.real[-1]) + _FAR_EV / REFERENCE_OUTPUT_HARTREE_EV

    def intervals(self, gaps: torch.Tensor) -> list[Interval]:
        """Intervals of orbital energy differences ``gaps``, narrow beside their distance to the contour."""
        if not gaps.numel():
            return []
        edge, high = float(gaps.min()) * (1.0 - 1e-6), float(gaps.max())
        near, far = (widths[gaps.numel() >= _MANY] for widths in (_NEAR, _FAR))
        intervals: list[Interval] = []
        while edge <= high:
            nodes, share = far if edge >= self.far else near
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
    """Matrices from which T g(z) T^T follows for any z: sums over configurations of T L(D) T^T.

    T (r, n) has rows of transition charges, the first ``n_charges``, and of moments.  L are the polynomials of the
    nodes of an interval, or those of ``far``.  Of the products of charges one
    triangle is kept, in tiles of ``TILE`` columns: (nodes, columns, rows), those of moments as (nodes, 9, rows).
    """

    def __init__(
        self, intervals: Sequence[Interval], charges: torch.Tensor, moments: torch.Tensor, far: FarSums | None = None
    ) -> None:
        """``charges`` (.., n_charges), ``moments`` (.., 9): such as those of configurations."""
        self._intervals, self._far = list(intervals), far
        n, own = charges.shape[-1], moments.shape[-1]
        self._size = n + own
        self._edges = [(start, min(n, start + TILE)) for start in range(0, n, TILE)]
        self._first = np.cumsum([0, *(part.n_nodes for part in intervals)]).tolist()
        nodes = self._first[-1]
        self._tiles = [charges.new_zeros(nodes, stop - start, n - start) for start, stop in self._edges]
        self._moments = [moments.new_zeros(nodes, own, rows) for rows in (n, own)]

    @property
    def n_nodes(self) -> int:
        """Number of nodes of all intervals."""
        return int(self._first[-1])

    def add(self, gaps: torch.Tensor, charges: torch.Tensor, moments: torch.Tensor) -> None:
        """Add configurations with energies ``gaps`` (n,) in hartree, ``charges`` (n, n_charges) and ``moments`` (n, 9).

        Charges are multiplied among themselves in their own precision, and with moments in that of the moments.
        """
        import torch

        edges = torch.as_tensor([part.low for part in self._intervals], dtype=torch.float64, device=gaps.device)
        order = torch.argsort(gaps.detach())
        gaps = gaps[order]
        bounds = [*torch.searchsorted(gaps.detach().double(), edges).tolist(), len(gaps)]

        def add(number: int, start: int, stop: int) -> None:
            for first in range(start, stop, COLUMNS):
                part = slice(first, min(stop, first + COLUMNS))
                weights = self._intervals[number].polynomials(gaps[part])
                self._add_to(number, weights, *(rows.index_select(0, order[part]) for rows in (charges, moments)))

        calls = [partial(add, number, *place) for number, place in enumerate(pairwise(bounds)) if place[0] < place[1]]
        differentiated = any(x.requires_grad for x in (gaps, charges, moments))  # sums are changed in place
        together(calls, 1 if differentiated else threads_for(charges))

    def _add_to(self, number: int, weights: torch.Tensor, charges: torch.Tensor, moments: torch.Tensor) -> None:
        """Add configurations of one interval with ``weights`` (n, n_nodes)."""
        nodes = slice(self._first[number], self._first[number + 1])
        light, heavy = (weights.to(x.dtype)[:, :, None] for x in (charges, moments))
        for (start, stop), tile in zip(self._edges, self._tiles, strict=True):
            weighted = (light * charges[:, None, start:stop]).flatten(1)
            tile[nodes].flatten(0, 1).addmm_(weighted.T, charges[:, start:])
        weighted = (heavy * moments[:, None]).flatten(1).T
        for rows, products in zip((charges.to(moments.dtype), moments), self._moments, strict=True):
            products[nodes].flatten(0, 1).addmm_(weighted, rows)

    def at(self, points: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """``function`` of T g(z) T^T for all ``points`` (j,), joined; it is given some points at a time, complex
        (some, r, r) of their precision."""
        import torch

        threads = threads_for(points)
        held, few = (max(1, numbers // threads // self._size**2) for numbers in (BLOCK, TOGETHER))
        factors = [_resolvents(np.concatenate([np.zeros(0), *(part.nodes for part in self._intervals)]), points)]
        if self._far is not None:
            factors += [self._far.basis.coefficients(points), self._far.basis.terms(points)]

        def of(*some: torch.Tensor) -> torch.Tensor:
            joined = self._joined(*some)
            parts = [slice(first, first + few) for first in range(0, len(some[0]), few)]
            chosen = (([x[:, part] for x in kind] for kind in joined) for part in parts)
            wholes = (self._assembled(tiles, moments, points.real.dtype) for tiles, moments in chosen)
            return torch.cat([function(whole) for whole in wholes])

        share = min(held, math.ceil(len(points) / threads))
        shares = zip(*(x.split(share) for x in factors), strict=True)
        return torch.cat(together([partial(of, *some) for some in shares], threads))

    def _joined(
        self, of_nodes: torch.Tensor, decays: torch.Tensor | None = None, terms: torch.Tensor | None = None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Tiles and products of moments, real and imaginary parts (2, j, columns, rows), of what nodes, exponentials
        and polynomials give to j points, each (j, ..)."""
        tiles, moments = ([_product(of_nodes, sums) for sums in kind] for kind in (self._tiles, self._moments))
        if (far := self._far) is not None and decays is not None and terms is not None:
            for tile, (start, stop) in zip(tiles, self._edges, strict=True):
                tile += _product(decays, far.charges[:, start:stop, start:])
            for products, sums in zip(moments, (far.mixed, far.moments), strict=True):
                products += _product(terms, sums)
        return tiles, moments

    def _assembled(
        self, tiles: Sequence[torch.Tensor], moments: Sequence[torch.Tensor], dtype: torch.dtype
    ) -> torch.Tensor:
        """Whole matrices (j, r, r) of both parts of ``tiles``, and of products of moments with charges and moments."""
        import torch

        mixed, own = moments
        n = mixed.shape[-1]
        whole = mixed.new_empty((2, mixed.shape[1], self._size, self._size), dtype=dtype)
        whole[..., n:, :n], whole[..., :n, n:], whole[..., n:, n:] = mixed, mixed.mT, own
        for (start, stop), tile in zip(self._edges, tiles, strict=True):
            whole[..., start:stop, start:n], whole[..., start:n, start:stop] = tile, tile.mT
        return torch.complex(whole[0], whole[1])


def _resolvents(nodes: FloatArray, points: torch.Tensor) -> torch.Tensor:
    """1 / (D^2 - z^2) at ``nodes`` (k,) and ``points`` (j,), complex (j, k)."""
    import torch

    z = points[:, None].to(torch.complex128)
    return 1.0 / (torch.as_tensor(nodes, device=points.device) ** 2 - z**2)


def _product(factors: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Real and imaginary part (2, j, ..) of complex ``factors`` (j, k) with ``sums`` (k, ..), in their precision."""
    import torch

    both = torch.stack([factors.real, factors.imag]).to(sums.dtype)
    return (both.flatten(0, 1) @ sums.flatten(1)).reshape(2, len(factors), *sums.shape[1:])
