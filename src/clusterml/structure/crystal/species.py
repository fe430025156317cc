"""What the molecules beside a cluster are: known counter-ions and solvents, or a charge from their bonds.

The tables hold what crystals of ligand-protected clusters usually contain.  A molecule that is in neither gets the
charge that its valences ask for (:mod:`clusterml.structure.anatomy.ligands`), which is certain only for ions whose
charge does not hang on a hydrogen that X-rays may have missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.crystal.hydrogens import add_hydrogens
from clusterml.structure.elements import formula, is_counter_ion_metal, is_metal
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms

# formula in the order of `clusterml.structure.elements.formula` -> (name, charge)
_IONS = {
    "F6P": ("PF6-", -1), "BF4": ("BF4-", -1), "F6Sb": ("SbF6-", -1), "AsF6": ("AsF6-", -1), "ClO4": ("ClO4-", -1),
    "NO3": ("NO3-", -1), "NO2": ("NO2-", -1), "O4S": ("SO4 2-", -2), "HO4S": ("HSO4-", -1), "F6Si": ("SiF6 2-", -2),
    "CF3O3S": ("triflate", -1), "C2F6NO4S2": ("NTf2-", -1), "N3": ("azide", -1), "CNS": ("thiocyanate", -1),
    "CNO": ("cyanate", -1), "HO": ("hydroxide", -1), "CHO3": ("hydrogencarbonate", -1), "CO3": ("carbonate", -2),
    "C2F3O2": ("trifluoroacetate", -1), "I3": ("I3-", -1), "F": ("F-", -1), "Cl": ("Cl-", -1), "Br": ("Br-", -1),
    "I": ("I-", -1), "C24H20B": ("BPh4-", -1), "C24BF20": ("B(C6F5)4-", -1), "C32H12BF24": ("BArF-", -1),
    "CB11H12": ("carborane monoanion", -1), "C24H20P": ("PPh4+", 1), "C24H20As": ("AsPh4+", 1),
    "C36H30NP2": ("PPN+", 1), "H4N": ("NH4+", 1), "C4H12N": ("NMe4+ or an isomer", 1), "C8H20N": ("NEt4+", 1),
    "C12H28N": ("NPr4+", 1), "C16H36N": ("NBu4+", 1), "C32H68N": ("N(C8H17)4+", 1), "C6H16N": ("HNEt3+", 1),
    "H3O": ("H3O+", 1), "C19H42N": ("CTA+", 1),
}  # fmt: skip
_SOLVENTS = {
    "H2O": "water", "CH4O": "methanol", "C2H6O": "ethanol", "C3H8O": "propanol", "C2H3N": "acetonitrile",
    "C3H6O": "acetone", "C3H7NO": "DMF", "C2H6OS": "DMSO", "C4H9NO": "DMAc", "C5H9NO": "NMP", "CH2Cl2": "CH2Cl2",
    "CHCl3": "CHCl3", "CCl4": "CCl4", "C2H4Cl2": "dichloroethane", "C6H6": "benzene", "C7H8": "toluene",
    "C8H10": "xylene", "C6H5Cl": "chlorobenzene", "C6H4Cl2": "dichlorobenzene", "C6H5F": "fluorobenzene",
    "C4H8O": "THF", "C4H10O": "diethyl ether", "C4H8O2": "ethyl acetate or dioxane", "C5H12": "pentane",
    "C6H14": "hexane", "C6H12": "cyclohexane", "C7H16": "heptane", "C8H18": "octane", "C5H5N": "pyridine",
    "CS2": "CS2", "CH3NO2": "nitromethane", "H3N": "ammonia", "C6H15N": "triethylamine", "C2H4O2": "acetic acid",
    "C2HF3O2": "trifluoroacetic acid", "C18H15P": "PPh3", "C18H15OP": "OPPh3",
}  # fmt: skip
_ACIDS = ("C2H4O2", "C2HF3O2")  # without its hydrogen an acid looks like its anion
_ALKALI = (3, 11, 19, 37, 55, 87)


@dataclass(frozen=True)
class Species:
    """A kind of molecule beside the cluster: ``formula`` (with the hydrogens it should have, where that is known),
    ``name`` ("" if unknown), ``charge`` (None if it cannot be told) and whether that is ``certain``."""

    formula: str
    name: str
    charge: int | None
    certain: bool

    @property
    def is_ion(self) -> bool:
        """Does it carry a charge?"""
        return bool(self.charge)


def identify(molecule: Atoms) -> Species:
    """What a molecule (whole, without periodicity) is; hydrogens that the crystal lacks are allowed for."""
    numbers = np.asarray(molecule.numbers, dtype=np.int64)
    if len(numbers) == 1 and is_counter_ion_metal(numbers)[0]:
        charge = 1 if numbers[0] in _ALKALI else 2
        return Species(formula(numbers), f"{formula(numbers)}{'+' if charge == 1 else ' 2+'}", charge, True)
    if is_metal(numbers).any():
        return Species(formula(numbers), "", None, False)
    grown, _ = add_hydrogens(molecule)
    for atoms in (molecule, grown):
        known = _known(formula(atoms.numbers), True)
        if known:
            return known
    ligand = find_ligands(grown)
    charge = -sum(x.charge for x in ligand)
    doubtful = any(x.doubt for x in ligand) or len(ligand) != 1
    if not doubtful and _onium(charge, grown):
        return Species(formula(grown.numbers), "", charge, True)
    lacking = _lacking_hydrogens(grown.numbers)
    if lacking:
        return lacking
    certain = not doubtful and charge == 0 and bool(np.any(grown.numbers == 6))
    return Species(formula(grown.numbers), "", None if doubtful else charge, certain)


def _known(name: str, certain: bool) -> Species | None:
    if name in _IONS:
        return Species(name, *_IONS[name], certain)
    return Species(name, _SOLVENTS[name], 0, certain) if name in _SOLVENTS else None


def _lacking_hydrogens(numbers: IntArray) -> Species | None:
    """The known species with these heavy atoms and more hydrogens on its O and N; certain for water, listed as O."""
    present = int(np.sum(numbers == 1))
    heavy = _without_hydrogen(formula(numbers))
    if heavy == "O":
        return _known("H2O", True)
    room = 4 * int(np.sum(np.isin(numbers, (7, 8))))
    names = [n for n in (*_SOLVENTS, *_IONS) if _without_hydrogen(n) == heavy]
    names = [n for n in names if present < _hydrogens(n) <= present + room]
    charges = {_IONS[n][1] if n in _IONS else 0 for n in names}
    certain = len(names) == 1 and present > 0 and names[0] not in _ACIDS
    return _known(names[0], certain) if len(charges) == 1 else None


def _onium(charge: int, atoms: Atoms) -> bool:
    """Is it a cation because of an N, P or As with four carbons, whatever hydrogens may be missing?"""
    from clusterml.structure.bonds import bonds, neighbours

    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    if charge != 1 or set(numbers.tolist()) - {1, 6, 7, 15, 33}:
        return False
    rows = neighbours(len(numbers), bonds(numbers, np.asarray(atoms.positions, dtype=np.float64)))
    return sum(numbers[i] in (7, 15, 33) and len(rows[i]) == 4 for i in range(len(numbers))) == 1


def _split(name: str) -> list[tuple[str, int]]:
    import re

    return [(symbol, int(count or 1)) for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*)", name)]


def _without_hydrogen(name: str) -> str:
    return "".join(f"{s}{n if n > 1 else ''}" for s, n in _split(name) if s != "H")


def _hydrogens(name: str) -> int:
    return sum(n for s, n in _split(name) if s == "H")
