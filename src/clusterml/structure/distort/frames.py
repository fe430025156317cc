"""Several structures in one extended-xyz file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clusterml.errors import OutputError
from clusterml.spectrum.files import write_text
from clusterml.structure.check import check_geometry
from clusterml.structure.write import extxyz

if TYPE_CHECKING:
    from ase import Atoms


def write_frames(frames: Sequence[Atoms], path: str | Path) -> Path:
    """Write ``frames`` to ``path``, atomically, each as :func:`clusterml.structure.write.write_extxyz` would.

    ``clusterml.read_all`` gives them back one by one.  Raises :class:`OutputError` and :class:`StructureError`.
    """
    path = Path(path)
    if path.suffix.lower() not in (".xyz", ".extxyz"):
        raise OutputError(f"{path}: structures are written as extended xyz", "let the name end in .xyz or .extxyz")
    if not frames:
        raise OutputError(f"{path}: there is no structure to write", "give at least one")
    for atoms in frames:
        check_geometry(atoms)
    return write_text(path, "".join(extxyz(atoms) for atoms in frames))
