"""CIFs as programs and people write them: flaws that do not concern the structure, dotted names, bare labels."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.errors import ClusterMLError, InputFileError, UnsupportedElementError
from clusterml.structure.elements import formula
from clusterml.structure.formats.cif import parse_cif
from clusterml.structure.read import read, read_all

CELL = "".join(f"_cell_length_{k} 10\n" for k in "abc")
CELL += "".join(f"_cell_angle_{k} 90\n" for k in ("alpha", "beta", "gamma"))
SITES = """loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Ag1 Ag 0.10 0.1 0.1
S1 S 0.34 0.1 0.1
"""
P1 = "_symmetry_space_group_name_H-M 'P 1'\n"
CLEAN = "data_x\n" + CELL + P1 + SITES


def labelled(labels, head=""):
    """A crystal of sites that only labels name, 3 A apart."""
    rows = "".join(f"{label} {0.02 + 0.9 * k / len(labels):.4f} 0 0\n" for k, label in enumerate(labels))
    loop = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    return f"data_x\n{CELL.replace('length_a 10', 'length_a 90')}{P1}{head}{loop}{rows}"


HARMLESS = {
    "name twice": CLEAN.replace("data_x\n", "data_x\n_diffrn_wavelength 0.7\n_diffrn_wavelength 0.8\n"),
    "block twice": "data_global\n_journal_year 2020\n" + CLEAN + "data_global\n_journal_year 2020\n",
    "value with a blank": CLEAN.replace("data_x\n", "data_x\n_diffrn_device APEX II detector\n"),
    "quote that does not end": CLEAN.replace("data_x\n", "data_x\n_publ_author 'O'Neill\n"),
    "text that does not end": CLEAN + "_refine_details\n;\nrefined freely\n",
    "no value": CLEAN.replace("data_x\n", "data_x\n_chemical_name\n_journal_year 2020\n"),
    "loop with a value missing": "data_x\nloop_\n_geom_a\n_geom_b\n1 2\n3\n" + CLEAN.removeprefix("data_x\n"),
    "letters beyond ASCII": CLEAN.replace("data_x\n", "data_x\n_author Müller\n"),
    "lists of CIF 2": "#\\#CIF_2.0\n" + CLEAN + '_list [1 2 3]\n_text """a\nb"""\n',
    "blank lines and comments between the atoms": CLEAN.replace("S1 S", "\n# sulfur\nS1 S") + "_x a b\n",
    "prose before it": "Supporting information\n" + CLEAN,
}


@pytest.mark.parametrize("case", HARMLESS)
def test_a_flaw_elsewhere_is_passed_over(tmp_path, case):
    (tmp_path / "x.cif").write_text(HARMLESS[case])
    atoms = read(tmp_path / "x.cif")
    assert formula(atoms.numbers) == "AgS"
    assert atoms.get_distance(0, 1) == pytest.approx(2.4)
    if case != "no value":
        assert any("the CIF" in warning for warning in atoms.info["provenance"]["warnings"])


FATAL = {
    "row cut short": CLEAN.replace("S1 S 0.34 0.1 0.1", "S1 S 0.34 0.1"),
    "row after a name": CLEAN.replace("S1 S 0.34", "_x y z\nS1 S 0.34"),
    "header among the rows": CLEAN.replace("S1 S", "data_S1 S"),
    "text among the rows": CLEAN.replace("S1 S 0.34", ";\nS1\n S 0.34"),
    "two cells": CLEAN.replace(CELL, CELL + "_cell.length_a 12\n"),
    "two lists": CLEAN + SITES.replace("0.34", "0.35"),
}


@pytest.mark.parametrize("case", FATAL)
def test_a_flaw_among_cell_and_atoms_is_an_error(case):
    with pytest.raises(InputFileError, match=r"x\.cif") as caught:
        parse_cif(FATAL[case], "x.cif")
    assert caught.value.remedy


def test_names_repeated_with_one_value_are_one():
    assert parse_cif(CLEAN.replace(CELL, CELL + CELL) + SITES, "x").numbers.tolist() == [47, 16]


@pytest.mark.parametrize(
    ("old", "new"),
    [("_cell_", "_cell."), ("_atom_site_", "_atom_site."), ("_cell_", "_CELL."), ("_atom_site_", "_Atom_Site_"),
     ("'P 1'", '"P 1"'), ("Ag1 Ag", "'Ag1' 'Ag'")],
)  # fmt: skip
def test_other_ways_of_writing_the_same(old, new):
    text = CLEAN.replace("_symmetry_space_group_name_H-M", "_space_group.name_H-M_alt").replace(old, new)
    crystal = parse_cif(text, "x")
    assert crystal.numbers.tolist() == [47, 16]
    assert crystal.space_group == "P 1"


def test_dotted_operations():
    text = CLEAN.replace(P1, "loop_\n_space_group_symop.id\n_space_group_symop.operation_xyz\n1 x,y,z\n2 -x,-y,-z\n")
    assert len(parse_cif(text, "x").rotations) == 2


def test_cartesian_coordinates():
    text = CLEAN.replace("fract", "Cartn").replace("0.10 0.1 0.1", "1 1 1").replace("0.34 0.1 0.1", "3.4 1 1")
    assert parse_cif(text, "x").fractional == pytest.approx(np.array([[0.1] * 3, [0.34, 0.1, 0.1]]))


def test_every_structure_of_a_file(tmp_path):
    path = tmp_path / "x.cif"
    path.write_text("data_global\n_year 2020\n" + CLEAN + CLEAN.replace("data_x", "data_y").replace("S1 S", "Cl1 Cl"))
    frames = list(read_all(path))
    assert [(atoms.info["name"], formula(atoms.numbers)) for atoms in frames] == [("x_1", "AgS"), ("x_2", "AgCl")]
    assert [atoms.info["provenance"]["block"] for atoms in frames] == ["x", "y"]
    assert formula(read(path, frame=2).numbers) == "AgCl"
    assert "several structures" in read(path).info["provenance"]["warnings"][-1]


def test_unknown_values_are_not_elements_or_occupancies():
    text = CLEAN.replace("_atom_site_label\n", "_atom_site_occupancy\n_atom_site_label\n")
    text = text.replace("Ag1 Ag", "? Ag1 ?").replace("S1 S", ". S1 .")
    crystal = parse_cif(text, "x")
    assert (crystal.numbers.tolist(), crystal.occupancy.tolist()) == ([47, 16], [1.0, 1.0])


LABELS = {
    "suffixes": (["SG4", "SC1", "SE1", "SB2", "PB1", "PD2", "HO1", "CO3", "NO2", "CD1", "CN1", "OG1", "HG1"],
                 "S S S S P P H C N C C O H"),
    "symbols": (["Ag1", "Au2", "AG3", "AU4", "CU1", "Cu2", "CL1", "Br1", "Se1", "Pd1", "Pb1", "Cd1", "Pt1", "Na1"],
                "Ag Au Ag Au Cu Cu Cl Br Se Pd Pb Cd Pt Na"),
    "never": (["Sg1", "No1", "Ho2", "Hs1", "Cn1", "Og1"], "S N H H C O"),
    "positions": (["C12A", "H1WA", "S_3", "AG1_2", "O1W"], "C H S Ag O"),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELS)
def test_labels_without_type_symbols(case):
    from ase.data import chemical_symbols

    labels, symbols = LABELS[case]
    crystal = parse_cif(labelled(labels), "x")
    assert [chemical_symbols[z] for z in crystal.numbers] == symbols.split()


def test_what_was_taken_from_a_doubtful_label_is_said():
    warnings = parse_cif(labelled(["Ag1", "SE1", "SE2", "CO1", "CR5"]), "x").warnings
    assert any("SE1, SE2: taken for S, not Se" in warning for warning in warnings)
    assert any("CO1: taken for C, not Co" in warning for warning in warnings)
    assert any("CR5: taken for C, not Cr" in warning for warning in warnings)
    assert parse_cif(labelled(["Ag1", "SG1", "C1", "CU2"]), "x").warnings == ()


@pytest.mark.parametrize(
    ("content", "labels", "symbols"),
    [
        ("Ag2 Se", ["Ag1", "SE1"], "Ag Se"),
        ("Ag2 S", ["Ag1", "SE1"], "Ag S"),
        ("Ag2 Se S2", ["Ag1", "SE1", "S1"], "Ag Se S"),  # the formula's selenium must be somewhere
        ("Ag2 Se S2", ["Ag1", "SE1", "Se1"], "Ag S Se"),
        ("Sc N", ["SC1", "N1"], "Sc N"),
        ("Ag Cr O4", ["AG1", "CR1", "O1"], "Ag Cr O"),
        ("Ag H2 O", ["AG1", "HO1", "O1"], "Ag H O"),
        ("C2 H2", ["AG1", "CL1"], "Ag C"),
    ],
)
def test_the_formula_is_a_witness(content, labels, symbols):
    from ase.data import chemical_symbols

    crystal = parse_cif(labelled(labels, f"_chemical_formula_sum '{content}'\n"), "x")
    assert [chemical_symbols[z] for z in crystal.numbers] == symbols.split()


def test_type_symbols_are_the_first_witness():
    for symbol, number in {"Se": 34, "Ag1+": 47, "S2-": 16, "Cval": 6, "SG": 16, "AG": 47, "D": 1}.items():
        text = CLEAN.replace("Ag1 Ag", f"SX1 {symbol}")
        assert parse_cif(text, "x").numbers[0] == number, symbol


def test_a_label_without_element_is_an_error():
    with pytest.raises(UnsupportedElementError, match="x: site QX1"):
        parse_cif(labelled(["Ag1", "QX1"]), "x")


def test_wrong_content_is_never_a_traceback():
    for text in ("data_\n", "loop_\n", "data_x\nloop_\n_atom_site_fract_x\n"):
        with pytest.raises(ClusterMLError):
            parse_cif(text, "x")
