"""What a head is, and what heads share: cluster moments from atomic vectors, and the size of a CD."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from clusterml.config.schema import Number
from clusterml.units import BOHR_ANGSTROM, HARTREE_EV, SPEED_OF_LIGHT_AU

Energy = Annotated[Number, Field(ge=-100.0, le=100.0)]
Strength = Annotated[Number, Field(ge=0.0, le=1e9)]
LocalMagnetic = Annotated[Number, Field(ge=0.0, le=1e3)]
"""Kinds of options: energies in eV, absorptions in L mol-1 cm-1, lengths in A."""

CD_OF_MOMENT = 2.0 / (HARTREE_EV * SPEED_OF_LIGHT_AU * BOHR_ANGSTROM)
"""delta_epsilon = CD_OF_MOMENT * E * sum P.(r x P), in units of epsilon = sum |P|^2: per eV and A.

From the dissymmetry 4 R / D of an excitation with velocity moment v and magnetic moment (r x v) / 2c in atomic units.
"""


class Head(nn.Module, ABC):
    """From features of core atoms to the spectra of clusters, by way of electric and magnetic quantities of atoms.

    A head says in :meth:`local` what these are for each of c atoms, and in :meth:`spectra` what the clusters' spectra
    follow from them.  ``degree``: of the CD as a homogeneous function of both together.  ``gives_gap``: whether it has
    levels, and so a HOMO-LUMO gap ``gap_ev`` (g,).

    Spectra are ``epsilon`` and ``delta_epsilon`` (g, m) in L mol-1 cm-1.  Heads with vectors also give the tensors
    ``absorption_tensor``, of velocity vectors P, and ``rotatory_tensor``, of P and M, (g, m, 3, 3), in the axes of the
    positions and about the centroid of all atoms; the trace of the latter is the CD.  ``epsilon`` has vectors of its
    own, so that it may be in the length gauge: with a small basis the two absorptions are not the same.
    """

    degree = 2
    gives_gap = False

    @abstractmethod
    def local(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Electric and magnetic quantities (c, ...) of atoms, and what else the spectra need.

        They may also be those of (q, ...) pairs of atoms, which :meth:`owners` tells.
        """

    def owners(self, graph: Any) -> tuple[Tensor, Tensor]:
        """The two core atoms (q,) that share each electric and magnetic quantity; here both are the atom itself."""
        own = torch.arange(len(graph.core_index), device=graph.core_index.device)
        return own, own

    @abstractmethod
    def spectra(self, graph: Any, electric: Tensor, magnetic: Tensor, rest: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Spectra and tensors by name, from what :meth:`local` gave."""

    def forward(self, graph: Any, features: Tensor) -> dict[str, Tensor]:
        """Spectra and tensors by name."""
        return self.spectra(graph, *self.local(graph, features))

    def contributions(self, graph: Any, features: Tensor, weights: Tensor) -> Tensor:
        """What each core atom (c,) adds to sum_E weights(E) delta_epsilon(E), ``weights`` (m,); sums are exact.

        By Euler's theorem for a homogeneous function: the share of an atom is x . dCD/dx / degree over its own electric
        and magnetic quantities, half of that for a quantity of a pair.  In P.M every pair is shared out half and half,
        whatever the origin.
        """
        electric, magnetic, rest = self.local(graph, features)
        with torch.enable_grad():
            own = [x.detach().requires_grad_() for x in (electric, magnetic)]
            cd = self.spectra(graph, own[0], own[1], tuple(x.detach() for x in rest))["delta_epsilon"]
            slopes = torch.autograd.grad((cd * weights).sum(), own, allow_unused=True, materialize_grads=True)
        shares = [(x * slope).flatten(1).sum(1) for x, slope in zip(own, slopes, strict=True)]
        atoms = shares[0].new_zeros(len(graph.core_index))
        for owner in self.owners(graph):
            atoms = atoms.index_add(0, owner, 0.5 * (shares[0] + shares[1]) / self.degree)
        return atoms.detach()


def per_graph(values: Tensor, batch: Tensor, count: int) -> Tensor:
    """Sums (g, ...) over the atoms (n, ...) of each graph."""
    return values.new_zeros(count, *values.shape[1:]).index_add_(0, batch, values)


def centred(graph: Any) -> Tensor:
    """Positions (c, 3) in A of the core atoms about the centroid of all atoms of their graph."""
    ones = torch.ones_like(graph.pos[:, :1])
    count, total = (per_graph(x, graph.batch, graph.num_graphs) for x in (ones, graph.pos))
    return graph.pos[graph.core_index] - (total / count)[graph.batch[graph.core_index]]


def spectra_of_density(density: Tensor, grid: Tensor) -> dict[str, Tensor]:
    """The spectra of S(E) (g, m, 9, 9), sums over states of products of P, M and the vectors of ``epsilon``."""
    rotatory = CD_OF_MOMENT * grid[:, None, None] * density[..., :3, 3:6]
    return {
        "epsilon": density[..., 6:, 6:].diagonal(dim1=-2, dim2=-1).sum(-1),
        "delta_epsilon": rotatory.diagonal(dim1=-2, dim2=-1).sum(-1),
        "absorption_tensor": density[..., :3, :3],
        "rotatory_tensor": rotatory,
    }
