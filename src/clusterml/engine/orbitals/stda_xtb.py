"""The sTDA-xTB ground state of a closed shell: two tight-binding stages without self-consistency.

Stage 1 (minimal basis) gives atomic charges in exactly two passes; stage 2 (valence + Rydberg basis) gives the
orbitals in one diagonalisation, with all virtual levels raised by 3.1 eV (stda-xtb.md, sections 7 and 8).
Source: S. Grimme, C. Bannwarth, J. Chem. Phys. 145, 054103 (2016), in the form of the program xtb4stda 1.0.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine import atomic, integrals
from clusterml.engine.basis import Basis, stage_basis
from clusterml.engine.kernels import stda_kernels
from clusterml.engine.linalg import inverse_cholesky, overlap_powers, symmetric_eigh
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.engine.orbitals.source import OrbitalSource
from clusterml.engine.parameters import core_electrons, per_atom, stage_globals, stage_per_atom, tables
from clusterml.errors import ChargeError, ElectronicStructureError
from clusterml.typing import FloatArray
from clusterml.units import BOLTZMANN_HARTREE, REFERENCE_BOHR_ANGSTROM, REFERENCE_HARTREE_EV

if TYPE_CHECKING:
    import torch
    from ase import Atoms

    from clusterml.engine.protocol import Compute, Protocol


def core_hamiltonian(basis: Basis, cn: FloatArray, stage: int, s: FloatArray, t: FloatArray) -> FloatArray:
    """H0 of one stage in eV, (n_ao, n_ao) (stda-xtb.md, section 7); ``s`` overlap, ``t`` kinetic (hartree)."""
    g = stage_globals(stage)
    levels = np.array([sh.level_ev * (1.0 + g.level_cn * cn[sh.atom]) for sh in basis.shells])
    h = basis.expand(levels)
    rydberg = basis.expand(np.array([sh.kind == "rydberg" for sh in basis.shells]))
    k = basis.expand([0.0 if sh.kind == "rydberg" else g.k_shell[sh.l] for sh in basis.shells])
    n_rydberg = rydberg.astype(int)[:, None] + rydberg.astype(int)[None, :]
    scale = np.where(
        n_rydberg == 0,
        0.5 * (k[:, None] + k[None, :]),
        np.where(n_rydberg == 1, g.k_rydberg_valence, g.k_rydberg_rydberg),
    )
    h0 = 0.5 * scale * s * (h[:, None] + h[None, :])
    h0 -= np.where(n_rydberg == 0, g.kinetic_scale * REFERENCE_HARTREE_EV * t, 0.0)
    np.fill_diagonal(h0, h)
    return np.asarray(h0)


def coulomb_kernel(symbols: Sequence[str], coords_bohr: FloatArray, stage: int) -> FloatArray:
    """Charge-charge kernel gamma_AB of one stage in eV, (n_atoms, n_atoms) (stda-xtb.md, section 7)."""
    hardness = stage_per_atom(symbols, stage, "gam_hartree")
    r = atomic.distances(coords_bohr)
    return np.asarray(REFERENCE_HARTREE_EV / (r + 1.0 / np.sqrt(np.outer(hardness, hardness))))


def screened_overlap(s: FloatArray) -> FloatArray:
    """Overlap without the elements the reference program ignores in the charge term; this depends on orientation."""
    return np.where(np.abs(s) > tables()["overlap_threshold_H1"], s, 0.0)


def hamiltonian(basis: Basis, h0: FloatArray, s: FloatArray, potential: FloatArray, stage: int) -> FloatArray:
    """H0 plus the charge term; ``potential`` (n_atoms,) in eV, shape (n_ao, n_ao)."""
    v = potential[basis.atom_of_ao]
    return np.asarray(h0 - 0.5 * stage_globals(stage).coulomb_scale * s * (v[:, None] + v[None, :]))


def fermi_occupations(energies_ev: FloatArray, n_electrons: int, temperature_k: float) -> FloatArray:
    """Fermi occupations (0..2) of a closed shell, (n_mo,) (stda-xtb.md, section 8); integer without virtuals."""
    n_occ = n_electrons // 2
    if n_occ == 0 or n_occ >= len(energies_ev):
        return np.where(np.arange(len(energies_ev)) < n_occ, 2.0, 0.0)
    kt = BOLTZMANN_HARTREE * REFERENCE_HARTREE_EV * temperature_k
    level = 0.5 * (energies_ev[n_occ - 1] + energies_ev[n_occ])
    for _ in range(200):
        x = (energies_ev - level) / kt
        f = np.where(x < 50.0, 1.0 / (1.0 + np.exp(np.minimum(x, 50.0))), 0.0)
        excess = n_occ - f.sum()
        if abs(excess) <= 1e-9:
            break
        slope = (f * (1.0 - f)).sum() / kt
        if slope <= 0.0:
            break
        level += excess / slope
    return 2.0 * f


class _Stage:
    """One tight-binding stage at a fixed geometry: basis, integrals and the factorised overlap.

    ``loewdin``: orthogonalise as Löwdin does, so that eigenvectors are the coefficients over his functions.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        coords: FloatArray,
        cn: FloatArray,
        stage: int,
        screen: bool,
        device: str,
        loewdin: bool = False,
    ) -> None:
        import torch

        self.stage = stage
        self.basis = stage_basis(symbols, coords, cn, stage)
        self.s = integrals.overlap(self.basis)
        self.h0 = core_hamiltonian(self.basis, cn, stage, self.s, integrals.kinetic(self.basis))
        self.s_charge = screened_overlap(self.s) if screen else self.s
        self.gamma = coulomb_kernel(symbols, coords, stage)
        self.device = torch.device(device)
        self.s_device = torch.as_tensor(self.s, device=self.device)
        self.inverse_factor = overlap_powers(self.s_device)[1] if loewdin else inverse_cholesky(self.s_device)

    def diagonalise(self, q: FloatArray) -> tuple[FloatArray, torch.Tensor, torch.Tensor]:
        """Orbital energies (eV) in the field of the atomic charges ``q``, coefficients (n_ao, n_ao) over the atomic and
        over the orthogonalised functions."""
        import torch

        h = torch.as_tensor(
            hamiltonian(self.basis, self.h0, self.s_charge, self.gamma @ q, self.stage), device=self.device
        )
        energies, vectors = symmetric_eigh(
            self.inverse_factor @ h @ self.inverse_factor.T, f"stage {self.stage} Hamiltonian"
        )
        return energies.cpu().numpy(), self.inverse_factor.T @ vectors, vectors

    def mulliken(self, energies: FloatArray, c: torch.Tensor, n_electrons: int, temperature_k: float) -> FloatArray:
        """Mulliken electron populations per atom, shape (n_atoms,)."""
        import torch

        f = fermi_occupations(energies, n_electrons, temperature_k)
        n = int(np.flatnonzero(f).max(initial=-1)) + 1
        occupied = c[:, :n]
        weights = (occupied * (self.s_device @ occupied)) @ torch.as_tensor(f[:n], device=self.device)
        populations = np.bincount(self.basis.atom_of_ao, weights=weights.cpu().numpy(), minlength=self.basis.n_atoms)
        return np.asarray(populations, dtype=np.float64)


def stage_one_charges(
    symbols: Sequence[str],
    coords_bohr: FloatArray,
    cn: FloatArray,
    charge: int,
    screen: bool = True,
    device: str = "cpu",
) -> list[FloatArray]:
    """Atomic charges ``[q0, q1, q2]``, each (n_atoms,): start, and after each of the two passes of stage 1.

    ``screen`` as in :func:`stda_xtb_orbitals`.
    """
    z = per_atom(symbols, "n_valence_electrons")
    n_electrons = electron_count(symbols, charge)
    stage = _Stage(symbols, coords_bohr, cn, 1, screen, device)
    correction = atomic.cm5_correction(symbols, coords_bohr)
    history = [atomic.starting_charges(symbols, coords_bohr, cn, charge)]
    for _ in range(tables()["stage1"]["scc_passes"]):
        energies, c, _ = stage.diagonalise(history[-1])
        populations = stage.mulliken(energies, c, n_electrons, tables()["stage1"]["etemp_K"])
        history.append(z - populations + correction)
    return history


def electron_count(symbols: Sequence[str], charge: int) -> int:
    """Number of valence electrons treated by sTDA-xTB. Raises UnsupportedElementError."""
    return round(float(per_atom(symbols, "n_valence_electrons").sum())) - charge


def stda_xtb_orbitals(
    symbols: Sequence[str], positions: FloatArray, charge: int, *, screen: bool = False, device: str = "cpu"
) -> Orbitals:
    """Orbitals of the sTDA-xTB Hamiltonian for a closed shell.

    ``positions`` (n_atoms, 3) in angstrom. ``screen``: ignore overlaps below 1e-6 in the charge term as the reference
    program does, at the price of rotational invariance (1e-5 of the CD maximum). Virtual levels contain the 3.1 eV
    shift; orbitals above 3 hartree are cut.
    Raises UnsupportedElementError, ChargeError, ElectronicStructureError.
    """
    start = time.perf_counter()
    coords = np.asarray(positions, dtype=np.float64) / REFERENCE_BOHR_ANGSTROM
    cn = atomic.coordination_numbers(symbols, coords)
    n_electrons = electron_count(symbols, charge)
    if n_electrons % 2:
        raise ChargeError(f"{n_electrons} valence electrons are an odd number", "check the charge")
    q = stage_one_charges(symbols, coords, cn, charge, screen, device)[-1]
    charges_done = time.perf_counter()
    stage = _Stage(symbols, coords, cn, 2, screen, device, loewdin=not screen)
    energies, c, vectors = stage.diagonalise(q)
    n_occ = n_electrons // 2
    if not 0 < n_occ < len(energies):
        raise ElectronicStructureError(
            f"{n_electrons} valence electrons leave no occupied or no virtual orbital among {len(energies)}",
            "check the charge",
        )
    shift = stage_globals(2).level_shift_ev
    energies[n_occ:] += shift
    cut = tables()["stage2"]["mo_write_cutoff_hartree"] * REFERENCE_HARTREE_EV
    n_kept = int(np.argmax(energies > cut)) if (energies > cut).any() else len(energies)
    timings = {"stage1": charges_done - start, "stage2": time.perf_counter() - charges_done}
    return Orbitals(
        symbols=tuple(symbols),
        basis=stage.basis,
        energies_ev=energies[:n_kept],
        coefficients=c[:, :n_kept].cpu().numpy(),
        loewdin=None if screen else vectors[:, :n_kept].cpu().numpy(),
        n_occupied=n_occ,
        method="sTDA-xTB",
        kernels=stda_kernels(tuple(symbols), stage.basis.coords_bohr),
        virtual_shift_ev=shift,
        charges=q,
        core_electrons=core_electrons(symbols),
        timings_s=timings,
    )


def _compute(atoms: Atoms, charge: int, protocol: Protocol, compute: Compute, start_from: Atoms | None) -> Orbitals:
    """Nothing is iterated, so that ``start_from`` saves nothing."""
    screen = protocol.mode == "reference"
    return stda_xtb_orbitals(
        atoms.get_chemical_symbols(), atoms.positions, charge, screen=screen, device=compute.device
    )


ORBITAL_SOURCES = (OrbitalSource("stda-xtb", _compute, exchange=True),)
