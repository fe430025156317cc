"""Reading structures from a path, bytes or a stream: one checked ``ase.Atoms`` per cluster, with its origin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, Unpack

from clusterml.errors import ClusterMLError, InputFileError, OptionError, StructureError, check_kind
from clusterml.io.files import check_regular, read_bounded
from clusterml.io.shipped import locate, with_shipped_names
from clusterml.structure.check import check_geometry, check_one_molecule
from clusterml.structure.formats.format import choose_format, recognise_format
from clusterml.structure.options import DEFAULT_READING, ReadKeywords, ReadOptions

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.crystal.molecules import FilledCell
    from clusterml.structure.formats.format import Parsed, StructureFormat


Source: TypeAlias = str | Path | bytes | IO[bytes] | IO[str]
"""A path (``-``: standard input, ``shipped:NAME``: the program's), the content itself as bytes, or an open stream."""
STDIN = "-"
"""The path that stands for standard input."""


@dataclass(frozen=True)
class Content:
    """What is read: ``where`` names it in messages, ``file_name`` is that of a file (None: content must tell)."""

    source: Source
    where: str
    file_name: str | None

    @property
    def stem(self) -> str:
        """The name of the structure: the file's name without its suffix."""
        return Path(self.file_name).stem if self.file_name else self.where.replace(" ", "_")

    def text(self, most: int) -> str:
        """The text, of at most ``most`` bytes.

        Raises :class:`InputFileError` for what is missing, no regular file, larger, empty or binary.
        """
        data = self._data(most)
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        if b"\0" in data and not wide:
            raise InputFileError(f"{self.where}: the file is binary, not text", "give a structure file that is text")
        text = data.decode("utf-16" if wide else "utf-8-sig", errors="replace")  # old CIFs have Latin-1 author names
        if not text.strip():
            raise InputFileError(f"{self.where}: the file is empty", "give a file that holds a structure")
        return text

    def _data(self, most: int) -> bytes:
        source = self.source
        if isinstance(source, bytes):
            if len(source) > most:
                raise InputFileError(f"{self.where}: is larger than {most} bytes", "split it")
            return source
        if isinstance(source, str | Path):
            if self.file_name is not None:
                return read_bounded(source, most)
            source = sys.stdin.buffer
        return _drain(getattr(source, "buffer", source), most, self.where)  # the bytes below a stream of text


def open_content(source: Source) -> Content:
    """The content of ``source``, checked as far as possible without reading: the file exists and is a regular one.

    Raises :class:`InputFileError`, and :class:`OptionError` for what is none.
    """
    if isinstance(source, bytes):
        return Content(source, "data", None)
    if isinstance(source, str | Path):
        if str(source) == STDIN:
            return Content(source, "stdin", None)
        path = locate(source)
        check_regular(path)
        return Content(path, with_shipped_names(str(source)), path.name)
    if not hasattr(source, "read"):
        check_kind(source, (bytes, str, Path), "a path, bytes or a stream", "give one file; read_all gives its frames")
    name = getattr(source, "name", None)
    if isinstance(name, str) and not name.startswith("<"):
        return Content(source, name, Path(name).name)
    return Content(source, "stream", None)


def _drain(stream: IO[Any], most: int, where: str) -> bytes:
    """What is left in ``stream``, at most ``most`` bytes; it may arrive in pieces, as from a network."""
    parts: list[bytes] = []
    room = most + 1
    while room > 0:
        piece = stream.read(room)
        part = piece.encode() if isinstance(piece, str) else bytes(piece or b"")
        if not part:
            break
        parts.append(part)
        room -= len(part)
    if room <= 0:
        raise InputFileError(f"{where}: is larger than {most // 1024**2} MiB", "is it the right file?")
    return b"".join(parts)


def read(source: Source, *, options: ReadOptions = DEFAULT_READING, **choices: Unpack[ReadKeywords]) -> Atoms:
    """The structure in a file, bytes or an open stream as checked Atoms without periodicity (A).

    ``source``: a path (``-`` is standard input), the content as bytes, or a stream; the formats are those of
    :data:`clusterml.structure.formats.format.REGISTRY`.  ``options``: how it is read; ``choices`` are fields of
    :class:`~clusterml.structure.options.ReadOptions` and go before them: ``read("a.cif", cluster=2)``.  From a crystal
    (a CIF, or anything with a lattice), one whole cluster is cut out, and without a lattice the cluster is taken alone
    if all that is beside it are known counter-ions and solvents; of a file with several structures, the first is
    taken with a warning unless ``frame`` names one.

    ``info``: ``name`` (the file's stem), ``source`` (the path as given), ``charge`` (if the file states one, or the
    counter-ions of a crystal are complete and leave no other), ``provenance`` (plain values that JSON can hold;
    ``warnings`` is a list of sentences).

    Raises :class:`~clusterml.errors.InputFileError` for a file that is missing or not what it should be,
    :class:`~clusterml.errors.StructureError` for one that holds no usable geometry (several molecules:
    :class:`~clusterml.errors.SeveralMoleculesError`), :class:`~clusterml.errors.UnsupportedElementError`,
    and :class:`~clusterml.errors.OptionError` for a cluster, frame or format that is not there.

    Examples:
        >>> import clusterml as cm
        >>> atoms = cm.read("shipped:datasets/structures/ag25_sch3.xyz")
        >>> atoms.info["name"], len(atoms), atoms.info["charge"]
        ('ag25_sch3', 115, -1)
    """
    return read_first(source, replace(options, **choices)).atoms


def read_all(
    source: Source,
    *,
    options: ReadOptions = DEFAULT_READING,
    check_molecules: bool = True,
    **choices: Unpack[ReadKeywords],
) -> Iterator[Atoms]:
    """Every structure of a file, one at a time, as :func:`read` gives it.

    The structures of a file with several are named ``STEM_1``, ``STEM_2``, ...  Without ``check_molecules`` several
    molecules are accepted, whatever the options say: whoever computes looks for them.

    Examples:
        >>> import clusterml as cm
        >>> text = b"2\\ncharge=0\\nAg 0 0 0\\nCl 0 0 2.3\\n"
        >>> [f"{atoms.get_distance(0, 1):.1f}" for atoms in cm.read_all(text + text.replace(b"2.3", b"2.4"))]
        ['2.3', '2.4']
    """
    chosen = replace(options, **choices)
    return (entry.atoms for entry in _entries(source, chosen, check_molecules))


@dataclass(frozen=True)
class StructureEntry:
    """A structure of a file: its ``atoms``, the ``cell`` they were cut from (None for a molecule), and whether it is
    the ``last``."""

    atoms: Atoms
    cell: FilledCell | None
    last: bool


def read_first(source: Source, options: ReadOptions, check_molecules: bool = True) -> StructureEntry:
    """The structure that ``options`` name, with the cell it comes from; raises as :func:`read` does.

    ``check_molecules``: see :func:`read_all`.
    """
    entry = next(_entries(source, options, check_molecules))
    if options.frame is None and not entry.last:
        content = open_content(source)
        entry.atoms.info["provenance"]["warnings"].append("the file holds several structures; took the first")
        entry.atoms.info["name"] = options.name(content.stem) if entry.cell else content.stem
    return entry


def _entries(source: Source, options: ReadOptions, check_molecules: bool) -> Iterator[StructureEntry]:
    """The structures of a file, or the one that ``options.frame`` names."""
    content = open_content(source)
    every = _structures(content, options, check_molecules)
    if options.frame is None:
        yield from every
        return
    entry = next(islice(every, options.frame - 1, None), None)
    if entry is None:
        raise OptionError(
            f"{content.where}: there is no frame {options.frame}", "the file has fewer; they are counted from 1"
        )
    yield entry


def _structures(content: Content, options: ReadOptions, check_molecules: bool) -> Iterator[StructureEntry]:
    kind = choose_format(content.where, content.file_name, options.format)
    text = content.text(kind.largest if kind else LARGEST_STREAM)
    kind = kind or recognise_format(text, content.where)
    number = 0
    for number, (parsed, last) in enumerate(_with_last(kind.parse(text, content.where)), start=1):
        base = content.stem if number == 1 and last else f"{content.stem}_{number}"
        atoms, cell = _cluster(parsed, kind, content.where, options)
        provenance = {"file": content.file_name or content.where, "format": kind.name, **atoms.info["provenance"]}
        atoms.info |= {"name": options.name(base) if cell else base, "source": content.where, "provenance": provenance}
        check_geometry(atoms)
        if cell is None:
            if not options.allow_several and kind.name != "molden":  # orbitals are those of all atoms
                from clusterml.structure.crystal.beside import take_cluster

                atoms = take_cluster(atoms)
            if check_molecules and not options.allow_several:
                check_one_molecule(atoms)
            atoms = _complete_info(atoms) if options.hydrogens else atoms
        elif options.allow_several:
            provenance["warnings"].append(
                "--allow-several changes nothing: the structure has a lattice, and one cluster is cut out of it"
            )
        yield StructureEntry(atoms, cell, last)
    if number == 0:
        raise StructureError(
            f"{content.where}: the {kind.name} file holds no structure",
            "give a file that holds one, or name its format",
        )


LARGEST_STREAM = 64 * 1024**2
"""Most bytes that are read of a stream whose format is not named."""


def _with_last(structures: Iterator[Parsed]) -> Iterator[tuple[Parsed, bool]]:
    """Each structure, and whether it is the last; a bad one does not discard the one before it."""
    current = next(structures, None)
    while current is not None:
        try:
            following = next(structures, None)
        except ClusterMLError:
            yield current, False
            raise
        yield current, following is None
        current = following


def _cluster(
    parsed: Parsed, kind: StructureFormat, where: str, options: ReadOptions
) -> tuple[Atoms, FilledCell | None]:
    """A molecule as it is, or the cluster that ``options`` name of a crystal, with the crystal's cell."""
    from ase import Atoms

    if isinstance(parsed, Atoms) and len(parsed) == 0:
        raise StructureError(f"{where}: there are no atoms", "check that the file holds a structure")
    if isinstance(parsed, Atoms) and not parsed.pbc.any():
        if options.disorder in ("A", "B"):
            raise OptionError(
                f"{where}: there is no disorder of which {options.disorder} could be taken",
                "the structure has no lattice: leave --disorder out",
            )
        if options.cluster != 1:
            raise OptionError(
                f"{where}: there is no cluster {options.cluster}",
                "the structure has no lattice: it holds one cluster; --frame chooses among several structures",
            )
        parsed.set_cell(None)
        return parsed, None
    from clusterml.structure.crystal.cell import cut, periodic_crystal
    from clusterml.structure.crystal.molecules import fill_cell
    from clusterml.structure.crystal.surroundings import note_handedness

    crystal = periodic_crystal(parsed, where) if isinstance(parsed, Atoms) else parsed
    filled = fill_cell(crystal, options.disorder, where)
    hydrogens = kind.measured if options.hydrogens is None else options.hydrogens
    atoms = cut(filled, cluster=options.cluster, hydrogens=hydrogens, source=where)
    if isinstance(parsed, Atoms):
        _carry_over(parsed, atoms, alone=len(filled.molecules) == 1)
    note_handedness(atoms, filled, options.cluster, where)
    return atoms, filled


def _carry_over(parsed: Atoms, atoms: Atoms, *, alone: bool) -> None:
    """Carry over what the file says besides the geometry; a stated charge is that of the whole cell."""
    history = {key: value for key, value in parsed.info["provenance"].items() if key != "warnings"}
    atoms.info["provenance"] = {**history, **atoms.info["provenance"]}
    stated = parsed.info.get("charge")
    if stated is not None and alone:
        atoms.info["charge"] = stated
    elif stated is not None:
        atoms.info["provenance"]["warnings"].append(
            f"the file states the charge {stated:+d} of the whole cell, which holds more than the cluster: not taken"
        )


def _complete_info(atoms: Atoms) -> Atoms:
    from clusterml.structure.crystal.hydrogens import add_hydrogens

    grown, added = add_hydrogens(atoms)
    grown.info["provenance"]["hydrogens_added"] = added.groups
    grown.info["provenance"]["warnings"] += added.sentences()
    return grown
