"""Reading the user's own groups of atoms, for the assignment of bands, from a JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clusterml.errors import InputFileError
from clusterml.printable import counted
from clusterml.spectrum.files import read_text
from clusterml.spectrum.jsonio import parse_json
from clusterml.typing import IntArray

REST = "other"
"""Name of the group that takes the atoms in no other."""
_FORM = 'write {"NAME": [atom numbers from 1], ...}'


def read_groups(path: str | Path) -> dict[str, list[int]]:
    """Group name -> atom numbers, counted from 1, of the JSON object in ``path``.

    Raises :class:`InputFileError` naming the file and the group if the file is not such an object, a group is empty, or
    an atom is in two groups.
    """
    owner: dict[int, str] = {}
    for name, members in (groups := parse_json(read_text(path), str(path))).items():
        if not isinstance(members, list) or not members or not all(_is_number(m) for m in members):
            raise InputFileError(f"{path}: group '{name}' is not a list of atom numbers", _FORM)
        for member in members:
            if member in owner:
                raise InputFileError(
                    f"{path}: atom {member} is in group '{owner[member]}' and again in '{name}'",
                    "each atom belongs to one group",
                )
            owner[member] = name
    if not groups:
        raise InputFileError(f"{path}: there are no groups", _FORM)
    return groups


def atom_groups(groups: dict[str, list[int]], n_atoms: int, source: str) -> dict[str, IntArray]:
    """Group name -> indices from 0, a partition of ``n_atoms`` atoms: those in no group make up :data:`REST`.

    Raises :class:`InputFileError` naming ``source`` (the groups' file) for an atom that the structure does not have.
    """
    taken = np.zeros(n_atoms, dtype=np.bool_)
    result: dict[str, IntArray] = {}
    for name, members in groups.items():
        if max(members) > n_atoms:
            raise InputFileError(
                f"{source}: group '{name}' has atom {max(members)}, but the structure has {counted(n_atoms, 'atom')}",
                "correct the numbers; they count from 1",
            )
        result[name] = np.sort(np.array(members, dtype=np.int64) - 1)
        taken[result[name]] = True
    left = np.flatnonzero(~taken).astype(np.int64)
    if len(left):
        result[REST] = np.sort(np.concatenate([left, result[REST]])) if REST in result else left
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
