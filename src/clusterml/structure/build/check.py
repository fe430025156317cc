"""Are there the blueprints and ligands that a file names?  Asked before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from clusterml.errors import OptionError, unknown
from clusterml.structure.anatomy.library import load_library
from clusterml.structure.build.blueprint import blueprint, blueprints
from clusterml.structure.build.build import build

_LIGAND_OPTIONS = ("thiolate", "dithiolate", "phosphine", "carboxylate", "halide", "solvent", "cap")
_NOT_IN_FILES = ("seed", "library")


def check_build(where: str, options: Mapping[str, str | Sequence[str]]) -> None:
    """Check the ``options`` of :func:`~clusterml.structure.build.build.build` that a file gives ``where`` it names a
    parent; a list has alternatives.

    Raises :class:`OptionError` naming the nearest option, blueprint or ligand that there is.
    """
    known = [key for key in inspect.signature(build).parameters if key not in _NOT_IN_FILES]
    for key, value in options.items():
        if key == "library":
            raise OptionError(f"{where}: library is a key of the file, not of build", "move it to the top level")
        if key not in known:
            raise unknown("option of build", key, known)
        for word in [value] if isinstance(value, str) else value:
            if key in _LIGAND_OPTIONS:
                check_ligand(word)
            elif key == "name":
                try:
                    blueprint(word)
                except OptionError as error:
                    raise unknown("blueprint", word, blueprints()) from error


def check_ligand(name: str) -> None:
    """Raise :class:`OptionError`, with the nearest name, for a ligand that the library in use does not have."""
    library = load_library()
    try:
        library.entry(name)
    except OptionError as error:
        raise unknown("ligand", name, library.names) from error
