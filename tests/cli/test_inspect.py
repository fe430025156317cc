"""``clusterml inspect`` as a user runs it: tables, JSON, files, several inputs, and failures."""

from __future__ import annotations

import json


def test_a_table_says_what_the_crystal_holds(run, examples):
    done = run("inspect", examples / "ag29_model.cif")
    assert done.code == 0
    for words in (
        "P 2 3",
        "Sohncke",
        "enantiopure (1 x A)",
        "Ag29H36P4S24, 93 atoms",
        "-3, 8 superatom electrons",
        "S (Ag29 family",
    ):
        assert words in done.out
    assert done.out.count("a closed shell") == 1  # the reason for the charge, and not once more for its witness
    assert done.err == ""


def test_json_and_nothing_else(run, examples):
    done = run("inspect", examples / "ag29_model.cif", "--json")
    assert json.loads(done.out)["charge"] == -3
    both = run("inspect", examples, "--json")
    assert [entry["name"] for entry in json.loads(both.out)] == ["ag29_model", "ag29_model"]


def test_results_are_written(run, examples, tmp_path):
    done = run("inspect", examples, "-o", "out")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("results in out: ag29_model_cif_inspect.json, ag29_model_cif.xyz, ")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["ag29_model_cif.xyz", "ag29_model_cif_inspect.json", "ag29_model_xyz.xyz",
                       "ag29_model_xyz_inspect.json"]  # fmt: skip
    again = run("inspect", tmp_path / "out" / "ag29_model_cif.xyz", "--json")
    data = json.loads(again.out)
    assert (data["formula"], data["charge"], data["charge_from"]) == ("Ag29H36P4S24", -3, "file")


def test_a_bad_file_does_not_stop_the_others(run, examples, tmp_path):
    (tmp_path / "bad.cif").write_text("data_x\n_cell_length_a 5\n")
    done = run("inspect", tmp_path / "bad.cif", examples / "ag29_model.xyz", "--json")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "no atom sites" in done.err
    assert [entry["name"] for entry in json.loads(done.out)] == ["ag29_model"]
    assert run("inspect", examples / "ag29_model.cif", "--cluster", "2").code == 1
    assert run("inspect", examples / "ag29_model.cif", "--disorder", "C").code == 2


def test_disorder_and_hydrogens_are_options(run, tmp_path):
    sites = [
        "Ag1 Ag .5 .5 .5 1 .",
        "S1 S .68 .5 .5 1 .",
        "C1 C .76 .6 .5 1 .",
        "Cl1 Cl .33 .5 .5 .7 1",
        "Br1 Br .33 .55 .5 .3 2",
    ]
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "disorder_group")
    cell = "\n".join(
        f"_cell_length_{k} 14\n_cell_angle_{a} 90" for k, a in zip("abc", ("alpha", "beta", "gamma"), strict=True)
    )
    path = tmp_path / "small.cif"
    path.write_text("\n".join(["data_x", cell, "loop_", *(f"_atom_site_{t}" for t in tags), *sites]) + "\n")
    major = run("inspect", path, "--json")
    data = json.loads(major.out)
    assert (data["formula"], data["hydrogens_added"]) == ("AgCH3ClS", {"CH3": 1})
    assert data["crystal"]["disorder"]["dropped"][0]["labels"] == ["Br1"]
    table = run("inspect", path)
    assert "hydrogens added" in table.out
    assert "warning: " in table.err
    assert json.loads(run("inspect", path, "--json", "--disorder", "B", "--no-hydrogens").out)["formula"] == "AgCBrS"
    refused = run("inspect", path, "--disorder", "error")
    assert refused.code == 1
    assert "Br1; occupancy 0.30" in refused.err
