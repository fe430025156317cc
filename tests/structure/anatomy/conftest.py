"""Idealised clusters, built by symmetry, and ligand conformers: anatomy can be tested without any file."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest
from ase import Atoms

from helpers import GOLDEN, icosahedron


def orbit(x: float, y: float, z: float) -> np.ndarray:
    """All images of a point under Td (permutations and even numbers of sign changes)."""
    signs = [s for s in product((1, -1), repeat=3) if np.prod(s) == 1]
    points = {tuple(np.round(np.array(p) * s, 6) + 0.0) for p in permutations((x, y, z)) for s in signs}
    return np.array(sorted(points))


def dodecahedron(radius: float) -> np.ndarray:
    cube = list(product((1, -1), repeat=3))
    rest = [np.roll((0, a / GOLDEN, b * GOLDEN), k) for k in range(3) for a, b in product((1, -1), repeat=2)]
    return radius * np.array([*cube, *rest], dtype=float) / 3**0.5


def cuboctahedron(radius: float) -> np.ndarray:
    points = {tuple(np.roll((0, a, b), k)) for k in range(3) for a, b in product((1, -1), repeat=2)}
    return radius * np.array(sorted(points), dtype=float) / 2**0.5


def capped(metal: np.ndarray, donors: np.ndarray, kind: str) -> Atoms:
    """Silver at ``metal`` with SH or OH (donor, and H 1.0 A farther out) at ``donors``."""
    out = donors / np.linalg.norm(donors, axis=1, keepdims=True)
    symbols = ["Ag"] * len(metal) + [kind] * len(donors) + ["H"] * len(donors)
    length = 1.34 if kind == "S" else 0.97
    return Atoms(symbols, np.concatenate([metal, donors, donors + length * out]))


def make_ag70_core() -> Atoms:
    """Ag70S28 with Td symmetry: orbits of the project's own model (not a crystal structure)."""
    silver = [(-1.0234, -1.0234, -1.0234), (1.0063, 1.0063, 3.0135), (-1.6784, -1.6784, -3.7835)]
    silver += [(0.0, 0.0, -5.4067), (-2.9289, -5.0602, 0.682), (-3.5035, -3.5035, 5.7692)]
    sulfur = [(2.7617, 2.7617, 2.7617), (4.1121, 4.1121, -1.3501), (-5.1599, -5.1599, 1.7911)]
    metal, donors = (np.concatenate([orbit(*site) for site in sites]) for sites in (silver, sulfur))
    return Atoms(["Ag"] * len(metal) + ["S"] * len(donors), np.concatenate([metal, donors]), info={"charge": -2})


def make_ag12() -> Atoms:
    """Ag12(SH)6(OH)12, after Ag12(SR)6(O2CR)6: a hollow cuboctahedron, S over its squares, O on its corners."""
    metal = cuboctahedron(3.07)
    squares = np.array([np.roll((a, 0, 0), k) for k in range(3) for a in (1, -1)], dtype=float)
    atoms = capped(metal, squares * (3.07 / 2**0.5 + 1.24), "S")
    hydroxides = capped(np.zeros((0, 3)), metal * (3.07 + 2.35) / 3.07, "O")
    return atoms + hydroxides


def make_ag44() -> Atoms:
    """Ag44(SH)30 with the metal frame of Ag44(SR)30, hollow Ag12 @ Ag20 @ Ag12, and SH on the outer twelve."""
    outer = icosahedron(7.1)
    donors = []
    for k, metal in enumerate(outer):
        up = metal / np.linalg.norm(metal)
        side = np.cross(up, np.roll(up, 1) + 0.1)
        side /= np.linalg.norm(side)
        count = 3 if k % 2 else 2
        turns = 2 * np.pi * np.arange(count) / count
        around = np.outer(np.cos(turns), side) + np.outer(np.sin(turns), np.cross(up, side))
        donors.append(metal + 2.45 * (0.9 * around + 0.436 * up))
    metals = np.concatenate([icosahedron(2.75), dodecahedron(4.6), outer])
    return capped(metals, np.concatenate(donors), "S")


def fused(axis: np.ndarray, shared: int) -> np.ndarray:
    """Two centred icosahedra that share a corner (1) or a face (3): the second is the first, mirrored."""
    icosahedral = np.concatenate([np.zeros((1, 3)), icosahedron(2.8)])
    axis = axis / np.linalg.norm(axis)
    height = icosahedral @ axis
    top = np.sort(height)[-shared]
    mirrored = icosahedral + 2 * (top - height)[:, None] * axis
    return np.concatenate([icosahedral, mirrored[np.abs(height - top) > 1e-6]])


@pytest.fixture
def ag70_core() -> Atoms:
    return make_ag70_core()


@pytest.fixture
def ag12() -> Atoms:
    return make_ag12()


@pytest.fixture
def ag44() -> Atoms:
    return make_ag44()


@pytest.fixture
def fused_icosahedra() -> Callable[[int], np.ndarray]:
    """Positions of two icosahedra sharing 1 or 3 metals."""
    corner = icosahedron(1.0)[0]
    face = next(
        a + b + c
        for a in icosahedron(1.0)
        for b in icosahedron(1.0)
        for c in icosahedron(1.0)
        if min(a @ b, b @ c, a @ c) > 0.4 and max(a @ b, b @ c, a @ c) < 0.9
    )
    return lambda shared: fused(corner if shared == 1 else face, shared)


@pytest.fixture
def centred() -> Callable[[str], Atoms]:
    """Ag13(SH)12: a centred icosahedron or cuboctahedron with SH on each corner."""

    def build(kind: str) -> Atoms:
        shell = icosahedron(2.8) if kind == "icosahedron" else cuboctahedron(2.9)
        donors = shell * (1 + 2.45 / np.linalg.norm(shell[0]))
        return capped(np.concatenate([np.zeros((1, 3)), shell]), donors, "S")

    return build


@pytest.fixture
def conformer() -> Callable[[str], Atoms]:
    """A three-dimensional conformer of a SMILES, all hydrogens included."""

    def embed(smiles: str) -> Atoms:
        from rdkit import Chem, rdBase
        from rdkit.Chem import AllChem

        with rdBase.BlockLogs():
            molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
            if AllChem.EmbedMolecule(molecule, randomSeed=7, useRandomCoords=True) != 0:
                raise ValueError(smiles)
            if AllChem.MMFFHasAllMoleculeParams(molecule):
                AllChem.MMFFOptimizeMolecule(molecule)
        return Atoms([a.GetSymbol() for a in molecule.GetAtoms()], molecule.GetConformer().GetPositions())

    return embed
