"""All measures of one part of a cluster, and those of its frame that labels, screens and datasets use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clusterml.chirality.continuous import SymmetrySearch
from clusterml.chirality.measures import (
    HausdorffChirality,
    continuous_chirality,
    hausdorff_chirality,
    opd_contributions,
    opd_index,
)
from clusterml.chirality.pointgroups import GroupWithin, find_point_groups
from clusterml.structure.bonds import AtomPairs, bonds, neighbours
from clusterml.structure.crystal.molecules import unify_elements
from clusterml.structure.distort.subject import Subject
from clusterml.structure.elements import atomic_number, formula, is_metal
from clusterml.structure.superpose import Kinds, superpose
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


def element_labels(atoms: Atoms) -> IntArray:
    """Atomic numbers ``(n,)``; elements that share sites of the crystal count as one.

    Which of them an atom of the cluster is was a choice (``mixed_sites`` in the provenance), and no measure may depend
    on it.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    sites = atoms.info.get("provenance", {}).get("mixed_sites", ())
    symbols = [site["shares"] for site in sites if isinstance(site, dict) and isinstance(site.get("shares"), dict)]
    return unify_elements(numbers, [[atomic_number(str(symbol)) or 0 for symbol in shares] for shares in symbols])


def ligand_bonds(atoms: Atoms) -> AtomPairs:
    """The bonds of a structure without those between metals, whose number a small distortion changes."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    metal = is_metal(numbers)
    return pairs.select(~(metal[pairs.first] & metal[pairs.second]))


def graph_labels(numbers: IntArray, pairs: AtomPairs) -> IntArray:
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


def bonds_kept(permutations: IntArray, pairs: AtomPairs) -> float:
    """Share (0 to 1) of the bonds that all ``permutations`` ``(..., n)`` carry onto bonds; 1 without bonds."""
    if not len(pairs.first):
        return 1.0
    count = permutations.shape[-1]
    bonded = np.concatenate([pairs.first * count + pairs.second, pairs.second * count + pairs.first])
    images = permutations[..., pairs.first] * count + permutations[..., pairs.second]
    return float(np.isin(images, bonded).mean())


TOLERANCES = (0.01, 0.1, 0.3, 0.5)
"""Tolerances (A) within which the point group is looked for."""
REACH = 5.0
"""Reach (A) of the local signed index: first and second neighbours in a metal cluster.

Where the Ag29 family and twisted Ag70 are measured this is far from a change of sign; with 3.5 A, Ag29 is near one, and
with more than 6 A the metals of Ag70 no longer grow steadily with the twist.
"""
_QUICK_HAUSDORFF = 150  # atoms above which fewer starts are followed


@dataclass(frozen=True)
class PartChirality:
    """Measures of the atoms ``atoms`` ``(n,)`` of a structure.

    name, formula          of the part
    radius                 root-mean-square distance from the centroid, A
    ccm                    continuous chirality measure, 0 (achiral) to 100
    ccm_group              the improper symmetry that the nearest achiral structure has: Cs, Ci, S4, S6 or S8
    ccm_contributions      (n,) each atom's part of ``ccm``
    ccm_bonds_kept         share of the bonds that the permutations behind ``ccm`` carry onto bonds, 0 to 1
    misfit                 least root-mean-square distance from the mirror image, A
    hausdorff              Hausdorff chirality measure
    opd, opd_local         signed index of Osipov, Pickup and Dunmur, of all atoms alike, and with a reach of 5 A;
                           dimensionless, positive for right-handed helices; both change sign with the mirror image
    opd_contributions      (n,) each atom's part of ``opd_local``
    point_groups           point group within each of several tolerances
    symmetry               point group -> continuous symmetry measure, 0 to 100
    """

    name: str
    formula: str
    atoms: IntArray
    radius: float
    ccm: float
    ccm_group: str
    ccm_contributions: FloatArray
    ccm_bonds_kept: float
    misfit: float
    hausdorff: HausdorffChirality
    opd: float
    opd_local: float
    opd_contributions: FloatArray
    point_groups: tuple[GroupWithin, ...]
    symmetry: dict[str, float]


def measure_part(
    name: str, atoms: Atoms, members: IntArray, labels: IntArray, pairs: AtomPairs, groups: tuple[str, ...]
) -> PartChirality:
    """Measure the atoms ``members`` ``(n,)`` of a structure.

    ``labels``, one for each atom of the structure: equal ones may be exchanged.  ``pairs``: its bonds.  ``groups``:
    point groups to measure.
    """
    positions = np.asarray(atoms.positions[members], dtype=np.float64)
    centred = positions - positions.mean(axis=0)
    kinds = Kinds.of(labels[members])
    search = SymmetrySearch(kinds, positions)
    continuous = continuous_chirality(search)
    local = opd_contributions(positions, reach=REACH)
    starts = 16 if len(members) <= _QUICK_HAUSDORFF else 6
    return PartChirality(
        name,
        formula(atoms.numbers[members]),
        members,
        float(np.sqrt((centred**2).sum(axis=1).mean())),
        continuous.value,
        continuous.nearest.group,
        continuous.nearest.contributions,
        bonds_kept(continuous.nearest.permutations, _inside(pairs, members, len(atoms))),
        superpose(labels[members], positions, positions, improper=True).rmsd,
        hausdorff_chirality(kinds, positions, starts),
        float(opd_contributions(positions).sum()),
        float(local.sum()),
        local,
        tuple(find_point_groups(kinds, positions, TOLERANCES)),
        {group: search.measure(group).value for group in groups},
    )


def _inside(pairs: AtomPairs, members: IntArray, count: int) -> AtomPairs:
    """The bonds within a part, in its numbering."""
    place = np.full(count, -1, dtype=np.int64)
    place[members] = np.arange(len(members))
    inside = pairs.select((place[pairs.first] >= 0) & (place[pairs.second] >= 0))
    return AtomPairs(place[inside.first], place[inside.second], inside.shift, inside.distance)


class FrameChirality:
    """The measures of the frame of ``atoms`` (of all of them where there is no metal), each computed when it is asked
    for.

    ``numbers`` (k,): elements, those that share a site as one; ``positions`` (k, 3): in A, about their centre.
    """

    def __init__(self, atoms: Atoms) -> None:
        subject = Subject(atoms)
        frame = np.concatenate([np.flatnonzero(subject.metal), subject.donors])
        if not len(frame):
            frame = np.arange(len(atoms))
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
