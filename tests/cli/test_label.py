"""The label verb end to end: what is written and printed, and what happens to bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from clusterml.spectrum.spectrum import Spectrum

QUICK = ("--emax", "5", "--fwhm", "0.4")
SCRIPT = [sys.executable, "-c", "from clusterml.cli.main import main; main()"]


def lines_of(text: str, kind: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"{kind}: ")]


def test_xyz_and_cif_and_a_bad_file_together(run, xyz, cif):
    good, crystal = xyz("agsch3"), cif("agsch3")
    bad = Path("bad.xyz")
    bad.write_text("2\n\nAg 0 0 0\n")
    done = run("label", good, bad, crystal, *QUICK, "--jcamp", "-o", "out/deep")
    assert done.code == 1
    (line,) = lines_of(done.err, "error")
    assert line.startswith("error: bad.xyz: ")
    assert line.endswith(")")
    assert "Traceback" not in done.err
    names = sorted(p.name for p in Path("out/deep").iterdir())
    assert names == [
        *(f"agsch3_{e}.{k}" for e in ("cif", "xyz") for k in ("csv", "jdx", "json", "png")),
        "clusterml.log",
    ]
    log = Path("out/deep/clusterml.log").read_text().splitlines()
    assert log[-1][20:].startswith("label: 2 done, 1 failed, ")
    assert done.progress[:2] == ["label begins", "label: 0 of 3; agsch3_xyz: 6 atoms"]
    a, b = (json.loads(Path(f"out/deep/agsch3_{e}.json").read_text()) for e in ("xyz", "cif"))
    assert a["formula"] == b["formula"] == "AgCH3S"
    assert a["provenance"]["structure"]["format"] == "xyz"
    largest = max(a["spectrum"]["epsilon"])
    np.testing.assert_allclose(a["spectrum"]["epsilon"], b["spectrum"]["epsilon"], atol=1e-5 * largest)
    assert "AgCH3S" in done.out
    assert "2 done, 1 failed" in done.out


def test_summary_names_first_band_and_strongest_cd(run, xyz):
    done = run("label", xyz("propylene_oxide"), "--emax", "10", "--orbitals", "stda-xtb")
    assert (done.code, done.err) == (0, "")
    spectrum = Spectrum.from_json("results/propylene_oxide.json")
    at = int(np.argmax(np.abs(spectrum.delta_epsilon)))
    sign = "+" if spectrum.delta_epsilon[at] > 0 else "-"
    assert f"{spectrum.wavelength_nm[at]:.0f} ({sign})" in done.out
    assert "C3H6O" in done.out


def test_json_is_all_that_stdout_gets(run, xyz):
    one, warned = xyz("agsch3"), xyz("h2o2", comment="no charge is given here")
    done = run("label", one, *QUICK, "--json")
    result = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert result["name"] == "agsch3"
    assert "states" not in result
    assert not Path("results").exists()
    done = run("label", one, warned, "missing.cif", *QUICK, "--json", "--states", "-o", "out")
    assert done.code == 1
    results = json.loads(done.out)
    assert [r["name"] for r in results] == ["agsch3", "h2o2"]
    assert results[0] == json.loads(Path("out/agsch3.json").read_text())
    assert results[0]["provenance"]["solver"] == "states"
    assert len(results[0]["states"]["energy_ev"]) > 0
    assert len(lines_of(done.err, "error")) == 1
    assert lines_of(done.err, "warning")[0].startswith("warning: ")
    assert run("label", "missing.cif", "--json").out == ""
    assert json.loads(run("label", "missing.cif", "gone.xyz", "--json").out) == []


def test_frames_of_one_file_get_results_of_their_own(run, xyz):
    trajectory = xyz("agsch3", "h2o2", "agh", to="path.xyz")
    done = run("label", trajectory, *QUICK, "--molden", "mo.molden", "-o", "out")
    assert done.code == 0, done.err
    assert sorted(p.name for p in Path("out").glob("*.json")) == ["path_1.json", "path_2.json", "path_3.json"]
    assert json.loads(Path("out/path_3.json").read_text())["formula"] == "AgH"
    assert sorted(p.name for p in Path().glob("mo*")) == ["mo_1.molden", "mo_2.molden", "mo_3.molden"]
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_options_reach_the_engine(run, xyz):
    Path("groups.json").write_text('{"silver": [1]}')
    done = run(
        *("label", xyz("agsch3"), "--json", "--charge", "0", "--mode", "reference", "--states", "--gauge", "length"),
        *(
            "--dtype",
            "float64",
            "--memory-gb",
            "2",
            "--threads",
            "1",
            "--groups",
            "groups.json",
            "--molden",
            "a.molden",
        ),
    )
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["spectrum"]["gauge"] == "length"
    assert result["spectrum"]["absorption_gauge"] == "length"
    assert (result["provenance"]["mode"], result["provenance"]["solver"]) == ("reference", "states")
    assert set(result["bands"][0]["hole"]) == {"silver", "other"}
    assert Path("a.molden").read_text().startswith("[Molden Format]")


def test_pictures_in_nm(run, xyz, figures):
    options = ("--orbitals", "stda-xtb", "--axis", "nm", "--range", "200:700")
    assert run("label", xyz("agsch3"), *options, "-o", "nm").code == 0
    assert Path("nm/agsch3.png").read_bytes().startswith(b"\x89PNG")
    assert {axes.get_xlim() for axes in figures[0].axes} == {(200.0, 700.0)}
    assert "wavelength / nm" in {axes.get_xlabel() for axes in figures[0].axes}
    done = run("label", xyz("agsch3"), "--range", "200:700", "-o", "ev")
    assert "--range 200:700 is in eV, and looks like nm (add --axis nm)" in done.err
    assert not Path("ev/agsch3.csv").exists()


@pytest.mark.parametrize(("orbitals", "method"), [("gfn1", "GFN1-xTB"), ("gfn1-pbe", "GFN1-PBE")])
def test_gfn_orbitals_with_solvent(run, xyz, orbitals, method):
    done = run("label", xyz("agsch3"), "--json", *QUICK, "--orbitals", orbitals, "--solvent", "methanol")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["method"], result["provenance"]["solvent"]) == (f"{method} linear response", "methanol")


def test_no_excitation_below_emax_is_a_warning(run, xyz):
    done = run("label", xyz("h2o2"), "--emax", "1", "--jcamp")
    assert done.code == 0
    assert "no excitation below 1 eV" in done.err
    assert not Spectrum.from_json("results/h2o2.json").epsilon.any()


BAD_TEXT = {
    "empty": ("", "empty"),
    "no-xyz": ("this is not a structure\nat all\n", "number of atoms"),
    "truncated": ("5\n\nAg 0 0 0\n", "truncated"),
    "unknown-element": ("2\n\nXx 0 0 0\nH 0 0 1\n", "Xx"),
    "no-parameters": ("2\n\nPu 0 0 0\nO 0 0 1.8\n", "Pu"),
    "close": ("3\n\nO 0 0 0\nH 0 0 0.3\nH 0 0.9 0\n", "0.300 A apart"),
    "odd": ("2\ncharge=0\nO 0 0 0\nH 0 0 0.97\n", "odd number"),
    "several": ("4\n\nH 0 0 0\nH 0 0 0.74\nH 0 0 9\nH 0 0 9.74\n", "separate molecules"),
    "nan": ("2\n\nH 0 0 nan\nH 0 0 0.74\n", "not finite"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_files_give_one_line_each(run, case):
    text, expected = BAD_TEXT[case]
    Path("bad.xyz").write_text(text)
    done = run("label", "bad.xyz")
    assert done.code == 1
    (line,) = lines_of(done.err, "error")
    assert line.startswith("error: bad.xyz: ")
    assert expected in line
    assert line.endswith(")"), "a remedy is given"
    assert not lines_of(done.err.replace(line, ""), "error")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--orbitals", "stda-xtb", "--memory-gb", "0.001"], "0.001 GB"),
        (["--memory-gb", "0.0001"], "memory_gb"),
        (["--emax", "100"], "emax_ev"),
        (["--fwhm", "0"], "fwhm_ev"),
        (["--device", "abacus"], "device"),
        (["--orbitals", "stda-xtb", "--solvent", "methanol"], "solvent"),
        (["--orbitals", "gfn1", "--solvent", "soup"], "soup"),
        (["--orbitals", "gfn1", "--mode", "reference"], "reference"),
        (["--charge", "1"], "odd number"),
        (["--jobs", "0"], "jobs"),
        (["--threads", "0"], "threads"),
        (["--groups", "missing.json"], "missing.json"),
        (["--molden", "no/folder/a.molden"], "no/folder/a.molden"),
        (["-o", "ag2_tfa2.xyz"], "ag2_tfa2.xyz"),
        (["-o", "ag2_tfa2.xyz/deeper"], "ag2_tfa2.xyz/deeper"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_options_give_one_line(run, xyz, arguments, expected):
    done = run("label", xyz("ag2_tfa2"), *arguments)
    # what is wrong with a file, a charge or the memory of this computer is no wrong option
    others = {"--charge", "--groups", "--molden", "-o", "0.001"}
    assert done.code == (1 if others & set(arguments) else 2)
    assert expected in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_an_option_wrong_for_all_is_said_once(run, xyz):
    done = run("label", xyz("h2o2"), xyz("agh"), "--orbitals", "stda-xtb", "--solvent", "methanol")
    assert done.code == 2
    assert done.err.count("\n") == 1


def test_unreadable_folder_and_foreign_file(run):
    Path("nothing").mkdir()
    Path("a.pdb").write_text("ATOM\n")
    Path("b.cif").write_bytes(b"\0\1\2")
    done = run("label", "nothing", "a.pdb", "b.cif")
    assert done.code == 1
    assert [line.split(": ")[1] for line in lines_of(done.err, "error")] == ["nothing", "a.pdb", "b.cif"]


def test_an_element_without_parameters_names_a_way_out(run):
    Path("he.xyz").write_text("1\n\nHe 0 0 0\n")
    done = run("label", "he.xyz", "--charge", "0", "--orbitals", "stda-xtb")
    assert done.code == 1
    assert done.err.startswith("error: he.xyz: element 'He' has no sTDA-xTB parameters (")
    assert done.err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="file names elsewhere must be text")
def test_a_file_name_that_is_no_text(run, xyz):
    path = os.fsencode(xyz("agh")).replace(b"agh", b"ag\xff")
    os.rename("agh.xyz", path)
    done = run("label", os.fsdecode(path), os.fsdecode(b"gone\xff.xyz"), *QUICK, "-o", "out", "--jcamp")
    assert done.code == 1
    assert done.err.startswith("error: gone")
    assert len([path for path in Path("out").iterdir() if path.name != "clusterml.log"]) == 4


def test_several_molecules_on_request(run):
    water = "O 0 0 {0}\nH 0.76 0 {1}\nH -0.76 0 {1}\n"
    Path("pair.xyz").write_text("6\n\n" + water.format(0, 0.59) + water.format(6, 6.59))
    assert "2 separate molecules" in run("label", "pair.xyz", "--charge", "0").err
    assert run("label", "pair.xyz", "--allow-several", "--charge", "0").code == 0


def test_debug_adds_the_traceback_of_a_failure(run):
    Path("bad.xyz").write_text("")
    done = run("--debug", "label", "bad.xyz")
    assert done.code == 1
    assert "Traceback" in done.err


MANY = 400
"""Structures of a batch that is to be interrupted."""


def start_batch(xyz, folder: Path) -> subprocess.Popen[str]:
    """A batch of many structures in two processes, once it has written three results: it must not end by itself."""
    for number in range(MANY):
        xyz("agsch3", to=f"in/copy{number:03d}.xyz")
    command = [*SCRIPT, "label", "in", "-o", "out", "--jobs", "2", "--threads", "1", "--jcamp", *QUICK]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # a shell starts what it puts in the background with Ctrl-C ignored, and children inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    batch = subprocess.Popen(command, cwd=folder, start_new_session=True, **pipes)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while len(list((folder / "out").glob("*.json"))) < 3 and time.monotonic() < deadline and batch.poll() is None:
        time.sleep(0.02)
    return batch


@pytest.mark.slow
def test_kill_9_leaves_no_half_written_file_and_no_process(xyz, tmp_path):
    batch = start_batch(xyz, tmp_path)
    children = psutil.Process(batch.pid).children(recursive=True)
    batch.kill()
    batch.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert len(children) >= 2
    assert alive == []
    out = tmp_path / "out"
    written = [p for p in out.iterdir() if not p.name.startswith(".")]
    results = [p for p in written if p.suffix == ".json"]
    assert 3 <= len(results) < MANY
    for path in results:
        assert json.loads(path.read_text())["formula"] == "AgCH3S"
        assert path.with_suffix(".png").read_bytes().endswith(b"IEND\xaeB`\x82")
        assert len(Spectrum.from_csv(path.with_suffix(".csv"))) == len(Spectrum.from_json(path))
        assert path.with_suffix(".jdx").read_text().endswith("##END=\n")


@pytest.mark.parametrize(
    "sent",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interrupted_batch_ends_at_once_and_says_what_is_kept(xyz, tmp_path, sent):
    batch = start_batch(xyz, tmp_path)
    children = psutil.Process(batch.pid).children(recursive=True)
    os.killpg(batch.pid, sent)  # as a terminal or a batch system does: to all processes
    _, err = batch.communicate(timeout=30)
    assert batch.returncode == 130, err
    assert [line for line in err.splitlines() if "label" not in line] == [
        "interrupted: finished structures are in out; go on with the same command and --resume"
    ]
    assert psutil.wait_procs(children, timeout=30)[1] == []
    assert len(list((tmp_path / "out").glob("*.json"))) < MANY


def test_an_ensemble_gives_the_spread_of_the_spectrum(run, xyz, tmp_path):
    path = xyz("agsch3")
    result = run("label", path, "--orbitals", "stda-xtb", "--ensemble", 2, "--temperature", 100, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "out" / f"{path.stem}.json").read_text())
    assert max(found["spectrum"]["epsilon_std"]) > 0.0
    assert found["provenance"]["ensemble"]["temperature_k"] == 100.0
    assert run("label", path, "--ensemble", 1).code == 2


def test_orbitals_that_do_not_exist_are_named_before_anything_is_read(run):
    done = run("label", "missing.xyz", "--orbitals", "b3lyp")
    assert done.code != 0
    assert "orbitals is 'b3lyp', not cp2k, dft, gfn1, gfn1-pbe, gfn2, molden or stda-xtb" in done.err
    assert "missing.xyz" not in done.err


MOLDEN = Path(__file__).resolve().parents[1] / "data" / "molden" / "agsh_cp2k.molden"


def test_molden_files_are_labelled_with_their_own_orbitals(run, xyz, tmp_path):
    done = run("label", MOLDEN, xyz("agh"), "--emax", 4, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    of_file = json.loads((tmp_path / "out" / "agsh_cp2k.json").read_text())
    assert of_file["method"] == "Molden linear response"
    assert of_file["charge_from"] == "file"
    assert "without Fock exchange" in done.err
    done = run("label", MOLDEN, "--xc", "pbe0", "--emax", 4, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "out" / "agsh_cp2k.json").read_text())["method"] == "Molden sTDA"
    assert "without Fock exchange" not in done.err
    assert json.loads((tmp_path / "out" / "agh.json").read_text())["method"] == "GFN1-PBE linear response"


def test_the_geometry_of_a_molden_file_takes_other_orbitals_too(run, tmp_path):
    done = run("label", MOLDEN, "--orbitals", "gfn1", "--emax", 3, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "out" / "agsh_cp2k.json").read_text())["method"] == "GFN1-xTB linear response"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--ax", "0.2", "--orbitals", "gfn1"], 2, "--ax has no effect without a Molden file"),
        (["--ax", "1.2"], 2, "ax is 1.2 (give a number between 0 and 1)"),
        (["--solvent", "water"], 2, "solvent 'water' has no effect on molden orbitals"),
        (["--charge", "1"], 1, "odd number"),
        (["--charge", "4"], 1, "does not fit 18 electrons"),
    ],
)
def test_what_does_not_go_with_a_molden_file_is_refused(run, tmp_path, options, code, message):
    done = run("label", MOLDEN, *options, "--emax", 3, "-o", tmp_path / "out")
    assert done.code == code
    assert message in done.err


def test_consensus_prints_verdicts_and_writes_them(run, xyz):
    done = run("label", xyz("S-chfclbr"), "--consensus", "gfn1,gfn1:methanol", *QUICK, "--emax", "9")
    assert done.code == 0
    content = json.loads(Path("results/S-chfclbr.json").read_text())
    bands = content["consensus"]["cd_bands"]
    assert f"signs of {len(bands)} CD bands: " in done.out
    assert "gfn1-in-methanol" in done.out
    assert [part["name"] for part in content["consensus"]["protocols"]] == ["gfn1", "gfn1-in-methanol"]


def test_consensus_takes_the_place_of_other_choices(run, xyz):
    done = run("label", xyz("agsch3"), "--consensus", "gfn1,stda-xtb", "--solvent", "water")
    assert done.code == 2
    assert "--solvent has no effect with --consensus" in done.err
    done = run("label", xyz("agsch3"), "--consensus", "gfn1")
    assert done.code == 2
    assert "two or more" in done.err


def test_kohn_sham_orbitals_keep_a_checkpoint_beside_the_results(run, xyz):
    """Its file is taken up by the next label of the same structure; the cost is said before it begins."""
    choices = "--orbitals dft --xc svwn --basis STO-3G --emax 12 -o out"
    command = ("label", xyz("h2o2"), *choices.split())
    first, second = run(*command), run(*command)
    assert (first.code, second.code) == (0, 0)
    assert any("12 atomic functions: about" in line for line in first.progress)
    (file,) = Path("out/checkpoints").iterdir()
    assert file.name.startswith("H2O2-")
    result = json.loads(Path("out/h2o2.json").read_text())
    assert (result["method"], result["warnings"]) == ("SVWN/sto-3g linear response", [])
    unknown = run("label", xyz("h2o2"), "--orbitals", "dft", "--basis", "def2-sv", "--json")
    assert unknown.code == 2
    assert "the basis 'def2-sv' is not known (did you mean 'def2-svp'?)" in unknown.err
    assert run("label", xyz("h2o2"), "--orbitals", "dft", "--basis", "sto-3g", "--json").code == 0
    assert not Path("results").exists()
