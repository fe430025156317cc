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


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--thiolate", "SH"), 2, "carboxylate"),
        (("--thiolate", "SH", "--carboxylate", "ACID"), 1, "no ligand 'ACID'"),
        (("--thiolate", "SH", "--carboxylate", "HCOO", "--carboxylates", 80), 1, "80 carboxylates"),
        (("--thiolate", "SH", "--carboxylate", "HCOO", "--solvents", 2), 1, "no solvent is named"),
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
