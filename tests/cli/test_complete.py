"""``clusterml complete`` dresses a bare core and says what it chose."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterml.structure.read import read


@pytest.fixture
def core(examples, tmp_path) -> Path:
    """The metals and sulfurs of the shipped Ag70 model, as an xyz file that states the charge."""
    atoms = read(examples.parent / "structures" / "ag70_td_hcoo20.xyz")
    rows = [f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
            if s in ("Ag", "S")]  # fmt: skip
    path = tmp_path / "core.xyz"
    path.write_text(f"{len(rows)}\ncharge=-2\n" + "\n".join(rows) + "\n")
    return path


def test_a_core_is_dressed(run, core, tmp_path):
    done = run("complete", core, "--thiolate", "SH", "--carboxylate", "HCOO")
    assert done.code == 0, done.err
    assert "[Ag70S4(SH)24(HCOO)20]2-: 202 atoms, 20 superatom electrons, 4 sulfides kept" in done.out
    assert "is a choice" in done.err
    atoms = read(tmp_path / "core_complete.xyz")
    assert (len(atoms), atoms.info["charge"]) == (202, -2)
    assert atoms.info["provenance"]["ligands"] == {"SH": 24, "HCOO": 20}


@pytest.mark.slow
def test_a_core_of_unknown_charge_is_completed_with_a_proposal(run, core, tmp_path):
    """The published [Ag70S4(SiPr)24(CF3COO)20(DMF)3]2-: here with H in place of the organic groups, and H2O for DMF."""
    lines = core.read_text().splitlines()
    (tmp_path / "bare.xyz").write_text("\n".join([lines[0], "no charge", *lines[2:]]) + "\n")
    done = run("complete", "bare.xyz", "--thiolate", "SH", "--carboxylate", "HCOO", "--solvent", "H2O")
    assert done.code == 0, done.err
    assert "warning: charge -2 with 20 HCOO is a proposal: 20 superatom electrons" in done.err
    assert "-1 with 19 HCOO (20 electrons)" in done.err
    atoms = read(tmp_path / "bare_complete.xyz")
    assert (atoms.info["charge"], atoms.info["provenance"]["ligands"]) == (-2, {"SH": 24, "HCOO": 20, "H2O": 3})
    fewer = ("--carboxylates", 18, "-o", "n.xyz")
    neutral = run("complete", "bare.xyz", "--thiolate", "SH", "--carboxylate", "HCOO", *fewer)
    assert neutral.code == 0, neutral.err
    assert "warning: charge 0 with 18 HCOO is a proposal" in neutral.err
    assert read(tmp_path / "n.xyz").info["charge"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--thiolate", "SH"), 2, "carboxylate"),
        (("--thiolate", "SH", "--carboxylate", "ACID"), 2, "no ligand 'ACID'"),
        (("--thiolate", "SH", "--carboxylate", "HCOO", "--carboxylates", 80), 2, "80 carboxylates"),
        (("--thiolate", "SH", "--carboxylate", "HCOO", "--solvents", 2), 2, "no solvent is named"),
        (("--thiolate", "SH", "--carboxylate", "HCOO", "-o", "a.pdb"), 1, "extended xyz"),
    ],
)
def test_what_goes_wrong(run, core, arguments, code, told):
    done = run("complete", core, *arguments)
    assert done.code == code
    assert told in done.err
    assert "Traceback" not in done.err


def test_no_core(run, xyz):
    done = run("complete", xyz("agsch3"), "--thiolate", "SH", "--carboxylate", "HCOO")
    assert done.code == 1
    assert "neither metal nor bare sulfur" in done.err
