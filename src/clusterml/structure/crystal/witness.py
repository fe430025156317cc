"""The counter-ions of a crystal, or their absence, as a witness of the cluster's charge: the cell is neutral."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.anatomy.charge import is_even_electron
from clusterml.structure.crystal.molecules import FilledCell, whole
from clusterml.structure.crystal.species import Species, identify
from clusterml.structure.crystal.units import PARTIAL
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

_CLUSTER = 4  # metal atoms
_WHOLE = 0.02
"""How far from a whole number the charge of each cluster may be."""


@dataclass(frozen=True)
class Beside:
    """What the cell holds beside the clusters: ``species`` of each molecule number, their ``occupancy`` (1, or less
    for a partly occupied one without an alternative)."""

    species: dict[int, Species]
    occupancy: dict[int, float]

    def count(self, *, ions: bool) -> dict[str, int]:
        """Formula -> how many in the cell, of the counter-ions or of everything else (solvent, unknown)."""
        found: dict[str, int] = {}
        for species in self.species.values():
            if species.is_ion is ions:
                found[species.formula] = found.get(species.formula, 0) + 1
        return found

    def names(self) -> dict[str, str]:
        """Formula -> name of the species that have one."""
        return {s.formula: s.name for s in self.species.values() if s.name}


@dataclass(frozen=True)
class Witness:
    """What the counter-ions say: ``charge`` of each cluster (None if there are no ions, or it is no whole number),
    whether the count is ``complete``, and ``reason``, a sentence.  ``absent``: solvent was located, and no ion, which
    argues for a neutral cluster; not so where the cell holds nothing but clusters, or density was masked."""

    charge: int | None
    complete: bool
    reason: str
    absent: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the provenance of a cluster and for JSON."""
        return {
            "charge": self.charge,
            "complete": self.complete,
            "counter_ions_absent": self.absent,
            "reason": self.reason,
        }

    def may_decide(self, atoms: Atoms) -> bool:
        """Is this better than a proposal for ``atoms``: complete, whole, and pairing all electrons of a cluster?

        A complex of fewer than four metals may have an unpaired electron (Cu2+); a cluster with one rather lacks atoms.
        """
        if not self.complete or self.charge is None:
            return False
        metals = int(is_metal(np.asarray(atoms.numbers, dtype=np.int64)).sum())
        return metals < _CLUSTER or is_even_electron(atoms, self.charge)


def beside(filled: FilledCell) -> Beside:
    """Identify every molecule of the cell that is not a cluster (one of each formula is looked at)."""
    from ase import Atoms

    clusters = set(filled.clusters)
    known: dict[str, Species] = {}
    species: dict[int, Species] = {}
    occupancy: dict[int, float] = {}
    for number, molecule in enumerate(filled.molecules):
        if number in clusters:
            continue
        if molecule.formula not in known:
            try:
                atoms = Atoms(numbers=filled.numbers[molecule.atoms], positions=whole(filled, number))
                known[molecule.formula] = identify(_counted(atoms, filled.occupancy[molecule.atoms]))
            except StructureError:  # a disordered chain through the crystal
                known[molecule.formula] = Species(molecule.formula, "", None, False)
        species[number] = known[molecule.formula]
        occupancy[number] = _share(filled, molecule.atoms)
    return Beside(species, occupancy)


def counter_ion_witness(filled: FilledCell, others: Beside) -> Witness:
    """The charge of each cluster that makes the cell neutral."""
    clusters = filled.clusters
    ions = {k: s for k, s in others.species.items() if s.is_ion}
    if not ions:
        return _without_ions(filled, others)
    total = sum((s.charge or 0) * others.occupancy[k] for k, s in ions.items())
    each = -total / len(clusters)
    listed = ", ".join(f"{count} x {name}" for name, count in others.count(ions=True).items())
    formulas = {filled.molecules[k].formula for k in clusters}
    doubts = [
        ("there are several kinds of cluster", len(formulas) > 1),
        ("some molecules are not recognised", any(not (s.certain or s.is_ion) for s in others.species.values())),
        ("the charge of an ion is uncertain", any(not s.certain for s in ions.values())),
        ("the file says that density of solvent or ions was masked", filled.crystal.masked),
        ("the ions do not balance whole charges", abs(each - round(each)) > _WHOLE),
    ]
    found = [text for text, holds in doubts if holds]
    charge = round(each) if abs(each - round(each)) <= _WHOLE else None
    said = f"{charge:+d}" if charge else "0" if charge == 0 else f"{each:+.2f}"
    reason = f"{len(clusters)} clusters and {listed} in the cell: {said} for each cluster"
    return Witness(charge, not found, reason + (f"; not complete: {'; '.join(found)}" if found else ""))


def _without_ions(filled: FilledCell, others: Beside) -> Witness:
    """Whether the absence of ions says anything: not where some may have been overlooked."""
    listed = ", ".join(f"{count} x {name}" for name, count in others.count(ions=False).items())
    unknown = sorted({s.formula for s in others.species.values() if not _is_neutral(s)})
    if filled.crystal.masked:
        return Witness(None, False, "the file lists no counter-ions (the file says that some density was masked)")
    if not listed:
        return Witness(None, False, "the cell holds nothing but clusters: counter-ions may not have been located")
    if unknown:
        return Witness(None, False, f"the file lists no counter-ions, but {', '.join(unknown)} is not recognised")
    reason = f"the cell holds {listed} and no counter-ions, as beside a neutral cluster"
    return Witness(None, False, reason, absent=True)


def _is_neutral(species: Species) -> bool:
    """Is it surely no ion?  A hydrocarbon is none, even with a hydrogen too many."""
    hydrocarbon = re.fullmatch(r"C\d*(H\d*)?", species.formula) is not None
    return hydrocarbon or (species.charge == 0 and species.certain)


def _counted(atoms: Atoms, occupancy: FloatArray) -> Atoms:
    """A water whose hydrogens are spread over three or four places looks like H3O: give it two."""
    hydrogen = atoms.numbers == 1
    if np.all(atoms.numbers[~hydrogen] == 8) and np.any(occupancy[hydrogen] < PARTIAL):
        return atoms[[*np.flatnonzero(~hydrogen), *np.flatnonzero(hydrogen)[:2]]]
    return atoms


def _share(filled: FilledCell, atoms: IntArray) -> float:
    """How much of a molecule is there: 1 where its alternatives were dropped, else its mean occupancy."""
    partial = filled.occupancy[atoms] < PARTIAL
    if not partial.any() or filled.contested[atoms[partial]].mean() > 0.5:
        return 1.0
    return float(filled.occupancy[atoms].mean())
