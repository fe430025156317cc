"""Where an excitation lives: shares of groups of atoms in the hole and the electron, and band assignments.

The hole of state X has the density X X^T over occupied orbitals, the electron X^T X over virtual ones; their Löwdin
populations summed over a group of atoms are the group's shares (each adds up to 1 over all groups).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine.response.active import ActiveSpace
from clusterml.engine.response.excited import ExcitedStates
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.anatomy.kernel import CHALCOGENS, metal_frame
from clusterml.structure.bonds import bonds
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray
from clusterml.units import FWHM_PER_SIGMA

if TYPE_CHECKING:
    import torch
    from ase import Atoms


def element_groups(atoms: Atoms) -> dict[str, IntArray]:
    """Partition of the atoms into named groups; every atom is in exactly one, empty groups are left out.

    * ``metal kernel``: the kernel of :mod:`clusterml.structure.anatomy.kernel` (the icosahedron of Ag25 or Ag29,
      Ag4@Ag12 of Ag70; left out where there is none);
    * ``metal shell``: all other metals;
    * ``sulfur``: S, Se and Te bonded to a metal (sulfides and thiolates alike);
    * ``ligands``: everything else.

    A molecule without metals is grouped by element symbol.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    if not metal.any():
        symbols = np.array(atoms.get_chemical_symbols())
        return {str(symbol): np.flatnonzero(symbols == symbol).astype(np.int64) for symbol in dict.fromkeys(symbols)}
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    mixed = pairs.select(metal[pairs.first] != metal[pairs.second])
    touched = np.zeros(len(numbers), dtype=np.bool_)
    touched[mixed.first] = True
    touched[mixed.second] = True
    sulfur = np.isin(numbers, CHALCOGENS) & touched
    kernel = np.zeros(len(numbers), dtype=np.bool_)
    kernel[metal_frame(atoms).kernel] = True
    masks = {
        "metal kernel": kernel,
        "metal shell": metal & ~kernel,
        "sulfur": sulfur,
        "ligands": ~metal & ~sulfur,
    }
    return {name: np.flatnonzero(mask).astype(np.int64) for name, mask in masks.items() if mask.any()}


_SIGNIFICANT = 0.01
"""States that give less than this share of a band's largest contribution are left out of its assignment."""

_MAX_STATES_PER_BAND = 24


@dataclass(frozen=True)
class Band:
    """One extremum of a spectrum and what it is made of.

    ``kind`` absorption or cd; ``height`` in L mol-1 cm-1 (signed for CD); ``hole``, ``electron``: group -> share.
    """

    kind: str
    energy_ev: float
    height: float
    hole: dict[str, float]
    electron: dict[str, float]


def atom_shares(space: ActiveSpace, amplitudes: torch.Tensor) -> tuple[FloatArray, FloatArray]:
    """Löwdin shares of every atom in hole and electron, each (k, n_atoms), for amplitudes (k, n_o, n_v)."""
    import torch

    shares: list[FloatArray] = []
    for left in (lambda x: space.l_o @ x, lambda x: space.l_v @ x.T):
        rows = torch.stack([space.atom_sum((left(x) ** 2).sum(1)) for x in amplitudes])
        shares.append((rows / rows.sum(1, keepdim=True)).double().cpu().numpy())
    return shares[0], shares[1]


def extrema(values: FloatArray, threshold: float = 0.02) -> IntArray:
    """Indices of local maxima of |values| (m,) higher than ``threshold`` of the largest, shape (k,)."""
    height = np.abs(values)
    inner = (
        (height[1:-1] >= height[:-2]) & (height[1:-1] > height[2:]) & (height[1:-1] > threshold * height.max(initial=0))
    )
    return np.flatnonzero(inner).astype(np.int64) + 1


def band_assignments(states: ExcitedStates, spectrum: Spectrum, groups: Mapping[str, IntArray]) -> list[Band]:
    """Hole and electron shares of ``groups`` (name -> atom indices) for every absorption and CD band of ``spectrum``.

    Each band averages the states under it, weighted with their contribution to it (absolute value for CD). Empty when
    the states' amplitudes were not kept or there are no groups.
    """
    if states.amplitudes is None or not groups:
        return []
    t = states.transitions
    gauge = str(spectrum.meta["gauge"])
    strengths = {"absorption": t.f(str(spectrum.meta["absorption_gauge"])), "cd": t.energy_ev * t.r_cgs(gauge)}
    curves = {"absorption": spectrum.epsilon, "cd": spectrum.delta_epsilon}
    sigma = float(spectrum.meta["fwhm_ev"]) / FWHM_PER_SIGMA
    places = [(kind, int(at)) for kind, curve in curves.items() for at in extrema(curve)]
    shares: dict[int, tuple[FloatArray, FloatArray]] = {}
    bands = []
    for kind, at in places:
        energy = float(spectrum.energy_ev[at])
        weight = np.abs(strengths[kind]) * np.exp(-0.5 * ((t.energy_ev - energy) / sigma) ** 2)
        strongest = np.argsort(-weight, kind="stable")[:_MAX_STATES_PER_BAND]
        which = strongest[weight[strongest] > _SIGNIFICANT * weight.max()]
        new = np.array([k for k in which if k not in shares], dtype=np.int64)
        if len(new):
            shares |= dict(
                zip(new.tolist(), zip(*atom_shares(states.space, states.amplitudes(new)), strict=True), strict=True)
            )
        hole, electron = (
            np.average([shares[int(k)][side] for k in which], axis=0, weights=weight[which]) for side in (0, 1)
        )
        bands.append(
            Band(
                kind,
                energy,
                float(curves[kind][at]),
                {name: float(hole[atoms].sum()) for name, atoms in groups.items()},
                {name: float(electron[atoms].sum()) for name, atoms in groups.items()},
            )
        )
    return bands
