"""The layers of the network: radial functions, and features of O(3) irreps mixed, multiplied and gated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise, product
from typing import Any

import torch
from torch import Tensor, nn

from clusterml.model.irreps import Irreps, spherical_harmonics, wigner_3j


class RadialBasis(nn.Module):
    """``n`` spherical Bessel functions sin(k pi x) / r of x = r / cutoff, times the envelope.

    J. Gasteiger, J. Gross, S. Günnemann, ICLR 2020 (arXiv:2003.03123), equation 7.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.frequency: Tensor
        self.register_buffer("frequency", torch.pi * torch.arange(1, n + 1, dtype=torch.float64), persistent=False)

    def forward(self, distance: Tensor, cutoff: Tensor | float) -> Tensor:
        """Values (e, n) at ``distance`` (e,), both in A; zero at ``cutoff`` (e,) with two derivatives."""
        x = (distance / cutoff).unsqueeze(-1)
        waves = torch.sin(self.frequency.to(distance) * x) / (distance.unsqueeze(-1) / 2.0)
        return waves * envelope(x)


def envelope(x: Tensor) -> Tensor:
    """1 at 0, 0 at 1 and beyond, where two derivatives vanish: the polynomial of the same paper with p = 6, eq. 8."""
    y = x.clamp(max=1.0)
    return 1.0 - 28.0 * y**6 + 48.0 * y**7 - 21.0 * y**8


class Mlp(nn.Sequential):
    """Linear layers of the given ``sizes`` with SiLU between them."""

    def __init__(self, *sizes: int, last_bias: bool = True) -> None:
        layers: list[nn.Module] = []
        for k, (n_in, n_out) in enumerate(pairwise(sizes)):
            last = k == len(sizes) - 2
            layers.append(nn.Linear(n_in, n_out, bias=last_bias or not last))
            if not last:
                layers.append(nn.SiLU())
        super().__init__(*layers)


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
    return Irreps((channels, irrep) for irrep in order)


def spherical(lmax: int) -> Irreps:
    """Irreps of the spherical harmonics up to ``lmax``."""
    return Irreps((1, (l, (-1) ** l)) for l in range(lmax + 1))


def harmonics(lmax: int, vectors: Tensor) -> Tensor:
    """Real spherical harmonics (e, (lmax + 1)^2) of the directions of ``vectors`` (e, 3), norm-component scaled."""
    return spherical_harmonics(lmax, vectors)


class _Layer(nn.Module):
    """A layer with one flat ``weight``, in the order and with the scale that e3nn has for the same layer.

    Features are tensors (d, n, channels): the components of all irreps one after the other, atoms, and channels, of
    which every irrep has the same number.  So a layer is a few matrix products over whole rows.
    """

    weight: nn.Parameter

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take weights of e3nn's own layers too, which earlier networks had, and drop what these kept beside them."""
        for older in (f"{prefix}product.weight", f"{prefix}mix.weight"):
            if older in state_dict:
                state_dict[f"{prefix}weight"] = state_dict.pop(older)
        for key in [key for key in state_dict if key.startswith(prefix)]:
            if key.removeprefix(prefix).startswith(("bias", "output_mask", "product.", "mix.")):
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _constant(self, name: str, values: Any) -> None:
        self.register_buffer(name, values if isinstance(values, Tensor) else torch.tensor(values), persistent=False)


class Linear(_Layer):
    """Mixes the channels of each irrep; irreps that only ``irreps_out`` has become zero."""

    source: Tensor
    target: Tensor
    block: Tensor

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps) -> None:
        super().__init__()
        common = [irrep for _, irrep in irreps_in if irreps_out.holds(irrep)]
        self.n_in, self.n_out = irreps_in[0].mul, irreps_out[0].mul
        self.size, starts = irreps_out.dim // self.n_out, (starts_of(irreps_in), starts_of(irreps_out))
        self.weight = nn.Parameter(torch.randn(len(common) * self.n_in * self.n_out))
        for name, start in zip(("source", "target"), starts, strict=True):
            self._constant(name, [start[irrep] + m for irrep in common for m in range(irrep.dim)])
        self._constant("block", [k for k, irrep in enumerate(common) for _ in range(irrep.dim)])
        self.same = irreps_in == irreps_out

    def forward(self, features: Tensor) -> Tensor:
        """``(d, n, channels)`` -> the same of ``irreps_out``."""
        with torch.autocast(features.device.type, enabled=False):
            blocks = self.weight.reshape(-1, self.n_in, self.n_out) / self.n_in**0.5
            x = features.to(blocks)
            y = torch.bmm(x if self.same else x.index_select(0, self.source), blocks.index_select(0, self.block))
            return y if self.same else y.new_zeros(self.size, *y.shape[1:]).index_copy(0, self.target, y)


class Readout(_Layer):
    """Features to ``irreps_out``, any numbers of any irreps, as rows (n, dim) in e3nn's order for a head to take."""

    def __init__(self, irreps_in: Irreps, irreps_out: str) -> None:
        super().__init__()
        out = Irreps(irreps_out)
        self.n_in, starts = irreps_in[0].mul, starts_of(irreps_in)
        self.blocks = [(mul, irrep.dim, starts.get(irrep)) for mul, irrep in out]
        order = [irrep for _, irrep in irreps_in]
        matches = [(order.index(irrep), k) for k, (mul, irrep) in enumerate(out) if irrep in order and mul]
        self.order = [k for _, k in sorted(matches)]  # e3nn's weights follow the irreps of the input
        self.weight = nn.Parameter(torch.randn(self.n_in * sum(out[k].mul for k in self.order)))

    def forward(self, features: Tensor) -> Tensor:
        """``(d, n, channels)`` -> ``(n, irreps_out)``."""
        with torch.autocast(features.device.type, enabled=False):
            x, n = features.to(self.weight), features.shape[1]
            sizes = [self.n_in * self.blocks[k][0] for k in self.order]
            weights = dict(zip(self.order, (self.weight / self.n_in**0.5).split(sizes), strict=True))
            parts = []
            for k, (mul, dim, start) in enumerate(self.blocks):
                if k not in weights or start is None:
                    parts.append(x.new_zeros(n, mul * dim))
                    continue
                y = x[start : start + dim] @ weights[k].reshape(self.n_in, mul)
                parts.append(y.permute(1, 2, 0).reshape(n, mul * dim))
            return torch.cat(parts, dim=1)


class ChannelProduct(_Layer):
    """Products of two features channel by channel, into every irrep of ``out`` that they reach: the next body order.

    ``left``, ``right`` and ``out`` have the same number of channels of each irrep; every path has a weight for each
    channel.
    """

    path: Tensor
    scale: Tensor
    total: Tensor

    def __init__(self, left: Irreps, right: Irreps, out: Irreps) -> None:
        super().__init__()
        self.channels = out[0].mul
        paths = [(a, b, c) for _, a in left for _, b in right for _, c in out if c in a.products(b)]
        self.weight = nn.Parameter(torch.randn(len(paths) * self.channels))
        fan_in = Counter(c for *_, c in paths)
        starts = starts_of(out)
        self.pairs: list[tuple[slice, slice, tuple[int, ...]]] = []
        rows: list[tuple[int, int]] = []  # of each row of products: its path, and its component of ``out``
        for (one, p, first), (two, q, second) in product(_levels(left), _levels(right)):
            reached = [
                l for l in range(abs(one - two), one + two + 1) if any((one, two, l) == _ls(path) for path in paths)
            ]
            if not reached:
                continue
            table = [_clebsch_gordan(one, two, l).flatten(0, 1).T for l in reached]
            self._constant(f"table_{len(self.pairs)}", torch.cat(table))
            shape = (len(p), len(q), 2 * one + 1, 2 * two + 1)
            self.pairs.append((first, second, shape))
            for u, v, l in product(p, q, reached):
                matches = [
                    k for k, (a, b, c) in enumerate(paths) if (_ls((a, b, c)), a.p, b.p) == ((one, two, l), u, v)
                ]
                rows += [
                    (matches[0], starts[paths[matches[0]][2]] + m) if matches else (-1, 0) for m in range(2 * l + 1)
                ]
        self._constant("path", [max(k, 0) for k, _ in rows])
        size = [0.0 if k < 0 else (paths[k][2].dim / fan_in[paths[k][2]]) ** 0.5 for k, _ in rows]
        self._constant("scale", torch.tensor(size)[:, None])
        self._constant("total", _sums([m for _, m in rows], out.dim // self.channels))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """``(d, n, channels)`` of ``left`` and of ``right`` -> ``(d, n, channels)`` of ``out``."""
        with torch.autocast(left.device.type, enabled=False):
            x, y, n = left.to(self.weight), right.to(self.weight), left.shape[1]
            rows = []
            for k, (first, second, (p, q, d, e)) in enumerate(self.pairs):
                a, b = x[first].reshape(p, 1, d, 1, -1), y[second].reshape(1, q, 1, e, -1)
                rows.append((getattr(self, f"table_{k}") @ (a * b).view(p * q, d * e, -1)).flatten(0, 1))
            weights = (self.weight.reshape(-1, 1, self.channels).index_select(0, self.path)) * self.scale[:, None]
            products = torch.cat(rows).view(len(self.path), n, self.channels) * weights
            return (self.total @ products.flatten(1)).view(-1, n, self.channels)


class NeighbourProduct(_Layer):
    """Features times spherical harmonics, summed over neighbours, into every irrep of ``out`` that they reach.

    The sum over neighbours comes before the Clebsch-Gordan product, which is linear: it is then done once for each
    atom and not for each edge.  ``features`` and ``out`` have the same number of channels of each irrep.
    """

    order: Tensor
    table: Tensor
    path: Tensor
    scale: Tensor
    total: Tensor

    def __init__(self, features: Irreps, lmax: int, out: Irreps) -> None:
        super().__init__()
        self.channels = features[0].mul
        sphere = [irrep for _, irrep in spherical(lmax)]
        paths = [(a, b, c) for _, c in out for _, a in features for b in sphere if c in a.products(b)]
        self.weight = nn.Parameter(torch.randn(len(paths) * self.channels**2))
        fan_in = Counter(c for *_, c in paths)
        starts, ends = starts_of(features), starts_of(out)
        # irreps of natural parity, and those of the other one: their products with harmonics share one table
        kinds = [[a for _, a in features if a.p * (-1) ** a.l == natural] for natural in (1, -1)]
        self.kinds = [kind for kind in kinds if kind]
        self._constant("order", [starts[a] + m for kind in self.kinds for a in kind for m in range(a.dim)])
        degrees = [a.l for a in self.kinds[0]]
        triples = sorted({_ls(path) for path in paths})
        columns, rows = [], list[tuple[int, int]]()
        for one, two, l in triples:
            column = torch.zeros(sum(2 * k + 1 for k in degrees), (lmax + 1) ** 2, 2 * l + 1)
            at = sum(2 * k + 1 for k in degrees if k < one)
            place = slice(at, at + 2 * one + 1), slice(two**2, (two + 1) ** 2)
            column[place] = _clebsch_gordan(one, two, l) * (2 * l + 1) ** 0.5
            columns.append(column.flatten(0, 1))
        self._constant("table", torch.cat(columns, dim=1))
        for kind, triple in product(self.kinds, triples):
            matches = [k for k, path in enumerate(paths) if path[0] in kind and _ls(path) == triple]
            rows += [
                (matches[0], ends[paths[matches[0]][2]] + m) if matches else (-1, 0) for m in range(2 * triple[2] + 1)
            ]
        self._constant("path", [max(k, 0) for k, _ in rows])
        size = [0.0 if k < 0 else (self.channels * fan_in[paths[k][2]]) ** -0.5 for k, _ in rows]
        self._constant("scale", torch.tensor(size)[:, None, None])
        self._constant("total", _sums([m for _, m in rows], out.dim // self.channels))

    def forward(self, features: Tensor, sender: Tensor, sphere: Tensor) -> Tensor:
        """Of features (d, m, channels), each of n atoms sees k: ``sender`` (n, k), with harmonics ``sphere``
        (channels, n k, (lmax + 1)^2): (d, n, channels) of ``out``."""
        n, k = sender.shape
        by_channel = features.index_select(0, self.order).permute(2, 1, 0).contiguous()
        seen = by_channel.index_select(1, sender.flatten()).view(self.channels * n, k, len(self.order))
        correlations = torch.bmm(seen.transpose(1, 2), sphere.reshape(self.channels * n, k, sphere.shape[-1]))
        products = correlations.view(self.channels * n, len(self.kinds), -1) @ self.table.to(correlations)
        with torch.autocast(features.device.type, enabled=False):
            blocks = self.weight.reshape(-1, self.channels, self.channels).index_select(0, self.path) * self.scale
            rows = products.view(self.channels, n, -1).permute(2, 1, 0).to(blocks)
            return (self.total @ torch.bmm(rows, blocks).flatten(1)).view(-1, n, self.channels)


class Gate(nn.Module):
    """SiLU on 0e, tanh on 0o, and every other irrep multiplied by a sigmoid of its own 0e features."""

    owner: Tensor

    def __init__(self, irreps: Irreps) -> None:
        super().__init__()
        self.channels = irreps[0].mul
        gated = [irrep for _, irrep in irreps if irrep.l > 0]
        self.scalars = len(irreps) - len(gated)
        owner = [k for k, irrep in enumerate(gated) for _ in range(irrep.dim)]
        self.register_buffer("owner", torch.tensor(owner), persistent=False)
        self.gates = nn.Linear(self.channels, len(gated) * self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(d, n, channels)`` -> the same."""
        gates = torch.sigmoid(self.gates(x[0])).unflatten(1, (-1, self.channels)).permute(1, 0, 2)
        even, odd, rest = x[:1], x[1 : self.scalars], x[self.scalars :]
        return torch.cat([nn.functional.silu(even), torch.tanh(odd), rest * gates.index_select(0, self.owner)])


def starts_of(irreps: Irreps) -> dict[Any, int]:
    """Where the components of each irrep start among those of features."""
    sizes = [irrep.dim for _, irrep in irreps]
    return {irrep: sum(sizes[:k]) for k, (_, irrep) in enumerate(irreps)}


def times_harmonics(weights: Tensor, sphere: Tensor) -> Tensor:
    """``weights`` (.., lmax + 1) of each l times harmonics ``sphere`` (.., (lmax + 1)^2), broadcast."""
    degrees = range(weights.shape[-1])
    return torch.cat([weights[..., l : l + 1] * sphere[..., l * l : (l + 1) ** 2] for l in degrees], dim=-1)


def _levels(irreps: Irreps) -> list[tuple[int, tuple[int, ...], slice]]:
    """For each l its parities and where their components are."""
    starts = starts_of(irreps)
    matches = []
    for l, group in groupby((irrep for _, irrep in irreps), key=lambda irrep: irrep.l):
        own = list(group)
        matches.append((l, tuple(irrep.p for irrep in own), slice(starts[own[0]], starts[own[-1]] + own[-1].dim)))
    return matches


def _ls(path: tuple[Any, Any, Any]) -> tuple[int, int, int]:
    return path[0].l, path[1].l, path[2].l


def _clebsch_gordan(one: int, two: int, l: int) -> Tensor:
    return wigner_3j(one, two, l)


def _sums(targets: list[int], size: int) -> Tensor:
    """The matrix (size, rows) that adds each row to its target."""
    return nn.functional.one_hot(torch.tensor(targets), size).T.to(torch.get_default_dtype())


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
    basis = wigner_3j(2, 1, 1, parts.dtype).to(parts.device)
    return torch.einsum("...k,kij->...ij", parts, basis) * 5.0**0.5
