"""The distort verb: what it writes, prints and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clusterml.structure.read import read, read_all


@pytest.fixture
def ag29(examples: Path) -> Path:
    return examples / "ag29_model.xyz"


def test_one_amount(run, ag29, tmp_path):
    done = run("distort", ag29, "--mode", "crown-rotation", "--amount", "-5")
    assert (done.code, done.out, done.err) == (0, "1 structure in ag29_model_crown-rotation.xyz\n", "")
    atoms = read(tmp_path / "ag29_model_crown-rotation.xyz")
    assert atoms.info["charge"] == -3
    provenance = atoms.info["provenance"]
    assert provenance["distortions"] == [{"mode": "crown-rotation", "amount": -5.0, "unit": "deg"}]
    assert provenance["title"] == "ag29_model_crown-rotation_-5"
    assert np.abs(atoms.positions - read(ag29).positions).max() > 0.1


def test_a_scan_is_one_file_with_a_frame_per_amount(run, ag29, tmp_path):
    done = run("distort", ag29, "--mode", "crown-rotation", "--scan", "-13:13:27", "-o", "scan.extxyz")
    assert done.code == 0
    assert done.out == "27 structures in scan.extxyz\n"
    frames = list(read_all(tmp_path / "scan.extxyz"))
    amounts = [f.info["provenance"]["distortions"][0]["amount"] for f in frames]
    assert amounts == [float(x) for x in range(-13, 14)]
    assert np.array_equal(frames[13].positions, read(ag29).positions)
    assert done.err.splitlines()[0] == "warning: crown-rotation +8 deg: 0 metal-donor bonds lost and 12 gained"


def test_many_warnings_are_counted_not_printed(run, ag29):
    done = run("distort", ag29, "--mode", "breathing", "--scan", "5:8:20", "-o", "scan.extxyz")
    lines = done.err.splitlines()
    assert done.code == 0
    assert len(lines) == 11
    assert lines[-1].endswith("more, all in the provenance in scan.extxyz")


def test_thermal_samples_depend_on_the_seed(run, ag29, tmp_path):
    for seed, name in ((1, "a"), (1, "b"), (2, "c")):
        options = ("--temperature", 150, "--samples", 2, "--seed", seed, "-o", f"{name}.xyz")
        assert run("distort", ag29, "--mode", "thermal-noise", *options).code == 0
    first, again, other = (list(read_all(tmp_path / f"{name}.xyz")) for name in "abc")
    assert np.array_equal(first[1].positions, again[1].positions)
    assert not np.array_equal(first[0].positions, first[1].positions)
    assert not np.array_equal(first[0].positions, other[0].positions)
    entry = first[0].info["provenance"]["distortions"][0]
    assert entry["seed"] == 1
    assert entry["temperature_k"] == pytest.approx(150.0, abs=0.2)


def test_noise_on_top_of_a_mode(run, ag29, tmp_path):
    done = run("distort", ag29, "--mode", "crown-rotation", "--amount", 3, "--temperature", 50, "-o", "noisy.xyz")
    assert done.code == 0
    both = read(tmp_path / "noisy.xyz").info["provenance"]["distortions"]
    assert [entry["mode"] for entry in both] == ["crown-rotation", "thermal-noise"]
    assert "seed" not in both[0]


def test_axis_index_and_factors(run, ag29, tmp_path):
    assert run("distort", ag29, "--mode", "shear", "--amount", 2, "--axis", "0,0,2", "-o", "s.xyz").code == 0
    assert read(tmp_path / "s.xyz").info["provenance"]["distortions"][0]["axis"] == [0.0, 0.0, 1.0]
    assert run("distort", ag29, "--mode", "normal-mode", "--amount", 0.1, "--index", 9, "-o", "n.xyz").code == 0
    assert read(tmp_path / "n.xyz").info["provenance"]["distortions"][0]["index"] == 9
    options = ("--mode", "thermal-noise", "--amount", 0.05, "--factor", "Ag=0", "--factor", "H=2", "-o", "f.xyz")
    assert run("distort", ag29, *options).code == 0
    moved, parent = read(tmp_path / "f.xyz"), read(ag29)
    assert np.abs((moved.positions - parent.positions)[parent.numbers == 47]).max() < 1e-6


def test_list(run, ag29):
    everywhere = run("distort", "--list")
    assert everywhere.code == 0
    for name in ("trigon-rotation", "td-to-t", "normal-mode", "%", "deg"):
        assert name in everywhere.out
    here = run("distort", ag29, "--list")
    rows = {line.split()[0]: line for line in here.out.splitlines() if line.strip()}
    assert rows["crown-rotation"].split()[-1] == "yes"
    assert rows["trigon-rotation"].split()[-1] == "no"


def test_broken_chemistry_is_an_error_or_a_warning(run, ag29, tmp_path):
    refused = run("distort", ag29, "--mode", "core-shell-twist", "--amount", 45)
    assert refused.code == 1
    assert refused.out == ""
    assert refused.err.startswith("error: core-shell-twist +45 deg: ")
    assert " A, was " in refused.err
    assert list(tmp_path.iterdir()) == []
    allowed = run("distort", ag29, "--mode", "core-shell-twist", "--amount", 45, "--warn-only")
    assert allowed.code == 0
    assert "warning: core-shell-twist +45 deg: " in allowed.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "give FILE and --mode"),
        (("--mode", "shear"), 2, "how much of shear? (give one of --amount or --scan)"),
        (("--mode", "shear", "--amount", 1, "--scan", "0:1:2"), 2, "how much of shear?"),
        (("--mode", "thermal-noise"), 2, "--amount or --scan or --temperature"),
        (("--mode", "thermal-noise", "--temperature", "-4"), 2, "temperature is -4 K"),
        (("--mode", "wobble", "--amount", 1), 2, "mode is 'wobble' (choose one of trigon-rotation"),
        (("--mode", "trigon-rotation", "--amount", 1), 2, "ag29_model has none (modes of this cluster: crown-rotation"),
        (("--mode", "shear", "--amount", 99), 2, "amount of shear is 99 % (give a number between -30 and 30 %)"),
        (("--mode", "shear", "--scan", "0:1"), 2, "--scan is '0:1' (give LOW:HIGH:COUNT"),
        (("--mode", "shear", "--scan", "0:1:0"), 2, "a count from 1 to"),
        (("--mode", "shear", "--amount", 1, "--axis", "z"), 2, "--axis is 'z'"),
        (("--mode", "shear", "--amount", 1, "--factor", "Ag"), 2, "--factor is 'Ag' (give ELEMENT=NUMBER"),
        (("--mode", "shear", "--amount", 1, "--factor", "Ag=1", "--factor", "Ag=2"), 2, "--factor gives Ag twice"),
        (("--mode", "mixture", "--amount", 1, "--weight", "shear=1", "--weight", "shear =2"), 2, "gives shear twice"),
        (("--mode", "shear", "--amount", 1, "--samples", 2), 2, "shear draws no random numbers"),
        (("--mode", "mixture", "--scan", "0:1:2", "--samples", 2), 2, "--samples needs a positive number"),
        (("--mode", "shear", "--amount", 1, "-o", "x.pdb"), 1, "x.pdb: structures are written as extended xyz"),
        (("--mode", "normal-mode", "--amount", 0.1, "--index", 0), 2, "normal mode 0 does not exist"),
    ],
)
def test_what_cannot_be_done(run, ag29, options, code, message):
    done = run("distort", ag29, *options)
    assert done.code == code
    assert message in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err


def test_a_missing_file(run):
    done = run("distort", "nowhere.xyz", "--mode", "shear", "--amount", 1)
    assert (done.code, done.err) == (1, "error: nowhere.xyz: there is no such file (check the path)\n")


def test_a_scan_that_goes_too_far_keeps_its_good_frames(run, ag29, tmp_path):
    done = run("distort", ag29, "--mode", "core-shell-twist", "--scan", "0:45:4", "-o", "twist.xyz")
    assert done.code == 1
    assert done.out == "2 structures in twist.xyz\n"
    amounts = [f.info["provenance"]["distortions"][0]["amount"] for f in read_all(tmp_path / "twist.xyz")]
    assert amounts == [0.0, 15.0]
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == ["core-shell-twist +30 deg", "core-shell-twist +45 deg"]
    assert all("are too close" in line for line in errors)
    assert done.err.splitlines()[-1] == "2 of 4 structures do not exist and were left out"


def test_samples_that_no_draw_gives_are_reported(run, ag29, tmp_path, monkeypatch):
    monkeypatch.setattr("clusterml.structure.distort.draws.MOST_DRAWS", 1)
    noise = ("--mode", "thermal-noise", "--amount", 0.22, "--factor", "Ag=2")
    done = run("distort", ag29, *noise, "--samples", 12, "-o", "hot.xyz")
    frames = list(read_all(tmp_path / "hot.xyz"))
    assert done.code == 1
    assert 0 < len(frames) < 12
    assert f"{12 - len(frames)} of 12 structures do not exist and were left out" in done.err
    assert done.err.count("error: sample ") == 12 - len(frames)
