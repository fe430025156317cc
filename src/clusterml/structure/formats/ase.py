"""Formats that ASE reads: inputs and geometries of electronic-structure programs, molecule files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError, counted
from clusterml.io.words import is_whole
from clusterml.structure.formats.format import MOST_ATOMS, StructureFormat, provenance

if TYPE_CHECKING:
    from ase import Atoms

_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, OSError, RuntimeError,
             StopIteration, TypeError, ValueError)  # fmt: skip
_POSCAR_SCALE = re.compile(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?(\s+[-+]?\d+(\.\d*)?){0,2}\s*$")


def read_by_ase(
    text: str, source: str, ase_name: str, charge: Callable[[str], int | None] | None = None
) -> Iterator[Atoms]:
    """The structures that ASE reads from ``text`` in its format ``ase_name``; ``charge`` reads the stated charge.

    Raises :class:`InputFileError` where ASE fails, :class:`StructureError` for none, or too many atoms, and
    :class:`UnsupportedElementError`.
    """
    import ase.io
    from ase.io import ParseError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of concerns keywords that are not read here
            structures = ase.io.read(StringIO(text), index=":", format=ase_name)
    except (*_FAILURES, ParseError) as error:
        reason = str(error).strip() or type(error).__name__
        raise InputFileError(
            f"{source}: not readable as {ase_name} ({reason[:200]})",
            "check the file, or name its format with --format",
        ) from error
    if not structures:
        raise StructureError(f"{source}: there are no atoms", "check that the file holds a structure")
    if ase_name == "turbomole" and re.search(r"^\$(periodic|lattice|cell)", text, re.MULTILINE):
        raise InputFileError(f"{source}: periodic coord files cannot be read", "convert it to extxyz with its lattice")
    stated = None if charge is None else charge(text)
    count = _COUNTS.get(ase_name, _none)(text)
    if count is not None and count != len(structures[0]):
        raise InputFileError(
            f"{source}: says {counted(count, 'atom')}, but lists {len(structures[0])}",
            "the file is truncated or the number is wrong",
        )
    for frame, atoms in enumerate(structures):
        yield _plain(atoms, frame, stated, source)


def _plain(atoms: Atoms, frame: int, charge: int | None, source: str) -> Atoms:
    """Elements, coordinates (A) and cell, without velocities, constraints and calculators."""
    from ase import Atoms

    if len(atoms) > MOST_ATOMS:
        raise StructureError(f"{source}: {len(atoms)} atoms", f"at most {MOST_ATOMS} can be read")
    unknown = np.flatnonzero(atoms.numbers < 1)
    if len(unknown):
        raise UnsupportedElementError(f"{source}: atom {unknown[0] + 1} has no known element", "correct its symbol")
    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell.array, pbc=atoms.pbc)
    plain.info["provenance"] = provenance() | {"frame": frame}
    if charge is not None:
        plain.info["charge"] = charge
    return plain


def _sd_file(text: str, source: str) -> Iterator[Atoms]:
    """Each record of an SD file, with the charge of its own atoms."""
    for number, record in enumerate(re.split(r"^\$\$\$\$.*\n?", text, flags=re.MULTILINE)):
        if record.strip():
            for atoms in read_by_ase(record, source, "sdf", _mdl_charge):
                atoms.info["provenance"]["frame"] = number
                yield atoms


def _mdl_count(text: str) -> int | None:
    """The number of atoms by the counts line of a V2000 molfile."""
    lines = text.splitlines()
    counts = lines[3][:3].strip() if len(lines) > 3 and "V2000" in lines[3] else ""
    return int(counts) if is_whole(counts) else None


def _gro_count(text: str) -> int | None:
    """The number of atoms by the second line of a gro file."""
    lines = text.splitlines()
    return int(lines[1]) if len(lines) > 1 and is_whole(lines[1].strip()) else None


def _none(text: str) -> None:
    """The format does not state the number of atoms."""


_COUNTS: dict[str, Callable[[str], int | None]] = {"mol": _mdl_count, "sdf": _mdl_count, "gromacs": _gro_count}


def _gaussian_charge(text: str) -> int | None:
    """The charge of a Gaussian input: the first number of the section after route and title (of fragments, of all)."""
    sections = re.split(r"\n\s*\n", text.strip())
    first = sections[2].lstrip().splitlines()[0] if len(sections) > 2 else ""
    charge_line = re.fullmatch(r"([-+]?\d{1,9})[\s,]+\d+(?:[\s,]+[-+]?\d+)*\s*", first)
    return int(charge_line[1]) if charge_line else None


_CHARGES = {
    "espresso": r"^\s*tot_charge\s*=\s*([-+]?\d{1,9})",
    "gaussian-out": r"^\s*Charge\s*=\s*([-+]?\d{1,9})\s+Multiplicity",
    "orca-out": r"^\s*Total Charge\s+Charge\s+\.+\s+([-+]?\d{1,9})",
    "turbomole": r"^\$(?:charge\s+|eht\b[^\n$]*?charge=\s*)([-+]?\d{1,9})",
}
"""Where files of a format state the whole charge; ``$eht charge=`` is how xtb writes it."""


def _stated_charge(text: str, name: str) -> int | None:
    """The charge that a file of format ``name`` states; None for a fraction of an electron."""
    charge_text = re.search(_CHARGES[name] + r"(?:\.0*)?(?![\w.])", text, re.MULTILINE)
    return int(charge_text[1]) if charge_text else None


def _mdl_charge(text: str) -> int | None:
    """The sum of the formal charges of an MDL molfile, if it lists some."""
    rows = re.findall(r"^M  CHG\s+\d+((?:\s+-?\d{1,9})+)\s*$", text, re.MULTILINE)
    charges = [int(word) for row in rows for word in row.split()[1::2]]
    return sum(charges) if charges else None


def _is_poscar(text: str) -> bool:
    lines = text.splitlines()
    if len(lines) < 7 or not _POSCAR_SCALE.match(lines[1]):
        return False
    return all(len(line.split()) >= 3 and _numbers(line.split()[:3]) for line in lines[2:5])


def _numbers(words: list[str]) -> bool:
    try:
        return all(np.isfinite(float(word)) for word in words)
    except ValueError:
        return False


def _starts(*words: str) -> Callable[[str], bool]:
    return lambda text: text.lstrip().lower().startswith(words)


def _is_gaussian(text: str) -> bool:
    return bool(re.search(r"^\s*#", text, re.MULTILINE)) and _gaussian_charge(text) is not None


def _is_molfile(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) > 3 and lines[3].rstrip().endswith(("V2000", "V3000"))


def _format(
    name: str,
    title: str,
    patterns: tuple[str, ...],
    ase_name: str,
    recognise: Callable[[str], bool] | None = None,
    charge: Callable[[str], int | None] | None = None,
) -> StructureFormat:
    return StructureFormat(name, title, patterns, partial(read_by_ase, ase_name=ase_name, charge=charge), recognise)


FORMATS = (
    _format("poscar", "VASP POSCAR, CONTCAR", ("poscar*", "contcar*", "*.vasp", "*.poscar"), "vasp", _is_poscar),
    _format("gaussian", "Gaussian input", ("*.gjf", "*.com"), "gaussian-in", _is_gaussian, _gaussian_charge),
    _format("gaussian-out", "Gaussian output", (), "gaussian-out", charge=partial(_stated_charge, name="gaussian-out")),
    _format("orca-out", "ORCA output", (), "orca-output", charge=partial(_stated_charge, name="orca-out")),
    _format(
        "turbomole",
        "Turbomole coord",
        ("coord", "*.coord"),
        "turbomole",
        _starts("$coord"),
        partial(_stated_charge, name="turbomole"),
    ),
    _format("mol", "MDL molfile", ("*.mol",), "mol", _is_molfile, _mdl_charge),
    StructureFormat("sdf", "MDL SD file", ("*.sdf", "*.sd"), _sd_file),
    _format("dftb", "DFTB+ gen", ("*.gen",), "gen"),
    _format("xsf", "XCrySDen", ("*.xsf",), "xsf"),
    _format("gromacs", "GROMACS gro", ("*.gro",), "gromacs"),
    _format(
        "espresso", "Quantum ESPRESSO input", ("*.pwi",), "espresso-in", charge=partial(_stated_charge, name="espresso")
    ),
    _format("dmol", "DMol3 car", ("*.car",), "dmol-car"),
)
