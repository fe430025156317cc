"""Reading a CIF into a validated :class:`Crystal`: cell, sites, symmetry operations.  Nothing is expanded here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError
from clusterml.structure.elements import atomic_number
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import gemmi

MOST_SITES = 50_000
"""Largest number of atom sites a file may list."""
_CELL_KEYS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_SYMOP_TAGS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop.operation_xyz")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_HM_TAGS = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M_full")
_NUMBER_TAGS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
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
_UNKNOWN = ("?", ".", "")
_METRIC_TOLERANCE = 0.02


@dataclass(frozen=True)
class Crystal:
    """The asymmetric unit of a crystal and the operations that fill its cell.

    ``cell`` ``(3, 3)`` lattice vectors as rows (A); ``numbers`` ``(n,)``; ``fractional`` ``(n, 3)``; ``occupancy``
    ``(n,)`` in (0, 1]; ``group`` ``(n,)`` disorder group (0: ordered); ``assembly`` and ``labels``: n strings;
    ``rotations`` ``(m, 3, 3)`` and ``translations`` ``(m, 3)`` act on fractional coordinates, the identity first.
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

    @property
    def sohncke(self) -> bool:
        """Do all operations keep the hand (so that the crystal can hold one enantiomer only)?"""
        return bool(np.all(np.rint(np.linalg.det(self.rotations)) == 1))

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
    rotations, translations, space_group, notes = _symmetry(block, cell, source)
    if len(blocks) > 1:
        names = ", ".join(other.name for other in blocks[1:])
        notes.append(f"the file holds {len(blocks)} structures; took {block.name}, left out {names}")
    lattice = np.array(cell.orth.mat.tolist(), dtype=np.float64).T
    _check_metric(lattice, rotations, source)
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


def _symmetry(block: Any, cell: Any, source: str) -> tuple[IntArray, FloatArray, str | None, list[str]]:
    """Rotations ``(m, 3, 3)``, translations ``(m, 3)``, space-group name, warnings."""
    import gemmi

    notes: list[str] = []
    operations = _listed_operations(block, source) or _named_operations(block, cell, notes)
    unique = {(str(op.rot), str([t % op.DEN for t in op.tran])): op for op in (gemmi.Op(), *operations)}
    rotations = np.array([op.rot for op in unique.values()], dtype=np.int64) // gemmi.Op.DEN
    translations = np.array([op.tran for op in unique.values()], dtype=np.float64) / gemmi.Op.DEN
    if not np.all(np.abs(np.rint(np.linalg.det(rotations))) == 1) or len(rotations) > 192:
        raise InputFileError(
            f"{source}: the symmetry operations are not those of a space group", "correct the list of operations"
        )
    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(list(unique.values())))
    return rotations, translations, group.xhm() if group else None, notes


def _listed_operations(block: Any, source: str) -> list[Any]:
    import gemmi

    for tag in _SYMOP_TAGS:
        texts = [gemmi.cif.as_string(raw) for raw in block.find_values(tag)]
        if texts:
            try:
                return [gemmi.Op(text) for text in texts]
            except (ValueError, RuntimeError) as error:
                raise InputFileError(f"{source}: {tag} cannot be read ({error})", "correct the operation") from error
    return []


def _named_operations(block: Any, cell: Any, notes: list[str]) -> list[Any]:
    """Operations from the Hall symbol, the Hermann-Mauguin name or the number; identity, with a warning, from none."""
    import gemmi

    for tag in _HALL_TAGS:
        raw = block.find_value(tag)
        if raw is not None and raw not in _UNKNOWN:
            try:
                return list(gemmi.symops_from_hall(gemmi.cif.as_string(raw)))
            except (ValueError, RuntimeError):
                notes.append(f"the Hall symbol {gemmi.cif.as_string(raw)} is not known; looked further")
    for tag in _HM_TAGS:
        raw = block.find_value(tag)
        group = gemmi.find_spacegroup_by_name(gemmi.cif.as_string(raw), cell.alpha, cell.gamma) if raw else None
        if group:
            return list(group.operations())
    for tag in _NUMBER_TAGS:
        raw = block.find_value(tag)
        number = gemmi.cif.as_number(raw) if raw else float("nan")
        if np.isfinite(number) and 1 <= number <= 230:
            notes.append(f"no symmetry operations in the file; took the standard setting of space group {number:.0f}")
            return list(gemmi.find_spacegroup_by_number(int(number)).operations())
    notes.append("no symmetry in the file; took P 1")
    return []


def _check_metric(lattice: FloatArray, rotations: IntArray, source: str) -> None:
    """The operations must keep the lengths and angles of the lattice."""
    metric = lattice @ lattice.T
    moved = np.einsum("mki,kl,mlj->mij", rotations, metric, rotations)
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    if np.max(np.abs(moved - metric) / scale) > _METRIC_TOLERANCE:
        raise InputFileError(
            f"{source}: the symmetry operations do not fit the unit cell", "check cell lengths, angles and space group"
        )


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
    )
    empty = crystal.occupancy <= 0.0
    if empty.all():
        raise StructureError(f"{source}: every atom site has occupancy 0", "correct _atom_site_occupancy")
    return crystal.select(~empty, f"{int(empty.sum())} sites of occupancy 0 were left out") if empty.any() else crystal


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
    if not np.isfinite(occupancy):
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
