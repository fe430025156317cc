"""Which atoms the CD of a band comes from, exactly, from the response of the engine.

The CD at an energy is bilinear in the moments, Im p^T G m with p = <i|nabla|a>, m = <i|r x nabla|a> and G the response
of the configurations (see :mod:`clusterml.engine.response.contour`).  In Löwdin's functions, mu on atom A(mu),
p_ia = sum_mu,nu L_mu,i nabla_mu,nu L_nu,a; each product belongs half to the atom that the electron leaves, A(mu), and
half to that where it goes, A(nu).  With p_A and m_A the parts of an atom its contribution is
  1/2 Im (p_A^T G m + m_A^T G p).
These add up to the CD, change sign in a mirror, and do not depend on the origin: a shift d makes m + d x p of m, and
p_A^T G (d x p) + (d x p_A)^T G p = 0, as G is symmetric.
The first factor is an atom's own, the second what light stirs in the whole cluster.
Sources: P.-O. Löwdin, J. Chem. Phys. 18, 365 (1950); the halves are those of R. S. Mulliken, J. Chem. Phys. 23, 1833
(1955).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.linalg import overlap_powers, own_threads, threads_for, together
from clusterml.engine.response.contour import ContourSpectra, rotation_factor, screened_sources
from clusterml.typing import FloatArray
from clusterml.units import FWHM_PER_SIGMA, REFERENCE_OUTPUT_HARTREE_EV

if TYPE_CHECKING:
    import torch

    from clusterml.engine.basis import Basis
    from clusterml.engine.response.active import ActiveSpace

_LEAST_WEIGHT = 1e-10
"""Points of the contour that a band weighs less, beside the heaviest, are left out."""


@own_threads()
def atom_contributions(
    spectra: ContourSpectra, basis: Basis, axis: FloatArray, weights: FloatArray, fwhm_ev: float
) -> FloatArray:
    """What each atom adds to sum_e weights(e) delta_epsilon(axis(e)) at ``fwhm_ev``, (n_atoms,).

    ``basis``: of the orbitals of ``spectra``; ``axis``, ``weights`` (e,), in eV.
    """
    import torch

    space = spectra.space
    if spectra.dark:
        return np.zeros(space.n_atoms)
    scale = REFERENCE_OUTPUT_HARTREE_EV
    contour = spectra.contour
    of_points = weights @ contour.weights(axis / scale, fwhm_ev / FWHM_PER_SIGMA / scale) * contour.points
    heavy = np.abs(of_points) > _LEAST_WEIGHT * np.abs(of_points).max()
    device = space.gaps.device
    points = torch.as_tensor(contour.points[heavy], device=device)
    stirred = _stirred(spectra, points, torch.as_tensor(of_points[heavy], device=device))
    return np.asarray(rotation_factor() * _on_atoms(space, basis, stirred).cpu().numpy())


def _stirred(spectra: ContourSpectra, points: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Im sum_j ``weights``(j) G(z_j) s of nabla and r x nabla, (6, n_o, n_v), to be multiplied with plain moments."""
    import torch

    space = spectra.space
    screened = screened_sources(spectra, points)[..., 3:].mT  # (j, 6, n_atoms)
    factors = torch.cat([screened.real, screened.imag]).flatten(0, 1)
    out = space.velocity.new_empty((6, *space.shape), dtype=torch.float64)

    def fill(chosen: slice, compute: Callable[[], torch.Tensor]) -> None:
        gaps, charges = space.gaps[chosen].flatten().double(), compute()
        of_gap = weights[:, None] / (gaps**2 - points[:, None] ** 2)
        real, imaginary = (factors.to(charges) @ charges).unflatten(0, (2, len(points), 6)).double()
        from_charges = torch.einsum("jn,jkn->kn", of_gap.real, imaginary)
        from_charges += torch.einsum("jn,jkn->kn", of_gap.imag, real)
        bare = of_gap.imag.sum(dim=0) * space.moments(chosen)[3:]
        of_moment = (bare - 2.0 * gaps.sqrt() * from_charges) / gaps.sqrt()
        out[:, chosen] = of_moment.unflatten(1, (-1, space.shape[1]))

    together([partial(fill, *block) for block in space.charge_blocks(slice(0, space.shape[0]))], threads_for(points))
    return out


def _on_atoms(space: ActiveSpace, basis: Basis, stirred: torch.Tensor) -> torch.Tensor:
    """Sums over the functions of each atom (n_atoms,) of operators times what is ``stirred`` (6, n_o, n_v)."""
    import torch

    centred = basis.translated(-basis.coords_bohr.mean(axis=0))
    device = stirred.device
    _, inverse_root = overlap_powers(torch.as_tensor(integrals.overlap(basis), device=device))
    left, right = space.l_o.double(), space.l_v.double()
    leaves, arrives = left.new_zeros(len(left)), left.new_zeros(len(left))
    by_nabla, by_angular = stirred.split(3)
    for operators, partners in ((integrals.gradient(centred), by_angular), (integrals.angular(centred), by_nabla)):
        for operator, partner in zip(operators, partners, strict=True):
            orthogonal = inverse_root @ torch.as_tensor(operator, device=device) @ inverse_root
            products = orthogonal * (left @ partner @ right.T)
            leaves += products.sum(dim=1)
            arrives += products.sum(dim=0)
    return 0.25 * space.atom_sum(leaves + arrives)
