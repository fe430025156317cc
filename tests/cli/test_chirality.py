"""The chirality verb: tables, JSON, files, and failures that do not stop the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_a_molecule_gives_tables(run, xyz):
    done = run("chirality", xyz("h2o2"), "--groups", "C2, Cs")
    assert done.code == 0, done.err
    for words in ("CCM", "misfit / A", "whole", "C2 (0.01)", "Continuous symmetry measures"):
        assert words in done.out


def test_json_files_and_a_picture(run, examples, tmp_path, figures):
    done = run(
        "chirality", examples / "ag29_model.xyz", "--groups", "T", "--no-parts", "--json", "-o", tmp_path / "out"
    )
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert data["parts"][0]["symmetry_measures"]["T"] == pytest.approx(0.0, abs=1e-4)
    assert data["template"]["name"] == "icosahedron"
    stored = json.loads((tmp_path / "out" / "ag29_model_chirality.json").read_text())
    assert stored["parts"][0]["ccm"] == data["parts"][0]["ccm"]
    assert (tmp_path / "out" / "ag29_model_chirality.png").read_bytes().startswith(b"\x89PNG")
    shown = [text.get_text() for text in figures[0].texts]
    assert f"CCM {data['parts'][0]['ccm']:.4f}" in shown
    assert any("ag29_model" in text or "Ag29" in text for text in shown)


def test_template_and_turns_are_shown(run, examples):
    done = run("chirality", examples / "ag29_model.xyz", "--groups", "T", "-o", "out")
    assert done.code == 0, done.err
    assert done.out.endswith("results in out: ag29_model_chirality.json, ag29_model_chirality.png\n")
    for words in ("icosahedron x", "crown", "face beneath", "kernel", "ligand layer"):
        assert words in done.out
    bare = run("chirality", examples / "ag29_model.xyz", "--template", "none", "--no-parts", "--groups", "T")
    assert "icosahedron" not in bare.out
    assert "kernel" not in bare.out


def test_atoms_are_exchanged_only_where_bonds_allow_it(run):
    """Methyl and methylene of chloroethane: a symmetry of the points is none of the bonds."""
    rows = ["C 0 0 0", "C 1.53 0 0", "H -0.4 1 0.1", "H -0.4 -0.5 0.9", "H -0.4 -0.5 -0.9", "H 1.9 0.6 0.8",
            "H 1.9 0.4 -0.95", "Cl 2.1 -1.65 0.1"]  # fmt: skip
    Path("a.xyz").write_text("\n".join([str(len(rows)), "", *rows]) + "\n")
    free, bound = (
        json.loads(run("chirality", "a.xyz", "--groups", "C3", "--no-parts", "--json", *option).out)
        for option in ((), ("--keep-bonds",))
    )
    assert bound["parts"][0]["symmetry_measures"]["C3"] > free["parts"][0]["symmetry_measures"]["C3"] + 1.0


def test_a_failing_file_does_not_stop_the_others(run, xyz, tmp_path):
    broken = tmp_path / "broken.xyz"
    broken.write_text("2\n\nAg 0 0 0\n")
    done = run("chirality", xyz("h2o2"), broken, tmp_path / "absent.xyz", "--json")
    assert done.code == 1
    assert len(json.loads(done.out)) == 1
    assert done.err.count("error:") == 2
    assert f"error: {broken}: " in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("options", [["--groups", "Q5"], ["--template", "absent.xyz"]])
def test_wrong_options_are_said(run, xyz, options):
    done = run("chirality", xyz("h2o2"), *options)
    assert done.code == (2 if "--groups" in options else 1)
    assert done.err.startswith("error:")
    assert "Traceback" not in done.err
