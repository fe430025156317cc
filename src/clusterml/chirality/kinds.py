"""Which atoms may be exchanged: all of an element, or only those in the same place of the bonding graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.bonds import Pairs, bonds, neighbours
from clusterml.structure.elements import is_metal
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms


def ligand_bonds(atoms: Atoms) -> Pairs:
    """The bonds of a structure without those between metals, whose number a small distortion changes."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    metal = is_metal(numbers)
    return pairs.select(~(metal[pairs.first] & metal[pairs.second]))


def graph_labels(numbers: IntArray, pairs: Pairs) -> IntArray:
    """Labels ``(n,)``, equal for atoms of one element whose neighbours, their neighbours and so on are equal.

    Colour refinement (Weisfeiler and Leman): every permutation that preserves the bonds ``pairs`` keeps the labels.
    The converse does not hold; see :func:`bonds_kept`.
    """
    table = neighbours(len(numbers), pairs)
    labels = np.unique(numbers, return_inverse=True)[1]
    while True:
        signatures = [(int(labels[i]), *sorted(labels[row].tolist())) for i, row in enumerate(table)]
        names = {signature: k for k, signature in enumerate(sorted(set(signatures)))}
        refined = np.array([names[signature] for signature in signatures], dtype=np.int64)
        if len(names) == len(np.unique(labels)):
            return refined
        labels = refined


def bonds_kept(permutations: IntArray, pairs: Pairs) -> float:
    """Share (0 to 1) of the bonds that all ``permutations`` ``(..., n)`` carry onto bonds; 1 without bonds."""
    if not len(pairs.first):
        return 1.0
    count = permutations.shape[-1]
    known = np.concatenate([pairs.first * count + pairs.second, pairs.second * count + pairs.first])
    images = permutations[..., pairs.first] * count + permutations[..., pairs.second]
    return float(np.isin(images, known).mean())
