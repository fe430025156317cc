"""xyz and extended xyz, frame by frame, with messages that name the line; with a lattice, the frame is a crystal.

``ase.io`` is not used here: it takes a truncated file, a charge that is no number or a free-text comment line without
complaint, or fails with an untyped error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError, counted
from clusterml.structure.elements import atomic_number
from clusterml.structure.formats.format import MOST_ATOMS, StructureFormat
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

CHARGE_KEYS = (
    *("charge", "total_charge", "totalcharge", "tot_charge", "net_charge", "molecular_charge"),
    *("system_charge", "chrg", "q"),
)
"""Keys of the comment line, in any case, that state the total charge."""
_KEY_VALUE = re.compile(r"""(?<![\w:])(\w+)\s*=\s*("[^"]*"|'[^']*'|\[(?:[^\[\]]|\[[^\]]*\])*\]|[^\s"']+)""")
_CHARGE_WORDS = re.compile(
    r"""(?<![\w:])((?:(?:total|net)[ _])?charge)["']?(?:\s*:\s*\[?|\s+is\s+|\s+)([-+\d][^\s,;()}\]]*+)(?!\s+[-+\d])""",
    re.IGNORECASE,
)
"""Prose and JSON: ``CHARGE 2``, ``total charge: -1``, ``{"charge": 2}``; not a list of numbers."""
_CHARGE_MULTIPLICITY = re.compile(r"([-+]?\d{1,3})(?:\s+|\s*,\s*)(\d{1,2})")
_SIGNED = re.compile(r"[-+]\d{1,3}")
_FLAGS = {"T": True, "TRUE": True, "1": True, "F": False, "FALSE": False, "0": False}
_LABEL = re.compile(r"([A-Z][a-z]?)\d{1,4}")  # Ag1; in capitals CA1 may be carbon or calcium
_VECTOR = re.compile(r"\s*(VEC[123]|Tv)\s", re.IGNORECASE)


def parse_xyz(text: str, source: str) -> Iterator[Atoms]:
    """The frames of xyz ``text``; ``source`` names the file in messages.

    ``info["charge"]`` is set if the comment line states it; ``info["provenance"]`` holds ``frame`` (from 0), ``title``
    and ``warnings``.  Cell and ``pbc`` are set if the comment line or lines after the atoms (``VEC1``) give a lattice.
    Raises :class:`InputFileError` naming the line, :class:`StructureError` for a frame without atoms,
    :class:`UnsupportedElementError`.
    """
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    start, frame = 0, 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        n_atoms = _count(lines[start], start + 1, source)
        if start + 2 + n_atoms > len(lines):
            present = max(len(lines) - start - 2, 0)
            raise InputFileError(
                f"{source}: line {start + 1} says {counted(n_atoms, 'atom')}, but the file ends after {present}",
                "the file is truncated or the number is wrong",
            )
        end = start + 2 + n_atoms
        after = end
        while (row := _next_written(lines, after)) < len(lines) and _VECTOR.match(lines[row]):
            after = row + 1
        atoms = _frame(lines[start + 1], lines[start + 2 : after], n_atoms, start + 2, source)
        atoms.info["provenance"]["frame"] = frame
        yield atoms
        start, frame = after, frame + 1


def _count(line: str, number: int, source: str) -> int:
    word = line.strip()
    if not (word.isascii() and word.isdigit()):
        shown = word if len(word) <= 40 else word[:40] + "..."
        raise InputFileError(
            f"{source}: line {number} should be the number of atoms, but is '{shown}'",
            "an xyz file has the number of atoms, a comment line, then one line per atom",
        )
    if len(word) > 9 or int(word) > MOST_ATOMS:
        raise InputFileError(f"{source}: line {number} says {word[:20]} atoms", f"at most {MOST_ATOMS} can be read")
    if int(word) == 0:
        raise StructureError(f"{source}: line {number} says 0 atoms", "give a file that holds a structure")
    return int(word)


def _next_written(lines: list[str], start: int) -> int:
    """Index of the first line from ``start`` that is not blank; the number of lines if there is none."""
    return next((k for k in range(start, len(lines)) if lines[k].strip()), len(lines))


def _frame(comment: str, rows: list[str], n_atoms: int, first_line: int, source: str) -> Atoms:
    """One frame: ``n_atoms`` lines of ``rows``, and after them lattice vectors, with or without blank lines."""
    from ase import Atoms

    keys: dict[str, str] = {}
    for key, value in _KEY_VALUE.findall(comment):
        keys.setdefault(key.lower(), value.strip("\"'"))
    species, position = _columns(keys.get("properties"), first_line, source)
    numbers, positions, vectors = [], [], []
    for offset, row in enumerate(rows):
        where = f"{source}: line {first_line + 1 + offset}"
        if offset >= n_atoms and not row.strip():
            continue
        if _VECTOR.match(row):
            vectors.append(_vector(row.split(), where))
            continue
        number, xyz = _atom(row.split(), species, position, where)
        numbers.append(number)
        positions.append(xyz)
    where = f"{source}: line {first_line}"
    lattice, periodic = _lattice(keys, vectors, where)
    atoms = Atoms(numbers, np.array(positions, dtype=np.float64).reshape(-1, 3), cell=lattice, pbc=periodic)
    title = keys.get("name") or (comment.strip() if "properties" not in keys else "")
    charge, warnings = _charge_of_numbers(comment, numbers) or _charge(comment, where)
    atoms.info["provenance"] = {"title": title[:200], **_provenance(keys.get("provenance", ""), warnings)}
    if charge is not None:
        atoms.info["charge"] = charge
    return atoms


def _provenance(text: str, warnings: list[str]) -> dict[str, Any]:
    """``warnings`` and the history that :func:`clusterml.structure.write.write_extxyz` stored, if there is one.

    What the program reads of it later and is not as it writes it is left out, with a warning.
    """
    try:
        history = json.loads(text.removeprefix("_JSON "))
    except (ValueError, RecursionError):  # another program's word of the same name
        history = None
    if not isinstance(history, dict):
        return {"warnings": warnings}
    before = history.get("warnings")
    sentences = [word for word in before if isinstance(word, str)] if isinstance(before, list) else []
    wrong = [key for key, fits in _READ_LATER.items() if key in history and not fits(history[key])]
    left_out = [f"the history of the file was left out where it cannot be read: {', '.join(wrong)}"] if wrong else []
    kept = {key: value for key, value in history.items() if key not in wrong}
    return {**kept, "warnings": sentences + warnings + left_out}


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_object, value))


def _is_count(value: Any) -> bool:
    return _is_object(value) and all(type(number) is int for number in value.values())


def _is_witness(value: Any) -> bool:
    """Is it what :meth:`clusterml.structure.crystal.witness.Witness.to_dict` gives?"""
    return (
        _is_object(value)
        and type(value.get("charge", "")) in (int, type(None))
        and type(value.get("counter_ions_absent")) is bool
        and isinstance(value.get("reason"), str)
    )


def _is_list_of_distortions(value: Any) -> bool:
    return _is_list_of_objects(value) and all(isinstance(entry.get("mode"), str) for entry in value)


def _is_list_of_exchanges(value: Any) -> bool:
    return _is_list_of_objects(value) and all(isinstance(entry.get("sites", []), list) for entry in value)


_READ_LATER: dict[str, Callable[[Any], bool]] = {
    "charge_witness": _is_witness,
    "mixed_sites": _is_list_of_objects,
    "distortions": _is_list_of_distortions,
    "substitutions": _is_list_of_exchanges,
    "hydrogens_added": _is_count,
    "recipe": _is_object,
    "screening": _is_object,
}
"""Keys of a history that the program reads, and what their values must be."""


def _columns(properties: str | None, line: int, source: str) -> tuple[int, int]:
    """Columns of the element and of x, from ``Properties=species:S:1:pos:R:3:...``."""
    if properties is None:
        return 0, 1
    parts = properties.split(":")
    columns: dict[str, int] = {}
    at = 0
    for name, width in zip(parts[0::3], parts[2::3], strict=False):
        columns[name] = at
        at += int(width) if width.isascii() and width.isdigit() and len(width) < 4 else 1
    species = columns.get("species", columns.get("Z"))
    if species is None or "pos" not in columns or len(parts) % 3:
        raise InputFileError(
            f"{source}: line {line}: Properties={properties[:80]} names no species and positions",
            "it should begin Properties=species:S:1:pos:R:3",
        )
    return species, columns["pos"]


def _atom(words: list[str], species: int, position: int, where: str) -> tuple[int, list[float]]:
    if len(words) < max(species + 1, position + 3):
        shown = " ".join(words)[:60]
        raise InputFileError(f"{where} should be an element and x y z, but is '{shown}'", "correct the line")
    symbol = words[species]
    label = _LABEL.fullmatch(symbol)
    number = atomic_number(label[1] if label else symbol)
    if number is None:
        numbered = re.search(r"[A-Za-z].*\d", symbol) is not None
        remedy = "write the symbol alone: of labels only those like Ag1 are read" if numbered else "correct the symbol"
        raise UnsupportedElementError(f"{where} has the unknown element '{symbol[:20]}'", remedy)
    return number, [_number(word, where) for word in words[position : position + 3]]


def _number(word: str, where: str) -> float:
    try:
        return float(word.replace("D", "E").replace("d", "e"))
    except ValueError as error:
        raise InputFileError(f"{where} has '{word[:20]}' for a coordinate", "give a number in A") from error


def _vector(words: list[str], where: str) -> list[float]:
    """A lattice vector (A) of AMS (``VEC1 x y z``) or Gaussian (``Tv x y z``)."""
    if len(words) < 4:
        raise InputFileError(f"{where} should be a lattice vector, but is '{' '.join(words)[:60]}'", "give x y z in A")
    return [_number(word, where) for word in words[1:4]]


def _lattice(
    keys: dict[str, str], vectors: list[list[float]], where: str
) -> tuple[FloatArray | None, tuple[bool, bool, bool]]:
    """Lattice vectors ``(3, 3)`` as rows (A) and which of them repeat, from ``Lattice=`` and ``pbc=`` or the lines."""
    if "lattice" in keys:
        values = [_number(word, where) for word in re.sub(r"[\[\],]", " ", keys["lattice"]).split()]
        if len(values) != 9:
            raise InputFileError(f"{where}: Lattice has {len(values)} numbers", "nine are needed: a, b and c by x y z")
        lattice = np.array(values).reshape(3, 3)
        flags = keys.get("pbc", "T T T").strip("[]").replace(",", " ").split()
        if len(flags) != 3 or any(flag.upper() not in _FLAGS for flag in flags):
            raise InputFileError(f"{where}: pbc={keys['pbc'][:40]}", 'write e.g. pbc="T T F"')
        a, b, c = (_FLAGS[flag.upper()] for flag in flags)
    elif vectors:
        lattice = np.zeros((3, 3))
        lattice[: len(vectors[:3])] = vectors[:3]
        a, b, c = (len(vectors) > k for k in range(3))
    else:
        return None, (False, False, False)
    present = np.any(lattice != 0, axis=1)  # programs write a lattice of zeros for a molecule
    return lattice, (a and bool(present[0]), b and bool(present[1]), c and bool(present[2]))


def _charge(comment: str, where: str) -> tuple[int | None, list[str]]:
    """The charge in the comment line; None, with a warning, for contradictory values or no number."""
    stated: list[tuple[str, int]] = []
    unclear: list[str] = []
    words = _CHARGE_WORDS.findall(_KEY_VALUE.sub(" ", comment))
    for key, value in _KEY_VALUE.findall(comment) + words:
        number = _whole(value.strip("\"'[]"))
        if key.lower() in CHARGE_KEYS or (key, value) in words:
            if number is not None:
                stated.append((key, number))
            elif key.lower() == "charge":
                raise InputFileError(f"{where} states {key}={value[:20]}", "the charge must be a whole number")
            elif key.lower() != "q":
                unclear.append(f"{key}={value[:20]}, which is not a whole number")
        elif key.lower().endswith(("charge", "chrg")) and number is not None:
            unclear.append(f"{key}={value[:20]}, which is not a known key of the total charge")
    if len({number for _, number in stated}) > 1:
        listed = " and ".join(f"{key}={number}" for key, number in stated)
        return None, [f"the file states {listed}: none of them was taken as the charge"]
    warnings = [f"the file states {statement}: it was not taken as the charge" for statement in unclear]
    return (stated[0][1] if stated else None), warnings


def _charge_of_numbers(comment: str, numbers: list[int]) -> tuple[int | None, list[str]] | None:
    """Charge and multiplicity as inputs of Gaussian and ORCA have them, ``2 1``, and what to say; None for other lines.

    They are taken if the number of electrons allows them; a number with a sign alone is no charge, which is said.
    """
    line = comment.strip()
    if _SIGNED.fullmatch(line):
        return None, [f"the second line is '{line}': it was not taken as the charge; write charge={line} if it is"]
    match = _CHARGE_MULTIPLICITY.fullmatch(line)
    if match is None:
        return None
    charge, multiplicity = int(match[1]), int(match[2])
    unpaired = multiplicity - 1
    electrons = sum(numbers) - charge
    if not 0 <= unpaired <= electrons or (electrons - unpaired) % 2:
        return None, [
            f"the second line is '{line}', which cannot be charge and multiplicity of {electrons} electrons: "
            "it was not taken as the charge"
        ]
    unlike = "" if multiplicity == 1 else "; closed shells are computed, whatever the multiplicity"
    return charge, [f"the second line '{line}' was taken as charge {charge} and multiplicity {multiplicity}{unlike}"]


def _whole(word: str) -> int | None:
    """A charge in words such as ``-3``, ``2.0``, ``3-``; None if it is not a whole number."""
    sign = word[-1:] if word[:-1].isdigit() and word[-1:] in ("+", "-") else ""
    try:
        value = float(sign + word.removesuffix(sign) if sign else word)
    except ValueError:
        return None
    return int(value) if np.isfinite(value) and value == round(value) and abs(value) <= 1000 else None


def _recognise(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and lines[0].strip().isdigit() and len(lines[0].split()) == 1


FORMATS = (
    StructureFormat("xyz", "xyz and extended xyz", ("*.xyz", "*.extxyz"), parse_xyz, _recognise, largest=512 * 1024**2),
)
