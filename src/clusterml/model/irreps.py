"""Irreducible representations of O(3), their Clebsch-Gordan products, and real spherical harmonics.

Notation, order of components (-l to l, the polar axis is y), phases and norms are those of e3nn (M. Geiger and
T. Smidt, arXiv 2207.09453), so that weights mean the same there; the tests compare both.  e3nn itself would cost a
command two seconds of imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from math import factorial, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Irrep(NamedTuple):
    """Angular momentum ``l`` and parity ``p`` (1 even, -1 odd)."""

    l: int
    p: int

    @property
    def dim(self) -> int:
        """Number of components."""
        return 2 * self.l + 1

    def products(self, other: Irrep) -> list[Irrep]:
        """The irreps that the product with ``other`` holds, once each."""
        return [Irrep(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1)]

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"


class MulIrrep(NamedTuple):
    """``mul`` copies of the irrep ``ir``."""

    mul: int
    ir: Irrep


class Irreps(tuple[MulIrrep, ...]):
    """A direct sum of irreps, made of ``(multiplicity, irrep)`` pairs or of a text such as ``2x0e + 3x1o``."""

    __slots__ = ()

    def __new__(cls, parts: str | Iterable[tuple[int, tuple[int, int]]]) -> Irreps:
        """The sum of ``parts``; copies of one irrep that stand apart stay apart."""
        pairs = _parsed(parts) if isinstance(parts, str) else ((mul, Irrep(*ir)) for mul, ir in parts)
        return super().__new__(cls, (MulIrrep(*pair) for pair in pairs))

    @property
    def dim(self) -> int:
        """Number of components of all."""
        return sum(mul * ir.dim for mul, ir in self)

    def holds(self, irrep: Irrep) -> bool:
        """Is there any copy of ``irrep``?"""
        return any(ir == irrep and mul > 0 for mul, ir in self)

    def __str__(self) -> str:
        return "+".join(f"{mul}x{ir}" for mul, ir in self)


def _parsed(text: str) -> Iterator[tuple[int, Irrep]]:
    for part in text.split("+"):
        mul, times, name = part.strip().rpartition("x")
        yield int(mul) if times else 1, Irrep(int(name[:-1]), {"e": 1, "o": -1}[name[-1]])


def spherical_harmonics(lmax: int, vectors: Tensor) -> Tensor:
    """Real harmonics (.., (lmax + 1)^2) of the directions of ``vectors`` (.., 3); the squares of each l sum to 2 l + 1.

    Those of a zero vector are those of l = 0 alone.
    """
    x, y, z = torch.nn.functional.normalize(vectors, dim=-1).unbind(-1)
    parts = [torch.ones_like(x).unsqueeze(-1)]
    if lmax >= 1:
        parts.append(torch.stack([sqrt(3) * x, sqrt(3) * y, sqrt(3) * z], dim=-1))
    if lmax >= 2:
        y2, x2z2 = y.pow(2), x.pow(2) + z.pow(2)
        rows = [sqrt(15) * x * z, sqrt(15) * x * y, sqrt(5) * (y2 - (1 / 2) * x2z2), sqrt(15) * y * z]
        parts.append(torch.stack([*rows, (1 / 2) * sqrt(15) * (z.pow(2) - x.pow(2))], dim=-1))
    for l in range(3, lmax + 1):
        parts.append(torch.einsum("...i,...j,ijk->...k", parts[-1], parts[1], _raising(l).to(x)))
    return torch.cat(parts, dim=-1)


@cache
def _raising(l: int) -> Tensor:
    """What makes the harmonics of l from those of l - 1 and of 1: their product, scaled to be right at the pole."""
    table = _coupling(l - 1, 1, l)
    return table * (sqrt(2 * l + 1) / (sqrt(2 * l - 1) * sqrt(3) * float(table[l - 1, 1, l])))


def wigner_3j(one: int, two: int, l: int, dtype: torch.dtype | None = None) -> Tensor:
    """Coefficients (2 ``one`` + 1, 2 ``two`` + 1, 2 ``l`` + 1) that couple two irreps to ``l``; of norm 1.

    ``dtype``: default torch's default.
    """
    return _coupling(one, two, l).to(dtype or torch.get_default_dtype())


@cache
def _coupling(one: int, two: int, l: int) -> Tensor:
    complex_table = _complex_coupling(one, two, l).to(torch.complex128)
    first, second, last = _real_to_complex(one), _real_to_complex(two), _real_to_complex(l)
    table = torch.real(torch.einsum("ij,kl,mn,ikn->jlm", first, second, torch.conj(last.T), complex_table))
    return (table / torch.norm(table)).contiguous()


def _real_to_complex(l: int) -> Tensor:
    """Unitary matrix from real to complex harmonics, with the phase (-i)^l that makes the coupling real."""
    matrix = np.zeros((2 * l + 1, 2 * l + 1), dtype=np.complex128)
    for m in range(-l, 0):
        matrix[l + m, l - m] = 1 / 2**0.5
        matrix[l + m, l + m] = -1j / 2**0.5
    matrix[l, l] = 1
    for m in range(1, l + 1):
        matrix[l + m, l + m] = (-1) ** m / 2**0.5
        matrix[l + m, l - m] = 1j * (-1) ** m / 2**0.5
    return torch.from_numpy((-1j) ** l * matrix)


def _complex_coupling(one: int, two: int, l: int) -> Tensor:
    table = torch.zeros((2 * one + 1, 2 * two + 1, 2 * l + 1), dtype=torch.float64)
    for m in range(-one, one + 1):
        for n in range(-two, two + 1):
            if abs(m + n) <= l:
                table[one + m, two + n, l + m + n] = _clebsch_gordan(one, m, two, n, l)
    return table


def _clebsch_gordan(one: int, m: int, two: int, n: int, l: int) -> float:
    """<one m, two n | l m + n> by Racah's formula."""
    f, k = factorial, m + n
    square = Fraction(
        f(l + one - two) * f(l - one + two) * f(one + two - l) * f(l + k) * f(l - k),
        f(one + two + l + 1) * f(one - m) * f(one + m) * f(two - n) * f(two + n),
    )
    total = Fraction(0)
    for v in range(max(-one + two + k, -one + m, 0), min(two + l + m, l - one + two, l + k) + 1):
        divisor = f(v) * f(l - one + two - v) * f(l + k - v) * f(v + one - two - k)
        total += (-1) ** (v + two + n) * Fraction(f(two + l + m - v) * f(one - m + v), divisor)
    return float(((2.0 * l + 1.0) * square) ** 0.5 * total)
