"""The exciton head: every core atom carries oscillators, coupled into cluster states by a learned Hamiltonian.

A generalisation of the coupled-oscillator theory of optical activity (H. DeVoe, J. Chem. Phys. 43, 3199 (1965)): an
oscillator is a scalar (0e) with electric vector p and magnetic vector m, or a polar triplet (1o), which an isotropic
atom needs, with 3 x 3 matrices in their place.  Energies, couplings and moments come from the network's features, as
equivariant blocks; couplings between atoms have the two-centre form of J. C. Slater, G. F. Koster, Phys. Rev. 94, 1498
(1954).  Delocalised and near-degenerate cluster states come from the diagonalisation, and the non-local part of the
magnetic moments, r x p / 2, from the positions.  Oscillators come in several *bands* that do not couple with each
other: matrices of k bands cost k small diagonalisations instead of a large one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clusterml.model.equivariant import matrix_of_parts, o3, symmetric_matrix
from clusterml.model.graph import METAL
from clusterml.model.heads.moments import Head, centred, spectra_of_density
from clusterml.model.radial import Mlp, RadialBasis
from clusterml.model.spectral import densities_of


class ResolventHead(Head):
    """``spec["oscillators"]``: bands, and numbers of scalar and triplet oscillators in each, of metals and donors."""

    def __init__(self, spec: Mapping[str, Any], irreps: Any, grid: Tensor, sigma_ev: float) -> None:
        super().__init__()
        self.grid: Tensor
        self.register_buffer("grid", grid, persistent=False)
        self.sigma_ev = sigma_ev
        options = spec["oscillators"]
        self.n_scalar, self.n_triplet = int(options["scalar"]), int(options["triplet"])
        self.bands, self.size = int(options["bands"]), self.n_scalar + 3 * self.n_triplet
        self.pair_cutoff = float(spec["graph"]["pair_cutoff"])
        donor = [k < options["donor_scalar"] for k in range(self.n_scalar)]
        donor += [k < options["donor_triplet"] for k in range(self.n_triplet) for _ in range(3)]
        carried = torch.tensor([[True] * self.size, donor])
        self.carried: Tensor
        self.register_buffer("carried", carried, persistent=False)
        self.sites = Sites(irreps, self.n_scalar, self.n_triplet, options)
        self.couplings = Couplings(
            irreps, self.bands, self.n_scalar, self.n_triplet, self.pair_cutoff, int(spec["n_radial"])
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
        carried = self.carried[(graph.role[graph.core_index] != METAL).long()]
        rank = torch.empty_like(graph.z)
        rank[graph.core_index] = torch.arange(len(onsite), device=rank.device)
        where = graph.batch[graph.core_index]
        starts = torch.searchsorted(where, torch.arange(graph.num_graphs + 1, device=where.device)).tolist()
        first, second = rank[graph.pair_index]
        cuts = torch.searchsorted(first, torch.tensor(starts, device=first.device)).tolist()
        parts = []
        for k in range(graph.num_graphs):
            atoms, among = slice(starts[k], starts[k + 1]), slice(cuts[k], cuts[k + 1])
            h = self._matrix(onsite[atoms], pairs[among], first[among] - starts[k], second[among] - starts[k])
            kept = torch.nonzero(carried[atoms].flatten()).flatten()
            parts.append((h[:, kept][:, :, kept], vectors[atoms].transpose(0, 1).flatten(1, 2)[:, kept]))
        return spectra_of_density(densities_of(parts, self.grid, self.sigma_ev, padded=onsite.is_cuda), self.grid)

    def _matrix(self, onsite: Tensor, pairs: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Symmetric Hamiltonians (b, c s, c s) from blocks (c, b, s, s) of sites and (p, b, s, s) of ordered pairs."""
        n, s = len(onsite), self.size
        blocks = onsite.new_zeros(n * n, self.bands, s, s)
        own = torch.arange(n, device=first.device)
        blocks = blocks.index_add(0, torch.cat([own * (n + 1), first * n + second]), torch.cat([onsite, pairs]))
        h = blocks.reshape(n, n, self.bands, s, s).permute(2, 0, 3, 1, 4).reshape(self.bands, n * s, n * s)
        return 0.5 * (h + h.transpose(1, 2))


class Sites(nn.Module):
    """Blocks of one atom and band: on-site energies (s, s) in eV; electric, local magnetic vectors and those of
    ``epsilon`` (s, 3)."""

    def __init__(self, irreps: Any, n_scalar: int, n_triplet: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.n_scalar, self.n_triplet, self.bands = n_scalar, n_triplet, int(options["bands"])
        linear = o3().Linear
        a, b, k = n_scalar, n_triplet, self.bands
        # energies: scalars' own, scalar-triplet, triplet isotropic and anisotropic
        self.energy = linear(irreps, f"{k * (a + b * b)}x0e + {k * a * b}x1o + {k * b * b}x2e")
        electric = f"{k * b}x0e + {k * a}x1o + {k * b}x1e + {k * b}x2e"
        self.electric, self.length = linear(irreps, electric), linear(irreps, electric)
        self.magnetic = linear(irreps, f"{k * b}x0o + {k * a}x1e + {k * b}x1o + {k * b}x2o")
        self.start_scalar = nn.Parameter(_spread(options, k * a).reshape(k, a))
        self.start_triplet = nn.Parameter(_spread(options, k * b).reshape(k, b))
        self.strength = nn.Parameter(torch.tensor(float(options["strength"]) ** 0.5))
        self.local, self.change = float(options["local_magnetic_a"]), float(options["energy_ev"])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``(c, irreps)`` -> ``(c, bands, s, s)``, and three times ``(c, bands, s, 3)``."""
        electric, length = (
            self.strength * self._vectors(self.change * linear(features), 1.0)
            for linear in (self.electric, self.length)
        )
        magnetic = self.strength * self.local * self._vectors(self.change * self.magnetic(features), 0.0)
        return self._energies(self.change * self.energy(features)), electric, magnetic, length

    def _vectors(self, x: Tensor, start: float) -> Tensor:
        """Vectors (c, bands, s, 3) of oscillators; a triplet's matrix is about ``start`` times the unit matrix."""
        a, b, k, n = self.n_scalar, self.n_triplet, self.bands, len(x)
        trace, own, axial, tensor = torch.split(x, [k * b, 3 * k * a, 3 * k * b, 5 * k * b], dim=1)
        trace, axial, tensor = trace.reshape(n, k, b), axial.reshape(n, k, b, 3), tensor.reshape(n, k, b, 5)
        matrices = matrix_of_parts(start + trace, axial, tensor)
        return torch.cat([own.reshape(n, k, a, 3), matrices.reshape(n, k, 3 * b, 3)], dim=2)

    def _energies(self, x: Tensor) -> Tensor:
        n, a, b, k = len(x), self.n_scalar, self.n_triplet, self.bands
        scalars, mixed, tensor = torch.split(x, [k * (a + b * b), 3 * k * a * b, 5 * k * b * b], dim=1)
        scalars, mixed, tensor = scalars.reshape(n, k, -1), mixed.reshape(n, k, a, 3 * b), tensor.reshape(n, k, b, b, 5)
        own, isotropic = scalars[..., :a] + self.start_scalar, scalars[..., a:].reshape(n, k, b, b)
        isotropic = 0.5 * (isotropic + isotropic.transpose(2, 3)) + torch.diag_embed(self.start_triplet)
        eye = torch.eye(3, dtype=x.dtype, device=x.device)
        triplets = isotropic[..., :, None, :, None] * eye[:, None, :]
        triplets = triplets + symmetric_matrix(tensor).transpose(3, 4)
        upper = torch.cat([torch.diag_embed(own), mixed], dim=3)
        lower = torch.cat([mixed.transpose(2, 3), triplets.reshape(n, k, 3 * b, 3 * b)], dim=3)
        return torch.cat([upper, lower], dim=2)


def _spread(options: Mapping[str, Any], count: int) -> Tensor:
    """``count`` energies (eV) at the centres of equal parts of the range in which oscillators start."""
    low, high = options["first_ev"], options["last_ev"]
    return low + (high - low) * (torch.arange(count, dtype=torch.float64) + 0.5) / max(count, 1)


class Couplings(nn.Module):
    """Blocks (p, bands, s, s) in eV between oscillators of two atoms: two-centre integrals that fade at the cutoff."""

    def __init__(self, irreps: Any, bands: int, n_scalar: int, n_triplet: int, cutoff: float, n_radial: int) -> None:
        super().__init__()
        self.bands, self.a, self.b, self.cutoff = bands, n_scalar, n_triplet, cutoff
        self.basis = RadialBasis(n_radial)
        self.invariants = o3().Linear(irreps, "8x0e")
        n_out = bands * (n_scalar**2 + 2 * n_scalar * n_triplet + 2 * n_triplet**2)
        self.weights = Mlp(n_radial + 16, 64, n_out)
        self.envelope = nn.Linear(n_radial, n_out, bias=False)

    def forward(self, graph: Any, features: Tensor) -> Tensor:
        """Blocks of the pairs of ``graph.pair_index``, first atom in rows."""
        rank = torch.empty_like(graph.z)
        rank[graph.core_index] = torch.arange(len(features), device=rank.device)
        first, second = rank[graph.pair_index]
        vectors = graph.pos[graph.pair_index[1]] - graph.pos[graph.pair_index[0]]
        distance = torch.linalg.vector_norm(vectors, dim=1)
        unit = vectors / distance.unsqueeze(1)
        radial = self.basis(distance, self.cutoff)
        x = self.invariants(features)
        integrals = self.weights(torch.cat([radial, x[first], x[second]], dim=1)) * self.envelope(radial)
        return self._blocks(integrals, unit)

    def _blocks(self, integrals: Tensor, unit: Tensor) -> Tensor:
        n, k, a, b = len(unit), self.bands, self.a, self.b
        integrals = integrals.unflatten(1, (k, integrals.shape[1] // k))
        ss, sp, ps, sigma, pi = torch.split(integrals, [a * a, a * b, a * b, b * b, b * b], dim=2)
        along = unit[:, :, None] * unit[:, None, :]
        across = torch.eye(3, dtype=unit.dtype, device=unit.device) - along
        pp = sigma.reshape(n, k, b, 1, b, 1) * along[:, None, None, :, None, :]
        pp = (pp + pi.reshape(n, k, b, 1, b, 1) * across[:, None, None, :, None, :]).reshape(n, k, 3 * b, 3 * b)
        sp = (sp.reshape(n, k, a, b, 1) * unit[:, None, None, None, :]).reshape(n, k, a, 3 * b)
        ps = -(ps.reshape(n, k, b, 1, a) * unit[:, None, None, :, None]).reshape(n, k, 3 * b, a)
        upper = torch.cat([ss.reshape(n, k, a, a), sp], dim=3)
        return torch.cat([upper, torch.cat([ps, pp], dim=3)], dim=2)
