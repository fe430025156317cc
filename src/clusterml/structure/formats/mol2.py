"""Tripos mol2, as crystallographers' programs write it; with ``@<TRIPOS>CRYSIN`` the structure is a crystal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError
from clusterml.structure.elements import atomic_number
from clusterml.structure.formats.format import StructureFormat, provenance

if TYPE_CHECKING:
    from ase import Atoms


def parse_mol2(text: str, source: str) -> Iterator[Atoms]:
    """The molecules in mol2 ``text``; the element is what the atom type begins with (``C.ar``, ``Ag``).

    Raises :class:`InputFileError` naming the line, :class:`StructureError` for a file without atoms, and
    :class:`UnsupportedElementError`.
    """
    section, title = "", ""
    rows: list[tuple[int, list[str]]] = []
    cell: list[float] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if line.startswith("@<TRIPOS>"):
            if words[0] == "@<TRIPOS>MOLECULE" and rows:
                yield _molecule(rows, cell, title, source)
                rows, cell = [], []
            section, title = words[0][9:], "" if words[0][9:] == "MOLECULE" else title
        elif section == "MOLECULE" and words and not title:
            title = line.strip()
        elif section == "ATOM" and words:
            rows.append((number, words))
        elif section == "CRYSIN" and words:
            cell = _numbers(words[:6], 6, f"{source}: line {number}")
    if not rows:
        raise StructureError(f"{source}: there are no atoms", "a mol2 file lists them after @<TRIPOS>ATOM")
    yield _molecule(rows, cell, title, source)


def _molecule(rows: list[tuple[int, list[str]]], cell: list[float], title: str, source: str) -> Atoms:
    from ase import Atoms

    from clusterml.structure.crystal.crystal import unit_cell

    numbers, positions = [], []
    for number, words in rows:
        where = f"{source}: line {number}"
        element = atomic_number(words[5].split(".")[0]) if len(words) > 5 else None
        if element is None:
            raise UnsupportedElementError(f"{where}: '{' '.join(words)[:60]}' has no known element", "correct the type")
        numbers.append(element)
        positions.append(_numbers(words[2:5], 3, where))
    lattice = unit_cell(cell, source) if cell else None
    atoms = Atoms(numbers, np.array(positions), cell=lattice, pbc=bool(cell))
    atoms.info["provenance"] = provenance(title)
    return atoms


def _numbers(words: list[str], count: int, where: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count:
        raise InputFileError(f"{where} has '{' '.join(words)[:60]}' for {count} numbers", "correct the line")
    return values


FORMATS = (StructureFormat("mol2", "Tripos mol2", ("*.mol2",), parse_mol2, lambda text: "@<TRIPOS>" in text),)
