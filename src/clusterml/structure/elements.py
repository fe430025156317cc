"""Which elements are metals, how symbols are read, and how a formula or the title of a structure is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from clusterml.typing import BoolArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

_NON_METALS = frozenset(
    [1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 85, 86]
)  # metalloids that are ligand atoms (B, Si, Ge, As, Sb, Te) count as non-metals
_COINAGE_METALS = (29, 47, 79)
_ION_METALS = frozenset([3, 11, 12, 19, 20, 37, 38, 55, 56, 87, 88])
_HEAVIEST = 118
_IS_METAL = np.array([number not in _NON_METALS | _ION_METALS for number in range(_HEAVIEST + 1)])


def is_metal(numbers: IntArray) -> BoolArray:
    """True for the atoms ``(n,)`` that can be part of a cluster's metal frame (alkali-type counter-ions cannot)."""
    return np.asarray(_IS_METAL.take(np.asarray(numbers, dtype=np.int64), mode="clip"), dtype=np.bool_)


def is_cluster_metal(numbers: IntArray) -> BoolArray:
    """True for the atoms ``(n,)`` that make a molecule a cluster: Cu, Ag and Au where there are any, else all metals.

    So a cobaltocenium or a polyoxometalate beside a silver cluster is no cluster.
    """
    coinage = np.isin(numbers, _COINAGE_METALS)
    return np.asarray(coinage, dtype=np.bool_) if coinage.any() else is_metal(numbers)


def is_counter_ion_metal(numbers: IntArray) -> BoolArray:
    """True for alkali and alkaline-earth atoms ``(n,)``: ions beside a cluster, never bonded to it here."""
    return np.asarray(np.isin(numbers, sorted(_ION_METALS)), dtype=np.bool_)


def atomic_number(text: str) -> int | None:
    """Atomic number of a symbol in any case, of ``D`` and ``T``, or of a number written out; None if there is none."""
    from ase.data import atomic_numbers

    word = text.strip()
    if word.isascii() and word.isdigit():
        number = int(word) if len(word) <= 3 else 0
        return number if 1 <= number <= _HEAVIEST else None
    if word in {"D", "T"}:
        return 1
    number = atomic_numbers.get(word.capitalize(), 0)
    return int(number) or None


def formula(numbers: Iterable[int]) -> str:
    """Formula: metals (the most frequent first), then C, H, and the rest by name: ``Au25C144H162S18``."""
    from ase.data import chemical_symbols

    counts = Counter(int(number) for number in numbers)
    metals = {z for z in counts if bool(is_metal(np.array([z]))[0])}

    def rank(z: int) -> tuple[int, int, str]:
        group = 0 if z in metals else 1 if z == 6 else 2 if z == 1 else 3
        return (group, -counts[z] if z in metals else 0, chemical_symbols[z])

    return "".join(f"{chemical_symbols[z]}{counts[z] if counts[z] > 1 else ''}" for z in sorted(counts, key=rank))


def formula_table(formulas: Iterable[str]) -> str:
    """``2 x Ag29..., 1 x C24H20P``: how often each formula occurs, in order of first appearance."""
    return ", ".join(f"{count} x {name}" for name, count in Counter(formulas).items())


PLATINUM_IN_SILVER = "platinum buried in silver has no GFN ground state: clusterml label FILE --orbitals stda-xtb"
"""What is the matter with such clusters, and how they are computed; see
:class:`clusterml.engine.orbitals.newton.StuckError`."""


def structure_name(atoms: Atoms) -> str:
    """The structure's name, as its reader or its maker gave it; ``structure`` if it has none."""
    return str(atoms.info.get("name") or "structure")


def figure_title(atoms: Atoms, charge: int, method: str) -> str:
    """Name, formula, charge and method, for a figure."""
    words = f"{abs(charge)}{'+' if charge > 0 else '-'}" if charge else "neutral"
    # A file name need not be text; matplotlib accepts nothing else.
    name = structure_name(atoms).encode("utf-8", "replace").decode()
    return f"{name}: {formula(atoms.numbers)}, {words}, {method}"
