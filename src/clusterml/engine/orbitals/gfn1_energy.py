"""Energy of GFN1-xTB in vacuum and its derivative by the positions, for relaxations.

With the self-consistent density P, the energy-weighted density W and the shell charges q, whose potential is v,
  dE = sum_mn (P_mn k_mn - W_mn - P_mn (v_m + v_n) / 2) dS_mn + sum_mn P_mn S_mn dk_mn + q dgamma q / 2
       + d(repulsion) + d(dispersion) + d(halogen bonds),
where H0 = k * S elementwise: k depends on distances and coordination numbers.  The derivative of an overlap by the
centre of its first function is <mu|nabla|nu>.  With fractional occupations E is the free energy.
Sources: S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017); D3(BJ), by dftd3: S. Grimme,
S. Ehrlich, L. Goerigk, J. Comput. Chem. 32, 1456 (2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.atomic import distances
from clusterml.engine.orbitals.gfn1 import Gfn1Hamiltonian, Gfn1Shells
from clusterml.engine.parameters import data_tables, tables
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from clusterml.engine.orbitals.newton import SelfConsistent


_ACCEPTORS = ("N", "O", "P", "S")
"""Elements to which Br, I and At make halogen bonds ..."""
_REACH_BOHR = 20.0
"""... within this distance."""


def gfn1_energy(
    symbols: Sequence[str], coords_bohr: FloatArray, parts: Gfn1Hamiltonian, state: SelfConsistent, kt: float
) -> tuple[float, FloatArray]:
    """Free energy (hartree) and its gradient (n_atoms, 3) in hartree/bohr.

    ``parts``: the Hamiltonian of the molecule at ``coords_bohr`` (n_atoms, 3), without a solvent; ``state``: its
    ground state at the electronic temperature ``kt`` (hartree).  Its error is of second order in that of the charges,
    the gradient's of first order.
    """
    r = distances(coords_bohr)
    electronic, slope, gradient = _electronic(symbols, r, parts, state, kt)
    repulsion, its_slope = _repulsion(symbols, r)
    dispersion, its_gradient = _dispersion(symbols, coords_bohr)
    bonding, of_bonding = _halogen_bonds(symbols, coords_bohr)
    with np.errstate(invalid="ignore"):
        per_length = (slope + its_slope) / r
    per_length[np.isnan(per_length)] = 0.0
    away = coords_bohr[:, None, :] - coords_bohr[None, :, :]
    gradient += (per_length[:, :, None] * away).sum(axis=1) + its_gradient + of_bonding
    return electronic + repulsion + dispersion + bonding, gradient


def _electronic(
    symbols: Sequence[str], r: FloatArray, parts: Gfn1Hamiltonian, state: SelfConsistent, kt: float
) -> tuple[float, FloatArray, FloatArray]:
    """Energy, its derivative by distances (n_atoms, n_atoms; each pair stands twice) and the gradient of overlaps."""
    shells = Gfn1Shells.of(symbols, parts.basis)
    c, f = state.coefficients, state.occupations
    filled = f > 1e-14
    weighted = c[:, filled] * f[filled]
    density = weighted @ c[:, filled].T
    of_energy = (weighted * state.energies[filled]) @ c[:, filled].T
    q, n = state.shell_charges, len(r)
    of_atoms = np.bincount(shells.atom, weights=q, minlength=n)
    potential = parts.kernel @ q + (parts.hardness_derivative * of_atoms**2)[shells.atom]
    share = f[filled] / 2.0
    entropy = 2.0 * float((share * np.log(share) + _xlogx(1.0 - share)).sum())
    energy = float((density * parts.h0).sum() + 0.5 * q @ parts.kernel @ q + kt * entropy)
    energy += float((parts.hardness_derivative * of_atoms**3).sum()) / 3.0

    shares = shells.neighbours(r)
    levels = shells.levels(shares.sum(axis=1))
    mean = 0.5 * np.add.outer(levels, levels)
    pi, x = shells.stretch(r)
    k = np.where(shells.same_atom, 1.0, shells.between * pi)
    shell = parts.shell_of_ao
    of_shells = _summed(density * parts.overlap, shell)  # P S of pairs of shells

    factor = (k * mean)[np.ix_(shell, shell)] - 0.5 * np.add.outer(potential[shell], potential[shell])
    forces = density * factor - of_energy
    gradient = np.array([2.0 * (forces * nabla).sum(axis=1) for nabla in integrals.gradient(parts.basis)])
    atom = shells.atom[shell]
    of_overlaps = np.array([np.bincount(atom, weights=row, minlength=n) for row in gradient]).T

    p = shells.polynomial
    rise = p[:, None] * (1.0 + p[None, :] * x) + p[None, :] * (1.0 + p[:, None] * x)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_distance = of_shells * shells.between * mean * rise * x / (2.0 * shells.spread(r))
    by_distance[shells.same_atom] = 0.0
    by_distance -= 0.5 * np.outer(q, q) * shells.spread(r) * parts.kernel**3
    slope = 2.0 * _summed(by_distance, shells.atom)
    by_level = (of_shells * k).sum(axis=1)
    by_coordination = -np.bincount(shells.atom, weights=by_level * shells.level_cn, minlength=n)
    slope += np.add.outer(by_coordination, by_coordination) * _share_slope(r, shells, shares)
    return energy, slope, of_overlaps


def _xlogx(x: FloatArray) -> FloatArray:
    return np.where(x > 0.0, x * np.log(np.maximum(x, 1e-300)), 0.0)


def _summed(matrix: FloatArray, groups: IntArray) -> FloatArray:
    """Sums over rows and columns of one group each; ``groups`` ascends."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.asarray(np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1))


def _share_slope(r: FloatArray, shells: Gfn1Shells, shares: FloatArray) -> FloatArray:
    """Derivative of the shares of neighbours by the distance."""
    sums = np.add.outer(shells.covalent, shells.covalent)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = -shares * (1.0 - shares) * tables()["cn"]["k"] * sums / r**2
    return np.where(r > 0.0, slope, 0.0)


def _repulsion(symbols: Sequence[str], r: FloatArray) -> tuple[float, FloatArray]:
    """Its energy, and the derivative by each distance."""
    nuclear = data_tables("gfn1_nuclear")
    charge, exponent = (
        np.array([nuclear["elements"][symbol][key] for symbol in symbols]) for key in ("charge", "exponent_bohr")
    )
    power = nuclear["repulsion_power"]
    far = r + np.diag(np.full(len(r), np.inf))
    steep = np.sqrt(np.outer(exponent, exponent))
    with np.errstate(invalid="ignore"):
        energy = np.outer(charge, charge) * np.exp(-steep * far**power) / far
        slope = -energy * (1.0 / far + power * steep * far ** (power - 1.0))
    np.fill_diagonal(slope, 0.0)
    return 0.5 * float(energy.sum()), slope


def _dispersion(symbols: Sequence[str], coords_bohr: FloatArray) -> tuple[float, FloatArray]:
    from ase.data import atomic_numbers
    from dftd3.interface import DispersionModel, RationalDampingParam

    damping = RationalDampingParam(**data_tables("gfn1_nuclear")["dispersion_d3"])
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols])
    result = DispersionModel(numbers, np.asarray(coords_bohr, dtype=np.float64)).get_dispersion(damping, grad=True)
    return float(result["energy"]), np.asarray(result["gradient"])


def _halogen_bonds(symbols: Sequence[str], coords_bohr: FloatArray) -> tuple[float, FloatArray]:
    """Energy and gradient (n_atoms, 3) of halogens X, bonded to their nearest atom, with acceptors at a distance R.

    k (1/2 - cos(angle at X) / 2)^6 (u^2 - d u) / (1 + u^2), u = ((r_X + r_acceptor) s / R)^6.
    """
    import torch

    nuclear, elements = data_tables("gfn1_nuclear"), data_tables("gfn1_hamiltonian")["elements"]
    strength = np.array([nuclear["elements"][symbol]["halogen_bond_hartree"] for symbol in symbols])
    distance = distances(coords_bohr)
    nearest = np.argmin(distance + np.diag(np.full(len(symbols), np.inf)), axis=1)
    accepts = np.isin(symbols, _ACCEPTORS)
    halogen, other = np.nonzero(np.outer(strength > 0.0, accepts) & (distance <= _REACH_BOHR))
    if not len(halogen):
        return 0.0, np.zeros((len(symbols), 3))
    radius = np.array([elements[symbol]["radius_bohr"] for symbol in symbols])
    touching = torch.as_tensor(nuclear["halogen_radius_scale"] * (radius[halogen] + radius[other]))
    with torch.enable_grad():
        x = torch.tensor(coords_bohr, dtype=torch.float64, requires_grad=True)
        bond, contact = x[nearest[halogen]] - x[halogen], x[other] - x[halogen]
        r = contact.norm(dim=1)
        cosine = (bond * contact).sum(dim=1) / (bond.norm(dim=1) * r)
        u = (touching / r) ** 6
        well = (u**2 - nuclear["halogen_damping"] * u) / (1.0 + u**2)
        energy = (torch.as_tensor(strength[halogen]) * (0.5 - 0.5 * cosine) ** 6 * well).sum()
        (gradient,) = torch.autograd.grad(energy, x)
    return float(energy.detach()), np.asarray(gradient.numpy())
