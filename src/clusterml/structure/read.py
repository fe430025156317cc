"""Reading a structure from a file: one ``ase.Atoms`` per cluster, checked, with where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from clusterml.errors import InputFileError, OptionError
from clusterml.structure.check import check_geometry, check_one_molecule
from clusterml.structure.options import DEFAULT_READING, ReadKeywords, ReadOptions
from clusterml.structure.xyz import parse_xyz

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.crystal import Disorder
    from clusterml.structure.crystal.molecules import FilledCell

FORMATS = (".xyz", ".extxyz", ".cif")
"""The file formats that can be read, by their ending."""
LARGEST_FILE = 512 * 1024**2
"""Largest file (bytes) that is opened."""


def read(path: str | Path, *, options: ReadOptions = DEFAULT_READING, **choices: Unpack[ReadKeywords]) -> Atoms:
    """The structure in an ``.xyz``, ``.extxyz`` or ``.cif`` file as checked Atoms without periodicity (A).

    ``options``: how it is read; ``choices`` are fields of :class:`~clusterml.structure.options.ReadOptions` and go
    before them: ``read("a.cif", cluster=2)``.  From a CIF, one whole cluster is cut out of the crystal; of a file with
    several frames, the first is taken with a warning unless ``frame`` names one.

    ``info``: ``name`` (the file's stem), ``source`` (the path as given), ``charge`` (if an xyz file states one, or the
    counter-ions of a CIF are complete and leave no other), ``provenance`` (plain values that JSON can hold;
    ``warnings`` is a list of sentences).

    Raises :class:`~clusterml.errors.InputFileError` for a file that is missing or not what it should be,
    :class:`~clusterml.errors.StructureError` for one that holds no usable geometry (several molecules:
    :class:`~clusterml.errors.SeveralMoleculesError`), :class:`~clusterml.errors.UnsupportedElementError`,
    and :class:`~clusterml.errors.OptionError` for a cluster or frame that is not there.
    """
    chosen = replace(options, **choices)
    content = next(_contents(Path(path), chosen))
    if chosen.frame is None and not content.last:
        content.atoms.info["provenance"]["warnings"].append("the file holds several frames; took the first")
        content.atoms.info["name"] = Path(path).stem
    return content.atoms


def read_all(
    path: str | Path, *, options: ReadOptions = DEFAULT_READING, **choices: Unpack[ReadKeywords]
) -> Iterator[Atoms]:
    """Every frame of a file, one at a time, as :func:`read` gives it (a CIF is one frame).

    The frames of a file with several are named ``STEM_1``, ``STEM_2``, ...
    """
    chosen = replace(options, **choices)
    return (content.atoms for content in _contents(Path(path), chosen))


def read_cell(path: str | Path, *, disorder: Disorder = "major") -> FilledCell:
    """Everything in the cell of a CIF: atoms, bonds, molecules and what was dropped; raises as :func:`read` does."""
    from clusterml.structure.crystal.cif import parse_cif
    from clusterml.structure.crystal.molecules import fill_cell

    return fill_cell(parse_cif(_text(Path(path)), str(path)), disorder, str(path))


def cluster_of(filled: FilledCell, path: str | Path, *, options: ReadOptions = DEFAULT_READING) -> Atoms:
    """The cluster of the cell that :func:`read_cell` gave that ``options`` name, as :func:`read` gives it."""
    from clusterml.structure.crystal.cell import cut

    atoms = cut(filled, cluster=options.cluster, hydrogens=options.hydrogens is not False, source=str(path))
    return _finish(atoms, Path(path), options.name(Path(path).stem), "cif")


@dataclass(frozen=True)
class _Content:
    """A structure of a file, and whether it is the last."""

    atoms: Atoms
    last: bool


def file_format(path: Path, options: ReadOptions) -> str:
    """Ending that stands for the format of ``path``; raises :class:`InputFileError` or :class:`OptionError`."""
    if options.format is not None:
        if f".{options.format}" not in FORMATS:
            raise OptionError(f"format is '{options.format}'", f"choose {', '.join(x[1:] for x in FORMATS)}")
        return f".{options.format}"
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InputFileError(f"{path}: files ending in '{path.suffix}' cannot be read", f"give {', '.join(FORMATS)}")
    return ending


def _contents(path: Path, options: ReadOptions) -> Iterator[_Content]:
    """The structures of a file, or the one that ``options.frame`` names."""
    everything = _structures(path, options)
    if options.frame is None:
        yield from everything
        return
    content = next(islice(everything, options.frame - 1, None), None)
    if content is None:
        raise OptionError(f"{path}: there is no frame {options.frame}", "the file has fewer; they are counted from 1")
    yield content


def _structures(path: Path, options: ReadOptions) -> Iterator[_Content]:
    ending = file_format(path, options)
    if ending == ".cif":
        filled = read_cell(path, disorder=options.disorder)
        yield _Content(cluster_of(filled, path, options=options), True)
        return
    for number, atoms in enumerate(parse_xyz(_text(path), str(path)), start=1):
        last = bool(atoms.info["provenance"].pop("last"))
        single = number == 1 and last
        _finish(atoms, path, path.stem if single else f"{path.stem}_{number}", ending[1:])
        if not options.allow_several:
            check_one_molecule(atoms)
        yield _Content(_completed(atoms) if options.hydrogens else atoms, last)


def _finish(atoms: Atoms, path: Path, name: str, kind: str) -> Atoms:
    provenance = {"file": path.name, "format": kind, **atoms.info.get("provenance", {})}
    provenance.setdefault("warnings", [])
    atoms.info.update(name=name, source=str(path), provenance=provenance)
    check_geometry(atoms)
    return atoms


def _completed(atoms: Atoms) -> Atoms:
    from clusterml.structure.crystal.hydrogens import add_hydrogens

    grown, added = add_hydrogens(atoms)
    grown.info["provenance"]["hydrogens_added"] = added.groups
    grown.info["provenance"]["warnings"] += added.sentences()
    return grown


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise InputFileError(f"{path}: is a folder", "give a file")
        if path.stat().st_size > LARGEST_FILE:
            raise InputFileError(f"{path}: is larger than {LARGEST_FILE // 1024**2} MiB", "split it into smaller files")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputFileError(f"{path}: there is no such file", "check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise InputFileError(f"{path}: cannot be read ({error})", "check the path and its permissions") from error
    if not data.strip():
        raise InputFileError(f"{path}: the file is empty", "give a file that holds a structure")
    if b"\0" in data:
        raise InputFileError(f"{path}: the file is binary, not text", f"give {', '.join(FORMATS)} as text")
    return data.decode("utf-8-sig", errors="replace")  # old CIFs have Latin-1 author names
