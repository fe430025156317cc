"""Counter-ions and solvent: recognised with and without hydrogens, and what they say about the charge."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from ase import Atoms

from clusterml.structure.crystal.cell import cut
from clusterml.structure.crystal.molecules import fill_cell
from clusterml.structure.crystal.witness import _IONS, _SOLVENTS, identify, identify_companions, weigh_counter_ions
from clusterml.structure.elements import atomic_number, formula
from clusterml.structure.formats.cif import parse_cif
from helpers import icosahedron

IONS = {
    "F[P-](F)(F)(F)(F)F": ("F6P", -1),
    "F[B-](F)(F)F": ("BF4", -1),
    "F[Sb-](F)(F)(F)(F)F": ("F6Sb", -1),
    "[O-][Cl+3]([O-])([O-])[O-]": ("ClO4", -1),
    "[O-][N+](=O)[O-]": ("NO3", -1),
    "[O-]S(=O)(=O)C(F)(F)F": ("CF3O3S", -1),
    "c1ccc(cc1)[P+](c1ccccc1)(c1ccccc1)c1ccccc1": ("C24H20P", 1),
    "c1ccc(cc1)[B-](c1ccccc1)(c1ccccc1)c1ccccc1": ("C24H20B", -1),
    "C[N+](C)(C)C": ("C4H12N", 1),
    "CC[N+](CC)(CC)CC": ("C8H20N", 1),
    "CCCC[N+](CCCC)(CCCC)Cc1ccccc1": ("C19H34N", 1),  # in no table
    "[Cl-]": ("Cl", -1),
    "[Na+]": ("Na", 1),
    "[Cs+]": ("Cs", 1),
    "[Ca+2]": ("Ca", 2),
}
SOLVENTS = {
    "CN(C)C=O": "DMF",
    "CS(C)=O": "DMSO",
    "ClCCl": "CH2Cl2",
    "CO": "methanol",
    "CCO": "ethanol",
    "CC#N": "acetonitrile",
    "Cc1ccccc1": "toluene",
    "CCCCCC": "hexane",
    "O": "water",
    "CC(C)=O": "acetone",
}


def heavy(atoms):
    return atoms[atoms.numbers != 1]


@pytest.mark.parametrize("smiles", IONS)
def test_ions_are_known(molecule, smiles):
    known, charge = IONS[smiles]
    for atoms in (molecule(smiles), heavy(molecule(smiles))):
        species = identify(atoms)
        assert (species.formula, species.charge, species.certain) == (known, charge, True)


@pytest.mark.parametrize("smiles", SOLVENTS)
def test_solvents_are_known_with_and_without_hydrogens(molecule, smiles):
    for atoms in (molecule(smiles), heavy(molecule(smiles))):
        species = identify(atoms)
        assert species.charge == 0
        assert species.name == SOLVENTS[smiles]


@pytest.mark.parametrize("name", [*_IONS, *_SOLVENTS])
def test_formulas_of_the_tables_are_written_as_formulas_are(name):
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", name)
    assert formula(atomic_number(symbol) for symbol, count in parts for _ in range(int(count or 1))) == name


def test_the_carborane_anion_is_known():
    species = identify(Atoms("CB11H12", np.concatenate([icosahedron(1.68), icosahedron(2.8)])))
    assert (species.name, species.charge, species.certain) == ("carborane monoanion", -1, True)


def test_what_cannot_be_told_is_not_certain(molecule):
    acid = identify(heavy(molecule("CC(=O)O")))  # acetic acid, or acetate
    assert not acid.certain
    assert identify(Atoms("AgCl", [[0, 0, 0], [2.4, 0, 0]])).charge is None
    assert not identify(Atoms("N", [[0, 0, 0]])).certain  # ammonia or ammonium


@pytest.fixture
def salt(crystal, ag29, molecule):
    """P -1 with one cluster, DMF and a number of PPh4+ in the asymmetric unit."""

    def build(cations, only=None, extra=()):
        writer = crystal("P -1", (44, 40, 40), (85, 80, 88)).add(ag29, (0.3, 0.3, 0.3), only=only)
        for seed in range(cations):
            writer.add_somewhere(molecule("c1ccc(cc1)[P+](c1ccccc1)(c1ccccc1)c1ccccc1"), seed, only=only)
        for seed, smiles in enumerate(("CN(C)C=O", *extra)):
            writer.add_somewhere(molecule(smiles), seed + 9, only=only)
        return writer

    return build


@pytest.mark.parametrize("only", [None, ("Ag", "S", "P", "C", "N", "O")])
def test_counter_ions_give_the_charge(salt, only):
    writer = salt(3, only)
    filled = fill_cell(parse_cif(writer.text(), "x"))
    others = identify_companions(filled)
    assert others.count(ions=True) == {"C24H20P": 6}
    assert others.count(ions=False) == {"C3H7NO": 2}
    assert others.names() == {"C24H20P": "PPh4+", "C3H7NO": "DMF"}
    witness = weigh_counter_ions(filled, others)
    assert (witness.charge, witness.complete) == (-3, True)
    atoms = cut(filled)
    assert witness.may_decide(atoms)
    assert atoms.info["charge"] == -3
    masked = fill_cell(parse_cif(writer.text("loop_\n_platon_squeeze_void_nr\n1"), "x"))
    assert not weigh_counter_ions(masked, identify_companions(masked)).complete


def test_ions_that_do_not_balance_do_not_decide(salt, crystal, ag29):
    odd = fill_cell(parse_cif(salt(2).text(), "x"))
    witness = weigh_counter_ions(odd, identify_companions(odd))
    assert (witness.charge, witness.complete) == (-2, True)
    assert not witness.may_decide(cut(odd))  # 29 Ag at -2: an unpaired electron
    unknown = fill_cell(parse_cif(salt(1, extra=("FP(F)(F)(F)F",)).text(), "x"))
    assert not weigh_counter_ions(unknown, identify_companions(unknown)).complete
    third = crystal("P 1", (50, 30, 30)).add(ag29, (0.2, 0.5, 0.5)).add(ag29, (0.7, 0.5, 0.5))
    third.add(Atoms("Na", [[0, 0, 0]]))
    filled = fill_cell(parse_cif(third.text(), "x"))
    witness = weigh_counter_ions(filled, identify_companions(filled))
    assert witness.charge is None
    assert "do not balance" in witness.reason
    alone = fill_cell(parse_cif(crystal("P 1", (30, 30, 30)).add(ag29).text(), "x"))
    assert weigh_counter_ions(alone, identify_companions(alone)).charge is None


def test_partly_occupied_ions_count_as_much_as_is_there(crystal):
    """An ion of occupancy 0.5 without an alternative is half an ion; with one it is whole."""
    cluster = Atoms("AgClSH", [[0, 0, 0], [0, 0, -2.4], [2.4, 0, 0], [2.7, 1.3, 0]])
    lonely = crystal("P 1", (14, 14, 14)).add(cluster, (0.5, 0.5, 0.5)).add(Atoms("Cl", [[0, 0, 0]]), occupancy=0.5)
    filled = fill_cell(parse_cif(lonely.text(), "x"))
    assert "do not balance" in weigh_counter_ions(filled, identify_companions(filled)).reason
    split = lonely.add(Atoms("Cl", [[0.6, 0, 0]]), occupancy=0.5)
    filled = fill_cell(parse_cif(split.text(), "x"))
    assert weigh_counter_ions(filled, identify_companions(filled)).charge == 1


def test_half_occupied_sites_are_counted_as_ions_not_as_sites(crystal):
    cluster = Atoms("AgClSH", [[0, 0, 0], [0, 0, -2.4], [2.4, 0, 0], [2.7, 1.3, 0]])
    writer = crystal("P 1", (16, 16, 16)).add(cluster, (0.5, 0.5, 0.5)).add(Atoms("Na", [[0, 0, 0]]))
    for place in ((5.0, 0, 0), (0, 5.0, 0)):
        writer.add(Atoms("Na", [place]), occupancy=0.5)
    filled = fill_cell(parse_cif(writer.text(), "x"))
    others = identify_companions(filled)
    assert others.count(ions=True) == {"Na": 2}
    witness = weigh_counter_ions(filled, others)
    assert witness.reason == "1 cluster and 2 x Na on 3 sites in the cell: -2 for the cluster"
    assert any("left out: 2 x Na on 3 sites" in note for note in cut(filled).info["provenance"]["warnings"])


ALKYNYL = Atoms("CCH", [[0, 0, 0], [0, 0, 1.21], [0, 0, 2.27]])


def cage() -> Atoms:
    """A model of [Ag14Cl(CCH)12]+: silver at the corners of a cube and over its faces, around a chloride."""
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3))) * 3.35 / np.sqrt(3.0)
    atoms = Atoms("ClAg14", [(0, 0, 0), *corners, *(3.05 * np.eye(3)), *(-3.05 * np.eye(3))])
    for a, b in itertools.combinations(corners, 2):
        if np.isclose(np.linalg.norm(a - b), 6.7 / np.sqrt(3.0)):
            ligand = ALKYNYL.copy()
            ligand.rotate((0, 0, 1), a + b)
            ligand.translate((a + b) / 2 * (1 + 1.1 / np.linalg.norm((a + b) / 2)))
            atoms += ligand
    return atoms


def test_an_anion_inside_belongs_to_the_cluster_one_beside_it_is_named(crystal, molecule):
    writer = crystal("P 1", (32, 32, 32)).add(cage(), (0.5, 0.5, 0.5))
    atoms = cut(fill_cell(parse_cif(writer.add(molecule("F[B-](F)(F)F"), (0, 0, 0)).text(), "x")))
    assert formula(atoms.numbers) == "Ag14C24H12Cl"
    assert atoms.info["charge"] == 1
    assert not any("a metal of the cluster" in note for note in atoms.info["provenance"]["warnings"])
    chloride = Atoms("Cl", [[16.0, 16.0, 16.0 + 3.05 + 3.0]])
    near = crystal("P 1", (32, 32, 32)).add(cage(), (0.5, 0.5, 0.5)).add(chloride)
    atoms = cut(fill_cell(parse_cif(near.text(), "x")))
    assert formula(atoms.numbers) == "Ag14C24H12Cl"
    assert any("Cl comes to 3.00 A of a metal" in note for note in atoms.info["provenance"]["warnings"])


def test_another_molecule_with_metal_may_be_the_counter_ion(crystal, ag29):
    cobaltocenium = Atoms("CoCl", [[0, 0, 0], [0, 0, 2.2]])  # stands for any complex
    writer = crystal("P 1", (60, 44, 40)).add(ag29, (0.3, 0.5, 0.5)).add(cobaltocenium, (0.8, 0.5, 0.5))
    writer.add(Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]), (0.8, 0.1, 0.1))
    filled = fill_cell(parse_cif(writer.text(), "x"))
    witness = weigh_counter_ions(filled, identify_companions(filled))
    assert not witness.absent
    assert "the file lists no counter-ions, but CoCl is not recognised" in witness.reason


def test_complexes_and_oxoanions_are_counter_ions(crystal, ag29):
    ring = np.array([[1.2 * np.cos(a), 1.2 * np.sin(a), 1.7] for a in 2 * np.pi * np.arange(5) / 5])
    cobaltocenium = Atoms("CoC10", np.concatenate([[[0, 0, 0]], ring, -ring]))  # X-rays missed its hydrogens
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])
    edges = [a + b for a, b in itertools.combinations(octahedron, 2) if abs(a @ b) < 0.5]
    lindqvist = Atoms(
        "OMo6O12O6", np.concatenate([[[0, 0, 0]], 2.3 * octahedron, 2.0 * np.array(edges), 4.0 * octahedron])
    )
    writer = crystal("P 1", (80, 44, 40)).add(ag29, (0.3, 0.5, 0.5))
    for number, atoms in enumerate((*[cobaltocenium] * 5, lindqvist)):
        writer.add(atoms, (0.75, 0.15 * (number + 1), 0.15 * (number + 1)))
    filled = fill_cell(parse_cif(writer.text(), "x"))
    assert len(filled.clusters) == 1
    others = identify_companions(filled)
    assert others.count(ions=True) == {"CoC10H10": 5, "Mo6O19": 1}
    witness = weigh_counter_ions(filled, others)
    assert (witness.charge, witness.complete) == (-3, True)


def test_what_one_hydrogen_makes_another_ion_is_not_certain(molecule):
    for smiles, charge in (
        ("CCN(CC)CC", 0),
        ("CCCCN(CCCC)CCCC", 0),  # no NPr4+, which has as many carbons
        ("CCNCC", 0),
        ("CC(C)N", 0),
        ("[O-]C(=O)[O-]", -2),
        ("[O-]S(=O)(=O)[O-]", -2),
        ("[O-]C(=O)C(F)(F)F", -1),
    ):
        species = identify(molecule(smiles))
        assert (species.charge, species.certain) == (charge, False), smiles
    water = identify(Atoms("OH", [[0, 0, 0], [0.96, 0, 0]]))  # with one hydrogen located
    assert water.formula == "H2O"
    assert (water.charge, water.certain) == (0, True)


@pytest.mark.parametrize(("symbols", "name"), [("Br3", "Br3-"), ("ICl2", "ICl2-"), ("I3", "I3-")])
def test_polyhalides_are_anions(symbols, name):
    species = identify(Atoms(symbols, [[0, 0, 0], [0, 0, 2.55], [0, 0, -2.55]]))
    assert (species.name, species.charge) == (name, -1)


def test_a_rotating_water_is_no_oxonium(crystal):
    water = Atoms("OH3", [[0, 0, 0.1], [0.95, 0, -0.2], [-0.47, 0.82, -0.2], [-0.47, -0.82, -0.2]])
    writer = crystal("P 1", (14, 14, 14)).add(Atoms("AgCl", [[0, 0, 0], [0, 0, 2.4]]), (0.5, 0.5, 0.5))
    writer.add(water[[0]]).add(water[1:], occupancy=0.667)
    filled = fill_cell(parse_cif(writer.text(), "x"))
    assert identify_companions(filled).count(ions=False) == {"H2O": 1}
    assert np.sum(filled.numbers == 1) == 3
