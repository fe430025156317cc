"""The orbital head: a learned tight-binding model, whose transitions make the spectrum.

Core atoms carry s and p shells of occupied and of virtual orbitals.  Each of these two sets has a Hamiltonian of
on-site blocks and two-centre integrals (J. C. Slater, G. F. Koster, Phys. Rev. 94, 1498 (1954)), all learned from the
network's features; operators between the sets, of one centre and of two, give the electric and magnetic moments of a
transition between an occupied and a virtual level.  Cluster orbitals that spread over the kernel, their degeneracies,
and the many transitions between them then come from the diagonalisation, as in the calculation that made the labels.
That the two sets do not mix saves counting electrons: shells that are not needed move out of the spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clusterml.config.schema import Number, Strict, Whole
from clusterml.model.blocks import Couplings, PairFactors, carried, dense, energy_blocks, energy_irreps, ranks, systems
from clusterml.model.graph import METAL
from clusterml.model.heads.head import CD_OF_MOMENT, Energy, Head, LocalMagnetic, Strength, centred
from clusterml.model.heads.registry import HeadKind
from clusterml.model.layers import Readout, matrix_of_parts
from clusterml.model.spectral import transition_density

if TYPE_CHECKING:
    from clusterml.model.spec import NetworkSpec

_SYMMETRIC = [(i, j) for i in range(3) for j in range(i, 3)]
_PRODUCTS = [*_SYMMETRIC, *((i, 3 + j) for i in range(3) for j in range(3)), *((6 + i, 6 + i) for i in range(3))]
"""Components of (P, M, vectors of epsilon) that are multiplied: P with P, P with M, and the trace for epsilon."""
_FULL = [_SYMMETRIC.index((min(i, j), max(i, j))) for i in range(3) for j in range(3)]

_GAP_STEEPNESS = 20.0
"""Gaps below about 1 / this (eV) are bent up, so that none is negative."""


Counts = Annotated[tuple[Annotated[Whole, Field(ge=0, le=8)], ...], Field(min_length=2, max_length=2)]
Energies = Annotated[tuple[Energy, ...], Field(min_length=2, max_length=2)]
_COUNTS = "two whole numbers from 0 to 8: s and p shells of a {} atom"


class ShellOptions(Strict):
    """The shells of one set of orbitals."""

    metal: Counts = Field((1, 1), description=_COUNTS.format("metal"))
    donor: Counts = Field((0, 1), description=_COUNTS.format("donor"))
    first_ev: Energies = Field(description="two energies from -100 to 100 eV: the first s and p shell")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(self.metal) or not any(self.donor):
            raise ValueError("leaves metals or donors without orbitals; give each one shell or more")
        return self


class OrbitalOptions(Strict):
    """Options of the orbital head: shells of occupied and of virtual orbitals, and how they start."""

    occupied: ShellOptions = Field(ShellOptions(first_ev=(-1.5, -2.5)), description="a mapping: occupied orbitals")
    virtual: ShellOptions = Field(ShellOptions(first_ev=(1.0, 2.5)), description="a mapping: virtual orbitals")
    shells_ev: Energy = Field(1.5, description="an energy from -100 to 100 eV: from one shell of a kind to the next")
    energy_ev: Number = Field(
        0.3, ge=0.0, le=100.0, description="an energy from 0 to 100 eV: what the surroundings change at the start"
    )
    moment: Number = Field(
        0.3, ge=0.0, le=1e3, description="a share from 0 to 1000: what the surroundings change in moments at the start"
    )
    strength: Strength = Field(
        5000.0, description="an absorption from 0 to 1e9 L mol-1 cm-1: an s-p transition of one atom at the start"
    )
    local_magnetic_a: LocalMagnetic = Field(
        1.0, description="a length from 0 to 1000 Å: size of the local magnetic operators"
    )


class OrbitalHead(Head):
    """A learned tight-binding model; see the module."""

    gives_gap = True

    def __init__(self, options: OrbitalOptions, spec: NetworkSpec, irreps: Any, grid: Tensor, sigma_ev: float) -> None:
        super().__init__()
        self.grid: Tensor
        self.products: Tensor
        self.register_buffer("grid", grid, persistent=False)
        self.register_buffer("products", torch.tensor(_PRODUCTS).T, persistent=False)
        self.sigma_ev = sigma_ev
        cutoff, n_radial = spec.graph.pair_cutoff, spec.n_radial
        self.occupied = Orbitals(irreps, options.occupied, -1.0, options, cutoff, n_radial)
        self.virtual = Orbitals(irreps, options.virtual, 1.0, options, cutoff, n_radial)
        self.operators = Operators(irreps, self.occupied.shells, self.virtual.shells, options, cutoff, n_radial)
        self.gap_shift = nn.Parameter(torch.zeros(()))

    def local(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Electric and magnetic operators (c + p, s, t, 3) of atoms and ordered pairs; those of ``epsilon``, and blocks
        of the Hamiltonians."""
        electric, magnetic, length = self.operators(graph, features)
        return electric, magnetic, (length, *self.occupied(graph, features), *self.virtual(graph, features))

    def owners(self, graph: Any) -> tuple[Tensor, Tensor]:
        """The atom itself, and both atoms of a pair."""
        own = torch.arange(len(graph.core_index), device=graph.core_index.device)
        first, second = ranks(graph)[graph.pair_index]
        return torch.cat([own, first]), torch.cat([own, second])

    def spectra(self, graph: Any, electric: Tensor, magnetic: Tensor, rest: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Spectra and tensors by name, and ``gap_ev``."""
        length, onsite_o, pairs_o, onsite_v, pairs_v = rest
        own, between = torch.cat([electric, magnetic, length], dim=-1).to(self.grid).tensor_split([len(onsite_o)])
        role = (graph.role[graph.core_index] != METAL).long()
        of_atoms = (onsite_o, onsite_v, own, self.occupied.carried[role], self.virtual.carried[role])
        of_pairs = (pairs_o, pairs_v, between)
        blocks = []
        with torch.autocast(self.grid.device.type, enabled=False):
            for (*own_h, own_w, rows, columns), (*pair_h, pair_w), i, j in systems(graph, of_atoms, of_pairs):
                kept = [torch.nonzero(carries.flatten()).flatten() for carries in (rows, columns)]
                h_o, h_v = (
                    _symmetric(dense(block, couplings, i, j), where).to(self.grid)
                    for block, couplings, where in zip(own_h, pair_h, kept, strict=True)
                )
                w = dense(own_w, pair_w, i, j)[kept[0]][:, kept[1]]
                blocks.append(transition_density(h_o, h_v, w, self.products, self.grid, self.sigma_ev))
        density, gap = (torch.stack(each) for each in zip(*blocks, strict=True))
        gap = torch.nn.functional.softplus(gap + self.gap_shift, beta=_GAP_STEEPNESS)
        return {**self._named(density), "gap_ev": gap}

    def _named(self, density: Tensor) -> dict[str, Tensor]:
        electric, magnetic, length = density.split([6, 9, 3], dim=-1)
        rotatory = CD_OF_MOMENT * self.grid[:, None, None] * magnetic.unflatten(-1, (3, 3))
        return {
            "epsilon": length.sum(-1),
            "delta_epsilon": rotatory.diagonal(dim1=-2, dim2=-1).sum(-1),
            "absorption_tensor": electric[..., _FULL].unflatten(-1, (3, 3)),
            "rotatory_tensor": rotatory,
        }


def _symmetric(h: Tensor, kept: Tensor) -> Tensor:
    return (0.5 * (h + h.T))[kept][:, kept]


class Orbitals(nn.Module):
    """Blocks of the Hamiltonian of one set of orbitals: of atoms (c, s, s) and of ordered pairs (p, s, s), in eV."""

    def __init__(
        self,
        irreps: Any,
        numbers: ShellOptions,
        sign: float,
        options: OrbitalOptions,
        cutoff: float,
        n_radial: int,
    ) -> None:
        super().__init__()
        metal, donor = numbers.metal, numbers.donor
        self.shells = (max(metal[0], donor[0]), max(metal[1], donor[1]))
        self.carried: Tensor
        self.register_buffer("carried", carried(metal, donor), persistent=False)
        a, b = self.shells
        self.energy = Readout(irreps, energy_irreps(a, b, 1))
        self.change = options.energy_ev
        step = sign * options.shells_ev
        starts = [
            first + step * torch.arange(count, dtype=torch.float64)
            for first, count in zip(numbers.first_ev, self.shells, strict=True)
        ]
        self.start_scalar, self.start_triplet = (nn.Parameter(start.expand(2, 1, -1).clone()) for start in starts)
        self.couplings = Couplings(irreps, 1, a, b, cutoff, n_radial)

    def forward(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of atoms, and of the pairs of ``graph.pair_index``."""
        role = (graph.role[graph.core_index] != METAL).long()
        x = self.change * self.energy(features)
        own = energy_blocks(x, self.start_scalar[role], self.start_triplet[role])
        return own.squeeze(1), self.couplings(graph, features).squeeze(1)


class Operators(PairFactors):
    """Electric, magnetic and (for ``epsilon``) electric operators between occupied and virtual orbitals.

    Of one atom they are built of the network's features (between p shells of all parts up to l = 1); of two atoms, of
    unit vectors u along the pair, multiplied by learned functions of the distance and of both atoms.  A magnetic
    operator is its local part plus r x P, r from the centroid to the atom or the middle of the pair.
    """

    def __init__(
        self,
        irreps: Any,
        occupied: Sequence[int],
        virtual: Sequence[int],
        options: OrbitalOptions,
        cutoff: float,
        n_radial: int,
    ) -> None:
        (a, b), (c, d) = occupied, virtual
        mixed, ss, pp = a * d + b * c, a * c, b * d
        counts = [ss + 2 * mixed + 4 * pp] * 2 + [mixed + 4 * pp]
        super().__init__(irreps, sum(counts), cutoff, n_radial)
        self.shapes, self.counts = (a, b, c, d), counts
        polar = f"{mixed}x0e + {mixed}x1e + {mixed}x2e + {ss + 3 * pp}x1o + {pp}x0o"
        axial = f"{mixed}x0o + {mixed}x1o + {mixed}x2o + {ss + 3 * pp}x1e + {pp}x0e"
        self.electric, self.length, self.magnetic = (
            Readout(irreps, polar),
            Readout(irreps, polar),
            Readout(irreps, axial),
        )
        self.start = nn.Parameter(torch.ones(2, mixed, dtype=torch.float64))
        self.strength = nn.Parameter(torch.tensor(options.strength**0.5))
        self.change, self.local = options.moment, options.local_magnetic_a

    def forward(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Electric, magnetic and length operators (c + p, s, t, 3) of atoms and pairs of ``graph.pair_index``."""
        values, unit = self.factors(graph, features)
        *polar, axial = values.split(self.counts, dim=1)
        both, cubes = unit[:, :, None] * unit[:, None, :], _polar_cubes(unit)
        electric, length = (
            self.strength
            * torch.cat([self._of_atoms(self.change * layer(features), start), self._polar(each, unit, both, cubes)])
            for layer, start, each in zip((self.electric, self.length), self.start, polar, strict=True)
        )
        own = self._of_atoms(self.change * self.magnetic(features), torch.zeros_like(self.start[0]))
        magnetic = self.strength * self.local * torch.cat([own, self._axial(axial, unit)])
        centre = centred(graph)
        first, second = ranks(graph)[graph.pair_index]
        middle = torch.cat([centre, 0.5 * (centre[first] + centre[second])])
        magnetic = magnetic + torch.linalg.cross(middle[:, None, None].expand_as(electric), electric, dim=-1)
        return electric, magnetic, length

    def _of_atoms(self, x: Tensor, start: Tensor) -> Tensor:
        """(n, s, t, 3) of one atom; s-p blocks are about ``start`` times the unit matrix."""
        a, b, c, d = self.shapes
        mixed, ss, pp, n = a * d + b * c, a * c, b * d, len(x)
        sizes = [mixed, 3 * mixed, 5 * mixed, 3 * (ss + 3 * pp), pp]
        trace, axial, tensor, vectors, twist = torch.split(x, sizes, dim=1)
        matrices = matrix_of_parts(trace + start, axial.unflatten(1, (mixed, 3)), tensor.unflatten(1, (mixed, 5)))
        own, three = vectors.unflatten(1, (-1, 3)).split([ss, 3 * pp], dim=1)
        j, k, l = three.unflatten(1, (3, pp)).unbind(1)
        eye, levi = _unit(x), _levi_civita(x)
        cubes = torch.einsum("nqz,jk->nqjkz", j, eye) + torch.einsum("nqk,jz->nqjkz", k, eye)
        cubes = cubes + torch.einsum("nqj,kz->nqjkz", l, eye) + torch.einsum("nq,jkz->nqjkz", twist, levi)
        return self._assembled(own.reshape(n, a, c, 3), matrices, cubes)

    def _polar(self, factors: Tensor, unit: Tensor, both: Tensor, shapes: Tensor) -> Tensor:
        """(p, s, t, 3) of pairs for a polar operator; ``both`` (p, 3, 3): products of ``unit``, ``shapes``: see
        :func:`_polar_cubes`."""
        a, b, c, d = self.shapes
        mixed, pp, n = a * d + b * c, b * d, len(unit)
        own, across, along, cubes = factors.split([a * c, mixed, mixed, 4 * pp], dim=1)
        matrices = across[..., None, None] * _unit(unit) + along[..., None, None] * both[:, None]
        scalars = (own.unsqueeze(-1) * unit.unsqueeze(1)).reshape(n, a, c, 3)
        return self._assembled(scalars, matrices, _cubes(cubes, shapes))

    def _axial(self, factors: Tensor, unit: Tensor) -> Tensor:
        """(p, s, t, 3) of pairs for an axial operator."""
        a, b, c, d = self.shapes
        mixed, pp, n = a * d + b * c, b * d, len(unit)
        turned, cubes = factors.split([mixed, 4 * pp], dim=1)
        levi = _levi_civita(unit)
        cross = torch.einsum("kzw,pw->pkz", levi, unit)
        matrices = turned[..., None, None] * cross[:, None]
        shapes = [
            levi.expand(n, 3, 3, 3),
            cross[:, :, :, None] * unit[:, None, None, :],
            cross[:, :, None, :] * unit[:, None, :, None],
            cross[:, None, :, :] * unit[:, :, None, None],
        ]
        return self._assembled(unit.new_zeros(n, a, c, 3), matrices, _cubes(cubes, _stacked(shapes)))

    def _assembled(self, scalars: Tensor, matrices: Tensor, cubes: Tensor) -> Tensor:
        """Blocks (n, a, c, 3) of s with s, (n, a d + b c, 3, 3) of s with p and p with s, and (n, b d, 3, 3, 3)."""
        a, b, c, d = self.shapes
        n = len(scalars)
        s_p, p_s = matrices.split([a * d, b * c], dim=1)
        upper = torch.cat([scalars, s_p.reshape(n, a, 3 * d, 3)], dim=2)
        left = p_s.reshape(n, b, c, 3, 3).transpose(2, 3).reshape(n, 3 * b, c, 3)
        right = cubes.reshape(n, b, d, 3, 3, 3).transpose(2, 3).reshape(n, 3 * b, 3 * d, 3)
        return torch.cat([upper, torch.cat([left, right], dim=2)], dim=1)


def _polar_cubes(unit: Tensor) -> Tensor:
    """The four tensors (p, 4, 27) of third rank that unit vectors (p, 3) and the unit matrix make."""
    eye, both = _unit(unit), unit[:, :, None] * unit[:, None, :]
    shapes = [
        both[:, :, :, None] * unit[:, None, None, :],
        eye[None, :, :, None] * unit[:, None, None, :],
        eye[None, :, None, :] * unit[:, None, :, None],
        eye[None, None, :, :] * unit[:, :, None, None],
    ]
    return _stacked(shapes)


def _stacked(shapes: Sequence[Tensor]) -> Tensor:
    return torch.stack([shape.flatten(1) for shape in shapes], dim=1)


def _cubes(factors: Tensor, shapes: Tensor) -> Tensor:
    """(n, q, 3, 3, 3) of ``factors`` (n, q k) and k ``shapes`` (n, k, 27)."""
    return (factors.unflatten(1, (-1, shapes.shape[1])) @ shapes).unflatten(2, (3, 3, 3))


def _unit(like: Tensor) -> Tensor:
    return torch.eye(3, dtype=like.dtype, device=like.device)


def _levi_civita(like: Tensor) -> Tensor:
    """The antisymmetric tensor (3, 3, 3)."""
    unit = _unit(like)
    return torch.linalg.cross(unit[:, None, :].expand(3, 3, 3), unit[None, :, :].expand(3, 3, 3), dim=-1)


HEADS = (HeadKind("orbital", "a learned tight-binding model", OrbitalOptions, OrbitalHead),)
