"""Molden files: a geometry, contracted Gaussian shells and molecular orbitals, as many programs write them.

What the numbers of a file mean differs from program to program; here they are read as they stand, and
:mod:`clusterml.engine.orbitals.habits` finds out.  Source of the format: G. Schaftenaar, J. H. Noordik, J. Comput.-
Aided Mol. Des. 14, 123 (2000), and https://www.theochem.ru.nl/molden/molden_format.html; the sections [Core], [Pseudo]
and [Nval], which tell the electrons of core potentials, are later additions of other programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError, counted
from clusterml.io.words import is_whole
from clusterml.structure.elements import atomic_number
from clusterml.structure.formats.cores import CoreElectrons, known_charge
from clusterml.structure.formats.format import StructureFormat, provenance
from clusterml.typing import FloatArray, IntArray
from clusterml.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

LETTERS = "spdfgh"
"""The letter of each angular momentum that is read."""
_SECTION = re.compile(r"\s*\[([^\]]+)\]\s*(.*)")
_LABEL = re.compile(r"[A-Za-z]+")
_GHOST = re.compile(r"(bq|gh|x)", re.IGNORECASE)
_HEADING = re.compile(r"^\s*\[Molden Format\]", re.MULTILINE)
_OCCUPATION = re.compile(r"^\s*occup\w*\s*=\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_BETA = re.compile(r"^\s*Spin=\s*Beta", re.MULTILINE)
_ONCE = ("atoms", "gto", "mo")
_WRITE_IT = "write the file again, and check that it was copied whole"


@dataclass(frozen=True)
class Section:
    """A part of the file: what stands behind its ``name`` in the same line, and its ``lines``, the first of which has
    the number ``first`` in the file."""

    name: str
    argument: str
    first: int
    lines: list[str]


@dataclass(frozen=True)
class MoldenShell:
    """A contracted shell as it is written: ``exponents`` (n,) in bohr^-2, ``coefficients`` (n,)."""

    atom: int
    l: int
    exponents: FloatArray
    coefficients: FloatArray


@dataclass(frozen=True)
class MoldenOrbitals:
    """Orbitals as they are written, in their order.

    ``energies`` (n_mo,) in hartree, ``occupations`` (n_mo,), ``beta`` (n_mo,): is its spin beta; ``coefficients``
    (n_rows, n_mo), with as many rows as the file numbers; ``lines`` (n_mo,): where each begins.
    """

    energies: FloatArray
    occupations: FloatArray
    beta: np.ndarray[tuple[int], np.dtype[np.bool_]]
    coefficients: FloatArray
    lines: IntArray


@dataclass(frozen=True)
class MoldenFile:
    """The content of a Molden file but its orbitals, which :meth:`orbitals` reads.

    ``numbers`` (n,), ``coords_bohr`` (n, 3); ``cores``: the electrons that core potentials replace; ``shells`` in the
    order of the coefficients, empty without a basis; ``per_occupation``: electrons of an occupation of one.
    """

    where: str
    title: str
    sections: dict[str, Section]
    numbers: IntArray
    coords_bohr: FloatArray
    cores: CoreElectrons
    shells: tuple[MoldenShell, ...]
    per_occupation: float = 1.0

    def section(self, name: str, what: str, remedy: str) -> Section:
        """The section ``name``; raises :class:`InputFileError` saying that ``what`` it holds is missing."""
        if name not in self.sections or not any(line.strip() for line in self.sections[name].lines):
            raise InputFileError(f"{self.where}: there are no {what}: no section [{name.upper()}]", remedy)
        return self.sections[name]

    def orbitals(self) -> MoldenOrbitals:
        """The orbitals.  Raises :class:`InputFileError` naming the line, or for a file without any."""
        section = self.section("mo", "orbitals", "have the program write its orbitals, the empty ones too")
        written = _orbitals(section, self.where)
        return replace(written, occupations=self.per_occupation * written.occupations)

    def electrons(self) -> int | None:
        """The electrons in the orbitals, without a look at their coefficients; None without orbitals."""
        if "mo" not in self.sections:
            return None
        words = _OCCUPATION.findall("\n".join(self.sections["mo"].lines))
        try:
            return round(self.per_occupation * sum(float(word.upper().replace("D", "E")) for word in words))
        except (ValueError, OverflowError):
            return None

    def declared_spherical(self, l: int) -> bool:
        """Are the functions of angular momentum ``l`` declared as spherical ones?"""
        names = set(self.sections)
        return (
            l < 2
            or (l == 2 and bool(names & {"5d", "5d7f", "5d10f"}))
            or (l == 3 and bool(names & {"5d", "5d7f", "7f"}))
            or (l >= 4 and bool(names & {"9g", "9g11h", "11h"}))
        )


def read_molden(text: str, where: str) -> MoldenFile:
    """The Molden file ``text``; ``where`` names it in messages.

    Raises :class:`InputFileError` naming the line that is damaged or the section that is missing,
    :class:`StructureError` without atoms, :class:`UnsupportedElementError` for ghost atoms and unknown elements.
    """
    sections = _sections(text, where)
    if "atoms" not in sections:
        raise InputFileError(f"{where}: there are no atoms: no section [Atoms]", "is it a Molden file?")
    numbers, nuclear, coords = _atoms(sections["atoms"], where)
    shells = _shells(sections["gto"], len(numbers), where) if "gto" in sections else ()
    stated = _stated_valence(sections, numbers, where)
    tightest = np.zeros(len(numbers))
    for shell in shells:
        if shell.l == 0:
            tightest[shell.atom] = max(tightest[shell.atom], float(shell.exponents.max()))
    valence = stated if stated is not None else nuclear
    cores = CoreElectrons.of(numbers, numbers - valence, tightest, stated is not None)
    title = " ".join(line.strip() for line in sections["title"].lines if line.strip()) if "title" in sections else ""
    return MoldenFile(where, title, sections, numbers, coords, cores, shells, 1.0 + _holds_alpha_alone(text))


def _holds_alpha_alone(text: str) -> bool:
    """Are one electron and alpha spin written of doubly occupied orbitals?  CFOUR does so, known by two headings."""
    occupations = set(_OCCUPATION.findall(text))
    return len(_HEADING.findall(text)) == 2 and occupations == {"0.0", "1.0"} and not _BETA.search(text)


def _sections(text: str, where: str) -> dict[str, Section]:
    """Sections by their names in lower case without spaces."""
    sections: dict[str, Section] = {}
    current: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _SECTION.match(line) if "[" in line else None
        if match is None:
            current.append(line)
            continue
        name, current = match[1].replace(" ", "").lower(), []
        if name in _ONCE and name in sections:
            problem = f"line {number} begins a second section [{match[1]}]; the first is in line "
            raise InputFileError(f"{where}: {problem}{sections[name].first - 1}", "give a file of one calculation")
        sections[name] = Section(name, match[2].strip().lower(), number + 1, current)
    return sections


def _numbers(words: Sequence[str], where: str, number: int, what: str) -> list[float]:
    """Finite numbers in the words of a line, with exponents of Fortran too."""
    try:
        values = [float(word.upper().replace("D", "E")) for word in words]
    except ValueError:
        values = [np.nan]
    if not np.isfinite(values).all():
        raise InputFileError(f"{where}: line {number} has '{' '.join(words)[:60]}' for {what}", _WRITE_IT)
    return values


def _atoms(section: Section, where: str) -> tuple[IntArray, IntArray, FloatArray]:
    """Atomic numbers (n,), nuclear charges as they are written (n,), positions in bohr (n, 3)."""
    numbers, nuclear, rows = [], [], []
    for line_number, line in enumerate(section.lines, start=section.first):
        words = line.split()
        if not words:
            continue
        if len(words) < 6:
            problem = f"{where}: line {line_number} should be an atom, but is '{line.strip()[:60]}'"
            raise InputFileError(problem, "an atom is a name, its place, its nuclear charge, and x y z")
        values = _numbers(words[2:6], where, line_number, "a nuclear charge and x y z")
        number, charge = _element(words[0], values[0], f"{where}: line {line_number}")
        numbers.append(number)
        nuclear.append(charge)
        rows.append(values[1:])
    if not rows:
        raise StructureError(f"{where}: there are no atoms", "give a file that holds a structure")
    scale = BOHR_ANGSTROM if "ang" in section.argument else 1.0
    return np.array(numbers), np.array(nuclear), np.array(rows) / scale


def _element(label: str, nuclear: float, where: str) -> tuple[int, int]:
    """Atomic number and nuclear charge; a charge below the element's number is that without the core electrons."""
    letters = _LABEL.match(label)
    number = atomic_number(letters[0]) if letters else None
    charge = round(nuclear)
    if charge == 0 or (number is None and _GHOST.match(label)):
        raise UnsupportedElementError(f"{where} is the ghost atom '{label[:20]}'", "compute without ghost atoms")
    if number is None:
        number = atomic_number(str(charge)) if charge > 0 else None
    if number is None or not 0 < charge <= number or abs(nuclear - charge) > 1e-6:
        problem = f"{where}: '{label[:20]}' with the nuclear charge {nuclear:g} is no element"
        raise UnsupportedElementError(problem, "correct the line")
    return number, charge


def _stated_valence(sections: dict[str, Section], numbers: IntArray, where: str) -> IntArray | None:
    """Nuclear charges without core electrons (n,), as a section of their own states them; None without any."""
    valence = numbers.copy()
    named = [name for name in ("core", "pseudo", "nval") if name in sections]
    for name in named:
        for number, line in enumerate(sections[name].lines, start=sections[name].first):
            words = line.replace(":", " ").split()
            if not words:
                continue
            atoms, electrons = _whose(name, words, numbers, f"{where}: line {number}")
            valence[atoms] = numbers[atoms] - electrons if name == "core" else electrons
    return valence if named else None


def _whose(name: str, words: list[str], numbers: IntArray, where: str) -> tuple[IntArray, int]:
    """The atoms (k,) that a line of [Core] (``Ag : 28`` or ``1 : 28``), [Nval] (``Ag 19``) or [Pseudo] (``Ag 1 19``)
    speaks of, and its electrons."""
    who, last = words[1 if name == "pseudo" else 0] if len(words) > 1 else "", words[-1].removeprefix("+")
    if is_whole(last) and is_whole(who) and 1 <= int(who) <= len(numbers):
        atoms = np.array([int(who) - 1])
    elif is_whole(last) and who.isalpha() and name != "pseudo" and (element := atomic_number(who)) is not None:
        atoms = np.flatnonzero(numbers == element)
    else:
        raise InputFileError(f"{where} of [{name.capitalize()}] is '{' '.join(words)[:60]}'", "correct the line")
    if not all(0 <= int(last) <= z for z in numbers[atoms]):
        raise InputFileError(f"{where} of [{name.capitalize()}] has {last[:9]} electrons", "correct the line")
    return atoms, int(last)


def _shells(section: Section, n_atoms: int, where: str) -> tuple[MoldenShell, ...]:
    shells: list[MoldenShell] = []
    atom: int | None = None
    rows = ((number, line.split()) for number, line in enumerate(section.lines, start=section.first) if line.strip())
    for number, words in rows:
        if is_whole(words[0]):
            atom = int(words[0]) - 1
            if not 0 <= atom < n_atoms:
                raise InputFileError(f"{where}: line {number} has shells of atom {words[0]} of {n_atoms}", _WRITE_IT)
            continue
        kinds = [LETTERS.find(letter) for letter in words[0].lower()]
        size = int(words[1]) if len(words) > 1 and is_whole(words[1]) else 0
        if atom is None or min(kinds) < 0 or not 0 < size < 1000:
            problem = f"{where}: line {number} should be a shell, such as 's 3 1.00', but is '{' '.join(words)[:60]}'"
            raise InputFileError(problem, f"shells of {', '.join(LETTERS)} and sp functions can be read")
        _check_scale(words, where, number)
        primitives = [_primitive(next(rows, None), len(kinds), where, number) for _ in range(size)]
        table = np.array(primitives)
        shells += [MoldenShell(atom, l, table[:, 0], table[:, 1 + k]) for k, l in enumerate(kinds)]
    if not shells:
        raise InputFileError(f"{where}: there are no basis functions in [GTO]", _WRITE_IT)
    return tuple(shells)


def _check_scale(words: list[str], where: str, number: int) -> None:
    if len(words) > 2 and _numbers(words[2:3], where, number, "a scale factor")[0] not in (0.0, 1.0):
        problem = f"{where}: line {number} scales a shell by {words[2][:20]}"
        raise InputFileError(problem, "write the exponents as they are, with the scale 1.00")


def _primitive(row: tuple[int, list[str]] | None, n_kinds: int, where: str, shell: int) -> list[float]:
    """Exponent and coefficients of a line."""
    if row is None:
        raise InputFileError(f"{where}: the file ends in the shell of line {shell}", _WRITE_IT)
    number, words = row
    values = _numbers(words, where, number, "an exponent and its coefficient")
    if len(values) != 1 + n_kinds or values[0] <= 0.0:
        problem = f"{where}: line {number} should be an exponent and {counted(n_kinds, 'coefficient')}"
        raise InputFileError(f"{problem}, but is '{' '.join(words)[:60]}'", _WRITE_IT)
    return values


def _orbitals(section: Section, where: str) -> MoldenOrbitals:
    """Every orbital: lines with ``=`` say what it is, those between hold its coefficients."""
    lines = section.lines
    heads = [k for k, line in enumerate(lines) if "=" in line]
    starts = [k for k, before in zip(heads, [-2, *heads], strict=False) if before != k - 1]
    keys: list[dict[str, str]] = []
    places: list[IntArray] = []
    values: list[FloatArray] = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        first = next((k for k in range(start, end) if "=" not in lines[k]), end)
        pairs = (line.partition("=") for line in lines[start:first])
        keys.append({key.strip().lower(): value.strip() for key, _, value in pairs})
        index, column = _coefficients(lines[first:end], section.first + first, where)
        places.append(index)
        values.append(column)
    if not starts or any(line.strip() for line in lines[: starts[0]]):
        raise InputFileError(f"{where}: line {section.first} does not begin an orbital", _WRITE_IT)
    n_rows = max(int(index.max(initial=0)) for index in places)
    if len(places[-1]) < n_rows and all(len(index) == n_rows for index in places[:-1]):
        problem = f"{where}: the last orbital has {len(places[-1])} of {n_rows} coefficients: the file is truncated"
        raise InputFileError(problem, _WRITE_IT)
    coefficients = np.zeros((n_rows, len(starts)))
    for k, (index, column) in enumerate(zip(places, values, strict=True)):
        coefficients[index - 1, k] = column
    numbers = section.first + np.array(starts)
    energies, occupations = (
        [_value(of, name, where, int(at)) for of, at in zip(keys, numbers, strict=True)] for name in ("ene", "occup")
    )
    beta = np.array([of.get("spin", "alpha").lower().startswith("b") for of in keys])
    return MoldenOrbitals(np.array(energies), np.array(occupations), beta, coefficients, numbers)


def _value(keys: dict[str, str], name: str, where: str, number: int) -> float:
    if name not in keys:
        problem = f"{where}: the orbital of line {number} has no {name.capitalize()}="
        raise InputFileError(problem, "each needs its energy (Ene=) and its occupation (Occup=)")
    return _numbers(keys[name].split()[:1] or [""], where, number, f"the {name.capitalize()}= of an orbital")[0]


def _coefficients(lines: list[str], first: int, where: str) -> tuple[IntArray, FloatArray]:
    """Numbers of functions (n,), from 1, and coefficients (n,) of one orbital."""
    words = " ".join(lines).upper().replace("D", "E").split()
    try:
        table = np.array(words, dtype=np.float64).reshape(-1, 2)
    except ValueError:
        table = np.full((1, 2), np.nan)
    places = table[:, 0]
    if np.isfinite(table).all() and ((places == places.round()) & (places > 0) & (places < 10**6)).all():
        index = places.astype(np.int64)
        if len(np.unique(index)) == len(index):
            return index, table[:, 1]
    raise _damaged(lines, first, where)


def _damaged(lines: list[str], first: int, where: str) -> InputFileError:
    """What is wrong with the first bad line of an orbital."""
    seen: set[int] = set()
    for number, line in enumerate(lines, start=first):
        words = line.split()
        if not words:
            continue
        values = _numbers(words, where, number, "a function's number and its coefficient")
        place = int(values[0])
        if len(words) != 2 or place != values[0] or not 0 < place < 10**6:
            return InputFileError(
                f"{where}: line {number} is '{line.strip()[:60]}', not a number and its coefficient", _WRITE_IT
            )
        if place in seen:
            return InputFileError(f"{where}: line {number} has the coefficient of function {place} again", _WRITE_IT)
        seen.add(place)
    return InputFileError(f"{where}: the orbital of line {first} is damaged", _WRITE_IT)


def holds_orbitals(atoms: Atoms) -> bool:
    """Were ``atoms`` read from a Molden file?"""
    return bool(atoms.info.get("provenance", {}).get("format") == FORMATS[0].name)


def parse_molden(text: str, source: str) -> Iterator[Atoms]:
    """The structure in Molden ``text``, with the charge that its orbitals leave where that is known.

    Raises as :func:`read_molden` does.
    """
    from ase import Atoms

    file = read_molden(text, source)
    atoms = Atoms(file.numbers, file.coords_bohr * BOHR_ANGSTROM)
    warnings: tuple[str, ...] = ()
    electrons = file.electrons()
    if electrons is not None and file.shells:
        charge, warnings = known_charge(file.numbers, file.cores, electrons)
        if charge is not None:
            atoms.info["charge"] = charge
    atoms.info["provenance"] = provenance(file.title, warnings)
    yield atoms


FORMATS = (
    StructureFormat(
        "molden",
        "Molden, with the orbitals of a calculation",
        ("*.molden", "*.molden.input", "*.mold"),
        parse_molden,
        lambda text: "[molden format]" in text.lower(),
        largest=1024**3,
    ),
)
