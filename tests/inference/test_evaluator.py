"""The evaluate verb and its class on a made-up dataset: splits, calibration, other networks, learning curves."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from clusterml.cli.main import main
from clusterml.dataset.split import load_split
from clusterml.dataset.store import Dataset
from clusterml.errors import DatasetError, OptionError
from clusterml.inference.evaluator import Evaluator
from clusterml.training.release import open_release, write_release


@pytest.fixture
def model(checkpoint, split_file, tmp_path) -> Path:
    """The checkpoint with the recipe of the split it would have been trained on."""
    release = open_release(checkpoint)
    recipe = load_split(split_file).recipe()
    folder = tmp_path / "run" / "release"
    return write_release(folder, release.networks, release.spec, "", {}, release.about, recipe)


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    return int(end.value.code or 0)


@pytest.mark.slow
def test_one_command_makes_tables_and_figures(model, checkpoint, dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "out"
    common = ("--device", "cpu", "-o", out)
    options = ("--calibrate", "--beside", checkpoint, "--curve", checkpoint, "--allow-unknown-training")
    assert command("evaluate", model, dataset, *options, *common) == 0
    shown = capsys.readouterr().out
    assert "split, mode" in shown
    assert "kernel ridge" in shown
    names = ["evaluation.json", "evaluation.md", "examples-split.png", "learning-curve.png", "similarity-split.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    content = json.loads((out / "evaluation.json").read_text())
    assert content["model"] == "run"
    assert {row["model"] for row in content["rows"]} >= {"run", "tiny", "training mean"}
    mine = next(row for row in content["rows"] if (row["model"], row["kind"]) == ("run", "all"))
    assert mine["cd_coverage"] > 0.5
    assert 0.0 <= mine["in_domain"] <= 1.0
    assert {row["model"] for row in content["groups"]} == {"run"}
    assert {row["n_train"] for row in content["learning_curve"]} == {12}
    assert command("evaluate", model, dataset, "--json", "--no-baselines", *common) == 0
    assert {row["model"] for row in json.loads(capsys.readouterr().out)} == {"run", "training mean"}


def test_splits_must_be_given_and_differ(model, dataset, split_file):
    evaluator = Evaluator(model, dataset, device="cpu")
    assert list(evaluator.splits([])) == ["split"]
    with pytest.raises(OptionError, match="same file name"):
        evaluator.splits([split_file, split_file])
    assert evaluator.splits([])["split"] == load_split(split_file, Dataset(dataset))
    release = open_release(model)
    without = write_release(model.parent / "none", release.networks, release.spec, "", {})
    with pytest.raises(OptionError, match=r"does not say what it was trained with .*--split"):
        Evaluator(without, dataset, device="cpu").splits([])


def test_a_split_that_the_dataset_does_not_give_is_refused_and_a_file_still_does(model, dataset, split_file):
    release = open_release(model)
    recipe = release.split.model_copy(update={"sha256": "0" * 64})
    write_release(model, release.networks, release.spec, "", {}, release.about, recipe)
    evaluator = Evaluator(model, dataset, device="cpu", baselines=False)
    with pytest.raises(DatasetError, match=r"has no split as .* was trained with .*--split FILE"):
        evaluator.splits([])
    split = evaluator.splits([split_file])["random"]
    with pytest.raises(OptionError, match=r"whether .*release has learnt from .* is not known.*--allow-unknown-train"):
        evaluator.evaluate("given", split)
    allowed = Evaluator(model, dataset, device="cpu", baselines=False, allow_unknown_training=True)
    assert allowed.evaluate("given", split).table()
    shutil.copy(split_file, model / "split.json")  # as version 0.1 kept it
    spec = json.loads((model / "spec.json").read_text())
    (model / "spec.json").write_text(json.dumps(spec | {"split": None}))
    assert Evaluator(model, dataset, device="cpu").splits([])["split"] == split


def test_networks_of_another_grid_or_unknown_training_are_refused(model, checkpoint, dataset, tmp_path):
    evaluator = Evaluator(model, dataset, device="cpu")
    splits = evaluator.splits([])
    release = open_release(checkpoint)
    other = write_release(tmp_path / "other", release.networks, release.network | {"fwhm_ev": 0.3}, "", {})
    with pytest.raises(OptionError, match="another grid or width"):
        evaluator.evaluate("split", splits["split"], [other])
    nameless = write_release(tmp_path / "nameless", release.networks, release.spec, "", {})
    with pytest.raises(OptionError, match=r"nameless has learnt .* is not known: .*does not say what it was trained"):
        evaluator.evaluate("split", splits["split"], [nameless])
    evaluator = Evaluator(model, dataset, device="cpu", allow_unknown_training=True)
    with pytest.raises(OptionError, match="how many records"):
        evaluator.learning_curve([], splits, [nameless])


def test_a_network_is_not_judged_on_what_it_has_learnt(model, dataset):
    evaluator = Evaluator(model, dataset, device="cpu")
    split = evaluator.splits([])["split"]
    turned = replace(split, train=split.test, test=split.train[:3])
    with pytest.raises(OptionError, match="has learnt from 3 of the 3 test records"):
        evaluator.evaluate("turned", turned)
