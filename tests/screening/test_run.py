"""Whole screens with a small network: results folder, resumption after a real kill, workers, verification, errors."""

from __future__ import annotations

import csv
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms

from clusterml.engine.orbitals.source import OrbitalSource
from clusterml.engine.protocol import Protocol
from clusterml.errors import (
    ClusterMLError,
    ElectronicStructureError,
    FolderInUseError,
    InputFileError,
    OptionError,
    OutputError,
    ScreeningError,
    SpectrumError,
    StructureError,
)
from clusterml.inference.predictor import Predictor
from clusterml.io.files import exclusive
from clusterml.io.log import Log
from clusterml.run.launcher import Lost, Processes
from clusterml.run.progress import Reporter
from clusterml.run.resources import Cache
from clusterml.screening.bench import LABEL, MEASURE, PREDICTION, BlockTask, bench_of
from clusterml.screening.config import load_screen
from clusterml.screening.design.run import design
from clusterml.screening.labels import CandidateLabel, LabelTask, label_candidate
from clusterml.screening.measures.measure import Value
from clusterml.screening.messages import describe_screen
from clusterml.screening.run import screen, setting_of
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.build.build import build
from clusterml.structure.distort.apply import distort
from clusterml.structure.read import read_all as frames_of
from clusterml.structure.write import write_extxyz
from helpers import Heard

SMALL = Path(__file__).parents[2] / "configs" / "screen" / "small.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, checkpoint):
    return screen(SMALL, tmp_path_factory.mktemp("small") / "out", model=checkpoint)


def read_all(path: Path) -> list[Atoms]:
    return list(frames_of(path))


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "ranked.csv").open() as handle:
        return list(csv.DictReader(handle))


def log_of(folder: Path) -> dict[int, list]:
    """Rows by number."""
    return {row[0]: row for entry in Log(folder / "results.jsonl") for row in entry["rows"]}


def assert_same(one: Path, other: Path) -> None:
    """The same candidates with the same values (to rounding: batches may differ) and the same order."""
    a, b = log_of(one), log_of(other)
    assert a.keys() == b.keys()
    left, right = (np.array([[v for v, _ in rows[number][2]] for number in sorted(a)]) for rows in (a, b))
    rounding = 1e-6 + 2e-5 * np.abs(left).max(axis=0)  # of single precision, where a value is a small difference
    assert (np.abs(left - right) <= rounding + 2e-3 * np.abs(left)).all()
    assert [r["name"] for r in table(one)][:1] == [r["name"] for r in table(other)][:1]


def test_the_folder_holds_what_the_contract_says(finished):
    folder = finished.folder
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["counts"] == {
        "candidates": 84, "evaluated": 84, "valid": 84, "feasible": run["counts"]["feasible"], "out_of_domain": 0,
        "small_gap": sum(float(row["gap_ev"]) < 0.05 for row in table(folder)), "dropped": {}, "lost": {},
        "refused_parents": {},
    }  # fmt: skip
    assert [line["name"] for line in run["lines"]] == ["max_g", "strain", "absorption_change"]
    assert len(run["provenance"]["model_sha256"]) == 64
    assert run["rate_per_s"] > 0.0
    rows = table(folder)
    assert len(rows) == 84
    assert [int(r["rank"]) for r in rows] == list(range(1, 85))
    scores = [float(r["score"]) for r in rows if r["feasible"] == "yes"]
    assert scores == sorted(scores, reverse=True)
    for r in rows[:10]:
        assert float(r["score"]) == pytest.approx(float(r["max_g"]) / 1e-3 - float(r["strain"]), rel=1e-5)
        assert float(r["max_g_std"]) > 0.0
        assert r["strain_std"] == ""
    assert {r["on_front"] for r in rows} == {"yes", "no"}
    assert json.loads(rows[0]["recipe"])["parent"] in ("ag2", "ag3", "ag4")


def test_the_best_have_geometry_and_spectrum(finished):
    folder = finished.folder
    structures = read_all(folder / "top.extxyz")
    shown = [atoms.info["provenance"]["screening"] for atoms in structures]
    assert [each["rank"] for each in shown[:5]] == [1, 2, 3, 4, 5]
    front = {r["name"] for r in table(folder) if r["on_front"] == "yes"}
    assert len(structures) == len(front | {r["name"] for r in table(folder)[:5]})
    best = table(folder)[0]
    spectrum = Spectrum.from_json(folder / "spectra" / f"{best['name']}.json")
    seen = (spectrum.energy_ev >= 3.0 - 1e-9) & (spectrum.energy_ev <= 5.0 + 1e-9)
    assert np.nanmax(np.abs(spectrum.g_factor(0.02)[seen])) == pytest.approx(float(best["max_g"]), rel=1e-2)
    assert spectrum.delta_epsilon_std is not None
    variants = {name.rpartition("-")[0] for name in front | {r["name"] for r in table(folder)[:5]}}
    assert {path.stem for path in (folder / "spectra").glob("parent_*")} == {f"parent_{name}" for name in variants}
    assert structures[0].info["provenance"]["recipe"]["number"] == int(best["number"])


def test_the_best_and_a_random_sample_are_verified(finished):
    verified = json.loads((finished.folder / "verified.json").read_text())
    rows = table(finished.folder)
    assert [each["name"] for each in verified["best"]] == [r["name"] for r in rows[:3]]
    assert len(verified["random"]) == 6
    assert len({each["number"] for each in verified["random"]}) == 6
    assert verified["failed"] == 0
    one = verified["best"][0]
    label = Spectrum.from_json(finished.folder / "verified" / f"{one['name']}.json")
    seen = (label.energy_ev >= 3.0 - 1e-9) & (label.energy_ev <= 5.0 + 1e-9)
    assert one["verified"]["max_g"] == pytest.approx(float(np.nanmax(np.abs(label.g_factor(0.02)[seen]))), rel=1e-6)
    assert one["verified"]["strain"] == pytest.approx(one["predicted"]["strain"], rel=1e-9)
    assert one["verified"]["absorption_change"] != one["predicted"]["absorption_change"]
    assert label.meta["fwhm_ev"] == pytest.approx(0.2)
    statistics = verified["statistics"]
    assert statistics["score"]["random"]["count"] == 6
    pairs = [(e["predicted"]["max_g"], e["verified"]["max_g"]) for e in verified["random"]]
    mean = np.mean([abs(a - b) for a, b in pairs])
    assert statistics["lines"]["max_g"]["random"]["mean_absolute_error"] == pytest.approx(mean)
    kept = {part: sum(not entry["violated"] for entry in verified[part]) for part in ("best", "random")}
    assert statistics["hits"]["feasible"] == kept
    assert (statistics["hits"]["enrichment"] is None) == (kept["random"] < 5)
    run = json.loads((finished.folder / "run.json").read_text())
    took = run["verification"]
    assert took["label_everything_s"] == pytest.approx(84 * verified["seconds_per_label"])
    assert took["screen_s"] == pytest.approx(sum(run["timings_s"].values()), abs=0.01)


@pytest.mark.slow
def test_workers_give_the_same(finished, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    again = screen(load_screen(SMALL).model_copy(update={"verify": 0, "verify_random": 0}), tmp_path / "o",
                   model=checkpoint, launcher=Processes(2))  # fmt: skip
    assert again.verification is None
    assert_same(finished.folder, again.folder)


@pytest.mark.slow
def test_a_killed_screen_goes_on_where_it_was(finished, checkpoint, tmp_path):
    """SIGKILL in the middle of the candidates, and again in the middle of the labels."""
    folder = tmp_path / "o"
    command = [sys.executable, "-c", "from clusterml.cli.main import main; main()", "screen", str(SMALL), "-o",
               str(folder), "--model", str(checkpoint), "--resume"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def killed_when(path: Path, lines: int) -> int:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 120.0
        while not path.exists() or path.read_bytes().count(b"\n") < lines:
            assert process.poll() is None, "it ended too soon"
            assert time.monotonic() < end
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return path.read_bytes().count(b"\n")

    reached = killed_when(folder / "results.jsonl", 3)
    assert reached < 11
    before = (folder / "results.jsonl").read_bytes()
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    labelled = killed_when(folder / "verified.jsonl", 2)
    assert labelled < 9
    assert (folder / "results.jsonl").read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    entries = [entry["block"] for entry in Log(folder / "results.jsonl")]
    assert sorted(entries) == list(range(11))
    assert (folder / "verified.jsonl").read_bytes().count(b"\n") == 9
    run = json.loads((folder / "run.json").read_text())
    assert (run["status"], len(run["sessions"])) == ("finished", 3)
    assert_same(finished.folder, folder)


def test_a_folder_belongs_to_one_screen(make_screen, checkpoint, single, tmp_path):
    first = make_screen()
    screen(first, tmp_path, model=checkpoint)
    with pytest.raises(ScreeningError, match="--resume"):
        screen(first, tmp_path, model=checkpoint)
    before = (tmp_path / "results.jsonl").read_bytes()
    with pytest.raises(ScreeningError, match=r"a file of it has changed: seed \(choose"):
        screen(make_screen(seed=4), tmp_path, model=checkpoint, resume=True)
    with pytest.raises(ScreeningError, match="another screen or model, or a file of it has changed: model has changed"):
        screen(first, tmp_path, model=single, resume=True)
    grown = screen(make_screen(top=5, title="more"), tmp_path, model=checkpoint, resume=True)
    assert len(read_all(grown.folder / "top.extxyz")) == 5
    assert (tmp_path / "results.jsonl").read_bytes() == before
    (tmp_path / "run.json").unlink()
    with pytest.raises(ScreeningError, match=r"run\.json is gone"):
        screen(first, tmp_path, model=checkpoint, resume=True)


def shaken(count: int):
    """A user's own generator."""
    rest = build("ag3", thiolate="SH")
    rng = np.random.default_rng(8)
    for number in range(count):
        atoms = rest.copy()
        atoms.positions += 0.03 * rng.standard_normal(atoms.positions.shape)
        atoms.info["name"] = f"shake/{number}"
        if number == 3:
            atoms.positions[1] = atoms.positions[0]
        yield atoms


OWN = {"parents": {}, "distortions": [], "objectives": [{"cd_at": "4 eV", "goal": "magnitude"}, {"strain": "elastic"}]}


def test_any_iterable_of_structures_can_be_screened(make_screen, checkpoint, tmp_path):
    mine = make_screen(**OWN, constraints=[{"absorption_within": "90 %"}], verify=1)
    done = screen(mine, tmp_path / "o", model=checkpoint, candidates=shaken(10), reference=build("ag3", thiolate="SH"))
    assert (done.board.evaluated, done.board.valid) == (10, 9)
    assert "shake_2-" in str(done.board.ranked)
    assert "shake_3-" not in str(done.board.ranked)
    best = read_all(tmp_path / "o" / "top.extxyz")[0]
    assert best.info["provenance"]["title"].startswith("shake_")
    assert json.loads((tmp_path / "o" / "verified.json").read_text())["best"][0]["verified"]["strain"] > 0.0
    assert json.loads(table(tmp_path / "o")[0]["recipe"])["name"].startswith("shake/")


def test_a_generator_that_breaks_loses_nothing(make_screen, checkpoint, tmp_path):
    mine, rest = make_screen(**OWN), build("ag3", thiolate="SH")

    def broken():
        yield from list(shaken(8))
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError):
        screen(mine, tmp_path, model=checkpoint, candidates=broken(), reference=rest)
    assert len(log_of(tmp_path)) == 7
    before = (tmp_path / "results.jsonl").read_bytes()
    done = screen(mine, tmp_path, model=checkpoint, candidates=shaken(10), reference=rest, resume=True)
    assert (tmp_path / "results.jsonl").read_bytes().startswith(before)
    assert done.board.valid == 9
    assert len(read_all(tmp_path / "top.extxyz")) >= 3


def test_candidates_that_are_others_on_resume_are_refused(make_screen, checkpoint, tmp_path):
    mine, rest = make_screen(**OWN), build("ag3", thiolate="SH")
    screen(mine, tmp_path, model=checkpoint, candidates=shaken(6), reference=rest)

    def again(candidates):
        return screen(mine, tmp_path, model=checkpoint, candidates=candidates, reference=rest, resume=True)

    assert again(shaken(6)).run.evaluated_now == 0
    for others in (reversed(list(shaken(6))), shaken(7)):
        with pytest.raises(ScreeningError, match="are not those that were screened before"):
            again(others)
    with pytest.raises(ScreeningError, match="there are 4 candidates, fewer than were screened"):
        again(shaken(4))


def test_a_prediction_that_is_no_spectrum_costs_one_candidate(make_screen, checkpoint, tmp_path, monkeypatch):
    from clusterml.inference.predictor import Predictor

    predict = Predictor.predict

    def broken(self, prepared):
        if any(structure.atoms.info["name"] == "ag3-0000002" for structure in prepared):
            raise SpectrumError("delta_epsilon holds values that are not finite")
        return predict(self, prepared)

    monkeypatch.setattr(Predictor, "predict", broken)
    block = bench_of(setting_of(make_screen(), tmp_path, checkpoint, "cpu", None)[0]).evaluate(BlockTask(0, 0, 9))
    assert [row.number for row in block.rows] == [0, 1, 3, 4, 5, 6, 7, 8]
    assert block.rejections.examples == {PREDICTION: "ag3-0000002: delta_epsilon holds values that are not finite"}


@pytest.mark.parametrize(
    ("part", "found", "problem"),
    [
        (
            "find_source",
            OrbitalSource("gfn1", lambda *_: SimpleNamespace(raw_gap_ev=0.01)),
            "HOMO-LUMO gap of 0.010 eV",
        ),
        ("label", SimpleNamespace(response=SimpleNamespace(converged=False)), "the spectrum did not converge"),
    ],
)
def test_labels_that_no_campaign_keeps_are_failed(make_screen, checkpoint, tmp_path, monkeypatch, part, found, problem):
    monkeypatch.setattr(f"clusterml.engine.label.{part}", lambda *_, **__: found)
    setting, _ = setting_of(make_screen(), tmp_path, checkpoint, "cpu", None)
    assert problem in label_candidate(setting, tmp_path, LabelTask(1, build("ag3", thiolate="SH"), 0)).problem


@pytest.fixture
def asked(monkeypatch):
    """Geometries that the engine is asked to label."""
    from clusterml.engine import label as engine

    geometries: list[Atoms] = []
    label = engine.label

    def counted(atoms, *arguments, **options):
        geometries.append(atoms.copy())
        return label(atoms, *arguments, **options)

    monkeypatch.setattr(engine, "label", counted)
    return geometries


def count_of(geometry, asked):
    return sum(np.allclose(atoms.positions, geometry.positions) for atoms in asked)


def test_a_parent_is_labelled_once_for_all_processes(make_screen, checkpoint, tmp_path, asked):
    mine = make_screen(constraints=[{"absorption_change": "2..5 eV", "at_most": 100}], engine={"dtype": "float32"})
    setting, _ = setting_of(mine, tmp_path, checkpoint, "cpu", None)
    parent = bench_of(setting).maker.parent(bench_of(setting).space.variants[0])
    calls = []
    for number, folder in ((1, tmp_path / "labels"), (2, tmp_path / "copy")):
        if calls:
            shutil.copytree(tmp_path / "labels", folder)  # another process knows what lies in the folder, no more
        folder.mkdir(exist_ok=True)
        atoms = bench_of(setting).maker.make(bench_of(setting).space.recipe(number))
        calls.append(label_candidate(setting, folder, LabelTask(number, atoms, 0)))
    assert [call.problem for call in calls] == ["", ""]
    assert calls[0].values[1].value > calls[1].values[1].value > 0.0
    assert count_of(parent, asked) == 1
    assert len(asked) == 3


@pytest.mark.slow
def test_another_network_ranks_the_same_candidates_with_the_same_labels(make_screen, checkpoint, tmp_path, asked):
    settings = {"verify": 2, "verify_random": 3, "engine": {"dtype": "float32"}}
    first = screen(make_screen(**settings), tmp_path / "first", model=checkpoint)
    assert first.verification is not None
    asked.clear()
    again = screen(make_screen(**settings), tmp_path / "again", model=checkpoint, labels=tmp_path / "first")
    assert asked == []
    assert again.verification.label_of == first.verification.label_of
    names = {path.name for path in (tmp_path / "first" / "verified").iterdir()}
    assert {path.name for path in (tmp_path / "again" / "verified").iterdir()} == names
    # Another protocol, or another geometry of the same name, has labels of its own.
    other = settings | {"engine": {"dtype": "float32", "emax_ev": 6.5}}
    screen(make_screen(**other), tmp_path / "other", model=checkpoint, labels=tmp_path / "first")
    assert len(asked) == len(names)
    with pytest.raises(ScreeningError, match="holds no labels"):
        screen(make_screen(**settings), tmp_path / "third", model=checkpoint, labels=tmp_path / "nothing")
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("failure", [MemoryError("no room"), np.linalg.LinAlgError("did not converge")])
def test_a_label_that_fails_unexpectedly_costs_that_label_alone(
    make_screen, checkpoint, tmp_path, monkeypatch, failure
):
    def fails(*arguments, **options):
        raise failure

    monkeypatch.setattr("clusterml.engine.label.label", fails)
    done = screen(make_screen(verify=1), tmp_path / "o", model=checkpoint)
    (problem,) = done.verification.failed.values()
    assert problem == f"{type(failure).__name__}: {failure}"
    assert (tmp_path / "o" / "ranked.csv").is_file()


def test_labels_of_another_engine_are_not_taken_over(make_screen, checkpoint, tmp_path, asked, monkeypatch):
    setting, _ = setting_of(make_screen(engine={"dtype": "float32"}), tmp_path, checkpoint, "cpu", None)
    task = LabelTask(1, build("ag3", thiolate="SH"), 0)
    for expected in (1, 1):
        label_candidate(setting, tmp_path, task)
        assert len(asked) == expected
    monkeypatch.setattr("clusterml.screening.spectra.RESULTS", 99)
    label_candidate(setting, tmp_path, task)
    assert len(asked) == 2


def test_labels_of_other_spectra_than_now_are_made_again(make_screen, checkpoint, tmp_path, asked):
    """A line that does not say which they are is of an earlier version, whose spectra are those of now."""
    few = make_screen(engine={"dtype": "float32"}, verify=0, verify_random=2)
    screen(few, tmp_path / "o", model=checkpoint)
    log = tmp_path / "o" / "verified.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    del lines[0]["results"]
    lines[1]["results"] -= 1
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    screen(few, tmp_path / "o", model=checkpoint, resume=True)
    assert [json.loads(line)["number"] for line in log.read_text().splitlines()][2:] == [lines[1]["number"]]


def test_a_parent_without_a_label_is_tried_once(make_screen, checkpoint, tmp_path, asked, monkeypatch):
    from clusterml.engine import label as engine

    mine = make_screen(constraints=[{"absorption_change": "2..5 eV", "at_most": 100}], engine={"dtype": "float32"})
    setting, _ = setting_of(mine, tmp_path, checkpoint, "cpu", None)
    bench = bench_of(setting)
    parent = bench.maker.parent(bench.space.variants[0])

    label = engine.label

    def refused(atoms, *arguments, **options):
        result = label(atoms, *arguments, **options)
        if np.allclose(atoms.positions, parent.positions):
            raise ElectronicStructureError("no gap")
        return result

    monkeypatch.setattr(engine, "label", refused)
    tasks = [LabelTask(number, bench.maker.make(bench.space.recipe(number)), 0) for number in (1, 2)]
    assert ["no gap" in label_candidate(setting, tmp_path, task).problem for task in tasks] == [True, True]
    assert count_of(parent, asked) == 1
    assert len(asked) == 3
    # What the engine said of the candidates themselves is not lost with their parent's.
    assert all((tmp_path / f"{task.atoms.info['name']}.json").is_file() for task in tasks)


def test_a_parent_that_the_network_refuses_costs_its_curve_only(make_screen, checkpoint, tmp_path, monkeypatch):
    prepare = Predictor.prepare

    def refusing(self, atoms, *given, **named):
        if str(atoms.info.get("name", "")).startswith("parent_"):
            raise StructureError("two atoms coincide")
        return prepare(self, atoms, *given, **named)

    monkeypatch.setattr(Predictor, "prepare", refusing)
    screen(make_screen(), tmp_path, model=checkpoint)
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "finished"
    assert (tmp_path / "report.html").is_file()
    best = table(tmp_path)[0]["name"]
    assert (tmp_path / "spectra" / f"{best}.json").is_file()
    assert not (tmp_path / "spectra" / "parent_ag3.json").exists()
    refused = json.loads((tmp_path / "run.json").read_text())["counts"]["refused_parents"]
    assert refused == {"parent_ag3": "blueprint ag3: two atoms coincide"}


def test_what_is_kept_is_made_once_and_so_is_a_refusal():
    kept, made = Cache[int](2), []

    def make(value):
        made.append(value)
        if isinstance(value, ClusterMLError):
            raise value
        return value

    assert [kept.find("a", lambda: make(1)) for _ in range(2)] == [1, 1]
    for error, times in ((StructureError("no"), 1), (OutputError("full"), 2)):
        made.clear()
        for _ in range(2):
            with pytest.raises(type(error), match=str(error)):
                kept.find(str(error), lambda error=error: make(error))
        assert len(made) == times
    kept.find("b", lambda: make(2))
    assert list(kept) == ["no", "b"]


def test_a_refusal_that_is_kept_holds_nothing():
    kept, seen = Cache[int](2), []

    def make():
        big = np.zeros(3)
        seen.append(weakref.ref(big))
        try:
            raise OptionError(f"{len(big)} is wrong")
        except OptionError as error:
            raise StructureError("no") from error

    for _ in range(2):
        with pytest.raises(StructureError, match="no"):
            kept.find("a", make)
    gc.collect()
    assert [each() for each in seen] == [None]
    assert list(kept) == ["a"]


def test_a_lost_worker_costs_its_block_only(make_screen, checkpoint, tmp_path):
    class Losing:
        def __init__(self, number: int | None) -> None:
            self._number = number

        def run(self, function, tasks):
            for task in tasks:
                yield task, Lost("killed", "") if task.number == self._number else function(task)

    done = screen(make_screen(), tmp_path, model=checkpoint, launcher=Losing(1))
    assert done.run.lost_blocks == {"4 to 7": "killed"}
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "incomplete"
    assert done.board.valid == 5
    again = screen(make_screen(), tmp_path, model=checkpoint, launcher=Losing(None), resume=True)
    assert (again.board.valid, again.run.evaluated_now, again.run.lost_blocks) == (9, 4, {})


def test_a_failed_label_is_tried_again(make_screen, checkpoint, tmp_path, monkeypatch):
    asked: list[int] = []

    def label(problem: str):
        def verdict(setting, folder, task, other_folder):
            asked.append(task.number)
            return CandidateLabel(task.number, () if problem else (Value(1e-3),), 1.0, 0.1, problem=problem)

        return verdict

    for problem in ("no ground state", "", "not asked"):
        monkeypatch.setattr("clusterml.screening.verification.label_candidate", label(problem))
        done = screen(make_screen(verify=1), tmp_path, model=checkpoint, resume=True)
        assert list(done.verification.failed.values()) == (["no ground state"] if problem == "no ground state" else [])
    assert len(asked) == 2
    assert (tmp_path / "verified.json").exists()
    assert screen(make_screen(), tmp_path, model=checkpoint, resume=True).verification is None
    assert not (tmp_path / "verified.json").exists()


def test_a_reference_of_the_same_name_is_read_anew(make_screen, checkpoint, tmp_path):
    mine, rest = make_screen(**OWN), build("ag3", thiolate="SH")
    moved = distort(rest, "breathing", 1.0)
    strain = []
    for reference in (rest, moved):
        done = screen(mine, tmp_path / "o", model=checkpoint, candidates=[moved.copy()], reference=reference)
        strain.append(done.board.ranked[0].row.values[1].value)
        shutil.rmtree(tmp_path / "o")
    assert strain[0] > 0.01
    assert strain[1] == pytest.approx(0.0, abs=1e-9)


def test_the_same_geometry_with_two_charges_is_two_parents(make_screen, checkpoint, tmp_path):
    file = str(write_extxyz(build("ag3", thiolate="SH"), tmp_path / "x.xyz"))
    two = make_screen(parents={"a": {"file": file, "charge": 0}, "b": {"file": file, "charge": 2}}, distortions=[])
    bench = bench_of(setting_of(two, tmp_path, checkpoint, "cpu", None)[0])
    first, second = (bench.origin(number).spectrum().epsilon for number in range(2))
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()


def test_zero_valid_candidates_say_why(make_screen, checkpoint, tmp_path):
    broken = make_screen(distortions=[{"modes": {"normal-mode 4": [2.0, 1.9]}}])
    with pytest.raises(ScreeningError, match=r"none of 2 candidates is valid: 2 x the distortion breaks the chemistry"):
        screen(broken, tmp_path / "a", model=checkpoint)
    assert json.loads((tmp_path / "a" / "run.json").read_text())["status"] == "no valid candidate"
    with pytest.raises(ScreeningError, match="none of 0 candidates"):
        screen(make_screen(**OWN), tmp_path / "b", model=checkpoint, candidates=[], reference=build("ag2"))
    dark = make_screen(objectives=[{"max_g": "0.5..0.52 eV"}])
    with pytest.raises(ScreeningError, match=MEASURE):
        screen(dark, tmp_path / "c", model=checkpoint)


def test_a_full_disk_ends_the_run_and_loses_nothing(make_screen, checkpoint, tmp_path, monkeypatch):
    real, left = os.fsync, [3]  # run.json and two blocks

    def fsync(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("clusterml.io.log.os.fsync", fsync)
    with pytest.raises(OutputError, match="No space left on device"):
        screen(make_screen(), tmp_path, model=checkpoint)
    monkeypatch.setattr("clusterml.io.log.os.fsync", real)
    assert len(log_of(tmp_path)) >= 8
    assert screen(make_screen(), tmp_path, model=checkpoint, resume=True).board.valid == 9


def test_pessimism_needs_an_uncertainty(make_screen, checkpoint, single, tmp_path):
    with pytest.raises(OptionError, match="value is pessimistic, but single does not know its uncertainty"):
        screen(make_screen(value="pessimistic"), tmp_path / "a", model=single)
    bold = screen(make_screen(value="optimistic", sigmas=2.0), tmp_path / "b", model=checkpoint)
    best = bold.board.ranked[0]
    (value,) = best.row.values
    assert best.standing.score == pytest.approx((value.value + 2.0 * value.std) / 1e-3)
    assert screen(make_screen(), tmp_path / "c", model=single).board.ranked[0].row.values[0].std is None


def test_out_of_domain_candidates_are_flagged_and_stay(make_screen, checkpoint, tmp_path, monkeypatch):
    from clusterml.inference.domain import Domain, KnownCompositions

    with monkeypatch.context() as patch:
        bench_of.cache_clear()
        known = KnownCompositions(("Ag", "H", "S"), ("Ag",), ("S 1-",), (3, 3), (0, 0))

        def scores(self, features, n_metals):
            return np.linspace(0.5, 1.5, len(features))

        patch.setattr(Domain, "scores", scores)
        domain = Domain(np.zeros(1), np.ones((1, 1)), np.zeros((1, 1)), 1.0, known)
        patch.setattr("clusterml.inference.predictor.read_uncertainty", lambda folder: (None, domain))
        done = screen(make_screen(), tmp_path, model=checkpoint)
    bench_of.cache_clear()
    assert 0 < done.board.out_of_domain < done.board.valid == 9
    assert {r["in_domain"] for r in table(tmp_path)} == {"yes", "no"}


def modes(**amounts) -> dict:
    return {"distortions": [{"modes": {name.replace("_", "-"): value for name, value in amounts.items()}}]}


def exchange(old: str, new: str) -> dict:
    return {"exchanges": [{"old": old, "new": new, "counts": 1}]}


def parent(**values) -> dict:
    return {"parents": {"x": values}}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (modes(trigon_rotatoin=[1.0]), OptionError, r"mode 'trigon-rotatoin' \(did you mean 'trigon-rotation'\?\)"),
        (modes(trigon_rotation=[1.0]), OptionError, "trigon-rotation needs trigons"),
        (modes(shear=[99.0]), OptionError, "amount of shear is 99 %"),
        (modes(shear="-1..1 by 1 deg"), OptionError, "give shear in %"),
        (exchange("SH", "R-TLF"), OptionError, r"ligand 'R-TLF' \(did you mean 'R-TFL'\?\)"),
        (exchange("SCH3", "SEt"), OptionError, r"no ligand to exchange 'SCH3'.*choose one of SH"),
        (parent(build={"name": "ag70-x"}), OptionError, r"'ag70-x' \(did you mean 'ag70-t'\?\)"),
        (parent(build={"name": "ag3", "tiolate": "SH"}), OptionError, "did you mean 'thiolate'"),
        (parent(file="/nowhere/a.xyz"), InputFileError, r"no file /nowhere/a\.xyz"),
        ({"parents": {}}, OptionError, "parents is empty"),
        (
            modes(**dict.fromkeys(("shear", "breathing", "normal_mode 3", "normal_mode 4"), "-1..1 by 1e-5")),
            OptionError,
            "more than .* candidates",
        ),
        ({"objectives": [{"max_g": "7..8 eV"}]}, OptionError, r"spectra cover 0\.50 to 5\.30 eV"),
        ({"objectives": [{"similar_to": "/nowhere/t.csv"}]}, InputFileError, r"/nowhere/t\.csv"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(make_screen, checkpoint, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        screen(make_screen(**changes), tmp_path / "o", model=checkpoint)
    assert not (tmp_path / "o").exists()


def test_a_target_outside_the_grid_and_candidates_without_reference(make_screen, checkpoint, tmp_path):
    far = np.linspace(5.5, 8.0, 60)
    Spectrum(far, np.ones(60), np.sin(far)).to_csv(tmp_path / "far.csv")
    with pytest.raises(SpectrumError, match=r"covers 5\.50 to 8\.00 eV; spectra cover 0\.50 to 5\.30"):
        screen(make_screen(objectives=[{"similar_to": str(tmp_path / "far.csv")}]), tmp_path / "o", model=checkpoint)
    with pytest.raises(OptionError, match="reference=ATOMS"):
        screen(make_screen(**OWN), tmp_path / "o", model=checkpoint, candidates=[Atoms("Ag")])
    with pytest.raises(OptionError, match=r"a reference is given, but .* compared with their parents"):
        screen(make_screen(), tmp_path / "o", model=checkpoint, reference=Atoms("Ag"))
    with pytest.raises(OptionError, match="candidates are given, and so are parents, distortions"):
        screen(make_screen(), tmp_path / "o", model=checkpoint, candidates=[Atoms("Ag")])
    assert not (tmp_path / "o").exists()


def test_a_wanted_spectrum_is_found_again(make_screen, checkpoint, tmp_path):
    """The target is the predicted spectrum of one of the candidates, which must be among the first."""
    from clusterml.inference.predictor import Predictor

    wanted = distort(build("ag3", thiolate="SEt"), "shear", 3.0)
    Predictor.load(checkpoint)(wanted).spectrum.to_csv(tmp_path / "target.csv")
    search = make_screen(
        parents={"ag3": {"build": {"name": "ag3", "thiolate": "SEt"}}},
        objectives=[{"similar_to": str(tmp_path / "target.csv")}],
    )
    screen(search, tmp_path / "o", model=checkpoint)
    similarities = {
        json.loads(r["recipe"])["distortions"]["shear"]: float(r["similar_to"]) for r in table(tmp_path / "o")
    }
    noise = 5e-2  # an untrained network gives this planar complex a CD not far above single precision
    assert similarities[3.0] == pytest.approx(1.0, abs=noise)
    assert similarities[3.0] >= max(similarities.values()) - noise
    assert min(similarities.values()) < 0.9


@pytest.mark.parametrize(("engine", "orbitals"), [({}, "gfn1"), ({"orbitals": "stda-xtb"}, "stda-xtb")])
def test_the_engine_labels_as_the_network_has_learnt_unless_the_screen_names_orbitals(
    make_screen, checkpoint, tmp_path, engine, orbitals
):
    asked = make_screen(engine={"dtype": "float32", **engine})
    assert asked.engine.orbitals == engine.get("orbitals", "gfn1-pbe")
    setting, fingerprint = setting_of(asked, tmp_path, checkpoint, "cpu", None)
    assert (setting.screen.engine.orbitals, setting.screen.engine.dtype) == (orbitals, "float32")
    of_default, other = setting_of(asked, tmp_path, "ag-response-v1", "cpu", None)
    assert of_default.screen.engine.orbitals == asked.engine.orbitals
    assert other != fingerprint


def test_two_screens_do_not_share_a_folder(make_screen, checkpoint, tmp_path):
    (tmp_path / "o").mkdir()
    with exclusive(tmp_path / "o"), pytest.raises(FolderInUseError, match="another process is working in it"):
        screen(make_screen(), tmp_path / "o", model=checkpoint)
    assert [path.name for path in (tmp_path / "o").iterdir()] == [".lock"]
    assert screen(make_screen(), tmp_path / "o", model=checkpoint).board.valid


@pytest.mark.parametrize("name", ["spectra", ".lock"])
def test_a_screen_does_not_write_through_links_in_its_folder(make_screen, checkpoint, tmp_path, name):
    (tmp_path / "o").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir() if name == "spectra" else outside.write_text("precious")
    (tmp_path / "o" / name).symlink_to(outside)
    with pytest.raises(OutputError, match=name):
        screen(make_screen(), tmp_path / "o", model=checkpoint)
    assert list(outside.iterdir()) == [] if name == "spectra" else outside.read_text() == "precious"


def by_engine(make_screen, **changes):
    """Four candidates that labels rank."""
    few = {"distortions": [{"modes": {"shear": [-4, -1, 1, 4]}}], "block": 2, "top": 2, "front": 2, "verify": 2}
    return make_screen(model="engine", engine={"dtype": "float32", "emax_ev": 5.5}, **few | changes)


def test_the_engine_may_rank_in_the_place_of_a_network(make_screen, tmp_path, asked, monkeypatch):
    done = screen(by_engine(make_screen), tmp_path / "o", reporter=(heard := Heard()))
    rows = table(tmp_path / "o")
    assert len(rows) == 4
    stages = [state.line() for state in heard.states]
    assert stages[0].startswith("candidates: 0 of 4; engine takes about 1 s of a core for each, 4 s on")
    assert "spectra of the best: 2 of 2" in stages
    for row in rows:
        label = Spectrum.from_json(tmp_path / "o" / "verified" / f"{row['name']}.json")
        seen = (label.energy_ev >= 2.0 - 1e-9) & (label.energy_ev <= 5.0 + 1e-9)
        assert label.energy_ev[-1] == pytest.approx(5.5)
        assert float(row["max_g"]) == pytest.approx(float(np.nanmax(np.abs(label.g_factor(0.02)[seen]))), rel=1e-6)
        assert (row["in_domain"], row["max_g_std"], row["sign"]) == ("", "", "computed")
    best = tmp_path / "o" / "spectra" / f"{rows[0]['name']}.json"
    assert json.loads(best.read_text())["digest"]
    # Nothing is labelled twice: four candidates, and the parent for its curve.
    assert len(asked) == 5
    assert (done.verification, (tmp_path / "o" / "verified.json").exists()) == (None, False)
    assert any("ranked the candidates, so that there is nothing to verify" in line for line in describe_screen(done))
    assert "parent, engine" in (tmp_path / "o" / "report.html").read_text()
    spent = json.loads((tmp_path / "o" / "run.json").read_text())["timings_s"]
    assert spent["network"] > 5.0 * spent["measures"] > 0.0
    again = screen(by_engine(make_screen, top=4), tmp_path / "o", resume=True)
    assert (again.run.evaluated_now, len(asked)) == (0, 5)
    # Another objective takes the labels over; another protocol has its own.
    screen(by_engine(make_screen, objectives=[{"cd_at": "4 eV"}]), tmp_path / "cd", labels=tmp_path / "o")
    assert len(asked) == 5
    with pytest.raises(ScreeningError, match=r"was begun with another screen or model, .*: engine"):
        screen(by_engine(make_screen).model_copy(update={"engine": Protocol()}), tmp_path / "o", resume=True)
    monkeypatch.setattr("clusterml.screening.claim.RESULTS", 99)
    with pytest.raises(ScreeningError, match=r"another screen or model, .*: version of the engine's spectra is new"):
        screen(by_engine(make_screen), tmp_path / "o", resume=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verify": 2, "verify_random": 200}, "then 9 labels of about 40 s, 6 min"),  # there are nine candidates
        ({"verify": 1}, ""),
        ({"verify": 9, "engine": {"orbitals": "dft"}}, ""),  # whose cost nobody knows
    ],
)
def test_what_the_labels_cost_is_said_before_they_begin(make_screen, checkpoint, tmp_path, monkeypatch, changes, words):
    first: list[str] = []

    class Stop(Reporter):
        def show(self, state, *, after=None):
            first.append(state.words)
            raise KeyboardInterrupt

    monkeypatch.setattr("clusterml.engine.cost.label_cost", lambda *_: SimpleNamespace(seconds=40.0))
    with pytest.raises(KeyboardInterrupt):
        screen(make_screen(**changes), tmp_path / "o", model=checkpoint, reporter=Stop())
    assert first == [words]


def test_a_candidate_without_a_label_is_dropped(make_screen, tmp_path, monkeypatch):
    from clusterml.engine import label as engine

    label = engine.label

    def refusing(atoms, *arguments, **options):
        if atoms.info["name"].endswith("0000001"):
            raise ElectronicStructureError("HOMO-LUMO gap of 0.010 eV")
        return label(atoms, *arguments, **options)

    monkeypatch.setattr(engine, "label", refusing)
    done = screen(by_engine(make_screen), tmp_path / "o")
    assert (done.board.valid, dict(done.board.rejections.counts)) == (3, {LABEL: 1})
    assert done.board.rejections.examples[LABEL] == "HOMO-LUMO gap of 0.010 eV"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device (free memory or space)"),
        (MemoryError(), "MemoryError: (free memory or space)"),
        (OutputError("a.json is a folder", "remove it"), "a.json is a folder (remove it)"),
    ],
)
def test_a_passing_trouble_loses_a_block_until_it_has_passed(make_screen, tmp_path, monkeypatch, trouble, words):
    """No candidate is rejected for it: a rejection stays."""
    from clusterml.engine import label as engine

    label = engine.label

    def troubled(atoms, *arguments, **options):
        if atoms.info["name"].endswith("0000001"):
            raise trouble
        return label(atoms, *arguments, **options)

    with monkeypatch.context() as now:
        now.setattr(engine, "label", troubled)
        done = screen(by_engine(make_screen), tmp_path / "o")
    assert (done.board.valid, done.board.rejections.counts.total()) == (2, 0)
    assert done.run.lost_blocks == {"0 to 1": words}
    again = screen(by_engine(make_screen), tmp_path / "o", resume=True)
    assert (again.board.valid, again.run.lost_blocks) == (4, {})


def test_labels_that_a_full_disk_does_not_take_end_the_screen(make_screen, tmp_path, monkeypatch, asked):
    def full(*arguments, **options):
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise OutputError("a.json cannot be written") from error

    with monkeypatch.context() as now:
        now.setattr("clusterml.io.json.write_json", full)
        with pytest.raises(OutputError, match=r"a\.json cannot be written"):
            screen(by_engine(make_screen), tmp_path / "o")
    assert len(asked) == 1
    assert screen(by_engine(make_screen), tmp_path / "o", resume=True).board.valid == 4


def test_a_damaged_label_is_made_anew(make_screen, checkpoint, tmp_path, asked):
    setting, _ = setting_of(make_screen(engine={"dtype": "float32"}), tmp_path, checkpoint, "cpu", None)
    (tmp_path / "Ag3H3S3.json").write_text("{")
    task = LabelTask(1, build("ag3", thiolate="SH"), 0)
    task.atoms.info["name"] = "Ag3H3S3"
    assert label_candidate(setting, tmp_path, task).problem == ""
    assert json.loads((tmp_path / "Ag3H3S3.json").read_text())["digest"]


def test_the_engine_has_no_uncertainty_and_is_not_climbed(make_screen, tmp_path):
    with pytest.raises(OptionError, match="value is optimistic, but engine does not know its uncertainty"):
        screen(by_engine(make_screen, value="optimistic"), tmp_path / "o")
    moving = by_engine(make_screen, distortions=[{"modes": {"shear": "-4..4 by 2 %"}}], design={"starts": 1})
    with pytest.raises(OptionError, match="model is engine, whose labels are not climbed"):
        design(moving, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_candidates_without_a_gap_are_counted(make_screen, checkpoint, tmp_path, monkeypatch):
    values = Predictor.predict

    def narrow(self, prepared):
        return [replace(each, gap_ev=0.03 if each.name.endswith("2") else 0.8) for each in values(self, prepared)]

    monkeypatch.setattr(Predictor, "predict", narrow)
    done = screen(make_screen(), tmp_path / "o", model=checkpoint)
    assert done.board.small_gap == 1
    assert any(line.startswith("  1 have a gap below 0.05 eV") for line in describe_screen(done))
    assert "gap below 0.05 eV" in (tmp_path / "o" / "report.html").read_text()
