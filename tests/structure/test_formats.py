"""The registry of formats: how a file's format is found, and that each gives the structure it holds."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.distance import pdist

from clusterml.batch.inputs import expand
from clusterml.errors import ClusterMLError, InputFileError, OptionError, StructureError, UnsupportedElementError
from clusterml.structure.elements import formula
from clusterml.structure.formats.format import REGISTRY, format_of_name
from clusterml.structure.formats.pdb import parse_pdb
from clusterml.structure.options import ReadOptions
from clusterml.structure.read import read, read_all

CLUSTER = Atoms("Ag2SH", [[0.5, 5, 5], [3.3, 5, 5], [1.9, 7, 5], [1.9, 7.9, 5.9]])
WRAPPED = Atoms("Ag2SH", np.mod(CLUSTER.positions + np.array([10, 0, 6]), 12.0), cell=[12, 12, 12], pbc=True)
ASE_NAMES = {
    "poscar": "vasp", "gaussian": "gaussian-in", "turbomole": "turbomole", "sdf": "sdf", "mol": "mol", "dftb": "gen",
    "xsf": "xsf", "gromacs": "gromacs",
}  # fmt: skip
PERIODIC = ("poscar", "gaussian", "dftb", "xsf", "gromacs")


def written(kind, atoms, tmp_path):
    """The text of ``atoms`` in a format, by ASE."""
    import ase.io

    path = tmp_path / "written"
    ase.io.write(path, atoms, format=ASE_NAMES[kind])
    return path.read_text()


def same_shape(atoms, digits=2e-3):
    assert formula(atoms.numbers) == "Ag2HS"
    assert np.sort(pdist(atoms.positions)) == pytest.approx(np.sort(pdist(CLUSTER.positions)), abs=digits)
    assert not atoms.pbc.any()


@pytest.mark.parametrize("kind", [kind for kind in ASE_NAMES if kind != "poscar"])
def test_molecules(kind, tmp_path):
    text = written(kind, CLUSTER, tmp_path)
    atoms = read(text.encode(), format=kind)
    same_shape(atoms)
    assert atoms.info["provenance"]["format"] == kind


@pytest.mark.parametrize("kind", PERIODIC)
def test_periodic_ones_are_made_whole(kind, tmp_path):
    atoms = read(written(kind, WRAPPED, tmp_path).encode(), format=kind)
    same_shape(atoms, 2e-2)  # gro has three digits in nm
    assert atoms.info["provenance"]["cell"][0][0] == pytest.approx(12.0)


@pytest.mark.parametrize("kind", ASE_NAMES)
@pytest.mark.parametrize("damage", ["garbage", "half", "element", "blank"])
def test_damaged_files_are_errors_of_ours(kind, damage, tmp_path):
    text = written(kind, WRAPPED, tmp_path)
    bad = {
        "garbage": "hello\nworld 1 2\n3\n",
        "half": text[: len(text) // 3],
        "element": re.sub("Ag|ag|47 ", "Qq ", text),
        "blank": "\n\n \n",
    }[damage]
    assert bad != text
    with pytest.raises(ClusterMLError) as caught:
        read(bad.encode(), format=kind)
    assert caught.value.remedy


def test_a_gro_file_whose_number_of_atoms_is_none_states_none(tmp_path):
    (tmp_path / "a.gro").write_text("x\n²\n    1UNK     Ag    1   0.000   0.000   0.000\n   1 1 1\n")
    assert formula(read(tmp_path / "a.gro").numbers) == "Ag"


def test_charges_of_inputs(tmp_path):
    text = written("gaussian", CLUSTER, tmp_path).replace("\n0 1\n", "\n-3 1\n")
    assert read(text.encode(), format="gaussian").info["charge"] == -3
    for line, charge in (("+1 1", 1), ("-2   1", -2), ("1 1 1 1 0 1", 1), ("-1 1 0 1 -1 1", -1)):
        stated = re.sub(r"\n\n.*\n\n-3 1\n", f"\n\n24 18\n\n{line}\n", text)  # the title is two numbers, too
        assert read(stated.encode(), format="gaussian").info["charge"] == charge
    mol = written("mol", CLUSTER, tmp_path)
    assert "charge" not in read(mol.encode()).info
    assert read(mol.replace("M  END", "M  CHG  2   1   1   2   1\nM  END").encode()).info["charge"] == 2


def test_charges_of_thousands_of_digits_are_none():
    from clusterml.structure.formats import ase

    many = "9" * 5000
    assert ase._gaussian_charge(f"title\n\n{many} 1\nAg 0 0 0\n") is None
    assert ase._mdl_charge(f"M  CHG  1   1   {many}\n") is None
    texts = {
        "espresso": f"tot_charge = {many}",
        "gaussian-out": f" Charge = {many} Multiplicity = 1",
        "orca-out": f" Total Charge           Charge          ....    {many}",
        "turbomole": f"$charge {many}",
    }
    assert {name: ase._stated_charge(text, name) for name, text in texts.items()} == dict.fromkeys(texts)
    assert ase._stated_charge(texts["turbomole"].replace(many, "-1"), "turbomole") == -1


def test_every_record_of_an_sd_file(tmp_path):
    text = written("sdf", CLUSTER, tmp_path)
    charged = text.replace("M  END", "M  CHG  1   1   1\nM  END")
    first, second = read_all((text + charged).encode(), format="sdf")
    assert "charge" not in first.info
    assert (second.info["charge"], second.info["name"]) == (1, "data_2")


def test_poscar_of_vasp_4_names_its_elements_in_the_first_line(tmp_path):
    text = written("poscar", WRAPPED, tmp_path).splitlines()
    old = "\n".join(["Ag S H", *text[1:5], *text[6:]])
    same_shape(read(old.encode(), format="poscar"))
    with pytest.raises(InputFileError, match="not readable as vasp"):
        read("\n".join(["relaxed", *text[1:5], *text[6:]]).encode(), format="poscar")


def test_turbomole_with_a_lattice_is_refused(tmp_path):
    text = written("turbomole", CLUSTER, tmp_path).replace("$end", "$periodic 3\n$lattice\n20 0 0\n$end")
    with pytest.raises(InputFileError, match="periodic coord"):
        read(text.encode(), format="turbomole")


PDB = """CRYST1   12.000   12.000   12.000  90.00  90.00  90.00 {group}
HETATM    1 AG1  UNK A   1      10.500   5.000  11.000  1.00  0.00          AG
HETATM    2 AG2  UNK A   1       1.300   5.000  11.000  1.00  0.00          AG
HETATM    3  S1 AUNK A   1      11.900   7.000  11.000  0.60  0.00           S
HETATM    4 CL1 BUNK A   1      11.900   7.400  11.000  0.40  0.00          CL
HETATM    5  H1  UNK A   1      11.900   7.900  11.900  1.00  0.00           H
END
"""


def test_pdb(tmp_path):
    path = tmp_path / "x.pdb"
    path.write_text(PDB.format(group="P 1"))
    same_shape(read(path))
    assert formula(read(path, disorder="B").numbers) == "Ag2HCl"
    lower = PDB.replace("11.000  ", " 8.000  ").replace(
        "11.900  1.00  0.00           H", " 8.900  1.00  0.00           H"
    )
    path.write_text(lower.format(group="P -1"))
    assert read(path).info["provenance"]["clusters"] == ["Ag2HS", "Ag2HS"]
    rows = PDB.replace("10.500", "-1.500").replace("11.900", "-0.100").splitlines()
    path.write_text("\n".join(["MODEL 1", *rows[1:4], "ENDMDL", "MODEL 2", rows[1], "ENDMDL", ""]))
    assert [formula(atoms.numbers) for atoms in read_all(path)] == ["Ag2S", "Ag"]
    path.write_text("REMARK nothing\nEND\n")
    with pytest.raises(StructureError, match="no atoms"):
        read(path)


@pytest.mark.parametrize(("first", "second"), [("A", "B"), ("1", "2"), ("@", "A"), ("A", "a"), ("C", "a")])
def test_alternative_locations_of_pdb_are_counted_in_their_order(first, second):
    text = PDB.format(group="P 1").replace("AUNK", f"{first}UNK").replace("BUNK", f"{second}UNK").encode()
    same_shape(read(text, format="pdb"))
    assert formula(read(text, format="pdb", disorder="B").numbers) == "Ag2HCl"
    assert set(next(parse_pdb(text.decode(), "x.pdb")).group.tolist()) == {0, 1, 2}


def test_each_residue_of_a_pdb_molecule_keeps_an_alternative_location():
    rows = PDB.replace("10.500", "-1.500").replace("11.900  ", "-0.100  ").splitlines()[1:6]
    further = [
        row.replace("AUNK A   1 ", f"CUNK {residue}").replace("BUNK A   1 ", f"DUNK {residue}")
        for residue in ("A   2 ", "A   1A", "B   1 ")
        for row in rows[2:4]
    ]
    text = "\n".join([*rows, *further, "END", ""])
    atoms = next(parse_pdb(text, "x.pdb"))
    assert formula(atoms.numbers) == "Ag2HS4"
    assert "4 atoms of alternative locations other than A and C were left out" in atoms.info["provenance"]["warnings"]


@pytest.mark.parametrize("kind", [kind.name for kind in REGISTRY.all()])
@pytest.mark.parametrize("content", [b"\xef\xbb\xbf", b"\xc2\xa0", b"\xff\xfe", b"\xe2\x80\xa8", b"$$$$\n", b"#\n"])
def test_a_file_without_a_structure_is_named(kind, content, tmp_path):
    path = tmp_path / "nothing.txt"
    path.write_bytes(content)
    for reading in (lambda: read(path, format=kind), lambda: list(read_all(path, format=kind))):
        with pytest.raises(ClusterMLError, match=r"nothing\.txt: "):
            reading()


def test_an_sdf_of_separators_alone_holds_no_structure():
    with pytest.raises(StructureError, match="the sdf file holds no structure"):
        read(b"$$$$\n", format="sdf")


MOL2 = """@<TRIPOS>MOLECULE
cluster
4 0 1
SMALL
NO_CHARGES

@<TRIPOS>ATOM
1 AG1 10.5 5.0 11.0 Ag 1 RES1 0.0
2 AG2 1.3 5.0 11.0 Ag 1 RES1 0.0
3 S1 11.9 7.0 11.0 S.3 1 RES1 0.0
4 H1 11.9 7.9 11.9 H 1 RES1 0.0
@<TRIPOS>CRYSIN
12 12 12 90 90 90 1 1
"""


def test_mol2(tmp_path):
    atoms = read(MOL2.encode())
    same_shape(atoms)
    assert atoms.info["provenance"]["block"] == "cluster"
    two = MOL2.split("@<TRIPOS>CRYSIN")[0].replace("10.5", "-1.5").replace("11.9 7", "-0.1 7")
    assert len(list(read_all((two + two).encode()))) == 2
    half = "@<TRIPOS>ATOM\n1 Ag1 1.2 0.9 0.1 Ag\n2 S1 1.4 -1.5 0.2 S.3\n3 H1 2.6 -1.7 0.9 H\n"
    same = [f"{half}@<TRIPOS>CRYSIN\n15 15 15 90 90 90 {group}\n".encode() for group in ("2 1", "2", "1 1", "")]
    assert [formula(read(each, format="mol2").numbers) for each in same] == ["Ag2H2S2", "Ag2H2S2", "AgHS", "AgHS"]
    with pytest.raises(InputFileError, match="names the space group '14 3'"):
        read(f"{half}@<TRIPOS>CRYSIN\n15 15 15 90 90 90 14 3\n".encode(), format="mol2")
    with pytest.raises(UnsupportedElementError, match="line 8"):
        read(MOL2.replace(" Ag 1", " Du 1").encode())
    with pytest.raises(InputFileError, match="line 10"):
        read(MOL2.replace("11.9 7.0", "11.9 x").encode())


NAMES = {
    "a.XYZ": "xyz", "a.extxyz": "xyz", "b.cif": "cif", "POSCAR": "poscar", "CONTCAR.relaxed": "poscar",
    "a.vasp": "poscar", "poscar_1.xyz": "xyz", "a.res": "shelx", "a.ins": "shelx", "a.pdb": "pdb",
    "a.gjf": "gaussian", "a.com": "gaussian",
    "coord": "turbomole", "a.mol": "mol", "a.mol2": "mol2", "a.sdf": "sdf",
    "a.txt": None, "coords": None, "a.log": None, "Makefile": None,
}  # fmt: skip


def test_names_of_files():
    for name, kind in NAMES.items():
        structure_format = format_of_name(name)
        assert (structure_format and structure_format.name) == kind, name


def test_names_and_patterns_are_unique():
    kinds = REGISTRY.all()
    names = [kind.name for kind in kinds]
    patterns = [pattern for kind in kinds for pattern in kind.patterns]
    assert len(set(names)) == len(names)
    assert len(set(patterns)) == len(patterns)
    assert all(pattern == pattern.lower() for pattern in patterns)


def test_the_docs_name_every_format():
    text = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "formats.md").read_text()
    for kind in REGISTRY.all():
        assert f"`{kind.name}`" in text, kind.name


def test_a_file_of_another_type_is_refused_by_name(tmp_path):
    for name, message in {"a.docx": "files of type '.docx'", "Makefile": "does not say"}.items():
        (tmp_path / name).write_text("x")
        with pytest.raises(InputFileError, match=message) as caught:
            read(tmp_path / name)
        assert all(kind.name in caught.value.remedy for kind in REGISTRY.all() if kind.patterns)
    with pytest.raises(OptionError, match=r"format is 'docx'.*poscar"):
        read(tmp_path / "a.docx", format="docx")


def test_a_named_format_goes_before_the_name(tmp_path):
    (tmp_path / "a.txt").write_text("1\n\nAg 0 0 0\n")
    assert len(read(tmp_path / "a.txt", format="xyz")) == 1


@pytest.mark.parametrize(
    ("lines", "charge"),
    [
        ("$charge\n  3\n", 3),
        ("$eht charge=-1 unpaired=0\n", -1),
        ("$eht unpaired=0 charge=2\n", 2),
        ("$eht charge=0.5\n", None),
        ("", None),
    ],
)
def test_a_coord_file_states_its_charge(tmp_path, lines, charge):
    text = written("turbomole", CLUSTER, tmp_path).replace("$end", f"{lines}$end")
    assert read(text.encode(), format="turbomole").info.get("charge") == charge


ORCA = """ * O   R   C   A *
 Total Charge           Charge          ....    1
 Number of atoms                             ....      2
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  Ag     0.000000    0.000000    0.000000
  S      2.400000    0.000000    0.000000

----------------------------
CARTESIAN COORDINATES (A.U.)
----------------------------

FINAL SINGLE POINT ENERGY      -100.0
                             ****ORCA TERMINATED NORMALLY****
"""
GAUSSIAN = """ Entering Gaussian System
 Charge =  1 Multiplicity = 1
                         Standard orientation:
 ---------------------------------------------------------------------
 Center     Atomic      Atomic             Coordinates (Angstroms)
 Number     Number       Type             X           Y           Z
 ---------------------------------------------------------------------
      1         47           0        0.000000    0.000000    0.000000
      2         16           0        2.400000    0.000000    0.000000
 ---------------------------------------------------------------------
 Normal termination of Gaussian 16
"""
ESPRESSO = """&SYSTEM
  ibrav = 0, nat = 2, ntyp = 2
  tot_charge = 1.0
/
ATOMIC_SPECIES
Ag 107.87 Ag.upf
S 32.06 S.upf
CELL_PARAMETERS angstrom
15 0 0
0 15 0
0 0 15
ATOMIC_POSITIONS angstrom
Ag 3 3 3
S 5.4 3 3
"""


@pytest.mark.parametrize(("text", "kind"), [(ORCA, "orca-out"), (GAUSSIAN, "gaussian-out"), (ESPRESSO, "espresso")])
def test_outputs_and_inputs_state_their_charge(text, kind):
    atoms = read(text.encode(), format=kind)
    assert atoms.info["charge"] == 1
    assert atoms.get_distance(0, 1) == pytest.approx(2.4)


@pytest.mark.parametrize("kind", ["poscar", "gaussian", "turbomole", "mol"])
def test_streams_tell_their_format(kind, tmp_path):
    text = written(kind, WRAPPED if kind in PERIODIC else CLUSTER, tmp_path)
    for source in (text.encode(), io.BytesIO(text.encode()), io.StringIO(text)):
        atoms = read(source)
        same_shape(atoms)
        assert atoms.info["provenance"]["format"] == kind


def test_standard_input(monkeypatch, examples):
    for name in ("ag29_model.cif", "ag29_model.xyz"):
        stream = io.TextIOWrapper(io.BytesIO((examples / name).read_bytes()))
        monkeypatch.setattr("sys.stdin", stream)
        atoms = read("-")
        assert formula(atoms.numbers) == "Ag29H36P4S24"
        assert (atoms.info["name"], atoms.info["source"]) == ("stdin", "stdin")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"what is this\n")))
    with pytest.raises(InputFileError, match=r"no format that is recognised.*--format"):
        read(Path("-"))


def test_an_open_file_is_named(examples):
    with open(examples / "ag29_model.cif", "rb") as handle:
        atoms = read(handle)
    assert atoms.info["name"] == "ag29_model"


def test_sources_without_end_are_refused(tmp_path, monkeypatch):
    """No byte of a device is read, and of a stream no more than may be."""

    class Endless(io.RawIOBase):
        def read(self, size=-1):
            assert 0 <= size < 2**30
            return (b"1\n" * (size // 2 + 1))[: min(size, 2**22)]

    with pytest.raises(InputFileError, match="a device"):
        read("/dev/zero", format="xyz")
    with pytest.raises(InputFileError, match="larger than 64 MiB"):
        read(Endless())
    huge = tmp_path / "huge.xyz"
    with open(huge, "wb") as handle:
        handle.truncate(20 * 1024**3)  # takes no space
    with pytest.raises(InputFileError, match="larger than 512 MiB"):
        read(huge)


def test_a_folder_gives_all_that_can_be_read(tmp_path, examples):
    for name in ("POSCAR", "a.cif", "b.res", "c.xyz", "notes.txt", "a.json", ".hidden.xyz", "d.mol2"):
        (tmp_path / name).write_text("x")
    inputs, problems = expand([tmp_path])
    assert problems == []
    assert [item.path.name for item in inputs] == ["POSCAR", "a.cif", "b.res", "c.xyz", "d.mol2"]
    (tmp_path / "empty").mkdir()
    _, (problem,) = expand([tmp_path / "empty"])
    assert "poscar*" in problem.remedy


def test_options_reach_every_format(tmp_path):
    path = tmp_path / "POSCAR"
    path.write_text(written("poscar", WRAPPED, tmp_path))
    for options in (ReadOptions(cluster=2), ReadOptions(frame=2)):
        with pytest.raises(OptionError, match="there is no"):
            read(path, options=options)
