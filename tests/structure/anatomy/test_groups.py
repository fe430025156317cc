"""Groups for fragment analysis: a partition with the right members."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule

from clusterml.engine.fragments import element_groups
from clusterml.errors import StructureError
from clusterml.structure.check import check_geometry, connected_molecules
from clusterml.structure.read import read


def sizes(atoms):
    groups = element_groups(atoms)
    assert sorted(np.concatenate(list(groups.values())).tolist()) == list(range(len(atoms)))
    return {name: len(members) for name, members in groups.items()}


def test_ag29(examples):
    atoms = read(examples / "ag29_model.xyz")
    assert sizes(atoms) == {"metal kernel": 13, "metal shell": 16, "sulfur": 24, "ligands": 40}
    kernel = element_groups(atoms)["metal kernel"]
    assert np.linalg.norm(atoms.positions[kernel], axis=1).max() < 3.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "geometry/Ag70S4_SH24_HCOO12_Cl8_T_P.xyz",
            {"metal kernel": 16, "metal shell": 54, "sulfur": 28, "ligands": 80},
        ),
        ("structures/Ag24Pt_methylthiol.xyz", {"metal kernel": 13, "metal shell": 12, "sulfur": 18, "ligands": 72}),
    ],
)
def test_real_clusters(shared, name, expected):
    assert sizes(read(shared / name, allow_several=True)) == expected


def test_no_kernel_no_group(ag12):
    assert sizes(ag12) == {"metal shell": 12, "sulfur": 6, "ligands": 30}


def test_without_metal_by_element():
    assert sizes(molecule("CH3SH")) == {"C": 1, "S": 1, "H": 4}


def test_empty_and_single_atoms_are_handled():
    empty = molecule("H2O")[:0]
    with pytest.raises(StructureError, match="no atoms"):
        check_geometry(empty)
    assert connected_molecules(empty) == []
    single = molecule("H2O")[:1]
    check_geometry(single)
    assert [part.tolist() for part in connected_molecules(single)] == [[0]]
    assert sizes(single) == {"O": 1}
