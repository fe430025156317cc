"""What all heads share: cluster moments from atomic vectors, and the size of a CD."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clusterml.units import BOHR_ANGSTROM, HARTREE_EV, SPEED_OF_LIGHT_AU

CD_OF_MOMENT = 2.0 / (HARTREE_EV * SPEED_OF_LIGHT_AU * BOHR_ANGSTROM)
"""delta_epsilon = CD_OF_MOMENT * E * sum P.(r x P), in units of epsilon = sum |P|^2: per eV and A.

From the dissymmetry 4 R / D of an excitation with velocity moment v and magnetic moment (r x v) / 2c in atomic units.
"""


class Head(nn.Module):
    """From features of core atoms to the spectra of clusters, by way of electric and magnetic quantities of atoms.

    A head says in :meth:`local` what these are for each of c atoms, and in :meth:`spectra` what the clusters' spectra
    follow from them.  ``degree``: of the CD as a homogeneous function of both together.
    """

    degree = 2

    def local(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Electric and magnetic quantities (c, ...) of atoms, and what else the spectra need."""
        raise NotImplementedError

    def spectra(
        self, graph: Any, electric: Tensor, magnetic: Tensor, rest: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Spectra (g, m) of absorption and CD in L mol-1 cm-1 from what :meth:`local` gave."""
        raise NotImplementedError

    def forward(self, graph: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        """Spectra (g, m) of absorption and CD in L mol-1 cm-1."""
        return self.spectra(graph, *self.local(graph, features))

    def contributions(self, graph: Any, features: Tensor, weights: Tensor) -> Tensor:
        """What each core atom (c,) adds to sum_E weights(E) delta_epsilon(E), ``weights`` (m,); sums are exact.

        By Euler's theorem for a homogeneous function: the share of an atom is x . dCD/dx / degree over its own electric
        and magnetic quantities.  In P.M every pair of atoms is shared out half and half, whatever the origin.
        """
        electric, magnetic, rest = self.local(graph, features)
        with torch.enable_grad():
            own = [x.detach().requires_grad_() for x in (electric, magnetic)]
            _, cd = self.spectra(graph, own[0], own[1], tuple(x.detach() for x in rest))
            slopes = torch.autograd.grad((cd * weights).sum(), own, allow_unused=True, materialize_grads=True)
        shares = [(x * slope).flatten(1).sum(1) for x, slope in zip(own, slopes, strict=True)]
        return ((shares[0] + shares[1]) / self.degree).detach()


def per_graph(values: Tensor, batch: Tensor, count: int) -> Tensor:
    """Sums (g, ...) over the atoms (n, ...) of each graph."""
    return values.new_zeros(count, *values.shape[1:]).index_add_(0, batch, values)


def centred(graph: Any) -> Tensor:
    """Positions (c, 3) of the core atoms about the centroid of the core of their graph, in A."""
    pos, batch = graph.pos[graph.core_index], graph.batch[graph.core_index]
    ones = torch.ones_like(pos[:, :1])
    count = per_graph(ones, batch, graph.num_graphs)
    return pos - (per_graph(pos, batch, graph.num_graphs) / count)[batch]
