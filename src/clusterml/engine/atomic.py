"""Atomic quantities of a geometry: coordination numbers, charges, CM5 correction (stda-xtb.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clusterml.engine.parameters import per_atom, stage_per_atom, tables
from clusterml.typing import FloatArray
from clusterml.units import REFERENCE_BOHR_ANGSTROM


def distances(coords: FloatArray) -> FloatArray:
    """All interatomic distances, shape (n_atoms, n_atoms), in the unit of ``coords`` (n_atoms, 3)."""
    delta = coords[:, None, :] - coords[None, :, :]
    return np.asarray(np.sqrt((delta**2).sum(-1)))


def coordination_numbers(symbols: Sequence[str], coords_bohr: FloatArray) -> FloatArray:
    """D3 coordination numbers of sTDA-xTB, shape (n_atoms,) (stda-xtb.md, 4.1)."""
    return neighbour_counts(coords_bohr, per_atom(symbols, "rcov_cn_bohr"), tables()["cn"]["cutoff_r2_bohr2"] ** 0.5)


def neighbour_counts(coords_bohr: FloatArray, radii_bohr: FloatArray, cutoff_bohr: float) -> FloatArray:
    """D3 coordination numbers (n_atoms,) from covalent radii (n_atoms,); atoms beyond the cutoff do not count."""
    return np.asarray(neighbour_shares(distances(coords_bohr), radii_bohr, cutoff_bohr).sum(axis=1))


def neighbour_shares(distances_bohr: FloatArray, radii_bohr: FloatArray, cutoff_bohr: float) -> FloatArray:
    """How much every atom counts as a neighbour of every other, 0 to 1, (n_atoms, n_atoms), from their distances."""
    r = distances_bohr + np.diag(np.full(len(distances_bohr), np.inf))
    shares = 1.0 / (1.0 + np.exp(-tables()["cn"]["k"] * (np.add.outer(radii_bohr, radii_bohr) / r - 1.0)))
    return np.where(r > cutoff_bohr, 0.0, shares)


def starting_charges(symbols: Sequence[str], coords_bohr: FloatArray, cn: FloatArray, charge: int) -> FloatArray:
    """Electronegativity charges q0, shape (n_atoms,), summing to ``charge`` (stda-xtb.md, 4.2)."""
    z = per_atom(symbols, "n_valence_electrons")
    if len(symbols) == 1:
        return np.array([float(charge)])
    chi = stage_per_atom(symbols, 1, "en") - tables()["stage1"]["globals"]["ken"] * np.sqrt(cn)
    rcov = per_atom(symbols, "rcov_cn_bohr")
    r = distances(coords_bohr)
    np.fill_diagonal(r, np.inf)
    ratio = (0.5 * np.add.outer(rcov, rcov) / r) ** tables()["en_charges"]["power"]
    populations = z + (np.subtract.outer(chi, chi) * ratio).sum(axis=1)
    return np.asarray(z - populations * (z.sum() - charge) / z.sum())


def cm5_correction(symbols: Sequence[str], coords_bohr: FloatArray) -> FloatArray:
    """Charge-model-5 correction of Mulliken charges, shape (n_atoms,), summing to zero (stda-xtb.md, 4.3)."""
    radius, a0 = per_atom(symbols, "cm5_radius_angstrom"), per_atom(symbols, "cm5_a0")
    return cm5_charges(symbols, distances(coords_bohr) * REFERENCE_BOHR_ANGSTROM, radius, a0)


def cm5_charges(symbols: Sequence[str], r: FloatArray, radius: FloatArray, a0: FloatArray) -> FloatArray:
    """The same from distances ``r`` (n_atoms, n_atoms) in angstrom, and the elements' radii and D_Z (n_atoms,)."""
    settings = tables()["cm5"]
    d = np.subtract.outer(a0, a0)
    labels = np.array(symbols)
    for pair, value in settings["pair_D"].items():
        first, second = pair.split("-")
        mask = np.outer(labels == first, labels == second)
        d[mask] = value
        d[mask.T] = -value
    d[labels[:, None] == labels[None, :]] = 0.0
    return np.asarray((d * np.exp(-settings["alpha_per_angstrom"] * (r - np.add.outer(radius, radius)))).sum(axis=1))
