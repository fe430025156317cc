"""What surrounds the cluster in its crystal, and which hands the crystal holds.

Symmetry copies: an operation of determinant -1 turns the hand round, and a cluster that such an operation maps onto
itself is achiral.  Independent clusters, and clusters that are achiral without the crystal's symmetry saying so, are
compared by superposition of their frames of metal and donor atoms, directly and mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.bonds import bonds
from clusterml.structure.crystal import Disorder
from clusterml.structure.crystal.molecules import FilledCell, unify_elements, unwrap
from clusterml.structure.crystal.spacegroup import determinants, triplet
from clusterml.structure.crystal.witness import Companions, Witness, identify_companions, weigh_counter_ions
from clusterml.structure.elements import formula, is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

Hand = Literal["A", "B", "achiral"]
"""A: the hand of the first chiral cluster of its formula; B: its mirror image.  Says nothing of R and S."""
Frame = tuple[IntArray, FloatArray]
"""Atomic numbers ``(n,)`` and positions ``(n, 3)`` (A) of the atoms that are compared."""
ACHIRAL = 0.05
"""A frame whose rms misfit to its mirror image is below this (A) counts as achiral."""
_SAME_FRAME = 0.5  # A; independent clusters with a larger misfit both ways are not the same thing
_CLOSE = 0.03  # A
_CLEAR = 0.02  # A; by how much one misfit must be smaller


@dataclass(frozen=True)
class ClusterHand:
    """The hand of one cluster: ``hand`` (None: not comparable), the ``basis`` of it ("symmetry" or "frame"), the rms
    misfit (A) of its frame to its mirror image (0 by symmetry), and the number of the independent cluster it copies."""

    hand: Hand | None
    basis: str
    mirror_misfit: float
    like: int


@dataclass(frozen=True)
class Handedness:
    """Hands of all clusters, in the order of ``--cluster``, and the crystal's ``kind`` for each formula.

    ``kind``: formula -> "achiral", "enantiopure", "racemic", or "mixed" for unequal numbers of both hands; None where
    a hand could not be determined.  ``notes`` are sentences for the user.
    """

    hands: tuple[ClusterHand, ...]
    kind: dict[str, str | None]
    notes: tuple[str, ...]

    def count(self, formula: str, filled: FilledCell) -> dict[str, int]:
        """How many clusters of that formula have each hand."""
        counts: dict[str, int] = {}
        for number, hand in zip(filled.clusters, self.hands, strict=True):
            if filled.molecules[number].formula == formula:
                key = hand.hand or "unknown"
                counts[key] = counts.get(key, 0) + 1
        return counts


def compare_hands(filled: FilledCell, source: str = "crystal") -> Handedness:
    """Determine the relative hands of all clusters.  Raises :class:`StructureError` for an endless network."""
    clusters = filled.clusters
    determinant = determinants(filled.crystal.rotations)
    independent = list(dict.fromkeys(filled.molecules[k].like for k in clusters))
    hand_of: dict[int, ClusterHand] = {}
    references: dict[str, tuple[Frame, float]] = {}  # the reference of each formula and its misfit to its mirror image
    for number in independent:
        name = filled.molecules[number].formula
        frame = _frame(filled, number, source)
        if np.any(determinant[filled.molecules[number].stabilizer] < 0):
            hand_of[number] = ClusterHand("achiral", "symmetry", 0.0, number)
            continue
        reference = references.get(name)
        direct = _in_order(reference[0], frame) if reference else None
        if reference and direct:
            achiral = reference[1] < ACHIRAL
            hand_of[number] = ClusterHand("achiral" if achiral else direct, "frame", reference[1], number)
            continue
        misfit = _misfit(frame, frame, mirror=True)
        references.setdefault(name, (frame, misfit))
        if misfit < ACHIRAL:
            hand_of[number] = ClusterHand("achiral", "frame", misfit, number)
        elif reference is None or reference[1] < ACHIRAL:
            references[name] = (frame, misfit)
            hand_of[number] = ClusterHand("A", "first", misfit, number)
        else:
            hand_of[number] = ClusterHand(_compare(reference[0], frame), "frame", misfit, number)
    hands = []
    for number in clusters:
        molecule = filled.molecules[number]
        own = hand_of[molecule.like]
        turned = determinant[molecule.operation] < 0
        basis = own.basis if number == molecule.like or own.hand == "achiral" else "symmetry"
        hands.append(ClusterHand(_turn(own.hand) if turned else own.hand, basis, own.mirror_misfit, molecule.like))
    return _summary(filled, clusters, tuple(hands))


def note_handedness(atoms: Atoms, filled: FilledCell, taken: int, source: str) -> None:
    """Say in the provenance of ``atoms``, cluster number ``taken`` (from 1), what hands the crystal holds of it
    (``handedness``, see :class:`Handedness`), with a warning where it holds both: its spectrum is not the sample's.

    Nothing is said of a lone cluster that nothing turns around, and where a network has no hand.
    """
    if filled.crystal.sohncke and len(filled.clusters) == 1:
        return
    try:
        hands = compare_hands(filled, source)
    except StructureError:
        return
    kind, hand = hands.kind[filled.molecules[filled.clusters[taken - 1]].formula], hands.hands[taken - 1].hand
    provenance = atoms.info["provenance"]
    provenance["handedness"] = kind
    if hand not in ("A", "B"):
        return
    this = f"this is cluster {taken}, of hand {hand}, and its CD that of this hand"
    if kind == "racemic":
        provenance["warnings"].append(f"the crystal is racemic: the sample has no CD; {this}")
    elif kind == "mixed":
        provenance["warnings"].append(f"the crystal holds unequal numbers of both hands: the CD partly cancels; {this}")


def _turn(hand: Hand | None) -> Hand | None:
    other: dict[Hand | None, Hand | None] = {"A": "B", "B": "A"}
    return other.get(hand, hand)


def _frame(filled: FilledCell, number: int, source: str) -> Frame:
    """Atomic numbers and positions (A) of a cluster's metals and donors; of all non-hydrogen atoms without metal.

    Elements that share sites count as one: their order in the crystal is a choice.
    """
    numbers = filled.numbers[filled.molecules[number].atoms]
    positions = unwrap(filled, number, source)
    metal = is_metal(numbers)
    chosen = numbers != 1
    if metal.any():
        pairs = bonds(numbers, positions)
        mixed = pairs.select(metal[pairs.first] != metal[pairs.second])
        chosen = metal.copy()
        chosen[mixed.first] = True
        chosen[mixed.second] = True
    return unify_elements(numbers[chosen], [site.numbers for site in filled.mixed]), positions[chosen]


def _misfit(a: Frame, b: Frame, *, mirror: bool) -> float:
    """Root-mean-square misfit (A) of frame ``a`` (or its mirror image) on frame ``b``."""
    from clusterml.structure.superpose import superpose

    if len(a[0]) < 2:
        return 0.0
    return superpose(a[0], a[1], b[1], improper=mirror, target_numbers=b[0]).rmsd


def _in_order(first: Frame, other: Frame) -> Hand | None:
    """The hand of ``other`` if its atoms are in the order of ``first`` and it fits closely, directly or mirrored."""
    from clusterml.structure.superpose import superpose

    if len(first[0]) < 2 or not np.array_equal(first[0], other[0]):
        return None
    fits = [superpose(*first, other[1], improper=mirror, permute=False).rmsd for mirror in (False, True)]
    if min(fits) > _CLOSE:
        return None
    return "A" if fits[0] <= fits[1] else "B"


def _compare(first: Frame, other: Frame) -> Hand | None:
    if sorted(first[0].tolist()) != sorted(other[0].tolist()):
        return None
    same, opposite = (_misfit(first, other, mirror=mirror) for mirror in (False, True))
    if min(same, opposite) > _SAME_FRAME or abs(same - opposite) < _CLEAR:
        return None
    return "A" if same < opposite else "B"


def _summary(filled: FilledCell, clusters: list[int], hands: tuple[ClusterHand, ...]) -> Handedness:
    kinds: dict[str, str | None] = {}
    notes: list[str] = []
    for name in dict.fromkeys(filled.molecules[k].formula for k in clusters):
        own = [h.hand for k, h in zip(clusters, hands, strict=True) if filled.molecules[k].formula == name]
        a, b = own.count("A"), own.count("B")
        if None in own:
            kinds[name] = None
            notes.append(f"the hands of independent {name} clusters could not be compared: their frames differ")
        elif not a and not b:
            kinds[name] = "achiral"
        elif not filled.crystal.sohncke:
            kinds[name] = "racemic"
            if a != b:
                notes.append(
                    f"{name} is chiral, but disordered over a site of improper symmetry: both hands are present"
                )
        elif a == b:
            kinds[name] = "racemic"
            notes.append(f"{name}: independent clusters of both hands in a Sohncke space group (kryptoracemic)")
        else:
            kinds[name] = "enantiopure" if not (a and b) and "achiral" not in own else "mixed"
    return Handedness(hands, kinds, tuple(notes))


_FORMULA_NOISE = 0.5  # atoms: formulas with fractions of solvent are rounded


@dataclass(frozen=True)
class CrystalReport:
    """The cell's content around cluster number ``taken`` (from 1): ``others`` beside the clusters, the ``hands`` of the
    clusters, and the counter-ions as ``witness`` of the charge; ``disorder``: the choice that was made."""

    filled: FilledCell
    taken: int
    disorder: Disorder
    others: Companions
    hands: Handedness
    witness: Witness

    @property
    def kind(self) -> str | None:
        """``achiral``, ``enantiopure``, ``racemic`` or ``mixed``, for the clusters like the one taken."""
        return self.hands.kind[self._taken_formula]

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the hands, and on differences between the cell's content and the file's formula."""
        return (*self.hands.notes, *_compare_with_formula(self.filled))

    @property
    def _taken_formula(self) -> str:
        return self.filled.molecules[self.filled.clusters[self.taken - 1]].formula

    def hand_counts(self) -> dict[str, int]:
        """How many of the clusters like the one taken have each hand."""
        return self.hands.count(self._taken_formula, self.filled)

    def clusters(self, name: str, n_atoms: int) -> list[dict[str, Any]]:
        """One entry for each cluster in the cell; ``name`` (formula) and ``n_atoms``: of the one taken, completed."""
        entries = []
        for index, (number, hand) in enumerate(zip(self.filled.clusters, self.hands.hands, strict=True), start=1):
            molecule = self.filled.molecules[number]
            alike = molecule.formula == self._taken_formula
            crystal = self.filled.crystal
            entries.append(
                {
                    "number": index,
                    "formula": name if alike else molecule.formula,
                    "n_atoms": n_atoms if alike else len(molecule.atoms),
                    "n_atoms_listed": len(molecule.atoms),
                    "hand": hand.hand,
                    "hand_basis": hand.basis,
                    "mirror_misfit_angstrom": round(hand.mirror_misfit, 4),
                    "copy_of": self.filled.clusters.index(hand.like) + 1,
                    "operation": triplet(
                        crystal.rotations[molecule.operation], crystal.translations[molecule.operation]
                    ),
                    "site_symmetry_order": len(molecule.stabilizer),
                    "taken": index == self.taken,
                }
            )
        return entries

    def to_dict(self) -> dict[str, Any]:
        """The ``crystal`` object of the JSON of ``clusterml inspect``."""
        crystal = self.filled.crystal
        lengths = np.linalg.norm(crystal.cell, axis=1)
        unit = crystal.cell / lengths[:, None]
        cosines = [float(unit[i] @ unit[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
        return {
            "block": crystal.block,
            "space_group": crystal.space_group,
            "n_operations": len(crystal.rotations),
            "sohncke": crystal.sohncke,
            "handedness": self.kind,
            "hands": self.hand_counts(),
            "handedness_by_formula": self.hands.kind,
            "achiral_below_angstrom": ACHIRAL,
            "cell_lengths_angstrom": [round(float(x), 4) for x in lengths],
            "cell_angles_degree": [round(float(np.degrees(np.arccos(np.clip(c, -1, 1)))), 4) for c in cosines],
            "n_atoms_in_cell": len(self.filled.numbers),
            "density_masked": crystal.masked,
            "disorder": {"choice": self.disorder, "dropped": [entry.to_dict() for entry in self.filled.dropped]},
            "mixed_sites": [site.to_dict() for site in self.filled.mixed],
            "charge_witness": self.witness.to_dict(),
        }


def _compare_with_formula(filled: FilledCell) -> tuple[str, ...]:
    """A note if the cell does not hold the non-hydrogen atoms that the file's formula and Z require."""
    stated = {z: n for z, n in filled.crystal.stated if z != 1}
    if not stated:
        return ()
    counts = {int(z): int(n) for z, n in zip(*np.unique(filled.numbers, return_counts=True), strict=True) if z != 1}
    unlike = [z for z in sorted({*stated, *counts}) if abs(stated.get(z, 0.0) - counts.get(z, 0)) > _FORMULA_NOISE]
    if not unlike:
        return ()
    listed = ", ".join(f"{formula([z])} {counts.get(z, 0)} not {stated.get(z, 0.0):g}" for z in unlike)
    return (
        f"the cell holds other atoms than the file's formula and Z say ({listed}): some may be missing or disordered",
    )


def report_crystal(filled: FilledCell, taken: int, disorder: Disorder, source: str = "crystal") -> CrystalReport:
    """Report the crystal around cluster number ``taken`` (from 1; it must exist)."""
    others = identify_companions(filled)
    return CrystalReport(
        filled, taken, disorder, others, compare_hands(filled, source), weigh_counter_ions(filled, others)
    )
