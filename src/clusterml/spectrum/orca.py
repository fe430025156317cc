"""Excitations in outputs of ORCA, from its tables of absorption and CD spectra in both gauges (versions 4 to 6).

cclib, which reads other programs for us, has rotatory strengths of the length gauge alone, and not of ORCA 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterml.errors import InputFileError
from clusterml.spectrum.excitations import Excitations
from clusterml.units import EV_NM

_TABLES = {
    "f_length": "ABSORPTION SPECTRUM VIA TRANSITION ELECTRIC DIPOLE MOMENTS",
    "f_velocity": "ABSORPTION SPECTRUM VIA TRANSITION VELOCITY DIPOLE MOMENTS",
    "r_length": "CD SPECTRUM",
    "r_length_6": "CD SPECTRUM VIA TRANSITION ELECTRIC DIPOLE MOMENTS",
    "r_velocity": "CD SPECTRUM VIA TRANSITION VELOCITY DIPOLE MOMENTS",
}
_FORBIDDEN = "spin forbidden"
_STATES = re.compile(r"^\s*STATE\s+\d+:\s+E=", re.MULTILINE)
_CHARGE = re.compile(r"^\s*Total Charge\s+Charge\s+\.+\s*(-?\d{1,9})\b", re.MULTILINE)
_STATE_PAIR = re.compile(r"\d+-(\d+)\S*\s*->\s*\d+-(\d+)")
"""The multiplicities of the states in ORCA 6: ``0-1Ag ->  1-3Bu``."""
_EV_PER_WAVENUMBER = EV_NM * 1e-7


def read_orca(lines: list[str], where: str) -> Excitations:
    """The excitations in the last spectra of an output of ORCA; ``where`` names it in messages.

    Energies in eV, rotatory strengths in 1e-40 cgs, positions in A.  Raises :class:`InputFileError` for a run that did
    not end, has no excitations, or has tables that contradict each other.
    """
    if not any("ORCA TERMINATED NORMALLY" in line for line in lines[-200:]):
        raise InputFileError(f"{where}: the run of ORCA did not end normally", "let it finish, or look for its error")
    text = "\n".join(lines)
    starts = {line.strip(): k for k, line in enumerate(lines) if "SPECTRUM" in line}
    tables = {name: _table(lines, starts[title], where) for name, title in _TABLES.items() if title in starts}
    if not tables.get("f_length"):
        words = "prints no spectrum of its excitations" if _STATES.search(text) else "has no excitations"
        raise InputFileError(f"{where}: the output {words}", "compute some, e.g. %tddft nroots 50 end")
    energies = [energy for energy, *_ in tables["f_length"]]
    columns = {name: _column(rows, energies, where) for name, rows in tables.items()}
    charge = _CHARGE.search(text)
    symbols, positions = _geometry(lines, where)
    return Excitations(
        where=where,
        program="ORCA",
        energies_ev=[energy * _EV_PER_WAVENUMBER for energy in energies],
        f_length=columns["f_length"],
        f_velocity=columns.get("f_velocity"),
        r_length_cgs=columns.get("r_length_6", columns.get("r_length")),
        r_velocity_cgs=columns.get("r_velocity"),
        symbols=symbols,
        positions=positions,
        charge=None if charge is None else int(charge[1]),
    )


_Row = tuple[float, float, float]
"""Energy in cm-1, wavelength in nm, and strength of a state."""


def _table(lines: list[str], start: int, where: str) -> list[_Row]:
    """The rows of the states that light excites without turning a spin."""
    behind = 5 if "ABSORPTION" in lines[start] else 4
    rows: list[_Row] = []
    for number, line in _rows(lines, start):
        words = line.split()
        if not words[0][0].isdigit():  # a footnote
            break
        pair = _STATE_PAIR.search(line)
        if _FORBIDDEN in line or (pair is not None and pair[1] != pair[2]):
            continue
        try:
            # Of absorption T2 and three moments stand behind the strength, of CD three moments.
            energy, wavelength, strength = (float(words[-behind - k]) for k in (2, 1, 0))
        except (ValueError, IndexError) as error:
            problem = f"{where}: line {number} is no excitation: '{line.strip()[:60]}'"
            raise InputFileError(problem, "the output is damaged") from error
        rows.append((energy, wavelength, strength))
    return rows


def _rows(lines: list[str], start: int) -> Iterator[tuple[int, str]]:
    """Numbers and lines of a table's body, which lies behind the second rule."""
    rules = 0
    for k in range(start + 1, len(lines)):
        line = lines[k].strip()
        if set(line) == {"-"}:
            rules += 1
            if rules == 3:
                return
        elif rules == 2:
            if not line:
                return
            yield k + 1, lines[k]


def _column(rows: list[_Row], energies: list[float], where: str) -> list[float]:
    """The strengths of states with these ``energies``; coupled-cluster outputs of ORCA 5 have energy and wavelength of
    the CD in each other's place."""
    if len(rows) != len(energies) or any(
        min(abs(first - energy), abs(second - energy)) > 1.0
        for (first, second, _), energy in zip(rows, energies, strict=True)
    ):
        raise InputFileError(f"{where}: the tables of spectra are not of the same excitations", "is it of one run?")
    return [strength for *_, strength in rows]


def _geometry(lines: list[str], where: str) -> tuple[list[str], list[list[float]]]:
    """Symbols and positions (A) of the last geometry."""
    starts = [k for k, line in enumerate(lines) if line.strip() == "CARTESIAN COORDINATES (ANGSTROEM)"]
    symbols: list[str] = []
    positions: list[list[float]] = []
    for line in lines[starts[-1] + 2 :] if starts else []:
        words = line.split()
        if len(words) != 4:
            break
        try:
            positions.append([float(word) for word in words[1:]])
        except ValueError as error:
            raise InputFileError(f"{where}: '{line.strip()[:60]}' is no atom", "the output is damaged") from error
        symbols.append(words[0])
    return symbols, positions
