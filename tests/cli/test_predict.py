"""The predict, models and evaluate verbs end to end, with a network of random weights."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clusterml.batch.predict import FileOptions
from clusterml.batch.structures import Outcome
from clusterml.inference.predictor import Predictor
from clusterml.io.shipped import QUICK_MODEL
from clusterml.spectrum.spectrum import Spectrum
from helpers import random_release

NETWORK = ("--engine", "never")


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return random_release(tmp_path_factory.mktemp("models") / "tiny", 2, data={"name": "made-up", "train": 7})


def test_files_of_several_kinds_and_a_bad_one(run, xyz, cif, model):
    good, crystal = xyz("agsch3"), cif("agsch3")
    Path("bad.xyz").write_text("2\n\nAg 0 0 0\n")
    done = run("predict", good, "bad.xyz", crystal, "--model", model, *NETWORK, "--jcamp", "-o", "out/deep")
    assert done.code == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: bad.xyz: ")
    assert line.endswith(")")
    names = sorted(p.name for p in Path("out/deep").iterdir())
    assert names == [
        *(f"agsch3_{e}.{k}" for e in ("cif", "xyz") for k in ("csv", "jdx", "json", "png")),
        "clusterml.log",
    ]
    result = json.loads(Path("out/deep/agsch3_xyz.json").read_text())
    assert (result["method"], result["formula"], result["charge"]) == ("tiny", "AgCH3S", 0)
    assert set(result["chirality"]) == {"opd_local_frame", "ccm_frame"}
    assert max(result["spectrum"]["epsilon_std"]) > 0.0
    assert result["provenance"]["members"] == 2
    assert Spectrum.from_json("out/deep/agsch3_xyz.json").delta_epsilon_std is not None
    assert len(Spectrum.from_csv("out/deep/agsch3_xyz.csv")) == 241
    assert "2 done, 1 failed; results in out/deep" in done.out


def test_finished_structures_are_left_out_with_resume(run, xyz, model):
    files, common = (xyz("agsch3"), xyz("agh")), ("--model", model, *NETWORK, "-o", "out", "--resume")
    assert run("predict", files[0], *common).code == 0
    first = Path("out/agsch3.json")
    made = first.stat().st_mtime_ns, len(json.loads(first.read_text())["digest"])
    done = run("predict", *files, *common)
    assert "1 done, 1 left out, whose results were there, 0 failed; results in out" in done.out
    assert (first.stat().st_mtime_ns, 64) == made
    assert [one["name"] for one in json.loads(run("predict", *files, *common, "--json").out)] == ["agsch3", "agh"]
    assert "2 done, 0 failed" in run("predict", *files, *common, "--fwhm", "0.3").out
    assert run("predict", *files, "--json", "--resume").code == 2


def test_a_network_that_was_calibrated_anew_makes_other_results():
    predictor = Predictor.load(QUICK_MODEL, "cpu")
    before = json.dumps(FileOptions().settings(predictor))
    assert json.dumps(FileOptions().settings(predictor)) == before
    predictor.uncertainty = replace(predictor.uncertainty, sign_error=9.0)
    assert json.dumps(FileOptions().settings(predictor)) != before


def test_width_and_picture(run, xyz, model):
    name, common = xyz("agsch3"), ("--model", model, *NETWORK)
    assert run("predict", name, *common, "--fwhm", "0.4", "--axis", "nm", "--range", "300:700", "-o", "nm").code == 0
    assert json.loads(Path("nm/agsch3.json").read_text())["spectrum"]["fwhm_ev"] == 0.4
    assert run("predict", name, *common, "-o", "ev").code == 0
    assert Path("nm/agsch3.png").read_bytes() != Path("ev/agsch3.png").read_bytes()
    for options, says in (
        (("--fwhm", "0.1"), "below that of the network tiny, 0.2 eV"),
        (("--range", "300:700"), "--range 300:700 is in eV, and looks like nm (add --axis nm)"),
        (("--range", "6:7"), "the range 6:7 eV holds no part of a spectrum from 0.5 to 5.3 eV"),
        (("--range", "seven"), "--range is 'seven'"),
        (("--axis", "nm", "--json"), "with no --output --axis would change nothing"),
    ):
        done = run("predict", name, *common, *options)
        assert done.code == 2
        assert says in done.err


def test_json_is_all_that_stdout_gets(run, xyz, model):
    done = run("predict", xyz("agsch3"), "--model", model, *NETWORK, "--json")
    assert done.code == 0
    assert json.loads(done.out)["name"] == "agsch3"
    assert not Path("results").exists()
    done = run("predict", xyz("agsch3"), xyz("h2o2"), "gone.xyz", "--model", model, *NETWORK, "--json", "--charge", "0")
    assert done.code == 1
    assert [one["name"] for one in json.loads(done.out)] == ["agsch3", "h2o2"]


def test_a_thermal_spectrum(run, xyz, model):
    done = run(
        "predict", xyz("agsch3"), "--model", model, *NETWORK, "--json", "--ensemble", "2", "--temperature", "200"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["provenance"]["ensemble"]["temperature_k"] == 200.0


def test_frames_and_charges(run, xyz, model):
    done = run("predict", xyz("agsch3", "agh", to="path.xyz"), "--model", model, *NETWORK)
    assert done.code == 0, done.err
    assert sorted(p.name for p in Path("results").glob("*.json")) == ["path_1.json", "path_2.json"]
    done = run("predict", xyz("agh"), "--model", model, "--charge", "1")
    assert done.code == 1
    assert "odd number" in done.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "nothing"], "no checkpoint 'nothing'"),
        (["--device", "abacus"], "abacus"),
        (["--threads", "0"], "threads"),
        (["--ensemble", "1"], "ensemble is 1"),
        (["-o", "agh.xyz"], "agh.xyz"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_options_give_one_line(run, xyz, model, arguments, expected):
    given = arguments if "--model" in arguments else [*arguments, "--model", str(model)]
    done = run("predict", xyz("agh"), *given)
    assert done.code == (1 if arguments[0] in ("--model", "-o") else 2)
    assert expected in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_a_structure_that_breaks_the_network_costs_only_itself(run, xyz, model, monkeypatch):
    from clusterml.inference.ensemble import Ensemble

    original = Ensemble.__call__

    def fragile(self, graphs):
        if any(graph.num_nodes == 4 for graph in graphs):
            raise RuntimeError("no convergence")
        return original(self, graphs)

    monkeypatch.setattr(Ensemble, "__call__", fragile)
    done = run("predict", xyz("agsch3"), xyz("h2o2"), xyz("agh"), "--model", model, *NETWORK)
    assert done.code == 1
    assert "h2o2.xyz: unexpected RuntimeError: no convergence" in done.err
    assert sorted(p.stem for p in Path("results").glob("*.json")) == ["agh", "agsch3"]


def test_models_lists_and_shows(run, model, monkeypatch):
    monkeypatch.setenv("CLUSTERML_CHECKPOINTS", str(model.parent))
    done = run("models")
    assert done.code == 0
    assert "tiny" in done.out
    assert "made-up" in done.out
    assert run("models", "tiny").out.startswith("# A card")
    row = json.loads(run("models", "tiny", "--json").out)
    assert (row["members"], row["records"], row["head"]) == (2, 7, "resolvent")
    assert any(one["name"] == "tiny" for one in json.loads(run("models", "--json").out))
    assert "no checkpoint 'other'" in run("models", "other").err


def test_a_damaged_checkpoint_is_reported(run, tmp_path, monkeypatch):
    folder = tmp_path / "all" / "broken"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text("{}")
    monkeypatch.setenv("CLUSTERML_CHECKPOINTS", str(tmp_path / "all"))
    done = run("models", "--json")
    assert done.code == 1
    assert "broken" in done.err
    json.loads(done.out)


def test_the_engine_computes_what_is_asked_for(run, xyz, model, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    done = run("predict", xyz("h2o2"), "--model", model, "--engine", "always", "-o", "out")
    assert done.code == 0, done.err
    result = json.loads(Path("out/h2o2.json").read_text())
    assert (result["computed_by"], result["reason"], result["method"]) == (
        "engine", "asked for", "GFN1-PBE linear response",
    )  # fmt: skip
    assert result["network"]["model"] == "tiny"
    assert len(result["network"]["spectrum"]["delta_epsilon"]) == len(result["spectrum"]["delta_epsilon"]) == 241
    assert result["agreement"]["note"] == result["reliability"]["sentence"]
    spectrum = Spectrum.from_csv("out/h2o2.csv")
    assert Path("out/h2o2.csv").read_text().splitlines()[1].endswith(",engine")
    assert len(spectrum) == 241
    assert "h2o2: by the engine, asked for" in done.out
    assert done.progress[1].startswith("predict: 0 of 1; h2o2: engine, 4 atoms, about 1 s and 0.4 GB: asked for")
    again = run("predict", xyz("h2o2"), "--model", model, "--engine", "always", "--engine-limit", "0")
    assert again.code == 0
    assert "raise --engine-limit" in again.err
    assert json.loads(Path("results/h2o2.json").read_text())["computed_by"] == "network"


def test_what_the_network_cannot_take_in_is_the_engines(run, xyz, model):
    Path("h2.xyz").write_text("2\ncharge=0\nH 0 0 0\nH 0 0 0.74\n")
    never = run("predict", "h2.xyz", "--model", model, *NETWORK)
    assert never.code == 1
    assert "out of the domain of tiny" in never.err
    done = run("predict", "h2.xyz", "--model", model, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["computed_by"], result["network"]) == ("engine", None)
    assert result["reason"].startswith("out of the domain of tiny")


def test_a_file_that_is_not_there_loads_no_model(run, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("clusterml.inference.predictor.Predictor.load", never)
    done = run("predict", "nothere.xyz", "also.xyz")
    assert done.code == 1
    assert done.err.count("there is no such file") == 2


def test_a_structure_of_too_many_atoms_is_refused(run, model):
    rows = "".join(f"Ag {2.8 * (i % 20):.1f} {2.8 * (i // 20 % 20):.1f} {2.8 * (i // 400):.1f}\n" for i in range(5001))
    Path("big.xyz").write_text(f"5001\ncharge=1\n{rows}")
    done = run("predict", "big.xyz", "--model", model)
    assert done.code == 1
    assert done.err == "error: big.xyz: 5001 atoms, and at most 5000 can be computed (cut one cluster out of it)\n"


def test_inspect_predict_and_label_tell_the_same_charge(run, xyz, model):
    """A tetrahedron of silver with two hydrides: neutral or 2+, for a ground state to decide."""
    edge = 2.75 / 8**0.5
    metals = [(edge * x, edge * y, edge * z) for x, y, z in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    hydrides = [tuple(1.96 * value for value in metals[k]) for k in (0, 1)]
    rows = [*(("Ag", *m) for m in metals), *(("H", *h) for h in hydrides)]
    Path("core.xyz").write_text("6\n\n" + "".join(f"{s} {x:.6f} {y:.6f} {z:.6f}\n" for s, x, y, z in rows))
    results = []
    for verb, *options in (("inspect",), ("predict", "--model", model), ("label", "--emax", "3")):
        done = run(verb, "core.xyz", "--json", *options)
        assert done.code == 0, done.err
        results.append({key: value for key, value in json.loads(done.out).items() if key.startswith("charge")})
    assert results[0] == results[1] == results[2]
    assert (results[0]["charge"], results[0]["charge_from"]) == (0, "superatom shells")
    assert [c["charge"] for c in results[0]["charge_candidates"]][:2] == [0, 2]
    assert [w["source"] for w in results[0]["charge_witnesses"]] == ["superatom count", "ground state"]


UNUSED = ("e3nn", "sympy", "torch._dynamo", "sklearn", "pyscf", "tblite", "h5py", "scipy")
UNUSED += ("requests", "pandas", "scipy.interpolate")
USED = {"ag-quick-v1": set(), "ag-response-v1": {"pyscf", "h5py", "scipy"}}
"""Integrals are libcint's, which pyscf brings, and that loads the others."""


@pytest.mark.parametrize("shipped", ["ag-response-v1", pytest.param("ag-quick-v1", marks=pytest.mark.slow)])
def test_a_prediction_loads_nothing_that_it_does_not_use(xyz, tmp_path, shipped):
    """Every one of these costs a second or a good part of one."""
    words = ["predict", str(xyz("agsch3")), "--engine", "never", "-o", "results", "--model", shipped]
    code = (
        "import sys\nfrom clusterml.cli.main import main\n"
        f"try:\n    main({words!r})\n"
        "except SystemExit as end:\n    print(end.code)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] in ("0", "None")
    loaded = set(done.stderr.split())
    assert {"torch", "matplotlib.figure"} <= loaded
    assert set(UNUSED) & loaded == USED[shipped]


def test_equal_notes_are_said_once_with_the_names(capsys):
    from clusterml.cli.report import _print_summary

    def made(name, worth, supported, reason=""):
        source = "engine" if reason else "network"
        common = {"computed_by": source, "reason": reason, "worth": worth, "supported": supported}
        return Outcome(f"{name}.xyz", name, "Ag", 0, 400.0, 300.0, 5.0, 1.0, (), **common)

    done = [
        made("a", "CD: x (superatom)", "0 of 9 bands", "asked for"),
        made("b", "CD: x (silver(I) complex)", "1 of 2 bands", "asked for"),
        made("c", "CD: x (superatom)", "2 of 3 bands"),
        made("d", "CD: the error is not known", ""),
        made("e", "CD: the error is not known", ""),
    ]
    _print_summary(done, 0, 0, None, "")
    lines = [
        line for line in capsys.readouterr().out.splitlines() if "CD:" in line or "engine, " in line or "  a 0" in line
    ]
    assert lines == [
        "a, b: by the engine, asked for",
        "CD: x (superatom); signs supported by DFT (to 95 %):",
        "  a 0 of 9 bands, c 2 of 3 bands",
        "b: CD: x (silver(I) complex); signs supported by DFT (to 95 %): 1 of 2 bands",
        "d, e: CD: the error is not known",
    ]
