"""Linear response of local-functional-like orbitals: singles coupled only by atomic transition charges (a_x = 0).

For GFN orbitals the sTDA kernels are used with the Fock-exchange fraction a_x = 0 (METHOD section 18): no J term, no
K-shift, no selection, hence invariant and smooth by construction.  With D the orbital energy differences, Q (n_atoms, n)
the Löwdin transition charges and gamma^K = (R^1.42 + eta^-1.42)^(-1/1.42):
  Casida:       Omega = D^2 + 4 sqrt(D) Q^T gamma Q sqrt(D),  Omega Z = w^2 Z,
                X + Y = sqrt(D/w) Z (electric moments), X - Y = sqrt(w/D) Z (velocity and magnetic moments);
  Tamm-Dancoff: A = D + 2 Q^T gamma Q, A X = w X, with the velocity correction of METHOD section 12.
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

from clusterml.errors import ElectronicStructureError, MemoryLimitError, OptionError
from clusterml.spectrum.transitions import Transitions
from clusterml.stda.active import ActiveSpace, active_space
from clusterml.stda.charges import distances
from clusterml.stda.excited import ExcitedStates, _SpectrumConvergence, scatter
from clusterml.stda.intensities import Moments, transitions
from clusterml.stda.lanczos import BlockLanczos, RitzPairs, converged_ritz_pairs
from clusterml.stda.orbitals import Orbitals
from clusterml.stda.parameters import HARTREE_EV, HARTREE_EV_THRESHOLD, tables
from clusterml.stda.settings import ExcitedSettings
from clusterml.stda.smooth import window, window_weight
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

Form = Literal["casida", "tda"]

ALPHA_K = 1.42
"""Exponent of gamma^K for density functionals, 1.42 + 0.48 a_x at a_x = 0 (Grimme 2013)."""

_TAIL_EV = 1.0
"""Pseudo-states are kept this far above emax, so that bands near emax keep their upper half."""

_MAX_KRYLOV_VECTORS = 6000
_SMALLEST_GAP_HARTREE = 1e-5


def response_kernel(symbols: tuple[str, ...], coords_bohr: FloatArray) -> FloatArray:
    """gamma^K in hartree for a_x = 0, shape (n_atoms, n_atoms)."""
    eta = np.array([tables()["elements"][s]["eta_stda_hartree"] for s in symbols])
    mean = 0.5 * np.add.outer(eta, eta)
    return np.asarray((distances(coords_bohr) ** ALPHA_K + mean**-ALPHA_K) ** (-1.0 / ALPHA_K))


@dataclass(frozen=True)
class ResponseProblem:
    """The eigenproblem over the n configurations ``index`` of ``space``, hartree.

    ``gaps`` (n,): orbital energy differences D; ``charges`` (n_atoms, n): transition charges times the window weight;
    ``weight`` (n,); ``gamma`` (n_atoms, n_atoms); ``moments`` (9, n): r, nabla, r x nabla times the weight.
    """

    form: Form
    space: ActiveSpace
    index: torch.Tensor
    gaps: torch.Tensor
    weight: torch.Tensor
    charges: torch.Tensor
    gamma: torch.Tensor
    moments: torch.Tensor

    @property
    def diagonal(self) -> torch.Tensor:
        """Diagonal part of the operator, (n,)."""
        return self.gaps**2 if self.form == "casida" else self.gaps

    @property
    def factors(self) -> torch.Tensor:
        """Vectors F (n_atoms, n) such that the operator is diagonal + F^T gamma F."""
        return 2.0 * self.charges * self.gaps.sqrt() if self.form == "casida" else 2.0**0.5 * self.charges

    def operator(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The symmetric operator (Omega or A) as a function (k, n) -> (k, n)."""
        diagonal, left = self.diagonal, self.gamma @ self.factors
        right = self.factors

        def apply(x: torch.Tensor) -> torch.Tensor:
            return (diagonal * x).addmm_(x @ left.T, right)

        return apply

    def matrix(self) -> torch.Tensor:
        """The operator as a dense matrix, (n, n)."""
        dense = self.factors.T @ (self.gamma @ self.factors)
        dense.diagonal().add_(self.diagonal)
        return dense

    def starts(self) -> torch.Tensor:
        """What light couples to, (9, n), in the metric of the operator's eigenvectors."""
        if self.form == "tda":
            return self.moments
        scaled = self.moments / self.gaps.sqrt()
        scaled[:3] *= self.gaps
        return scaled

    def targets(self) -> torch.Tensor:
        """B nabla and B (r x nabla) for the velocity correction, (6, n); none in the Casida form."""
        if self.form == "casida":
            return self.moments[:0]
        v = self.moments[3:]
        return 2.0 * (v @ self.charges.T) @ self.gamma @ self.charges

    def intensities(self, values: torch.Tensor, starts: torch.Tensor, targets: torch.Tensor) -> Transitions:
        """Transitions of eigenvalues (k,) from overlaps (k, 9) and (k, 6 or 0) of eigenvectors with the vectors above."""
        energies = self.energies(values)
        parts = [x.double() for x in starts.split(3, dim=1)]
        if self.form == "casida":
            root = energies.sqrt()[:, None]
            parts = [parts[0] / root, parts[1] * root, parts[2] * root]
            zero = parts[0].new_zeros(parts[0].shape)
            parts += [zero, zero]
        else:
            parts += [x.double() for x in targets.split(3, dim=1)]
        return transitions(energies.cpu().numpy(), Moments(*(x.cpu().numpy() for x in parts)))

    def energies(self, values: torch.Tensor) -> torch.Tensor:
        """Excitation energies from eigenvalues, hartree."""
        return values.double().sqrt() if self.form == "casida" else values.double()

    def amplitudes(self, values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """X (k, n_o, n_v) from eigenvectors ``rows`` (k, n)."""
        if self.form == "casida":
            ratio = (self.gaps / self.energies(values)[:, None].to(self.gaps.dtype)).sqrt()
            rows = 0.5 * (ratio + 1.0 / ratio) * rows
        return scatter(self.space, rows, self.index)


def response_problem(orbitals: Orbitals, settings: ExcitedSettings, form: Form = "casida") -> ResponseProblem:
    """Set up the response of closed-shell orbitals to light.

    Raises OptionError for an unknown form, ElectronicStructureError without a positive gap, MemoryLimitError.
    """
    import torch

    if form not in get_args(Form):
        raise OptionError(f"form is {form!r}", f"choose one of {', '.join(get_args(Form))}")
    occupied, virtual = window(orbitals, settings.window_ev)
    _check_memory(orbitals.basis.n_atoms, len(occupied) * len(virtual), settings)
    origin = orbitals.basis.coords_bohr.mean(axis=0)
    space = active_space(orbitals, occupied, virtual, "spherical", settings.dtype, settings.device, origin)
    gamma = torch.as_tensor(response_kernel(orbitals.symbols, orbitals.basis.coords_bohr)).to(space.gamma_k)
    space = replace(space, gamma_k=gamma, gamma_j=torch.zeros_like(gamma), ax=0.0)
    gaps = space.gaps.flatten()
    if float(gaps.min()) < _SMALLEST_GAP_HARTREE:
        raise ElectronicStructureError(
            f"the HOMO-LUMO gap of {orbitals.method} is {float(gaps.min()) * HARTREE_EV:.5f} eV: not a closed shell",
            "check charge and geometry",
        )
    weight = window_weight(gaps, settings.window_ev)
    index = (weight > 0).nonzero().flatten()
    weight = weight[index]
    moments = torch.cat([x.flatten(1)[:, index] for x in (space.position, space.velocity, space.angular)])
    return ResponseProblem(
        form, space, index, gaps[index], weight, _charges(space, index) * weight, gamma, moments * weight
    )


def _charges(space: ActiveSpace, index: torch.Tensor) -> torch.Tensor:
    """Transition charges q^A_ia of the configurations ``index`` (n,), shape (n_atoms, n)."""
    import torch

    sizes = torch.bincount(space.atom_of_row, minlength=space.n_atoms).tolist()
    pairs = zip(space.l_o.split(sizes), space.l_v.split(sizes), strict=True)
    return torch.stack([(o.T @ v).flatten()[index] for o, v in pairs])


def _check_memory(n_atoms: int, n: int, settings: ExcitedSettings) -> None:
    itemsize = 8 if settings.dtype == "float64" else 4
    matrix = 3.0 * n * n if settings.solver == "states" else 0.0
    needed = itemsize * (n * (4.0 * n_atoms + 60.0) + matrix) / 1e9
    if needed > settings.memory_gb:
        remedy = "use the spectrum solver (without --states)" if matrix else "use --dtype float32"
        raise MemoryLimitError(
            f"the response of {n} configurations needs {needed:.2g} GB; {settings.memory_gb:.2g} GB are allowed",
            f"{remedy}, or raise --memory-gb",
        )


def response_states(
    orbitals: Orbitals,
    settings: ExcitedSettings,
    progress: Callable[[int], None] | None = None,
    form: Form = "casida",
) -> ExcitedStates:
    """Excited states up to ``emax_ev`` (solver ``states``), or pseudo-states with the same broadened spectrum.

    Raises OptionError, ElectronicStructureError, MemoryLimitError.
    """
    start = time.perf_counter()
    problem = response_problem(orbitals, settings, form)
    prepared = time.perf_counter()
    states = _dense(problem, settings) if settings.solver == "states" else _krylov(problem, settings, progress)
    states.timings_s.update(preparation=prepared - start, solver=time.perf_counter() - prepared)
    return states


def _stable(problem: ResponseProblem, lowest: float) -> None:
    if lowest <= 0.0:
        raise ElectronicStructureError(
            "the ground state is unstable: an excitation energy is not real and positive",
            "check charge and geometry",
        )


def _dense(problem: ResponseProblem, settings: ExcitedSettings) -> ExcitedStates:
    import torch

    values, vectors = torch.linalg.eigh(problem.matrix())
    _stable(problem, float(values[0]))
    n = int((problem.energies(values) <= settings.emax_ev / HARTREE_EV_THRESHOLD).sum())
    values, vectors = values[:n], vectors[:, :n]
    result = problem.intensities(values, vectors.T @ problem.starts().T, vectors.T @ problem.targets().T)

    def lookup(which: IntArray) -> torch.Tensor:
        chosen = torch.as_tensor(which, device=values.device)
        return problem.amplitudes(values[chosen], vectors[:, chosen].T)

    return ExcitedStates(result, problem.space, lookup, {"n_csf": len(problem.gaps), "n_states": n})


class _Convergence(_SpectrumConvergence):
    """Convergence of the broadened spectrum, with the intensities of a response problem."""

    def __init__(self, problem: ResponseProblem, settings: ExcitedSettings) -> None:
        super().__init__(settings)
        self._problem = problem
        self._limit = (settings.emax_ev + _TAIL_EV) / HARTREE_EV_THRESHOLD

    def states(self, pairs: RitzPairs) -> tuple[Transitions, RitzPairs]:
        """Intensities of the pseudo-states up to emax plus a tail, and their Ritz pairs."""
        _stable(self._problem, float(pairs.values[0]))
        chosen = pairs.select((self._problem.energies(pairs.values) <= self._limit).nonzero().flatten())
        return self._problem.intensities(chosen.values, chosen.starts, chosen.targets), chosen


def _krylov(
    problem: ResponseProblem, settings: ExcitedSettings, progress: Callable[[int], None] | None
) -> ExcitedStates:
    import torch

    starts = problem.starts()
    keep = 4e-9 * min(_MAX_KRYLOV_VECTORS, starts.shape[1]) * starts.shape[1] < 0.5 * settings.memory_gb
    lanczos = BlockLanczos(problem.operator(), starts, problem.targets(), _MAX_KRYLOV_VECTORS, keep)
    convergence = _Convergence(problem, settings)
    pairs, converged = converged_ritz_pairs(lanczos, convergence, progress)
    result, chosen = convergence.states(pairs)

    def lookup(which: IntArray) -> torch.Tensor:
        selected = chosen.select(torch.as_tensor(which, device=starts.device))
        return problem.amplitudes(selected.values, lanczos.vectors(selected).to(starts.dtype))

    counts = {
        "n_csf": starts.shape[1],
        "n_states": len(chosen.values),
        "n_krylov": len(pairs.values),
        "n_blocks": lanczos.n_blocks,
    }
    return ExcitedStates(result, problem.space, lookup if keep else None, counts, converged)
