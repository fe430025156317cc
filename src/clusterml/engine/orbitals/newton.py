"""Self-consistent shell charges by Newton's method: few eigenproblems, and many cheap responses.

The orbitals in the field of shell charges q make charges q'(q).  Newton's step d towards q' = q solves
(1 - J) d = q' - q with J = dq'/dq, which needs no matrix: a change of charges changes the potential of the shells, and
a potential v changes the populations by first-order perturbation theory over the orbitals that are there already,
  drho = sum_pq w_pq <p|v|q> |p><q|,  w_pq = (f_p - f_q) / (e_p - e_q), at equal energies df/de,
with the Fermi level moved so that no electron is lost.  Mulliken's <p|v|q> is half of C^T (V S + S V) C, two matrix
products of occupied with virtual orbitals.  1 - J has no eigenvalue below 1, as gamma is positive, and were all energy
differences the same it would be 1 + k P gamma, with P how populations of shells fluctuate together: twice the
population of a shell less Mayer's bond orders.  With that as preconditioner two to five products solve it, five to nine
where the gap is small; the residual then falls by its square: 4 or 5 eigenproblems where mixing takes 14 to 21.

Where orbitals cross, a step may be too long: where the residual grew, a shorter step is taken from where it was less.
All is done in Löwdin's basis, whose coefficients the response to light needs as well.
Sources: R. Bauernschmitt, R. Ahlrichs, Chem. Phys. Lett. 256, 454 (1996) (the response); S. C. Eisenstat, H. C. Elman,
M. H. Schultz, SIAM J. Numer. Anal. 20, 345 (1983) (conjugate residuals); R. S. Dembo, S. C. Eisenstat, T. Steihaug,
SIAM J. Numer. Anal. 19, 400 (1982) (how exactly a step is worth solving for); I. Mayer, Chem. Phys. Lett. 97, 270
(1983) (bond orders).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clusterml.engine.linalg import overlap_powers, symmetric_eigh
from clusterml.errors import ElectronicStructureError
from clusterml.structure.elements import PLATINUM_IN_SILVER
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

    from clusterml.engine.orbitals.gfn1 import Gfn1Hamiltonian

ChargeMap = Callable[["torch.Tensor"], "torch.Tensor"]
"""From shell charges to shell charges, both (n_shells,)."""

_RADIUS = 1.0
"""Largest change of a shell charge in a step; doubled after a step that did well."""

_SHORTER = 0.3
"""Share of a step that made the residual grow, which is taken instead."""

_MOST_RETREATS = 12
"""Shorter steps in turn; the last is a millionth of the first, and where none helps there is no way on."""

_STIFFNESS = 4.0
"""k of the preconditioner, per hartree: 3 to 5 are as good."""

_MOST_PRODUCTS = 30
"""Responses within one step at most."""

_WORTH, _FINEST, _COARSEST = 0.1, 1e-3, 0.1
"""A step is solved to this times the largest residual, within limits: it falls by its square either way."""

_AHEAD = 0.1
"""Nor is a step solved further than to this share of the tolerance, or of the residual from which one more reaches it
where one is not enough."""

_SINGLE_FROM = 200
"""Functions from which on responses and early cycles are computed in single precision ..."""

_ROUNDING = 3e-8
"""... whose largest residual is wrong by up to about this times the number of functions."""

_SQUARED = 0.4
"""The largest residual after an exact step over its square before, at most about: 0.04 to 0.5 on clusters."""

_INTEGER = 1e-6
"""Occupations this near to 0 or 2 respond as if they were."""


class StuckError(ElectronicStructureError):
    """No step, however short, brings the charges nearer to those of their field; they change most on ``atom``, counted
    from 0.

    Platinum buried in silver is such a case: the third-order term takes back what hardness it has from -1.4 e on, and
    ever more electrons flow to it.  Neither damping nor a higher temperature helps.
    """

    def __init__(self, problem: str, remedy: str = "", *, atom: int = 0) -> None:
        super().__init__(problem, remedy)
        self.atom = atom

    def of(self, symbols: Sequence[str], atom: int) -> StuckError:
        """This error with ``atom``, counted from 0 among ``symbols`` (n,), by its element and its number from 1."""
        problem = f"there is no GFN1-xTB ground state: {self.problem}; most of all on {symbols[atom]}{atom + 1}"
        others = "other orbitals may have one: clusterml label FILE --orbitals stda-xtb"
        remedy = PLATINUM_IN_SILVER if symbols[atom] == "Pt" and "Ag" in symbols else others
        return StuckError(problem, remedy, atom=atom)


@dataclass(frozen=True)
class SelfConsistent:
    """Orbitals in the field of their own charges.

    ``energies`` (n_ao,) hartree, ``coefficients`` (n_ao, n_ao) and those over Löwdin's functions, ``loewdin`` (n_ao,
    n_ao); ``occupations`` (n_ao,) between 0 and 2, ``shell_charges`` (n_shells,), ``n_cycles``.
    """

    energies: FloatArray
    coefficients: FloatArray
    loewdin: FloatArray
    occupations: FloatArray
    shell_charges: FloatArray
    n_cycles: int


def smeared(energies: torch.Tensor, n_electrons: float, kt: float) -> torch.Tensor:
    """Fermi occupations (0 to 2) that add up to ``n_electrons``, by bisection; energies and ``kt`` in one unit."""
    import torch

    low, high = energies[0] - 50.0 * kt, energies[-1] + 50.0 * kt
    for _ in range(60):
        level = 0.5 * (low + high)
        occupations = 2.0 * torch.special.expit((level - energies) / kt)
        below = occupations.sum() < n_electrons
        low, high = torch.where(below, level, low), torch.where(below, high, level)
    return occupations


@dataclass(frozen=True)
class _Orbitals:
    """``energies``, ``occupations`` (n_ao,); coefficients C over Löwdin's functions (``loewdin``), over the atomic
    ones (``coefficients``), and S C (``dual``), each (n_ao, n_ao)."""

    energies: torch.Tensor
    occupations: torch.Tensor
    loewdin: torch.Tensor
    coefficients: torch.Tensor
    dual: torch.Tensor


class _Molecule:
    """A Hamiltonian on a device: from shell charges to the orbitals in their field, and to the charges of those."""

    def __init__(self, parts: Gfn1Hamiltonian, charge: int, kt: float, device: str, single: bool = False) -> None:
        import torch

        def on_device(array: FloatArray | IntArray) -> torch.Tensor:
            return torch.as_tensor(array, device=device)

        self._kernel, self._derivative = on_device(parts.kernel), on_device(parts.hardness_derivative)
        self._reference, self._atom = on_device(parts.reference), on_device(parts.atom_of_shell)
        self._shell = on_device(parts.shell_of_ao)
        overlap, h0 = on_device(parts.overlap), on_device(parts.h0)
        root, inverse = overlap_powers(overlap.float() if single else overlap)
        matrices = root, inverse, inverse @ h0.to(root) @ inverse
        self._matrices = {root.dtype: matrices}
        if single or len(root) >= _SINGLE_FROM:
            self._matrices[torch.float32] = root.float(), inverse.float(), matrices[2].float()
        self._n_electrons, self._kt = float(parts.reference.sum()) - charge, kt

    @property
    def large(self) -> bool:
        """Is single precision worth while?"""
        import torch

        return torch.float32 in self._matrices

    @property
    def rounding(self) -> float:
        """About by how much single precision changes a shell charge."""
        return _ROUNDING * len(self._shell)

    def _of_atoms(self, charges: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.zeros_like(self._derivative).index_add_(0, self._atom, charges)

    def _of_shells(self, per_function: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.zeros_like(self._reference).index_add_(0, self._shell, per_function.double())

    def orbitals(self, charges: torch.Tensor, dtype: torch.dtype) -> _Orbitals:
        """The orbitals in the field of ``charges`` (n_shells,)."""
        root, inverse, h0 = self._matrices[dtype]
        potential = self._kernel @ charges + (self._derivative * self._of_atoms(charges) ** 2)[self._atom]
        half = root @ (0.5 * potential[self._shell, None].to(dtype) * inverse)
        energies, vectors = symmetric_eigh(h0 - half - half.T, "GFN1-xTB Hamiltonian")
        occupations = smeared(energies.double(), self._n_electrons, self._kt)
        return _Orbitals(energies.double(), occupations, vectors, inverse @ vectors, root @ vectors)

    def charges(self, orbitals: _Orbitals) -> torch.Tensor:
        """The shell charges (n_shells,) of occupied orbitals."""
        n = int((orbitals.occupations > 1e-14).sum())
        overlaps = orbitals.coefficients[:, :n] * orbitals.dual[:, :n]
        return self._reference - self._of_shells(overlaps.double() @ orbitals.occupations[:n])

    def preconditioner(self, orbitals: _Orbitals) -> ChargeMap:
        """About (1 - J)^-1: from a residual to a change of the charges."""
        import torch

        n, n_shells = int((orbitals.occupations > 1e-14).sum()), len(self._reference)
        occupied = orbitals.coefficients[:, :n] * orbitals.occupations[:n].to(orbitals.coefficients.dtype)
        density = occupied @ orbitals.dual[:, :n].T
        rows = density.new_zeros(n_shells, len(density)).index_add_(0, self._shell, density * density.T)
        bonds = density.new_zeros(n_shells, n_shells).index_add_(1, self._shell, rows).double()
        bonds.diagonal().zero_()
        fluctuations = bonds.sum(dim=1).diag() - bonds
        matrix = _STIFFNESS * fluctuations @ self._kernel
        matrix.diagonal().add_(1.0)
        factors, pivots = torch.linalg.lu_factor(matrix)
        return lambda residual: torch.linalg.lu_solve(factors, pivots, residual[:, None])[:, 0]

    def response(self, orbitals: _Orbitals, charges: torch.Tensor) -> ChargeMap:
        """J of ``orbitals`` in the field of ``charges``: from a change of the charges to that of those they make."""
        import torch

        weights, slopes, filled, empty = self._weights(orbitals)
        dtype = torch.float32 if self.large else torch.float64
        weights, slopes, c, dual = (x.to(dtype) for x in (weights, slopes, orbitals.coefficients, orbitals.dual))
        left = torch.cat([dual[:, :filled], c[:, :filled]])
        right = torch.cat([c[:, empty:], dual[:, empty:]])
        atomic, shared = 2.0 * self._derivative * self._of_atoms(charges), filled - empty

        def apply(change: torch.Tensor) -> torch.Tensor:
            potential = self._kernel @ change + (atomic * self._of_atoms(change))[self._atom]
            field = potential[self._shell].to(dtype).repeat(2)[:, None]
            coupling = 0.5 * (left.T @ (field * right))
            if shared > 0:
                levels = coupling[empty:, :shared].diagonal()
                levels -= (slopes @ levels) / slopes.sum().clamp_min(torch.finfo(slopes.dtype).tiny)
            moved = ((left @ (coupling * weights)) * right).sum(dim=1)
            return -self._of_shells(moved.reshape(2, -1).sum(dim=0))

        return apply

    def _weights(self, orbitals: _Orbitals) -> tuple[torch.Tensor, torch.Tensor, int, int]:
        """(f_p - f_q) / (e_q - e_p) of p that are not empty with q that are not full, and -df/de of those that are
        neither; pairs of these occur twice and count half.  With them how many are not empty, and how many full."""
        import torch

        f, e = orbitals.occupations, orbitals.energies
        filled, empty = int((f > _INTEGER).sum()), int((f > 2.0 - _INTEGER).sum())
        slope = f * (2.0 - f) / (2.0 * self._kt)
        distance = e[None, empty:] - e[:filled, None]
        apart = distance.abs() > 1e-3 * self._kt
        ratio = (f[:filled, None] - f[None, empty:]) / torch.where(apart, distance, 1.0)
        weights = torch.where(apart, ratio, 0.5 * (slope[:filled, None] + slope[None, empty:]))
        weights[empty:, : filled - empty] *= 0.5
        return weights, slope[empty:filled], filled, empty


def _solved(
    response: ChargeMap, precondition: ChargeMap | None, residual: torch.Tensor, tolerance: float
) -> torch.Tensor:
    """d of (1 - J) d = ``residual`` to the relative ``tolerance``, by conjugate residuals."""
    import torch

    goal = tolerance * float(residual.norm())
    step = torch.zeros_like(residual)
    known: list[tuple[torch.Tensor, torch.Tensor]] = []
    for _ in range(_MOST_PRODUCTS):
        if float(residual.norm()) <= goal:
            break
        direction = residual if precondition is None else precondition(residual)
        image = direction - response(direction)
        for other, its_image in known:
            share = its_image @ image
            direction, image = direction - share * other, image - share * its_image
        length = image.norm()
        direction, image = direction / length, image / length
        known.append((direction, image))
        share = image @ residual
        step, residual = step + share * direction, residual - share * image
    return step


class _Steps:
    """Newton steps no longer than a radius; where one made the residual grow, a shorter one from where it began."""

    def __init__(self, charges: torch.Tensor) -> None:
        self._from, self._step = charges, charges.new_zeros(charges.shape)
        self._radius, self._best = _RADIUS, float("inf")
        self._retreats = 0

    def improves(self, residual: torch.Tensor) -> bool:
        """Is the residual smaller than any before?"""
        return not float(residual.norm()) >= self._best

    def advance(self, charges: torch.Tensor, residual: torch.Tensor, newton: torch.Tensor) -> torch.Tensor:
        """The next charges after those that improved."""
        norm = float(residual.norm())
        if norm < 0.25 * self._best < float("inf"):
            self._radius *= 2.0
        self._best, self._retreats = norm, 0
        self._from = charges
        self._step = newton * min(1.0, self._radius / max(float(newton.abs().max()), 1e-300))
        return charges + self._step

    def retreat(self) -> torch.Tensor | None:
        """The next charges where the last ones were worse; None where steps have become too short to matter."""
        if self._retreats == _MOST_RETREATS:
            return None
        self._retreats += 1
        self._step = _SHORTER * self._step
        return self._from + self._step


def self_consistent(
    parts: Gfn1Hamiltonian,
    charge: int,
    kt: float,
    tolerance: float,
    max_cycles: int,
    start: FloatArray | None = None,
    device: str = "cpu",
    single: bool = False,
) -> SelfConsistent:
    """Cycle until the orbitals' shell charges are those of their field within ``tolerance`` (elementary charges).

    ``kt`` in hartree smears the occupation; ``start`` (n_shells,): first charges, default those expected.  What they
    lack of ``charge`` is spread over all shells.  ``single``: all in single precision, for a tolerance far above its
    rounding, and without preconditioner: networks have learned from what such steps lead to.
    Raises StuckError where no step brings the charges nearer, and ElectronicStructureError when ``max_cycles`` are not
    enough or the numbers are not finite.
    """
    import torch

    molecule = _Molecule(parts, charge, kt, device, single)
    n = len(parts.reference)
    first = parts.expected if start is None else start
    charges = torch.as_tensor(first + (charge - first.sum()) / n, device=device)
    steps, change = _Steps(charges), float("inf")
    precondition: ChargeMap | None = None
    for count in range(1, max_cycles + 1):
        rough = single or (molecule.large and _may_be_rough(change, tolerance, molecule.rounding))
        orbitals = molecule.orbitals(charges, torch.float32 if rough else torch.float64)
        made = molecule.charges(orbitals)
        residual = made - charges
        change = float(residual.abs().max())
        if change <= tolerance and (single or not rough):
            tensors = orbitals.energies, orbitals.coefficients, orbitals.loewdin, orbitals.occupations, made
            e, c, loewdin, f, q = (tensor.cpu().numpy() for tensor in tensors)
            return SelfConsistent(e, c, loewdin, f, q, count)
        if rough and not single and change <= molecule.rounding:
            continue  # the start was better than single precision can tell
        if steps.improves(residual):
            if precondition is None and not single:
                precondition = molecule.preconditioner(orbitals)
            response = molecule.response(orbitals, charges)
            newton = _solved(response, precondition, residual, _exactness(change, tolerance))
            charges = steps.advance(charges, residual, newton)
        else:
            shorter = steps.retreat()
            if shorter is None:
                atom = int(parts.atom_of_shell[int(residual.abs().argmax())])
                problem = f"the charges still change by {change:.1e}, and no step makes that less"
                raise StuckError(problem, atom=atom)
            charges = shorter
        del orbitals  # large, and the next ones are larger while they are made
    raise ElectronicStructureError(
        f"the charges still change by {change:.1e}", "allow more cycles, or raise the electronic temperature"
    )


def corrected(state: SelfConsistent, added: FloatArray, device: str = "cpu") -> SelfConsistent:
    """``state`` with the orbitals of its Fock matrix and ``added`` (n_ao, n_ao); charges and occupations stay."""
    import torch

    c = torch.as_tensor(state.coefficients, device=device)
    fock = c.T @ torch.as_tensor(added, device=device) @ c
    fock.diagonal().add_(torch.as_tensor(state.energies, device=device))
    energies, turn = symmetric_eigh(fock, "corrected Hamiltonian")
    new, loewdin = c @ turn, torch.as_tensor(state.loewdin, device=device) @ turn
    levels, orbitals, over_loewdin = (x.cpu().numpy() for x in (energies, new, loewdin))
    return replace(state, energies=levels, coefficients=orbitals, loewdin=over_loewdin)


def _may_be_rough(change: float, tolerance: float, rounding: float) -> bool:
    """May the cycle after a largest residual ``change`` be in single precision, whose residual has ``rounding``?

    Not if it may be the last, nor if rounding would be all that the one after it fails for.
    """
    expected = _SQUARED * change**2
    after = _SQUARED * expected**2
    return expected > max(tolerance, rounding) and not after <= tolerance < after + rounding


def _exactness(change: float, tolerance: float) -> float:
    """How much of the residual may be left of a step from a largest residual ``change``."""
    last = _SQUARED * change**2 <= tolerance
    wanted = tolerance if last else math.sqrt(tolerance / _SQUARED)
    return min(max(_WORTH * change, _AHEAD * wanted / change, _FINEST), _COARSEST)
