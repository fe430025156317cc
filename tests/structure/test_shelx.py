"""SHELX files: symmetry, free variables, PARTs, special positions, peaks, and what is wrong with a bad one."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.errors import ClusterMLError, InputFileError, StructureError, UnsupportedElementError
from clusterml.structure.elements import formula
from clusterml.structure.formats.shelx import parse_shelx
from clusterml.structure.read import read

HEAD = """TITL cluster in P-1
CELL 0.71073 10 10 10 90 90 90
ZERR 1 0.001 0.001 0.001 0 0 0
LATT {latt}
SFAC C H S AG CL
UNIT 2 6 2 2 2
L.S. 10
REM a remark = that is not continued
FVAR 0.25 0.7 0.4
"""
TAIL = "HKLF 4\n\nREM wR2 = 0.05\nEND\nQ1 1 0.5 0.5 0.5 11.0 0.05 1.2\n"
ATOMS = """AG1 4 0.100000 0.100000 0.100000 11.00000 0.02000 0.02000 =
   0.02 0.00 0.00 0.00
S1 3 0.340000 0.100000 0.100000 11.00000 0.03
"""


def parsed(atoms, latt=-1, symm=(), head=HEAD):
    lines = "".join(f"SYMM {text}\n" for text in symm)
    text = head.format(latt=latt).replace("SFAC", lines + "SFAC", 1) + atoms + TAIL
    (crystal,) = parse_shelx(text, "x.res")
    return crystal


def test_atoms_and_cell():
    crystal = parsed(ATOMS)
    assert crystal.numbers.tolist() == [47, 16]
    assert crystal.labels == ("AG1", "S1")
    assert crystal.fractional == pytest.approx(np.array([[0.1, 0.1, 0.1], [0.34, 0.1, 0.1]]))
    assert crystal.cell == pytest.approx(np.eye(3) * 10, abs=1e-9)
    assert crystal.block == "cluster in P-1"
    assert dict(crystal.stated) == {1: 6, 6: 2, 16: 2, 17: 2, 47: 2}
    assert crystal.warnings == ()


@pytest.mark.parametrize(
    ("latt", "symm", "count", "name"),
    [
        (-1, (), 1, "P 1"),
        (1, (), 2, "P -1"),
        (1, ("-X, 0.5+Y, 0.5-Z",), 4, "P 1 21/c 1"),
        (7, ("-x, y, 1/2-z",), 8, "C 1 2/c 1"),
        (-1, ("-X, -Y, 0.5+Z", "0.5-X, Y+0.5, 0.5+Z", "X+1/2, 1/2-Y, Z"), 4, "P n a 21"),
        (-4, ("-x,-y,z", "-x,y,-z", "x,-y,-z"), 16, "F 2 2 2"),
    ],
)
def test_the_space_group(latt, symm, count, name):
    crystal = parsed(ATOMS, latt, symm)
    assert (len(crystal.rotations), crystal.space_group) == (count, name)


def test_the_hexagonal_axes_of_a_rhombohedral_lattice():
    head = HEAD.replace("10 10 10 90 90 90", "10 10 20 90 90 120")
    assert parsed(ATOMS, -3, ("-y,x-y,z", "y-x,-x,z"), head).space_group == "R 3:H"


def test_free_variables_are_occupancies_and_their_complements():
    crystal = parsed(ATOMS.replace("S1 3 0.340000 0.100000 0.100000 11.0", "S1 3 0.340000 0.100000 0.100000 21.0"))
    assert crystal.occupancy.tolist() == [1.0, 0.7]
    parts = "PART 1\nS1 3 0.34 0.1 0.1 31.0 0.03\nPART 2\nCL1 5 0.33 0.17 0.1 -31.0 0.03\nPART 0\n"
    crystal = parsed(ATOMS.split("S1")[0] + parts)
    assert crystal.occupancy == pytest.approx([1.0, 0.4, 0.6])
    assert crystal.group.tolist() == [0, 1, 2]
    whole = parsed(ATOMS.split("S1")[0] + parts.replace("PART 2", "PART 2 -21").replace("PART 1", "PART 1 21"))
    assert whole.occupancy == pytest.approx([1.0, 0.7, 0.3])  # the occupancy of a PART counts for its atoms


def test_fixed_and_tied_coordinates():
    crystal = parsed(ATOMS.replace("S1 3 0.340000 0.100000", "S1 3 10.250000 20.500000"))
    assert crystal.fractional[1] == pytest.approx([0.25, 0.35, 0.1])  # fixed; half of the second free variable


def test_an_atom_on_a_symmetry_element_is_there_in_full():
    """SHELX gives it the occupancy 0.5 on a centre; a CIF would say 1."""
    crystal = parsed("AG1 4 10.0 10.0 10.0 10.5 0.02\nS1 3 0.24 0.0 0.0 11.0 0.03\n", latt=1)
    assert crystal.occupancy.tolist() == [1.0, 1.0]
    about = parsed("PART -1\nAG1 4 0.01 0.0 0.0 10.5 0.02\nPART 0\nS1 3 0.24 0.0 0.0 11.0 0.03\n", latt=1)
    assert about.occupancy.tolist() == [0.5, 1.0]
    assert about.group.tolist() == [-1, 0]


def test_the_parts_are_disorder_to_choose_from(tmp_path):
    parts = "PART 1\nS1 3 0.34 0.1 0.1 31.0 0.03\nPART 2\nCL1 5 0.33 0.17 0.1 -31.0 0.03\nPART 0\n"
    path = tmp_path / "x.res"
    path.write_text(HEAD.format(latt=-1) + ATOMS.split("S1")[0] + parts + TAIL)
    assert formula(read(path).numbers) == "AgCl"
    assert formula(read(path, disorder="A").numbers) == "AgS"
    with pytest.raises(StructureError, match="S1"):
        read(path, disorder="error")


def test_a_disordered_ion_about_a_centre_leaves_one(tmp_path):
    """PART -1: half of a molecule is listed, its image by the centre excludes it."""
    path = tmp_path / "x.ins"
    cl = "PART -1\nCL1 5 0.52 0.5 0.5 10.5 0.03\nS2 3 0.72 0.5 0.5 10.5 0.03\nPART 0\n"
    path.write_text(HEAD.format(latt=1) + ATOMS + cl + TAIL)
    contents = read(path).info["provenance"]["cell_contents"]
    assert contents == {"AgS": 2, "ClS": 1}


def test_move_inverts_the_hand(tmp_path):
    rows = "AG1 4 0.5 0.5 0.5 11.0 0.02\nS1 3 0.74 0.5 0.5 11.0 0.03\n"
    rows += "CL1 5 0.5 0.74 0.5 11 0.03\nC1 1 0.5 0.5 0.72 11 0.03\n"
    volumes = []
    for move in ("", "MOVE 1 1 1 -1\n"):
        path = tmp_path / "x.ins"
        path.write_text(HEAD.format(latt=-1) + move + rows + TAIL)
        atoms = read(path, hydrogens=False)
        volumes.append(np.linalg.det(atoms.positions[1:] - atoms.positions[0]))
    assert volumes[0] > 1.0
    assert volumes[1] == pytest.approx(-volumes[0])


def test_what_is_left_out():
    """Peaks, fragments for idealised groups, instructions with residues; a mask is told."""
    more = "Q12 1 0.9 0.9 0.9 11.0 0.05 0.3\nFRAG 17 1 1 1 90 90 90\nC9 1 1 2 3\nFEND\n"
    more += "SADI_TOL C1 C2\nAFIX 137\nRESI 1 TOL\n"
    crystal = parsed(more + ATOMS, head=HEAD.replace("L.S. 10", "ABIN"))
    assert crystal.numbers.tolist() == [47, 16]
    assert crystal.masked
    assert crystal.warnings == ("1 residual peaks (Q) were left out",)


def test_hydrogens_are_added_as_for_a_cif(tmp_path):
    path = tmp_path / "x.res"
    path.write_text(HEAD.format(latt=-1) + ATOMS + "C1 1 0.40 0.27 0.10 11.0 0.04\n" + TAIL)
    assert formula(read(path).numbers) == "AgCH3S"
    assert formula(read(path, hydrogens=False).numbers) == "AgCS"


def test_the_same_crystal_as_cif(tmp_path, crystal, ag29):
    """Ag29 on a site of symmetry 23: SHELX divides the occupancies of its special positions."""
    writer = crystal("P 2 3", (26.0, 26.0, 26.0)).add(ag29, (0.5, 0.5, 0.5))
    rows = []
    for row in writer.rows:
        label, symbol, *xyz = row.split()[:5]
        point = np.array([float(x) for x in xyz])
        step = writer.rotations @ point + writer.translations - point
        order = int((np.linalg.norm((step - np.rint(step)) @ writer.lattice, axis=1) < 0.1).sum())
        rows.append(f"{label} {1 + ['Ag', 'S', 'P', 'H'].index(symbol)} {' '.join(xyz)} {10 + 1 / order:.5f} 0.02")
    head = "TITL x\nCELL 0.7 26 26 26 90 90 90\nLATT -1\n"
    head += "".join(f"SYMM {op.triplet()}\n" for op in writer.operations[1:]) + "SFAC Ag S P H\nFVAR 1\n"
    (tmp_path / "a.cif").write_text(writer.text())
    (tmp_path / "b.res").write_text(head + "\n".join(rows) + "\n" + TAIL)
    expected, atoms = read(tmp_path / "a.cif"), read(tmp_path / "b.res")
    assert formula(atoms.numbers) == "Ag29H36P4S24"
    assert atoms.positions == pytest.approx(expected.positions, abs=1e-4)
    assert not any("partial" in warning for warning in atoms.info["provenance"]["warnings"])


BAD = {
    "no cell": (HEAD.replace("CELL", "REM") + ATOMS, InputFileError, "no CELL"),
    "no atoms": (HEAD, InputFileError, "no atoms"),
    "cell": (HEAD.replace("10 10 10 90", "10 10 90") + ATOMS, InputFileError, "line 2: CELL"),
    "lattice": (HEAD.replace("{latt}", "9") + ATOMS, InputFileError, "line 4: LATT 9"),
    "operation": (HEAD.replace("SFAC", "SYMM x,y\nSFAC") + ATOMS, InputFileError, "line 5: SYMM x,y"),
    "element": (HEAD.replace("AG", "QQ") + ATOMS, UnsupportedElementError, "line 5.*QQ"),
    "factor": (HEAD + ATOMS.replace("S1 3", "S1 8"), InputFileError, "S1 has scattering factor 8, but SFAC gives 5"),
    "digit": (HEAD + ATOMS.replace("S1 3", "S1 ³"), InputFileError, "is 'S1 ³ .*neither an instruction nor an atom"),
    "variable": (HEAD + ATOMS.replace("11.00000 0.03", "51.0 0.03"), InputFileError, "variable 5, but FVAR gives 3"),
    "coordinate": (HEAD + ATOMS.replace("0.340000", "0.34x"), InputFileError, "line 12 has '0.34x"),
    "typo": (HEAD + ATOMS + "HELLO WORLD\n", InputFileError, "line 13 is 'HELLO WORLD'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_say_what_is_wrong(case):
    text, kind, message = BAD[case]
    with pytest.raises(kind, match=message) as caught:
        list(parse_shelx(text.replace("{latt}", "-1") + TAIL, "x.res"))
    assert caught.value.remedy


def test_damaged_files_never_give_a_traceback():
    text = HEAD.format(latt=1) + ATOMS + TAIL
    rng = np.random.default_rng(1)
    for _ in range(300):
        start, length = rng.integers(0, len(text), 2)
        try:
            list(parse_shelx(text[:start] + text[start + length % 9 :], "x.res"))
        except ClusterMLError:
            continue
