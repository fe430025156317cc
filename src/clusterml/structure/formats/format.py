"""The definition of a structure format, the formats there are, and how the format of a file is recognised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

from clusterml.config.registry import Registry
from clusterml.config.usercode import Guard, guarded
from clusterml.errors import InputFileError

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


MOST_ATOMS = 50_000
"""Largest number of atoms in a structure that is read."""
_HEAD = 20_000  # characters that are looked at to recognise a format


def _guard_format(kind: StructureFormat, origin: str) -> StructureFormat:
    """A format of the package ``origin``, whose failures become typed errors that name it and the file."""
    title = f"{kind.name} ({origin})"

    def parse(text: str, source: str) -> Iterator[Parsed]:
        with Guard(f"{source}: {title}", typed=True):
            for parsed in kind.parse(text, source):
                yield _complete(parsed)

    return replace(kind, parse=parse, recognise=kind.recognise and guarded(kind.recognise, title))


def _complete(parsed: Parsed) -> Parsed:
    """Atoms with their provenance, which a format of another package may leave out."""
    from ase import Atoms

    from clusterml.structure.crystal.crystal import Crystal

    if isinstance(parsed, Atoms):
        parsed.info["provenance"] = provenance() | parsed.info.get("provenance", {})
    elif not isinstance(parsed, Crystal):
        raise TypeError(f"gives {type(parsed).__name__} instead of ase.Atoms or Crystal")
    return parsed


REGISTRY: Registry[StructureFormat] = Registry(
    "structure formats",
    StructureFormat,
    "clusterml.structure.formats",
    attribute="FORMATS",
    claims=lambda kind: kind.patterns,
    adopt=_guard_format,
)
"""Every format, by name."""


def readable() -> str:
    """The formats and the names of their files, for messages."""
    return ", ".join(f"{kind.name} ({', '.join(kind.patterns)})" for kind in REGISTRY.all() if kind.patterns)


def format_of_name(name: str) -> StructureFormat | None:
    """The format that a file's name indicates; suffixes count before prefixes (``poscar_1.xyz`` is xyz)."""
    lower = name.lower()
    ranked = [
        (pattern.endswith("*"), -len(pattern), kind.name, kind)
        for kind in REGISTRY.all()
        for pattern in kind.patterns
        if fnmatchcase(lower, pattern)
    ]
    return min(ranked)[3] if ranked else None


def choose_format(where: str, file_name: str | None, name: str | None) -> StructureFormat | None:
    """The format ``name``, or that of the file's name; None for a stream, whose content must tell.

    Raises :class:`InputFileError` for a file of a type that cannot be read, :class:`OptionError` for an unknown format.
    """
    if name is not None:
        return REGISTRY.named(name.lower(), "format")
    if file_name is None:
        return None
    kind = format_of_name(file_name)
    if kind is None:
        ending = file_name[file_name.rindex(".") :] if "." in file_name[1:] else ""
        problem = f"files of type '{ending}' cannot be read" if ending else "the name does not say what file it is"
        raise InputFileError(f"{where}: {problem}", f"can be read: {readable()}; name another file's with --format")
    return kind


def recognise_format(text: str, where: str) -> StructureFormat:
    """The format that ``text`` looks like; raises :class:`InputFileError` where it looks like none, or like several."""
    head = text[:_HEAD]
    likely = [kind for kind in REGISTRY.all() if kind.recognise is not None and kind.recognise(head)]
    if len(likely) == 1:
        return likely[0]
    problem = f"may be {' or '.join(kind.name for kind in likely)}" if likely else "is in no format that is recognised"
    names = ", ".join(kind.name for kind in likely or REGISTRY.all())
    raise InputFileError(f"{where}: the content {problem}", f"name its format with --format: {names}")
