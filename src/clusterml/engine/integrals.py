"""One-electron integrals over a :class:`~clusterml.engine.basis.Basis`, from libcint (through pyscf), float64."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np

from clusterml.engine.basis import Basis, contracted_shells
from clusterml.typing import FloatArray, IntArray

_ENV_START = 20  # libcint reserves the first slots of env for global settings, the very first one for the cutoff

_CUTOFF = 34.0
"""Pairs of primitives whose product is below exp(-34), 2e-15, everywhere are skipped; libcint's own cutoff is 60."""


def import_pyscf(module: str) -> Any:
    """A module of pyscf, which warns about environment settings on import: that is not the user's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(f"pyscf.{module}")


def libcint_arrays(basis: Basis) -> tuple[Any, Any, FloatArray]:
    """The (atm, bas, env) arrays of libcint for a basis; exponents and coefficients are used as they are."""
    mole = import_pyscf("gto.mole")
    n_at = basis.n_atoms
    atm = np.zeros((n_at, 6), dtype=np.int32)
    atm[:, 0] = 1
    atm[:, 1] = _ENV_START + 3 * np.arange(n_at)
    shells = basis.shells
    sizes = np.array([len(s.exponents) for s in shells])
    exponents = np.concatenate([s.exponents for s in shells])
    coefficients = np.concatenate([s.coefficients for s in shells])
    momenta = np.array([s.l for s in shells])
    for l in np.unique(momenta):
        of_l = np.repeat(momenta == l, sizes)
        coefficients[of_l] *= mole.gto_norm(int(l), exponents[of_l])
    first = _ENV_START + 3 * n_at + np.cumsum(sizes) - sizes
    one, zero = np.ones_like(sizes), np.zeros_like(sizes)
    columns = ([s.atom for s in shells], momenta, sizes, one, zero, first, first + len(exponents), zero)
    settings = np.zeros(_ENV_START)
    settings[0] = _CUTOFF
    env = np.concatenate([settings, basis.coords_bohr.ravel(), exponents, coefficients])
    return atm, np.column_stack(columns).astype(np.int32), env


def basis_of(mol: Any) -> Basis:
    """The basis of a built ``pyscf.gto.Mole`` of spherical functions: same functions, same order.

    Effective core potentials are no part of it.
    """
    shells = [
        shell
        for k in range(mol.nbas)
        for shell in contracted_shells(mol.bas_atom(k), mol.bas_angular(k), mol.bas_exp(k), mol.bas_ctr_coeff(k))
    ]
    return Basis(np.asarray(mol.atom_coords(), dtype=np.float64), tuple(shells))


_SYMMETRIC, _ANTISYMMETRIC = 1, 2  # libcint then computes one triangle only


def _compute(basis: Basis, name: str, symmetry: int) -> FloatArray:
    moleintor = import_pyscf("gto.moleintor")
    return np.asarray(moleintor.getints(name, *libcint_arrays(basis), hermi=symmetry))


def overlap(basis: Basis) -> FloatArray:
    """Overlap matrix <mu|nu>, shape (n_ao, n_ao)."""
    return _compute(basis, "int1e_ovlp_sph", _SYMMETRIC)


def kinetic(basis: Basis) -> FloatArray:
    """Kinetic energy matrix <mu|-1/2 nabla^2|nu> in hartree, shape (n_ao, n_ao)."""
    return _compute(basis, "int1e_kin_sph", _SYMMETRIC)


def dipole(basis: Basis) -> FloatArray:
    """<mu|r|nu> in bohr about the coordinate origin, shape (3, n_ao, n_ao), symmetric."""
    return _compute(basis, "int1e_r_sph", _SYMMETRIC)


def gradient(basis: Basis) -> FloatArray:
    """<mu|nabla|nu> in bohr^-1, shape (3, n_ao, n_ao), antisymmetric."""
    return -_compute(basis, "int1e_ipovlp_sph", _ANTISYMMETRIC)


def angular(basis: Basis) -> FloatArray:
    """<mu|r x nabla|nu> about the coordinate origin, shape (3, n_ao, n_ao), antisymmetric."""
    return _compute(basis, "int1e_cg_irxp_sph", _ANTISYMMETRIC)


def rows(basis: Basis, n_shells: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Overlap and kinetic energy, and dipole, gradient and angular momentum about the coordinate origin, of the first
    ``n_shells`` shells with all: twice (n_first, n_ao) and three times (3, n_first, n_ao)."""
    moleintor, arrays = import_pyscf("gto.moleintor"), libcint_arrays(basis)
    part = (0, n_shells, 0, len(basis.shells))
    names = ("int1e_ovlp_sph", "int1e_kin_sph", "int1e_r_sph", "int1e_ipovlp_sph", "int1e_cg_irxp_sph")
    made = (np.asarray(moleintor.getints(name, *arrays, shls_slice=part)) for name in names)
    overlaps, kinetics, dipoles, gradients, angulars = made
    return overlaps, kinetics, dipoles, -gradients, angulars


def cartesian_overlap(basis: Basis) -> tuple[FloatArray, FloatArray]:
    """Overlap of the *normalised* Cartesian functions, and the transformation from spherical to them.

    Returns ``(s_cart (n_cart, n_cart), to_cart (n_cart, n_ao))``: ``to_cart @ c`` expresses spherical orbital
    coefficients in normalised Cartesian functions (six per d shell, ten per f
    shell), the representation of the reference program.
    """
    from scipy.linalg import block_diag

    mole = import_pyscf("gto.mole")
    s = _compute(basis, "int1e_ovlp_cart", _SYMMETRIC)
    norm = np.sqrt(np.diag(s))
    blocks = {l: mole.cart2sph(l, normalized="sp") for l in {sh.l for sh in basis.shells}}
    to_cart = block_diag(*[blocks[sh.l] for sh in basis.shells])
    return s / np.outer(norm, norm), to_cart * norm[:, None]


def cartesian_atoms(basis: Basis) -> IntArray:
    """Atom index of each Cartesian function, shape (n_cart,)."""
    sizes = [(s.l + 1) * (s.l + 2) // 2 for s in basis.shells]
    return np.repeat(np.array([s.atom for s in basis.shells], dtype=np.int64), sizes)
