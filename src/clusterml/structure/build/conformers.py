"""Shapes of free ligands: conformers from RDKit, lowest first, as they are when bound to a metal.

ETKDG distance geometry and the MMFF94 force field (UFF where MMFF has no parameters).  A thiolate is shaped as its
thiol, whose C-S bond is that of the bound ligand, and the hydrogen is taken away.  Enantiomers get exact
mirror images.  The axis of a hindered biaryl keeps the hand of the library entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import StructureError
from clusterml.structure.anatomy.hands import find_axes, find_hands, turns_of_axes
from clusterml.structure.rotations import kabsch
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from clusterml.structure.anatomy.library import LigandEntry

MOST_CONFORMERS = 12
"""Conformers kept of a ligand."""
_EMBEDDED = 40
_HIGHEST_KCAL = 5.0  # above the lowest
_DIFFERENT = 0.05  # A, rms of sorted distances
_FLAT = 0.01  # A, rms distance of a flat ligand from its mirror image
_SEED = 20220511


@dataclass(frozen=True)
class Conformers:
    """A ligand's atoms and shapes.

    ``numbers`` ``(n,)``; ``positions`` ``(c, n, 3)`` in A, lowest energy first; ``energy_kcal`` ``(c,)`` above the
    lowest; ``donors`` ``(d,)`` indices of the donor atoms; ``bonds`` ``(b, 2)``.  The SMILES' atoms come first, in its
    order, then the hydrogens.
    """

    numbers: IntArray
    positions: FloatArray
    energy_kcal: FloatArray
    donors: IntArray
    bonds: IntArray

    def mirrored(self) -> Conformers:
        """The same shapes seen in a mirror (x -> -x)."""
        return Conformers(
            self.numbers, self.positions * np.array([-1.0, 1.0, 1.0]), self.energy_kcal, self.donors, self.bonds
        )

    def neighbours(self, atom: int) -> IntArray:
        """The atoms bonded to one atom."""
        rows = self.bonds[(self.bonds == atom).any(axis=1)]
        return np.asarray(rows[rows != atom], dtype=np.int64)


def find_conformers(entry: LigandEntry) -> Conformers:
    """Shapes of a library ligand; raises :class:`~clusterml.errors.StructureError` if RDKit finds none."""
    return _conformers(entry.name, entry.smiles, entry.donors, entry.hand)


def donor_symbols(entry: LigandEntry) -> list[str]:
    """Element symbols of a ligand's donors."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(entry.smiles)
    return [str(molecule.GetAtomWithIdx(i).GetSymbol()) for i in entry.donors]


@lru_cache(maxsize=128)
def _conformers(name: str, smiles: str, donors: tuple[int, ...], hand: str | None) -> Conformers:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        hands = find_hands(molecule)
        if hand not in hands and len(hands) > 1:
            listed = " or ".join(str(one) for one in hands)
            raise StructureError(f"the ligand {name} has a hindered axis, whose hand is not stated", f"state {listed}")
        turns = hands.get(hand, ())
        other, mirrored = _invert_stereocentres(molecule), tuple(-turn for turn in turns)
        first, second = (Chem.MolToSmiles(molecule), turns), (Chem.MolToSmiles(other), mirrored)
        shaped, wanted = (other, mirrored) if second < first else (molecule, turns)
        shapes = _embed(name, shaped, wanted, donors)
    if first != second:
        return shapes if second > first else shapes.mirrored()
    return _with_mirror_images(shapes)


def _invert_stereocentres(molecule: Any) -> Any:
    from rdkit import Chem

    other = Chem.Mol(molecule)
    for atom in other.GetAtoms():
        if atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED:
            atom.InvertChirality()
    return other


def _embed(name: str, molecule: Any, turns: tuple[int, ...], donors: tuple[int, ...]) -> Conformers:
    """Shapes of a molecule whose hindered axes have the ``turns``."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    full = Chem.AddHs(_protonate_donors(molecule, donors))
    options: Any = rdDistGeom.ETKDGv3()
    options.randomSeed = _SEED
    options.pruneRmsThresh = 0.1
    rdDistGeom.EmbedMultipleConfs(full, _EMBEDDED if full.GetNumAtoms() > 2 else 1, options)
    energies = _optimise(full)
    shapes = [conformer.GetPositions() for conformer in full.GetConformers()]
    right = [k for k, shape in enumerate(shapes) if turns_of_axes(find_axes(molecule), shape) == turns]
    if not right:
        raise StructureError(f"RDKit finds no shape for the ligand {name}", "check its SMILES in the library")
    keep = [atom.GetIdx() for atom in full.GetAtoms() if not atom.HasProp("_extra")]
    place = {old: new for new, old in enumerate(keep)}
    pairs = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in full.GetBonds()]
    bonds = np.array([(place[i], place[j]) for i, j in pairs if i in place and j in place], dtype=np.int64)
    positions, energies = np.array([shapes[k][keep] for k in right]), energies[right]
    numbers = np.array([full.GetAtomWithIdx(i).GetAtomicNum() for i in keep], dtype=np.int64)
    order = _select_distinct(numbers, positions, energies)
    return Conformers(
        numbers, positions[order], energies[order] - energies[order[0]], np.array(donors, dtype=np.int64),
        bonds.reshape(-1, 2),
    )  # fmt: skip


def _protonate_donors(molecule: Any, donors: tuple[int, ...]) -> Any:
    """Anionic sulfur (and carbon) donors with a hydrogen each, marked ``_extra`` once hydrogens are added.

    A carbene between nitrogens is shaped as its amidinium ion, whichever way its SMILES writes it.
    """
    from rdkit import Chem

    edit = Chem.RWMol(molecule)
    for index in donors:
        atom = edit.GetAtomWithIdx(index)
        nitrogen = [other for other in atom.GetNeighbors() if other.GetSymbol() == "N" and not other.GetFormalCharge()]
        if atom.GetSymbol() == "C" and atom.GetNumRadicalElectrons() == 2 and nitrogen:
            atom.SetNumRadicalElectrons(0)
            atom.SetFormalCharge(-1)
            nitrogen[0].SetFormalCharge(1)
            edit.GetBondBetweenAtoms(index, nitrogen[0].GetIdx()).SetBondType(Chem.BondType.DOUBLE)
        if atom.GetSymbol() in ("S", "Se", "Te", "C") and atom.GetFormalCharge() == -1 and atom.GetDegree() > 0:
            atom.SetFormalCharge(0)
            extra = Chem.Atom(1)
            extra.SetProp("_extra", "yes")
            edit.AddBond(index, edit.AddAtom(extra), Chem.BondType.SINGLE)
    Chem.SanitizeMol(edit)
    return edit.GetMol()


def _optimise(full: Any) -> FloatArray:
    """Relax every conformer in place; their energies ``(c,)`` in kcal/mol (0 for single atoms)."""
    from rdkit.Chem import rdForceFieldHelpers

    if full.GetNumAtoms() == 1:
        return np.zeros(full.GetNumConformers())
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(full):
        outcomes = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(full, maxIters=2000)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(full):
        outcomes = rdForceFieldHelpers.UFFOptimizeMoleculeConfs(full, maxIters=2000)
    else:
        return np.zeros(full.GetNumConformers())
    return np.array([energy for _, energy in outcomes])


def _select_distinct(numbers: IntArray, positions: FloatArray, energies: FloatArray) -> IntArray:
    """Indices of different conformers, lowest first.

    Conformers are the same if their sorted distances between each pair of elements are: the numbering of equal atoms
    does not matter, and mirror images count as one.
    """
    distinct: list[int] = []
    prints = [_fingerprint(numbers, x) for x in positions]
    for index in np.argsort(energies, kind="stable").tolist():
        if distinct and energies[index] - energies[distinct[0]] > _HIGHEST_KCAL:
            break
        if all(np.sqrt(np.mean((prints[index] - prints[other]) ** 2)) > _DIFFERENT for other in distinct):
            distinct.append(index)
    return np.array(distinct[:MOST_CONFORMERS], dtype=np.int64)


def _fingerprint(numbers: IntArray, positions: FloatArray) -> FloatArray:
    """Distances within a conformer, sorted within each pair of elements."""
    first, second = np.triu_indices(len(numbers), k=1)
    if len(first) == 0:
        return np.zeros(1)
    distance = np.linalg.norm(positions[first] - positions[second], axis=1)
    low, high = np.minimum(numbers[first], numbers[second]), np.maximum(numbers[first], numbers[second])
    return np.asarray(distance[np.lexsort((distance, high, low))])


def _with_mirror_images(shapes: Conformers) -> Conformers:
    """Each conformer followed by its mirror image where the two differ: an achiral ligand has both."""
    other = shapes.mirrored().positions
    if max(_rms(x - x.mean(axis=0), y - y.mean(axis=0)) for x, y in zip(shapes.positions, other, strict=True)) < _FLAT:
        return shapes
    both = np.stack([shapes.positions, other], axis=1).reshape(-1, *shapes.positions.shape[1:])
    return Conformers(shapes.numbers, both, np.repeat(shapes.energy_kcal, 2), shapes.donors, shapes.bonds)


def _rms(mobile: FloatArray, target: FloatArray) -> float:
    """Least rms distance (A) of two centred shapes, atom by atom."""
    return float(np.sqrt(np.mean(np.sum((mobile @ kabsch(mobile, target).T - target) ** 2, axis=1))))
