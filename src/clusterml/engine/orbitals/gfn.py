"""Self-consistent GFN1-xTB and GFN2-xTB orbitals, with optional implicit solvation.

GFN1-xTB, the source of all labels, is our own (:mod:`clusterml.engine.orbitals.gfn1`), in vacuum and in solvents
(:mod:`clusterml.engine.orbitals.solvation`): an order of magnitude faster than tblite on silver clusters, and it runs
on a GPU.  Methods with its charges and other orbitals bring a correction of its Fock matrix, such as ``gfn1-pbe``
(:mod:`clusterml.engine.orbitals.gfn1_pbe`).  GFN2-xTB comes from tblite, which takes its threads from OMP_NUM_THREADS.
Sources: the two GFN-xTB papers (see :mod:`clusterml.engine.basis`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from clusterml.engine.basis import gfn_basis, tblite_positions
from clusterml.engine.blas import lend_blas
from clusterml.engine.choices import check_kelvin
from clusterml.engine.kernels import local_kernels
from clusterml.engine.orbitals.gfn1 import FockCorrection, Gfn1Hamiltonian, gfn1_hamiltonian
from clusterml.engine.orbitals.orbitals import Orbitals, check_orthonormal
from clusterml.engine.orbitals.solvation import buried_atoms_warnings, in_solvent, solvent_warnings
from clusterml.engine.orbitals.source import OrbitalSource
from clusterml.engine.parameters import core_electrons
from clusterml.errors import ChargeError, ElectronicStructureError, OptionError
from clusterml.structure.geometry import Geometry
from clusterml.structure.solvents import GfnMethod, SolventModel, find_solvent
from clusterml.typing import FloatArray
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.orbitals.newton import SelfConsistent
    from clusterml.engine.protocol import Compute, Protocol

Medium = tuple[str, SolventModel]
"""A solvent and its model."""

_METHOD: dict[str, str] = {"gfn1": "GFN1-xTB", "gfn2": "GFN2-xTB"}
CHARGE_TOLERANCE = 2e-5
"""Residual of shell charges, in elementary charges, at which a ground state is taken: largest change of ours, root mean
square of tblite's (its accuracy 1).  Spectra then change by less than 1e-3 of their maximum, see
docs/science/orbital-sources.md."""

_TOLERANCES = 1e-10, 1e-2
"""The smallest and the largest."""

_FRACTIONAL = 0.02
"""Occupations that differ from 0 or 2 by more than this are reported."""


def gfn_orbitals(
    atoms: Atoms,
    charge: int,
    method: GfnMethod = "gfn1",
    solvent: str | None = None,
    solvation: SolventModel = "alpb",
    electronic_temperature_k: float = 300.0,
    charge_tolerance: float = CHARGE_TOLERANCE,
    max_iterations: int = 500,
    start_from: Atoms | None = None,
    device: str = "cpu",
    correction: FockCorrection | None = None,
) -> Orbitals:
    """Closed-shell orbitals of a self-consistent GFN-xTB ground state.

    ``solvent``: a name of :mod:`clusterml.structure.solvents`, such as ``"methanol"``, or None for the vacuum;
    ``solvation`` its model.
    ``electronic_temperature_k`` smears the occupation during the self-consistent cycle; the excited states use the
    lowest n/2 orbitals, and a warning tells when the smeared occupations were fractional.
    ``charge_tolerance``: largest residual of a shell charge in e (tblite: of their root mean square) at which the
    ground state is taken.
    ``start_from``: a geometry of the same atoms, in the same order, whose converged charges (tblite: density) are the
    first guess; it is computed once for many geometries near it, and changes the result within the tolerance.  No
    virtual shift is contained.  ``device``: ``"cpu"`` or ``"cuda"``; tblite has no use for it.  The surface that a
    solvent can reach is measured on points in fixed directions: turning a molecule moves its levels by up to about
    5e-4 eV in a solvent that makes hydrogen bonds, 1e-9 eV in another one and in vacuum.
    ``correction``: what is added to the converged Fock matrix of GFN1 before its orbitals are taken.

    Raises UnsupportedElementError beyond radon, OptionError for an unknown method, model or solvent and for a
    correction of GFN2, ChargeError for an
    odd number of electrons, ElectronicStructureError without convergence.
    """
    start = time.perf_counter()
    _check_options(method, solvation, electronic_temperature_k, charge_tolerance)
    if solvent is not None:
        solvent = find_solvent(solvent, solvation, method)
    if method == "gfn1":
        medium = None if solvent is None else (solvent, solvation)
        cycles = _Cycles(electronic_temperature_k, charge_tolerance, max_iterations, device)
        return _own_gfn1(atoms, charge, medium, cycles, start_from, correction)
    if correction is not None:
        raise OptionError(f"{correction.method} corrects the Fock matrix of GFN1, not of {method}", "use method gfn1")
    symbols = tuple(atoms.get_chemical_symbols())
    basis = gfn_basis(symbols, atoms.positions / BOHR_ANGSTROM, method)
    warnings = () if solvent is None else buried_atoms_warnings(atoms, solvent, solvation, method)
    calculator = _calculator(atoms, charge, method, solvent, solvation)
    calculator.set("temperature", electronic_temperature_k * BOLTZMANN_HARTREE)
    calculator.set("accuracy", max(charge_tolerance / CHARGE_TOLERANCE, 1e-4))
    calculator.set("max-iter", max_iterations)
    guess = None
    if start_from is not None:
        guess = _guess(Geometry.of(start_from), charge, method, solvent, solvation, electronic_temperature_k)
    result = _converged(calculator, method, electronic_temperature_k, max_iterations, guess)
    coefficients = np.empty((basis.n_ao, basis.n_ao))
    coefficients[tblite_positions(basis)] = result.get("orbital-coefficients")
    occupations = np.asarray(result.get("orbital-occupations"))
    n_occupied = closed_shell(float(occupations.sum()), len(occupations))
    remedy = "install a tested version of tblite (0.8), or use --orbitals stda-xtb"
    check_orthonormal(basis, coefficients, f"tblite's {_METHOD[method]}", remedy)
    return Orbitals(
        symbols=symbols,
        basis=basis,
        energies_ev=np.asarray(result.get("orbital-energies")) * HARTREE_EV,
        coefficients=coefficients,
        n_occupied=n_occupied,
        method=_METHOD[method],
        kernels=local_kernels(symbols, basis.coords_bohr),
        charges=np.asarray(result.get("charges")),
        core_electrons=core_electrons(symbols),
        warnings=(*warnings, *_occupation_warnings(occupations, n_occupied, electronic_temperature_k)),
        timings_s={"scf": time.perf_counter() - start},
    )


@dataclass(frozen=True)
class _Cycles:
    """Electronic temperature in K, charge tolerance in e, most cycles and device of our own ground states."""

    kelvin: float
    tolerance: float = CHARGE_TOLERANCE
    most: int = 500
    device: str = "cpu"

    def run(
        self, parts: Gfn1Hamiltonian, symbols: Sequence[str], charge: int, start: FloatArray | None = None
    ) -> SelfConsistent:
        """The self-consistent state of ``symbols`` (n,); raises ElectronicStructureError without convergence."""
        from clusterml.engine.orbitals.newton import StuckError, self_consistent

        kt = self.kelvin * BOLTZMANN_HARTREE
        try:
            return self_consistent(parts, charge, kt, self.tolerance, self.most, start, self.device)
        except StuckError as stuck:
            raise stuck.of(symbols, stuck.atom) from stuck
        except ElectronicStructureError as exc:
            raise _failed("gfn1", self.kelvin, self.most, exc.problem) from exc

    def correct(self, state: SelfConsistent, added: FloatArray) -> SelfConsistent:
        """``state`` with orbitals of its Fock matrix and ``added``."""
        from clusterml.engine.orbitals.newton import corrected

        return corrected(state, added, self.device)


def _own_gfn1(
    atoms: Atoms,
    charge: int,
    medium: Medium | None,
    cycles: _Cycles,
    start_from: Atoms | None,
    correction: FockCorrection | None,
) -> Orbitals:
    start = time.perf_counter()
    symbols = tuple(atoms.get_chemical_symbols())
    parts = _hamiltonian(atoms, medium)
    n_occupied = closed_shell(float(parts.reference.sum()) - charge, parts.basis.n_ao)
    first = None
    if start_from is not None:
        first = _FIRST_CHARGES.of(start_from, charge, medium, cycles)
    warnings = () if medium is None else solvent_warnings(parts, *medium)
    prepared = time.perf_counter()
    try:
        state = cycles.run(parts, symbols, charge, first)
    except ElectronicStructureError as error:
        raise ElectronicStructureError("; ".join((error.problem, *warnings)), error.remedy) from error
    if start_from is None:
        _FIRST_CHARGES.keep(atoms, charge, medium, cycles, state.shell_charges)
    if correction is not None:
        state = cycles.correct(state, correction.matrix(parts, symbols, state.shell_charges))
        warnings += correction.warnings(symbols)
    done = time.perf_counter()
    return Orbitals(
        symbols=symbols,
        basis=parts.basis,
        energies_ev=state.energies * HARTREE_EV,
        coefficients=state.coefficients,
        loewdin=state.loewdin,
        n_cycles=state.n_cycles,
        n_occupied=n_occupied,
        method=_METHOD["gfn1"] if correction is None else correction.method,
        kernels=local_kernels(symbols, parts.basis.coords_bohr),
        charges=np.bincount(parts.atom_of_shell, weights=state.shell_charges).astype(np.float64),
        shell_charges=state.shell_charges,
        core_electrons=core_electrons(symbols),
        warnings=(*warnings, *_occupation_warnings(state.occupations, n_occupied, cycles.kelvin)),
        timings_s={"hamiltonian": prepared - start, "cycles": done - prepared, "scf": done - start},
    )


def _hamiltonian(atoms: Atoms, medium: Medium | None) -> Gfn1Hamiltonian:
    symbols, coords = tuple(atoms.get_chemical_symbols()), atoms.positions / BOHR_ANGSTROM
    parts = gfn1_hamiltonian(symbols, coords)
    return parts if medium is None else in_solvent(parts, symbols, coords, *medium)


class _FirstCharges:
    """Shell charges of the geometries that others begin with, of the latest few: from nothing to the default tolerance.

    So it does not matter whether the ground state of such a geometry was computed before, or for this.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._known: dict[tuple[Geometry, int, Medium | None, _Cycles], FloatArray] = {}

    def keep(self, atoms: Atoms, charge: int, medium: Medium | None, cycles: _Cycles, charges: FloatArray) -> None:
        """Remember charges that began with nothing."""
        self._known[Geometry.of(atoms), charge, medium, cycles] = charges
        while len(self._known) > self._most:
            self._known.pop(next(iter(self._known)), None)

    def of(self, atoms: Atoms, charge: int, medium: Medium | None, cycles: _Cycles) -> FloatArray:
        """Those of ``atoms``, computed if they are not known; raises ElectronicStructureError without convergence."""
        usual = _Cycles(cycles.kelvin, device=cycles.device)
        known = self._known.pop((Geometry.of(atoms), charge, medium, usual), None)
        if known is None:
            symbols = atoms.get_chemical_symbols()
            known = usual.run(_hamiltonian(atoms, medium), symbols, charge).shell_charges
        self.keep(atoms, charge, medium, usual, known)
        return known


_FIRST_CHARGES = _FirstCharges()


def _check_options(method: str, solvation: str, temperature_k: float, tolerance: float) -> None:
    if method not in _METHOD:
        raise OptionError(f"method is {method!r}", f"choose one of {', '.join(_METHOD)}")
    if solvation not in get_args(SolventModel):
        raise OptionError(f"solvation is {solvation!r}", f"choose one of {', '.join(get_args(SolventModel))}")
    check_kelvin("electronic_temperature_k", temperature_k)
    least, most = _TOLERANCES
    if not least <= tolerance <= most:
        raise OptionError(f"charge_tolerance is {tolerance:g}", f"give a number between {least:g} and {most:g}")


def _silent(message: str) -> None:
    """Swallow tblite's log: errors come as exceptions."""


@lru_cache(maxsize=8)
def _guess(
    geometry: Geometry, charge: int, method: GfnMethod, solvent: str | None, solvation: SolventModel, kelvin: float
) -> Any:
    """tblite's converged result of a geometry, at its default thresholds."""
    calculator = _calculator(geometry.atoms, charge, method, solvent, solvation)
    calculator.set("temperature", kelvin * BOLTZMANN_HARTREE)
    calculator.set("max-iter", 500)
    return _converged(calculator, method, kelvin, 500)


def _calculator(atoms: Atoms, charge: int, method: GfnMethod, solvent: str | None, solvation: SolventModel) -> Any:
    lend_blas()
    from tblite.exceptions import TBLiteRuntimeError, TBLiteValueError
    from tblite.interface import Calculator

    positions = atoms.positions / BOHR_ANGSTROM
    try:
        calculator = Calculator(
            _METHOD[method], atoms.numbers, positions, charge=float(charge), color=False, logger=_silent
        )
        if solvent is not None:
            calculator.add(f"{solvation}-solvation", solvent)
    except (TBLiteRuntimeError, TBLiteValueError) as exc:
        raise ElectronicStructureError(f"tblite refuses the molecule: {exc}", "check geometry and charge") from exc
    calculator.set("verbosity", 0)
    return calculator


def _converged(calculator: Any, method: str, temperature_k: float, max_iterations: int, guess: Any = None) -> Any:
    from tblite.exceptions import TBLiteRuntimeError

    try:
        result = calculator.singlepoint() if guess is None else calculator.singlepoint(guess, copy=True)
    except TBLiteRuntimeError as exc:
        raise _failed(method, temperature_k, max_iterations, str(exc)) from exc
    if not np.isfinite(result.get("orbital-energies")).all():
        raise ElectronicStructureError("the orbital energies are not finite", "check charge and geometry")
    return result


def _failed(method: str, kelvin: float, max_iterations: int, problem: str) -> ElectronicStructureError:
    other = ", or use --orbitals gfn1" if method == "gfn2" else ""
    return ElectronicStructureError(
        f"the {_METHOD[method]} ground state failed at {kelvin:g} K ({max_iterations} cycles): {problem}",
        f"check charge and geometry, raise the electronic temperature (--electronic-temperature 1000){other}",
    )


def closed_shell(electrons: float, n_orbitals: int) -> int:
    """Number of doubly occupied orbitals."""
    n_electrons = round(electrons)
    if n_electrons % 2:
        raise ChargeError(f"{n_electrons} valence electrons are an odd number", "check the charge")
    n_occupied = n_electrons // 2
    if not 0 < n_occupied < n_orbitals:
        raise ElectronicStructureError(
            f"{n_electrons} valence electrons leave no occupied or no virtual orbital among {n_orbitals}",
            "check the charge",
        )
    return n_occupied


def _occupation_warnings(occupations: FloatArray, n_occupied: int, temperature_k: float) -> tuple[str, ...]:
    full = np.where(np.arange(len(occupations)) < n_occupied, 2.0, 0.0)
    fractional = int((np.abs(occupations - full) > _FRACTIONAL).sum())
    if fractional == 0:
        return ()
    return (
        f"{fractional} orbitals are fractionally occupied at {temperature_k:g} K; "
        "the excited states take the lowest ones as doubly occupied",
    )


def gfn_source(name: str, method: GfnMethod, correction: FockCorrection | None = None) -> OrbitalSource:
    """The source ``name`` of orbitals of ``method``, of GFN1 with a ``correction`` of its Fock matrix if it has one."""

    def compute(atoms: Atoms, charge: int, protocol: Protocol, compute: Compute, start: Atoms | None) -> Orbitals:
        kelvin, tolerance = protocol.electronic_temperature_k, protocol.charge_tolerance
        return gfn_orbitals(
            atoms,
            charge,
            method=method,
            solvent=protocol.solvent,
            solvation=protocol.solvation,
            electronic_temperature_k=300.0 if kelvin is None else kelvin,
            charge_tolerance=CHARGE_TOLERANCE if tolerance is None else tolerance,
            start_from=start,
            device=compute.device,
            correction=correction,
        )

    return OrbitalSource(
        name, compute, solvents=True, electronic_temperature=True, charge_tolerance=True, check_memory=True
    )


ORBITAL_SOURCES = (gfn_source("gfn1", "gfn1"), gfn_source("gfn2", "gfn2"))
