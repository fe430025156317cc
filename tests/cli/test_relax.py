"""``clusterml relax`` shows its steps, can be taken up again, and explains what goes wrong."""

from __future__ import annotations

import pytest

from clusterml.structure.read import read


def test_relax_and_go_on(run, tmp_path):
    assert run("build", "ag2").code == 0
    first = run("relax", "ag2.xyz", "--symmetry", "--steps", 3, "--solvent", "methanol")
    assert first.code == 0, first.err
    assert any(line.startswith("relax step: 3; energy ") for line in first.progress)
    assert "stopped after 3 steps" in first.err
    assert "GFN1-xTB, ALPB(methanol): not converged after 3 steps" in first.out
    assert (tmp_path / "ag2_relaxed.xyz.checkpoint.json").exists()
    second = run("relax", "ag2.xyz", "--symmetry", "--steps", 60, "--solvent", "methanol", "--fmax", 0.3)
    assert second.code == 0, second.err
    assert not any(line.startswith("relax step: 0;") for line in second.progress)
    log = (tmp_path / "ag2_relaxed.xyz.log").read_text().splitlines()
    assert [line[20:] for line in log] == first.progress + second.progress
    assert "(taken up at step 3)" in second.out
    assert ": converged" in second.out
    assert not (tmp_path / "ag2_relaxed.xyz.checkpoint.json").exists()
    history = read(tmp_path / "ag2_relaxed.xyz").info["provenance"]
    assert history["level"] == "relaxed with GFN1-xTB, ALPB(methanol)"
    assert history["fmax_ev_a"] < 0.3
    assert history["model"] == "model, not crystal"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("none.xyz",), 1, "no such file"),
        (("{agsch3}", "--solvent", "honey"), 2, "honey"),
        (("{agsch3}", "--charge", 1), 1, "electrons"),
        (("{agsch3}", "--fmax", 0), 2, "fmax"),
        (("{agsch3}", "--method", "dft"), 2, "method"),
        (("{agsch3}", "-o", "x.cif", "--steps", 0), 1, "extended xyz"),
    ],
)
def test_what_goes_wrong(run, xyz, arguments, code, told):
    path = xyz("agsch3")
    done = run("relax", *(path if a == "{agsch3}" else a for a in arguments))
    assert done.code == code
    assert told in done.err
    assert "Traceback" not in done.err
