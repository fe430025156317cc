"""Every blueprint gives the cluster it promises, both hands are mirror images, and nothing clashes."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import OptionError, StructureError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.fans import assign_fan_hand, measure_fan_angles
from clusterml.structure.build.build import build
from clusterml.structure.build.contacts import find_closest_contact
from clusterml.structure.build.operations import find_operations

SLOW = pytest.mark.slow
SMALL = [
    ("ag1", {}, "[Ag(PH3)2]+", 1, 0, {"PH3": 2}),
    ("ag2", {}, "[Ag2(HCOO)2]", 0, 0, {"HCOO": 2}),
    ("ag3", {}, "[Ag3(SCH3)3]", 0, 0, {"SCH3": 3}),
    ("ag4", {"thiolate": "SPh"}, "[Ag4(SPh)4]", 0, 0, {"SPh": 4}),
    ("ag3s", {}, "[Ag3S(PH3)6]+", 1, 0, {"S": 1, "PH3": 6}),
    ("ag4x4", {}, "[Ag4Cl4(PH3)4]", 0, 0, {"Cl": 4, "PH3": 4}),
    ("ag4x4", {"halide": "I"}, "[Ag4I4(PH3)4]", 0, 0, {"I": 4, "PH3": 4}),
    ("ag6", {}, "[Ag6(S2CNMe2)6]", 0, 0, {"S2CNMe2": 6}),
    ("ag8x", {}, "[Ag8(S2POMe2)6Cl]+", 1, 0, {"S2POMe2": 6, "Cl": 1}),
    ("ag8x", {"halide": "Br"}, "[Ag8(S2POMe2)6Br]+", 1, 0, {"S2POMe2": 6, "Br": 1}),
    ("ag12", {}, "[Ag12(SCH3)6(HCOO)6]", 0, 0, {"SCH3": 6, "HCOO": 6}),
    ("ag14", {}, "[Ag14(SH)12(PH3)8]", 0, 2, {"SH": 12, "PH3": 8}),
    ("ag21", {}, "[Ag21(S2POMe2)12]+", 1, 8, {"S2POMe2": 12}),
    ("ag24pt", {"thiolate": "SH"}, "[Ag24Pt(SH)18]2-", -2, 8, {"SH": 18}),
    ("ag24au", {"thiolate": "SH"}, "[Ag24Au(SH)18]-", -1, 8, {"SH": 18}),
    ("ag28pt", {"thiolate": "SH"}, "[Ag28Pt(SH)24(PH3)4]4-", -4, 8, {"SH": 24, "PH3": 4}),
    ("ag44", {}, "[Ag44(SH)30]4-", -4, 18, {"SH": 30}),
    ("au12ag32", {}, "[Ag32Au12(SH)30]4-", -4, 18, {"SH": 30}),
    ("ag12", {"thiolate": "SiPr", "carboxylate": "CF3COO"}, "[Ag12(SiPr)6(CF3COO)6]", 0, 0, {"SiPr": 6, "CF3COO": 6}),
    ("ag25", {}, "[Ag25(SCH3)18]-", -1, 8, {"SCH3": 18}),
    ("ag29", {}, "[Ag29(BDT)12(PH3)4]3-", -3, 8, {"BDT": 12, "PH3": 4}),
    ("ag29", {"dithiolate": "BDTA"}, "[Ag29(BDTA)12(PH3)4]3-", -3, 8, {"BDTA": 12, "PH3": 4}),
    ("ag29", {"thiolate": "SH"}, "[Ag29(SH)24(PH3)4]3-", -3, 8, {"SH": 24, "PH3": 4}),
    ("ag32", {"thiolate": "SH"}, "[Ag32(SH)24(PH3)10]", 0, 8, {"SH": 24, "PH3": 10}),
    pytest.param(*("ag33", {"thiolate": "SH"}, "[Ag33(SH)24(PH3)11]+", 1, 8, {"SH": 24, "PH3": 11}), marks=SLOW),
    ("ag70", {}, "[Ag70S4(SH)24(HCOO)20]2-", -2, 20, {"S": 4, "SH": 24, "HCOO": 20}),
    ("ag70", {"cap": "Cl"}, "[Ag70S4(SH)24(HCOO)12Cl4]2+", 2, 20, {"S": 4, "SH": 24, "HCOO": 12, "Cl": 4}),
    ("ag70-t", {}, "[Ag70S4(SH)24(HCOO)20]2-", -2, 20, {"S": 4, "SH": 24, "HCOO": 20}),
]
FULL = [
    ("ag29", {"phosphine": "PPh3"}, 309, {"BDT": 12, "PPh3": 4}),
    ("ag70-t", {"thiolate": "SiPr", "carboxylate": "CF3COO", "solvent": "DMF"}, 514,
     {"S": 4, "SiPr": 24, "CF3COO": 20, "DMF": 3}),
    ("ag70-t", {"thiolate": "SiPr", "carboxylate": "CF3COO", "cap": "R-TFL"}, 510,
     {"S": 4, "SiPr": 24, "CF3COO": 12, "R-TFL": 8}),
]  # fmt: skip
SYMMETRY = [
    ("ag1", {}, "S6", 12, 6),
    ("ag2", {}, "D2h", 8, 4),
    ("ag4x4", {}, "Td", 24, 12),
    ("ag14", {}, "Th", 24, 12),
    ("ag25", {}, "C3i", 6, 3),
    ("ag29", {}, "T", 12, 0),
    ("ag70", {"cap": "Cl"}, "Td", 24, 12),
    ("ag70", {}, "D2d", 8, 4),
    ("ag70-t", {"cap": "Cl"}, "T", 12, 0),
    ("ag70-t", {}, "D2", 4, 0),
]


@pytest.mark.parametrize(("name", "options", "title", "charge", "electrons", "ligands"), SMALL)
def test_composition_charge_and_contacts(built, name, options, title, charge, electrons, ligands):
    atoms = built(name, **options)
    parts = anatomy(atoms)
    assert atoms.info["name"] == title
    assert atoms.info["charge"] == charge
    assert parts.superatom_electrons == electrons
    assert parts.ligand_counts() == ligands
    assert not parts.leftovers
    contact = find_closest_contact(atoms)
    assert contact is None or contact.ratio > 0.74
    assert atoms.info["provenance"]["model"] == "model, not crystal"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "count", "ligands"), FULL)
def test_full_shells(built, name, options, count, ligands):
    atoms = built(name, **options)
    assert len(atoms) == count
    assert anatomy(atoms).ligand_counts() == ligands
    assert find_closest_contact(atoms).ratio > 0.80


@pytest.mark.parametrize(("name", "options", "group", "order", "improper"), SYMMETRY)
def test_symmetry_is_what_is_said(built, name, options, group, order, improper):
    """The order may be higher than that of the group: two PH3 on one Ag are D3d, S6 is what the sites ask for."""
    atoms = built(name, **options)
    operations = find_operations(atoms, tolerance=0.005)
    assert atoms.info["provenance"]["symmetry"] == group
    assert len(operations) == order
    assert (np.linalg.det(operations.matrices) < 0).sum() == improper


def test_motifs_are_those_of_the_real_clusters(built):
    assert len(anatomy(built("ag25")).motifs_of("staple")) == 6
    assert len(anatomy(built("ag29")).motifs_of("crown")) == 4
    assert len(anatomy(built("ag70", cap="Cl")).motifs_of("trigon")) == 4
    assert len(anatomy(built("ag29")).kernel) == 13


@pytest.mark.parametrize(
    ("name", "first", "second", "right", "left"),
    [
        ("ag29", "R", "S", {"thiolate": "SH"}, {"thiolate": "SH"}),
        pytest.param("ag33", "R", "S", {"thiolate": "SH"}, {"thiolate": "SH"}, marks=SLOW),
        pytest.param("ag70-t", "P", "M", {"cap": "R-TFL"}, {"cap": "S-TFL"}, marks=SLOW),
    ],
)
def test_hands_are_mirror_images(built, name, first, second, right, left):
    cluster, enantiomer = built(name, hand=first, **right), built(name, hand=second, **left)
    assert cluster.get_chemical_symbols() == enantiomer.get_chemical_symbols()
    np.testing.assert_allclose(cluster.positions[:, [1, 0, 2]], enantiomer.positions, atol=1e-9)


def test_a_frame_of_the_other_hand_keeps_the_hand_of_its_ligands(built):
    for hand in ("P", "M"):
        parts = anatomy(built("ag70-t", hand=hand, cap="R-TFL"))
        assert {x.hand for x in parts.ligands if "TFL" in x.name} == {"R"}


def test_a_chiral_ligand_is_never_mirrored(built):
    """A centre of inversion would make half of the ligands their enantiomers."""
    atoms = built("ag12", carboxylate="R-TFL")
    assert atoms.info["provenance"]["symmetry"] == "C3"
    assert anatomy(atoms).ligand_counts() == {"SCH3": 6, "R-TFL": 6}


@pytest.mark.parametrize("name", ["ag29", pytest.param("ag32", marks=SLOW), pytest.param("ag33", marks=SLOW)])
def test_the_fans_turn_the_way_the_hand_says(built, name):
    for hand, sign in (("R", 1), ("S", -1)):
        atoms = built(name, thiolate="SH", hand=hand)
        assert assign_fan_hand(atoms) == hand
        assert len(measure_fan_angles(atoms)) == 12
        assert (sign * measure_fan_angles(atoms) > 10).all()


def test_fans_of_something_else(built):
    assert assign_fan_hand(built("ag25")) is None
    assert assign_fan_hand(built("ag29", thiolate="SH")[:-1]) in ("R", "S")  # a hydrogen less is the same family
    assert assign_fan_hand(Atoms("He")) is None


def test_a_lower_symmetry_can_be_asked_for(built):
    atoms = built("ag12", symmetry="C1")
    assert atoms.info["provenance"]["symmetry"] == "C1"
    assert anatomy(atoms).ligand_counts() == {"SCH3": 6, "HCOO": 6}


def test_the_seed_decides():
    first, again = (build("ag4", thiolate="SnBu", symmetry="C1", seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.positions, again.positions)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ag99", {}, "no blueprint"),
        ("ag25", {"hand": "R"}, "achiral"),
        ("ag29", {"hand": "P"}, "choose one of S, R"),
        ("ag25", {"phosphine": "PH3"}, "no site for a phosphine"),
        ("ag25", {"cap": "Cl"}, "no shell 'cap'"),
        ("ag29", {"thiolate": "SH", "dithiolate": "BDT"}, "compete"),
        ("ag29", {"dithiolate": "SH"}, "the site needs 2"),
        ("ag14", {"phosphine": "pph"}, r"did you mean 'PPh3'\?\) \(choose one of PH3, .*, CO\)$"),
        ("ag29", {"dithiolate": "x"}, r"choose one of SPy, BDT, BDTA, BDTA-COO, S2C2H4, (S2\w+, )*S2POiPr2\)$"),
        ("ag70", {"carboxylate": "hcooo"}, r"did you mean 'HCOO'\?\) \(choose one of HCOO, .*, R-TFL, S-TFL\)$"),
        ("ag25", {"thiolate": "XYZ"}, "no ligand 'XYZ'"),
        ("ag25", {"symmetry": "T"}, "no symmetry group"),
        ("ag25", {"seed": -1}, "seed is -1"),
    ],
)
def test_wishes_that_cannot_be_met(name, options, message):
    with pytest.raises(OptionError, match=message):
        build(name, **options)


def test_ligands_that_do_not_fit():
    with pytest.raises(StructureError):
        build("ag2", carboxylate="BDT")


@SLOW
def test_pph3_fits_on_ag32_with_bdt_and_neither_with_bdta_nor_on_ag33():
    contact = find_closest_contact(build("ag32", phosphine="PPh3"))
    assert contact is not None
    assert contact.ratio == pytest.approx(0.753, abs=0.01)
    for name, ligands in (("ag32", {"dithiolate": "BDTA"}), ("ag33", {})):
        with pytest.raises(StructureError, match="the ligands do not fit"):
            build(name, phosphine="PPh3", **ligands)
