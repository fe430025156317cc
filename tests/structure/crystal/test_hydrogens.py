"""Missing hydrogens: as many as chemistry asks for, where they belong, and none where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.structure.bonds import bonds
from clusterml.structure.crystal.hydrogens import LENGTH, add_hydrogens
from clusterml.structure.elements import formula

MOLECULES = [
    "CC",
    "CC(C)C",
    "CC(C)(C)C",
    "C1CCCCC1",
    "C1CC1",
    "C=C",
    "CC=CC=C",
    "c1ccccc1",
    "Cc1ccccc1C",
    "c1ccncc1",
    "c1ccsc1",
    "c1ccoc1",
    "c1cc[nH]c1",
    "Cn1ccnc1",
    "C#C",
    "CC#C",
    "c1ccccc1C#C",
    "CC#N",
    "CC=O",
    "CC(C)=O",
    "CC(=O)[O-]",
    "[O-]C=O",
    "FC(F)(F)C(=O)[O-]",
    "OC(C(F)(F)F)C(=O)[O-]",
    "CN(C)C=O",
    "CS(C)=O",
    "CO",
    "CCO",
    "CCOCC",
    "C1CCOC1",
    "ClCCl",
    "ClC(Cl)Cl",
    "C[N+](C)(C)C",
    "c1ccc(cc1)[P+](c1ccccc1)(c1ccccc1)c1ccccc1",
    "CP(C)C",
    "SC(C)C",
    "Sc1cccc(S)c1",
    "Sc1cc(S)cc(c1)C(=O)[O-]",
    "Sc1ccc(C)cc1C",
    "CC(C)(C)c1ccc(S)cc1",
    "SCCc1ccccc1",
    "C1C2CC3CC1CC(C2)(C3)S",
    "NC(=O)C",
    "CC(=O)OCC",
    "C[N+](=O)[O-]",
    "O=C=O",
    "c1ccc2ccccc2c1",
    "C1=CCC=CC1",
    "C1CC2CC1C=C2",
    "Fc1ccccc1",
    "C[Si](C)(C)C",
    "CCN(CC)C(=S)[S-]",
]


def without_carbon_hydrogens(atoms):
    """The molecule without the hydrogens on carbon, and the positions of those."""
    pairs = bonds(np.asarray(atoms.numbers), atoms.positions)
    on_carbon = np.zeros(len(atoms), dtype=bool)
    for i, j in ((pairs.first, pairs.second), (pairs.second, pairs.first)):
        on_carbon[i[(atoms.numbers[i] == 1) & (atoms.numbers[j] == 6)]] = True
    return atoms[~on_carbon], atoms.positions[on_carbon]


@pytest.mark.parametrize("smiles", MOLECULES)
def test_hydrogens_come_back(molecule, rng, smiles):
    complete = molecule(smiles)
    bare, lost = without_carbon_hydrogens(complete)
    bare.positions += rng.normal(0.0, 0.01, bare.positions.shape)  # as X-ray coordinates are
    grown, added = add_hydrogens(bare)
    assert formula(grown.numbers) == formula(complete.numbers)
    assert added.hydrogens == len(lost) == len(grown) - len(bare)
    assert not added.doubts
    again, none = add_hydrogens(grown)
    assert again is grown
    assert none.hydrogens == 0
    assert add_hydrogens(complete)[1].hydrogens == 0


@pytest.mark.parametrize(
    ("smiles", "tolerance"),
    [("c1ccccc1", 0.05), ("CC(C)C", 0.12), ("C1CCCCC1", 0.06), ("SC(C)C", 0.15)],
)
def test_hydrogens_are_where_they_were(molecule, smiles, tolerance):
    """Within the difference of X-H distances and angles of the force field; methyl groups staggered."""
    bare, lost = without_carbon_hydrogens(molecule(smiles))
    grown, _ = add_hydrogens(bare)
    distance = np.linalg.norm(grown.positions[len(bare) :, None] - lost[None], axis=2)
    assert distance.min(axis=1).max() < tolerance
    assert sorted(distance.argmin(axis=1)) == list(range(len(lost)))


@pytest.mark.parametrize("end", ["O", "CH2", "CF2"])
@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 2, 3)])
def test_hydrogens_at_the_end_of_a_straight_chain_lie_apart(end, axis):
    """Ketene and allenes, exactly linear."""
    side = {"O": [], "CH2": [(0.54, 0.93), (0.54, -0.93)], "CF2": [(0.6, 1.1), (0.6, -1.1)]}[end]
    places = [[0, 0, 0], [0, 0, 1.31], [0, 0, 2.62 if side else 2.47], *([0, y, 2.62 + x] for x, y in side)]
    atoms = Atoms(["C", "C", *end.removesuffix("2"), *end[1 : len(side)]], places)
    atoms.rotate((0, 0, 1), axis)
    grown, added = add_hydrogens(atoms)
    assert added.groups == {"=CH2": 1}
    first, second = grown.positions[-2:]
    assert np.linalg.norm(first - second) == pytest.approx(1.083 * np.sqrt(3.0), abs=1e-3)
    np.testing.assert_allclose(np.linalg.norm([first, second] - grown.positions[0], axis=1), 1.083, atol=1e-6)


def test_groups_are_counted_and_lengths_are_standard(molecule):
    bare, _ = without_carbon_hydrogens(molecule("Cc1ccc(C#C)cc1CC(C)C"))
    grown, added = add_hydrogens(bare)
    assert added.groups == {"CH": 1, "CH2": 1, "CH3": 3, "alkyne CH": 1, "aromatic CH": 3}
    assert added.sentences() == [
        "16 missing hydrogen atoms were added (1 CH, 1 CH2, 3 CH3, 1 alkyne CH, 3 aromatic CH)"
    ]
    pairs = bonds(np.asarray(grown.numbers), grown.positions)
    with_h = (grown.numbers[pairs.first] == 1) | (grown.numbers[pairs.second] == 1)
    lengths = {round(float(d), 3) for d in pairs.distance[with_h]}
    assert lengths == {LENGTH[kind] for kind in added.groups}


def test_a_hydroxyl_group_only_on_request_and_towards_an_acceptor(molecule):
    lactate = molecule("OC(C(F)(F)F)C(=O)[O-]")
    oxygen = [i for i in range(len(lactate)) if lactate.numbers[i] == 8]
    hydrogens = np.flatnonzero(lactate.numbers == 1)
    bare = lactate[[i for i in range(len(lactate)) if i not in hydrogens]]
    assert formula(add_hydrogens(bare)[0].numbers) == "C3HF3O3"
    grown, added = add_hydrogens(bare, hydroxyl=True)
    assert added.groups == {"CH": 1, "OH": 1}
    h = grown.positions[-1]
    distances = sorted(float(np.linalg.norm(grown.positions[i] - h)) for i in oxygen)
    assert distances[0] == pytest.approx(LENGTH["OH"])
    assert distances[1] < 2.4


def test_sulfur_and_a_metal_carbon_bond_get_none():
    thiolate = Atoms("AgSAg", [[-2.0, 0, -1.4], [0, 0, 0], [2.0, 0, -1.4]])
    assert add_hydrogens(thiolate)[1].hydrogens == 0
    alkynyl = Atoms("AgCCCCC", [[0, 0, -2.1], [0, 0, 0], [0, 0, 1.2], [0, 0, 2.66], [1.4, 0, 3.2], [-1.4, 0, 3.2]])
    assert "alkyne CH" not in add_hydrogens(alkynyl)[1].groups
    carbene = Atoms(
        "AgCNNCC", [[0, 0, -2.1], [0, 0, 0], [1.07, 0, 0.82], [-1.07, 0, 0.82], [0.68, 0, 2.13], [-0.68, 0, 2.13]]
    )
    assert add_hydrogens(carbene)[1].groups == {"aromatic CH": 2}


def test_doubts_are_reported_and_not_filled():
    lone = Atoms("AgSC", [[0, 0, 0], [2.4, 0, 0], [9, 9, 9]])
    assert add_hydrogens(lone)[1].doubts == ("C3: a carbon without neighbours",)
    cf2 = Atoms("CFFC", [[0, 0, 0], [0.8, 1.05, 0], [0.8, -1.05, 0], [-1.5, 0.1, 0.2]])
    added = add_hydrogens(cf2)[1]
    assert "a fluorine may be missing" in added.doubts[0]
    assert added.groups == {"CH3": 1}


def test_a_cluster_without_its_hydrogens_gets_exactly_those_of_its_ligands(shared):
    from clusterml.structure.read import read

    for name in ("au25_pet18_opt", "au38_pet24q_opt", "Ag25_final", "Ag25_methylthiol"):
        complete = read(shared / "structures" / f"{name}.xyz")
        bare, lost = without_carbon_hydrogens(complete)
        grown, added = add_hydrogens(bare)
        assert formula(grown.numbers) == formula(complete.numbers), name
        assert added.hydrogens == len(lost)
        assert not added.doubts


def test_real_crystals_stripped_of_their_hydrogens(shared):
    """The X-ray geometry tells as many hydrogens as the authors refined."""
    from clusterml.structure.read import read

    names = ["1004001-disorder_mols", "2200639", "2204368", "2225095", "4300013", "7000165-disorder"]
    names += ["7011014-occupancy-is-a-dot", "8100877-bump", "Au25_PET18_COD1540567"]
    for name in names:
        complete = read(shared / "structures" / "cif" / f"{name}.cif", hydrogens=False)
        grown, _ = add_hydrogens(without_carbon_hydrogens(complete)[0])
        assert formula(grown.numbers) == formula(complete.numbers), name
        assert add_hydrogens(complete)[1].hydrogens == 0, name
