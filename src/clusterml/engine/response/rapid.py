"""The response of a cluster in a third of the time of a label: nearly its spectrum, a start for what learns the rest.

What a label does (:mod:`~clusterml.engine.orbitals.gfn`, :mod:`~clusterml.engine.response.contour`), with five savings:

1.  Integrals come from tables of atom pairs (:mod:`~clusterml.engine.pair_tables`).
2.  Shell charges need be those of their field to 0.005 e alone: one Newton step or two, two or three eigenproblems.
3.  Matrices are in single precision.
4.  Configurations are shared out to nodes of an energy grid, linearly to the two beside each: smooth in every energy.
5.  The transition charges of many atoms are projected on the few potentials that light makes: the leading vectors of
    gamma F g(z) S^T over all z, a reduced basis by proper orthogonal decomposition.  The response is variational, so
    that what is left out counts squared.

Sources: those of the modules named; A. Quarteroni, A. Manzoni, F. Negri, Reduced Basis Methods for Partial Differential
Equations (2016), chapter 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from clusterml.engine.cost import number_of_functions_of
from clusterml.engine.kernels import local_kernels
from clusterml.engine.orbitals.gfn import closed_shell
from clusterml.engine.orbitals.gfn1 import gfn1_hamiltonian
from clusterml.engine.orbitals.gfn1_pbe import correction, fitted
from clusterml.engine.orbitals.newton import corrected, self_consistent
from clusterml.engine.pair_tables import OneElectron, one_electron
from clusterml.engine.protocol import DEFAULT_COMPUTE
from clusterml.engine.response.active import ActiveSpace
from clusterml.engine.response.contour import ContourResponse, configurations, near_in_energy, resolvent
from clusterml.engine.response.excited import LOWEST_EV
from clusterml.engine.response.linear import SMALLEST_GAP_EV
from clusterml.engine.response.quadrature import COLUMNS, Contour
from clusterml.errors import ElectronicStructureError, MemoryLimitError, counted
from clusterml.typing import FloatArray
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, FWHM_PER_SIGMA, REFERENCE_OUTPUT_HARTREE_EV

if TYPE_CHECKING:
    import torch

    from clusterml.engine.orbitals.newton import SelfConsistent

VERSION = 2
"""Grows with every change of the numbers, so that responses that were kept are computed anew."""
_CHARGE_TOLERANCE = 0.005
"""Residual of shell charges, in elementary charges, at which the ground state is taken."""
_MOST_CYCLES = 60
_KELVIN = 300.0
_NODES_EV = 0.04
"""Spacing of the energy grid, of which a larger one would broaden bands, up to ``_BEYOND_EV`` above the range ..."""
_BEYOND_EV = 1.5
_GROWTH = 0.08
"""... and beyond it, as a share of the distance to the range."""
_POTENTIALS = 224, 256
"""How many potentials are kept of more atoms: where their weights fall most, so that no symmetry is cut.  With 64 the
cosine of the CD with the label's falls to 0.85 in clusters with many aromatic rings."""
_BLOCK = 20_000_000
"""Numbers of a block of configurations."""

_MATRICES = 45
"""Matrices over atomic functions that are held at a time, about."""

Precision = Literal["float32", "float64"]
RapidOrbitals = Literal["gfn1", "gfn1-pbe"]
"""Sources of orbitals that have a rapid response; the second takes one more eigenproblem."""


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
    space = _space(names, coords, charge, orbitals, dtype)
    scale = REFERENCE_OUTPUT_HARTREE_EV
    gap_ev = float(space.gaps.min()) * scale
    contour = Contour.spanning(low_ev / scale, emax_ev / scale, fwhm_ev / FWHM_PER_SIGMA / scale)
    points = torch.as_tensor(contour.points)
    nodes = _nodes(float(space.gaps.min()), float(space.gaps.max()), emax_ev)
    g = 1.0 / (torch.as_tensor(nodes) ** 2 - points[:, None] ** 2)
    gamma = space.gamma_k.double()
    project = _projection(space, nodes, g, gamma, emax_ev / scale)
    inverse = torch.linalg.inv(gamma)
    if project is not None:
        inverse = project.T @ inverse @ project

    def reduced(charges: torch.Tensor, moments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept = charges if project is None else charges @ project.float()
        rows = torch.cat([kept.to(dtype), moments], dim=1)
        return rows, rows

    products = _at(g, _sums(space, nodes, reduced, (len(inverse) + 9, len(inverse) + 9)))
    response = resolvent(products, inverse)
    return ContourResponse(contour, response.numpy(), gap_ev, emax_ev, fwhm_ev)


def _check_memory(symbols: Sequence[str], precision: Precision) -> None:
    """Integrals, matrices of the ground state and moments, and a block of configurations with its copies."""
    functions = sum(map(number_of_functions_of, symbols))
    itemsize = 4 if precision == "float32" else 8
    needed = 1e-9 * itemsize * (_MATRICES * functions**2 + 3 * _BLOCK)
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
        added = correction(parts, symbols, state.shell_charges, fitted()["terms"])
        state = corrected(state, added.astype(state.coefficients.dtype))
    gap_ev = float(state.energies[n] - state.energies[n - 1]) * REFERENCE_OUTPUT_HARTREE_EV
    if gap_ev < SMALLEST_GAP_EV:
        problem = f"the HOMO-LUMO gap of {orbitals} is {gap_ev:.5f} eV: not a closed shell"
        raise ElectronicStructureError(problem, "check charge and geometry")
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


def _nodes(low: float, high: float, emax_ev: float) -> FloatArray:
    """Energies in hartree from below ``low`` to above ``high``."""
    scale = REFERENCE_OUTPUT_HARTREE_EV
    step, edge = _NODES_EV / scale, emax_ev / scale
    fine = edge + _BEYOND_EV / scale
    nodes = [step * np.floor(low / step)]
    while nodes[-1] <= high:
        wider = step if nodes[-1] < fine else max(step, _GROWTH * (nodes[-1] - edge))
        nodes.append(nodes[-1] + wider)
    return np.array(nodes)


Rows = Callable[["torch.Tensor", "torch.Tensor"], tuple["torch.Tensor", "torch.Tensor"]]
"""Two matrices (n, a) and (n, b) of the charges (n, n_atoms) and moments (n, 9) of n configurations."""


def _sums(space: ActiveSpace, nodes: FloatArray, rows: Rows, shape: tuple[int, int]) -> torch.Tensor:
    """Sums over configurations of products of the two matrices that ``rows`` makes of them, for each of the ``nodes``
    (k,): (k, a, b), double precision; ``shape``: (a, b)."""
    import torch

    grid = torch.as_tensor(nodes)
    total = space.position.new_zeros(len(nodes), *shape)
    for gaps, charges, moments in configurations(space, _BLOCK):
        left, right = rows(charges, moments)
        gaps, order = torch.sort(gaps.double())
        same = left is right
        left = left[order]
        right = left if same else right[order]
        number = torch.searchsorted(grid, gaps, right=True) - 1
        share = ((gaps - grid[number]) / (grid[number + 1] - grid[number])).to(left.dtype)[:, None]
        bounds = torch.searchsorted(number, torch.arange(len(nodes))).tolist()
        for k, (start, end) in enumerate(pairwise(bounds)):
            for first in range(start, end, COLUMNS):
                part = slice(first, min(end, first + COLUMNS))
                both = torch.cat([right[part], share[part] * right[part]], dim=1)
                every, above = (left[part].T @ both).chunk(2, dim=1)
                total[k + 1] += above
                total[k] += every - above
    return total.double()


def _at(g: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Complex (j, a, b) at the points of ``g`` (j, k) of ``sums`` (k, a, b)."""
    import torch

    flat = sums.flatten(1)
    return torch.complex(g.real @ flat, g.imag @ flat).unflatten(1, sums.shape[1:])


def _projection(
    space: ActiveSpace, nodes: FloatArray, g: torch.Tensor, gamma: torch.Tensor, emax: float
) -> torch.Tensor | None:
    """The potentials of atoms (n_atoms, m), orthonormal, on which charges are projected; None: they are all kept.

    They are those of orbitals with configurations near the range up to ``emax`` (hartree); others hardly differ.
    """
    import torch

    least, most = _POTENTIALS
    if space.n_atoms <= most:
        return None
    near = near_in_energy(space, emax)
    driven = _at(g, _sums(near, nodes, lambda charges, moments: (charges, moments), (space.n_atoms, 9)))
    weights = gamma.new_zeros(gamma.shape)
    for part in (slice(0, 3), slice(3, 6), slice(6, 9)):
        columns = driven[..., part].transpose(0, 1).flatten(1)
        potentials = gamma @ torch.cat([columns.real, columns.imag], dim=1)
        weights += potentials @ potentials.T / potentials.square().sum()
    values, vectors = torch.linalg.eigh(weights)
    values, vectors = values.flip(0).clamp_min(1e-300), vectors.flip(1)
    falls = values[least - 1 : most] / values[least : most + 1]
    return vectors[:, : least + int(falls.argmax())]
