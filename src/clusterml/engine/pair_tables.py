"""One-electron integrals from tables of atom pairs: what libcint computes, interpolated and turned, many times faster.

Between two atoms an integral depends on their elements and distance alone once the axis through them is z: J. C.
Slater, G. F. Koster, Phys. Rev. 94, 1498 (1954).  Each pair of elements has a table of overlap, kinetic energy, dipole,
gradient and angular momentum, the last three about the first atom, over the distances (libcint makes it, on first use),
of which cubic splines are taken.  Functions turn with their angular momentum, the three components of an operator as a
vector; then dipole and angular momentum move to the common origin.  Errors are those of the splines, 1e-6 of an
integral.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.basis import Basis, Shell, gfn_atom_shells
from clusterml.engine.cost import number_of_functions_of
from clusterml.spectrum.curves import spline_derivatives
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    import torch

_STEP_BOHR = 0.08
_FIRST_BOHR = 0.4
_NEGLIGIBLE = 1e-7
"""A table ends where all its integrals are smaller."""
_LONGEST_BOHR = 45.0
_TOGETHER = 100_000
"""Integrals that are made at a time: what fits into a processor's cache."""
_SCALARS, _OPERATORS = 2, 11
"""Overlap and kinetic energy, and three components each of dipole, gradient and angular momentum."""


@dataclass(frozen=True)
class OneElectron:
    """Integrals over the functions of a basis, as :mod:`clusterml.engine.integrals` gives them: ``overlap`` and
    ``kinetic`` (n, n), ``dipole``, ``gradient`` and ``angular`` (3, n, n), in atomic units."""

    overlap: torch.Tensor
    kinetic: torch.Tensor
    dipole: torch.Tensor
    gradient: torch.Tensor
    angular: torch.Tensor


@dataclass(frozen=True)
class _Table:
    """Spline coefficients (4, k, m) over k intervals of the m integrals that do not vanish, at ``where`` (m,) in
    ``shape``: functions of the first atom, operators, functions of the second."""

    coefficients: torch.Tensor
    where: torch.Tensor
    shape: tuple[int, int, int]

    def at(self, distance: torch.Tensor) -> torch.Tensor:
        """Integrals (p, a, operators, b) of pairs at ``distance`` (p,) in bohr along z; zero beyond the table."""

        place = ((distance - _FIRST_BOHR) / _STEP_BOHR).clamp_min(0.0)
        number = place.long().clamp_max(self.coefficients.shape[1] - 1)
        x = (place - number)[:, None]
        cubic, square, slope, value = (c[number] for c in self.coefficients)
        values = ((cubic * x + square) * x + slope) * x + value
        values[place >= self.coefficients.shape[1]] = 0.0
        whole = values.new_zeros(len(distance), int(np.prod(self.shape)))
        return whole.index_copy_(1, self.where, values).unflatten(1, self.shape)


@lru_cache(maxsize=512)
def _table(first: str, second: str, dtype: torch.dtype) -> _Table:
    """The table of two elements of the GFN1 basis."""
    import torch

    distances = _distances()
    values = _along_z(gfn_atom_shells(0, first, "gfn1"), gfn_atom_shells(1, second, "gfn1"), distances)
    size = np.abs(values).reshape(len(values), -1)
    where = np.flatnonzero(size.max(axis=0) > 1e-12)
    last = min(int(np.flatnonzero(size.max(axis=1) > _NEGLIGIBLE)[-1]) + 2, len(distances) - 1)
    y = values.reshape(len(values), -1)[:, where]
    slopes, rise = _spline() @ y, np.diff(y, axis=0)
    cubics = [slopes[:-1] + slopes[1:] - 2.0 * rise, 3.0 * rise - 2.0 * slopes[:-1] - slopes[1:], slopes[:-1], y[:-1]]
    return _Table(torch.as_tensor(np.stack(cubics)[:, :last]).to(dtype), torch.as_tensor(where), values.shape[1:])


def _distances() -> FloatArray:
    """Distances (k,) of all tables, in bohr."""
    return np.arange(_FIRST_BOHR, _LONGEST_BOHR, _STEP_BOHR)


@lru_cache(maxsize=1)
def _spline() -> FloatArray:
    """The matrix (k, k) from values at the distances to derivatives of their splines, per step."""
    steps = np.arange(len(_distances()), dtype=np.float64)
    return spline_derivatives(steps, np.eye(len(steps)))


def _along_z(first: Sequence[Shell], second: Sequence[Shell], distances: FloatArray) -> FloatArray:
    """Integrals (k, a, operators, b) of an atom at the origin with one at each of ``distances`` (k,) along z."""
    k = len(distances)
    coords = np.zeros((k + 1, 3))
    coords[1:, 2] = distances
    copies = [Shell(atom, shell.l, shell.exponents, shell.coefficients) for atom in range(1, k + 1) for shell in second]
    pair = Basis(coords, (*first, *copies))
    blocks = np.concatenate([x.reshape(-1, *x.shape[-2:]) for x in integrals.rows(pair, len(first))])
    a = sum(2 * shell.l + 1 for shell in first)
    return np.ascontiguousarray(blocks[:, :, a:].reshape(_OPERATORS, a, k, -1).transpose(2, 1, 0, 3))


@lru_cache(maxsize=128)
def _own(symbol: str) -> FloatArray:
    """Integrals (a, operators, a) of an atom with itself, about its centre."""
    atom = Basis(np.zeros((1, 3)), tuple(gfn_atom_shells(0, symbol, "gfn1")))
    blocks = [x.reshape(-1, *x.shape[-2:]) for x in integrals.rows(atom, len(atom.shells))]
    return np.concatenate(blocks).transpose(1, 0, 2)


def one_electron(symbols: Sequence[str], coords_bohr: FloatArray, dtype: torch.dtype) -> OneElectron:
    """The integrals over the GFN1 basis of atoms at ``coords_bohr`` (n_atoms, 3), about the coordinate origin.

    The atoms of an element stand one after the other (``symbols`` sorted), so that blocks are written as a whole.
    """
    import torch

    places, labels = torch.as_tensor(coords_bohr), np.array(symbols)
    sizes = {symbol: number_of_functions_of(symbol) for symbol in dict.fromkeys(symbols)}
    ends = np.cumsum([0, *(sizes[symbol] for symbol in symbols)])
    out = torch.zeros(_OPERATORS, ends[-1], ends[-1], dtype=dtype)
    signs = torch.tensor(_SIGNS, dtype=dtype)[:, None, None]
    for first, second in combinations_with_replacement(sizes, 2):
        one, other = np.flatnonzero(labels == first), np.flatnonzero(labels == second)
        few = max(1, _TOGETHER // (_OPERATORS * sizes[first] * sizes[second] * len(other)))
        for some in np.split(one, range(few, len(one), few)):
            rest = other[other >= some[0]] if first == second else other
            rows, columns = slice(ends[some[0]], ends[some[-1] + 1]), slice(ends[rest[0]], ends[rest[-1] + 1])
            block = _between(places[some], places[rest], (first, second), dtype)
            out[:, rows, columns] = block
            out[:, columns, rows] = signs * block.mT
    return OneElectron(out[0], out[1], *out[_SCALARS:].split(3))


def _between(one: torch.Tensor, other: torch.Tensor, elements: tuple[str, str], dtype: torch.dtype) -> torch.Tensor:
    """Integrals (operators, n a, m b) of all atoms of an element at ``one`` (n, 3) with those of another at ``other``
    (m, 3), about the origin; of the same element also those of an atom with itself."""
    import torch

    n, m = len(one), len(other)
    vectors = (other[None] - one[:, None]).flatten(0, 1)
    distance = torch.linalg.vector_norm(vectors, dim=1)
    same = distance == 0.0
    unit = torch.where(same[:, None], torch.tensor([0.0, 0.0, 1.0], dtype=vectors.dtype), vectors)
    turns = _frames(unit / torch.linalg.vector_norm(unit, dim=1, keepdim=True)).to(dtype)
    left, right = (_turned_functions(symbol, turns) for symbol in elements)
    blocks = _table(*elements, dtype).at(distance.to(dtype))
    p, a, k, b = blocks.shape
    blocks = (left @ blocks.flatten(2)).reshape(p, a * k, b) @ right.mT
    blocks = blocks.reshape(p, a, k, b)
    vector = blocks[:, :, _SCALARS:].reshape(p, a, 3, 3, b)
    turned = torch.einsum("pxy,pakyb->pakxb", turns, vector).reshape(p, a, 9, b)
    blocks = torch.cat([blocks[:, :, :_SCALARS], turned], dim=2)
    if elements[0] == elements[1]:
        blocks[same] = torch.as_tensor(_own(elements[0])).to(dtype)
    centres = one.to(dtype)[:, None].expand(n, m, 3).reshape(p, 1, 3, 1)
    _move(blocks, centres)
    return blocks.reshape(n, m, a, k, b).permute(3, 0, 2, 1, 4).reshape(k, n * a, m * b)


def _frames(unit: torch.Tensor) -> torch.Tensor:
    """Rotations (p, 3, 3) that take z to ``unit`` (p, 3)."""
    import torch

    eye = torch.eye(3, dtype=unit.dtype)
    aside = torch.where((unit[:, 2:].abs() < 0.8), eye[2], eye[0])
    x = torch.linalg.cross(aside, unit)
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return torch.stack([x, torch.linalg.cross(unit, x), unit], dim=2)


def _d_matrices(dtype: torch.dtype) -> torch.Tensor:
    """The five d functions (5, 3, 3) in libcint's order as symmetric matrices of norm 1."""
    import torch

    q = torch.zeros(5, 3, 3, dtype=dtype)
    half, sixth = 0.5**0.5, 6.0**-0.5
    for m, x, y in ((0, 0, 1), (1, 1, 2), (3, 0, 2)):
        q[m, x, y] = q[m, y, x] = half
    q[2] = torch.diag(torch.tensor([-sixth, -sixth, 2.0 * sixth], dtype=dtype))
    q[4] = torch.diag(torch.tensor([half, -half, 0.0], dtype=dtype))
    return q


def _turned_functions(symbol: str, turns: torch.Tensor) -> torch.Tensor:
    """Matrices (p, a, a) of the functions of an atom under ``turns`` (p, 3, 3)."""
    import torch

    size = number_of_functions_of(symbol)
    out = turns.new_zeros(len(turns), size, size)
    start = 0
    for shell in gfn_atom_shells(0, symbol, "gfn1"):
        stop = start + 2 * shell.l + 1
        if shell.l == 0:
            out[:, start, start] = 1.0
        elif shell.l == 1:
            out[:, start:stop, start:stop] = turns
        else:
            q = _d_matrices(turns.dtype)
            half = torch.einsum("pxy,myz->pmxz", turns, q) @ turns.mT[:, None]
            out[:, start:stop, start:stop] = (half.flatten(2) @ q.flatten(1).T).mT
        start = stop
    return out


def _move(blocks: torch.Tensor, centres: torch.Tensor) -> None:
    """Make ``blocks`` (p, a, operators, b) about the atoms at ``centres`` (p, 1, 3, 1) those about the origin:
    r = (r - A) + A, r x nabla = (r - A) x nabla + A x nabla."""
    dipole, gradient, angular = blocks[:, :, _SCALARS:].split(3, dim=2)
    dipole.addcmul_(centres, blocks[:, :, :1])
    for x in range(3):
        y, z = (x + 1) % 3, (x + 2) % 3
        component = angular[:, :, x]
        component.addcmul_(centres[:, :, y], gradient[:, :, z])
        component.addcmul_(centres[:, :, z], gradient[:, :, y], value=-1.0)


_SIGNS = (1.0,) * 5 + (-1.0,) * 6
"""Of the transpose: gradient and angular momentum are antisymmetric."""
