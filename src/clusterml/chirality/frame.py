"""Chirality of a geometry's metals and donors, by the definitions of the network's training labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clusterml.chirality.measures import continuous_chirality, opd_index
from clusterml.chirality.part import REACH, element_labels
from clusterml.chirality.symmetry import SymmetrySearch
from clusterml.structure.distort.subject import Subject
from clusterml.structure.superpose import Kinds
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


def opd_local_frame(atoms: Atoms) -> float:
    """Signed local index of the frame, dimensionless."""
    return float(opd_index(_frame(atoms)[1], reach=REACH))


def ccm_frame(atoms: Atoms) -> float:
    """Continuous chirality measure of the frame, 0 to 100."""
    numbers, positions = _frame(atoms)
    return float(continuous_chirality(SymmetrySearch(Kinds.of(numbers), positions)).value)


def _frame(atoms: Atoms) -> tuple[IntArray, FloatArray]:
    """Metals and donors: atomic numbers (k,), elements that share sites as one; centred positions (k, 3)."""
    subject = Subject(atoms)
    numbers = element_labels(atoms)
    frame = np.concatenate([np.flatnonzero(subject.metal), subject.donors])
    positions = subject.positions[frame]
    return numbers[frame], positions - positions.mean(axis=0)
