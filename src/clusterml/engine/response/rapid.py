"""The response of a cluster in half the time of a label: nearly its spectrum, a start for what learns the rest.

What a label does (:mod:`~clusterml.engine.orbitals.gfn`, :mod:`~clusterml.engine.response.contour`), with less:

1.  Integrals come from tables of atom pairs (:mod:`~clusterml.engine.pair_tables`).
2.  Shell charges need be those of their field to 0.002 e alone: one Newton step or two, two or three eigenproblems.
3.  Matrices are in single precision.

Sources: those of the modules named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from clusterml.engine.cost import number_of_functions_of
from clusterml.engine.kernels import local_kernels
from clusterml.engine.orbitals.gfn import closed_shell
from clusterml.engine.orbitals.gfn1 import gfn1_hamiltonian
from clusterml.engine.orbitals.gfn1_pbe import correction, fitted
from clusterml.engine.orbitals.newton import StuckError, corrected, self_consistent
from clusterml.engine.orbitals.orbitals import require_gap
from clusterml.engine.pair_tables import OneElectron, one_electron
from clusterml.engine.protocol import DEFAULT_COMPUTE
from clusterml.engine.response.active import ActiveSpace
from clusterml.engine.response.contour import ContourResponse, response_of, response_sums
from clusterml.engine.response.excited import LOWEST_EV
from clusterml.engine.response.quadrature import Contour
from clusterml.errors import MemoryLimitError, counted
from clusterml.typing import FloatArray
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, FWHM_PER_SIGMA, REFERENCE_OUTPUT_HARTREE_EV

if TYPE_CHECKING:
    import torch

    from clusterml.engine.orbitals.newton import SelfConsistent

VERSION = 3
"""Grows with every change of the numbers, so that responses that were kept are computed anew."""
_CHARGE_TOLERANCE = 0.002
"""Residual of shell charges, in elementary charges, at which the ground state is taken."""
_MOST_CYCLES = 60
_KELVIN = 300.0
_MATRICES = 45
"""Matrices over atomic functions that are held at a time, about."""

Precision = Literal["float32", "float64"]
RapidOrbitals = Literal["gfn1", "gfn1-pbe"]
"""Sources of orbitals that have a rapid response; the second takes one more eigenproblem."""
_METHOD: dict[RapidOrbitals, str] = {"gfn1": "GFN1-xTB", "gfn1-pbe": "GFN1-PBE"}


def rapid_response(
    symbols: Sequence[str],
    positions: FloatArray,
    charge: int,
    orbitals: RapidOrbitals = "gfn1",
    *,
    low_ev: float = LOWEST_EV,
    emax_ev: float = 5.3,
    fwhm_ev: float = 0.2,
    precision: Precision = "float32",
) -> ContourResponse:
    """The response of ``orbitals`` near their ground state, for spectra up to ``emax_ev`` at ``fwhm_ev`` or wider.

    ``positions`` (n_atoms, 3) in A.  About the centroid of the atoms.  A rotation or a reflection turns the result
    exactly, within rounding.  Raises UnsupportedElementError, MemoryLimitError before anything large is allocated,
    ChargeError for an odd number of electrons, ElectronicStructureError where there is no ground state or no gap.
    """
    import torch

    _check_memory(symbols, precision)
    dtype = getattr(torch, precision)
    order = np.argsort(np.asarray(symbols), kind="stable")
    names = tuple(symbols[k] for k in order)
    coords = np.asarray(positions, dtype=np.float64)[order] / BOHR_ANGSTROM
    coords = coords - coords.mean(axis=0)
    try:
        space = _space(names, coords, charge, orbitals, dtype)
    except StuckError as stuck:
        raise stuck.of(symbols, int(order[stuck.atom])) from stuck
    scale = REFERENCE_OUTPUT_HARTREE_EV
    gap_ev = float(space.gaps.min()) * scale
    contour = Contour.spanning(low_ev / scale, emax_ev / scale, fwhm_ev / FWHM_PER_SIGMA / scale)
    response = response_of(space, contour, response_sums(space, contour, DEFAULT_COMPUTE))
    return ContourResponse(contour, response, gap_ev, emax_ev, fwhm_ev)


def _check_memory(symbols: Sequence[str], precision: Precision) -> None:
    """Integrals, and matrices of the ground state and moments."""
    functions = sum(map(number_of_functions_of, symbols))
    itemsize = 4 if precision == "float32" else 8
    needed = 1e-9 * itemsize * _MATRICES * functions**2
    allowed = DEFAULT_COMPUTE.memory
    if needed > allowed:
        problem = (
            f"the rapid response of {counted(len(symbols), 'atom')} needs {needed:.2g} GB; {allowed:.2g} GB are free"
        )
        raise MemoryLimitError(problem, "cut the structure down to one cluster, or use a larger computer")


def _space(
    symbols: tuple[str, ...], coords: FloatArray, charge: int, orbitals: RapidOrbitals, dtype: torch.dtype
) -> ActiveSpace:
    """Orbitals of a ground state within the tolerance, and what light does to them."""
    import torch

    known = one_electron(symbols, coords, dtype)
    parts = gfn1_hamiltonian(symbols, coords, known.overlap.double().numpy())
    n = closed_shell(float(parts.reference.sum()) - charge, parts.basis.n_ao)
    kt, single = _KELVIN * BOLTZMANN_HARTREE, dtype == torch.float32
    state = self_consistent(parts, charge, kt, _CHARGE_TOLERANCE, _MOST_CYCLES, single=single)
    if orbitals == "gfn1-pbe":
        added = correction(parts, symbols, state.shell_charges, fitted()["terms"], known.kinetic.numpy())
        state = corrected(state, added.astype(state.coefficients.dtype))
    gap_ev = float(state.energies[n] - state.energies[n - 1]) * REFERENCE_OUTPUT_HARTREE_EV
    require_gap(_METHOD[orbitals], gap_ev)
    gamma = torch.as_tensor(local_kernels(symbols, coords).k)
    return _active(state, known, n, torch.as_tensor(parts.basis.atom_of_ao), gamma, dtype)


def _active(
    state: SelfConsistent, known: OneElectron, n: int, atoms: torch.Tensor, gamma: torch.Tensor, dtype: torch.dtype
) -> ActiveSpace:
    import torch

    e, c, loewdin = (torch.as_tensor(x) for x in (state.energies, state.coefficients, state.loewdin))
    c, loewdin = c.to(dtype), loewdin.to(dtype)
    occupied, virtual = c[:, :n].T.contiguous(), c[:, n:].contiguous()

    def moments(matrices: torch.Tensor) -> torch.Tensor:
        return torch.stack([(occupied @ m) @ virtual for m in matrices])

    return ActiveSpace(
        e_o=e[:n].to(dtype),
        e_v=e[n:].to(dtype),
        l_o=loewdin[:, :n].contiguous(),
        l_v=loewdin[:, n:].contiguous(),
        atom_of_row=atoms,
        gamma_j=torch.zeros_like(gamma),
        gamma_k=gamma,
        ax=0.0,
        position=moments(known.dipole),
        velocity=moments(known.gradient),
        angular=moments(known.angular),
    )
