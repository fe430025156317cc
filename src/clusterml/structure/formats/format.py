"""A format of structure files: its name, the names of its files, and the function that reads their text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.crystal.crystal import Crystal

Parsed: TypeAlias = "Atoms | Crystal"
"""A structure as a file holds it.

Atoms have ``info["provenance"]`` with ``title`` and ``warnings``, ``info["charge"]`` where the file states one, and a
cell with ``pbc`` where it states a lattice.
"""


@dataclass(frozen=True)
class StructureFormat:
    """A format of structure files.

    name        what ``--format`` calls it
    title       what it is, for people
    patterns    names of its files in lower case: ``*.xyz``, ``poscar*``
    parse       text and the name of its source -> the structures in it, one at a time; raises ClusterMLError
    recognise   could this text be of the format?  None: it must be named
    measured    comes from diffraction, where hydrogens may be missing
    largest     most bytes that are read
    """

    name: str
    title: str
    patterns: tuple[str, ...]
    parse: Callable[[str, str], Iterator[Parsed]]
    recognise: Callable[[str], bool] | None = None
    measured: bool = False
    largest: int = 64 * 1024**2


def provenance(title: str = "", warnings: tuple[str, ...] = ()) -> dict[str, Any]:
    """The contents of :attr:`ase.Atoms.info` that say where a structure comes from."""
    return {"title": " ".join(title.split())[:200], "warnings": list(warnings)}
