"""Spectra that start from physics: the rapid response of GFN1 orbitals, and what a network may change of it.

Delta-learning (R. Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087 (2015)): the response function X(z) of
:mod:`clusterml.engine.response.rapid` stands beside the graph, the network learns what a label has more.  Of each
cluster it says, from means over the core atoms,

* a screening L, a symmetric matrix: X - X_r^T (1 + L X_rr)^-1 L X_r with X_r the rows of the position, as a
  depolarising field that is uniform over the cluster acts;
* by how much bands move, and by which factors absorption and CD grow;

and a head adds bands of both signs.  All of it begins at zero: untrained, the spectra are those of the rapid response.
L turns with the cluster and the rest does not, so that the CD stays a pseudoscalar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from clusterml.model.graph import cluster_graph
from clusterml.model.heads.head import per_graph
from clusterml.model.layers import Readout, symmetric_matrix
from clusterml.units import FWHM_PER_SIGMA, REFERENCE_OUTPUT_HARTREE_EV

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from clusterml.engine.response.quadrature import Contour
    from clusterml.model.graph import Graph
    from clusterml.model.spec import NetworkSpec

RESPONSE = "response"
"""The start of a network that corrects the rapid response."""
_ROWS, _COLUMNS = np.triu_indices(9)
_SCREENING, _SHIFT_EV, _GROWTH, _SHARE = 1e-4, 0.02, 0.1, 0.05
"""Units of the screening, of the shift, of the logarithm of both factors, and of the head's share: about what a rapid
response lacks of a label, so that the first steps of training do not undo it."""


def network_graph(
    numbers: ArrayLike, positions: ArrayLike, charge: int, spec: NetworkSpec, dtype: torch.dtype = torch.float32
) -> Graph:
    """The graph that a network of ``spec`` reads: :func:`clusterml.model.graph.cluster_graph`, and what its spectra
    start from.

    Raises what that function raises, and what :func:`clusterml.engine.response.rapid.rapid_response` raises.
    """
    graph = cluster_graph(numbers, positions, charge, spec.graph, dtype)
    for name, tensor in start_inputs(numbers, positions, charge, spec).items():
        graph[name] = tensor.to(dtype)
    return graph


def start_inputs(numbers: ArrayLike, positions: ArrayLike, charge: int, spec: NetworkSpec) -> dict[str, Tensor]:
    """``response`` (1, j, 45, 2): real and imaginary parts of X at the points of :func:`contour_of`, one triangle, and
    ``response_gap`` (1,) in eV; nothing for a network that starts from zero."""
    if spec.start != RESPONSE:
        return {}
    from ase.data import chemical_symbols

    from clusterml.engine.response.rapid import rapid_response

    symbols = [chemical_symbols[number] for number in np.asarray(numbers)]
    places = np.asarray(positions, dtype=np.float64)
    made = rapid_response(
        symbols,
        places,
        charge,
        spec.start_orbitals,
        low_ev=spec.grid.low_ev,
        emax_ev=spec.grid.high_ev,
        fwhm_ev=spec.fwhm_ev,
    )
    triangle = made.response[:, _ROWS, _COLUMNS]
    response = torch.from_numpy(np.stack([triangle.real, triangle.imag], axis=-1))[None]
    return {"response": response, "response_gap": torch.tensor([made.gap_ev], dtype=torch.float64)}


def contour_of(spec: NetworkSpec) -> Contour:
    """The contour on which a network of ``spec`` has the response."""
    from clusterml.engine.response.quadrature import Contour

    scale = REFERENCE_OUTPUT_HARTREE_EV
    return Contour.spanning(spec.grid.low_ev / scale, spec.grid.high_ev / scale, spec.fwhm_ev / FWHM_PER_SIGMA / scale)


class ResponseStart(nn.Module):
    """Adds what a head gives to the rapid response, changed as the features say; see the module."""

    def __init__(self, spec: NetworkSpec, irreps: Any, grid: Tensor) -> None:
        super().__init__()
        from clusterml.engine.response.contour import absorption_factor, rotation_factor

        self.absorption, self.rotation = absorption_factor(), rotation_factor()
        contour = contour_of(spec)
        self.energy: Tensor
        self.points: Tensor
        self.register_buffer("energy", grid / REFERENCE_OUTPUT_HARTREE_EV, persistent=False)
        self.register_buffer("points", torch.from_numpy(contour.points.real.copy()), persistent=False)
        self.height, self.step, self.sigma = float(contour.points.imag[0]), contour.step, contour.sigma
        self.readout = Readout(irreps, "4x0e + 1x2e")
        self.sizes = nn.Parameter(torch.zeros(5))
        self.share, self.gap = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, graph: Any, features: Tensor, added: dict[str, Tensor]) -> dict[str, Tensor]:
        """Spectra and tensors by name, with ``added`` as the head's share of them."""
        where, count = graph.batch[graph.core_index], graph.num_graphs
        atoms = per_graph(features.new_ones(features.shape[1], 1), where, count)
        scalars, tensor = torch.split(per_graph(self.readout(features), where, count) / atoms, [4, 5], dim=1)
        first, shift, longer, stronger = (self.sizes[:4] * scalars).unbind(1)
        longer, stronger = _GROWTH * longer, _GROWTH * stronger
        eye = torch.eye(3, dtype=scalars.dtype, device=scalars.device)
        screening = first[:, None, None] * eye + self.sizes[4] * symmetric_matrix(tensor)
        x = self._screened(_whole(graph.response), _SCREENING * screening)
        plain, weighted = self._bands(x, _SHIFT_EV / REFERENCE_OUTPUT_HARTREE_EV * shift)
        rotatory = self.rotation * stronger.exp()[:, None, None, None] * weighted[..., 3:6, 6:]
        own = {
            "epsilon": self.absorption * longer.exp()[:, None] * _trace(plain[..., :3, :3]),
            "delta_epsilon": _trace(rotatory),
            "absorption_tensor": self.absorption * longer.exp()[:, None, None, None] * plain[..., 3:6, 3:6],
            "rotatory_tensor": rotatory,
        }
        return {name: values + _SHARE * self.share * added[name] for name, values in own.items()}

    def gap_ev(self, graph: Any, predicted: Tensor) -> Tensor:
        """The gap (g,) of the rapid ground state, moved towards that which the network has ``predicted``."""
        share = self.gap.clamp(0.0, 1.0)
        return (1.0 - share) * graph.response_gap + share * predicted

    def _screened(self, x: Tensor, screening: Tensor) -> Tensor:
        """X (g, j, 9, 9) with the ``screening`` (g, 3, 3)."""
        l = screening.to(x)[:, None]
        eye = torch.eye(3, dtype=x.dtype, device=x.device)
        return x - x[..., :3] @ torch.linalg.solve(eye + l @ x[..., :3, :3], l @ x[..., :3, :])

    def _bands(self, x: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over states of products of moments times bands, per eV (g, m, 9, 9), and the same times the energy in
        eV, moved by ``shift`` (g,) in hartree; see step 2 of :mod:`clusterml.engine.response.contour`."""
        distance = (self.energy - shift[:, None])[:, :, None] - self.points
        z = torch.complex(self.points, torch.full_like(self.points, self.height))
        scaled = torch.complex(distance, torch.full_like(distance, -self.height)) / self.sigma
        bands = torch.exp(-0.5 * scaled**2) * (2.0 * z * self.step / (torch.pi * self.sigma * (2.0 * torch.pi) ** 0.5))
        flat = x.flatten(2)
        plain, weighted = (bands @ flat).imag, ((bands * z) @ flat).imag
        return plain.unflatten(2, (9, 9)) / REFERENCE_OUTPUT_HARTREE_EV, weighted.unflatten(2, (9, 9))


def _whole(triangle: Tensor) -> Tensor:
    """Symmetric complex matrices (g, j, 9, 9) of (g, j, 45, 2)."""
    place = torch.zeros(9, 9, dtype=torch.int64)
    place[_ROWS, _COLUMNS] = place[_COLUMNS, _ROWS] = torch.arange(len(_ROWS))
    values = torch.complex(triangle[..., 0], triangle[..., 1])
    return values[..., place.flatten().to(values.device)].unflatten(-1, (9, 9))


def _trace(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)
