"""What the network takes from e3nn, and how: the only place that knows it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from e3nn.o3 import Irreps


def o3() -> Any:
    """The module ``e3nn.o3``, imported without its deprecation warnings and without compiling by TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import e3nn
        from e3nn import o3 as module

    e3nn.set_optimization_defaults(jit_script_fx=False, jit_mode="eager")
    return module


@contextmanager
def double_precision() -> Iterator[None]:
    """Parameters and constants that are made inside are in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def hidden_irreps(channels: int, lmax: int, parity: str) -> Irreps:
    """``channels`` of every l up to ``lmax``: of both parities, or (``natural``) only (-1)^l."""
    order = [(l, p) for l in range(lmax + 1) for p in (1, -1) if parity == "both" or p == (-1) ** l]
    return o3().Irreps([(channels, irrep) for irrep in order])


def spherical(lmax: int) -> Irreps:
    """Irreps of the spherical harmonics up to ``lmax``."""
    return o3().Irreps.spherical_harmonics(lmax)


def harmonics(lmax: int, vectors: Tensor) -> Tensor:
    """Real spherical harmonics (e, (lmax + 1)^2) of the directions of ``vectors`` (e, 3), norm-component scaled."""
    return o3().spherical_harmonics(list(range(lmax + 1)), vectors, normalize=True, normalization="component")


def linear(irreps_in: Any, irreps_out: Any) -> nn.Module:
    """The equivariant linear layer between these irreps."""
    layer: nn.Module = _linear_class()(irreps_in, irreps_out)
    return layer


@cache
def _linear_class() -> type:
    """e3nn's linear layer, always in the precision of its weights: under autocast it cannot mix two."""
    base: Any = o3().Linear

    class Linear(base):  # type: ignore[misc]
        def forward(self, features: Tensor) -> Tensor:
            with torch.autocast(features.device.type, enabled=False):
                return cast("Tensor", super().forward(features.to(self.weight)))

    return Linear


class ChannelProduct(nn.Module):
    """Products of two features channel by channel, into every irrep of ``out`` that they reach: the next body order.

    ``left``, ``right`` and ``out`` have the same number of channels of each irrep; every path has a weight for each
    channel.
    """

    def __init__(self, left: Irreps, right: Irreps, out: Irreps) -> None:
        super().__init__()
        paths = [
            (i, j, k, "uuu", True)
            for i, (_, a) in enumerate(left)
            for j, (_, b) in enumerate(right)
            for k, (_, c) in enumerate(out)
            if c in a * b
        ]
        self.product = o3().TensorProduct(left, right, out, paths)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """``(n, left)``, ``(n, right)`` -> ``(n, out)``; in the weights' precision, as e3nn cannot mix two."""
        with torch.autocast(left.device.type, enabled=False):
            return self.product(left.to(self.product.weight), right.to(self.product.weight))


class NeighbourProduct(nn.Module):
    """Features times spherical harmonics, summed over neighbours, into every irrep of ``out`` that they reach.

    The sum over neighbours comes before the Clebsch-Gordan product, which is linear: it is then done once for each
    atom and not for each edge.  ``features`` and ``out`` have the same number of channels of each irrep.
    """

    def __init__(self, features: Irreps, lmax: int, out: Irreps) -> None:
        super().__init__()
        self.channels = features[0].mul
        paths = [
            (a, i, b, j, c)
            for _, c in out
            for (_, a), i in zip(features, _starts(features), strict=True)
            for (_, b), j in zip(spherical(lmax), _starts(spherical(lmax)), strict=True)
            if c in a * b
        ]
        self.reached = [(c, sum(1 for path in paths if path[-1] == c)) for _, c in out]
        table = torch.zeros(features.dim // self.channels, (lmax + 1) ** 2, sum(path[-1].dim for path in paths))
        at = 0
        for a, i, b, j, c in paths:
            table[i : i + a.dim, j : j + b.dim, at : at + c.dim] = o3().wigner_3j(a.l, b.l, c.l) * c.dim**0.5
            at += c.dim
        self.table: Tensor
        self.register_buffer("table", table.flatten(0, 1), persistent=False)
        order = o3().Irreps([(self.channels * count, c) for c, count in self.reached])
        self.layout = [(mul, irrep.dim) for mul, irrep in features]
        self.mix = linear(order, out)

    def forward(self, features: Tensor, sphere: Tensor) -> Tensor:
        """Of k neighbours, features (c, k, channels, components) and harmonics (c, k, channels, sphere): (c, out)."""
        n = len(features)
        x = features.permute(0, 2, 3, 1)
        correlations = torch.matmul(x, sphere.permute(0, 2, 1, 3))
        products = correlations.flatten(2) @ self.table
        ordered = []
        sizes = [count * irrep.dim for irrep, count in self.reached]
        for (irrep, count), block in zip(self.reached, products.split(sizes, dim=-1), strict=True):
            ordered.append(block.reshape(n, self.channels, count, irrep.dim).transpose(1, 2).flatten(1))
        return self.mix(torch.cat(ordered, dim=1))

    def by_channel(self, features: Tensor) -> Tensor:
        """``(n, features)`` as (n, channels, components)."""
        blocks = features.split([mul * dim for mul, dim in self.layout], dim=-1)
        parts = [block.reshape(-1, mul, dim) for block, (mul, dim) in zip(blocks, self.layout, strict=True)]
        return torch.cat(parts, dim=-1)


def _starts(irreps: Irreps) -> list[int]:
    """Where each irrep starts in the components of one channel."""
    sizes = [irrep.dim for _, irrep in irreps]
    return [sum(sizes[:k]) for k in range(len(sizes))]


class Gate(nn.Module):
    """SiLU on 0e, tanh on 0o, and every other irrep multiplied by a sigmoid of its own 0e features."""

    def __init__(self, irreps: Irreps) -> None:
        super().__init__()
        self.slices = list(zip(irreps, irreps.slices(), strict=True))
        scalars = next(mul for mul, irrep in irreps if irrep.l == 0 and irrep.p == 1)
        gated = sum(mul for mul, irrep in irreps if irrep.l > 0)
        self.scalars = next(where for (_, irrep), where in self.slices if irrep.l == 0 and irrep.p == 1)
        self.gates = nn.Linear(scalars, gated)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, irreps)`` -> ``(n, irreps)``."""
        gates = torch.sigmoid(self.gates(x[:, self.scalars]))
        parts, at = [], 0
        for (mul, irrep), where in self.slices:
            part = x[:, where]
            if irrep.l == 0:
                parts.append(nn.functional.silu(part) if irrep.p == 1 else torch.tanh(part))
                continue
            gate = gates[:, at : at + mul].unsqueeze(-1)
            parts.append((part.reshape(len(x), mul, -1) * gate).reshape(len(x), part.shape[1]))
            at += mul
        return torch.cat(parts, dim=1)


def matrix_of_parts(trace: Tensor, axial: Tensor, tensor: Tensor) -> Tensor:
    """Matrices (..., 3, 3) of a multiple (...) of the unit matrix, an axial vector (..., 3) and an l = 2 part (..., 5).

    Rows turn like a polar vector if the parts are 0e, 1e, 2e and so do the columns; parts 0o, 1o, 2o make the columns
    axial.
    """
    unit = torch.eye(3, dtype=trace.dtype, device=trace.device)
    return trace[..., None, None] * unit + cross_matrix(axial) + symmetric_matrix(tensor)


def cross_matrix(axial: Tensor) -> Tensor:
    """Antisymmetric matrices (..., 3, 3) of vectors (..., 3): ``v -> axial x v``."""
    x, y, z = axial.unbind(-1)
    zero = torch.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def symmetric_matrix(parts: Tensor) -> Tensor:
    """Traceless symmetric matrices (..., 3, 3) of l = 2 components (..., 5), in e3nn's order and axes."""
    basis = o3().wigner_3j(2, 1, 1, dtype=parts.dtype, device=parts.device)
    return torch.einsum("...k,kij->...ij", parts, basis) * 5.0**0.5
