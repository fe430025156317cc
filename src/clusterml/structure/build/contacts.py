"""Checks of contacts, ligands and bond lengths of a built structure, and a force field that tidies placed ligands.

UFF (Rappe et al., J. Am. Chem. Soc. 1992, 114, 10024) in RDKit.  The frame takes part as unbonded atoms that push;
every free atom is held near its place by a weak spring, so that a ligand keeps the direction it was given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.bonds import AtomPairs, bonds, close_pairs, neighbours
from clusterml.structure.build.conformers import Conformers, donor_symbols
from clusterml.structure.build.packing import radii
from clusterml.structure.elements import is_metal
from clusterml.structure.points import snap_to_grid
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import LigandEntry


@dataclass(frozen=True)
class BondRange:
    """How many bonds of one kind there are, the shortest and the longest (A)."""

    count: int
    shortest: float
    longest: float

    def __str__(self) -> str:
        return f"{self.shortest:.2f}-{self.longest:.2f}"


def measure_bond_ranges(atoms: Atoms) -> dict[str, BondRange]:
    """Ranges of all bonds with a metal, by elements (``"Ag-S"``; the metal first), metal-metal first, then by name.

    Bonds are those of :mod:`clusterml.structure.bonds`: Ag-Ag up to 3.45, Ag-S up to 2.90, Ag-O up to 2.51 A.
    """
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    lengths: dict[str, list[float]] = {}
    pairs = bonds(numbers, np.asarray(atoms.positions, dtype=np.float64))
    for i, j, distance in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.distance.tolist(), strict=True):
        if not (metal[i] or metal[j]):
            continue
        first, second = (i, j) if metal[i] else (j, i)
        lengths.setdefault(f"{atoms.symbols[first]}-{atoms.symbols[second]}", []).append(distance)
    order = sorted(lengths, key=lambda kind: (kind.split("-")[0] != kind.split("-")[1], kind))
    return {kind: BondRange(len(lengths[kind]), min(lengths[kind]), max(lengths[kind])) for kind in order}


CLOSEST = 0.70
"""Closest sane contact of two atoms more than two bonds apart, as a fraction of their van der Waals radii's sum: H...H
1.68, C...H 2.03, C...C 2.38, Ag...H 2.04, Ag...C 2.39 A.  In crystals of such clusters contacts go down to about
0.75."""
_HYDROGEN_BOND = 0.75  # a hydrogen bond may be shorter by this factor: H...O 1.43 A
_ACCEPTORS = (7, 8, 9, 16, 17)
_RANGE = 4.0


@dataclass(frozen=True)
class Contact:
    """Two atoms (indices) not bonded to each other or to a common atom, their distance in A, and that distance divided
    by the sum of their van der Waals radii (by 0.75 of it for a hydrogen bond)."""

    first: int
    second: int
    distance: float
    ratio: float


def find_closest_contact(atoms: Atoms) -> Contact | None:
    """The tightest non-bonded contact within 4 A, metal-metal pairs left out; None if there is none."""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    positions = np.asarray(atoms.positions, dtype=np.float64)
    if len(numbers) < 2:
        return None
    near = close_pairs(positions, _RANGE)
    metal = is_metal(numbers)
    bonded = [set(row) for row in neighbours(len(numbers), bonds(numbers, positions))]
    size = radii(numbers)
    keep = ~(metal[near.first] & metal[near.second])
    best: Contact | None = None
    ratios = near.distance / (size[near.first] + size[near.second])
    ratios[_hydrogen_bonds(numbers, bonded, near)] /= _HYDROGEN_BOND
    for k in np.argsort(ratios).tolist():
        i, j = int(near.first[k]), int(near.second[k])
        if not keep[k] or j in bonded[i] or bonded[i] & bonded[j]:
            continue
        best = Contact(i, j, float(near.distance[k]), float(ratios[k]))
        break
    return best


def _hydrogen_bonds(numbers: IntArray, bonded: list[set[int]], near: AtomPairs) -> BoolArray:
    """Which close pairs are a hydrogen on N or O and an acceptor."""
    acidic = np.array(
        [z == 1 and any(numbers[j] in (7, 8) for j in row) for z, row in zip(numbers, bonded, strict=True)]
    )
    acceptor = np.isin(numbers, _ACCEPTORS)
    return (acidic[near.first] & acceptor[near.second]) | (acidic[near.second] & acceptor[near.first])


def check_contacts(atoms: Atoms, title: str = "structure", closest: float = CLOSEST) -> None:
    """Raise :class:`~clusterml.errors.StructureError`, naming the atoms, if a contact is tighter than ``closest``."""
    contact = find_closest_contact(atoms)
    if contact is not None and contact.ratio < closest:
        names = " and ".join(f"{atoms.symbols[i]}{i + 1}" for i in (contact.first, contact.second))
        raise StructureError(
            f"{title}: {names} are {contact.distance:.2f} A apart ({contact.ratio:.2f} of the van der Waals distance)",
            "the ligands do not fit: choose smaller ones, fewer of them, or another seed",
        )


def check_ligands(
    atoms: Atoms, expected: Counter[LigandEntry] | dict[LigandEntry, int], title: str = "structure"
) -> None:
    """Raise :class:`~clusterml.errors.StructureError` unless the bonding graph has exactly the expected ligands.

    Each must have the formula and charge of its library entry and be bonded to a metal by atoms of the elements that
    are its donors; nothing else may be in the structure but metals.
    """
    required: Counter[tuple[str, int]] = Counter()
    for entry, count in expected.items():
        required[entry.formula, entry.charge] += count
    present = Counter((ligand.formula, ligand.charge) for ligand in find_ligands(atoms))
    if present != required:
        missing, extra = required - present, present - required
        raise StructureError(
            f"{title}: the bonds do not give the ligands that were placed: missing {_list_ligands(missing)}, "
            f"found instead {_list_ligands(extra)}",
            "the ligands do not fit: choose smaller ones, fewer of them, or another seed",
        )
    _check_donors(atoms, {entry.formula: entry for entry in expected}, title)


def _check_donors(atoms: Atoms, entries: dict[str, LigandEntry], title: str) -> None:
    for ligand in find_ligands(atoms):
        allowed = set(donor_symbols(entries[ligand.formula]))
        elements = {str(atoms.symbols[i]) for i in ligand.donors}
        if not elements or not elements & allowed:
            atom = int(ligand.atoms[0])
            state = "binds no metal" if not elements else "binds with the wrong atom"
            raise StructureError(
                f"{title}: {ligand.formula} (atom {atoms.symbols[atom]}{atom + 1} and others) {state}",
                "check the site of this ligand",
            )


def _list_ligands(counts: Counter[tuple[str, int]]) -> str:
    return ", ".join(f"{n} x {name} (charge {-q:+d})" for (name, q), n in sorted(counts.items())) or "none"


def find_donors(atoms: Atoms) -> IntArray:
    """Indices of all atoms of ligands that are bonded to a metal, sorted."""
    donors = [ligand.donors for ligand in find_ligands(atoms)]
    return np.sort(np.concatenate(donors)) if donors else np.empty(0, dtype=np.int64)


_FREE_MOVES = (0.25, 0.8, 1.6)  # A, tried in turn until there is room
_ROOMY = 0.80  # of the van der Waals distance
_SPRING = 5.0  # kcal/mol/A^2
_STEPS = 400
_NONBONDED = 6.0  # A


_LARGE, _SMALL = 17, 9
"""Chlorine and fluorine stand for atoms that only push: UFF has no types for metals, or for C and S, without bonds.
Its F is about as large as its Ag (3.36 and 3.15 A), its Cl as its C and S (3.95, 3.85, 4.04 A)."""


def clean_up(
    atoms: Atoms,
    ligands: Sequence[tuple[LigandEntry, Conformers]],
    first: int,
    fixed: IntArray,
    keep: Callable[[FloatArray], FloatArray] | None = None,
) -> FloatArray:
    """Tidied positions ``(n, 3)`` in A of ``atoms``, whose ligands in order begin at atom ``first``.

    ``fixed``: indices of atoms that stay.  ``keep``: makes positions ``(n, 3)`` exactly symmetric again; without it the
    round-off of the minimiser grows until the symmetry is lost.  Where UFF has no parameters the positions come back
    unchanged.
    """
    from rdkit import rdBase
    from rdkit.Chem import rdForceFieldHelpers
    from scipy.spatial import cKDTree

    nearest, _ = cKDTree(atoms.positions[first:]).query(atoms.positions[:first])
    indices = np.concatenate([np.flatnonzero(nearest < _NONBONDED), np.arange(first, len(atoms))])
    free = ~np.isin(indices, fixed)
    tidied = atoms.copy()
    if not free.any():
        return np.array(atoms.positions)
    with rdBase.BlockLogs():
        molecule = _molecule(atoms[indices], ligands, int(np.sum(indices < first)))
        if not rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
            return np.array(atoms.positions)
        for reach in _FREE_MOVES:
            for steps in (_STEPS,) if keep is None else (_STEPS // 8,) * 8:
                more = _minimise(molecule, free, reach, steps)
                moved = np.array(molecule.GetConformer().GetPositions())
                if not np.isfinite(moved).all():
                    return np.array(tidied.positions)
                tidied.positions[indices[free]] = moved[free]
                if keep is not None:
                    tidied.positions[:] = keep(tidied.positions)
                    _put(molecule, tidied.positions[indices])
                if not more:
                    break
            contact = find_closest_contact(tidied)
            if contact is None or contact.ratio > _ROOMY:
                break
    return np.array(tidied.positions)


def _minimise(molecule: Any, free: BoolArray, reach: float, steps: int) -> bool:
    """Minimise the molecule in place; free atoms may move by ``reach`` (A) before a spring holds them.

    Returns whether more steps are needed.
    """
    from rdkit.Chem import rdForceFieldHelpers

    field = rdForceFieldHelpers.UFFGetMoleculeForceField(
        molecule, vdwThresh=_NONBONDED, ignoreInterfragInteractions=False
    )
    field.Initialize()
    for index, movable in enumerate(free.tolist()):
        if movable:
            field.UFFAddPositionConstraint(index, reach, _SPRING)
        else:
            field.AddFixedPoint(index)
    try:
        return bool(field.Minimize(maxIts=steps))
    except RuntimeError:  # RDKit's line search can fail where the force field is not smooth: keep what was reached
        return False


def _put(molecule: Any, positions: FloatArray) -> None:
    from rdkit.Geometry import Point3D

    shape = molecule.GetConformer()
    for index, (x, y, z) in enumerate(snap_to_grid(positions).tolist()):
        shape.SetAtomPosition(index, Point3D(x, y, z))


def _stand_in(number: int) -> int:
    """Atomic number of the free atom that takes the place of one in the frame."""
    if number == 1:
        return 1
    return _LARGE if number in (6, 7, 15, 16, 17, 34, 35, 53) else _SMALL


def _molecule(atoms: Atoms, ligands: Sequence[tuple[LigandEntry, Conformers]], first: int) -> Any:
    """One RDKit molecule of unbonded frame atoms and whole ligands, with the positions of ``atoms``."""
    from rdkit import Chem

    edit = Chem.RWMol()
    for number in atoms.numbers[:first].tolist():
        atom = Chem.Atom(_stand_in(number))
        atom.SetNoImplicit(True)
        edit.AddAtom(atom)
    whole = edit.GetMol()
    for entry, _ in ligands:
        whole = Chem.CombineMols(whole, Chem.AddHs(Chem.MolFromSmiles(entry.smiles)))
    whole.RemoveAllConformers()
    whole.AddConformer(Chem.Conformer(len(atoms)))
    _put(whole, atoms.positions)
    Chem.SanitizeMol(whole)
    return whole
