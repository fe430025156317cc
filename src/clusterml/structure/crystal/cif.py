"""Reading a CIF into validated crystals: cell, sites, symmetry operations.  Nothing is expanded here."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from clusterml.errors import InputFileError, StructureError
from clusterml.structure.crystal.cifblock import CifBlock, read_blocks
from clusterml.structure.crystal.crystal import MOST_SITES, Crystal, Site, crystal_of, unit_cell
from clusterml.structure.crystal.labels import elements_of
from clusterml.structure.crystal.symmetry import read_symmetry
from clusterml.structure.elements import atomic_number
from clusterml.typing import FloatArray

_CELL_ITEMS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_FRACTIONAL = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
_CARTESIAN = tuple(f"_atom_site_cartn_{axis}" for axis in "xyz")
_COLUMNS = ("label", "label_atom_id", "type_symbol", "occupancy", "disorder_group", "disorder_assembly", "calc_flag")
_MASKS = ("_platon_squeeze_void_nr", "_smtbx_masks_void_nr", "_platon_squeeze_void_average_x")
_UNKNOWN = ("?", ".", "")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")


def parse_cif(text: str, source: str) -> Crystal:
    """The first crystal structure in CIF ``text``; see :func:`crystals`."""
    return next(crystals(text, source))


def crystals(text: str, source: str) -> Iterator[Crystal]:
    """The crystal structures in CIF ``text``, of which there is one at least; ``source`` names the file in messages.

    Flaws between cell, symmetry and atoms are warnings.  Raises :class:`InputFileError` (not a CIF, no sites, bad
    numbers, cell or symmetry), :class:`StructureError` (too many sites) or :class:`UnsupportedElementError`.
    """
    blocks, notes = read_blocks(text, source)
    blocks = [block for block in blocks if any(block.tables(axes[0]) for axes in (_FRACTIONAL, _CARTESIAN))]
    if not blocks:
        raise InputFileError(
            f"{source}: the CIF lists no atom sites with coordinates",
            "it needs a loop with _atom_site_fract_x, _y and _z",
        )
    for block in blocks:
        yield _crystal(block, source, notes)


def _crystal(block: CifBlock, source: str, notes: list[str]) -> Crystal:
    lattice = _lattice(block, source)
    symmetry = read_symmetry(block, lattice, source)
    stated = _stated(block)
    sites, remarks = _sites(block, lattice, [number for number, _ in stated], source)
    return crystal_of(
        block.name,
        lattice,
        sites,
        symmetry,
        source,
        warnings=(*notes, *remarks),
        masked=any(block.values(item) for item in _MASKS),
        stated=_per_cell(block, stated),
    )


def _lattice(block: CifBlock, source: str) -> FloatArray:
    import gemmi

    values = []
    for item in _CELL_ITEMS:
        given = list(dict.fromkeys(block.values(f"_cell_{item}")))
        if len(given) > 1:
            raise InputFileError(f"{source}: _cell_{item} is given as {' and as '.join(given)}", "keep the right one")
        value = gemmi.cif.as_number(given[0]) if given else float("nan")
        low, high = (1.0, 2000.0) if item.startswith("length") else (5.0, 175.0)
        if not low <= value <= high:
            said = f"is {given[0]}" if given else "is missing"
            raise InputFileError(
                f"{source}: _cell_{item} {said}", f"a number between {low:g} and {high:g} is needed (A, degrees)"
            )
        values.append(value)
    return unit_cell(values, source)


def _sites(block: CifBlock, lattice: FloatArray, stated: list[int], source: str) -> tuple[list[Site], list[str]]:
    """The sites that have coordinates, and what was left out or assumed."""
    table, axes = _table(block, source)
    count = len(table[axes[0]])
    if count > MOST_SITES:
        raise StructureError(f"{source}: {count} atom sites", f"at most {MOST_SITES} can be read")
    columns = {key: table.get(f"_atom_site_{key}", [""] * count) for key in _COLUMNS}
    places = list(zip(*(table[axis] for axis in axes), strict=True))
    listed = [k for k in range(count) if columns["calc_flag"][k] != "dum" and not any(x in _UNKNOWN for x in places[k])]
    if not listed:
        raise InputFileError(f"{source}: no atom site has coordinates", "check the file")
    labels = [columns["label"][k] or columns["label_atom_id"][k] for k in listed]
    numbers, notes = elements_of(labels, [columns["type_symbol"][k] for k in listed], stated, source)
    inverse = np.asarray(np.linalg.inv(lattice) if axes == _CARTESIAN else np.eye(3), dtype=np.float64)
    sites = [
        _site(label or f"number {k + 1}", number, places[k], inverse, {key: columns[key][k] for key in columns}, source)
        for k, label, number in zip(listed, labels, numbers, strict=True)
    ]
    if len(listed) < count:
        notes.append(f"{count - len(listed)} sites without coordinates, or dummies, were left out")
    return sites, notes


def _table(block: CifBlock, source: str) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """The loop of sites and its columns of coordinates."""
    axes = _FRACTIONAL if block.tables(_FRACTIONAL[0]) else _CARTESIAN
    tables = block.tables(axes[0])
    if any(other != tables[0] for other in tables[1:]):
        raise InputFileError(f"{source}: data_{block.name} lists its atom sites twice", "keep the right list")
    if not all(axis in tables[0] for axis in axes):
        raise InputFileError(f"{source}: the atom-site loop is incomplete", f"it needs {', '.join(axes)}")
    return tables[0], axes


def _site(
    label: str, number: int, place: tuple[str, ...], inverse: FloatArray, row: dict[str, str], source: str
) -> Site:
    import gemmi

    xyz = np.array([gemmi.cif.as_number(value) for value in place])
    if not np.all(np.isfinite(xyz)):
        raise InputFileError(f"{source}: coordinates of site {label} are {' '.join(place)}", "correct the numbers")
    occupancy = 1.0 if row["occupancy"] in _UNKNOWN else gemmi.cif.as_number(row["occupancy"])
    if not np.isfinite(occupancy):
        raise InputFileError(f"{source}: occupancy of site {label} is {row['occupancy']}", "a number is needed")
    word = row["disorder_group"]
    group = gemmi.cif.as_number(word) if word not in _UNKNOWN else 0.0
    if not np.isfinite(group):  # the dictionary allows letters: keep them apart by their code
        group = float(sum(ord(letter) for letter in word[:4]))
    assembly = "" if row["disorder_assembly"] in _UNKNOWN else row["disorder_assembly"]
    x, y, z = (xyz @ inverse).tolist()
    return Site(label, number, (x, y, z), occupancy, int(np.clip(group, -9999, 9999)), assembly)


def _stated(block: CifBlock) -> list[tuple[int, float]]:
    """Elements of the formula sum and how many there are of each; empty for none, or one that cannot be read."""
    parts = [_FORMULA_PART.fullmatch(word) for word in (block.value("_chemical_formula_sum") or "").split()]
    counts: dict[int, float] = {}
    for part in parts:
        number = atomic_number(part[1]) if part else None
        if part is None or number is None:
            return []
        counts[number] = counts.get(number, 0.0) + float(part[2] or 1)
    return sorted(counts.items())


def _per_cell(block: CifBlock, stated: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Content of the cell by the formula sum and Z."""
    import gemmi

    units = block.value("_cell_formula_units_Z")
    count = gemmi.cif.as_number(units) if units else float("nan")
    return tuple((number, count * n) for number, n in stated) if 0 < count <= 1000 else ()
