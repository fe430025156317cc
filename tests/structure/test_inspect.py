"""What a file holds: the JSON contract, the charge and where it is from, bare cores and hydrogens."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clusterml.errors import ClusterMLError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.fans import assign_fan_hand
from clusterml.structure.distort.substitute import substitute
from clusterml.structure.inspect import inspect, is_bare_core
from clusterml.structure.read import read
from clusterml.structure.write import write_extxyz

CONTRACT = {"name", "source", "crystal", "clusters", "counter_ions", "solvent", "ligands", "charge",
            "charge_candidates", "superatom_electrons", "warnings"}  # fmt: skip


def test_the_example_crystal(examples):
    data = inspect(examples / "ag29_model.cif").to_dict()
    assert set(data) >= CONTRACT
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    crystal = data["crystal"]
    assert (crystal["space_group"], crystal["sohncke"], crystal["handedness"]) == ("P 2 3", True, "enantiopure")
    (cluster,) = data["clusters"]
    assert (cluster["formula"], cluster["n_atoms"], cluster["hand"], cluster["taken"]) == (
        "Ag29H36P4S24",
        93,
        "A",
        True,
    )
    assert cluster["site_symmetry_order"] == 12
    assert {row["formula"]: (row["count"], row["charge"]) for row in data["ligands"]} == {"HS": (24, -1), "H3P": (4, 0)}
    assert (data["charge"], data["superatom_electrons"], data["charge_from"]) == (-3, 8, "superatom shells")
    assert data["charge_candidates"][0] == {"charge": -3, "superatom_electrons": 8}
    assert data["counter_ions"] == data["solvent"] == data["hydrogens_added"] == {}
    assert data["bare_core"] is False
    assert data["warnings"] == []


def test_an_xyz_file_states_its_charge(examples):
    result = inspect(examples / "ag29_model.xyz")
    data = result.to_dict()
    assert data["crystal"] is None
    assert [c["taken"] for c in data["clusters"]] == [True]
    assert (data["charge"], data["charge_from"]) == (-3, "file")
    assert result.superatom_electrons == 8
    assert result.name == "ag29_model"


def test_the_fans_of_the_ag29_family_tell_r_from_s(tmp_path, examples):
    atoms = read(examples / "ag29_model.xyz")
    mirrored = atoms.copy()
    mirrored.positions[:, 0] *= -1.0
    mirror_image = inspect(write_extxyz(mirrored, tmp_path / "mirrored.xyz"))
    assert (inspect(examples / "ag29_model.xyz").fan_hand, mirror_image.fan_hand) == ("S", "R")
    assert mirror_image.to_dict()["fan_hand"] == "R"
    silver = np.flatnonzero(atoms.numbers == 47)
    apex = silver[np.argmax(np.linalg.norm(atoms.positions[silver] - atoms.positions[silver].mean(axis=0), axis=1))]
    less = atoms[[i for i in range(len(atoms)) if i != apex]]  # without an apex there are not four fans
    assert assign_fan_hand(less) is None


@pytest.mark.parametrize("new", ["PMe3", "CO", "pyridine", "MeCN", "DMF", "none", "one of four"])
def test_shells_and_hand_are_those_of_the_frame_whatever_is_on_the_apices(examples, new):
    atoms = read(examples / "ag29_model.xyz")
    phosphines = [ligand.atoms for ligand in anatomy(atoms).ligands if ligand.name == "PH3"]
    if new.startswith("one") or new == "none":
        gone = np.concatenate(phosphines if new == "none" else phosphines[:3])
        changed = atoms[np.setdiff1d(np.arange(len(atoms)), gone)]
    else:
        changed = substitute(atoms, "PH3", new, rng=np.random.default_rng(0), problems="warn")
    parts = anatomy(changed)
    assert [len(parts.kernel), *(len(shell) for shell in parts.shells)] == [13, 12, 4]
    assert assign_fan_hand(changed) == "S"


def test_a_bare_core_is_named_as_such(tmp_path, examples):
    atoms = read(examples / "ag29_model.xyz")
    core = atoms[np.isin(atoms.numbers, (47, 16))]
    core.info = {"name": "core"}
    result = inspect(write_extxyz(core, tmp_path / "core.xyz"))
    assert result.to_dict()["bare_core"]
    assert any("`clusterml complete`" in warning for warning in result.warnings)
    assert is_bare_core(core)
    assert not is_bare_core(atoms)


def test_hydrogens_of_an_xyz_file_only_on_request(tmp_path, molecule):
    complete = molecule("Cc1ccccc1")
    bare = complete[complete.numbers != 1]
    bare.info = {"name": "toluene"}
    path = write_extxyz(bare, tmp_path / "toluene.xyz")
    assert inspect(path).formula == "C7"
    result = inspect(path, hydrogens=True)
    assert result.formula == "C7H8"
    assert result.to_dict()["hydrogens_added"] == {"CH3": 1, "aromatic CH": 5}
    assert result.to_dict()["superatom_electrons"] is None


@pytest.fixture
def salt(tmp_path, crystal, ag29, molecule):
    """P -1 with one cluster and a number of PPh4+ in the asymmetric unit, as a file."""

    def build(cations, extra=""):
        writer = crystal("P -1", (44, 40, 40), (85, 80, 88)).add(ag29, (0.3, 0.3, 0.3))
        for seed in range(cations):
            writer.add_somewhere(molecule("c1ccc(cc1)[P+](c1ccccc1)(c1ccccc1)c1ccccc1"), seed)
        path = tmp_path / "salt.cif"
        path.write_text(writer.add_somewhere(molecule("CN(C)C=O"), 9).text(extra))
        return path

    return build


def test_counter_ions_and_shells_agree(salt):
    data = inspect(salt(3), cluster=2).to_dict()
    assert (data["charge"], data["charge_from"], data["superatom_electrons"]) == (-3, "counter-ions", 8)
    assert data["counter_ions"] == {"C24H20P": 6}
    assert data["solvent"] == {"C3H7NO": 2}
    assert [(c["hand"], c["taken"], c["operation"]) for c in data["clusters"]] == [
        ("A", False, "x,y,z"),
        ("B", True, "-x,-y,-z"),
    ]
    assert data["crystal"]["handedness"] == "racemic"
    assert data["crystal"]["charge_witness"]["complete"]
    assert not any("disagree" in warning for warning in data["warnings"])


def test_the_formula_of_the_file_is_compared(salt):
    def notes(formula, z):
        data = inspect(salt(1, f"_chemical_formula_sum '{formula}'\n_cell_formula_units_Z {z}")).to_dict()
        return [warning for warning in data["warnings"] if "formula and Z" in warning]

    assert notes("C27 H63 Ag29 N O P5 S24", 2) == []
    assert "(C 54 not 102, P 10 not 12)" in notes("C51 H83 Ag29 N O P6 S24", 2)[0]


def test_counter_ions_win_where_they_disagree_with_the_shells(salt):
    data = inspect(salt(1)).to_dict()
    assert (data["charge"], data["charge_from"], data["superatom_electrons"]) == (-1, "counter-ions", 6)
    assert any("disagree" in warning and "8 superatom electrons" in warning for warning in data["warnings"])


def test_counter_ions_that_cannot_be_right_do_not_win(salt):
    odd = inspect(salt(2)).to_dict()
    assert (odd["charge"], odd["charge_from"]) == (-3, "superatom shells")
    assert any("unpaired electron" in warning for warning in odd["warnings"])
    masked = inspect(salt(1, "loop_\n_platon_squeeze_void_nr\n1")).to_dict()
    assert (masked["charge"], masked["charge_from"]) == (-3, "superatom shells")
    assert masked["crystal"]["density_masked"]
    assert any("were not followed" in warning for warning in masked["warnings"])


def test_the_ag70_models_in_the_space_groups_of_the_papers(shared, crystal, tmp_path):
    """The Td cluster on the -43m site of F d -3 m, and its T variant, which lowers the group, as one or both hands."""
    expected = {
        ("Td_GFN1", "F d -3 m:1"): ("achiral", {"achiral": 8}),
        ("T_M", "F 2 3"): ("enantiopure", {"A": 4}),
        ("T_M", "F d -3:1"): ("racemic", {"A": 4, "B": 4}),
    }
    for (model, group), (kind, hands) in expected.items():
        path = shared / "geometry" / f"Ag70S4_SH24_HCOO12_Cl8_{model}.xyz"
        if not path.is_file():
            pytest.skip("no model of Ag70")
        atoms = read(path, allow_several=True)
        atoms.positions -= atoms.positions[atoms.numbers == 47].mean(axis=0)
        written = tmp_path / f"{model}.cif"
        written.write_text(crystal(group, (62, 62, 62)).add(atoms).text())
        data = inspect(written).to_dict()
        assert data["formula"] == "Ag70C12H36Cl4O24S28"
        assert (data["crystal"]["handedness"], data["crystal"]["hands"]) == (kind, hands)


def test_real_crystals_are_inspected_or_refused(shared):
    read_well = {}
    for path in sorted((shared / "structures" / "cif").glob("*.cif")):
        try:
            data = inspect(path).to_dict()
        except ClusterMLError:
            continue
        json.dumps(data, allow_nan=False)
        read_well[path.stem] = (data["counter_ions"], data["solvent"], data["crystal"]["handedness"])
    assert len(read_well) == 13
    assert read_well["8100877-bump"] == ({"BF4": 2}, {}, "racemic")
    assert read_well["7000165-disorder"] == ({}, {"C6H14": 1}, "racemic")
    assert read_well["2200639"][0] == {"F6P": 1}
    assert read_well["2225095"] == ({"ClO4": 12}, {"H2O": 12}, "racemic")
    assert read_well["Au25_PET18_COD1540567"][2] == "achiral"
