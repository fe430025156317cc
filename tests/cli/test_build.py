"""``clusterml build`` writes models, lists blueprints, and explains what cannot be built."""

from __future__ import annotations

import pytest

from clusterml.structure.read import read


def test_a_model_is_written(run, tmp_path):
    done = run("build", "ag12", "--thiolate", "SiPr", "--carboxylate", "CF3COO")
    assert done.code == 0, done.err
    atoms = read(tmp_path / "ag12.xyz")
    assert len(atoms) == 120
    assert atoms.info["charge"] == 0
    history = atoms.info["provenance"]
    assert history["title"] == "[Ag12(SiPr)6(CF3COO)6]"
    assert history["model"] == "model, not crystal"
    assert history["ligands"] == {"SiPr": 6, "CF3COO": 6}
    assert "model, not crystal" in done.out
    assert "Ag-S 2.47-2.47 (24)" in done.out
    assert "ag12.xyz" in done.out


def test_platinum_in_silver_is_warned_of(run):
    done = run("build", "ag24pt", "--thiolate", "SH")
    assert done.code == 0
    assert "warning: platinum buried in silver has no GFN ground state: clusterml label FILE --orbitals" in done.err
    assert done.err.count("platinum buried") == 1
    assert "warning" not in run("build", "ag24au", "--thiolate", "SH").err


def test_hand_and_output(run, tmp_path):
    assert run("build", "ag29", "--thiolate", "SH", "--hand", "R", "-o", "right.extxyz").code == 0
    assert read(tmp_path / "right.extxyz").info["provenance"]["hand"] == "R"


def test_the_cap_of_the_trigons(run, tmp_path):
    done = run("build", "ag70-t", "--thiolate", "SH", "--carboxylate", "HCOO", "--cap", "Br")
    assert done.code == 0, done.err
    ligands = read(tmp_path / "ag70-t.xyz").info["provenance"]["ligands"]
    assert ligands["Br"] == 4
    assert "Cl" not in ligands


def test_the_list(run):
    done = run("build", "--list")
    assert done.code == 0
    for word in ("ag25", "Ag25(SR)18", "Th", "ag29", "S R", "ag70-t", "P M", "SCH3"):
        assert word in done.out


def test_a_ligand_of_ones_own(run, tmp_path):
    (tmp_path / "mine.yaml").write_text('ligands:\n  SX: {smiles: "[S-]CCF", donors: S, charge: 1}\n')
    done = run("build", "ag3", "--thiolate", "SX", "--library", "mine.yaml")
    assert done.code == 0, done.err
    assert "[Ag3(SX)3]" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "--list"),
        (("au25",), 2, "no blueprint 'au25'"),
        (("ag25", "--thiolate", "SQ"), 2, "no ligand 'SQ'"),
        (("ag25", "--hand", "R"), 2, "achiral"),
        (("ag2", "-o", "ag2.cif"), 1, "extended xyz"),
        (("ag2", "-o", "none/ag2.xyz"), 1, "cannot be written"),
        (("ag2", "--seed", "-1"), 2, "seed"),
        (("mine.yaml",), 1, "no such file"),
    ],
)
def test_what_cannot_be_built(run, arguments, code, told):
    done = run("build", *arguments)
    assert done.code == code
    assert told in done.err
    assert "Traceback" not in done.err


def test_build_draws_a_hypothetical_cluster(run, tmp_path):
    done = run("build", "--random", 0, "--skeleton", "ring", "--metals", "4:4", "--thiolate", "SH")
    assert done.code == 0
    assert done.out.startswith("[Ag4(SH)4]: 12 atoms, ring of 4, model, not crystal: a hypothetical cluster")
    assert (tmp_path / "random_0.xyz").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ag3", "--random", 1], "NAME"),
        (["--random", 1, "--hand", "R"], "--hand"),
        (["ag3", "--metals", "3:4"], "--metals"),
        (["--random", 1, "--metals", "3-4"], "such as 8:20"),
        (["--random", 1, "--metals", "8:²"], "such as 8:20"),
        (["--random", 1, "--metals", "9:3"], "smaller number first"),
        (["--random", 1, "--phosphine", "SH3X"], "SH3X"),
    ],
)
def test_build_refuses_what_a_hypothetical_cluster_does_not_have(run, arguments, words):
    done = run("build", *arguments)
    assert done.code != 0
    assert words in done.err
