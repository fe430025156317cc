"""Orbitals of the program CP2K: with a stand-in that hands out a finished file, and with the program where it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from clusterml.engine.label import label
from clusterml.engine.orbitals import cp2k
from clusterml.engine.orbitals.cp2k import PROGRAMS, cp2k_orbitals, input_deck
from clusterml.engine.protocol import Compute
from clusterml.errors import ChargeError, ElectronicStructureError, InputFileError, OptionError, UnsupportedElementError
from clusterml.io.files import exclusive, make_folder
from clusterml.structure.formats.molden import read_molden
from clusterml.units import BOHR_ANGSTROM

FILE = Path(__file__).parents[1] / "data" / "molden" / "agsh_cp2k.molden"
CONVERGED = "     1 NoMix/Diag. 0.20E+00    1.0     0.5   -40.0\n  *** SCF run converged in    21 steps ***\n"


@pytest.fixture
def agsh() -> Atoms:
    """The molecule of the file, turned away from where the file has it."""
    file = read_molden(FILE.read_text(), FILE.name)
    return Atoms(file.numbers, file.coords_bohr * BOHR_ANGSTROM + [1.0, -2.0, 0.5])


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A stand-in for CP2K: what it prints, its exit code, and the Molden file it leaves; its runs are counted."""

    def install(output=CONVERGED, code=0, molden=FILE):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "output").write_text(output)
        script = folder / PROGRAMS[0]
        leave = "" if molden is None else f"cp {molden} cluster-MOS-1_0.molden"
        lines = ["#!/bin/sh", f"echo run >> {folder}/runs", f"cp {folder}/output cluster.out", leave, f"exit {code}"]
        script.write_text("\n".join(lines))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return folder / "runs"

    return install


def test_orbitals_come_over_in_the_place_of_the_atoms(agsh, program):
    program()
    orbitals = cp2k_orbitals(agsh, 0, Compute())
    assert (orbitals.method, orbitals.n_occupied, orbitals.kernels.ax) == ("PBE/DZVP-MOLOPT-SR (CP2K)", 9, 0.0)
    moved = np.ptp(orbitals.basis.coords_bohr * BOHR_ANGSTROM - agsh.positions, axis=0)
    assert moved.max() < 1e-5
    assert label(agsh, 0, orbitals="cp2k").spectrum.epsilon.max() > 1e3


def test_finished_orbitals_are_taken_again(agsh, program, tmp_path):
    runs = program()
    compute = Compute(checkpoint=str(tmp_path / "kept"))
    first = cp2k_orbitals(agsh, 0, compute)
    again = cp2k_orbitals(agsh, 0, compute)
    assert len(runs.read_text().split()) == 1
    np.testing.assert_array_equal(again.energies_ev, first.energies_ev)
    assert [path.name.endswith(".molden.gz") for path in (tmp_path / "kept").iterdir()] == [True]
    (kept,) = (tmp_path / "kept").iterdir()
    whole = kept.read_bytes()
    for damaged in (whole[:200], b"no archive"):
        kept.write_bytes(damaged)
        with pytest.raises(InputFileError, match=r"is damaged .*delete it to compute it anew"):
            cp2k_orbitals(agsh, 0, compute)
    kept.write_bytes(whole)
    other = agsh.copy()
    other.positions[0, 0] += 0.1
    cp2k_orbitals(other, 0, compute)
    assert len(runs.read_text().split()) == 2


def test_what_another_process_computes_is_waited_for(agsh, program, tmp_path, monkeypatch):
    runs, folder, waits = program(), tmp_path / "kept", []
    monkeypatch.setattr(cp2k, "_PATIENCE_S", 0.01)
    cp2k_orbitals(agsh, 0, Compute(checkpoint=str(folder)))
    finished = next(folder.iterdir())
    content = finished.read_bytes()
    finished.unlink()
    work = make_folder(folder / finished.name.replace(".molden.gz", ".running"))

    def another_ends(words: str) -> None:
        waits.append(words)
        finished.write_bytes(content)

    with exclusive(work):
        orbitals = cp2k_orbitals(agsh, 0, Compute(checkpoint=str(folder), working=another_ends))
    assert waits == ["waiting for another process that runs CP2K on this geometry"]
    assert orbitals.n_occupied == 9
    assert len(runs.read_text().split()) == 1


@pytest.mark.parametrize(
    ("output", "code", "words"),
    [
        ("  *** SCF run NOT converged ***\n", 0, "did not converge in 120 cycles"),
        (" * [ABORT] *\n *  found an unknown keyword in section SCF *\n", 1, "found an unknown keyword"),
        ("", 139, "ended with code 139"),
    ],
)
def test_what_the_program_says_is_the_error(agsh, program, output, code, words):
    program(output, code, molden=None)
    with pytest.raises(ElectronicStructureError, match=words):
        cp2k_orbitals(agsh, 0, Compute())


def test_a_failed_run_keeps_its_last_cycle(agsh, program, tmp_path):
    program("", 137, molden=None)
    compute = Compute(checkpoint=str(tmp_path / "kept"))
    with pytest.raises(ElectronicStructureError):
        cp2k_orbitals(agsh, 0, compute)
    (folder,) = (tmp_path / "kept").iterdir()
    (folder / "cluster-RESTART.wfn").write_text("last cycle")
    program()
    cp2k_orbitals(agsh, 0, compute)
    assert not folder.exists()


def test_the_wrong_number_of_electrons_is_found(agsh, program):
    program()
    with pytest.raises(ElectronicStructureError, match="filled 9 orbitals, not those of 20 electrons"):
        cp2k_orbitals(agsh, -2, Compute())


def test_bad_input(agsh, monkeypatch):
    with pytest.raises(ChargeError, match="odd"):
        cp2k_orbitals(agsh, 1, Compute())
    with pytest.raises(UnsupportedElementError, match="Xe"):
        cp2k_orbitals(Atoms("Xe"), 0, Compute())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OptionError, match="not installed"):
        cp2k_orbitals(agsh, 0, Compute())
    with pytest.raises(OptionError, match="xc 'pbe0' has no effect on cp2k"):
        label(agsh, 0, orbitals="cp2k", xc="pbe0")


def test_the_deck_names_every_element_once(agsh):
    deck = input_deck(agsh, -2)
    assert deck.count("&KIND Ag") == deck.count("&KIND S\n") == deck.count("&KIND H\n") == 1
    assert "POTENTIAL GTH-PBE-q11" in deck
    assert "CHARGE -2" in deck


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, PROGRAMS)), reason="CP2K is not installed")
def test_levels_are_those_of_the_program(agsh):
    """The same levels as in the file, which a run of its own with finer plane waves has written."""
    ours = cp2k_orbitals(agsh, 0, Compute())
    theirs = read_molden(FILE.read_text(), FILE.name).orbitals()
    occupied = np.sort(theirs.energies[theirs.occupations > 1.0]) * 27.2114
    np.testing.assert_allclose(ours.energies_ev[:9] - ours.energies_ev[8], occupied - occupied[-1], atol=0.02)
