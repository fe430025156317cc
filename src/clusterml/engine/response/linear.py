"""Linear response of local-functional-like orbitals: singles coupled only by atomic transition charges (a_x = 0).

For GFN orbitals the sTDA kernels are used with the Fock-exchange fraction a_x = 0 (stda-xtb.md, section 18): no J
term, no K-shift, no selection, hence invariant and smooth by construction.  With D the orbital energy differences,
Q (n_atoms, n) the Löwdin transition charges and gamma^K = (R^1.42 + eta^-1.42)^(-1/1.42):
  Casida:       Omega = D^2 + 4 sqrt(D) Q^T gamma Q sqrt(D),  Omega Z = w^2 Z,
                X + Y = sqrt(D/w) Z (electric moments), X - Y = sqrt(w/D) Z (velocity and magnetic moments);
  Tamm-Dancoff: A = D + 2 Q^T gamma Q, A X = w X, with the velocity correction of stda-xtb.md, section 12.
Both are a diagonal plus rank n_atoms: a product costs 4 n_atoms n operations per vector.
Sources: S. Grimme, J. Chem. Phys. 138, 244104 (2013); C. Bannwarth, S. Grimme, Comput. Theor. Chem. 1040, 45 (2014);
T. A. Niehaus et al., Phys. Rev. B 63, 085108 (2001).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from clusterml.engine.orbitals.orbitals import Orbitals, require_gap
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.active import ActiveSpace, active_space
from clusterml.engine.response.excited import (
    ExcitedStates,
    Moments,
    no_transitions,
    scatter,
    transitions,
)
from clusterml.engine.response.krylov import MAX_KRYLOV_VECTORS, SpectrumConvergence, run_krylov
from clusterml.engine.response.lanczos import FIRST_CHECK, BlockLanczos, RitzPairs
from clusterml.engine.response.response import TAIL_EV
from clusterml.engine.response.singles import window_weight
from clusterml.engine.response.solver import ResponseSolver
from clusterml.errors import ElectronicStructureError, MemoryLimitError, OptionError
from clusterml.spectrum.transitions import Transitions
from clusterml.typing import FloatArray, IntArray
from clusterml.units import REFERENCE_HARTREE_EV, REFERENCE_THRESHOLD_HARTREE_EV

if TYPE_CHECKING:
    import torch

Form = Literal["casida", "tda"]

_LEAST_WINDOW_EV = 10.0
_WINDOW_MARGIN_EV = 4.0
"""Configurations are explicit up to emax plus the margin, closing over the last 1 eV; adiabatic above."""

_EVERY_CONFIGURATION = 4000
"""Up to so many configurations all are explicit where every state is asked for: half a minute at most."""

_ADIABATIC_EV = 3.0
"""Energy at which the response of the configurations above the window is taken."""

_BLOCKS_PER_WIDTH = 1.8
"""Krylov blocks, in units of the spectral range over the band width, before which no spectrum has been converged."""
_CHECK_GROWTH = 1.25
"""Growth of the number of blocks between two tests: here the operator costs less than the tests."""
_SLICE = 32
"""Occupied orbitals treated at a time when summing over adiabatic configurations."""


@dataclass(frozen=True)
class ResponseProblem:
    """The symmetric eigenproblem (diagonal + F^T gamma F) Z = lambda Z over the configurations ``index`` of ``space``.

    ``gaps`` (n,): orbital energy differences D in hartree; ``diagonal`` (n,): D^2 (Casida) or D; ``factors``
    (n_atoms, n): F; ``gamma`` (n_atoms, n_atoms); ``starts`` (9, n): r, nabla and r x nabla in the metric of Z;
    ``targets`` (6, n): B nabla and B (r x nabla) for the velocity correction, empty in the Casida form.
    """

    form: Form
    space: ActiveSpace
    index: torch.Tensor
    gaps: torch.Tensor
    diagonal: torch.Tensor
    factors: torch.Tensor
    gamma: torch.Tensor
    starts: torch.Tensor
    targets: torch.Tensor

    def operator(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The operator as a function (k, n) -> (k, n)."""
        left = (self.gamma @ self.factors).T.contiguous()

        def apply(x: torch.Tensor) -> torch.Tensor:
            return (self.diagonal * x).addmm_(x @ left, self.factors)

        return apply

    def matrix(self) -> torch.Tensor:
        """The operator as a dense matrix, (n, n)."""
        dense = self.factors.T @ (self.gamma @ self.factors)
        dense.diagonal().add_(self.diagonal)
        return dense

    def energies(self, values: torch.Tensor) -> torch.Tensor:
        """Excitation energies (k,) in hartree from eigenvalues (k,)."""
        return values.double().sqrt() if self.form == "casida" else values.double()

    def intensities(self, values: torch.Tensor, starts: torch.Tensor, targets: torch.Tensor) -> Transitions:
        """Transitions of eigenvalues (k,), from overlaps (k, 9) and (k, 6 or 0) of their vectors with ours."""
        energies = self.energies(values)
        r, v, m = starts.double().split(3, dim=1)
        if self.form == "casida":
            root = energies.sqrt()[:, None]
            r, v, m = r / root, v * root, m * root
            bv = bm = r.new_zeros(r.shape)
        else:
            bv, bm = targets.double().split(3, dim=1)
        moments = Moments(*(x.cpu().numpy() for x in (r, v, m, bv, bm)))
        return transitions(energies.cpu().numpy(), moments)

    def amplitudes(self, values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """X (k, n_o, n_v) from eigenvectors ``rows`` (k, n)."""
        if self.form == "casida":
            ratio = (self.gaps / self.energies(values)[:, None].to(self.gaps.dtype)).sqrt()
            rows = 0.5 * (ratio + 1.0 / ratio) * rows
        return scatter(self.space, rows, self.index)


def response_space(orbitals: Orbitals, protocol: Protocol, compute: Compute) -> ActiveSpace:
    """All orbitals. Raises ElectronicStructureError without a positive gap."""
    require_gap(orbitals.method, orbitals.gap_ev)
    occupied, virtual = np.split(np.arange(len(orbitals.energies_ev)), [orbitals.n_occupied])
    origin = orbitals.basis.coords_bohr.mean(axis=0)
    return active_space(orbitals, occupied, virtual, "spherical", protocol.dtype, compute.device, origin)


@dataclass(frozen=True)
class _Block:
    """Configurations ``index`` with the share ``weight`` (n,) of their couplings, in the metric of ``form``."""

    gaps: torch.Tensor
    diagonal: torch.Tensor
    factors: torch.Tensor
    starts: torch.Tensor

    @classmethod
    def of(cls, space: ActiveSpace, index: torch.Tensor, weight: torch.Tensor, form: Form) -> _Block:
        import torch

        gaps = space.gaps.flatten()[index]
        moments = torch.cat([x.flatten(1)[:, index] for x in (space.position, space.velocity, space.angular)]) * weight
        factors = _charges(space, index) * weight
        if form == "tda":
            return cls(gaps, gaps, factors * 2.0**0.5, moments)
        root = gaps.sqrt()
        moments[:3] *= root
        moments[3:] /= root
        return cls(gaps, gaps**2, factors * (2.0 * root), moments)


def _charges(space: ActiveSpace, index: torch.Tensor) -> torch.Tensor:
    """Transition charges q^A_ia of the configurations ``index`` (n,), shape (n_atoms, n)."""
    import torch

    sizes = torch.bincount(space.atom_of_row, minlength=space.n_atoms).tolist()
    pairs = zip(space.l_o.split(sizes), space.l_v.split(sizes), strict=True)
    return torch.stack([(o.T @ v).flatten()[index] for o, v in pairs])


def _window_edge(orbitals: Orbitals, protocol: Protocol) -> float:
    """Energy in eV below which configurations are explicit."""
    if protocol.solver == "states" and orbitals.n_occupied * orbitals.n_virtual <= _EVERY_CONFIGURATION:
        return float(np.ptp(orbitals.energies_ev)) + _WINDOW_MARGIN_EV
    return max(_LEAST_WINDOW_EV, protocol.emax_ev + _WINDOW_MARGIN_EV)


def response_problem(
    orbitals: Orbitals, protocol: Protocol, compute: Compute, form: Form = "casida"
) -> ResponseProblem:
    """Set up the response of closed-shell orbitals to light.

    Configurations up to ``emax_ev`` + 4 eV (at least 10 eV) are explicit.  Those above respond adiabatically, as at
    3 eV: eliminating them screens gamma and dresses the moments, exact at that energy, and costs no Krylov steps.
    A configuration at the edge is divided smoothly, w explicit and sqrt(1 - w^2) adiabatic, so nothing jumps.  The
    solver ``states`` takes all configurations of a small molecule.
    Raises OptionError for an unknown form, ElectronicStructureError without a positive gap, MemoryLimitError.
    """
    import torch

    if form not in get_args(Form):
        raise OptionError(f"form is {form!r}", f"choose one of {', '.join(get_args(Form))}")
    edge = _window_edge(orbitals, protocol)
    _check_memory(orbitals, edge, protocol, compute)
    space = response_space(orbitals, protocol, compute)
    weight = window_weight(space.gaps.flatten(), edge)
    index = (weight > 0).nonzero().flatten()
    near = _Block.of(space, index, weight[index], form)
    far = _adiabatic(space, weight, form)
    identity = torch.eye(len(space.gamma_k)).to(space.gamma_k)
    gamma = torch.linalg.solve(identity + space.gamma_k @ far.screening, space.gamma_k)
    gamma = 0.5 * (gamma + gamma.T)
    starts = near.starts - far.response @ gamma @ near.factors
    targets = starts[:0]
    if form == "tda":
        targets = (near.starts @ near.factors.T + far.overlap)[3:] @ gamma @ near.factors
    return ResponseProblem(form, space, index, near.gaps, near.diagonal, near.factors, gamma, starts, targets)


@dataclass(frozen=True)
class _Far:
    """Sums over the adiabatic configurations f, with 1/(lambda_f - lambda_0) as ~: ``screening`` F ~ F^T (n_atoms,
    n_atoms), ``response`` starts ~ F^T (9, n_atoms), ``overlap`` starts F^T (9, n_atoms)."""

    screening: torch.Tensor
    response: torch.Tensor
    overlap: torch.Tensor


def _adiabatic(space: ActiveSpace, weight: torch.Tensor, form: Form) -> _Far:
    """The part sqrt(1 - weight^2) of every configuration, in slices of occupied orbitals to bound memory."""
    n_at, (n_o, n_v) = space.n_atoms, space.shape
    total = _Far(*(space.gamma_k.new_zeros((rows, n_at)) for rows in (n_at, 9, 9)))
    reference = _ADIABATIC_EV / REFERENCE_HARTREE_EV
    reference = reference**2 if form == "casida" else reference
    share = (1.0 - weight**2).sqrt().reshape(n_o, n_v)
    for first in range(0, n_o, _SLICE):
        rows = slice(first, first + _SLICE)
        part = replace(
            space,
            e_o=space.e_o[rows],
            l_o=space.l_o[:, rows],
            **{name: getattr(space, name)[:, rows] for name in ("position", "velocity", "angular")},
        )
        flat = share[rows].flatten()
        index = (flat > 0).nonzero().flatten()
        block = _Block.of(part, index, flat[index], form)
        inverse = block.factors / (block.diagonal - reference)
        total.screening.addmm_(inverse, block.factors.T)
        total.response.addmm_(block.starts, inverse.T)
        total.overlap.addmm_(block.starts, block.factors.T)
    return total


def _check_memory(orbitals: Orbitals, edge_ev: float, protocol: Protocol, compute: Compute) -> None:
    """Charges, moments and a few blocks of explicit configurations; moments of all of them; the matrix, if dense."""
    e, n_occ = orbitals.energies_ev, orbitals.n_occupied
    n = int((e[None, n_occ:] - e[:n_occ, None] < edge_ev).sum())
    matrix = 3.0 * n * n if protocol.solver == "states" else 0.0
    itemsize = 8 if protocol.dtype == "float64" else 4
    everything = 20.0 * n_occ * orbitals.n_virtual
    needed = itemsize * (n * (4.0 * orbitals.basis.n_atoms + 60.0) + everything + matrix) / 1e9
    if needed > compute.memory:
        remedy = "use the spectrum solver (without --states)" if matrix else "use --dtype float32"
        raise MemoryLimitError(
            f"the response of {n} configurations needs {needed:.2g} GB; {compute.memory:.2g} GB are allowed",
            f"{remedy}, or raise --memory-gb",
        )


def response_states(
    orbitals: Orbitals,
    protocol: Protocol,
    compute: Compute,
    progress: Callable[[int], None] | None = None,
    form: Form = "casida",
) -> ExcitedStates:
    """Excited states up to ``emax_ev`` (solver ``states``), or pseudo-states with the same broadened spectrum.

    Raises OptionError, ElectronicStructureError, MemoryLimitError.
    """
    start = time.perf_counter()
    problem = response_problem(orbitals, protocol, compute, form)
    prepared = time.perf_counter()
    if not bool((problem.starts != 0).any()):
        return ExcitedStates(no_transitions(), problem.space, None, {"n_csf": len(problem.gaps), "n_states": 0})
    dense = protocol.solver == "states"
    states = _dense(problem, protocol) if dense else _krylov(problem, protocol, compute, progress)
    states.timings_s.update(preparation=prepared - start, solver=time.perf_counter() - prepared)
    return states


def _stable(problem: ResponseProblem, lowest: float) -> None:
    if lowest <= 0.0:
        raise ElectronicStructureError(
            "the ground state is unstable: an excitation energy is not real and positive",
            "check charge and geometry",
        )


def _dense(problem: ResponseProblem, protocol: Protocol) -> ExcitedStates:
    import torch

    values, vectors = torch.linalg.eigh(problem.matrix())
    _stable(problem, float(values[0]))
    limit = (protocol.emax_ev + TAIL_EV) / REFERENCE_THRESHOLD_HARTREE_EV
    n = int((problem.energies(values) <= limit).sum())
    values, vectors = values[:n], vectors[:, :n]
    result = problem.intensities(values, vectors.T @ problem.starts.T, vectors.T @ problem.targets.T)

    def lookup(which: IntArray) -> torch.Tensor:
        chosen = torch.as_tensor(which, device=values.device)
        return problem.amplitudes(values[chosen], vectors[:, chosen].T)

    return ExcitedStates(result, problem.space, lookup, {"n_csf": len(problem.gaps), "n_states": n})


class _Convergence(SpectrumConvergence):
    """Convergence of the broadened spectrum, with the intensities of a response problem."""

    def __init__(self, problem: ResponseProblem, protocol: Protocol) -> None:
        super().__init__(protocol)
        self._problem = problem
        self._limit = (protocol.emax_ev + TAIL_EV) / REFERENCE_THRESHOLD_HARTREE_EV

    def spectrum(self, space: BlockLanczos) -> tuple[FloatArray, FloatArray]:
        """Broadened absorption and CD of the pseudo-states."""
        spectrum = self.states(space.ritz())[0].broaden(self._grid, self._protocol.fwhm_ev)
        return spectrum.epsilon, spectrum.delta_epsilon

    def states(self, pairs: RitzPairs) -> tuple[Transitions, RitzPairs]:
        """Intensities of the pseudo-states up to emax plus a tail, and their Ritz pairs."""
        _stable(self._problem, float(pairs.values[0]))
        chosen = pairs.select((self._problem.energies(pairs.values) <= self._limit).nonzero().flatten())
        return self._problem.intensities(chosen.values, chosen.starts, chosen.targets), chosen


def _krylov(
    problem: ResponseProblem, protocol: Protocol, compute: Compute, progress: Callable[[int], None] | None
) -> ExcitedStates:
    size = problem.starts.shape[1]
    first_check = int(_BLOCKS_PER_WIDTH * float(problem.gaps.max()) * REFERENCE_HARTREE_EV / protocol.fwhm_ev)
    return run_krylov(
        problem.space,
        problem.operator(),
        problem.starts,
        problem.targets,
        _Convergence(problem, protocol),
        lambda pairs, rows: problem.amplitudes(pairs.values, rows),
        4e-9 * min(MAX_KRYLOV_VECTORS, size) * size < 0.5 * compute.memory,
        progress,
        max(FIRST_CHECK, first_check),
        _CHECK_GROWTH,
    )


def without_exchange(orbitals: Orbitals, protocol: Protocol) -> bool:
    """Are these orbitals that interact by charges only, so that the Casida matrix is a diagonal plus a low rank?"""
    return orbitals.kernels.ax == 0.0 and protocol.mode == "smooth"


RESPONSE_SOLVERS = (
    ResponseSolver("linear response, Krylov", ("krylov",), without_exchange, response_states),
    ResponseSolver("linear response, states", ("states",), without_exchange, response_states),
)
