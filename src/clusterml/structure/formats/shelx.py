"""SHELX ``.res`` and ``.ins``: cell, LATT and SYMM, atoms with their PARTs and free variables.

The meaning of the numbers is that of the SHELXL manual (Sheldrick, Acta Cryst. C71, 3 (2015)): ``10 m + p`` is p,
fixed, for m = 1, p times free variable m for m > 1, and p times (free variable -m, less 1) for m < -1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError, UnsupportedElementError
from clusterml.io.words import is_whole
from clusterml.structure.elements import atomic_number
from clusterml.structure.formats.format import StructureFormat
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from clusterml.structure.crystal.crystal import AtomSite, Crystal
    from clusterml.structure.crystal.spacegroup import Symmetry

_INSTRUCTIONS = frozenset(
    re.findall(
        r"\S+",
        "ABIN ACTA AFIX ANIS ANSC ANSR BASF BIND BLOC BOND BUMP CELL CGLS CHIV CONF CONN DAMP DANG DEFS DELU DFIX DISP "
        "EADP END EQIV ESEL EXTI EXYZ FEND FLAT FMAP FRAG FREE FVAR GRID HFIX HKLF HOPE HTAB ISOR L.S. LATT LAUE LIST "
        "MERG MOLE MORE MOVE MPLA NCSY NEUT OMIT PART PATT PHAN PLAN PRIG REM RESI RIGU RTAB SADI SAME SFAC SHEL SIMU "
        "SIZE SPEC SPIN STIR SUMP SWAT SYMM TEMP TEXP TIME TITL TREF TWIN TWST UNIT VECT WGHT WIGL WPDB XNPD ZERR",
    )
)
_CENTRINGS = {
    1: ["x,y,z"],
    2: ["x,y,z", "x+1/2,y+1/2,z+1/2"],
    3: ["x,y,z", "x+2/3,y+1/3,z+1/3", "x+1/3,y+2/3,z+2/3"],
    4: ["x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"],
    5: ["x,y,z", "x,y+1/2,z+1/2"],
    6: ["x,y,z", "x+1/2,y,z+1/2"],
    7: ["x,y,z", "x+1/2,y+1/2,z"],
}
_PEAK = re.compile(r"Q\d+$", re.IGNORECASE)


@dataclass
class _Atom:
    """An atom line: where it stands, its label, number of its scattering factor, coordinates, and codes as written."""

    where: str
    label: str
    factor: int
    xyz: list[float]
    occupancy: float
    part: int


@dataclass
class _File:
    """The content read so far."""

    source: str
    title: str = ""
    cell: list[float] = field(default_factory=list)
    lattice: int = 1
    symmetry: list[Any] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    unit: list[float] = field(default_factory=list)
    variables: list[float] = field(default_factory=list)
    atoms: list[_Atom] = field(default_factory=list)
    part: int = 0
    part_occupancy: float | None = None
    move: tuple[FloatArray, float] = field(default_factory=lambda: (np.zeros(3), 1.0))
    fragment: bool = False
    masked: bool = False
    peaks: int = 0
    included: int = 0


def parse_shelx(text: str, source: str) -> Iterator[Crystal]:
    """The crystal in SHELX ``text``; ``source`` names the file in messages.

    Atoms after HKLF or END, and peaks (Q1, ..), are left out.  Raises :class:`InputFileError` naming the line,
    :class:`UnsupportedElementError`, and what :func:`~clusterml.structure.crystal.crystal.make_crystal` raises.
    """
    from clusterml.structure.crystal.crystal import make_crystal, unit_cell

    file = _File(source)
    for number, line in _logical_lines(text):
        words = line.split()
        if words[0].upper()[:4] in ("END", "HKLF"):
            break
        _take(file, words, f"{source}: line {number}")
    if not file.cell:
        raise InputFileError(f"{source}: there is no CELL", "a SHELX file gives wavelength, lengths and angles there")
    if not file.atoms:
        raise InputFileError(f"{source}: there are no atoms", "check that the file holds a structure")
    lattice = unit_cell(file.cell, source)
    symmetry = _symmetry(file, lattice)
    warnings = []
    if file.peaks:
        warnings.append(f"{file.peaks} residual peaks (Q) were left out")
    if file.included:
        warnings.append("lines that include other files were left out: atoms may be missing")
    sites = _on_symmetry_elements([_site(file, atom) for atom in file.atoms], symmetry, lattice)
    yield make_crystal(
        file.title, lattice, sites, symmetry, source, warnings=warnings, masked=file.masked, stated=_stated(file)
    )


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations (after ``=``) and without remarks; a line that begins with a blank is none."""
    waiting, start = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split("!")[0].rstrip()
        if not waiting and (not line or line[0].isspace() or line.upper().startswith(("REM ", "TITL"))):
            if line.upper().startswith("TITL"):
                yield number, line
            continue
        start = start if waiting else number
        joined = f"{waiting} {line}".strip()
        waiting = joined[:-1] if joined.endswith("=") else ""
        if not waiting and joined:
            yield start, joined


def _take(file: _File, words: list[str], where: str) -> None:
    """One instruction or atom."""
    key = words[0].upper().split("_")[0][:4]
    if file.fragment or key == "FRAG":
        file.fragment = key != "FEND"
    elif key in _READERS:
        _READERS[key](file, words[1:], where)
    elif words[0].startswith("+"):
        file.included += 1
    elif key not in _INSTRUCTIONS:
        _atom(file, words, where)


def _numbers(words: list[str], where: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise InputFileError(f"{where} has '{' '.join(words)[:60]}' for numbers", "correct the line") from error
    if not np.all(np.isfinite(values)):
        raise InputFileError(f"{where} has numbers that are not finite", "correct the line")
    return values


def _title(file: _File, words: list[str], where: str) -> None:
    file.title = " ".join(words)[:200]


def _cell(file: _File, words: list[str], where: str) -> None:
    values = _numbers(words, where)
    if (
        len(values) != 7
        or not all(1.0 <= x <= 2000.0 for x in values[1:4])
        or not all(5 <= x <= 175 for x in values[4:])
    ):
        raise InputFileError(f"{where}: CELL {' '.join(words)[:60]}", "give wavelength, a b c (A), alpha beta gamma")
    file.cell = values[1:]


def _latt(file: _File, words: list[str], where: str) -> None:
    values = _numbers(words[:1], where)
    if len(values) != 1 or abs(values[0]) not in _CENTRINGS:
        raise InputFileError(
            f"{where}: LATT {' '.join(words)[:20]}", "a number from 1 to 7, negative without inversion"
        )
    file.lattice = int(values[0])


def _symm(file: _File, words: list[str], where: str) -> None:
    import gemmi

    try:
        file.symmetry.append(gemmi.Op(" ".join(words).lower()))
    except (ValueError, RuntimeError) as error:
        raise InputFileError(f"{where}: SYMM {' '.join(words)[:60]} cannot be read", "correct the operation") from error


def _sfac(file: _File, words: list[str], where: str) -> None:
    numeric = len(words) > 1 and re.fullmatch(r"[-+.\d].*", words[1]) is not None
    for word in words[:1] if numeric else words:  # the long form gives the coefficients of one element
        if atomic_number(word.lstrip("$")) is None:
            raise UnsupportedElementError(f"{where}: SFAC has the unknown element '{word[:20]}'", "correct the symbol")
        file.elements.append(word.lstrip("$"))


def _unit(file: _File, words: list[str], where: str) -> None:
    file.unit += _numbers(words, where)


def _fvar(file: _File, words: list[str], where: str) -> None:
    file.variables += _numbers(words, where)


def _part(file: _File, words: list[str], where: str) -> None:
    values = _numbers(words[:2], where)
    file.part = int(np.clip(values[0], -999, 999)) if values else 0
    file.part_occupancy = values[1] if len(values) > 1 else None


def _move(file: _File, words: list[str], where: str) -> None:
    values = [*_numbers(words, where), *(0.0, 0.0, 0.0)[len(words) :]]
    file.move = np.array(values[:3]), values[3] if len(values) > 3 else 1.0


def _mask(file: _File, words: list[str], where: str) -> None:
    file.masked = True


_READERS = {
    "TITL": _title, "CELL": _cell, "LATT": _latt, "SYMM": _symm, "SFAC": _sfac, "UNIT": _unit, "FVAR": _fvar,
    "PART": _part, "MOVE": _move, "ABIN": _mask,
}  # fmt: skip


def _atom(file: _File, words: list[str], where: str) -> None:
    if _PEAK.match(words[0]):
        file.peaks += 1
        return
    if len(words) < 5 or not is_whole(words[1]):
        raise InputFileError(
            f"{where} is '{' '.join(words)[:60]}', which is neither an instruction nor an atom",
            "an atom has a name, the number of its SFAC, and x y z",
        )
    values = _numbers(words[2:6], where)
    occupancy = file.part_occupancy if file.part_occupancy is not None else values[3] if len(values) > 3 else 11.0
    file.atoms.append(_Atom(where, words[0], int(words[1]), values[:3], occupancy, file.part))
    shift, sign = file.move
    file.atoms[-1].xyz = [float(sign * _decoded(file, x, where) + d) for x, d in zip(values[:3], shift, strict=True)]


def _decoded(file: _File, code: float, where: str) -> float:
    """The value of a parameter that may be fixed or tied to a free variable."""
    multiple = int(np.floor((abs(code) + 5.0) / 10.0)) * (1 if code >= 0 else -1)
    rest = code - 10.0 * multiple
    if abs(multiple) <= 1:
        return code if multiple == 0 else rest
    if abs(multiple) > len(file.variables):
        raise InputFileError(
            f"{where} refers to free variable {abs(multiple)}, but FVAR gives {len(file.variables)}",
            "complete FVAR, which stands before the atoms",
        )
    variable = file.variables[abs(multiple) - 1]
    return rest * (variable if multiple > 0 else variable - 1.0)


def _site(file: _File, atom: _Atom) -> AtomSite:
    from clusterml.structure.crystal.crystal import AtomSite

    if not 1 <= atom.factor <= len(file.elements):
        raise InputFileError(
            f"{atom.where}: {atom.label} has scattering factor {atom.factor}, but SFAC gives {len(file.elements)}",
            "correct the line or SFAC",
        )
    number = atomic_number(file.elements[atom.factor - 1]) or 0
    x, y, z = atom.xyz
    return AtomSite(atom.label, number, (x, y, z), _decoded(file, atom.occupancy, atom.where), atom.part)


def _symmetry(file: _File, lattice: FloatArray) -> Symmetry:
    """All operations: those of SYMM with the centring, and the inversion unless LATT is negative."""
    import gemmi

    from clusterml.structure.crystal.spacegroup import make_symmetry

    inversions = [gemmi.Op("x,y,z"), *([gemmi.Op("-x,-y,-z")] if file.lattice > 0 else [])]
    centrings = [gemmi.Op(text) for text in _CENTRINGS[abs(file.lattice)]]
    listed = [gemmi.Op("x,y,z"), *file.symmetry]
    operations = [(centre * inversion * op).wrap() for centre in centrings for inversion in inversions for op in listed]
    return make_symmetry(operations, lattice, file.source)


def _on_symmetry_elements(sites: list[AtomSite], symmetry: Symmetry, lattice: FloatArray) -> list[AtomSite]:
    """Occupancies of the places in the crystal: SHELX divides them by the number of operations that keep the atom.

    Atoms of a negative PART are disordered about the symmetry element and not on it.
    """
    from clusterml.structure.crystal.crystal import SPECIAL_POSITION

    fractional = np.array([site.fractional for site in sites])
    moved = np.einsum("mij,nj->mni", symmetry.rotations, fractional) + symmetry.translations[:, None, :]
    step = moved - fractional
    near = np.linalg.norm((step - np.rint(step)) @ lattice, axis=-1) < SPECIAL_POSITION
    order = near.sum(axis=0)
    return [
        replace(site, occupancy=min(site.occupancy * int(n), 1.0)) if site.group >= 0 and n > 1 else site
        for site, n in zip(sites, order, strict=True)
    ]


def _stated(file: _File) -> tuple[tuple[int, float], ...]:
    """The content of the cell by UNIT."""
    counts: dict[int, float] = {}
    for element, count in zip(file.elements, file.unit, strict=False):
        number = atomic_number(element) or 0
        counts[number] = counts.get(number, 0.0) + count
    return tuple(sorted((number, count) for number, count in counts.items() if count > 0))


def _recognise(text: str) -> bool:
    starts = {line[:4].upper() for line in text.splitlines()}
    return "CELL" in starts and "SFAC" in starts


FORMATS = (
    StructureFormat(
        "shelx", "SHELX results and instructions", ("*.res", "*.ins"), parse_shelx, _recognise, measured=True
    ),
)
