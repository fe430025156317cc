"""The whole anatomy of a cluster: parts, named ligands, leftovers, charge, and how long it takes."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterml.engine.fragments import element_groups
from clusterml.errors import StructureError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.read import read

CLUSTERS = {
    "geometry/Ag29_BDT12_PH3_4_T_M.xyz": ({"BDT": 12, "PH3": 4}, -3, 8),
    "geometry/Ag32_SH24_PH3_10_C3.xyz": ({"SH": 24, "PH3": 10}, 0, 8),
    "geometry/Ag33_SH24_PH3_11_C1_M.xyz": ({"SH": 24, "PH3": 11}, 1, 8),
    "geometry/Ag70S4_SH24_HCOO12_Cl8_T_P.xyz": ({"S": 4, "SH": 24, "Cl": 4, "HCOO": 12}, -2, 20),
    "structures/Ag25_methylthiol.xyz": ({"SCH3": 18}, -1, 8),
    "structures/Ag25_final.xyz": ({"SPhMe2": 18}, -1, 8),
    "structures/Ag24Pt_methylthiol.xyz": ({"SCH3": 18}, -2, 8),
    "structures/au25_pet18_opt.xyz": ({"SC2H4Ph": 18}, -1, 8),
    "structures/au38_pet24q_opt.xyz": ({"SC2H4Ph": 24}, 0, 14),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_known_clusters(shared, name):
    ligands, charge, electrons = CLUSTERS[name]
    atoms = read(shared / name, allow_several=True)
    structure_parts = anatomy(atoms)
    assert structure_parts.ligand_counts() == ligands
    assert structure_parts.charge.charge == charge
    assert structure_parts.superatom_electrons == electrons
    assert all(ligand.note == "" for ligand in structure_parts.ligands)
    parts = structure_parts.parts()
    metals = [parts["kernel"], *(part for name, part in parts.items() if name.startswith("shell"))]
    assert sorted(np.concatenate(metals).tolist()) == structure_parts.metals.tolist()
    everything = np.concatenate([parts["metal + donor frame"], parts["ligand layer"]])
    free = [atom for ligand in structure_parts.leftovers for atom in ligand.atoms.tolist()]
    assert sorted([*everything.tolist(), *free]) == list(range(len(atoms)))


def test_unbound_ions_are_leftovers(shared):
    parts = anatomy(read(shared / "geometry" / "Ag70S4_SH24_HCOO12_Cl8_T_P.xyz", allow_several=True))
    assert [ligand.name for ligand in parts.leftovers] == ["Cl"] * 4


def test_the_shipped_example(examples):
    parts = anatomy(read(examples / "ag29_model.xyz"))
    assert parts.ligand_counts() == {"SH": 24, "PH3": 4}
    assert [len(layer) for layer in parts.layers] == [1, 12, 12, 4]
    assert len(parts.motifs_of("crown")) == 4
    assert parts.motifs_of("staple") == ()
    assert {name: len(part) for name, part in parts.parts().items()} == {
        "kernel": 13, "shell 1": 12, "shell 2": 4, "metal + donor frame": 57, "ligand layer": 36,
    }  # fmt: skip
    assert len(parts.donors) == 28


def test_a_bare_core_is_said_to_be_bare(ag70_core):
    parts = anatomy(ag70_core)
    assert len(parts.motifs_of("trigon")) == 4
    assert parts.superatom_electrons == 70 - 56 + 2  # at the stated charge, every S a sulfide
    assert any("28 S atoms without a substituent" in warning for warning in parts.charge.warnings)


def test_solvent_counter_ion_and_a_second_complex(centred):
    cluster = centred("icosahedron")
    water = molecule("H2O")
    water.translate([14.0, 0, 0])
    salt = Atoms("AgCl", [(0, 14.0, 0), (0, 14.0, 2.3)])
    parts = anatomy(cluster + water + Atoms("Na", [(0, 0, 15.0)]) + salt)
    assert len(parts.kernel) == 13
    assert parts.ligand_counts() == {"SH": 12}
    assert {left.name for left in parts.leftovers} == {"H2O", "Na", "AgCl"}
    assert len(parts.metals) == 13


def test_without_metal():
    parts = anatomy(molecule("CH3OH"))
    assert (len(parts.kernel), parts.shells, parts.motifs, parts.ligands) == (0, (), (), ())
    assert [left.name for left in parts.leftovers] == ["MeOH"]
    assert parts.superatom_electrons is None
    assert parts.parts() == {}


def test_unusable_coordinates_are_refused():
    with pytest.raises(StructureError):
        anatomy(molecule("H2O")[:0])
    with pytest.raises(StructureError):
        anatomy(Atoms("Ag2", [(0, 0, 0), (0, 0, 0.1)]))


def test_the_structure_is_left_alone(examples):
    atoms = read(examples / "ag29_model.xyz")
    before = (atoms.positions.copy(), dict(atoms.info))
    anatomy(atoms)
    assert np.array_equal(atoms.positions, before[0])
    assert atoms.info == before[1]


def test_a_file_without_hydrogens(shared):
    atoms = read(shared / "structures" / "Ag25_final.xyz")
    bare = anatomy(atoms[atoms.numbers != 1])
    assert bare.ligand_counts() == {"SPhMe2": 18}
    assert {ligand.missing_hydrogens for ligand in bare.ligands} == {9}
    assert (bare.charge.charge, bare.superatom_electrons) == (-1, 8)
    assert any("taken for SPhMe2" in warning for warning in bare.charge.warnings)


@settings(max_examples=40)
@given(seed=st.integers(0, 100_000))
def test_any_heap_of_atoms_has_an_anatomy(seed):
    """Random atoms: no crash, and every atom is in exactly one metal list, ligand or leftover."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice([1, 1, 3, 5, 6, 7, 8, 9, 11, 15, 16, 17, 34, 46, 47, 47, 54, 79, 92], size=rng.integers(1, 7))
    spots = rng.uniform(0, rng.uniform(3, 9), size=(rng.integers(1, 40), 3))
    keep = [i for i in range(len(spots)) if all(np.linalg.norm(spots[i] - spots[j]) > 0.7 for j in range(i))]
    atoms = Atoms(rng.choice(kinds, size=len(keep)), spots[keep])
    parts = anatomy(atoms)
    listed = [parts.metals, *(ligand.atoms for ligand in (*parts.ligands, *parts.leftovers))]
    assert sorted(np.concatenate(listed).tolist()) == list(range(len(atoms)))
    groups = element_groups(atoms).values()
    assert sorted(np.concatenate(list(groups)).tolist()) == list(range(len(atoms)))
