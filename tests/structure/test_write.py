"""Written structures come back with their charge, name and history; nothing is half written."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms

from clusterml.chirality.part import element_labels
from clusterml.errors import OutputError, StructureError
from clusterml.structure.charge import decide_charge
from clusterml.structure.distort.apply import make_child
from clusterml.structure.inspect import inspect
from clusterml.structure.read import read
from clusterml.structure.write import write_extxyz

HISTORY = {
    "model": 'a model, not a crystal; it\'s "quoted" \\ and\nbroken, 3 Å',
    "sites": {"S1": [1, 2], "none": None},
    "energy_ev": np.float64(-1.5),
    "shape": np.arange(3),
    "warnings": ["first = one", "second"],
}


@pytest.fixture
def water():
    atoms = Atoms("OH2", positions=[[0, 0, 0.1], [0.75, 0, -0.45], [-0.75, 1e-9, -0.45]])
    atoms.info.update(charge=-1, name='[Ag3(SR)3] "x"', provenance=dict(HISTORY))
    return atoms


def test_charge_name_and_history_come_back(water, tmp_path):
    path = write_extxyz(water, tmp_path / "water.xyz")
    back = read(path)
    assert back.info["charge"] == -1
    assert back.info["name"] == "water"
    history = back.info["provenance"]
    assert history["title"] == "[Ag3(SR)3] x"
    assert {k: history[k] for k in HISTORY} == {**HISTORY, "energy_ev": -1.5, "shape": [0, 1, 2]}
    assert history["file"] == "water.xyz"
    np.testing.assert_allclose(back.positions, water.positions, atol=1e-8)
    assert back.get_chemical_symbols() == water.get_chemical_symbols()


def test_a_second_round_adds_nothing(water, tmp_path):
    first = read(write_extxyz(water, tmp_path / "a.xyz"))
    second = read(write_extxyz(first, tmp_path / "b.extxyz"))
    assert {**second.info["provenance"], "file": 0, "format": 0, "title": 0} == {
        **first.info["provenance"], "file": 0, "format": 0, "title": 0,
    }  # fmt: skip


def test_ase_reads_it(water, tmp_path):
    path = write_extxyz(water, tmp_path / "water.extxyz")
    other = ase.io.read(path)
    assert other.info["charge"] == -1
    assert other.info["provenance"]["warnings"] == HISTORY["warnings"]
    np.testing.assert_allclose(other.positions, water.positions, atol=1e-8)


def test_without_charge_and_history(tmp_path):
    path = write_extxyz(Atoms("He"), tmp_path / "he.xyz")
    assert path.read_text().splitlines()[1] == "Properties=species:S:1:pos:R:3"
    assert "charge" not in read(path).info


def test_a_foreign_provenance_is_left_alone(tmp_path):
    path = tmp_path / "x.xyz"
    path.write_text('1\nProperties=species:S:1:pos:R:3 provenance="measured by hand"\nHe 0 0 0\n')
    assert read(path).info["provenance"]["warnings"] == []


def test_refusals(water, tmp_path):
    with pytest.raises(OutputError, match=r"extended xyz"):
        write_extxyz(water, tmp_path / "water.cif")
    with pytest.raises(OutputError, match="cannot be written"):
        write_extxyz(water, tmp_path / "none" / "water.xyz")
    water.info["provenance"]["object"] = object()
    with pytest.raises(OutputError, match="provenance"):
        write_extxyz(water, tmp_path / "water.xyz")
    water.positions[0, 0] = np.nan
    with pytest.raises(StructureError, match="finite"):
        write_extxyz(water, tmp_path / "water.xyz")
    assert list(tmp_path.iterdir()) == []


WITNESS = {"charge": None, "complete": False, "counter_ions_absent": True, "reason": "as told"}
LATER = {
    "charge_witness": (WITNESS, [5, [], {}, {**WITNESS, "charge": "1"}, {**WITNESS, "reason": 1}]),
    "mixed_sites": ([{"shares": {"Ag": 0.5, "Au": 0.5}}], [5, "Ag", {"shares": 1}, [5]]),
    "distortions": ([{"mode": "shear", "amount": 1.0}], [5, "shear", {"mode": "shear"}, [{}], [{"mode": 1}]]),
    "substitutions": ([{"from": "SH", "sites": [1]}], [5, "SH", {}, [1], [{"sites": 1}]]),
    "hydrogens_added": ({"CH3": 2}, [5, [1], {"CH3": "2"}]),
    "recipe": ({"exchanges": []}, [5, []]),
    "screening": ({"rank": 1}, [5, None]),
}


@pytest.mark.parametrize("key", LATER)
def test_a_history_that_cannot_be_read_is_left_out(water, tmp_path, key):
    right, wrong = LATER[key]
    for value in (right, *wrong):
        water.info["provenance"] = {"seed": 3, key: value}
        back = read(write_extxyz(water, tmp_path / "water.xyz"))
        history = back.info["provenance"]
        assert history["seed"] == 3
        assert history.get(key) == (right if value is right else None)
        assert [key in warning for warning in history["warnings"]] == ([] if value is right else [True])
        back.info["charge"] = None
        decide_charge(back)
        element_labels(back)
        assert inspect(tmp_path / "water.xyz").to_dict()["hydrogens_added"] == history.get("hydrogens_added", {})
        if key in ("distortions", "substitutions"):
            make_child(back, back.positions, "child", key, {}, [])
