"""A small generator of crystals: molecules placed into a cell of any space group, written as CIF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np
import pytest
from ase import Atoms

from clusterml.structure.bonds import close_periodic_pairs
from clusterml.structure.read import read

TAGS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "disorder_group", "disorder_assembly")


@dataclass
class CrystalWriter:
    """Molecules are added at a fractional origin; atoms that the symmetry makes of earlier ones are not listed."""

    group: str
    edges: tuple[float, float, float]
    angles: tuple[float, float, float] = (90.0, 90.0, 90.0)
    digits: int = 6
    rows: list[str] = field(default_factory=list)
    listed: list[np.ndarray] = field(default_factory=list)
    partial: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cell = gemmi.UnitCell(*self.edges, *self.angles)
        self.lattice = np.array(self.cell.orth.mat.tolist()).T
        self.operations = list(gemmi.find_spacegroup_by_name(self.group).operations())
        self.rotations = np.array([op.rot for op in self.operations]) / gemmi.Op.DEN
        self.translations = np.array([op.tran for op in self.operations]) / gemmi.Op.DEN

    def add(
        self,
        atoms: Atoms,
        origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
        *,
        occupancy: float = 1.0,
        part: int = 0,
        assembly: str = ".",
        whole: bool = False,
        only: tuple[str, ...] | None = None,
    ) -> CrystalWriter:
        """``whole`` lists every atom (disorder); ``only``: the elements that are listed, e.g. ``("Ag", "S")``."""
        inside = atoms.positions @ np.linalg.inv(self.lattice) + np.array(origin)
        for symbol, x in zip(atoms.get_chemical_symbols(), inside, strict=True):
            if only is not None and symbol not in only:
                continue
            if whole or not self._known(x):
                self.listed.append(x)
                self.partial.append(whole)
                numbers = " ".join(f"{v:.{self.digits}f}" for v in x % 1.0)
                label = f"{symbol}{len(self.rows) + 1}"
                self.rows.append(f"{label} {symbol} {numbers} {occupancy:g} {part if part else '.'} {assembly}")
        return self

    def add_somewhere(self, atoms: Atoms, seed: int = 0, **options: object) -> CrystalWriter:
        """At a random place where neither other molecules nor its own images are nearer than 2.8 A."""
        rng = np.random.default_rng(seed)
        for _ in range(400):
            origin = rng.random(3)
            inside = atoms.positions @ np.linalg.inv(self.lattice) + origin
            moved = np.concatenate([inside @ r.T + t for r, t in zip(self.rotations, self.translations, strict=True)])
            there = [r @ x + t for x in self.listed for r, t in zip(self.rotations, self.translations, strict=True)]
            points = np.concatenate([moved, np.array(there).reshape(-1, 3)])
            owner = np.repeat(np.arange(1 + len(points)), len(atoms))[: len(moved)].tolist() + [-1] * len(there)
            pairs = close_periodic_pairs(points - np.floor(points), self.lattice, 2.8)
            first, second = np.array(owner)[pairs.first], np.array(owner)[pairs.second]
            if not np.any((first != second) & ((first >= 0) | (second >= 0))):
                return self.add(atoms, tuple(origin), **options)
        raise AssertionError("there is no room in the cell")

    def _known(self, x: np.ndarray) -> bool:
        images = self.rotations @ x + self.translations
        for other, partial in zip(self.listed, self.partial, strict=True):
            step = images - other
            if not partial and np.any(np.linalg.norm((step - np.rint(step)) @ self.lattice, axis=1) < 0.05):
                return True
        return False

    def text(self, extra: str = "") -> str:
        lines = ["data_model", extra, f"_space_group_name_H-M_alt '{self.group}'"]
        lines += [f"_cell_length_{k} {v}" for k, v in zip("abc", self.edges, strict=True)]
        lines += [f"_cell_angle_{k} {v}" for k, v in zip(("alpha", "beta", "gamma"), self.angles, strict=True)]
        lines += ["loop_", "_space_group_symop_operation_xyz", *(f"'{op.triplet()}'" for op in self.operations)]
        lines += ["loop_", *(f"_atom_site_{tag}" for tag in TAGS), *self.rows]
        return "\n".join(lines) + "\n"


@pytest.fixture
def crystal() -> type[CrystalWriter]:
    return CrystalWriter


@pytest.fixture(scope="session")
def ag29(examples: Path) -> Atoms:
    """Model of [Ag29(SH)24(PH3)4]3-, its threefold axes along the body diagonals, centred."""
    atoms = read(examples / "ag29_model.xyz")
    atoms.positions -= atoms.positions[np.argmin(np.linalg.norm(atoms.positions - atoms.positions.mean(0), axis=1))]
    return atoms


@pytest.fixture(scope="session")
def molecule() -> Callable[[str], Atoms]:
    """SMILES -> a conformer with all hydrogens, centred."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    made: dict[str, Atoms] = {}

    def build(smiles: str) -> Atoms:
        if smiles not in made:
            mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
            assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
            if AllChem.MMFFHasAllMoleculeParams(mol):
                AllChem.MMFFOptimizeMolecule(mol, maxIters=2000)
            atoms = Atoms([a.GetSymbol() for a in mol.GetAtoms()], mol.GetConformer().GetPositions())
            atoms.positions -= atoms.positions.mean(axis=0)
            made[smiles] = atoms
        return made[smiles].copy()

    return build
