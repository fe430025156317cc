"""What a crystal reveals about the charge of its cluster: its counter-ions, named and counted.

The tables hold what crystals of ligand-protected clusters usually contain.  A molecule that is in neither gets the
charge that its valences ask for (:mod:`clusterml.structure.anatomy.ligands`), which is certain only for ions whose
charge does not hang on a hydrogen that X-rays may have missed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import StructureError, counted
from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.anatomy.superatom import is_even_electron
from clusterml.structure.bonds import bond_limit, bonds, close_periodic_pairs, longest_bond, neighbours
from clusterml.structure.crystal.crystal import PARTIAL
from clusterml.structure.crystal.hydrogens import add_hydrogens
from clusterml.structure.crystal.molecules import FilledCell, unwrap
from clusterml.structure.elements import formula, is_counter_ion_metal, is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


# formula in the order of `clusterml.structure.elements.formula` -> (name, charge)
_IONS = {
    "F6P": ("PF6-", -1), "BF4": ("BF4-", -1), "F6Sb": ("SbF6-", -1), "AsF6": ("AsF6-", -1), "ClO4": ("ClO4-", -1),
    "NO3": ("NO3-", -1), "NO2": ("NO2-", -1), "O4S": ("SO4 2-", -2), "HO4S": ("HSO4-", -1), "F6Si": ("SiF6 2-", -2),
    "CF3O3S": ("triflate", -1), "C2F6NO4S2": ("NTf2-", -1), "N3": ("azide", -1), "CNS": ("thiocyanate", -1),
    "CNO": ("cyanate", -1), "CHO3": ("hydrogencarbonate", -1), "CO3": ("carbonate", -2),
    "C2F3O2": ("trifluoroacetate", -1), "C2H3O2": ("acetate", -1), "CHO2": ("formate", -1),
    "I3": ("I3-", -1), "Br3": ("Br3-", -1), "ClI2": ("I2Cl-", -1),
    "Cl2I": ("ICl2-", -1), "Br2I": ("IBr2-", -1), "F": ("F-", -1), "Cl": ("Cl-", -1), "Br": ("Br-", -1),
    "I": ("I-", -1), "C24H20B": ("BPh4-", -1), "C24BF20": ("B(C6F5)4-", -1), "C32H12BF24": ("BArF-", -1),
    "CH12B11": ("carborane monoanion", -1), "C24H20P": ("PPh4+", 1), "C24H20As": ("AsPh4+", 1),
    "C36H30NP2": ("PPN+", 1), "H4N": ("NH4+", 1), "C4H12N": ("NMe4+ or an isomer", 1), "C8H20N": ("NEt4+", 1),
    "C12H28N": ("NPr4+", 1), "C16H36N": ("NBu4+", 1), "C32H68N": ("N(C8H17)4+", 1), "C6H16N": ("HNEt3+", 1),
    "H3O": ("H3O+", 1), "C19H42N": ("CTA+", 1),
    "CoC10H10": ("cobaltocenium", 1), "CoC20H30": ("decamethylcobaltocenium", 1), "ReO4": ("ReO4-", -1),
    "MnO4": ("MnO4-", -1), "CrO4": ("CrO4 2-", -2), "Cr2O7": ("Cr2O7 2-", -2), "ZnCl4": ("ZnCl4 2-", -2),
    "ZnBr4": ("ZnBr4 2-", -2), "AlCl4": ("AlCl4-", -1), "CoC6N6": ("Co(CN)6 3-", -3),
    "NiC4N4": ("Ni(CN)4 2-", -2), "PdC4N4": ("Pd(CN)4 2-", -2), "PtC4N4": ("Pt(CN)4 2-", -2),
    "Mo6O19": ("Mo6O19 2-", -2), "W6O19": ("W6O19 2-", -2), "Mo12O40P": ("PMo12O40 3-", -3),
    "W12O40P": ("PW12O40 3-", -3), "W12O40Si": ("SiW12O40 4-", -4), "Mo12O40Si": ("SiMo12O40 4-", -4),
}  # fmt: skip
_SOLVENTS = {
    "H2O": "water", "CH4O": "methanol", "C2H6O": "ethanol", "C3H8O": "propanol", "C2H3N": "acetonitrile",
    "C3H6O": "acetone", "C3H7NO": "DMF", "C2H6OS": "DMSO", "C4H9NO": "DMAc", "C5H9NO": "NMP", "CH2Cl2": "CH2Cl2",
    "CHCl3": "CHCl3", "CCl4": "CCl4", "C2H4Cl2": "dichloroethane", "C6H6": "benzene", "C7H8": "toluene",
    "C8H10": "xylene", "C6H5Cl": "chlorobenzene", "C6H4Cl2": "dichlorobenzene", "C6H5F": "fluorobenzene",
    "C4H8O": "THF", "C4H10O": "diethyl ether", "C4H8O2": "ethyl acetate or dioxane", "C5H12": "pentane",
    "C6H14": "hexane", "C6H12": "cyclohexane", "C7H16": "heptane", "C8H18": "octane", "C5H5N": "pyridine",
    "CS2": "CS2", "CH3NO2": "nitromethane", "H3N": "ammonia", "C6H15N": "triethylamine", "C2H4O2": "acetic acid",
    "CH2O2": "formic acid", "C2HF3O2": "trifluoroacetic acid", "C18H15P": "PPh3", "C18H15OP": "OPPh3",
}  # fmt: skip
_ALKALI = (3, 11, 19, 37, 55, 87)


@dataclass(frozen=True)
class Species:
    """A kind of molecule beside the cluster: ``formula`` (with the hydrogens it should have, where that is known),
    ``name`` ("" if unknown), ``charge`` (None if unknown) and whether that is ``certain``."""

    formula: str
    name: str
    charge: int | None
    certain: bool

    @property
    def is_ion(self) -> bool:
        """Does it carry a charge?"""
        return bool(self.charge)


def identify(molecule: Atoms) -> Species:
    """Identify a molecule (whole, without periodicity); hydrogens that the crystal lacks are allowed for."""
    numbers = np.asarray(molecule.numbers, dtype=np.int64)
    if len(numbers) == 1 and is_counter_ion_metal(numbers)[0]:
        charge = 1 if numbers[0] in _ALKALI else 2
        return Species(formula(numbers), f"{formula(numbers)}{'+' if charge == 1 else ' 2+'}", charge, True)
    if is_metal(numbers).any():
        name = formula(numbers)
        alike = (n for n in _IONS if _hydrogens(n) and _without_hydrogen(n) == _without_hydrogen(name))
        known = _look_up(name if name in _IONS else next(alike, ""), True)
        return known or Species(name, "", None, False)
    grown, _ = add_hydrogens(molecule)
    for atoms in (molecule, grown):
        known = _look_up(formula(atoms.numbers), not _may_lack_hydrogen(formula(atoms.numbers)))
        if known:
            return known
    ligand = find_ligands(grown)
    charge = -sum(x.charge for x in ligand)
    doubtful = any(x.doubt for x in ligand) or len(ligand) != 1
    if not doubtful and _onium(charge, grown):
        return Species(formula(grown.numbers), "", charge, True)
    if not doubtful and charge == 0 and _is_amine(grown):
        return Species(formula(grown.numbers), "", charge, False)
    lacking = _lacking_hydrogens(grown.numbers)
    if lacking:
        return lacking
    certain = not doubtful and charge == 0 and bool(np.any(grown.numbers == 6))
    return Species(formula(grown.numbers), "", None if doubtful else charge, certain)


def _look_up(name: str, certain: bool) -> Species | None:
    if name in _IONS:
        return Species(name, *_IONS[name], certain)
    return Species(name, _SOLVENTS[name], 0, certain) if name in _SOLVENTS else None


def _may_lack_hydrogen(name: str) -> bool:
    """Is there a known species of another charge that differs by hydrogens alone, which X-rays may have missed?

    Water is taken for water: where H3O+ is meant, it is listed so.
    """
    if name == "H2O":
        return False
    heavy, present = _without_hydrogen(name), _hydrogens(name)
    more = {n for n in (*_SOLVENTS, *_IONS) if _without_hydrogen(n) == heavy and _hydrogens(n) > present}
    return any(_charge_of(n) != _charge_of(name) for n in more)


def _charge_of(name: str) -> int:
    return _IONS[name][1] if name in _IONS else 0


def _lacking_hydrogens(numbers: IntArray) -> Species | None:
    """The known species with these heavy atoms and more hydrogens on its O and N; certain for water, listed as O."""
    present = int(np.sum(numbers == 1))
    heavy = _without_hydrogen(formula(numbers))
    if heavy == "O":
        return _look_up("H2O", True)
    room = 4 * int(np.sum(np.isin(numbers, (7, 8))))
    names = [n for n in (*_SOLVENTS, *_IONS) if _without_hydrogen(n) == heavy]
    names = [n for n in names if present < _hydrogens(n) <= present + room]
    charges = {_charge_of(n) for n in names}
    certain = len(names) == 1 and present > 0
    return _look_up(names[0], certain) if len(charges) == 1 else None


def _onium(charge: int, atoms: Atoms) -> bool:
    """Is it a cation because an N, P or As has four carbons, whatever hydrogens may be missing?"""
    numbers, rows = _neighbours_of(atoms)
    if charge != 1 or set(numbers.tolist()) - {1, 6, 7, 15, 33}:
        return False
    return sum(numbers[i] in (7, 15, 33) and len(rows[i]) == 4 for i in range(len(numbers))) == 1


def _is_amine(atoms: Atoms) -> bool:
    """Has it an N between hydrogens and saturated carbons alone, which a hydrogen that is missing makes a cation?"""
    numbers, rows = _neighbours_of(atoms)
    saturated = (numbers == 1) | ((numbers == 6) & (np.array([len(row) for row in rows]) == 4))
    return any(
        numbers[i] == 7 and len(rows[i]) < 4 and bool(saturated[list(rows[i])].all()) for i in range(len(numbers))
    )


def _neighbours_of(atoms: Atoms) -> tuple[IntArray, list[list[int]]]:
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    return numbers, neighbours(len(numbers), bonds(numbers, np.asarray(atoms.positions, dtype=np.float64)))


def _parse_formula(name: str) -> list[tuple[str, int]]:
    return [(symbol, int(count or 1)) for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*)", name)]


def _without_hydrogen(name: str) -> str:
    return "".join(f"{s}{n if n > 1 else ''}" for s, n in _parse_formula(name) if s != "H")


def _hydrogens(name: str) -> int:
    return sum(n for s, n in _parse_formula(name) if s == "H")


NEARLY = 0.4
"""An anion that is so much (A) farther from a metal than the longest bond is rather a ligand to some eyes."""
_CLUSTER = 4  # metal atoms
_WHOLE = 0.02
"""How far from a whole number the charge of each cluster may be."""


@dataclass(frozen=True)
class Companions:
    """What the cell holds beside the clusters: ``species`` of each molecule number, their ``occupancy`` (1, or less
    for a partly occupied one without an alternative)."""

    species: dict[int, Species]
    occupancy: dict[int, float]

    def count(self, *, ions: bool) -> dict[str, int | float]:
        """Formula -> how many in the cell, of the counter-ions or of everything else (solvent, unknown).

        Those on partly occupied sites count for as much as they are there; the number may then not be whole.
        """
        counts: dict[str, float] = {}
        for number, species in self.species.items():
            if species.is_ion is ions:
                counts[species.formula] = counts.get(species.formula, 0.0) + self.occupancy[number]
        return {
            name: round(count) if abs(count - round(count)) < _WHOLE else round(count, 2)
            for name, count in counts.items()
        }

    def listing(self, *, ions: bool) -> str:
        """``2 x Na, 1.5 x Cl on 2 sites``: :meth:`count` in words."""
        sites = Counter(species.formula for species in self.species.values() if species.is_ion is ions)
        return ", ".join(
            f"{count} x {name}" + (f" on {counted(sites[name], 'site')}" if sites[name] != count else "")
            for name, count in self.count(ions=ions).items()
        )

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


def identify_companions(filled: FilledCell) -> Companions:
    """Identify every molecule of the cell that is not a cluster (one of each formula is looked at)."""
    from ase import Atoms

    clusters = set(filled.clusters)
    identified: dict[str, Species] = {}
    species: dict[int, Species] = {}
    occupancy: dict[int, float] = {}
    for number, molecule in enumerate(filled.molecules):
        if number in clusters:
            continue
        if molecule.formula not in identified:
            try:
                atoms = Atoms(numbers=filled.numbers[molecule.atoms], positions=unwrap(filled, number))
                identified[molecule.formula] = identify(_trim_water(atoms, filled.occupancy[molecule.atoms]))
            except StructureError:  # a disordered chain through the crystal
                identified[molecule.formula] = Species(molecule.formula, "", None, False)
        species[number] = identified[molecule.formula]
        occupancy[number] = _share(filled, molecule.atoms)
    return Companions(species, occupancy)


def weigh_counter_ions(filled: FilledCell, others: Companions) -> Witness:
    """The charge of each cluster that makes the cell neutral."""
    clusters = filled.clusters
    ions = {k: s for k, s in others.species.items() if s.is_ion}
    if not ions:
        return _without_ions(filled, others)
    total = sum((s.charge or 0) * others.occupancy[k] for k, s in ions.items())
    charge_per_cluster = -total / len(clusters)
    formulas = {filled.molecules[k].formula for k in clusters}
    unsure = any(not (s.certain or s.is_ion) for s in others.species.values())
    doubts = [
        ("there are several kinds of cluster", len(formulas) > 1),
        ("some molecules are not recognised, or may lack a hydrogen", unsure),
        ("the charge of an ion is uncertain", any(not s.certain for s in ions.values())),
        ("the file says that density of solvent or ions was masked", filled.crystal.masked),
        ("the ions do not balance whole charges", abs(charge_per_cluster - round(charge_per_cluster)) > _WHOLE),
    ]
    open_doubts = [text for text, holds in doubts if holds]
    charge = round(charge_per_cluster) if abs(charge_per_cluster - round(charge_per_cluster)) <= _WHOLE else None
    charge_text = f"{charge:+d}" if charge else "0" if charge == 0 else f"{charge_per_cluster:+.2f}"
    each = "each" if len(clusters) > 1 else "the"
    listed = others.listing(ions=True)
    reason = f"{counted(len(clusters), 'cluster')} and {listed} in the cell: {charge_text} for {each} cluster"
    reason += f"; not complete: {'; '.join(open_doubts)}" if open_doubts else ""
    return Witness(charge, not open_doubts, reason)


def anions_near(filled: FilledCell, others: Companions, number: int) -> list[str]:
    """Sentences about anions that nearly touch the metals of molecule ``number``: ligands, to some eyes."""
    metals = filled.molecules[number].atoms
    metals = metals[is_metal(filled.numbers[metals]) & ~is_counter_ion_metal(filled.numbers[metals])]
    kind = np.zeros(len(filled.numbers), dtype=np.int64)  # which molecule an atom of an anion belongs to, from 1
    for other, species in others.species.items():
        if (species.charge or 0) < 0:
            kind[filled.molecules[other].atoms] = other + 1
    kind[filled.numbers == 1] = 0
    chosen = np.sort(np.concatenate([metals, np.flatnonzero(kind)]))
    if not kind.any() or not len(metals):
        return []
    elements = filled.numbers[chosen]
    reach = longest_bond(elements) + NEARLY
    pairs = close_periodic_pairs(filled.fractional[chosen], filled.crystal.cell, reach)
    limit = bond_limit(elements[pairs.first], elements[pairs.second]) + NEARLY
    owner = kind[chosen]
    mixed = (owner[pairs.first] == 0) != (owner[pairs.second] == 0)
    near = pairs.select(mixed & (pairs.distance < limit))
    shortest: dict[str, float] = {}
    for first, second, distance in zip(near.first, near.second, near.distance, strict=True):
        name = others.species[int(max(owner[first], owner[second])) - 1].formula
        shortest[name] = min(shortest.get(name, np.inf), float(distance))
    return [
        f"{name} comes to {distance:.2f} A of a metal of the cluster, little more than a bond's length: left out as a "
        "counter-ion; an xyz file with both and --allow-several computes them together"
        for name, distance in sorted(shortest.items())
    ]


def _without_ions(filled: FilledCell, others: Companions) -> Witness:
    """What the absence of ions means: nothing, where some may have been overlooked."""
    listed = others.listing(ions=False)
    unknown = sorted({s.formula for s in others.species.values() if not _is_neutral(s)})
    kinds = sorted({filled.molecules[k].formula for k in filled.clusters})
    if len(kinds) > 1:
        words = f"{', '.join(kinds)} are in the cell, one of which may be the counter-ion of another"
        return Witness(None, False, words)
    if filled.crystal.masked:
        return Witness(None, False, "the file lists no counter-ions (the file says that some density was masked)")
    if not listed:
        return Witness(None, False, "the cell holds nothing but clusters: counter-ions may not have been located")
    if unknown:
        return Witness(None, False, f"the file lists no counter-ions, but {', '.join(unknown)} is not recognised")
    reason = f"the cell holds {listed} and no counter-ions, as beside a neutral cluster"
    return Witness(None, False, reason, absent=True)


def _is_neutral(species: Species) -> bool:
    """Is it certainly not an ion?  A hydrocarbon is not, even with a hydrogen too many."""
    hydrocarbon = re.fullmatch(r"C\d*(H\d*)?", species.formula) is not None
    return hydrocarbon or (species.charge == 0 and species.certain)


def _trim_water(atoms: Atoms, occupancy: FloatArray) -> Atoms:
    """Give water two hydrogens where they are spread over three or four places and would look like H3O."""
    hydrogen = atoms.numbers == 1
    if np.all(atoms.numbers[~hydrogen] == 8) and np.any(occupancy[hydrogen] < PARTIAL):
        return atoms[[*np.flatnonzero(~hydrogen), *np.flatnonzero(hydrogen)[:2]]]
    return atoms


def _share(filled: FilledCell, atoms: IntArray) -> float:
    """Occupancy of a molecule: 1 where its alternatives were dropped, else the mean of its atoms but hydrogens."""
    heavy = filled.numbers[atoms] > 1
    atoms = atoms[heavy] if heavy.any() else atoms
    partial = filled.occupancy[atoms] < PARTIAL
    if not partial.any() or filled.contested[atoms[partial]].mean() > 0.5:
        return 1.0
    return float(filled.occupancy[atoms].mean())
