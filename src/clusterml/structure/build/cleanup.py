"""Tidying placed ligands with a force field: bond lengths and contacts of the ligands, metals and donors held fast.

UFF (Rappe et al., J. Am. Chem. Soc. 1992, 114, 10024) in RDKit.  The frame takes part as unbonded atoms that push;
every free atom is held near its place by a weak spring, so that a ligand keeps the direction it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.structure.build.conformers import Conformers
from clusterml.structure.build.contacts import closest_contact
from clusterml.structure.steady import on_grid
from clusterml.typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import LigandEntry

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
    taken = np.concatenate([np.flatnonzero(nearest < _NONBONDED), np.arange(first, len(atoms))])
    free = ~np.isin(taken, fixed)
    done = atoms.copy()
    if not free.any():
        return np.array(atoms.positions)
    with rdBase.BlockLogs():
        molecule = _molecule(atoms[taken], ligands, int(np.sum(taken < first)))
        if not rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
            return np.array(atoms.positions)
        for reach in _FREE_MOVES:
            for steps in (_STEPS,) if keep is None else (_STEPS // 8,) * 8:
                more = _minimise(molecule, free, reach, steps)
                moved = np.array(molecule.GetConformer().GetPositions())
                if not np.isfinite(moved).all():
                    return np.array(done.positions)
                done.positions[taken[free]] = moved[free]
                if keep is not None:
                    done.positions[:] = keep(done.positions)
                    _put(molecule, done.positions[taken])
                if not more:
                    break
            contact = closest_contact(done)
            if contact is None or contact.ratio > _ROOMY:
                break
    return np.array(done.positions)


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
    for index, (x, y, z) in enumerate(on_grid(positions).tolist()):
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
