"""Hands of hindered biaryls: in the library, in shapes, and from coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from rdkit import Chem

from clusterml.errors import InputFileError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.hands import find_hands
from clusterml.structure.anatomy.library import Library, load_library
from clusterml.structure.build.attach import attach
from clusterml.structure.build.conformers import find_conformers
from clusterml.structure.build.sites import site_on

BIARYL = "Pc1cccc(C)c1-c1c(C)cccc1P"


def torsion(points: np.ndarray) -> float:
    """Signed torsion (degrees) of four points ``(4, 3)``."""
    first, along, last = np.diff(points, axis=0)
    before, after = np.cross(first, along), np.cross(along, last)
    return float(np.degrees(np.arctan2(np.cross(before, after) @ along / np.linalg.norm(along), before @ after)))


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Library:
    path = tmp_path_factory.mktemp("library") / "own.yaml"
    entries = [f'  {hand}-BP: {{smiles: "{BIARYL}", donors: P, charge: 0, hand: {hand}}}\n' for hand in "RS"]
    path.write_text("ligands:\n" + "".join(entries), encoding="utf-8")
    return load_library(path)


@pytest.mark.parametrize(
    ("smiles", "hands"),
    [
        (BIARYL, {"R", "S"}),
        ("c1ccc(P(c2ccccc2)c2ccc3ccccc3c2-c2c(P(c3ccccc3)c3ccccc3)ccc3ccccc23)cc1", {"R", "S"}),
        ("[S-]c1ccc2ccccc2c1-c1c([S-])ccc2ccccc12", {"R", "S"}),
        ("C[C@H](O)c1cccc(C)c1-c1c(C)cccc1P", {"S,R", "S,S"}),
        ("Cc1cccc(C)c1-c1c(C)cccc1P", {None}),  # one ring is the same on both sides
        ("Cc1ccccc1-c1ccccc1P", {None}),  # turns freely
        ("[S-]C[C@H](C)c1ccccc1", {"R"}),
    ],
)
def test_which_molecules_have_a_hindered_axis(smiles, hands):
    assert set(find_hands(Chem.MolFromSmiles(smiles))) == hands


def test_every_shape_has_the_hand_of_its_entry(library):
    right, left = (find_conformers(library.entry(f"{hand}-BP")) for hand in "RS")
    np.testing.assert_array_equal(right.mirrored().positions, left.positions)
    chain = Chem.MolFromSmiles(BIARYL).GetSubstructMatch(Chem.MolFromSmarts("Pc:c-c:cP"))[1:5]
    turns = [torsion(shape[list(chain)]) for shape in right.positions]
    assert all(-150 < turn < -30 for turn in turns)  # Ra is M: the P are turned against each other to the left


@pytest.mark.parametrize("hand", ["R", "S"])
def test_what_is_built_has_the_hand_and_coordinates_tell_it(library, hand):
    pair = Atoms("Ag2", positions=[[-1.45, 0, 0], [1.45, 0, 0]])
    entry = library.entry(f"{hand}-BP")
    shape = find_conformers(entry)
    bite = float(np.linalg.norm(np.subtract(*shape.positions[0][shape.donors])))
    site = site_on(pair.numbers, pair.positions, np.array([0, 1]), np.array([0.0, 0.0, 1.0]), 15, bite)
    cluster = attach(pair, [site], entry, rng=np.random.default_rng(0))
    assert anatomy(cluster).ligands[0].hand == hand  # it is not in the shipped library
    (named,) = anatomy(cluster, library).ligands
    assert (named.name, named.hand) == (f"{hand}-BP", hand)


@pytest.mark.parametrize("given", ["", ", hand: 'R,R'"])
def test_an_entry_must_state_the_hand(tmp_path, given):
    path = tmp_path / "own.yaml"
    path.write_text(f'ligands: {{BP: {{smiles: "{BIARYL}", donors: P, charge: 0{given}}}}}', encoding="utf-8")
    with pytest.raises(InputFileError, match="hindered axis between rings: it is R or S"):
        load_library(path)
