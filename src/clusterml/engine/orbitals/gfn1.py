"""GFN1-xTB: the Hamiltonian of a geometry, and its self-consistent charges.

Source: S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017), in the form of tblite
(levels shifted by the coordination number in eV; shell hardnesses joined by their harmonic mean).

The charges are extrapolated by Anderson's method over residuals that are damped like the long waves of a metal: with
the kernel gamma and a softness c, (1 + c gamma)^-1 takes out of each residual what the charges' own field would drive
back.  Without it metal clusters need two to three times the cycles, and charge sloshes through their cores.
Sources: S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017), equation 7 (the Hamiltonian);
D. G. Anderson, J. ACM 12, 547 (1965); G. P. Kerker, Phys. Rev. B 23, 3082 (1981) (the idea of the damping).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine import integrals
from clusterml.engine.atomic import distances, neighbour_counts
from clusterml.engine.basis import Basis, gfn_basis
from clusterml.engine.linalg import inverse_cholesky, symmetric_eigh
from clusterml.errors import ElectronicStructureError
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import torch


_HARTREE_EV = 27.21138505
"""The hartree that the levels were converted with; an older value than :data:`clusterml.units.HARTREE_EV`."""

_CN_CUTOFF_BOHR = 25.0
"""Atoms farther away do not count as neighbours."""


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    text = files("clusterml.engine").joinpath("data/gfn1_hamiltonian.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@dataclass(frozen=True)
class Gfn1Hamiltonian:
    """What the self-consistent cycle needs, in hartree, over ``basis``.

    ``overlap``, ``h0`` (n_ao, n_ao); ``kernel`` (n_shells, n_shells): gamma between shell charges;
    ``hardness_derivative`` (n_atoms,): Gamma of the third-order term Gamma_A q_A^3 / 3; ``reference`` (n_shells,): the
    electrons of the neutral shells; ``atom_of_shell`` (n_shells,), ``shell_of_ao`` (n_ao,).
    """

    basis: Basis
    overlap: FloatArray
    h0: FloatArray
    kernel: FloatArray
    hardness_derivative: FloatArray
    reference: FloatArray
    atom_of_shell: IntArray
    shell_of_ao: IntArray


def gfn1_hamiltonian(symbols: Sequence[str], coords_bohr: FloatArray) -> Gfn1Hamiltonian:
    """The GFN1-xTB Hamiltonian of atoms at ``coords_bohr`` (n_atoms, 3). Raises UnsupportedElementError."""
    basis = gfn_basis(symbols, coords_bohr, "gfn1")
    overlap = integrals.overlap(basis)
    atom = np.array([shell.atom for shell in basis.shells], dtype=np.int64)
    entries = [_tables()["elements"][symbol] for symbol in symbols]
    place = np.arange(len(atom)) - np.searchsorted(atom, atom)
    shell = np.asarray(basis.expand(np.arange(len(atom))), dtype=np.int64)

    def per_atom(key: str) -> FloatArray:
        return np.array([entry[key] for entry in entries])

    def per_shell(key: str) -> FloatArray:
        return np.array([entries[a][key][k] for a, k in zip(atom, place, strict=True)])

    r = distances(np.asarray(coords_bohr, dtype=np.float64))
    cn = neighbour_counts(coords_bohr, per_atom("covalent_radius_bohr"), _CN_CUTOFF_BOHR)
    levels = (per_shell("levels_ev") - per_shell("level_cn_ev") * cn[atom]) / _HARTREE_EV
    radius = per_atom("radius_bohr")
    reduced = np.sqrt(r / np.add.outer(radius, radius))[np.ix_(atom, atom)]
    stretch = 1.0 + per_shell("shell_polynomial")[:, None] * reduced
    scale = _shell_scale(basis, symbols, atom, place) * stretch * stretch.T
    scale[atom[:, None] == atom] = 1.0
    scale *= 0.5 * np.add.outer(levels, levels)
    softness = 1.0 / (per_atom("hardness_hartree")[atom] * per_shell("shell_hardness_factor"))
    return Gfn1Hamiltonian(
        basis=basis,
        overlap=overlap,
        h0=overlap * scale[np.ix_(shell, shell)],
        kernel=1.0 / np.hypot(r[np.ix_(atom, atom)], 0.5 * np.add.outer(softness, softness)),
        hardness_derivative=per_atom("hardness_derivative_hartree"),
        reference=per_shell("reference_occupation"),
        atom_of_shell=atom,
        shell_of_ao=shell,
    )


def _shell_scale(basis: Basis, symbols: Sequence[str], atom: IntArray, place: IntArray) -> FloatArray:
    """K of the off-site elements: shells, pairs of elements and electronegativities, (n_shells, n_shells).

    The second s shell of hydrogen is a polarisation function, whose K depends on nothing but the shells.
    """
    tables = _tables()
    between = {frozenset(pair): k for pair, k in tables["k_shell"].items()}
    labels = ["spd"[shell.l] for shell in basis.shells]
    diagonal = {l: between[frozenset(l)] for l in "spd"}
    k_shell = {(a, b): between.get(frozenset((a, b)), 0.5 * (diagonal[a] + diagonal[b])) for a in "spd" for b in "spd"}
    k_pair = {frozenset(pair.split("-")): k for pair, k in tables["k_pair"].items()}
    kinds = sorted(set(symbols))
    kind = np.array([kinds.index(symbol) for symbol in symbols])[atom]
    chi = np.array([tables["elements"][symbol]["electronegativity"] for symbol in kinds])
    pair = np.array([[k_pair.get(frozenset((a, b)), 1.0) for b in kinds] for a in kinds])
    pair *= 1.0 + tables["electronegativity_scale"] * np.subtract.outer(chi, chi) ** 2
    angular = np.array(["spd".index(label) for label in labels])
    valence_scale = np.array([[k_shell[a, b] for b in "spd"] for a in "spd"])[np.ix_(angular, angular)]
    polarisation = np.array([symbols[a] == "H" and k == 1 for a, k in zip(atom, place, strict=True)])
    own = np.where(polarisation, tables["k_polarisation"], np.array([diagonal[label] for label in labels]))
    return np.where(
        np.logical_or.outer(polarisation, polarisation),
        0.5 * np.add.outer(own, own),
        valence_scale * pair[np.ix_(kind, kind)],
    )


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
