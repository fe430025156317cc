"""Chirality of a geometry's frame, its metals and donors: what labels, screens and reports of datasets use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clusterml.chirality.continuous import SymmetrySearch
from clusterml.chirality.measures import continuous_chirality, opd_index
from clusterml.chirality.part import REACH, element_labels
from clusterml.structure.distort.subject import Subject
from clusterml.structure.superpose import Kinds, superpose

if TYPE_CHECKING:
    from ase import Atoms


class FrameChirality:
    """The measures of the frame of ``atoms``, each computed when it is asked for.

    ``numbers`` (k,): elements, those that share a site as one; ``positions`` (k, 3): in A, about their centre.
    """

    def __init__(self, atoms: Atoms) -> None:
        subject = Subject(atoms)
        frame = np.concatenate([np.flatnonzero(subject.metal), subject.donors])
        positions = np.asarray(atoms.positions)[frame]
        self.numbers = element_labels(atoms)[frame]
        self.positions = positions - positions.mean(axis=0)

    @cached_property
    def opd(self) -> float:
        """Signed index of Osipov, Pickup and Dunmur, dimensionless; it changes sign in a mirror."""
        return float(opd_index(self.positions))

    @cached_property
    def opd_local(self) -> float:
        """The same of neighbours within :data:`~clusterml.chirality.part.REACH` only."""
        return float(opd_index(self.positions, reach=REACH))

    @cached_property
    def ccm(self) -> float:
        """Continuous chirality measure, 0 to 100."""
        return float(continuous_chirality(SymmetrySearch(Kinds.of(self.numbers), self.positions)).value)

    @cached_property
    def misfit(self) -> float:
        """Root-mean-square misfit to the mirror image in A."""
        return float(superpose(self.numbers, self.positions, self.positions, improper=True).rmsd)
