"""Tripos mol2, as crystallographers' programs write it; with ``@<TRIPOS>CRYSIN`` the structure is a crystal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError
from clusterml.io.words import is_whole
from clusterml.structure.elements import atomic_number, formula
from clusterml.structure.formats.format import Parsed, StructureFormat, provenance
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from clusterml.structure.crystal.crystal import Crystal


def parse_mol2(text: str, source: str) -> Iterator[Parsed]:
    """The structures in mol2 ``text``; the element is what the atom type begins with (``C.ar``, ``Ag``).

    ``@<TRIPOS>CRYSIN`` gives the cell and, as a number with its setting, the space group.

    Raises :class:`InputFileError` naming the line, :class:`StructureError` for a file without atoms, and
    :class:`UnsupportedElementError`.
    """
    section, title = "", ""
    rows: list[tuple[int, list[str]]] = []
    cell: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if line.startswith("@<TRIPOS>"):
            if words[0] == "@<TRIPOS>MOLECULE" and rows:
                yield _structure(rows, cell, title, source)
                rows, cell = [], []
            section, title = words[0][9:], "" if words[0][9:] == "MOLECULE" else title
        elif section == "MOLECULE" and words and not title:
            title = line.strip()
        elif section == "ATOM" and words:
            rows.append((number, words))
        elif section == "CRYSIN" and words:
            _numbers(words[:6], 6, f"{source}: line {number}")
            cell = words
    if not rows:
        raise StructureError(f"{source}: there are no atoms", "a mol2 file lists them after @<TRIPOS>ATOM")
    yield _structure(rows, cell, title, source)


def _structure(rows: list[tuple[int, list[str]]], cell: list[str], title: str, source: str) -> Parsed:
    from ase import Atoms

    numbers, positions = [], []
    for number, words in rows:
        where = f"{source}: line {number}"
        element = atomic_number(words[5].split(".")[0]) if len(words) > 5 else None
        if element is None:
            raise UnsupportedElementError(f"{where}: '{' '.join(words)[:60]}' has no known element", "correct the type")
        numbers.append(element)
        positions.append(_numbers(words[2:5], 3, where))
    if cell:
        return _crystal(np.array(numbers), np.array(positions), cell, title, source)
    atoms = Atoms(numbers, np.array(positions))
    atoms.info["provenance"] = provenance(title)
    return atoms


def _crystal(numbers: IntArray, positions: FloatArray, cell: Sequence[str], title: str, source: str) -> Crystal:
    """Settings count the ways to choose the axes: all but the first one are refused, for programs differ in them."""
    from gemmi import find_spacegroup_by_number

    from clusterml.structure.crystal.crystal import AtomSite, make_crystal, unit_cell
    from clusterml.structure.crystal.spacegroup import make_symmetry

    lattice = unit_cell([float(word) for word in cell[:6]], source)
    number, setting = [*cell[6:8], "1", "1"][:2] if len(cell) != 7 else [cell[6], "1"]
    group = find_spacegroup_by_number(int(number)) if is_whole(number) and setting == "1" else None
    if group is None:
        raise InputFileError(
            f"{source}: CRYSIN names the space group '{' '.join(cell[6:])}'",
            "give its number and the setting 1, or a CIF; 1 1 where all atoms of the cell are listed",
        )
    sites = [
        AtomSite(f"{formula([number])}{k}", int(number), (float(x), float(y), float(z)))
        for k, (number, (x, y, z)) in enumerate(zip(numbers, positions @ np.linalg.inv(lattice), strict=True), start=1)
    ]
    symmetry = make_symmetry(list(group.operations()), lattice, source)
    return make_crystal(title, lattice, sites, symmetry, source)


def _numbers(words: list[str], count: int, where: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count:
        raise InputFileError(f"{where} has '{' '.join(words)[:60]}' for {count} numbers", "correct the line")
    return values


FORMATS = (StructureFormat("mol2", "Tripos mol2", ("*.mol2",), parse_mol2, lambda text: "@<TRIPOS>" in text),)
