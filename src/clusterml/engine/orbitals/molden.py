"""Orbitals of a finished calculation, from the Molden file that a structure was read from (``--orbitals molden``).

Any program's, whose habits :mod:`clusterml.engine.orbitals.habits` finds out, and those that ``label --molden`` wrote.
The kernels are those of the functional's share of Fock exchange, which a Molden file does not tell.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine.kernels import Kernels, hybrid_kernels, local_kernels, stda_kernels
from clusterml.engine.orbitals.functional import Functional, read_functional
from clusterml.engine.orbitals.habits import FittedOrbitals, fit_habit
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.engine.orbitals.source import OrbitalSource
from clusterml.engine.parameters import tables
from clusterml.errors import ChargeError, InputFileError, OptionError, UnsupportedElementError, counted
from clusterml.structure.anatomy.superatom import signed_charge
from clusterml.structure.formats.cores import possible_charges
from clusterml.structure.formats.molden import MoldenFile, MoldenOrbitals, holds_orbitals, read_molden
from clusterml.structure.read import open_content
from clusterml.typing import BoolArray, FloatArray
from clusterml.units import BOHR_ANGSTROM, REFERENCE_HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.protocol import Compute, Protocol

_OWN_TITLE = re.compile(r"(?!Molden\b)(\S+) orbitals, virtual levels \+(\d+\.?\d*) eV")
"""Those read from a file and written again are of a functional that the title does not tell."""
_LARGEST = 1024**3
_NO_FILES = ("data", "stdin", "stream")
"""What structures that were read from no file have for their source."""
_MOVED_ANGSTROM = 1e-4
"""Atoms that are farther than this from where the file has them have other orbitals."""
_FRACTION = 1e-4
"""Occupations that differ from 0 and 2 by more than this are those of no closed shell."""
_MARGIN_EV = 10.0
"""Configurations so far above the spectrum still screen it."""
_PURE = "the orbitals are taken to be those of a functional without Fock exchange; else give --xc or --ax"
_ALL_ORBITALS = "write all orbitals (CP2K: ADDED_MOS -1; ORCA, Turbomole, pyscf do it unasked)"


def molden_orbitals(file: MoldenFile, ax: float | None = None, functional: Functional | None = None) -> Orbitals:
    """The orbitals of a closed shell in a Molden file.

    ``ax``: the share of Fock exchange in the functional they are of, or the ``functional`` itself; None: that of a file
    of ours, else none, with a warning.  Raises InputFileError for a damaged file, one without orbitals, open shells,
    fractional occupations, no empty orbitals or an unknown norm, UnsupportedElementError for an element without kernel.
    """
    start = time.perf_counter()
    file.section("gto", "basis functions", _no_basis(file))
    written = file.orbitals()
    occupied = _closed_shells(written, file.where)
    fitted = fit_habit(file, written)
    order = np.lexsort((written.energies, ~occupied))
    own = _OWN_TITLE.fullmatch(file.title)
    symbols = _symbols(file)
    return Orbitals(
        symbols=symbols,
        basis=fitted.basis,
        energies_ev=written.energies[order] * REFERENCE_HARTREE_EV,
        coefficients=fitted.coefficients[:, order],
        n_occupied=int(occupied.sum()),
        method=_method(fitted) if own is None else own[1],
        kernels=_kernels(symbols, file.coords_bohr, ax, functional or _functional_of(own), own),
        virtual_shift_ev=0.0 if own is None else float(own[2]),
        core_electrons=None if file.cores.unknown else file.cores.electrons,
        warnings=(_PURE,) if own is None and ax is None and functional is None else (),
        timings_s={"reading": time.perf_counter() - start},
    )


def _method(fitted: FittedOrbitals) -> str:
    program = fitted.habit.program
    return "Molden" if program.startswith("standard") else f"Molden ({program})"


def _no_basis(file: MoldenFile) -> str:
    if "sto" in file.sections:
        return "[STO], Slater functions (ADF, MOPAC), cannot be read; compute with Gaussian functions"
    return "have the program write its basis and orbitals"


def _symbols(file: MoldenFile) -> tuple[str, ...]:
    """Raises UnsupportedElementError for elements without a kernel."""
    from ase.data import chemical_symbols

    symbols = tuple(chemical_symbols[z] for z in file.numbers)
    for symbol in symbols:
        if symbol not in tables()["elements"]:
            problem = f"{file.where}: element {symbol!r} has no chemical hardness in the kernels of excitations"
            raise UnsupportedElementError(problem, "those of hydrogen to radon are known")
    return symbols


def _functional_of(own: re.Match[str] | None) -> Functional | None:
    """The functional of Kohn-Sham orbitals of ours, whose method is ``PBE0/def2-svp``."""
    if own is None or "/" not in own[1]:
        return None
    return read_functional(own[1].partition("/")[0])


def _kernels(
    symbols: tuple[str, ...],
    coords_bohr: FloatArray,
    ax: float | None,
    functional: Functional | None,
    own: re.Match[str] | None,
) -> Kernels:
    if ax is not None:
        return hybrid_kernels(symbols, coords_bohr, ax)
    if functional is not None:
        return hybrid_kernels(symbols, coords_bohr, functional.ax, functional.alpha, functional.beta)
    return (stda_kernels if own is not None and own[1] == "sTDA-xTB" else local_kernels)(symbols, coords_bohr)


def _closed_shells(written: MoldenOrbitals, where: str) -> BoolArray:
    """Which orbitals hold two electrons, (n_mo,).

    Raises InputFileError for anything but a closed shell in its ground state with empty orbitals.
    """
    occupations = written.occupations
    occupied = occupations > 1.0
    partial = np.flatnonzero(np.minimum(np.abs(occupations), np.abs(occupations - 2.0)) > _FRACTION)
    single = len(partial) > 0 and set(occupations[partial].round(4)) == {1.0}
    if written.beta.any() or single:
        line = int(written.lines[np.argmax(written.beta) if written.beta.any() else partial[0]])
        kind = f"of beta spin from line {line} on" if written.beta.any() else f"with one electron, as in line {line}"
        problem = f"{where}: the orbitals are those of an open shell: there are some {kind}"
        raise InputFileError(problem, "closed shells alone can be computed; run it spin-restricted")
    if len(partial):
        first = f"{occupations[partial[0]]:.4g} in line {written.lines[partial[0]]}"
        problem = f"{where}: {counted(len(partial), 'orbital')} with fractional occupation, {first}"
        raise InputFileError(problem, "write canonical orbitals of a ground state without smearing")
    if not occupied.any():
        raise InputFileError(f"{where}: no orbital is occupied", "is Occup= written?")
    if occupied.all():
        raise InputFileError(f"{where}: there are no empty orbitals to excite into", _ALL_ORBITALS)
    if np.ptp(written.energies) < 1e-8:
        problem = f"{where}: all orbitals have the energy {written.energies[0]:g}"
        raise InputFileError(problem, "write canonical orbitals, not natural or localised ones")
    homo, lumo = float(written.energies[occupied].max()), float(written.energies[~occupied].min())
    if homo >= lumo:
        problem = f"{where}: an occupied orbital ({homo:.4f} hartree) lies above an empty one ({lumo:.4f})"
        raise InputFileError(problem, "write the orbitals of the ground state")
    return occupied


def _check_reach(orbitals: Orbitals, where: str, emax_ev: float) -> tuple[str, ...]:
    """A warning where virtual orbitals are missing that matter; raises InputFileError where too many are.

    Every configuration below the highest virtual level less that of the HOMO is there.
    """
    missing = orbitals.basis.n_ao - len(orbitals.energies_ev)
    reach = float(orbitals.energies_ev[-1] - orbitals.energies_ev[orbitals.n_occupied - 1])
    if missing == 0 or reach > emax_ev + _MARGIN_EV:
        return ()
    virtuals = f"{orbitals.n_virtual} empty orbitals, which end {reach:.2f} eV above the HOMO"
    if reach < emax_ev:
        lower = f"--emax {np.floor(10.0 * reach) / 10.0:g}, or " if reach >= 1.0 else ""
        problem = f"{where}: has {virtuals}: excitations are complete to {reach:.2f} eV, not to {emax_ev:g} eV"
        raise InputFileError(problem, f"{lower}{_ALL_ORBITALS}")
    return (f"the file has {virtuals}: excitations above are missing, which weakens the screening of those below",)


def _check_charge(file: MoldenFile, charge: int, electrons: int) -> None:
    """Raise ChargeError unless ``charge`` is one that the ``electrons`` of the orbitals can leave."""
    possible = possible_charges(file.numbers, file.cores, electrons)
    if possible and charge not in possible:
        near = sorted(possible, key=lambda q: abs(q - charge))[:3]
        listed = " or ".join(signed_charge(q) for q in near)
        problem = f"{file.where}: the charge {signed_charge(charge)} does not fit {electrons} electrons in orbitals"
        raise ChargeError(problem, f"the file's orbitals are those of the charge {listed}; leave --charge out")


def _compute(atoms: Atoms, charge: int, protocol: Protocol, compute: Compute, start_from: Atoms | None) -> Orbitals:
    """The orbitals in the file that ``atoms`` were read from; a first guess has no use."""
    where = str(atoms.info.get("source") or "")
    if not holds_orbitals(atoms):
        problem = f"{where or 'the structure'} holds no orbitals: it is no Molden file"
        raise OptionError(problem, "read a .molden file, or use --orbitals gfn1")
    if where in _NO_FILES and not Path(where).is_file():
        raise OptionError("orbitals are read from a file, not from a stream", "save the Molden file and name it")
    file = read_molden(open_content(where).text(_LARGEST), where)
    places = file.coords_bohr * BOHR_ANGSTROM
    same = list(file.numbers) == list(atoms.numbers)
    if not same or np.abs(places - atoms.positions).max() > _MOVED_ANGSTROM:
        problem = f"{where}: its orbitals are those of its own geometry, not of this one"
        raise OptionError(problem, "use --orbitals gfn1 for structures that are changed after reading")
    if protocol.ax is not None and protocol.xc is not None:
        raise OptionError(
            f"ax is {protocol.ax:g} and xc {protocol.xc!r}: both say the Fock exchange", "give one of them"
        )
    functional = None if protocol.xc is None else read_functional(protocol.xc)
    orbitals = molden_orbitals(file, protocol.ax, functional)
    _check_charge(file, charge, 2 * orbitals.n_occupied)
    missing = _check_reach(orbitals, where, protocol.emax_ev)
    return replace(orbitals, warnings=(*orbitals.warnings, *missing))


ORBITAL_SOURCES = (OrbitalSource("molden", _compute, from_file=True),)
