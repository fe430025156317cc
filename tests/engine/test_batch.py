"""The batch runner without the command line: order, failures, names, memory, and processes that die."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import write

from clusterml.batch.label import BatchOptions, Failure, Outcome, Task, compute_all, run
from clusterml.batch.structures import Finished
from clusterml.engine.protocol import Compute, Protocol
from clusterml.errors import InputFileError, OptionError, OutputError
from clusterml.run.launcher import Processes
from clusterml.spectrum.view import View
from helpers import Heard

QUICK = Protocol(emax_ev=5.0, fwhm_ev=0.4)


@pytest.fixture
def save(molecule, tmp_path, monkeypatch) -> Callable[..., Path]:
    """Names of molecules (several: frames) and a file name -> the file, in the current folder."""
    monkeypatch.chdir(tmp_path)

    def to_file(*names: str, to: str) -> Path:
        Path(to).parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            atoms = molecule(name)
            write(to, atoms, format="extxyz", append=True, plain=True, comment=f"charge={atoms.info['charge']}")
        return Path(to)

    return to_file


def test_results_come_in_order_with_names_of_their_own(save):
    files = [save("h2o2", to="a.xyz"), save("agh", "agsch3", to="b/a.extxyz"), save("agh", to="a_extxyz_1.xyz")]
    reporter = Heard()
    results = list(run(files, BatchOptions(protocol=QUICK, output=Path("out")), reporter=reporter))
    assert all(isinstance(r, Outcome) for r in results)
    assert [r.name for r in results] == ["a_xyz", "a_extxyz_1", "a_extxyz_2", "a_extxyz_1_2"]
    assert [r.formula for r in results] == ["H2O2", "AgH", "AgCH3S", "AgH"]
    assert [r.where for r in results][1] == "b/a.extxyz (frame 1)"
    assert sorted(p.stem for p in Path("out").glob("*.json")) == sorted(r.name for r in results)
    assert json.loads(Path("out/a_extxyz_2.json").read_text())["name"] == "a_extxyz_2"
    assert reporter.states[0].total == 3
    assert reporter.states[-1].total == 4
    assert {state.words.split(": ")[0] for state in reporter.states if state.words} == {r.name for r in results}
    assert all(r.json is None and r.seconds > 0 and len(r.files) == 3 for r in results)


def test_what_is_finished_is_left_out(save):
    files = [save("agh", "agsch3", to="a.xyz"), save("agh", to="b.xyz")]
    options = BatchOptions(protocol=QUICK, output=Path("out"), resume=True, keep_json=True)
    digests = [json.loads(result.json)["digest"] for result in run(files[:1], options)]
    assert len({*digests}) == 2
    Path("out/a_2.json").write_text('{"digest": ')  # such as a disk that was full
    kept, anew, new = run(files, options)
    assert kept == Finished("a.xyz (frame 1)", "a_1", Path("out/a_1.json").read_text().strip())
    assert isinstance(anew, Outcome)
    assert json.loads(anew.json)["digest"] == digests[1]
    assert isinstance(new, Outcome)
    assert [type(result) for result in run(files, options, jobs=2, threads=2)] == [Finished] * 3
    assert [type(result) for result in run(files, replace(options, resume=False))] == [Outcome] * 3


def test_what_would_be_another_result_is_made_anew(save):
    files = [save("agh", to="a.xyz")]
    options = BatchOptions(protocol=QUICK, output=Path("out"), resume=True)
    changes = [
        {},
        {"protocol": QUICK.but(fwhm_ev=0.5)},
        {"charge": 0},
        {"states": True, "protocol": QUICK.but(solver="states")},
        {"jcamp": True},
        {"view": View("nm")},
        {"molden": Path("mo.molden")},
        {"groups": Path("g.json")},
        {"consensus": (QUICK, QUICK.but(orbitals="gfn1"))},
    ]
    Path("g.json").write_text('{"a": [1]}')
    for change in changes:
        for kind in (Outcome, Finished):
            (result,) = run(files, replace(options, **change))
            assert isinstance(result, kind), (change, result)
    files[0].write_text(files[0].read_text().replace("charge=0", "charge=2"))
    (result,) = run(files, replace(options, **changes[-1]))
    assert not isinstance(result, Finished)


def test_other_orbitals_of_the_same_geometry_are_another_result(save):
    save("agh", to="a.xyz")
    options = BatchOptions(protocol=QUICK, own_orbitals=True, output=Path("out"), resume=True)
    for orbitals in ("gfn1", "gfn1-pbe"):
        made = BatchOptions(protocol=QUICK.but(orbitals=orbitals), molden=Path("mo.molden"))
        assert isinstance(next(run(["a.xyz"], made)), Outcome)
        for kind in (Outcome, Finished):
            (result,) = run(["mo.molden"], options)
            assert isinstance(result, kind), result


def test_a_failing_frame_does_not_stop_the_file(save):
    text = save("agh", to="a.xyz").read_text()
    radical = "2\ncharge=0\nO 0 0 0\nH 0 0 0.97\n"
    several = "4\n\nH 0 0 0\nH 0 0 0.74\nH 0 0 9\nH 0 0 9.74\n"
    Path("a.xyz").write_text(text + radical + several + text)
    first, odd, apart, last = run(["a.xyz"], BatchOptions(protocol=QUICK))
    assert isinstance(first, Outcome)
    assert isinstance(last, Outcome)
    assert str(odd).startswith("a.xyz (frame 2): charge")
    assert str(apart).startswith("a.xyz (frame 3): 2 separate molecules")


def test_what_follows_a_damaged_frame_is_said_to_be_lost(save):
    path = save("agh", "agh", to="a.xyz")
    path.write_text(path.read_text() + "5\n\nH 0 0 0\n")
    reporter = Heard()
    *good, bad = run([path], BatchOptions(protocol=QUICK), reporter=reporter)
    assert len(good) == 2
    assert isinstance(bad, Failure)
    assert bad.problem.startswith("a.xyz: ")
    assert "frames after number 2 were not computed" in str(bad)
    assert reporter.states[-1].total == 3


def test_json_is_handed_back_on_request(save):
    (result,) = run([save("agh", to="a.xyz")], BatchOptions(protocol=QUICK, keep_json=True))
    assert result.json.isascii()
    assert json.loads(result.json)["formula"] == "AgH"
    assert result.files == ()


def test_orbitals_alone(save):
    (result,) = run([save("agh", to="a.xyz")], BatchOptions(protocol=QUICK, molden=Path("mo.molden")))
    assert result.files == (Path("mo.molden"),)


def test_groups_that_do_not_fit_fail_the_structure(save):
    Path("g.json").write_text('{"a": [1, 6]}')
    files = [save("agh", to="a.xyz"), save("agsch3", to="b.xyz")]
    bad, good = run(files, BatchOptions(protocol=QUICK, groups=Path("g.json")))
    assert str(bad).startswith("a.xyz: g.json: group 'a' has atom 6")
    assert isinstance(good, Outcome)


@pytest.mark.parametrize(
    ("changes", "jobs", "error"),
    [
        ({"compute": Compute(memory_gb=0.002)}, 4, OptionError),
        ({}, 0, OptionError),
        ({"groups": Path("gone.json")}, 1, InputFileError),
        ({"output": Path("a.xyz")}, 1, OutputError),
        ({"molden": Path("gone/mo.molden")}, 1, OutputError),
        ({"protocol": Protocol(orbitals="stda-xtb", solvent="methanol")}, 1, OptionError),
    ],
)
def test_what_concerns_all_structures_is_raised(save, changes, jobs, error):
    with pytest.raises(error):
        list(run([save("agh", to="a.xyz")], BatchOptions(**changes), jobs=jobs))


def test_one_molden_file_for_several_structures_is_refused(save):
    files = [save("agh", to="a.xyz"), save("agh", to="b.xyz")]
    with pytest.raises(OptionError, match="--molden"):
        list(run(files, BatchOptions(molden=Path("mo.molden"))))


@pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), np.linalg.LinAlgError("singular")])
def test_an_unexpected_error_is_one_failure(save, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("clusterml.engine.label.label", fail)
    bad, again = run([save("agh", to="a.xyz"), save("agh", to="b.xyz")], BatchOptions())
    assert bad.problem.startswith("a.xyz: ")
    assert bad.remedy
    assert "Traceback" in bad.trace
    assert again.problem.startswith("b.xyz: ")


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_disk_that_takes_no_more_ends_the_batch(save, monkeypatch, jobs):
    """What is left would be computed for nothing; a result whose own name is taken fails alone."""
    files = [save("agh", to=f"{name}.xyz") for name in "abc"]
    Path("out/b.json").mkdir(parents=True)
    kinds = [type(result) for result in run(files, BatchOptions(protocol=QUICK, output=Path("out")), jobs=jobs)]
    assert kinds == [Outcome, Failure, Outcome]
    shutil.rmtree("out")
    Path("out").write_text("")
    monkeypatch.setattr("clusterml.batch.label.make_folder", lambda path: path)  # it was replaced after that
    with pytest.raises(OutputError, match=r"folder out cannot be made: File exists"):
        list(run(files, BatchOptions(protocol=QUICK, output=Path("out")), jobs=jobs))


def test_processes_share_memory_and_give_the_same_numbers(save):
    files = [save("h2o2", to="a.xyz"), Path("gone.xyz"), save("agsch3", to="b.xyz")]
    options = BatchOptions(protocol=QUICK, compute=Compute(memory_gb=1.0), keep_json=True)
    serial = list(run(files, options))
    parallel = list(run(files, options, jobs=2, threads=2))
    assert [str(r) for r in parallel if isinstance(r, Failure)] == [str(serial[1])]
    assert serial[0].json is not None
    for one, other in zip(serial[::2], parallel[::2], strict=True):
        a, b = (np.array(json.loads(r.json)["spectrum"]["epsilon"]) for r in (one, other))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_each_of_two_processes_may_use_half_of_the_memory(save):
    file = save("ag3_sch3_3", to="ag3.xyz")
    heavy = Protocol(orbitals="stda-xtb", solver="states")
    options = BatchOptions(protocol=heavy, compute=Compute(memory_gb=0.02))  # it needs 0.015
    (alone,) = run([file], options)
    assert isinstance(alone, Outcome)
    (shared,) = run([file], options, jobs=2, threads=2)
    assert isinstance(shared, Failure)
    assert "need about 0.015 GB, 0.01 GB are allowed" in shared.problem


class _Deadly:
    """Ends the process that receives it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_killed_process_costs_one_structure(molecule):
    good = Task(molecule("agh"), "good.xyz", "good")
    bad = Task(_Deadly(), "bad.xyz", "bad")
    results = list(compute_all(Processes(1), [good, bad, good], BatchOptions(protocol=QUICK)))
    assert [type(r) for r in results] == [Outcome, Failure, Outcome]
    assert results[1].problem.startswith("bad.xyz: the process that computed it was killed")


def test_stopping_early_ends_the_processes(molecule):
    before = set(multiprocessing.active_children())
    task = Task(molecule("agh"), "a.xyz", "a")
    results = compute_all(Processes(1), [task] * 50, BatchOptions(protocol=QUICK))
    assert isinstance(next(results), Outcome)
    assert set(multiprocessing.active_children()) - before
    results.close()
    deadline = time.monotonic() + 20.0
    while set(multiprocessing.active_children()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(multiprocessing.active_children()) <= before
