"""Reading excitations from the output of a quantum-chemistry program: ORCA by ourselves, all others with cclib.

cclib gives energies in cm-1, and rotatory strengths in whatever unit stands in the place that it reads (of Turbomole
atomic units, of Gaussian 1e-40 cgs of the length gauge).  So these are read here, of both gauges, in 1e-40 cgs.
Source: N. M. O'Boyle, A. L. Tenderholt, K. M. Langner, J. Comput. Chem. 29, 839 (2008) (cclib).
"""

from __future__ import annotations

import re
import threading
from typing import Any

from clusterml.errors import UNEXPECTED, InputFileError, OptionError
from clusterml.io.json import parse_json
from clusterml.spectrum.excitations import Excitations
from clusterml.spectrum.export import transitions_of
from clusterml.spectrum.measured import Source, source_text
from clusterml.spectrum.orca import read_orca
from clusterml.spectrum.transitions import Transitions
from clusterml.units import EV_NM

_HEAD = 50_000  # characters in which a program names itself
_BANNERS = {
    "ORCA": re.compile(r"\*\s+O\s+R\s+C\s+A\s+\*"),
    "Gaussian": re.compile(r"Entering Gaussian System|Gaussian, Inc\.  All Rights Reserved"),
    "Turbomole": re.compile(r"TURBOMOLE (?:rev\. )?V\d"),
    "NWChem": re.compile(r"Northwest Computational Chemistry Package \(NWChem\)"),
    "Q-Chem": re.compile(r"Welcome to Q-Chem|Q-Chem, Inc\."),
    "Psi4": re.compile(r"Psi4: An Open-Source"),
    "GAMESS": re.compile(r"GAMESS VERSION|Firefly version"),
    "DALTON": re.compile(r"Dalton - An Electronic Structure Program"),
    "ADF": re.compile(r"Amsterdam Density Functional"),
    "Jaguar": re.compile(r"Jaguar version \d"),
    "Molcas": re.compile(r"This run of MOLCAS|OPENMOLCAS|OpenMolcas"),
    "Molpro": re.compile(r"PROGRAM SYSTEM MOLPRO"),
}
_SILENCE = threading.Lock()  # logging and warnings are those of the whole process
_NO_CCLIB = "outputs of other programs than ORCA need cclib"
_MORE = "compute some, e.g. TD(NStates=50) in Gaussian, or escf in Turbomole"
_GAUSSIAN = {"velocity": re.compile(r"R\(velocity\)"), "length": re.compile(r"R\(length\)")}
_TURBOMOLE = {
    "velocity": re.compile(r"^\s*velocity rep\. / 10\^\(-40\)erg\*cm\^3:\s*(\S+)", re.MULTILINE),
    "length": re.compile(r"^\s*length rep\. / 10\^\(-40\)erg\*cm\^3:\s*(\S+)", re.MULTILINE),
}
_NWCHEM = {
    "velocity": re.compile(r"^\s*Rotatory Strength\s+\(velocity repr\.\)\s*:\s*(\S+)", re.MULTILINE),
    "length": re.compile(r"^\s*Rotatory Strength\s+\(1E-40 esu\*\*2cm\*\*2\)\s*:\s*(\S+)", re.MULTILINE),
}
_LINES = {"Turbomole": _TURBOMOLE, "NWChem": _NWCHEM}
"""Programs with a line for each rotatory strength."""


def program_of(text: str) -> str | None:
    """The program whose output ``text`` is, None for any other text."""
    head = text[:_HEAD]
    return next((name for name, banner in _BANNERS.items() if banner.search(head)), None)


def read_calculation(text: str, where: str) -> Excitations:
    """The excitations in the output ``text`` of a program; ``where`` names it in messages.

    Raises :class:`InputFileError` for a text that is no such output, a run that did not end, an output without
    excitations or one that cannot be read, :class:`OptionError` where cclib is needed and not installed.
    """
    program = program_of(text)
    if program is None:
        known = ", ".join(_BANNERS)
        raise InputFileError(f"{where}: is not the output of a program that is known", f"known are {known}")
    if program == "ORCA":
        return read_orca(text.splitlines(), where)
    return _from_cclib(_parsed(text, program, where), text, program, where)


def read_transitions(source: Source) -> Transitions:
    """The excitations in the output of a calculation (a path, its content as bytes, a stream), in eV and 1e-40 cgs.

    A JSON result of ``clusterml label --states``; ORCA, and with ``pip install "clusterml[qc]"`` whatever cclib reads:
    Gaussian, Turbomole, NWChem, Q-Chem, ..
    Rotatory strengths are read of the first four.  Triplets of closed shells are left out.  What is missing is told in
    ``meta["warnings"]``: rotatory strengths that the output does not have are zero.  Raises as
    :func:`read_calculation` does.

    Examples:
        >>> import clusterml as cm
        >>> cm.read_transitions("shipped:datasets/examples/h2o2_invented_orca.out")
        Transitions(3 from 4.50 to 6.20 eV, f 0.25 at 6.20 eV, R -42.2 e-40 cgs at 6.20 eV)
    """
    text, where = source_text(source)
    if text.lstrip().startswith("{"):
        return transitions_of(parse_json(text, where), where)
    return read_calculation(text, where).transitions()


def _parsed(text: str, program: str, where: str) -> Any:
    """What cclib makes of the output; it logs to the terminal, and fails on damaged files in many ways."""
    import io
    import logging
    import warnings

    try:
        from cclib.io import ccread
    except ImportError as error:
        raise OptionError(f"{where}: {_NO_CCLIB}", 'pip install "clusterml[qc]"') from error
    try:
        with _SILENCE, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            disabled = logging.root.manager.disable
            logging.disable(logging.CRITICAL)
            try:
                data = ccread(io.StringIO(text), loglevel=logging.CRITICAL)
            finally:
                logging.disable(disabled)
    except (*UNEXPECTED, AssertionError, AttributeError, StopIteration) as error:
        words = f": {error}" if str(error) else ""
        raise InputFileError(
            f"{where}: cclib cannot read this output of {program} ({type(error).__name__}{words})",
            "update cclib, or write energies and strengths into a JSON file, see clusterml dataset import --help",
        ) from error
    if data is None:
        raise InputFileError(f"{where}: cclib does not recognise the output", "is it complete, and text?")
    return data


def _from_cclib(data: Any, text: str, program: str, where: str) -> Excitations:
    if data.metadata.get("success") is False:
        raise InputFileError(f"{where}: the run of {program} did not end normally", "let it finish, or see its error")
    energies = [float(x) * EV_NM * 1e-7 for x in getattr(data, "etenergies", ())]
    if not energies:
        raise InputFileError(f"{where}: the output of {program} has no excitations", _MORE)
    strengths = [float(x) for x in getattr(data, "etoscs", ())]
    try:
        rotatory = {gauge: _rotatory(text, program, gauge) for gauge in ("velocity", "length")}
    except ValueError as error:
        raise InputFileError(f"{where}: a rotatory strength is no number: {error}", "the output is damaged") from error
    kept = [k for k in range(len(energies)) if not _is_triplet(data, k)]
    if not kept:
        raise InputFileError(f"{where}: all excitations are triplets, which are dark", "compute singlets")
    if program == "NWChem":  # of singlets alone
        rotatory = {gauge: _placed(values, kept, len(energies)) for gauge, values in rotatory.items()}
    for what, values in (("oscillator strengths", strengths), *((f"R ({g})", r) for g, r in rotatory.items())):
        if values is not None and len(values) != len(energies):
            problem = f"{where}: the output has {len(values)} {what} of {len(energies)} excitations"
            raise InputFileError(problem, "give the output of one run, complete")

    def chosen(values: list[float] | None) -> list[float] | None:
        return None if values is None else [values[k] for k in kept]

    numbers = getattr(data, "atomnos", ())
    positions = getattr(data, "atomcoords", [[]])[-1]
    charge = getattr(data, "charge", None)
    return Excitations(
        where=where,
        program=program,
        energies_ev=[energies[k] for k in kept],
        f_length=[strengths[k] for k in kept],
        r_length_cgs=chosen(rotatory["length"]),
        r_velocity_cgs=chosen(rotatory["velocity"]),
        symbols=[str(int(z)) for z in numbers] if len(numbers) == len(positions) else [],
        positions=[[float(x) for x in xyz] for xyz in positions] if len(numbers) == len(positions) else [],
        charge=None if charge is None else int(charge),
    )


def _is_triplet(data: Any, k: int) -> bool:
    symmetries = getattr(data, "etsyms", ())
    return k < len(symmetries) and str(symmetries[k]).lower().startswith("triplet")


def _rotatory(text: str, program: str, gauge: str) -> list[float] | None:
    """Rotatory strengths in 1e-40 cgs in the order of the excitations; None where the output has none."""
    if program in _LINES:
        values = [float(word.upper().replace("D", "E")) for word in _LINES[program][gauge].findall(text)]
        return values or None
    if program == "Gaussian":
        return _gaussian_table(text, _GAUSSIAN[gauge])
    return None


def _placed(values: list[float] | None, places: list[int], count: int) -> list[float] | None:
    """``values`` at their ``places`` among ``count``, zero elsewhere; as they are where their number is another."""
    if values is None or len(values) != len(places):
        return values
    known = dict(zip(places, values, strict=True))
    return [known.get(k, 0.0) for k in range(count)]


def _gaussian_table(text: str, heading: re.Pattern[str]) -> list[float] | None:
    """The last table under ``heading``: state, xx, yy, zz, R, and perhaps more."""
    heads = list(heading.finditer(text))
    if not heads:
        return None
    values: list[float] = []
    for line in text[heads[-1].end() :].splitlines()[1:]:
        words = line.split()
        if len(words) < 5 or not words[0].isdigit():
            break
        values.append(float(words[4]))
    return values
