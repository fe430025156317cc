"""Parsing xyz and extended-xyz text, frame by frame, with messages that name the line.

``ase.io`` is not used here: it takes a truncated file, a charge that is no number or a free-text comment line without
complaint, or fails with an untyped error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError
from clusterml.structure.elements import atomic_number

if TYPE_CHECKING:
    from ase import Atoms

MOST_ATOMS = 50_000
"""Largest number of atoms in a frame."""
_KEY_VALUE = re.compile(r"""(?<![\w:])(\w+)\s*=\s*("[^"]*"|'[^']*'|[^\s"']+)""")


def parse_xyz(text: str, source: str) -> Iterator[Atoms]:
    """The frames of xyz ``text``; ``source`` names the file in messages.

    ``info["charge"]`` is set if the comment line says ``charge=``; ``info["provenance"]`` holds ``frame`` (from 0),
    ``title``, ``warnings`` and ``last`` (is this the last frame?).  Raises :class:`InputFileError` naming the line,
    :class:`StructureError` for a frame without atoms, :class:`UnsupportedElementError`.
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
                f"{source}: line {start + 1} says {n_atoms} atoms, but the file ends after {present}",
                "the file is truncated or the number is wrong",
            )
        end = start + 2 + n_atoms
        atoms = _frame(lines[start + 1], lines[start + 2 : end], start + 2, source)
        atoms.info["provenance"] |= {"frame": frame, "last": end >= len(lines)}
        yield atoms
        start, frame = end, frame + 1


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


def _frame(comment: str, rows: list[str], first_line: int, source: str) -> Atoms:
    from ase import Atoms

    keys = {key.lower(): value.strip("\"'") for key, value in _KEY_VALUE.findall(comment)}
    species, position = _columns(keys.get("properties"), first_line, source)
    numbers, positions = [], []
    for offset, row in enumerate(rows):
        number, xyz = _atom(row.split(), species, position, f"{source}: line {first_line + 1 + offset}")
        numbers.append(number)
        positions.append(xyz)
    atoms = Atoms(numbers=numbers, positions=np.array(positions, dtype=np.float64))
    warnings = ["the file states a lattice; it was ignored"] if "lattice" in keys else []
    title = keys.get("name") or (comment.strip() if "properties" not in keys else "")
    atoms.info["provenance"] = {"title": title[:200], **_provenance(keys.get("provenance", ""), warnings)}
    if "charge" in keys:
        atoms.info["charge"] = _charge(keys["charge"], f"{source}: line {first_line}")
    return atoms


def _provenance(text: str, warnings: list[str]) -> dict[str, Any]:
    """``warnings`` and what :func:`clusterml.structure.write.write_extxyz` kept of a structure's history, if it did."""
    try:
        kept = json.loads(text.removeprefix("_JSON "))
    except (ValueError, RecursionError):  # another program's word of the same name
        kept = None
    if not isinstance(kept, dict):
        return {"warnings": warnings}
    before = kept.get("warnings")
    said = [word for word in before if isinstance(word, str)] if isinstance(before, list) else []
    return {**kept, "warnings": said + warnings}


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
    number = atomic_number(words[species])
    if number is None:
        raise UnsupportedElementError(f"{where} has the unknown element '{words[species][:20]}'", "correct the symbol")
    return number, [_number(word, where) for word in words[position : position + 3]]


def _number(word: str, where: str) -> float:
    try:
        return float(word.replace("D", "E").replace("d", "e"))
    except ValueError as error:
        raise InputFileError(f"{where} has '{word[:20]}' for a coordinate", "give a number in A") from error


def _charge(word: str, where: str) -> int:
    value: Any
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not (np.isfinite(value) and value == round(value) and abs(value) <= 1000):
        raise InputFileError(f"{where} states charge={word[:20]}", "the charge must be a whole number")
    return int(value)
