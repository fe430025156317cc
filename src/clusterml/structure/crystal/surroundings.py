"""One report on the crystal that a cluster was taken from: its clusters and their hands, ions, solvent, disorder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clusterml.structure.crystal import Disorder
from clusterml.structure.crystal.hand import ACHIRAL, Handedness, handedness
from clusterml.structure.crystal.molecules import FilledCell
from clusterml.structure.crystal.symmetry import triplet
from clusterml.structure.crystal.witness import Beside, Witness, beside, counter_ion_witness
from clusterml.structure.elements import formula

_FORMULA_NOISE = 0.5  # atoms: formulas with fractions of solvent are rounded


@dataclass(frozen=True)
class CrystalReport:
    """The cell's content around cluster number ``taken`` (from 1): ``others`` beside the clusters, the ``hands`` of the
    clusters, and the counter-ions as ``witness`` of the charge; ``disorder``: the choice that was made."""

    filled: FilledCell
    taken: int
    disorder: Disorder
    others: Beside
    hands: Handedness
    witness: Witness

    @property
    def kind(self) -> str | None:
        """``achiral``, ``enantiopure``, ``racemic`` or ``mixed``, for the clusters like the one taken."""
        return self.hands.kind[self._taken_formula]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the hands, and on what the file says of the cell's content."""
        return (*self.hands.notes, *_against_the_formula(self.filled))

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


def _against_the_formula(filled: FilledCell) -> tuple[str, ...]:
    """A sentence if the cell does not hold the atoms (other than hydrogen) that formula and Z of the file ask for."""
    stated = {z: n for z, n in filled.crystal.stated if z != 1}
    if not stated:
        return ()
    found = {int(z): int(n) for z, n in zip(*np.unique(filled.numbers, return_counts=True), strict=True) if z != 1}
    unlike = [z for z in sorted({*stated, *found}) if abs(stated.get(z, 0.0) - found.get(z, 0)) > _FORMULA_NOISE]
    if not unlike:
        return ()
    listed = ", ".join(f"{formula([z])} {found.get(z, 0)} not {stated.get(z, 0.0):g}" for z in unlike)
    return (
        f"the cell holds other atoms than the file's formula and Z say ({listed}): some may be missing or disordered",
    )


def report(filled: FilledCell, taken: int, disorder: Disorder, source: str = "crystal") -> CrystalReport:
    """Everything about the crystal around cluster number ``taken`` (from 1, one that is there)."""
    others = beside(filled)
    return CrystalReport(
        filled, taken, disorder, others, handedness(filled, source), counter_ion_witness(filled, others)
    )
