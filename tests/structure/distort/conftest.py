"""Parents for the distortions: the Td Ag70 model made from its unique sites, and small clusters."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from clusterml.structure.distort.subject import Subject
from clusterml.structure.read import read

# symmetry-unique atoms (A) of the GFN1-xTB relaxed Td model of [Ag70S4(SH)24(HCOO)12Cl4]2+ (model, no crystal data);
# four loosely bound chlorides of the published stand-in shell are left out
SITES = {
    "Ag": [
        (-1.0635, -1.0635, -1.0635),
        (1.0457, 1.0457, 3.1315),
        (-1.7441, -1.7441, -3.9318),
        (0.0, 0.0, -5.6186),
        (-3.0437, -5.2584, 0.7087),
        (-3.6407, -3.6407, 5.9953),
    ],
    "S": [(2.87, 2.87, 2.87), (4.2733, 4.2733, -1.403), (-5.3621, -5.3621, 1.8613)],
    "C": [(-1.8871, -1.8871, 8.0453)],
    "O": [(-2.7492, -2.7492, 8.0947), (-1.3841, -1.3841, 6.9859)],
    "H": [(-1.4824, -1.4824, 8.9957), (4.7966, 4.7966, -2.5125), (-6.2879, -6.2879, 1.6769)],
    "Cl": [(5.5994, 5.5994, 5.5994)],
}


def td_operations() -> list[np.ndarray]:
    """The 24 operations of Td that keep the tetrahedron (1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)."""
    operations = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            if np.prod(signs) > 0:
                operations.append(np.eye(3)[list(order)] * np.array(signs)[:, None])
    return operations


def orbit(site: tuple[float, float, float]) -> np.ndarray:
    points: list[np.ndarray] = []
    for operation in td_operations():
        image = operation @ np.array(site)
        if all(np.linalg.norm(image - p) > 1e-6 for p in points):
            points.append(image)
    return np.array(points)


def mirror(positions: np.ndarray) -> np.ndarray:
    """Reflection in the plane x = y, one of Td's mirror planes."""
    return positions[..., [1, 0, 2]]


def make_td() -> Atoms:
    parts = [(symbol, orbit(site)) for symbol, sites in SITES.items() for site in sites]
    symbols = [symbol for symbol, points in parts for _ in points]
    atoms = Atoms(symbols, np.concatenate([points for _, points in parts]))
    atoms.info = {"name": "ag70_td", "charge": 2, "provenance": {"warnings": []}}
    return atoms


@pytest.fixture(scope="session")
def td() -> Subject:
    """Td model of 174 atoms, symmetric to machine precision."""
    return Subject(make_td())


@pytest.fixture(scope="session")
def ag29(examples: Path) -> Subject:
    """The shipped Ag29 model (T symmetry): crowns and phosphines."""
    return Subject(read(examples / "ag29_model.xyz"))


@pytest.fixture(scope="session")
def thiol() -> Subject:
    """Methanethiol: no metal at all."""
    atoms = molecule("CH3SH")
    atoms.info = {"name": "thiol", "charge": 0, "provenance": {"warnings": []}}
    return Subject(atoms)
