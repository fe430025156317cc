"""The substitute verb: one exchange, a series in one command, and what it refuses."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.read import read, read_all


@pytest.fixture
def ag29(examples: Path) -> Path:
    return examples / "ag29_model.xyz"


def test_a_count(run, ag29, tmp_path):
    done = run("substitute", ag29, "--from", "PH3", "--to", "PMe3", "--count", 2, "--seed", 3)
    assert (done.code, done.err) == (0, "")
    first, last = done.out.splitlines()
    assert first.startswith("1: 2 of 4 PH3 -> PMe3; sites ")
    assert first.endswith(", charge -3")
    assert last == "1 structure in ag29_model_PMe3_2.xyz"
    atoms = read(tmp_path / "ag29_model_PMe3_2.xyz")
    counts = anatomy(atoms).ligand_counts()
    assert (counts["PMe3"], counts["PH3"]) == (2, 2)
    assert atoms.info["provenance"]["substitutions"][0]["seed"] == 3


def test_a_series_is_one_command(run, ag29, tmp_path):
    done = run("substitute", ag29, "--from", "PH3", "--to", "PMe3", "--series", "0:4:1", "-o", "series.xyz")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "5 structures in series.xyz"
    members = list(read_all(tmp_path / "series.xyz"))
    entries = [member.info["provenance"]["substitutions"][0] for member in members]
    assert [entry["count"] for entry in entries] == [0, 1, 2, 3, 4]
    assert all(b["sites"][: a["count"]] == a["sites"] for a, b in pairwise(entries))
    assert np.array_equal(members[0].positions, read(ag29).positions)
    assert anatomy(members[4]).ligand_counts()["PMe3"] == 4


def test_sites_are_listed_and_chosen(run, ag29, tmp_path):
    listed = run("substitute", ag29, "--from", "PH3", "--list")
    assert listed.code == 0
    rows = [line.split() for line in listed.out.splitlines() if line.strip()]
    assert [row[0] for row in rows[2:]] == ["1", "2", "3", "4"]
    assert rows[2][1:3] == ["P54", "Ag26"]
    done = run("substitute", ag29, "--from", "PH3", "--to", "PMe3", "--sites", "4,2", "--sample", "-o", "chosen.xyz")
    assert "2 of 4 PH3 -> PMe3; sites 4, 2," in done.out
    assert (tmp_path / "chosen.xyz").exists()


def test_a_library_of_ones_own(run, ag29, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text('ligands:\n  PH2Me:\n    smiles: "CP"\n    donors: [1]\n    charge: 0\n')
    done = run("substitute", ag29, "--from", "PH3", "--to", "PH2Me", "--count", 1, "--library", own)
    assert (done.code, done.err) == (0, "")
    assert "1 of 4 PH3 -> PH2Me" in done.out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--to", "PMe3"), 2, "--from"),
        (("--from", "PH3"), 2, "give the new ligand with --to"),
        (
            ("--from", "PPh3", "--to", "PMe3"),
            2,
            "there is no ligand PPh3 to exchange (ligands of this cluster: SH, PH3)",
        ),
        (("--from", "PH3", "--to", "PX3"), 2, "there is no ligand 'PX3' in the library"),
        (("--from", "PH3", "--to", "PMe3", "--count", 5), 2, "5 ligands cannot be exchanged (there are 4 sites"),
        (("--from", "PH3", "--to", "PMe3", "--series", "4:0"), 2, "--series is '4:0' (give FIRST:LAST:STEP"),
        (("--from", "PH3", "--to", "PMe3", "--series", "0:3:2"), 2, "do not come to 3 (end it at 2 or 4)"),
        (("--from", "PH3", "--to", "PMe3", "--series", "a"), 2, "--series is 'a'"),
        (("--from", "PH3", "--to", "PMe3", "--series", "0:1", "--count", 1), 2, "--count and --series are both given"),
        (("--from", "PH3", "--to", "PMe3", "--sites", "1,x"), 2, "--sites is '1,x' (give whole numbers with commas"),
        (
            ("--from", "PH3", "--to", "PMe3", "--sites", "9"),
            2,
            "site 9 does not exist (sites are numbered from 1 to 4)",
        ),
    ],
)
def test_what_cannot_be_done(run, ag29, options, code, message, tmp_path):
    done = run("substitute", ag29, *options)
    assert done.code == code
    assert message in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_series_without_room_for_all_keeps_the_members_that_exist(run, ag29, tmp_path, monkeypatch):
    from clusterml.errors import StructureError
    from clusterml.structure.distort import substitute

    fits = substitute.check_exchange

    def crowded(before, after, *rest):
        if len(before) > len(read(ag29)) + 9:  # PMe3 has nine atoms more than PH3: no room for a third one
            raise StructureError("PMe3: too close", "choose another site")
        return fits(before, after, *rest)

    monkeypatch.setattr(substitute, "check_exchange", crowded)
    done = run("substitute", ag29, "--from", "PH3", "--to", "PMe3", "--series", "0:4:1", "-o", "series.xyz")
    assert done.code == 1
    assert [len(each) for each in read_all(tmp_path / "series.xyz")] == [len(read(ag29)) + 9 * n for n in range(3)]
    assert "error: 3 x PMe3: site " in done.err
    assert "(after 2 exchanges): PMe3: too close" in done.err
    assert done.err.splitlines()[-1] == "2 of 5 structures do not exist and were left out"


def test_ligands_of_ones_own_are_named_exchanged_and_inspected(run, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text('ligands:\n  SCH2Cl: {smiles: "[S-]CCl", donors: S, charge: 1}\n')
    assert run("build", "ag3", "--thiolate", "SCH2Cl", "--library", own, "-o", "a.xyz").code == 0
    assert "3 x SCH2Cl" in run("inspect", "a.xyz", "--library", own).out
    assert "SCH2Cl" not in run("inspect", "a.xyz").out
    done = run("substitute", "a.xyz", "--from", "SCH2Cl", "--to", "SH", "--count", 2, "--library", own, "-o", "b.xyz")
    assert done.code == 0, done.err
    assert "1 x SCH2Cl" in run("inspect", "b.xyz", "--library", own).out
    wrong = run("inspect", "a.xyz", "--library", tmp_path / "none.yaml")
    assert (wrong.code, "none.yaml" in wrong.err) == (1, True)
