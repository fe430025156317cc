"""Reading Molden files: geometry and charge as they are written, and a message with its line for what is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError
from clusterml.structure.formats.cores import CoreElectrons, known_charge
from clusterml.structure.formats.molden import read_molden
from clusterml.structure.read import read

CP2K = Path(__file__).resolve().parents[1] / "data" / "molden" / "agsh_cp2k.molden"

BORANE = """[Molden Format]
[Title]
 BH(2+), invented
[Atoms] Angs
B1   1  5  0.0 0.0 0.0
H    2  1  0.0 0.0 1.2
[GTO]
1 0
 s 2 1.00
  0.9D+02  0.10D+00
  1.0      1.00
 sp 1 1.00
  0.5      1.00   1.00

2 0
 s 1 0
  1.2      1.00

[5D]
[MO]
 Sym= 1a
 Ene= -2.4
 Spin= Alpha
 Occup= 2.0
 1 0.9
 2 0.1
 6 0.2
 Sym= 2a
 Ene= -0.3
 Spin= Alpha
 Occup= 2.0
 1 0.1
 6 0.8
"""


def molden(text=BORANE):
    return read_molden(text, "x.molden")


def test_what_is_written_is_read():
    file = molden()
    assert file.numbers.tolist() == [5, 1]
    assert file.coords_bohr[1, 2] == pytest.approx(1.2 / 0.529177210903)
    assert [(s.atom, s.l) for s in file.shells] == [(0, 0), (0, 0), (0, 1), (1, 0)]
    assert file.shells[0].exponents.tolist() == [90.0, 1.0]
    orbitals = file.orbitals()
    assert orbitals.energies.tolist() == [-2.4, -0.3]
    np.testing.assert_array_equal(orbitals.coefficients[:, 0], [0.9, 0.1, 0.0, 0.0, 0.0, 0.2])
    assert orbitals.lines.tolist() == [21, 28]
    assert not orbitals.beta.any()


def test_structures_have_the_charge_that_their_orbitals_leave():
    atoms = read(BORANE.encode())
    assert atoms.get_chemical_symbols() == ["B", "H"]
    assert atoms.get_distance(0, 1) == pytest.approx(1.2)
    assert (atoms.info["charge"], atoms.info["provenance"]["title"]) == (2, "BH(2+), invented")
    assert read(BORANE.replace("Occup= 2.0", "Occup= 1.0", 1).encode()).info["charge"] == 3
    assert "charge" not in read(BORANE.partition("[GTO]")[0].encode()).info


@pytest.mark.parametrize("name", ["x.molden", "calc.molden.input", "x.MOLDEN"])
def test_names_of_the_files(tmp_path, name):
    (tmp_path / name).write_text(BORANE)
    assert read(tmp_path / name).info["provenance"]["format"] == "molden"


@pytest.mark.parametrize(
    ("section", "charge"),
    [
        ("[Core]\n1 : 36\n2: 10\n", 0),
        ("[Core]\nAg : 28\nS : 10\n", 8),
        ("[Nval]\nAg 11\nS 6\n", 0),
        ("[Pseudo]\nAg 1 11\nS 2 6\n", 0),
        ("", 0),
    ],
)
def test_core_electrons_are_taken_from_where_programs_write_them(section, charge):
    text = CP2K.read_text().replace(" [GTO]", section + " [GTO]")
    atoms = read(text.encode())
    assert atoms.info["charge"] == charge
    assert bool(atoms.info["provenance"]["warnings"]) == (section == "")


def test_a_nuclear_charge_below_the_number_of_the_element_is_that_of_its_valence():
    text = CP2K.read_text().replace(" Ag       1      47", " Ag       1      11").replace("2      16", "2      6")
    file = read_molden(text, "x")
    assert file.numbers.tolist() == [47, 16, 1]
    assert file.cores.electrons.tolist() == [36, 10, 0]
    assert file.cores.unknown == ()


def test_cores_are_guessed_for_clusters_where_one_charge_is_likely():
    """[Ag25(SCH3)18]-: 11 electrons of silver, six of sulfur, four of carbon, or small-core silver with 19."""
    numbers = np.array([47] * 25 + [16] * 18 + [6] * 18 + [1] * 54)
    cores = CoreElectrons.of(numbers, np.zeros_like(numbers), np.full(len(numbers), 2.0), stated=False)
    valence = 25 * 11 + 18 * 6 + 18 * 4 + 54
    charge, (note,) = known_charge(numbers, cores, valence + 1)
    assert charge == -1
    assert note.endswith("assumed, which makes the charge -1")
    assert "2 of C, 10 of S, 36 of Ag" in note
    charge, (note,) = known_charge(numbers, cores, valence + 25 * 8 + 1)
    assert charge == -1
    assert "28 of Ag" in note
    assert known_charge(numbers, cores, 1001) == (None, ())


def edited(old, new):
    text = BORANE.replace(old, new)
    assert text != BORANE
    return text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("B1   1  5  0.0 0.0 0.0", "B1   1  5  0.0 0.0", r"line 5 should be an atom, but is 'B1 1 5 0\.0 0\.0'"),
        ("1  0.0 0.0 1.2", "1  0.0 O.0 1.2", r"line 6 has '1 0\.0 O\.0 1\.2' for a nuclear charge and x y z"),
        ("1  0.0 0.0 1.2", "1  0.0 nan 1.2", "line 6"),
        ("2 0\n s 1 0", "3 0\n s 1 0", "line 15 has shells of atom 3 of 2"),
        (" s 2 1.00", " s two 1.00", r"line 9 should be a shell, such as 's 3 1\.00', but is 's two 1\.00'"),
        ("2 0\n s 1 0", "² 0\n s 1 0", "line 15 should be a shell"),
        (" s 2 1.00", " s ² 1.00", "line 9 should be a shell"),
        (" s 2 1.00", f" s {'9' * 5000} 1.00", "line 9 should be a shell"),
        (" s 2 1.00", " k 2 1.00", "shells of s, p, d, f, g, h and sp functions can be read"),
        (" s 2 1.00", " s 2 1.24", r"line 9 scales a shell by 1\.24"),
        ("  1.0      1.00\n", "  1.0\n", r"line 11 should be an exponent and 1 coefficient, but is '1\.0'"),
        ("  1.0      1.00\n", "  -1.0      1.00\n", "line 11"),
        ("0.5      1.00   1.00", "0.5      1.00", "line 13 should be an exponent and 2 coefficients"),
        (" 2 0.1\n", " 2 0.1e\n", r"line 26 has '2 0\.1e' for a function's number and its coefficient"),
        (" 2 0.1\n", " 2.5 0.1\n", r"line 26 is '2\.5 0\.1', not a number"),
        (" 2 0.1\n", " 2\n", "line 26 is '2', not a number and its coefficient"),
        (" 2 0.1\n", " 1 0.1\n", "line 26 has the coefficient of function 1 again"),
        (" Ene= -0.3\n", "", r"the orbital of line 28 has no Ene="),
        (" Ene= -0.3\n", " Ene= ***\n", r"line 28 has '\*\*\*' for the Ene="),
        (" Occup= 2.0\n 1 0.1\n", " 1 0.1\n", "the orbital of line 28 has no Occup="),
        ("[MO]\n Sym= 1a", "[MO]\n 7 0.3\n Sym= 1a", "line 21 does not begin an orbital"),
        ("[5D]\n", "[5D]\n[GTO]\n", r"line 20 begins a second section \[GTO\]; the first is in line 7"),
    ],
)
def test_damaged_lines_are_named(old, new, message):
    with pytest.raises(InputFileError, match=r"x\.molden: .*" + message):
        molden(edited(old, new)).orbitals()


def test_a_truncated_file_is_recognised():
    text = CP2K.read_text()
    with pytest.raises(InputFileError, match="the last orbital has 40 of 43 coefficients: the file is truncated"):
        read_molden("\n".join(text.splitlines()[:-3]), "x").orbitals()
    with pytest.raises(InputFileError, match="the file ends in the shell of line 9"):
        molden(BORANE.partition("  1.0      1.00")[0])
    with pytest.raises(InputFileError, match=r"no orbitals: no section \[MO\]"):
        molden(BORANE.partition(" Sym=")[0]).orbitals()
    with pytest.raises(InputFileError, match="no basis functions"):
        molden(BORANE.partition("1 0\n s 2")[0])
    with pytest.raises(StructureError, match="no atoms"):
        molden(BORANE.partition("B1 ")[0])
    with pytest.raises(InputFileError, match=r"no section \[Atoms\].*is it a Molden file"):
        molden("[Molden Format]\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Bq   2  0  0.0 0.0 1.2", "line 6 is the ghost atom 'Bq'"),
        ("H    2  0  0.0 0.0 1.2", "line 6 is the ghost atom 'H'"),
        ("Qq   2  999  0.0 0.0 1.2", "'Qq' with the nuclear charge 999 is no element"),
        ("H    2  7  0.0 0.0 1.2", "'H' with the nuclear charge 7 is no element"),
        ("H    2  0.5  0.0 0.0 1.2", "ghost|no element"),
    ],
)
def test_atoms_that_are_no_elements_are_refused(line, message):
    with pytest.raises(UnsupportedElementError, match=message):
        molden(edited("H    2  1  0.0 0.0 1.2", line))


@pytest.mark.parametrize(
    "section",
    ["[Core]\nAg\n\n", "[Core]\n3 : 2\n", "[Nval]\nQq 3\n", "[Core]\nB : 6\n", "[Core]\n1 : ²\n", "[Core]\n¹ : 2\n",
     "[Core]\nB : ++2\n"],
)  # fmt: skip
def test_damaged_core_electrons_are_named(section):
    with pytest.raises(InputFileError, match=r"line 8 of \["):
        molden(edited("[GTO]", section + "[GTO]"))
