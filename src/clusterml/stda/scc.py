"""Self-consistent charges: the fixed point of shell charges -> Hamiltonian -> orbitals -> shell charges.

The charges are extrapolated by Anderson's method over residuals that are damped like the long waves of a metal: with
the kernel gamma and a softness c, (1 + c gamma)^-1 takes out of each residual what the charges' own field would drive
back.  Without it metal clusters need two to three times the cycles, and charge sloshes through their cores.
Sources: S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017), equation 7 (the Hamiltonian);
D. G. Anderson, J. ACM 12, 547 (1965); G. P. Kerker, Phys. Rev. B 23, 3082 (1981) (the idea of the damping).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import ElectronicStructureError
from clusterml.stda.gfn1 import Gfn1Hamiltonian
from clusterml.stda.linalg import inverse_cholesky, symmetric_eigh
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

_SOFTNESS = 1.0
"""c of the damping, charge per hartree."""

_STEP = 0.5
"""Share of the extrapolated residual that is added to the extrapolated charges."""

_DEPTH = 12
"""Cycles that an extrapolation remembers."""

_PATIENCE = 60
"""Cycles after which the memory is dropped and half the step is taken, again and again."""


@dataclass(frozen=True)
class SelfConsistent:
    """Orbitals in the field of their own charges.

    ``energies`` (n_ao,) hartree, ``coefficients`` (n_ao, n_ao), ``occupations`` (n_ao,) between 0 and 2,
    ``shell_charges`` (n_shells,), ``n_cycles``.
    """

    energies: FloatArray
    coefficients: FloatArray
    occupations: FloatArray
    shell_charges: FloatArray
    n_cycles: int


def smeared(energies: torch.Tensor, n_electrons: float, kt: float) -> torch.Tensor:
    """Fermi occupations (0 to 2) that add up to ``n_electrons``, by bisection; energies and ``kt`` in one unit."""
    import torch

    low, high = energies[0] - 50.0 * kt, energies[-1] + 50.0 * kt
    for _ in range(100):
        level = 0.5 * (low + high)
        occupations = 2.0 * torch.special.expit((level - energies) / kt)
        below = occupations.sum() < n_electrons
        low, high = torch.where(below, level, low), torch.where(below, high, level)
    return occupations


class _Cycle:
    """One pass from shell charges to the orbitals in their field and the shell charges of those."""

    def __init__(self, parts: Gfn1Hamiltonian, charge: int, kt: float, device: str) -> None:
        import torch

        def on_device(array: FloatArray | IntArray) -> torch.Tensor:
            return torch.as_tensor(array, device=device)

        self._overlap, self._h0 = on_device(parts.overlap), on_device(parts.h0)
        self.kernel, self._derivative = on_device(parts.kernel), on_device(parts.hardness_derivative)
        self._reference, self._atom = on_device(parts.reference), on_device(parts.atom_of_shell)
        self._shell = on_device(parts.shell_of_ao)
        self._factor = inverse_cholesky(self._overlap)
        self._n_electrons, self._kt = float(parts.reference.sum()) - charge, kt

    def __call__(self, charges: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Orbital energies, coefficients, occupations, and the shell charges they make."""
        import torch

        atomic = torch.zeros_like(self._derivative).index_add_(0, self._atom, charges)
        potential = self.kernel @ charges + (self._derivative * atomic**2)[self._atom]
        field = potential[self._shell]
        h = self._h0 - 0.5 * self._overlap * (field[:, None] + field)
        energies, vectors = symmetric_eigh(self._factor @ h @ self._factor.T, "GFN1-xTB Hamiltonian")
        coefficients = self._factor.T @ vectors
        occupations = smeared(energies, self._n_electrons, self._kt)
        n = int((occupations > 1e-14).sum())
        occupied = coefficients[:, :n]
        populations = ((self._overlap @ occupied) * occupied) @ occupations[:n]
        made = self._reference - torch.zeros_like(charges).index_add_(0, self._shell, populations)
        return energies, coefficients, occupations, made


def self_consistent(
    parts: Gfn1Hamiltonian,
    charge: int,
    kt: float,
    tolerance: float,
    max_cycles: int,
    start: FloatArray | None = None,
    device: str = "cpu",
) -> SelfConsistent:
    """Cycle until no shell charge changes by more than ``tolerance`` (elementary charges).

    ``kt`` in hartree smears the occupation; ``start`` (n_shells,): first charges, default all the same.
    Raises ElectronicStructureError when ``max_cycles`` are not enough or the numbers are not finite.
    """
    import torch

    cycle = _Cycle(parts, charge, kt, device)
    n = len(parts.reference)
    identity = torch.eye(n, dtype=cycle.kernel.dtype, device=device)
    damping = torch.linalg.inv(identity + _SOFTNESS * cycle.kernel)
    charges = torch.as_tensor(np.full(n, charge / n) if start is None else start, device=device)
    known: list[tuple[torch.Tensor, torch.Tensor]] = []
    step, change = _STEP, float("inf")
    for count in range(1, max_cycles + 1):
        energies, coefficients, occupations, made = cycle(charges)
        residual = made - charges
        change = float(residual.abs().max())
        if change <= tolerance:
            e, c, f, q = (x.cpu().numpy() for x in (energies, coefficients, occupations, made))
            return SelfConsistent(e, c, f, q, count)
        damped = damping @ residual
        damped += (residual.sum() - damped.sum()) / n
        if count % _PATIENCE == 0:
            known, step = [], 0.5 * step
        known = [*known[1 - _DEPTH :], (charges, damped)]
        charges = _extrapolated(known, step)
    raise ElectronicStructureError(
        f"the charges still change by {change:.1e}", "allow more cycles, or raise the electronic temperature"
    )


def _extrapolated(known: list[tuple[torch.Tensor, torch.Tensor]], step: float) -> torch.Tensor:
    """Anderson's next point from points and residuals, the newest last."""
    import torch

    point, residual = known[-1]
    if len(known) > 1:
        points = torch.stack([point - x for x, _ in known[:-1]], dim=1)
        residuals = torch.stack([residual - x for _, x in known[:-1]], dim=1)
        # A least-squares fit through the normalised Gram matrix: on any device, and dependent directions drop out.
        scale = residuals.norm(dim=0)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        gram = residuals.T @ residuals / (scale[:, None] * scale)
        share = torch.linalg.pinv(gram, rtol=1e-13, hermitian=True) @ (residuals.T @ residual / scale) / scale
        point, residual = point - points @ share, residual - residuals @ share
    return point + step * residual
