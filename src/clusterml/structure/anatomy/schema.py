"""The form of a ligand library file: YAML with three sections, each entry checked key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from clusterml.errors import InputFileError
from clusterml.schema import Strict, read_yaml, validated

KINDS = {"ligands": "ligand", "counter_ions": "counter-ion", "solvents": "solvent"}
"""Section of the file -> kind of its entries."""

LONGEST_SMILES = 1000
"""Characters of a SMILES; a ligand of 200 atoms has fewer."""
MOST_ENTRIES = 5000
"""Entries of one library file."""

Position = Annotated[int, Field(ge=0)]


class EntryModel(Strict):
    """One entry as it is written in the file; what the keys mean stands at the head of ``data/ligands.yaml``."""

    model_config = ConfigDict(strict=True)

    smiles: str = Field(min_length=1, max_length=LONGEST_SMILES, description="a SMILES in quotes, of one ligand")
    donors: str | list[Position] = Field(description="an element or a list of positions counted from 0")
    charge: int = Field(description="a whole number of negative charges")
    hand: str | None = Field(default=None, pattern=r"^[RS](,[RS])*$", description="R or S")
    aliases: list[str] = Field(default_factory=list, description="a list of names in quotes")


def parse_file(path: Path) -> list[tuple[str, str, EntryModel]]:
    """(kind, name, entry) of every entry of a library file.

    Raises :class:`~clusterml.errors.InputFileError`, naming the file, the entry and the key.
    """
    found: list[tuple[str, str, EntryModel]] = []
    for section, entries in read_yaml(path).items():
        if section not in KINDS:
            raise InputFileError(f"{path}: unknown section '{section}'", f"sections are {', '.join(KINDS)}")
        if not isinstance(entries, dict):
            raise InputFileError(f"{path}: section '{section}' holds no entries", "give NAME: {smiles: ..., ...}")
        if len(found) + len(entries) > MOST_ENTRIES:
            raise InputFileError(f"{path}: holds more than {MOST_ENTRIES} entries", "give those that are needed")
        for name, values in entries.items():
            if not isinstance(name, str) or not name.strip():
                raise InputFileError(f"{path}: the name {name!r} in '{section}' is not text", "put it in quotes")
            found.append((KINDS[section], name, validated(EntryModel, values, f"{path}: entry '{name}'")))
    return found
