"""Going on with a batch: results say by a hash what they are of, and those that would be made again are left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.batch.structures import Finished, Named
from clusterml.errors import InputFileError
from clusterml.io.files import read_text, sha256_of_file
from clusterml.io.json import parse_json
from clusterml.io.shipped import locate

if TYPE_CHECKING:
    from ase import Atoms


def mark(atoms: Atoms, settings: Mapping[str, Any]) -> None:
    """Have the result of ``atoms`` say what it is of: geometry, charge, orbitals that were read, and ``settings``."""
    from clusterml.engine.output import DIGEST
    from clusterml.structure.geometry import digest_of

    charge = atoms.info.get("charge")
    stated = None if charge is None else int(charge)
    atoms.info[DIGEST] = digest_of(atoms, {**settings, "stated_charge": stated, "orbitals": _orbitals(atoms)})


def finished(atoms: Atoms, of: Named, folder: Path | None, keep_json: bool) -> Finished | None:
    """The result of ``atoms``, which :func:`mark` has marked, if it is in ``folder`` already; with its JSON text."""
    from clusterml.engine.output import DIGEST

    if folder is None:
        return None
    try:
        path = folder / f"{of.name}.json"
        content = parse_json(text := read_text(path), str(path))
    except InputFileError:  # not there, or damaged: it is made anew
        return None
    if content.get("digest") != atoms.info[DIGEST]:
        return None
    return Finished(of.where, of.name, text.strip() if keep_json else None)


def _orbitals(atoms: Atoms) -> str | None:
    """The checksum of the file whose orbitals ``atoms`` come with; None for a stream, and for all but Molden files."""
    from clusterml.structure.formats.molden import FORMATS, holds_orbitals

    if not holds_orbitals(atoms):
        return None
    try:
        return sha256_of_file(locate(atoms.info["source"]), FORMATS[0].largest)
    except InputFileError:
        return None
