"""Reading a structure from a file: one ``ase.Atoms`` per cluster, checked, with where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Unpack

from clusterml.errors import ClusterMLError, OptionError, StructureError
from clusterml.structure.check import check_geometry, check_one_molecule
from clusterml.structure.formats.registry import choose_format, recognised
from clusterml.structure.options import DEFAULT_READING, ReadKeywords, ReadOptions
from clusterml.structure.source import Content, Source, content_of

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.crystal.molecules import FilledCell
    from clusterml.structure.formats.format import Format, Parsed


def read(source: Source, *, options: ReadOptions = DEFAULT_READING, **choices: Unpack[ReadKeywords]) -> Atoms:
    """The structure in a file, bytes or an open stream as checked Atoms without periodicity (A).

    ``source``: a path (``-`` is standard input), the content as bytes, or a stream; the formats are those of
    :data:`clusterml.structure.formats.registry.REGISTRY`.  ``options``: how it is read; ``choices`` are fields of
    :class:`~clusterml.structure.options.ReadOptions` and go before them: ``read("a.cif", cluster=2)``.  From a crystal
    (a CIF, or anything with a lattice), one whole cluster is cut out; of a file with several structures, the first is
    taken with a warning unless ``frame`` names one.

    ``info``: ``name`` (the file's stem), ``source`` (the path as given), ``charge`` (if the file states one, or the
    counter-ions of a crystal are complete and leave no other), ``provenance`` (plain values that JSON can hold;
    ``warnings`` is a list of sentences).

    Raises :class:`~clusterml.errors.InputFileError` for a file that is missing or not what it should be,
    :class:`~clusterml.errors.StructureError` for one that holds no usable geometry (several molecules:
    :class:`~clusterml.errors.SeveralMoleculesError`), :class:`~clusterml.errors.UnsupportedElementError`,
    and :class:`~clusterml.errors.OptionError` for a cluster, frame or format that is not there.
    """
    return first_entry(source, replace(options, **choices)).atoms


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
    """
    chosen = replace(options, **choices)
    return (entry.atoms for entry in _entries(source, chosen, check_molecules))


@dataclass(frozen=True)
class Entry:
    """A structure of a file: its ``atoms``, the ``cell`` they were cut from (None for a molecule), and whether it is
    the ``last``."""

    atoms: Atoms
    cell: FilledCell | None
    last: bool


def first_entry(source: Source, options: ReadOptions, check_molecules: bool = True) -> Entry:
    """The structure that ``options`` name, with the cell it comes from; raises as :func:`read` does.

    ``check_molecules``: see :func:`read_all`.
    """
    entry = next(_entries(source, options, check_molecules))
    if options.frame is None and not entry.last:
        content = content_of(source)
        entry.atoms.info["provenance"]["warnings"].append("the file holds several structures; took the first")
        entry.atoms.info["name"] = options.name(content.stem) if entry.cell else content.stem
    return entry


def _entries(source: Source, options: ReadOptions, check_molecules: bool) -> Iterator[Entry]:
    """The structures of a file, or the one that ``options.frame`` names."""
    content = content_of(source)
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


def _structures(content: Content, options: ReadOptions, check_molecules: bool) -> Iterator[Entry]:
    kind = choose_format(content.where, content.file_name, options.format)
    text = content.text(kind.largest if kind else LARGEST_STREAM)
    kind = kind or recognised(text, content.where)
    for number, (parsed, last) in enumerate(_with_last(kind.parse(text, content.where)), start=1):
        base = content.stem if number == 1 and last else f"{content.stem}_{number}"
        atoms, cell = _cluster(parsed, kind, content.where, options)
        provenance = {"file": content.file_name or content.where, "format": kind.name, **atoms.info["provenance"]}
        atoms.info |= {"name": options.name(base) if cell else base, "source": content.where, "provenance": provenance}
        check_geometry(atoms)
        if cell is None:
            if check_molecules and not options.allow_several:
                check_one_molecule(atoms)
            atoms = _completed(atoms) if options.hydrogens else atoms
        elif options.allow_several:
            provenance["warnings"].append(
                "--allow-several changes nothing: the structure has a lattice, and one cluster is cut out of it"
            )
        yield Entry(atoms, cell, last)


LARGEST_STREAM = 64 * 1024**2
"""Most bytes that are read of a stream whose format is not named."""


def _with_last(structures: Iterator[Parsed]) -> Iterator[tuple[Parsed, bool]]:
    """Each structure, and whether it is the last; a bad one does not cost the one before it."""
    current = next(structures, None)
    while current is not None:
        try:
            following = next(structures, None)
        except ClusterMLError:
            yield current, False
            raise
        yield current, following is None
        current = following


def _cluster(parsed: Parsed, kind: Format, where: str, options: ReadOptions) -> tuple[Atoms, FilledCell | None]:
    """A molecule as it is, or the cluster that ``options`` name of a crystal, with the crystal's cell."""
    from ase import Atoms

    if isinstance(parsed, Atoms) and not parsed.pbc.any():
        if len(parsed) == 0:
            raise StructureError(f"{where}: there are no atoms", "check that the file holds a structure")
        if options.disorder in ("A", "B"):
            raise OptionError(
                f"{where}: there is no disorder of which {options.disorder} could be taken",
                "the structure has no lattice: leave --disorder out",
            )
        if options.cluster != 1:
            raise OptionError(
                f"{where}: there is no cluster {options.cluster}",
                "the structure has no lattice: one cluster is all it holds; of several structures, --frame chooses",
            )
        parsed.set_cell(None)
        return parsed, None
    from clusterml.structure.crystal.cell import cut
    from clusterml.structure.crystal.molecules import fill_cell
    from clusterml.structure.crystal.periodic import periodic_crystal

    crystal = periodic_crystal(parsed, where) if isinstance(parsed, Atoms) else parsed
    filled = fill_cell(crystal, options.disorder, where)
    hydrogens = kind.measured if options.hydrogens is None else options.hydrogens
    atoms = cut(filled, cluster=options.cluster, hydrogens=hydrogens, source=where)
    if isinstance(parsed, Atoms):
        _keep(parsed, atoms, alone=len(filled.molecules) == 1)
    return atoms, filled


def _keep(parsed: Atoms, atoms: Atoms, *, alone: bool) -> None:
    """Give the cluster what the file says besides its geometry; a stated charge is that of all in the cell."""
    said = {key: value for key, value in parsed.info["provenance"].items() if key != "warnings"}
    atoms.info["provenance"] = {**said, **atoms.info["provenance"]}
    stated = parsed.info.get("charge")
    if stated is not None and alone:
        atoms.info["charge"] = stated
    elif stated is not None:
        atoms.info["provenance"]["warnings"].append(
            f"the file states the charge {stated:+d} of the whole cell, which holds more than the cluster: not taken"
        )


def _completed(atoms: Atoms) -> Atoms:
    from clusterml.structure.crystal.hydrogens import add_hydrogens

    grown, added = add_hydrogens(atoms)
    grown.info["provenance"]["hydrogens_added"] = added.groups
    grown.info["provenance"]["warnings"] += added.sentences()
    return grown
