"""Ligands that do not bind as their kind does: donors left free, and neutral donors between several metals.

A site of a frame has one donor or two; a ligand with more leaves the others free, and any ligand can be put where a
thiolate bridged.  Neither is wrong enough to refuse, but whoever computes such a model should know.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.recognise import name_ligands
from clusterml.structure.bonds import bonds, neighbours
from clusterml.structure.build.conformers import donor_symbols
from clusterml.structure.elements import is_metal

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import Library

_OFTEN_FREE = ("O", "F")  # carboxylates and anions bind by one of theirs, too
_ONE_METAL = (6, 7, 15, 33)  # with one lone pair where the ligand is neutral; CO may bridge, and is left out


def ligation_warnings(atoms: Atoms, library: Library | None = None, *, first: int = 0) -> list[str]:
    """What is unusual in how the ligands of ``atoms`` are bound, as sentences; ``first``: atoms before it do not count.

    Ligands are those that the ``library`` (default: that in use) names.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    bonded = neighbours(len(atoms), bonds(numbers, np.asarray(atoms.positions, dtype=np.float64)))
    metal = is_metal(numbers)
    free: Counter[tuple[str, str, int, int, int]] = Counter()
    bridging: Counter[tuple[str, str, int]] = Counter()
    for ligand in name_ligands(atoms, library):
        if ligand.entry is None or ligand.atoms[0] < first or not len(ligand.donors):
            continue
        symbols = donor_symbols(ligand.entry)
        bound, least = len(ligand.donors), min(len(symbols), 2)
        if bound < least and not set(symbols) & set(_OFTEN_FREE):
            kinds = "/".join(dict.fromkeys(symbols))
            free[ligand.name, kinds, bound, len(symbols), ligand.charge] += 1
        for donor in ligand.donors.tolist():
            held = int(metal[bonded[donor]].sum())
            organic = len(bonded[donor]) - held
            if ligand.charge == 0 and numbers[donor] in _ONE_METAL and organic and held > 1 and len(ligand.atoms) > 2:
                bridging[ligand.name, str(atoms.symbols[donor]), held] += 1
    sentences = [
        f"{count} x {name}: {bound} of {of} donors ({kinds}) {'binds' if bound == 1 else 'bind'}, "
        f"the rest is free{', with its charge' if charge > 1 else ''}"
        for (name, kinds, bound, of, charge), count in free.items()
    ]
    sentences += [
        f"{count} x {name}: its {symbol} binds {held} metals, as a neutral donor with one lone pair hardly does"
        for (name, symbol, held), count in bridging.items()
    ]
    return sentences
