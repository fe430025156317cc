"""The resolvent head: an exciton model, whose oscillators on core atoms a learned Hamiltonian couples.

A generalisation of the coupled-oscillator theory of optical activity (H. DeVoe, J. Chem. Phys. 43, 3199 (1965)): an
oscillator is a scalar (0e) with electric vector p and magnetic vector m, or a polar triplet (1o), which an isotropic
atom needs, with 3 x 3 matrices in their place.  Energies, couplings and moments come from the network's features, as
equivariant blocks; couplings between atoms have the two-centre form of J. C. Slater, G. F. Koster, Phys. Rev. 94, 1498
(1954).  Delocalised and near-degenerate cluster states come from the diagonalisation, and the non-local part of the
magnetic moments, r x p, from the positions.  Oscillators come in several *bands* that do not couple with each
other: matrices of k bands cost k small diagonalisations instead of a large one.  Where
spectra start from a response, every second band counts negative: corrections have both signs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from clusterml.config.schema import Number, Strict, Whole
from clusterml.model.blocks import Couplings, carried, dense, energy_blocks, energy_irreps, systems
from clusterml.model.graph import METAL
from clusterml.model.heads.head import Energy, Head, LocalMagnetic, Strength, centred, spectra_of_density
from clusterml.model.heads.registry import HeadKind
from clusterml.model.layers import Readout, matrix_of_parts
from clusterml.model.spectral import densities_of

if TYPE_CHECKING:
    from clusterml.model.spec import NetworkSpec

Count = Annotated[Whole, Field(ge=0, le=64)]
_COUNT = "a whole number from 0 to 64: {} oscillators of a {} atom in each band"


class ResolventOptions(Strict):
    """Options of the resolvent head: bands, and the oscillators in each, of metals and donors."""

    bands: Whole = Field(6, ge=1, le=64, description="a whole number from 1 to 64: Hamiltonians that do not couple")
    scalar: Count = Field(0, description=_COUNT.format("scalar", "metal"))
    triplet: Count = Field(1, description=_COUNT.format("triplet", "metal"))
    donor_scalar: Count = Field(0, description=_COUNT.format("scalar", "donor"))
    donor_triplet: Count = Field(1, description=_COUNT.format("triplet", "donor"))
    first_ev: Energy = Field(1.5, description="an energy from -100 to 100 eV: where the oscillators start")
    last_ev: Energy = Field(7.0, description="an energy from -100 to 100 eV: where the oscillators end")
    energy_ev: Number = Field(
        0.3, ge=0.0, le=100.0, description="an energy from 0 to 100 eV: what the surroundings change at the start"
    )
    strength: Strength = Field(
        500.0, description="an absorption from 0 to 1e9 L mol-1 cm-1 eV of an oscillator at the start"
    )
    local_magnetic_a: LocalMagnetic = Field(
        1.0, description="a length from 0 to 1000 Å: size of local magnetic vectors"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.scalar or self.triplet or self.donor_scalar or self.donor_triplet):
            raise ValueError("leaves all atoms without oscillators; give metals or donors one or more")
        return self


class ResolventHead(Head):
    """Oscillators of the core atoms, coupled into cluster states; see the module."""

    def __init__(
        self, options: ResolventOptions, spec: NetworkSpec, irreps: Any, grid: Tensor, sigma_ev: float
    ) -> None:
        super().__init__()
        self.grid: Tensor
        self.register_buffer("grid", grid, persistent=False)
        self.sigma_ev = sigma_ev
        self.n_scalar, self.n_triplet = options.scalar, options.triplet
        self.bands, self.size = options.bands, self.n_scalar + 3 * self.n_triplet
        signs = torch.ones(options.bands)
        if spec.start != "zero":
            signs[1::2] = -1.0
        self.signs: Tensor
        self.register_buffer("signs", signs, persistent=False)
        donor = (options.donor_scalar, options.donor_triplet)
        self.carried: Tensor
        self.register_buffer("carried", carried((self.n_scalar, self.n_triplet), donor), persistent=False)
        self.sites = Sites(irreps, self.n_scalar, self.n_triplet, options)
        self.couplings = Couplings(
            irreps, self.bands, self.n_scalar, self.n_triplet, spec.graph.pair_cutoff, spec.n_radial
        )

    def local(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Electric and magnetic vectors (c, bands, s, 3) of oscillators; those of ``epsilon``, and blocks of the
        Hamiltonians."""
        onsite, electric, magnetic, length = self.sites(features)
        radius = centred(graph)[:, None, None].expand_as(electric)
        magnetic = magnetic + torch.linalg.cross(radius, electric, dim=-1)
        return electric, magnetic, (length, onsite, self.couplings(graph, features))

    def spectra(self, graph: Any, electric: Tensor, magnetic: Tensor, rest: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Spectra and tensors by name."""
        length, onsite, pairs = rest
        vectors = torch.cat([electric, magnetic, length], dim=-1)
        rows = self.carried[(graph.role[graph.core_index] != METAL).long()]
        parts = []
        for (own, moments, carries), (between,), i, j in systems(graph, (onsite, vectors, rows), (pairs,)):
            h = dense(own.movedim(1, 3), between.movedim(1, 3), i, j).movedim(2, 0)
            kept = torch.nonzero(carries.flatten()).flatten()
            h = 0.5 * (h + h.transpose(1, 2))[:, kept][:, :, kept]
            parts.append((h, moments.transpose(0, 1).flatten(1, 2)[:, kept]))
        density = densities_of(parts, self.grid, self.sigma_ev, padded=onsite.is_cuda, signs=self.signs)
        return spectra_of_density(density, self.grid)


class Sites(nn.Module):
    """Blocks of one atom and band: on-site energies (s, s) in eV; electric, local magnetic vectors and those of
    ``epsilon`` (s, 3)."""

    def __init__(self, irreps: Any, n_scalar: int, n_triplet: int, options: ResolventOptions) -> None:
        super().__init__()
        self.n_scalar, self.n_triplet, self.bands = n_scalar, n_triplet, options.bands
        a, b, k = n_scalar, n_triplet, self.bands
        self.energy = Readout(irreps, energy_irreps(a, b, k))
        electric = f"{k * b}x0e + {k * a}x1o + {k * b}x1e + {k * b}x2e"
        self.electric, self.length = Readout(irreps, electric), Readout(irreps, electric)
        self.magnetic = Readout(irreps, f"{k * b}x0o + {k * a}x1e + {k * b}x1o + {k * b}x2o")
        self.start_scalar = nn.Parameter(_spread(options, k * a).reshape(k, a))
        self.start_triplet = nn.Parameter(_spread(options, k * b).reshape(k, b))
        self.strength = nn.Parameter(torch.tensor(options.strength**0.5))
        self.local, self.change = options.local_magnetic_a, options.energy_ev

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``(d, c, channels)`` -> ``(c, bands, s, s)``, and three times ``(c, bands, s, 3)``."""
        electric, length = (
            self.strength * self._vectors(self.change * layer(features), 1.0) for layer in (self.electric, self.length)
        )
        magnetic = self.strength * self.local * self._vectors(self.change * self.magnetic(features), 0.0)
        energies = energy_blocks(self.change * self.energy(features), self.start_scalar, self.start_triplet)
        return energies, electric, magnetic, length

    def _vectors(self, x: Tensor, start: float) -> Tensor:
        """Vectors (c, bands, s, 3) of oscillators; a triplet's matrix is about ``start`` times the unit matrix."""
        a, b, k, n = self.n_scalar, self.n_triplet, self.bands, len(x)
        trace, own, axial, tensor = torch.split(x, [k * b, 3 * k * a, 3 * k * b, 5 * k * b], dim=1)
        trace, axial, tensor = trace.reshape(n, k, b), axial.reshape(n, k, b, 3), tensor.reshape(n, k, b, 5)
        matrices = matrix_of_parts(start + trace, axial, tensor)
        return torch.cat([own.reshape(n, k, a, 3), matrices.reshape(n, k, 3 * b, 3)], dim=2)


def _spread(options: ResolventOptions, count: int) -> Tensor:
    """``count`` energies (eV) at the centres of equal parts of the range in which oscillators start."""
    low, high = options.first_ev, options.last_ev
    return low + (high - low) * (torch.arange(count, dtype=torch.float64) + 0.5) / max(count, 1)


HEADS = (
    HeadKind(
        "resolvent", "oscillators of the core atoms, coupled into cluster states", ResolventOptions, ResolventHead
    ),
)
