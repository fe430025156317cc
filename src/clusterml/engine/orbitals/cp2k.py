"""PBE orbitals from the program CP2K, where it is installed: much faster than Gaussians alone on large clusters.

CP2K expands the density in plane waves beside the Gaussians of the orbitals, so that the cost of a cycle hardly grows
with the cluster.  The protocol is fixed: PBE, GTH pseudopotentials, DZVP-MOLOPT-SR basis, the potential of an isolated
molecule, all virtual orbitals.  Orbitals come over in CP2K's own Molden file.
Sources: T. D. Kuehne et al., J. Chem. Phys. 152, 194103 (2020) (CP2K); J. VandeVondele, J. Hutter, J. Chem. Phys. 127,
114105 (2007) (the basis); M. Krack, Theor. Chem. Acc. 114, 145 (2005) (pseudopotentials); L. Genovese et al., J. Chem.
Phys. 125, 074105 (2006) (the potential of isolated molecules); J. P. Perdew, K. Burke, M. Ernzerhof, Phys. Rev. Lett.
77, 3865 (1996).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clusterml.engine.cost import Cost
from clusterml.engine.orbitals.molden import molden_orbitals
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.engine.orbitals.source import OrbitalSource
from clusterml.errors import (
    ChargeError,
    ElectronicStructureError,
    FolderInUseError,
    InputFileError,
    OptionError,
    UnsupportedElementError,
)
from clusterml.io.files import exclusive, make_folder, read_bounded, sha256, write_bytes
from clusterml.structure.elements import formula
from clusterml.structure.formats.molden import read_molden
from clusterml.typing import FloatArray
from clusterml.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.protocol import Compute, Protocol

PROGRAMS = ("cp2k.psmp", "cp2k.ssmp", "cp2k.popt", "cp2k.sopt", "cp2k")
"""Names of the program, tried in this order."""
METHOD = "PBE/DZVP-MOLOPT-SR (CP2K)"
_CUTOFF_RY, _RELATIVE_CUTOFF_RY = 250, 40
"""Of the plane waves: valence levels hold to 2e-3 eV."""
_MARGIN_ANGSTROM = 4.5
"""Empty space around the atoms; 4 and 5 A differ by 5e-4 eV."""
_TOLERANCE = 1e-5
_MOST_CYCLES = 120
_VALENCE = {
    "H": 1,
    "B": 3,
    "C": 4,
    "N": 5,
    "O": 6,
    "F": 7,
    "Si": 4,
    "P": 5,
    "S": 6,
    "Cl": 7,
    "Cu": 11,
    "Se": 6,
    "Br": 7,
}
_VALENCE |= {"Pd": 18, "Ag": 11, "I": 7, "Pt": 18, "Au": 11}
"""Explicit electrons of the pseudopotentials."""
_FUNCTIONS = {"H": 5, "Cu": 25, "Pd": 25, "Ag": 25, "Pt": 25, "Au": 25}
"""Functions of the basis; other elements have 13."""
_LARGEST = 4 * 10**9
_CYCLE = re.compile(rb"^\s+(\d+) (?:NoMix|Broy|P_Mix|Pulay)\S*\s", re.MULTILINE)


def cp2k_orbitals(atoms: Atoms, charge: int, compute: Compute) -> Orbitals:
    """Closed-shell PBE orbitals of an isolated molecule by CP2K.

    With a folder ``compute.checkpoint`` finished orbitals are kept there and taken again, and a run that was killed
    goes on from its last cycle.  Raises OptionError where CP2K is not installed, UnsupportedElementError, ChargeError
    for an odd number of electrons, ElectronicStructureError without convergence or for what the program says.
    """
    start = time.perf_counter()
    electrons = _electrons(atoms, charge)
    deck, shift = input_deck(atoms, charge), _box(atoms)[1]
    if compute.checkpoint is None:
        with tempfile.TemporaryDirectory(prefix="clusterml-cp2k-") as folder:
            text = _run(deck, Path(folder), compute.working)
    else:
        text = _kept(deck, molden_file(make_folder(compute.checkpoint), atoms, charge), compute.working)
    orbitals = molden_orbitals(read_molden(text.decode(errors="replace"), "CP2K's Molden file"), ax=0.0)
    if 2 * orbitals.n_occupied != electrons:
        problem = f"CP2K filled {orbitals.n_occupied} orbitals, not those of {electrons} electrons"
        raise ElectronicStructureError(problem, "use a tested version of CP2K (2023.1), or --orbitals dft")
    basis = orbitals.basis.translated(-shift / BOHR_ANGSTROM)
    return replace(orbitals, method=METHOD, basis=basis, timings_s={"scf": time.perf_counter() - start})


def _electrons(atoms: Atoms, charge: int) -> int:
    for symbol in dict.fromkeys(atoms.get_chemical_symbols()):
        if symbol not in _VALENCE:
            problem = f"orbitals of cp2k are not set up for the element {symbol}"
            raise UnsupportedElementError(problem, f"for {', '.join(_VALENCE)}; use --orbitals dft for others")
    electrons = sum(_VALENCE[symbol] for symbol in atoms.get_chemical_symbols()) - charge
    if electrons % 2:
        raise ChargeError(f"{electrons} explicit electrons are an odd number", "check the charge")
    return electrons


def _box(atoms: Atoms) -> tuple[float, FloatArray]:
    """Edge of the cube in angstrom, and the shift (3,) that brings the atoms to its middle."""
    low, high = atoms.positions.min(axis=0), atoms.positions.max(axis=0)
    edge = float((high - low).max()) + 2.0 * _MARGIN_ANGSTROM
    return edge, 0.5 * (edge - low - high)


def input_deck(atoms: Atoms, charge: int) -> str:
    """CP2K's input for the orbitals of ``atoms``, positions to 1e-6 A."""
    edge, shift = _box(atoms)
    symbols = atoms.get_chemical_symbols()
    places = "\n".join(
        f"      {symbol} {x:.6f} {y:.6f} {z:.6f}"
        for symbol, (x, y, z) in zip(symbols, atoms.positions + shift, strict=True)
    )
    kinds = "\n".join(
        f"    &KIND {symbol}\n      BASIS_SET DZVP-MOLOPT-SR-GTH\n"
        f"      POTENTIAL GTH-PBE-q{_VALENCE[symbol]}\n    &END KIND"
        for symbol in dict.fromkeys(symbols)
    )
    return _DECK.format(charge=charge, edge=edge, places=places, kinds=kinds)


_DECK = f"""\
&GLOBAL
  PROJECT cluster
  RUN_TYPE ENERGY
  PRINT_LEVEL LOW
&END GLOBAL
&FORCE_EVAL
  METHOD QS
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    WFN_RESTART_FILE_NAME cluster-RESTART.wfn
    CHARGE {{charge}}
    &MGRID
      CUTOFF {_CUTOFF_RY}
      REL_CUTOFF {_RELATIVE_CUTOFF_RY}
    &END MGRID
    &QS
      EPS_DEFAULT 1.0E-10
    &END QS
    &POISSON
      PERIODIC NONE
      POISSON_SOLVER WAVELET
    &END POISSON
    &SCF
      SCF_GUESS RESTART
      EPS_SCF {_TOLERANCE}
      MAX_SCF {_MOST_CYCLES}
      ADDED_MOS -1
      &DIAGONALIZATION
        ALGORITHM STANDARD
      &END DIAGONALIZATION
      &MIXING
        METHOD BROYDEN_MIXING
        ALPHA 0.2
        NBROYDEN 8
      &END MIXING
    &END SCF
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
    &END XC
    &PRINT
      &MO_MOLDEN
        NDIGITS 10
        GTO_KIND SPHERICAL
      &END MO_MOLDEN
    &END PRINT
  &END DFT
  &SUBSYS
    &CELL
      ABC {{edge:.4f}} {{edge:.4f}} {{edge:.4f}}
      PERIODIC NONE
    &END CELL
    &COORD
{{places}}
    &END COORD
{{kinds}}
  &END SUBSYS
&END FORCE_EVAL
"""


def molden_file(folder: Path, atoms: Atoms, charge: int) -> Path:
    """Where ``folder`` keeps CP2K's Molden file of ``atoms``, gzipped."""
    return folder / f"{formula(atoms.numbers)}-{sha256(input_deck(atoms, charge))[:16]}.molden.gz"


def _kept(deck: str, path: Path, working: Callable[[str], None] | None) -> bytes:
    """CP2K's Molden file of this input: that at ``path``, or a new one, which is kept there.

    One that another process is at is waited for.
    """
    import gzip

    work = path.with_name(path.name.replace(".molden.gz", ".running"))
    while not path.is_file():
        try:
            with exclusive(make_folder(work)):
                if not path.is_file():
                    write_bytes(path, gzip.compress(_run(deck, work, working), compresslevel=3))
                shutil.rmtree(work)
        except FolderInUseError:
            if working is not None:
                working("waiting for another process that runs CP2K on this geometry")
            time.sleep(_PATIENCE_S)
    try:
        return gzip.decompress(read_bounded(path, _LARGEST))
    except (OSError, EOFError, zlib.error) as error:
        raise InputFileError(f"{path}: is damaged ({error})", "delete it to compute it anew") from error


_PATIENCE_S = 5.0
"""Between two looks at what another process does."""


def _run(deck: str, folder: Path, working: Callable[[str], None] | None) -> bytes:
    """Run CP2K in ``folder``; its Molden file."""
    import torch

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise OptionError("orbitals is 'cp2k', but CP2K is not installed", "apt install cp2k, or use --orbitals dft")
    (folder / "cluster.inp").write_text(deck)
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    log = folder / "cluster.out"
    log.unlink(missing_ok=True)
    with (folder / "errors.txt").open("wb") as errors:
        command = [program, "-i", "cluster.inp", "-o", log.name]
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=errors, stderr=errors) as process:
            try:
                _watch(process, log, working)
            finally:
                process.terminate()  # of no effect on one that has ended
    output = read_bounded(log, _LARGEST) if log.is_file() else b""
    if process.returncode or b"SCF run converged" not in output:
        raise ElectronicStructureError(*_failure(output, process.returncode))
    files = sorted(folder.glob("*.molden"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise ElectronicStructureError("CP2K wrote no Molden file", "use a tested version of CP2K (2023.1)")
    return read_bounded(files[-1], _LARGEST)


def _watch(process: subprocess.Popen[bytes], log: Path, working: Callable[[str], None] | None) -> None:
    """Wait for the end, and tell the cycles."""
    last = 0
    while True:
        try:
            process.wait(timeout=2.0)
            return
        except subprocess.TimeoutExpired:
            cycles = _CYCLE.findall(log.read_bytes()) if log.is_file() else []
            if working is not None and cycles and int(cycles[-1]) > last:
                last = int(cycles[-1])
                working(f"CP2K, cycle {last}")


def _failure(output: bytes, code: int) -> tuple[str, str]:
    """Problem and remedy of a run that did not end well."""
    text = output.decode(errors="replace")
    if "SCF run NOT converged" in text or "SCF run converged" in text:
        return (
            f"the PBE ground state of CP2K did not converge in {_MOST_CYCLES} cycles",
            "check the charge and the geometry, or use --orbitals dft, which knows more ways to convergence",
        )
    words = [line.strip(" *|/\\") for line in text.splitlines() if line.lstrip().startswith("*")]
    said = " ".join(word for word in words if len(word) > 12)[:300]
    return (f"CP2K ended with code {code}: {said or 'no message'}", "is it installed with its data (cp2k-data)?")


def _compute(atoms: Atoms, charge: int, protocol: Protocol, compute: Compute, start_from: Atoms | None) -> Orbitals:
    return cp2k_orbitals(atoms, charge, compute)


def _cost(atoms: Atoms, protocol: Protocol, compute: Compute) -> Cost:
    """Of the ground state: some 25 cycles, of which the grid takes most up to a hundred atoms."""
    import torch

    points = (_box(atoms)[0] / BOHR_ANGSTROM * np.sqrt(_CUTOFF_RY) / np.pi) ** 3
    functions = sum(_FUNCTIONS.get(symbol, 13) for symbol in atoms.get_chemical_symbols())
    seconds = 25.0 * (_SECONDS_PER_POINT * points + 2e-9 * functions**3) / torch.get_num_threads() ** 0.7
    memory = 0.3 + 1e-9 * (_BYTES_PER_POINT * points + 8 * 12 * functions**2)
    return Cost(seconds, memory, memory, functions)


_SECONDS_PER_POINT, _BYTES_PER_POINT = 1e-6, 300.0
"""Of a cycle and a point of the grid, measured."""

ORBITAL_SOURCES = (OrbitalSource("cp2k", _compute, checkpoints=True, cost=_cost),)
