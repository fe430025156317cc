"""Reading a structure from a file: one ``ase.Atoms`` per cluster, checked, with where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from clusterml.errors import InputFileError, OptionError
from clusterml.structure.check import check_geometry, check_one_molecule
from clusterml.structure.xyz import parse_xyz

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.crystal import Disorder
    from clusterml.structure.crystal.molecules import FilledCell

FORMATS = (".xyz", ".extxyz", ".cif")
"""The file formats that can be read, by their ending."""
LARGEST_FILE = 512 * 1024**2
"""Largest file (bytes) that is opened."""


def read(
    path: str | Path,
    *,
    cluster: int = 1,
    index: int = 0,
    allow_several: bool = False,
    disorder: Disorder = "major",
    hydrogens: bool | None = None,
) -> Atoms:
    """The structure in an ``.xyz``, ``.extxyz`` or ``.cif`` file as checked Atoms without periodicity (A).

    From a CIF, whole cluster number ``cluster`` (from 1) is cut out of the crystal; ``disorder`` says which alternative
    of a disordered one is kept (``major``, ``A``, ``B``; ``error`` refuses); from an xyz file with several
    frames, number ``index`` (from 0) is taken, with a warning if that is the first of several.  ``allow_several``
    accepts separate molecules in an xyz file.  ``hydrogens``: add those that carbon atoms lack; None does so for a CIF,
    where X-rays may have missed them, and not for xyz.

    ``info``: ``name`` (the file's stem), ``source`` (the path as given), ``charge`` (if an xyz file states one, or the
    counter-ions of a CIF are complete and leave no other), ``provenance`` (plain values that JSON can hold;
    ``warnings`` is a list of sentences).

    Raises :class:`~clusterml.errors.InputFileError` for a file that is missing or not what it should be,
    :class:`~clusterml.errors.StructureError` for one that holds no usable geometry (several molecules:
    :class:`~clusterml.errors.SeveralMoleculesError`), :class:`~clusterml.errors.UnsupportedElementError`,
    and :class:`~clusterml.errors.OptionError` for a cluster or frame that is not there.
    """
    if index < 0:
        raise OptionError(f"frame index is {index}", "frames are counted from 0")
    options = _Options(cluster, allow_several, disorder, hydrogens)
    frame = next(islice(_frames(Path(path), options), index, None), None)
    if frame is None:
        raise OptionError(f"{path}: there is no frame {index}", "the file has fewer frames; they are counted from 0")
    atoms, last = frame
    if index == 0 and not last:
        atoms.info["provenance"]["warnings"].append("the file holds several frames; took the first")
        atoms.info["name"] = Path(path).stem
    return atoms


def read_all(
    path: str | Path,
    *,
    cluster: int = 1,
    allow_several: bool = False,
    disorder: Disorder = "major",
    hydrogens: bool | None = None,
) -> Iterator[Atoms]:
    """Every frame of a file, one at a time, as :func:`read` gives it (a CIF is one frame).

    The frames of a file with several are named ``STEM_1``, ``STEM_2``, ...
    """
    options = _Options(cluster, allow_several, disorder, hydrogens)
    return (atoms for atoms, _ in _frames(Path(path), options))


def read_cell(path: str | Path, *, disorder: Disorder = "major") -> FilledCell:
    """Everything in the cell of a CIF: atoms, bonds, molecules and what was dropped; raises as :func:`read` does."""
    from clusterml.structure.crystal.cif import parse_cif
    from clusterml.structure.crystal.molecules import fill_cell

    return fill_cell(parse_cif(_text(Path(path)), str(path)), disorder, str(path))


def cluster_of(filled: FilledCell, path: str | Path, *, cluster: int = 1, hydrogens: bool | None = None) -> Atoms:
    """Cluster number ``cluster`` of the cell that :func:`read_cell` gave, as :func:`read` gives it."""
    from clusterml.structure.crystal.cell import cut

    atoms = cut(filled, cluster=cluster, hydrogens=hydrogens is not False, source=str(path))
    name = Path(path).stem if cluster == 1 else f"{Path(path).stem}_cluster{cluster}"
    return _finish(atoms, Path(path), name, "cif")


@dataclass(frozen=True)
class _Options:
    cluster: int
    allow_several: bool
    disorder: Disorder
    hydrogens: bool | None


def _frames(path: Path, options: _Options) -> Iterator[tuple[Atoms, bool]]:
    """Each frame of a file, and whether it is the last."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InputFileError(f"{path}: files ending in '{path.suffix}' cannot be read", f"give {', '.join(FORMATS)}")
    if ending == ".cif":
        filled = read_cell(path, disorder=options.disorder)
        yield cluster_of(filled, path, cluster=options.cluster, hydrogens=options.hydrogens), True
        return
    for number, atoms in enumerate(parse_xyz(_text(path), str(path)), start=1):
        last = bool(atoms.info["provenance"].pop("last"))
        single = number == 1 and last
        _finish(atoms, path, path.stem if single else f"{path.stem}_{number}", ending[1:])
        if not options.allow_several:
            check_one_molecule(atoms)
        yield _completed(atoms) if options.hydrogens else atoms, last


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
