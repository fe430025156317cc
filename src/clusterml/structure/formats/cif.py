"""CIF: crystal structures, from any program, in the dictionaries with and without dots."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError
from clusterml.structure.crystal.cifblock import UNKNOWN, CifBlock, read_blocks
from clusterml.structure.crystal.crystal import MOST_SITES, AtomSite, Crystal, make_crystal, unit_cell
from clusterml.structure.crystal.spacegroup import read_symmetry
from clusterml.structure.elements import atomic_number, formula
from clusterml.structure.formats.format import StructureFormat
from clusterml.typing import FloatArray

_SITES = re.compile(r"^\s*_(cell|atom_site)[._]", re.IGNORECASE | re.MULTILINE)


def _recognise(text: str) -> bool:
    return "data_" in text.lower() and bool(_SITES.search(text))


_USUAL = frozenset(
    {3, 4, *range(11, 15), 17, 20, 22, *range(24, 36), 37, 38, 40, 42}
    | {*range(44, 53), *range(55, 59), 63, 64, 73, *range(75, 84)}
)
"""Elements whose symbols of two letters a label may stand for without any other witness."""
_NEVER_SUFFIXED = frozenset(
    ["AG", "AL", "AS", "AU", "BR", "CL", "CU", "FE", "IR", "LI", "MG", "MN", "MO", "NI", "PT", "RH", "RU", "SI",
     "TI", "TL", "ZN", "ZR"]
)  # fmt: skip
"""Two capitals that are read as the element although the first of some is one too."""
_HEAVIEST = 103
_MOST_NAMED = 6


def assign_elements(
    labels: Sequence[str], symbols: Sequence[str], stated: Iterable[int], source: str
) -> tuple[list[int], list[str]]:
    """Atomic numbers of sites with these labels and type symbols (empty where there are none), and what was assumed.

    ``stated``: the elements of the file's formula, empty if it gives none.  Raises :class:`UnsupportedElementError`
    naming the site.
    """
    known = frozenset(stated)
    prefixes = [_letters(label) for label in labels]
    numbers = [_element_of_symbol(symbol, known) for symbol in symbols]
    certain = {number or _read_unambiguous(prefix, known) for number, prefix in zip(numbers, prefixes, strict=True)}
    doubtful: dict[tuple[int, int], list[str]] = defaultdict(list)
    for k, prefix in enumerate(prefixes):
        if numbers[k] is None:
            short, long = _readings(prefix, known)
            number = numbers[k] = _read_unambiguous(prefix, known) or (
                long if long in known and long not in certain else short
            )
            other = atomic_number(prefix) if prefix[1:].islower() or (short and long) else None
            if number and other and other != number:
                doubtful[(number, other)].append(labels[k])
        if not numbers[k]:
            raise UnsupportedElementError(
                f"{source}: site {labels[k] or f'number {k + 1}'} has the unknown element "
                f"{symbols[k] or labels[k] or '(none)'}",
                "give its symbol (_atom_site_type_symbol)",
            )
    return [int(number or 0) for number in numbers], [_sentence(*key, names) for key, names in doubtful.items()]


def _element_of_symbol(symbol: str, known: frozenset[int]) -> int | None:
    """Atomic number of a type symbol: ``Ag``, ``AG``, ``Ag1+``, ``Cval``; None if it says nothing."""
    word = symbol.strip().rstrip("+-0123456789")
    number = atomic_number(word or symbol) if symbol.strip() not in ("", "?", ".") else None
    if number is None and word[:1].isupper():
        number = atomic_number(word[:2]) if word[1:2].islower() else None
        number = number or atomic_number(word[:1])
    return number if number is None or number <= _HEAVIEST or number in known else None


def _letters(label: str) -> str:
    """The letters that a label begins with, at most two."""
    return label[: next((i for i, x in enumerate(label) if not x.isalpha()), len(label))][:2]


def _readings(letters: str, known: frozenset[int]) -> tuple[int | None, int | None]:
    """Atomic numbers of the first letter and of both letters, where each is possible."""
    short = atomic_number(letters[:1]) if letters else None
    long = atomic_number(letters) if len(letters) == 2 else None
    if short and long and long not in known and (known or long not in _USUAL):
        return short, None
    if short and long and known and short not in known:
        return None, long
    return short, long


def _read_unambiguous(letters: str, known: frozenset[int]) -> int | None:
    """The element of letters that can be read in only one way, or that are written like a symbol."""
    short, long = _readings(letters, known)
    if short and long:
        return long if letters[1:].islower() or letters in _NEVER_SUFFIXED else None
    return short or long


def _sentence(number: int, other: int, labels: list[str]) -> str:
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return (
        f"the file gives no element for {', '.join(labels[:_MOST_NAMED])}{more}: taken for {formula([number])}, "
        f"not {formula([other])}; give type symbols if that is wrong"
    )


_CELL_ITEMS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_FRACTIONAL = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
_CARTESIAN = tuple(f"_atom_site_cartn_{axis}" for axis in "xyz")
_COLUMNS = ("label", "label_atom_id", "type_symbol", "occupancy", "disorder_group", "disorder_assembly", "calc_flag")
_MASKS = ("_platon_squeeze_void_nr", "_smtbx_masks_void_nr", "_platon_squeeze_void_average_x")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d+\.?\d*|\.\d+)?")


def parse_cif(text: str, source: str) -> Crystal:
    """The first crystal structure in CIF ``text``; see :func:`crystals`."""
    return next(crystals(text, source))


def crystals(text: str, source: str) -> Iterator[Crystal]:
    """The crystal structures in CIF ``text`` (at least one); ``source`` names the file in messages.

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
    return make_crystal(
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
        texts = list(dict.fromkeys(block.values(f"_cell_{item}")))
        if len(texts) > 1:
            raise InputFileError(f"{source}: _cell_{item} is given as {' and as '.join(texts)}", "keep the right one")
        value = gemmi.cif.as_number(texts[0]) if texts else float("nan")
        low, high = (1.0, 2000.0) if item.startswith("length") else (5.0, 175.0)
        if not low <= value <= high:
            problem = f"is {texts[0]}" if texts else "is missing"
            raise InputFileError(
                f"{source}: _cell_{item} {problem}", f"a number between {low:g} and {high:g} is needed (A, degrees)"
            )
        values.append(value)
    return unit_cell(values, source)


def _sites(block: CifBlock, lattice: FloatArray, stated: list[int], source: str) -> tuple[list[AtomSite], list[str]]:
    """The sites that have coordinates, and notes on what was left out or assumed."""
    table, axes = _table(block, source)
    count = len(table[axes[0]])
    if count > MOST_SITES:
        raise StructureError(f"{source}: {count} atom sites", f"at most {MOST_SITES} can be read")
    columns = {key: table.get(f"_atom_site_{key}", [""] * count) for key in _COLUMNS}
    places = list(zip(*(table[axis] for axis in axes), strict=True))
    listed = [k for k in range(count) if columns["calc_flag"][k] != "dum" and not any(x in UNKNOWN for x in places[k])]
    if not listed:
        raise InputFileError(f"{source}: no atom site has coordinates", "check the file")
    labels = [columns["label"][k] or columns["label_atom_id"][k] for k in listed]
    numbers, notes = assign_elements(labels, [columns["type_symbol"][k] for k in listed], stated, source)
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
) -> AtomSite:
    import gemmi

    xyz = np.array([gemmi.cif.as_number(value) for value in place])
    if not np.all(np.isfinite(xyz)):
        raise InputFileError(f"{source}: coordinates of site {label} are {' '.join(place)}", "correct the numbers")
    occupancy = 1.0 if row["occupancy"] in UNKNOWN else gemmi.cif.as_number(row["occupancy"])
    if not np.isfinite(occupancy):
        raise InputFileError(f"{source}: occupancy of site {label} is {row['occupancy']}", "a number is needed")
    word = row["disorder_group"]
    group = gemmi.cif.as_number(word) if word not in UNKNOWN else 0.0
    if not np.isfinite(group):  # the dictionary allows letters: keep them apart by their code
        group = float(sum(ord(letter) for letter in word[:4]))
    assembly = "" if row["disorder_assembly"] in UNKNOWN else row["disorder_assembly"]
    x, y, z = (xyz @ inverse).tolist()
    return AtomSite(label, number, (x, y, z), occupancy, int(np.clip(group, -9999, 9999)), assembly)


def _stated(block: CifBlock) -> list[tuple[int, float]]:
    """Elements in the formula sum and the number of each; empty if there is none or it cannot be read."""
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


FORMATS = (
    StructureFormat(
        "cif",
        "Crystallographic Information File",
        ("*.cif", "*.mmcif"),
        crystals,
        _recognise,
        measured=True,
        largest=256 * 1024**2,
    ),
)
