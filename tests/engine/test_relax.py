"""Relaxation: energies fall, symmetry and fixed atoms are kept, and an interrupted one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from clusterml.engine.relax import RelaxSettings, RelaxStep, _find_changes, relax
from clusterml.errors import ChargeError, ElectronicStructureError, InputFileError, OptionError, UnsupportedElementError
from clusterml.structure.build.operations import find_operations
from clusterml.structure.write import write_extxyz
from helpers import icosahedron

QUICK = RelaxSettings(steps=3, fmax=0.05)


def steps_of(atoms, settings, **more) -> tuple[list[RelaxStep], object]:
    seen: list[RelaxStep] = []
    return seen, relax(atoms, settings=settings, progress=seen.append, **more)


def test_energy_and_forces_fall(built):
    start = built("ag2")
    before = start.positions.copy()
    seen, finished = steps_of(start, replace(QUICK, steps=30, fmax=0.3, symmetry=True))
    assert finished.converged
    assert finished.step == seen[-1]
    assert [s.number for s in seen] == list(range(len(seen)))
    assert seen[-1].energy_ev < seen[0].energy_ev - 0.3
    assert seen[-1].fmax < 0.3 < seen[0].fmax
    np.testing.assert_array_equal(start.positions, before)
    history = finished.atoms.info["provenance"]
    assert history["level"] == "relaxed with GFN1-xTB, vacuum"
    assert history["energy_ev"] == pytest.approx(seen[-1].energy_ev, abs=1e-5)
    assert history["symmetry_operations"] == 8
    assert history["warnings"] == []
    assert len(find_operations(finished.atoms, tolerance=1e-5)) == 8


def test_the_energy_is_that_of_tblite(built):
    from tblite.interface import Calculator

    from clusterml.units import BOHR_ANGSTROM, HARTREE_EV

    atoms = built("ag2")
    seen, _ = steps_of(atoms, replace(QUICK, steps=0, method="gfn2"))
    other = Calculator("GFN2-xTB", atoms.numbers, atoms.positions / BOHR_ANGSTROM, charge=0.0, color=False)
    other.set("verbosity", 0)
    assert seen[0].energy_ev == pytest.approx(other.singlepoint().get("energy") * HARTREE_EV, abs=1e-4)


def test_symmetry_survives_the_solvent(built):
    atoms = built("ag3")
    _, finished = steps_of(atoms, replace(QUICK, solvent="methanol", symmetry=True))
    assert finished.atoms.info["provenance"]["level"] == "relaxed with GFN1-xTB, ALPB(methanol)"
    assert len(find_operations(finished.atoms, tolerance=1e-6)) == len(find_operations(atoms))


@pytest.mark.parametrize(("model", "warns"), [("gbsa", True), ("alpb", False)])
def test_a_solvent_that_fails_for_buried_atoms_is_told(model, warns):
    """No solvent reaches the atom in the middle of a filled shell of silver within one of hydrides."""
    places = np.concatenate([np.zeros((1, 3)), icosahedron(2.8), icosahedron(4.5)])
    settings = RelaxSettings(steps=0, solvent="water", solvation=model, temperature_k=5000.0)
    relaxed = relax(Atoms("Ag13H12", places), -3, settings).atoms
    words = [w for w in relaxed.info["provenance"]["warnings"] if "do not feel the solvent" in w]
    assert [w.endswith("(--solvation alpb)") for w in words] == [True] * warns


def test_what_is_fixed_stays(built):
    atoms = built("ag3")
    for fix, elements in (("metals", {"Ag"}), ("frame", {"Ag", "S"})):
        _, finished = steps_of(atoms, replace(QUICK, fix=fix))
        still = np.linalg.norm(finished.atoms.positions - atoms.positions, axis=1) < 1e-12
        assert {str(s) for s in atoms.symbols[still]} == elements
        assert still.sum() == sum(s in elements for s in atoms.symbols)


def test_unfinished_is_said(built):
    _, finished = steps_of(built("ag2"), replace(QUICK, steps=1))
    assert not finished.converged
    assert any("stopped after 1 steps" in w for w in finished.atoms.info["provenance"]["warnings"])


def test_resuming_gives_the_same_as_going_on(built, tmp_path):
    atoms = built("ag2")
    straight, whole = steps_of(atoms, replace(QUICK, steps=6))
    store = tmp_path / "state.json"
    steps_of(atoms, replace(QUICK, steps=3), checkpoint=store)
    seen, finished = steps_of(atoms, replace(QUICK, steps=6), checkpoint=store)
    assert finished.resumed_at == 3
    assert [s.number for s in seen] == [3, 4, 5, 6]
    for first, second in zip(straight[3:], seen, strict=True):
        assert first.energy_ev == pytest.approx(second.energy_ev, abs=2e-5)
    np.testing.assert_allclose(finished.atoms.positions, whole.atoms.positions, atol=2e-4)
    assert store.exists()


def test_the_checkpoint_goes_when_all_is_done(built, tmp_path):
    store = tmp_path / "state.json"
    _, finished = steps_of(built("ag2"), replace(QUICK, steps=30, fmax=0.5), checkpoint=store)
    assert finished.converged
    assert not store.exists()


def test_killed_and_resumed(built, tmp_path):
    """kill -9 in the middle leaves a whole checkpoint, from which the same call goes on."""
    path = write_extxyz(built("ag3"), tmp_path / "start.xyz")
    store = tmp_path / "state.json"
    code = (
        "from clusterml.engine.relax import *; from clusterml.structure.read import read\n"
        f"relax(read({str(path)!r}), settings=RelaxSettings(steps=1000, fmax=1e-5), checkpoint={str(store)!r})"
    )
    job = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not store.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.15)
    job.send_signal(signal.SIGKILL)
    job.wait()
    from clusterml.structure.read import read

    seen, finished = steps_of(read(path), RelaxSettings(steps=400, fmax=0.4), checkpoint=store)
    assert finished.resumed_at >= 1
    assert seen[0].number == finished.resumed_at
    assert finished.converged


def test_a_checkpoint_of_something_else(built, tmp_path):
    store = tmp_path / "state.json"
    steps_of(built("ag2"), replace(QUICK, steps=1), checkpoint=store)
    with pytest.raises(InputFileError, match="belongs to another"):
        steps_of(built("ag3"), QUICK, checkpoint=store)
    with pytest.raises(InputFileError, match="belongs to another"):
        steps_of(built("ag2"), replace(QUICK, method="gfn2"), checkpoint=store)
    whole = json.loads(store.read_text())
    rows = whole["positions"]["__ndarray__"]
    damaged = [
        store.read_text()[:200],
        json.dumps({**whole, "positions": {"__ndarray__": [[3], rows[1], rows[2][:3]]}}),
        json.dumps({**whole, "positions": {"__ndarray__": [[2, 3], rows[1], rows[2][:6]]}}),
        json.dumps({**whole, "state": [1, 2]}),
    ]
    for text in damaged:
        store.write_text(text)
        with pytest.raises(InputFileError, match=r"not a checkpoint.*delete it to start anew"):
            steps_of(built("ag2"), QUICK, checkpoint=store)


def test_a_ligand_that_leaves_is_told(built):
    before, after = built("ag1"), built("ag1")
    after.positions[5:] += [0, 0, -4.0]
    changes = _find_changes(before, after)
    assert any("became 1 x H3P (free)" in w for w in changes)
    assert any("2 pieces" in w for w in changes)
    assert _find_changes(before, before) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("method", "dft"),
        ("solvation", "pcm"),
        ("solvation", "gbsa"),
        ("fix", "all"),
        ("steps", -1),
        ("fmax", 0.0),
        ("temperature_k", -5.0),
    ],
)
def test_settings_that_cannot_be(setting, value):
    with pytest.raises(OptionError, match=setting):
        RelaxSettings(**{setting: value})


def test_inputs_that_cannot_be(built):
    atoms = built("ag2")
    with pytest.raises(OptionError, match=r"'honey', which is not known.*methanol"):
        replace(QUICK, solvent="honey")
    with pytest.raises(OptionError, match=r"'ethanol', which GBSA has no parameters of.*use ALPB"):
        replace(QUICK, solvent="ethanol", solvation="gbsa")
    with pytest.raises(ChargeError, match="pairs"):
        relax(atoms, 1, QUICK)
    with pytest.raises(OptionError, match="no atom to move"):
        relax(atoms[:2], 0, replace(QUICK, fix="metals"))
    heavy = atoms.copy()
    heavy.numbers[0] = 92
    with pytest.raises(UnsupportedElementError, match="U"):
        relax(heavy, 0, QUICK)


def test_a_charge_is_proposed(built):
    atoms = built("ag2")
    del atoms.info["charge"]
    relaxed = relax(atoms, settings=replace(QUICK, steps=0)).atoms
    assert relaxed.info["charge"] == 0
    assert any("charge 0 assumed" in w for w in relaxed.info["provenance"]["warnings"])


@pytest.mark.parametrize("method", ["gfn1", "gfn2"])
def test_no_ground_state(built, monkeypatch, method):
    from ase.calculators.calculator import CalculationFailed
    from tblite.ase import TBLite

    from clusterml.engine.gfn1_calculator import Gfn1Calculator

    def fail(self, *_: object, **__: object) -> None:
        raise CalculationFailed("SCF not converged in 250 cycles")

    monkeypatch.setattr({"gfn1": Gfn1Calculator, "gfn2": TBLite}[method], "calculate", fail)
    with pytest.raises(ElectronicStructureError, match="not converged"):
        relax(built("ag2"), settings=replace(QUICK, method=method))
