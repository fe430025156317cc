"""Reading xyz and extxyz: what is taken from the file, and what is said about a bad one."""

from __future__ import annotations

import json
import re
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterml.errors import (
    ClusterMLError,
    InputFileError,
    OptionError,
    SeveralMoleculesError,
    StructureError,
    UnsupportedElementError,
)
from clusterml.structure.elements import formula
from clusterml.structure.formats.xyz import parse_xyz
from clusterml.structure.read import read, read_all

WATER = "3\n{}\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"


def write(tmp_path, text, name="x.xyz"):
    path = tmp_path / name
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    return path


def test_the_shipped_example(examples):
    atoms = read(examples / "ag29_model.xyz")
    assert formula(atoms.numbers) == "Ag29H36P4S24"
    assert atoms.info["charge"] == -3
    assert atoms.info["name"] == "ag29_model"
    assert not atoms.pbc.any()
    assert json.loads(json.dumps(atoms.info))["provenance"]["warnings"] == []


@pytest.mark.parametrize(
    "comment", ["Energy =  -1243.9960912265", "", "cpj01_sq", 'a "lone quote = 3', "charges 3", "charge 12 3"]
)
def test_a_free_text_comment_states_no_charge(tmp_path, comment):
    atoms = read(write(tmp_path, WATER.format(comment)))
    assert "charge" not in atoms.info
    assert atoms.info["provenance"]["title"] == comment


@pytest.mark.parametrize(
    ("comment", "charge"),
    [
        ("charge=-3", -3),
        ("Charge = 2.0", 2),
        ("Properties=species:S:1:pos:R:3 charge=-2 (with 20 RCOO)", -2),
        ('Properties=species:S:1:pos:R:3 name="a charge=7 b" charge="1"', 1),
        ("Properties=species:S:1:pos:R:3 total_charge=2 total_spin=1", 2),
        ("CHARGE=-1", -1),
        ("q=3- energy=-12.5", -3),
        ("total_charge=0.0 charge=0", 0),
        ("CHARGE -2", -2),
        ("cluster 7, total charge: 3+ (DFT)", 3),
        ('{"charge": -1, "name": "x"}', -1),
        ("system_charge=4", 4),
    ],
)
def test_the_charge_is_read(tmp_path, comment, charge):
    assert read(write(tmp_path, WATER.format(comment))).info["charge"] == charge


def test_conflicting_charges_are_named_and_none_is_taken(tmp_path):
    atoms = read(write(tmp_path, WATER.format("total_charge=5 charge=0")))
    assert "charge" not in atoms.info
    assert atoms.info["provenance"]["warnings"] == [
        "the file states total_charge=5 and charge=0: none of them was taken as the charge"
    ]


@pytest.mark.parametrize(
    ("comment", "says"),
    [
        ("total_charge=two", "states total_charge=two, which is not a whole number"),
        ("formal_charge=2", "states formal_charge=2, which is not a known key of the total charge"),
        ("CHARGE 2 charge=1", "states charge=1 and CHARGE=2: none of them was taken"),
    ],
)
def test_a_charge_that_is_not_taken_is_told(tmp_path, comment, says):
    atoms = read(write(tmp_path, WATER.format(comment)))
    assert "charge" not in atoms.info
    (said,) = atoms.info["provenance"]["warnings"]
    assert says in said


def test_a_structure_without_a_lattice_has_no_second_cluster(tmp_path):
    with pytest.raises(OptionError, match=r"there is no cluster 2 \(the structure has no lattice"):
        read(write(tmp_path, WATER.format("")), cluster=2)


def test_a_value_that_is_no_charge_is_none(tmp_path):
    assert "charge" not in read(write(tmp_path, WATER.format("q=0.37 energy=-1.0"))).info


def test_columns_follow_properties(tmp_path):
    text = '1\nProperties=id:I:1:pos:R:3:species:S:1:charge:R:1 Lattice="9 0 0 0 9 0 0 0 9"\n7 1.0 2.0 3.0D0 AG -0.5\n'
    atoms = read(write(tmp_path, text, "x.extxyz"))
    assert atoms.numbers.tolist() == [47]
    assert atoms.positions.tolist() == [[1.0, 2.0, 3.0]]
    assert "charge" not in atoms.info
    assert not atoms.pbc.any()
    assert atoms.info["provenance"]["cell"] == np.diag([9.0, 9.0, 9.0]).tolist()


def test_frames(tmp_path):
    path = write(tmp_path, WATER.format("charge=0") + WATER.format("charge=2") + "\n\n")
    first = read(path)
    assert first.info["charge"] == 0
    assert "several structures" in first.info["provenance"]["warnings"][0]
    assert read(path, frame=2).info["charge"] == 2
    assert [atoms.info["name"] for atoms in read_all(path)] == ["x_1", "x_2"]
    with pytest.raises(OptionError, match="no frame 3"):
        read(path, frame=3)
    with pytest.raises(OptionError, match="no frame 3"):
        list(read_all(path, frame=3))
    assert [atoms.info["charge"] for atoms in read_all(path, frame=2)] == [2]
    with pytest.raises(OptionError, match="frame is 0"):
        read(path, frame=0)


def test_a_bad_second_frame_does_not_cost_the_first(tmp_path):
    path = write(tmp_path, WATER.format("") + "3\n\nO 0 0 0\n")
    assert len(read(path)) == 3
    frames = read_all(path)
    assert len(next(frames)) == 3
    with pytest.raises(InputFileError, match="line 6 says 3 atoms, but the file ends after 1"):
        next(frames)


BAD = {
    "empty": ("", InputFileError, "empty"),
    "blank": (" \n \n", InputFileError, "empty"),
    "garbage": ("hello world\n", InputFileError, "line 1"),
    "binary": (b"\x00\x01\x02", InputFileError, "binary"),
    "truncated": (WATER.format("")[:-16], InputFileError, "ends after 2"),
    "only a count": ("5\n", InputFileError, "ends after 0"),
    "no atoms": ("0\n\n", StructureError, "0 atoms"),
    "too many": ("99999999999999999999\n\n", InputFileError, "at most"),
    "unknown element": ("1\n\nXx 0 0 0\n", UnsupportedElementError, "line 3.*'Xx'"),
    "not a number": ("1\n\nAg 0 0 zero\n", InputFileError, "line 3.*'zero'"),
    "short line": ("1\n\nAg 0 0\n", InputFileError, "line 3"),
    "nan": ("2\n\nAg 0 0 0\nAg 0 nan 3\n", StructureError, "Ag2"),
    "inf": ("1\n\nAg 0 0 inf\n", StructureError, "Ag1"),
    "coincident": ("3\n\nAg 0 0 0\nS 2.4 0 0\nH 2.4 0.3 0\n", StructureError, "S2 and H3 are 0.300 A"),
    "charge is a word": (WATER.format("charge=minus"), InputFileError, "line 2 states charge=minus"),
    "half a charge": (WATER.format("charge=0.5"), InputFileError, "whole number"),
    "bad properties": (WATER.format("Properties=foo"), InputFileError, "Properties=foo"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_say_what_is_wrong(tmp_path, case):
    text, kind, message = BAD[case]
    path = write(tmp_path, text)
    with pytest.raises(kind) as caught:
        read(path)
    assert str(path) in caught.value.problem
    assert caught.value.remedy
    assert re.search(message, str(caught.value))


def test_files_that_cannot_be_opened(tmp_path):
    (tmp_path / "folder.xyz").mkdir()
    write(tmp_path, "x", "x.docx")
    for name, message in {
        "none.xyz": "no such",
        "folder.xyz": "folder",
        "x.docx": "files of type '.docx' .*cif .*xyz ",
        "a\0b.xyz": "read",
    }.items():
        with pytest.raises(InputFileError, match=message):
            read(tmp_path / name)


def test_several_molecules(tmp_path):
    path = write(tmp_path, "4\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\nAg 0 0 9\n")
    with pytest.raises(SeveralMoleculesError, match="1 x H2O, 1 x Ag"):
        read(path)
    assert len(read(path, allow_several=True)) == 4


def test_coordinates_in_bohr_are_told(tmp_path, examples):
    atoms = read(examples / "ag29_model.xyz")
    lines = [f"{s} {x} {y} {z}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions / 0.529177, strict=True)]
    path = write(tmp_path, "\n".join([str(len(atoms)), "", *lines, ""]))
    with pytest.raises(StructureError, match=r"as lengths in bohr they would be \(multiply .* by 0.529177"):
        read(path)
    apart = write(tmp_path, "6\n\n" + "".join(f"Ag {9 * k} 0 0\n" for k in range(6)))
    with pytest.raises(SeveralMoleculesError):
        read(apart)


def test_labels_that_begin_with_a_symbol_are_read(tmp_path):
    atoms = read(write(tmp_path, "4\n\nAg1 0 0 0\nS12 2.4 0 0\nC1 2.9 1.7 0\nCl2 -2.4 0 0\n"))
    assert atoms.get_chemical_symbols() == ["Ag", "S", "C", "Cl"]
    for label in ("CA1", "AG1", "Xq1"):
        with pytest.raises(UnsupportedElementError, match="of labels only those like Ag1 are read"):
            read(write(tmp_path, f"1\n\n{label} 0 0 0\n"))


def test_real_structures(shared):
    expected = {
        "Ag24Pt_methylthiol": "Ag24PtC18H54S18",
        "Ag25_final": "Ag25C144H162S18",
        "Ag25_methylthiol": "Ag25C18H54S18",
        "au25_pet18_opt": "Au25C144H162S18",
        "au38_pet24q_opt": "Au38C192H216S24",
    }
    for name, known in expected.items():
        atoms = read(shared / "structures" / f"{name}.xyz")
        assert formula(atoms.numbers) == known
        assert "charge" not in atoms.info


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    junk=st.text(alphabet=st.characters(codec="utf-8"), max_size=6),
    cut=st.booleans(),
)
def test_damaged_xyz_raises_only_our_errors(examples, seed, junk, cut):
    rng = np.random.default_rng(seed)
    text = (examples / "ag29_model.xyz").read_text()
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(0, len(text) if cut else 400))
        text = text[:at] + junk + ("" if cut and rng.random() < 0.3 else text[at + int(rng.integers(0, 5)) :])
    frames = []
    with suppress(ClusterMLError):
        frames.extend(len(atoms) for atoms in parse_xyz(text, "damaged"))
    assert 0 not in frames


@pytest.mark.parametrize(
    ("line", "atoms", "charge", "said"),
    [
        ("2 1", ["Ag", "Ag"], 2, "'2 1' was taken as charge 2 and multiplicity 1"),
        ("-1,1", ["Ag", "S", "H", "H", "H", "S", "H", "H"], None, "cannot be charge and multiplicity of 85 electrons"),
        ("  0   2 ", ["Ag"], 0, "multiplicity 2; closed shells are computed"),
        ("+1 1", ["Ag"], 1, "was taken as charge 1"),
        ("0 1", ["Ag"], None, "cannot be charge and multiplicity of 47 electrons: it was not taken"),
        ("0 0", ["Ag", "Ag"], None, "cannot be charge and multiplicity"),
        ("-1", ["Ag"], None, "the second line is '-1': it was not taken as the charge; write charge=-1"),
        ("25", ["Ag"], None, None),
        ("2 1 0", ["Ag"], None, None),
        ("2 1 cluster", ["Ag"], None, None),
    ],
)
def test_charge_and_multiplicity_on_the_second_line(line, atoms, charge, said):
    rows = "".join(f"{symbol} {2.5 * k} 0 0\n" for k, symbol in enumerate(atoms))
    (only,) = parse_xyz(f"{len(atoms)}\n{line}\n{rows}", "a.xyz")
    assert only.info.get("charge") == charge
    warnings = only.info["provenance"]["warnings"]
    assert (said is None and not warnings) or (len(warnings) == 1 and said in warnings[0])


def test_disorder_of_a_molecule_is_refused(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("1\n\nAg 0 0 0\n")
    with pytest.raises(OptionError, match=r"a\.xyz: there is no disorder of which B could be taken"):
        read(path, disorder="B")
