"""Reading a CIF into a validated :class:`Crystal`: cell, sites, symmetry operations.  Nothing is expanded here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError
from clusterml.structure.crystal.symmetry import determinants, read_symmetry
from clusterml.structure.elements import atomic_number
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import gemmi

MOST_SITES = 50_000
"""Largest number of atom sites a file may list."""
_CELL_KEYS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_SITE_TAGS = (
    "fract_x",
    "fract_y",
    "fract_z",
    "?label",
    "?type_symbol",
    "?occupancy",
    "?disorder_group",
    "?disorder_assembly",
    "?calc_flag",
)
_MASK_TAGS = ("_platon_squeeze_void_nr", "_smtbx_masks_void_nr", "_platon_squeeze_void_average_x")
_UNKNOWN = ("?", ".", "")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
_OCCUPANCY_NOISE = 0.2
"""A refined occupancy may overshoot 0 or 1 by this; codes such as 11.0 are errors."""


@dataclass(frozen=True)
class Crystal:
    """The asymmetric unit of a crystal and the operations that fill its cell.

    ``cell`` ``(3, 3)`` lattice vectors as rows (A); ``numbers`` ``(n,)``; ``fractional`` ``(n, 3)``; ``occupancy``
    ``(n,)`` in (0, 1]; ``group`` ``(n,)`` disorder group (0: ordered); ``assembly`` and ``labels``: n strings;
    ``rotations`` ``(m, 3, 3)`` and ``translations`` ``(m, 3)`` act on fractional coordinates, the identity first.
    ``masked``: the file says that electron density of unresolved solvent or ions was removed (SQUEEZE, solvent mask).
    ``stated``: atomic numbers and how many of each the cell holds by the file's formula and Z; empty if not stated.
    """

    block: str
    cell: FloatArray
    numbers: IntArray
    fractional: FloatArray
    occupancy: FloatArray
    group: IntArray
    assembly: tuple[str, ...]
    labels: tuple[str, ...]
    rotations: IntArray
    translations: FloatArray
    space_group: str | None
    warnings: tuple[str, ...]
    masked: bool = False
    stated: tuple[tuple[int, float], ...] = ()

    @property
    def sohncke(self) -> bool:
        """Do all operations keep the hand (so that the crystal can hold one enantiomer only)?"""
        return bool(np.all(determinants(self.rotations) == 1))

    def select(self, keep: BoolArray, *warnings: str) -> Crystal:
        """The crystal with only the sites where ``keep`` ``(n,)`` is true, and further warnings."""
        chosen = np.flatnonzero(keep).tolist()
        return replace(
            self,
            numbers=self.numbers[keep],
            fractional=self.fractional[keep],
            occupancy=self.occupancy[keep],
            group=self.group[keep],
            assembly=tuple(self.assembly[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen),
            warnings=(*self.warnings, *warnings),
        )


def parse_cif(text: str, source: str) -> Crystal:
    """The first crystal structure in CIF ``text``; ``source`` names the file in messages.

    Raises :class:`InputFileError` (not a CIF, no sites, bad numbers, cell or symmetry), :class:`StructureError` (too
    many sites) or :class:`UnsupportedElementError`.
    """
    import gemmi

    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        reason = str(error).removeprefix("string:")
        raise InputFileError(f"{source}: not a readable CIF ({reason})", "re-export or repair the file") from error
    blocks = [block for block in document if len(block.find_loop("_atom_site_fract_x"))]
    if not blocks:
        raise InputFileError(
            f"{source}: the CIF lists no atom sites with fractional coordinates",
            "it needs a loop with _atom_site_fract_x, _y and _z",
        )
    block = blocks[0]
    cell = _cell(block, source)
    rotations, translations, space_group, notes = read_symmetry(block, cell, source)
    if len(blocks) > 1:
        names = ", ".join(other.name for other in blocks[1:])
        notes.append(f"the file holds {len(blocks)} structures; took {block.name}, left out {names}")
    lattice = np.array(cell.orth.mat.tolist(), dtype=np.float64).T
    return _sites(block, source, lattice, (rotations, translations, space_group), notes)


def _cell(block: gemmi.cif.Block, source: str) -> gemmi.UnitCell:
    import gemmi

    values = []
    for key in _CELL_KEYS:
        raw = block.find_value(f"_cell_{key}")
        value = gemmi.cif.as_number(raw) if raw is not None else float("nan")
        low, high = (1.0, 2000.0) if key.startswith("length") else (5.0, 175.0)
        if not low <= value <= high:
            said = "is missing" if raw is None else f"is {raw}"
            raise InputFileError(
                f"{source}: _cell_{key} {said}", f"a number between {low:g} and {high:g} is needed (A, degrees)"
            )
        values.append(value)
    cell = gemmi.UnitCell(*values)
    if not (np.isfinite(cell.volume) and cell.volume > 0.05 * values[0] * values[1] * values[2]):
        raise InputFileError(f"{source}: the cell angles {values[3:]} enclose no volume", "correct the cell")
    return cell


def _sites(
    block: Any, source: str, lattice: FloatArray, symmetry: tuple[IntArray, FloatArray, str | None], notes: list[str]
) -> Crystal:
    table = block.find("_atom_site_", list(_SITE_TAGS))
    if len(table) == 0:
        raise InputFileError(f"{source}: the atom-site loop is incomplete", "it needs _atom_site_fract_x, _y and _z")
    if len(table) > MOST_SITES:
        raise StructureError(f"{source}: {len(table)} atom sites", f"at most {MOST_SITES} can be read")
    rows, unlocated = [], 0
    for k, row in enumerate(table):
        cells = [_text(row, column) for column in range(len(_SITE_TAGS))]
        if cells[8] == "dum" or any(value in _UNKNOWN for value in cells[:3]):
            unlocated += 1
        else:
            rows.append(_site(cells, k, source))
    if unlocated:
        notes.append(f"{unlocated} sites without coordinates, or dummies, were left out")
    if not rows:
        raise InputFileError(f"{source}: no atom site has coordinates", "check the file")
    labels, numbers, xyz, occupancy, group, assembly = zip(*rows, strict=True)
    crystal = Crystal(
        block.name,
        lattice,
        np.array(numbers, dtype=np.int64),
        np.array(xyz, dtype=np.float64),
        np.array(occupancy, dtype=np.float64),
        np.array(group, dtype=np.int64),
        assembly,
        labels,
        *symmetry,
        tuple(notes),
        any(len(block.find_values(tag)) for tag in _MASK_TAGS),
        _stated(block),
    )
    empty = crystal.occupancy <= 0.0
    if empty.all():
        raise StructureError(f"{source}: every atom site has occupancy 0", "correct _atom_site_occupancy")
    return crystal.select(~empty, f"{int(empty.sum())} sites of occupancy 0 were left out") if empty.any() else crystal


def _stated(block: Any) -> tuple[tuple[int, float], ...]:
    """Content of the cell by the formula sum and Z."""
    import gemmi

    formula, units = (block.find_value(tag) for tag in ("_chemical_formula_sum", "_cell_formula_units_Z"))
    count = gemmi.cif.as_number(units) if units else float("nan")
    words = gemmi.cif.as_string(formula).split() if formula else []
    parts = [_FORMULA_PART.fullmatch(word) for word in words]
    if not 0 < count <= 1000 or not parts or not all(parts):
        return ()
    found: dict[int, float] = {}
    for part in parts:
        number = atomic_number(part[1]) if part else None
        if part is None or number is None:
            return ()
        found[number] = found.get(number, 0.0) + count * float(part[2] or 1)
    return tuple(sorted(found.items()))


def _text(row: Any, column: int) -> str:
    import gemmi

    return str(gemmi.cif.as_string(row[column])).strip() if row.has(column) else ""


def _site(cells: list[str], index: int, source: str) -> tuple[str, int, list[float], float, int, str]:
    import gemmi

    label = cells[3] or f"number {index + 1}"
    number = _element(cells[4], cells[3])
    if number is None:
        raise UnsupportedElementError(
            f"{source}: site {label} has the unknown element {cells[4] or cells[3] or '(none)'}",
            "correct _atom_site_type_symbol",
        )
    xyz = [gemmi.cif.as_number(value) for value in cells[:3]]
    if not np.all(np.isfinite(xyz)) or max(abs(x) for x in xyz) > 1000:
        raise InputFileError(f"{source}: coordinates of site {label} are {' '.join(cells[:3])}", "correct the numbers")
    occupancy = 1.0 if cells[5] in _UNKNOWN else gemmi.cif.as_number(cells[5])
    if not -_OCCUPANCY_NOISE <= occupancy <= 1.0 + _OCCUPANCY_NOISE:
        raise InputFileError(f"{source}: occupancy of site {label} is {cells[5]}", "a number from 0 to 1 is needed")
    group = gemmi.cif.as_number(cells[6]) if cells[6] not in _UNKNOWN else 0.0
    if not np.isfinite(group):  # the dictionary allows letters: keep them apart by their code
        group = float(sum(ord(letter) for letter in cells[6][:4]))
    assembly = "" if cells[7] in _UNKNOWN else cells[7]
    return label, number, xyz, min(occupancy, 1.0), int(np.clip(group, -9999, 9999)), assembly


def _element(symbol: str, label: str) -> int | None:
    """Atomic number from a type symbol (``Ag``, ``Ag1+``), or from the letters a label starts with."""
    if symbol and symbol not in _UNKNOWN:
        return atomic_number(symbol.rstrip("+-0123456789") or symbol)
    letters = label[: next((i for i, x in enumerate(label) if not x.isalpha()), len(label))][:2]
    # "HO1" is a hydroxyl hydrogen and "CA2" a carbon, but "AG1", "CL1" and "CU1" are what they look like
    single = letters.isupper() and letters[:1] in "HCNO" and letters not in ("CL", "CU")
    both = None if single else atomic_number(letters) if letters else None
    return both or (atomic_number(letters[:1]) if letters else None)
