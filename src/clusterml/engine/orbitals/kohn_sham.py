"""Self-consistent Kohn-Sham orbitals of a closed shell with pyscf: ways to convergence, restart, progress.

Metal clusters converge badly: small gaps let charge slosh.  The ways are tried in order of cost, each from the density
of lowest energy so far: plain DIIS, a level shift, smearing that is annealed away, second order.  Every cycle is stored
where a folder for that is given, so that a calculation that is killed loses no more than one.
Sources: P. Pulay, J. Comput. Chem. 3, 556 (1982) (DIIS); V. R. Saunders, I. H. Hillier, Int. J. Quantum Chem. 7, 699
(1973) (level shift); A. D. Rabuck, G. E. Scuseria, J. Chem. Phys. 110, 695 (1999) (smearing); Q. Sun, arXiv:1610.08423
(second order); Q. Sun et al., J. Chem. Phys. 153, 024109 (2020) (pyscf).
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from clusterml.errors import ElectronicStructureError, InputFileError, OptionError
from clusterml.io.files import read_bounded, write_bytes
from clusterml.typing import FloatArray

ENERGY_TOLERANCE = 1e-7
"""Largest change of the energy in hartree in the last cycle."""
GRADIENT_TOLERANCE = 1e-5
"""Largest orbital gradient, per square root of the number of electrons: valence levels hold to 1e-4 eV."""
_EMPTY = 1e-10
"""Smaller occupations are not stored."""
_LARGEST_FILE = 4 * 10**9


@dataclass(frozen=True)
class Way:
    """A way to convergence: at most ``cycles`` cycles, with a ``level_shift`` (hartree), with Fermi occupations of
    width ``sigma`` (hartree), or of ``second_order``.  ``words``: its name; ``lasts``: does it lead to the end.
    """

    words: str
    cycles: int = 60
    level_shift: float = 0.0
    sigma: float = 0.0
    second_order: bool = False
    lasts: bool = True


WAYS = (
    Way("plain cycles", cycles=40),
    Way("a level shift of 0.2 hartree", level_shift=0.2),
    Way("Fermi smearing of 0.02 hartree", sigma=0.02, cycles=40, lasts=False),
    Way("Fermi smearing of 0.005 hartree", sigma=0.005, cycles=40, lasts=False),
    Way("a level shift of 0.1 hartree after smearing", level_shift=0.1, cycles=60),
    Way("second-order cycles", second_order=True, cycles=30),
)
"""Tried in this order; those with smearing only lead to the next one."""


def smeared_ways(sigma: float) -> tuple[Way, ...]:
    """Ways to Fermi occupations of width ``sigma`` (hartree) that stay."""
    return (
        Way("plain cycles", cycles=80, sigma=sigma),
        Way("four times the smearing", cycles=40, sigma=4.0 * sigma, lasts=False),
        Way("a level shift of 0.2 hartree", cycles=80, sigma=sigma, level_shift=0.2),
    )


@dataclass(frozen=True)
class KohnSham:
    """Converged orbitals: ``energies`` (n_mo,) hartree, ``coefficients`` (n_ao, n_mo), ``occupations`` (n_mo,).

    ``energy``: total, in hartree; ``cycles``: of all ways; ``way``: the one that led there, None: the first.
    """

    energies: FloatArray
    coefficients: FloatArray
    occupations: FloatArray
    energy: float
    cycles: int
    way: Way | None

    @property
    def lowest_filled(self) -> bool:
        """Are the occupied orbitals those of lowest energy? A saddle point may have a hole below them."""
        return bool((np.diff(self.occupations) <= 0.0).all())


@dataclass(frozen=True)
class Checkpoint:
    """The file ``path`` that holds the last cycle of the calculation ``identity`` (plain values)."""

    path: Path
    identity: dict[str, Any]

    def write(self, coefficients: FloatArray, occupations: FloatArray, cycles: int, way: int) -> None:
        """Store the occupied orbitals; raises OutputError where that cannot be."""
        used = occupations > _EMPTY
        buffer = io.BytesIO()
        np.savez(
            buffer,
            identity=np.frombuffer(json.dumps(self.identity, sort_keys=True).encode(), dtype=np.uint8),
            coefficients=coefficients[:, used],
            occupations=occupations[used],
            progress=np.array([cycles, way]),
        )
        write_bytes(self.path, buffer.getvalue())

    def read(self) -> tuple[FloatArray, int, int] | None:
        """Density matrix (n_ao, n_ao), cycles and number of the way that are stored; None where nothing is.

        Raises InputFileError for a damaged file, OptionError for one of another calculation.
        """
        if not self.path.exists():
            return None
        try:
            with np.load(io.BytesIO(read_bounded(self.path, _LARGEST_FILE)), allow_pickle=False) as file:
                identity = json.loads(file["identity"].tobytes())
                density = density_matrix(file["coefficients"], file["occupations"])
                cycles, way = (int(number) for number in file["progress"])
        except (ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputFileError(f"{self.path} is no checkpoint of a ground state, or damaged", "remove it") from error
        if identity != self.identity:
            other = ", ".join(key for key, value in self.identity.items() if identity.get(key) != value)
            raise OptionError(
                f"the checkpoint {self.path} is of another calculation: {other} differ",
                "give another folder (--checkpoint DIR), or remove the file",
            )
        return density, cycles, way


def density_matrix(coefficients: FloatArray, occupations: FloatArray) -> FloatArray:
    """Density matrix (n_ao, n_ao) of orbitals (n_ao, n) with occupations (n,)."""
    return np.asarray((coefficients * occupations) @ coefficients.T)


@dataclass
class Journal:
    """The cycles so far: ``cycles``, the number of the present ``way``, and its ``density`` of ``lowest`` energy.

    ``checkpoint``: where every cycle is stored, None: nowhere; ``working``: told after each one, None: nobody.
    """

    checkpoint: Checkpoint | None = None
    working: Callable[[str], None] | None = None
    cycles: int = 0
    way: int = 0
    lowest: float = np.inf
    density: FloatArray | None = None
    _last_energy: float = np.nan
    _last_time: float = 0.0

    def tell(self, words: str) -> None:
        """Tell who wants to know."""
        if self.working is not None:
            self.working(words)

    def begin(self, way: int) -> None:
        """A way begins."""
        self.way, self.lowest = way, np.inf

    def note(self, state: dict[str, Any]) -> None:
        """A cycle has ended; ``state``: the local variables of pyscf's loop."""
        energy, before = float(state["e_tot"]), self._last_energy
        if not np.isfinite(energy):
            raise ElectronicStructureError("the Kohn-Sham energy is not finite", "check the geometry")
        seconds = time.perf_counter() - self._last_time
        self._last_energy, self._last_time = energy, time.perf_counter()
        self.cycles += 1
        change = "" if np.isnan(before) else f", changed by {energy - before:.1e}, {seconds:.1f} s"
        self.tell(f"cycle {self.cycles}: {energy:.6f} hartree{change}")
        coefficients, occupations = _on_cpu(state["mo_coeff"]), _on_cpu(state["mo_occ"])
        if energy < self.lowest:
            self.lowest, self.density = energy, density_matrix(coefficients, occupations)
        if self.checkpoint is not None:
            self.checkpoint.write(coefficients, occupations, self.cycles, self.way)


def _on_cpu(array: Any) -> FloatArray:
    """An array that may be on a GPU."""
    return np.asarray(array.get() if hasattr(array, "get") else array)


def converge(field: Any, journal: Journal, guess: FloatArray | None = None, sigma: float = 0.0) -> KohnSham:
    """Self-consistent orbitals of pyscf's mean field ``field`` by the first way that leads there.

    ``guess`` (n_ao, n_ao): the first density, None: that of the checkpoint or superposed atoms.  ``sigma``: width of
    Fermi occupations that stay in hartree.  Raises ElectronicStructureError where no way does.
    """
    ways = WAYS if sigma == 0.0 else smeared_ways(sigma)
    first, density = 0, guess
    stored = None if journal.checkpoint is None else journal.checkpoint.read()
    if stored is not None:
        density, journal.cycles, first = stored
        journal.tell(f"continued after cycle {journal.cycles}")
    for number in range(min(first, len(ways) - 1), len(ways)):
        way = ways[number]
        if number > first:
            journal.tell(f"not converged after {journal.cycles} cycles: {way.words}")
        journal.begin(number)
        solver = _solver(field, way, journal)
        solver.kernel(density)
        if solver.converged and way.lasts:
            result = _result(solver, journal, way if number else None)
            if sigma or result.lowest_filled:
                return result
        reached = density_matrix(_on_cpu(solver.mo_coeff), _on_cpu(solver.mo_occ))
        density = reached if solver.converged else journal.density
    problem = (
        f"the Kohn-Sham ground state did not converge in {journal.cycles} cycles, the last of them with {way.words}"
    )
    if solver.converged:
        problem = "the Kohn-Sham ground state is no closed shell: it converges only with a hole below occupied orbitals"
    raise ElectronicStructureError(
        problem,
        "check charge and geometry (relax it first); then try --electronic-temperature 1000, a pure functional "
        "(--xc pbe), a basis without diffuse functions (--basis def2-svp), or --orbitals gfn1",
    )


def _solver(field: Any, way: Way, journal: Journal) -> Any:
    """pyscf's object that goes a way."""
    solver = field
    if way.sigma:
        solver = field.smearing(way.sigma, "fermi")
    elif way.second_order:
        solver = field.newton()
    solver.max_cycle, solver.level_shift = way.cycles, way.level_shift
    solver.conv_tol, solver.conv_tol_grad = ENERGY_TOLERANCE, GRADIENT_TOLERANCE * field.mol.nelectron**0.5
    solver.callback = journal.note
    return solver


def _result(solver: Any, journal: Journal, way: Way | None) -> KohnSham:
    energies, coefficients, occupations = map(_on_cpu, (solver.mo_energy, solver.mo_coeff, solver.mo_occ))
    order = np.argsort(energies, kind="stable")
    return KohnSham(
        energies[order], coefficients[:, order], occupations[order], float(solver.e_tot), journal.cycles, way
    )
