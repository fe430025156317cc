"""Writing structures as extended xyz, so that reading the file restores what was known of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OutputError
from clusterml.io.files import write_text
from clusterml.structure.check import check_geometry, stated_charge

if TYPE_CHECKING:
    from ase import Atoms


_OF_THE_READER = ("file", "format", "frame", "last", "title")
"""Keys of ``provenance`` that the reader sets anew for every file."""
_SHORT_ESCAPE = re.compile(r'\\(["\\bfnrt])')
_MEANING = {'"': '"', "\\": "\\", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def write_extxyz(atoms: Atoms, path: str | Path) -> Path:
    """Write ``atoms`` (positions in A) to ``path`` as extended xyz, atomically, and return the path.

    ``info["charge"]``, ``info["name"]`` and ``info["provenance"]`` go into the comment line: read back, the charge and
    the provenance (with its ``warnings``) are the same, and the name is ``provenance["title"]`` (a structure is called
    after its file).  Coordinates have 8 decimals.  ASE reads the file too.

    Raises :class:`~clusterml.errors.StructureError` for a geometry that cannot be read back (no atoms, coordinates
    that are not finite, coincident atoms) and :class:`~clusterml.errors.OutputError` for a name that does not end in
    ``.xyz`` or ``.extxyz``, provenance that JSON cannot hold, or a file that cannot be written.

    Examples:
        >>> import clusterml as cm
        >>> path = cm.write_extxyz(cm.build("ag3", thiolate="SH"), "ag3.xyz")
        >>> cm.read("ag3.xyz").info["charge"]
        0
    """
    check_geometry(atoms)
    return write_text(check_name(path), extxyz(atoms))


def check_name(path: str | Path) -> Path:
    """``path``, or :class:`~clusterml.errors.OutputError` if its ending does not say that it is an xyz file.

    For commands that compute long before they write.
    """
    path = Path(path)
    if path.suffix.lower() not in (".xyz", ".extxyz"):
        raise OutputError(f"{path}: structures are written as extended xyz", "give a name that ends in .xyz or .extxyz")
    return path


def extxyz(atoms: Atoms) -> str:
    """The text that :func:`write_extxyz` writes; raises :class:`~clusterml.errors.OutputError`."""
    rows = "".join(
        f"{symbol:2s} {x:16.8f} {y:16.8f} {z:16.8f}\n"
        for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions + 0.0, strict=True)
    )
    return f"{len(atoms)}\n{_comment(atoms)}\n{rows}"


def _comment(atoms: Atoms) -> str:
    words = ["Properties=species:S:1:pos:R:3"]
    charge = stated_charge(atoms)
    if charge is not None:
        words.append(f"charge={charge}")
    if atoms.info.get("name"):
        words.append(f'name="{_plain(str(atoms.info["name"]))}"')
    provenance = {k: v for k, v in atoms.info.get("provenance", {}).items() if k not in _OF_THE_READER}
    if provenance:
        words.append(f"provenance='_JSON {_json(provenance)}'")
    return " ".join(words)


def _plain(name: str) -> str:
    """A name that fits between double quotes on one line."""
    return " ".join(name.replace('"', "").split())


def _json(provenance: dict[str, Any]) -> str:
    """One line of JSON without the single quote that ends it; ASE knows JSON by the word before it.

    Escapes are written as ``\\uXXXX``: ASE, which drops backslashes, then still finds valid JSON.
    """
    try:
        text = json.dumps(provenance, ensure_ascii=False, allow_nan=False, default=_plain_value)
    except (TypeError, ValueError) as error:
        raise OutputError(f"provenance cannot be written as JSON: {error}", "store plain values only") from error
    text = _SHORT_ESCAPE.sub(lambda escape: f"\\u{ord(_MEANING[escape[1]]):04x}", text)
    return text.replace("'", "\\u0027")


def _plain_value(value: object) -> object:
    """Convert numbers and arrays of numpy to plain ones."""
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a plain value")


def write_frames(frames: Sequence[Atoms], path: str | Path) -> Path:
    """Write ``frames`` to ``path``, atomically, each as :func:`clusterml.structure.write.write_extxyz` would.

    ``clusterml.read_all`` gives them back one by one.  Raises :class:`OutputError` and :class:`StructureError`.
    """
    path = check_name(path)
    if not frames:
        raise OutputError(f"{path}: there is no structure to write", "give at least one")
    for atoms in frames:
        check_geometry(atoms)
    return write_text(path, "".join(extxyz(atoms) for atoms in frames))
