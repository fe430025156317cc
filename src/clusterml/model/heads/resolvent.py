"""The exciton head: every core atom carries oscillators, coupled into cluster states by a learned Hamiltonian.

A generalisation of the coupled-oscillator theory of optical activity (H. DeVoe, J. Chem. Phys. 43, 3199 (1965)): an
oscillator is a scalar (0e) with electric vector p and magnetic vector m, or a polar triplet (1o), which an isotropic
atom needs, with 3 x 3 matrices in their place.  Energies, couplings and moments come from the network's features, as
equivariant blocks; couplings between atoms have the two-centre form of J. C. Slater, G. F. Koster, Phys. Rev. 94, 1498
(1954).  Delocalised and near-degenerate cluster states come from the diagonalisation, and the non-local part of the
magnetic moments, r x p / 2, from the positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clusterml.model.equivariant import matrix_of_parts, o3, symmetric_matrix
from clusterml.model.graph import METAL
from clusterml.model.heads.moments import CD_OF_MOMENT, centred
from clusterml.model.radial import Mlp, RadialBasis
from clusterml.model.spectral import spectra_of


class ResolventHead(nn.Module):
    """``spec["oscillators"]``: numbers of scalar and of triplet oscillators of a metal and of a donor atom."""

    def __init__(self, spec: Mapping[str, Any], irreps: Any, grid: Tensor, sigma_ev: float) -> None:
        super().__init__()
        self.grid: Tensor
        self.register_buffer("grid", grid, persistent=False)
        self.sigma_ev = sigma_ev
        options = spec["oscillators"]
        self.n_scalar, self.n_triplet = int(options["scalar"]), int(options["triplet"])
        self.size = self.n_scalar + 3 * self.n_triplet
        self.pair_cutoff = float(spec["graph"]["pair_cutoff"])
        donor = [k < options["donor_scalar"] for k in range(self.n_scalar)]
        donor += [k < options["donor_triplet"] for k in range(self.n_triplet) for _ in range(3)]
        carried = torch.tensor([[True] * self.size, donor])
        self.carried: Tensor
        self.register_buffer("carried", carried, persistent=False)
        self.sites = Sites(irreps, self.n_scalar, self.n_triplet, options)
        self.couplings = Couplings(irreps, self.n_scalar, self.n_triplet, self.pair_cutoff, int(spec["n_radial"]))

    def forward(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        """Spectra (g, m) of absorption and CD in L mol-1 cm-1."""
        onsite, electric, magnetic = self.sites(features)
        radius = centred(graph)
        # each oscillator's electric vectors (c, s, 3), so r x p adds to its magnetic vectors
        magnetic = magnetic + torch.linalg.cross(radius.unsqueeze(1).expand_as(electric), electric, dim=-1)
        pairs = self.couplings(graph, features)
        carried = self.carried[(graph.role[graph.core_index] != METAL).long()]
        rank = torch.empty_like(graph.z)
        rank[graph.core_index] = torch.arange(len(features), device=rank.device)
        where = graph.batch[graph.core_index]
        starts = torch.searchsorted(where, torch.arange(graph.num_graphs + 1, device=where.device)).tolist()
        first, second = rank[graph.pair_index]
        cuts = torch.searchsorted(first, torch.tensor(starts, device=first.device)).tolist()
        parts = []
        for k in range(graph.num_graphs):
            atoms, among = slice(starts[k], starts[k + 1]), slice(cuts[k], cuts[k + 1])
            h = self._matrix(onsite[atoms], pairs[among], first[among] - starts[k], second[among] - starts[k])
            kept = torch.nonzero(carried[atoms].flatten()).flatten()
            p, m = electric[atoms].reshape(-1, 3)[kept], magnetic[atoms].reshape(-1, 3)[kept]
            parts.append((h[kept][:, kept], p, m))
        absorption, rotation = spectra_of(parts, self.grid, self.sigma_ev, padded=features.is_cuda)
        return absorption, CD_OF_MOMENT * self.grid * rotation

    def _matrix(self, onsite: Tensor, pairs: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Symmetric Hamiltonian (c s, c s) from blocks (c, s, s) of sites and (p, s, s) of ordered pairs."""
        n, s = len(onsite), self.size
        blocks = onsite.new_zeros(n * n, s, s)
        own = torch.arange(n, device=first.device)
        blocks = blocks.index_add(0, torch.cat([own * (n + 1), first * n + second]), torch.cat([onsite, pairs]))
        h = blocks.reshape(n, n, s, s).transpose(1, 2).reshape(n * s, n * s)
        return 0.5 * (h + h.T)


class Sites(nn.Module):
    """Blocks of one atom: on-site energies (s, s) in eV, electric and local magnetic vectors (s, 3)."""

    def __init__(self, irreps: Any, n_scalar: int, n_triplet: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.n_scalar, self.n_triplet = n_scalar, n_triplet
        linear = o3().Linear
        a, b = n_scalar, n_triplet
        # energies: scalars' own, scalar-triplet, triplet isotropic and anisotropic
        self.energy = linear(irreps, f"{a + b * b}x0e + {a * b}x1o + {b * b}x2e")
        self.electric = linear(irreps, f"{b}x0e + {a}x1o + {b}x1e + {b}x2e")
        self.magnetic = linear(irreps, f"{b}x0o + {a}x1e + {b}x1o + {b}x2o")
        low, high = options["first_ev"], options["last_ev"]
        self.start_scalar = nn.Parameter(torch.linspace(low, high, a) if a > 1 else torch.full((a,), (low + high) / 2))
        self.start_triplet = nn.Parameter(torch.linspace(low, high, b + 2)[1:-1])
        self.strength = nn.Parameter(torch.tensor(float(options["strength"]) ** 0.5))
        self.local, self.change = float(options["local_magnetic_a"]), float(options["energy_ev"])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(c, irreps)`` -> ``(c, s, s)``, ``(c, s, 3)``, ``(c, s, 3)``."""
        electric = self.strength * self._vectors(self.change * self.electric(features), 1.0)
        magnetic = self.strength * self.local * self._vectors(self.change * self.magnetic(features), 0.0)
        return self._energies(self.change * self.energy(features)), electric, magnetic

    def _vectors(self, x: Tensor, start: float) -> Tensor:
        """Vectors (c, s, 3) of each oscillator; a triplet's matrix is about ``start`` times the unit matrix."""
        a, b, n = self.n_scalar, self.n_triplet, len(x)
        trace, own, axial, tensor = torch.split(x, [b, 3 * a, 3 * b, 5 * b], dim=1)
        matrices = matrix_of_parts(start + trace, axial.reshape(n, b, 3), tensor.reshape(n, b, 5))
        return torch.cat([own.reshape(n, a, 3), matrices.reshape(n, 3 * b, 3)], dim=1)

    def _energies(self, x: Tensor) -> Tensor:
        n, a, b = len(x), self.n_scalar, self.n_triplet
        scalars, mixed, tensor = torch.split(x, [a + b * b, 3 * a * b, 5 * b * b], dim=1)
        own, isotropic = scalars[:, :a] + self.start_scalar, scalars[:, a:].reshape(n, b, b)
        isotropic = 0.5 * (isotropic + isotropic.transpose(1, 2)) + torch.diag(self.start_triplet)
        eye = torch.eye(3, dtype=x.dtype, device=x.device)
        triplets = isotropic[:, :, None, :, None] * eye[:, None, :]
        quadrupoles = symmetric_matrix(tensor.reshape(n, b, b, 5))
        triplets = triplets + quadrupoles.permute(0, 1, 3, 2, 4)
        block = x.new_zeros(n, a + 3 * b, a + 3 * b)
        block[:, :a, :a] = torch.diag_embed(own)
        block[:, :a, a:] = mixed.reshape(n, a, 3 * b)
        block[:, a:, :a] = mixed.reshape(n, a, 3 * b).transpose(1, 2)
        block[:, a:, a:] = triplets.reshape(n, 3 * b, 3 * b)
        return block


class Couplings(nn.Module):
    """Blocks (p, s, s) in eV between the oscillators of two atoms: two-centre integrals that fade at the cutoff."""

    def __init__(self, irreps: Any, n_scalar: int, n_triplet: int, cutoff: float, n_radial: int) -> None:
        super().__init__()
        self.a, self.b, self.cutoff = n_scalar, n_triplet, cutoff
        self.basis = RadialBasis(n_radial)
        self.invariants = o3().Linear(irreps, "8x0e")
        n_out = n_scalar**2 + 2 * n_scalar * n_triplet + 2 * n_triplet**2
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
        n, a, b = len(unit), self.a, self.b
        ss, sp, ps, sigma, pi = torch.split(integrals, [a * a, a * b, a * b, b * b, b * b], dim=1)
        along = unit[:, :, None] * unit[:, None, :]
        across = torch.eye(3, dtype=unit.dtype, device=unit.device) - along
        pp = sigma.reshape(n, b, 1, b, 1) * along[:, None, :, None, :]
        pp = pp + pi.reshape(n, b, 1, b, 1) * across[:, None, :, None, :]
        upper = torch.cat(
            [ss.reshape(n, a, a), (sp.reshape(n, a, b, 1) * unit[:, None, None, :]).reshape(n, a, 3 * b)], dim=2
        )
        lower = torch.cat(
            [
                -(ps.reshape(n, b, 1, a) * unit[:, None, :, None]).reshape(n, 3 * b, a),
                pp.reshape(n, 3 * b, 3 * b),
            ],
            dim=2,
        )
        return torch.cat([upper, lower], dim=1)
