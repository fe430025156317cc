"""Symmetry operations: they form groups, multiply as they should, and contradictions are said."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from clusterml.errors import InputFileError
from clusterml.structure.crystal.spacegroup import determinants, product_table, triplet
from clusterml.structure.formats.cif import parse_cif


def operations(name):
    listed = list(gemmi.find_spacegroup_by_name(name).operations())
    rotations = np.array([op.rot for op in listed], dtype=np.int64) // gemmi.Op.DEN
    return listed, rotations, np.array([op.tran for op in listed]) / gemmi.Op.DEN


@pytest.mark.parametrize("name", ["P 1", "P -1", "P 1 21 1", "P -3 c 1", "R -3:H", "F d -3 m:1", "F d -3 m:2"])
def test_products_are_those_of_gemmi(name):
    symmetry, rotations, translations = operations(name)
    table = product_table(rotations, translations)
    index = {op.wrap().triplet(): k for k, op in enumerate(symmetry)}
    rng = np.random.default_rng(0)
    for h, g in rng.integers(0, len(symmetry), (200, 2)):
        assert table[h, g] == index[(symmetry[h] * symmetry[g]).wrap().triplet()]
    assert [triplet(r, t) for r, t in zip(rotations, translations, strict=True)] == [
        op.wrap().triplet() for op in symmetry
    ]
    assert abs(determinants(rotations)).tolist() == [1] * len(symmetry)


def test_what_is_no_group_has_no_table():
    _, rotations, translations = operations("P -3 c 1")
    assert product_table(rotations[:-1], translations[:-1]) is None


def cif(operations, name="", cell=(10, 10, 10, 90, 90, 90)):
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", *(f"_cell_{k} {v}" for k, v in zip(keys, cell, strict=True)), name]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{op}'" for op in operations)]
    lines += ["loop_", *(f"_atom_site_{k}" for k in ("label", "fract_x", "fract_y", "fract_z")), "Ag1 0.1 0.2 0.3"]
    return "\n".join(lines) + "\n"


def test_a_name_that_contradicts_the_operations_is_reported():
    crystal = parse_cif(cif(("x,y,z", "-x,y+1/2,-z"), "_symmetry_space_group_name_H-M 'P 21/c'"), "x.cif")
    assert crystal.space_group == "P 1 21 1"
    assert crystal.sohncke
    assert "names space group P 1 21/c 1" in crystal.warnings[0]


def test_a_group_in_an_unlisted_setting_is_named():
    crystal = parse_cif(cif(("x,y,z", "-x+1/4,-y,-z+1/3")), "x.cif")  # an inversion centre off the origin
    assert crystal.space_group == "P-1 (another setting)"
    assert not crystal.sohncke


def test_endless_lists_of_operations_are_refused():
    with pytest.raises(InputFileError, match="lists 1000 operations"):
        parse_cif(cif(["x,y,z"] * 1000), "x.cif")
