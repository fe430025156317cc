"""The ligand library: what is shipped, what a user adds, and what is said about a file that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import Chem

from clusterml.errors import InputFileError, OptionError
from clusterml.structure.anatomy import data
from clusterml.structure.anatomy.library import load_library, read_entries

EXPECTED = """
SH SCH3 SEt SnPr SiPr StBu SPh SPhMe2 SC2H4Ph SAdm SCy TBBT SPhF BDT BDTA BDTA-COO HCOO CH3COO CF3COO PhCOO
tBuCOO R-TFL S-TFL PH3 PMe3 PEt3 PPh3 dppm dppe F Cl Br I H S CCPh CCtBu CCH DMF MeOH H2O MeCN pyridine PPh4+ NEt4+
NBu4+ BF4- PF6- SbF6- ClO4- NO3- CH2Cl2 CHCl3 toluene hexane EtOH Et2O acetone THF"""


def test_the_shipped_library_has_what_is_promised():
    library = load_library()
    assert set(EXPECTED.split()) <= set(library.names)
    assert len(set(library.names)) == len(library)
    for entry in library:
        atoms = Chem.MolFromSmiles(entry.smiles, sanitize=False).GetNumAtoms()
        assert all(0 <= donor < atoms for donor in entry.donors)
        assert entry.donors or entry.kind != "ligand"


@pytest.mark.parametrize(
    ("name", "formula", "charge", "donors", "hand"),
    [
        ("SPhMe2", "C8H9S", 1, (0,), None),
        ("PET", "C8H9S", 1, (0,), None),
        ("BDT", "C6H4S2", 2, (0, 6), None),
        ("BDTA", "C7H4O2S2", 2, (0, 6), None),
        ("BDTA-COO", "C7H3O2S2", 3, (0, 6), None),
        ("CF3COO", "C2F3O2", 1, (0, 2), None),
        ("R-TFL", "C3H2F3O3", 1, (0, 2), "R"),
        ("S-TFL", "C3H2F3O3", 1, (0, 2), "S"),
        ("dppm", "C25H22P2", 0, (1, 14), None),
        ("H", "H", 1, (0,), None),
        ("PPh4+", "C24H20P", -1, (), None),
    ],
)
def test_entries(name, formula, charge, donors, hand):
    entry = load_library().entry(name)
    assert (entry.formula, entry.charge, entry.donors, entry.hand) == (formula, charge, donors, hand)


def test_names_in_any_case_and_aliases():
    library = load_library()
    assert library.entry("sphme2").name == "SPhMe2"
    assert library.entry("TFA").name == "CF3COO"
    assert library.entry("Water").kind == "solvent"
    with pytest.raises(OptionError, match=r"no ligand 'SPhMe3'.*SPhMe2.*R-TFL"):
        library.entry("SPhMe3")


def written(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_own_entries_extend_and_replace(tmp_path):
    path = written(
        tmp_path,
        """
ligands:
  SOct: {smiles: "[S-]CCCCCCCC", donors: S, charge: 1}
  MySPh: {smiles: "[S-]c1ccccc1", donors: S, charge: 1, aliases: [mine]}
  DMF: {smiles: "O=CN(C)C", donors: [0], charge: 0, aliases: [amide]}
""",
    )
    library = load_library(path)
    assert library.entry("SOct").formula == "C8H17S"
    assert library.entry("mine").name == "MySPh"
    assert library.entry("amide").name == "DMF"
    assert library.names.count("DMF") == 1
    assert len(library) == len(load_library()) + 2
    with pytest.raises(OptionError):
        load_library().entry("SOct")


BAD = {
    "unknown key": ('ligands: {X: {smile: "C", donors: C, charge: 0}}', r"'X'.*unknown key 'smile'.*'smiles'"),
    "missing key": ('ligands: {X: {smiles: "[S-]C", donors: S}}', r"'X'.*'charge' is missing"),
    "charge is text": ('ligands: {X: {smiles: "[S-]C", donors: S, charge: one}}', r"'X'.*charge is 'one'"),
    "charge is true": ('ligands: {X: {smiles: "[S-]C", donors: S, charge: true}}', r"'X'.*charge is True"),
    "charge disagrees": ('ligands: {X: {smiles: "SC", donors: S, charge: 1}}', r"'X'.*charge is 1 .*'SC' has 0"),
    "no such donor": ('ligands: {X: {smiles: "[S-]C", donors: P, charge: 1}}', r"'X'.*no P"),
    "donor out of range": ('ligands: {X: {smiles: "[S-]C", donors: [2], charge: 1}}', r"'X'.*donors are \[2\]"),
    "negative donor": ('ligands: {X: {smiles: "[S-]C", donors: [-1], charge: 1}}', r"'X'.*donors is \[-1\]"),
    "donor without a lone pair": (
        'ligands: {X: {smiles: "CN1C=C[N+](C)=[C-]1", donors: [0], charge: 0}}',
        r"'X'.*donor 0 .* carbon with four",
    ),
    "donor twice": ('ligands: {X: {smiles: "[S-]C", donors: [0, 0], charge: 1}}', r"'X'.*donors are \[0, 0\]"),
    "bad SMILES": ('ligands: {X: {smiles: "C1CC", donors: C, charge: 0}}', r"'X'.*'C1CC' cannot be read"),
    "two molecules": ('ligands: {X: {smiles: "C.C", donors: C, charge: 0}}', r"'X'.*'C.C' cannot be read"),
    "empty SMILES": ('ligands: {X: {smiles: "", donors: C, charge: 0}}', r"'X'.*smiles is ''"),
    "wrong hand": (
        'ligands: {X: {smiles: "[O-]C(=O)[C@H](O)C(F)(F)F", donors: O, charge: 1, hand: R}}',
        r"'X'.*hand is R .* is S",
    ),
    "hand not said": ('ligands: {X: {smiles: "[O-]C(=O)[C@H](O)C(F)(F)F", donors: O, charge: 1}}', r"'X'.*not given"),
    "hand without centre": ('ligands: {X: {smiles: "[S-]C", donors: S, charge: 1, hand: R}}', r"'X'.*without a hand"),
    "hand of another kind": ('ligands: {X: {smiles: "[S-]C", donors: S, charge: 1, hand: left}}', r"'X'.*hand is 'le"),
    "name twice": ('ligands:\n  X: {smiles: "[S-]C", donors: S, charge: 1}\n  X: {}', r"'X' is given twice \(line 3\)"),
    "alias twice": (
        'ligands:\n  X: {smiles: "[S-]C", donors: S, charge: 1, aliases: [Y]}\n'
        '  Y: {smiles: "[S-]CC", donors: S, charge: 1}',
        r"'Y'.*used twice",
    ),
    "molecule twice": (
        'ligands:\n  X: {smiles: "[S-]CC", donors: S, charge: 1}\n  Y: {smiles: "CC[S-]", donors: S, charge: 1}',
        r"'Y'.*same molecule as 'X'",
    ),
    "unknown section": ("metals: {}", r"unknown section 'metals'"),
    "empty section": ("ligands:", r"'ligands' holds no entries"),
    "entry is text": ("ligands: {X: SH}", r"'X' is 'SH'"),
    "name is a number": ("ligands: {1: {}}", r"name 1 in 'ligands' is not text"),
    "a list": ("- a", r"holds no keys"),
    "nothing": ("", r"holds no keys"),
    "not YAML": ("ligands: {X: [", r"is not YAML"),
    "an object": ("!!python/object/apply:os.system ['true']", r"is not YAML"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_wrong(tmp_path, case):
    text, message = BAD[case]
    path = written(tmp_path, text)
    with pytest.raises(InputFileError, match=message) as caught:
        load_library(path)
    assert str(path) in caught.value.problem
    assert caught.value.remedy


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputFileError, match="no such file"):
        load_library(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"ligands: \xff")
    with pytest.raises(InputFileError, match="cannot be read"):
        load_library(tmp_path / "latin.yaml")
    with pytest.raises(InputFileError, match="is a folder"):
        load_library(tmp_path)


def test_the_shipped_file_is_read_like_any_other():
    (shipped,) = Path(data.__file__).parent.glob("*.yaml")
    assert read_entries(shipped) == list(load_library())
