from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TinyNetwork, record, tiny_architecture, tiny_spec

from clusterml.dataset.record import GRID_EV
from clusterml.dataset.split import load_split
from clusterml.dataset.store import Store
from clusterml.errors import DatasetError, FolderInUseError, OptionError, OutputError, UnsupportedElementError
from clusterml.io.files import exclusive
from clusterml.training.catalogue import ReleaseError
from clusterml.training.config import load_config
from clusterml.training.release import join_releases, open_release
from clusterml.training.run import shipped, train, train_members
from clusterml.training.state import TrainingError

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    monkeypatch.setattr("clusterml.training.loop.draw_curves", lambda path, history: path)  # a second each


def rows(folder: Path) -> list[dict[str, float]]:
    """The log without times."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def run(config_file, folder, *words, architecture=None, **options):
    config = load_config(config_file, words)
    return train(config, folder, device="cpu", architecture=architecture or tiny_architecture(), **options)


def test_a_run_learns_and_leaves_everything_that_one_needs(config_file, tmp_path):
    told = []
    done = run(config_file, tmp_path / "run", "schedule.epochs=12", watch=told.append)
    history = rows(tmp_path / "run")
    assert [row["epoch"] for row in history] == list(range(1, 13))
    assert history[-1]["validation_loss"] < 0.7 * history[0]["validation_loss"]
    assert told[-1].seconds_left == 0.0
    assert told[-1].batch == told[-1].batches
    release = open_release(done.release)
    assert release.network["width"] == 6
    assert release.metrics["validation"]["epoch"] == done.row["epoch"]
    assert release.about["data"] == {
        "name": "tiny-records",
        "method": "gfn1",
        "train": 10,
        "validation": 4,
        "parents": ["ag4", "ag6"],
    }
    assert "tiny-records" in release.card
    assert str(tmp_path) not in (done.release / "spec.json").read_text() + release.card
    TinyNetwork(tiny_spec(release.network)).load_state_dict(release.networks[0])
    split = load_split(tmp_path / "run" / "split.json")
    assert release.split == split.recipe()
    assert not (done.release / "split.json").exists()
    with (tmp_path / "run" / "log.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == 12


def test_what_lies_beyond_the_last_excitation_is_neither_learnt_nor_judged(config_file, tmp_path):
    """Labels that end at 3 eV give the same run, whatever they hold above; labels without an end do not."""
    logs = {}
    for end in (3.0, None):
        for factor in (1.0, 0.0):
            store = Store(tmp_path / f"labels {end} {factor}")
            for number in range(16):
                made = record(f"r{number:03d}", number)
                high = np.where(GRID_EV > 3.0, factor, 1.0)
                curves = {name: high * getattr(made, name) for name in ("epsilon", "delta_epsilon")}
                details = made.details | ({} if end is None else {"reaches_ev": end})
                store.add(dataclasses.replace(made, **curves, details=details))
            store.pack({"name": "tiny-records"})
            folder = tmp_path / f"run {end} {factor}"
            run(config_file, folder, f"data.dataset={store.folder}", "schedule.epochs=2")
            logs[end, factor] = rows(folder)[-1]
    for key in ("validation_loss", "validation_epsilon_cumulative", "absorption_cosine", "cd_cosine", "cd_r2"):
        assert logs[3.0, 1.0][key] == pytest.approx(logs[3.0, 0.0][key], rel=1e-4)
        assert logs[None, 1.0][key] != pytest.approx(logs[None, 0.0][key], rel=1e-3)


def test_the_validation_numbers_are_those_of_the_shipped_weights(config_file, tmp_path):
    from clusterml.dataset.store import Dataset
    from clusterml.training.material import labelled
    from clusterml.training.metrics import cosine, median
    from clusterml.training.step import Forward
    from clusterml.training.targets import Wanted

    done = run(config_file, tmp_path / "run")
    release = open_release(done.release)
    network = TinyNetwork(spec := tiny_spec(release.network))
    network.load_state_dict(release.networks[0])
    names = load_split(tmp_path / "run" / "split.json").validation
    made = tiny_architecture()
    part = labelled(Dataset(tmp_path / "data"), names, lambda each: made.graph_of(each, spec), Wanted(), spec)
    with torch.no_grad():
        predicted, _ = Forward(network, torch.device("cpu"))(part.samples)
    found = median(cosine(predicted["delta_epsilon"].double().numpy(), part.spectra("delta_epsilon")))
    assert found == pytest.approx(done.row["cd_cosine"], abs=1e-6)


def test_a_folder_that_holds_a_run_is_not_overwritten_and_only_this_run_goes_on(config_file, tmp_path):
    folder = tmp_path / "run"
    run(config_file, folder, "schedule.epochs=1")
    with pytest.raises(TrainingError, match=r"holds a run already.*--resume"):
        run(config_file, folder)
    with pytest.raises(TrainingError, match=r"another optimizer\.lr, seed"):
        run(config_file, folder, "seed=4", "optimizer.lr=0.02", resume=True)
    done = run(config_file, folder, "schedule.epochs=2", "most_skipped=3", resume=True)
    assert done.epochs == 2
    again = run(config_file, folder, "schedule.epochs=2", resume=True)  # nothing is left to do
    assert again.row == done.row


def test_a_run_that_is_interrupted_goes_on_as_if_it_had_not_been(config_file, tmp_path):
    class InterruptedRunError(Exception):
        pass

    def interrupt(progress):
        if (progress.epoch, progress.batch) == (3, 2):
            raise InterruptedRunError

    words = ("save_minutes=0",)
    whole = run(config_file, tmp_path / "whole", *words)
    with pytest.raises(InterruptedRunError):
        run(config_file, tmp_path / "run", *words, watch=interrupt)
    told = []
    done = run(config_file, tmp_path / "run", *words, resume=True, watch=told.append)
    assert (told[0].epoch, told[0].batch) == (3, 2)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert (done.release / "model.safetensors").read_bytes() == (whole.release / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_run_killed_by_the_system_goes_on_to_the_bit(config_file, tmp_path):
    words = ("save_minutes=0", "schedule.epochs=6")
    whole = run(config_file, tmp_path / "whole", *words)
    command = [sys.executable, str(HERE / "process.py"), str(config_file), str(tmp_path / "run"), *words]
    for number in (8, 4):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(number)]
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        assert said[-1].startswith("epoch")
    assert len(rows(tmp_path / "run")) < 6
    done = run(config_file, tmp_path / "run", *words, resume=True)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert (done.release / "model.safetensors").read_bytes() == (whole.release / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_follow_the_loss_of_one_with_twice_the_batch(config_file, tmp_path):
    double = ("network.graph={cutoff: 3.0, dtype: float64}",)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(HERE / "process.py"), str(config_file), str(tmp_path / "two"), *double]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    run(config_file, tmp_path / "one", *double, "batches.edges=120", "batches.structures=8")
    two, one = rows(tmp_path / "two"), rows(tmp_path / "one")
    assert len(two) == len(one) == 4
    assert two[-1]["step"] == one[-1]["step"] > 4
    for a, b in zip(two, one, strict=True):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-9)
    weights = [open_release(tmp_path / name / "release").networks[0] for name in ("two", "one")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-9, atol=1e-9)


class Poisoned(TinyNetwork):
    """Not finite, in the way that ``spec.poison`` says, for clusters of charge 7."""

    def forward(self, batch):
        found = super().forward(batch)
        bad = (batch.charge == 7.0)[:, None]
        if self.spec.poison == "loss":
            found["epsilon"] = torch.where(bad, torch.nan, found["epsilon"])
        elif self.spec.poison == "gradient":
            found["epsilon"] = found["epsilon"] + torch.where(bad, found["epsilon"] * 0.0, 0.0).sqrt()
        elif bad.any():
            torch.linalg.cholesky(-torch.eye(2))
        return found


@pytest.mark.parametrize("poison", ["loss", "gradient", "matrix"])
def test_a_batch_that_is_not_finite_is_named_skipped_and_counted(config_file, tmp_path, poison):
    told = []
    store = Store(tmp_path / "data")
    store.add(record("poison", 5, charge=7))
    store.pack()
    split = {"question": "random", "seed": 0, "test": [], "validation": ["r000", "r001"]}
    split["train"] = ["poison", *(f"r{k:03d}" for k in range(2, 16))]
    (tmp_path / "split.json").write_text(json.dumps(split))
    made = dataclasses.replace(tiny_architecture(), network=Poisoned)
    words = (f"network.poison={poison}", f"data.split={tmp_path / 'split.json'}")
    done = run(config_file, tmp_path / "run", *words, architecture=made, watch=told.append)
    assert done.skipped == 4  # once in each epoch
    skipped = [json.loads(line) for line in (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()]
    assert [each["records"] for each in skipped] == [["poison"]] * 4
    assert [row["skipped"] for row in rows(tmp_path / "run")] == [1] * 4
    assert sum("poison" in each.message for each in told) == 4
    assert torch.isfinite(open_release(done.release).networks[0]["hidden.weight"]).all()
    with pytest.raises(TrainingError, match=r"2 batches had .* because of poison"):
        run(config_file, tmp_path / "other", *words, "most_skipped=1", architecture=made)


@pytest.mark.parametrize("poison", ["loss", "matrix"])
def test_a_validation_structure_that_is_not_finite_is_left_out_and_counted(config_file, tmp_path, poison):
    store = Store(tmp_path / "data")
    store.add(record("poison", 5, charge=7))
    store.pack()
    split = {"question": "random", "seed": 0, "test": [], "validation": ["r000", "poison"]}
    split["train"] = [f"r{k:03d}" for k in range(2, 16)]
    path = tmp_path / "split.json"
    path.write_text(json.dumps(split))
    made = dataclasses.replace(tiny_architecture(), network=Poisoned)
    words = (f"network.poison={poison}", f"data.split={path}", "schedule.epochs=1")
    done = run(config_file, tmp_path / "run", *words, architecture=made)
    assert done.row["validation_failed"] == 1
    path.write_text(json.dumps(split | {"validation": ["poison"]}))
    with pytest.raises(TrainingError, match="no validation structure has a finite loss"):
        run(config_file, tmp_path / "other", *words, architecture=made)


def test_training_stops_early_and_ships_the_best_epoch(config_file, tmp_path):
    words = ("optimizer.lr=1.0", "ema=0", "schedule.epochs=40", "stop_after=3", "schedule.kind=plateau")
    done = run(config_file, tmp_path / "run", *words)
    losses = [row["validation_loss"] for row in rows(tmp_path / "run")]
    assert done.epochs == done.row["epoch"] + 3 < 40
    assert done.row["validation_loss"] == min(losses)


def test_fine_tuning_starts_from_the_shipped_weights(config_file, tmp_path):
    base = run(config_file, tmp_path / "base")
    words = (
        f"init_from={base.release}",
        "schedule.epochs=1",
        "schedule.warmup_epochs=0",
        "optimizer.lr=1e-12",
        "ema=0",
    )
    done = run(config_file, tmp_path / "tuned", *words)
    before, after = (open_release(each.release).networks[0] for each in (base, done))
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)
    assert "started from: tiny\n" in open_release(done.release).card
    with pytest.raises(OptionError, match="not that of the checkpoint"):
        run(config_file, tmp_path / "wide", *words, "network.width=8")
    with pytest.raises(OptionError, match="init_member is 1"):
        run(config_file, tmp_path / "second", *words, "init_member=1")


def test_every_member_of_an_ensemble_is_fine_tuned_on_one_split(config_file, tmp_path):
    words = ("schedule.epochs=1", "schedule.warmup_epochs=0")
    parts = [run(config_file, tmp_path / f"base-{seed}", *words, f"seed={seed}").release for seed in (0, 1)]
    base = join_releases(parts, tmp_path / "base", "# base\n", {})
    config = load_config(config_file, [*words, f"init_from={base}", "optimizer.lr=1e-12", "ema=0", "seed=7"])
    release, runs = train_members(config, tmp_path / "tuned", device="cpu", architecture=tiny_architecture())
    before, after = (open_release(each) for each in (base, release))
    assert len(after.networks) == len(runs) == 2
    for old, new in zip(before.networks, after.networks, strict=True):
        torch.testing.assert_close(new, old, atol=1e-6, rtol=1e-5)
    assert not torch.equal(*(next(iter(each.values())) for each in after.networks))
    splits = {(tmp_path / "tuned" / f"member-{k}" / "split.json").read_bytes() for k in (0, 1)}
    assert len(splits) == 1
    assert after.split == load_split(tmp_path / "tuned" / "member-0" / "split.json").recipe()
    assert "* members: 2, each from one of the checkpoint it started from" in after.card
    with pytest.raises(TrainingError):
        train_members(config, tmp_path / "tuned", device="cpu", architecture=tiny_architecture())
    again, runs = train_members(config, tmp_path / "tuned", resume=True, device="cpu", architecture=tiny_architecture())
    assert again == release
    assert [each.epochs for each in runs] == [1, 1]
    (tmp_path / "tuned").rename(tmp_path / "moved")
    train_members(config, tmp_path / "moved", resume=True, device="cpu", architecture=tiny_architecture())
    (tmp_path / "moved").rename(tmp_path / "tuned")
    (release / "spec.json").unlink()  # a crash while they were joined
    train_members(config, tmp_path / "tuned", resume=True, device="cpu", architecture=tiny_architecture())
    assert len(open_release(release).networks) == 2
    with pytest.raises(OptionError, match="init_from is not given"):
        train_members(load_config(config_file), tmp_path / "none", device="cpu", architecture=tiny_architecture())


def test_a_missing_label_stops_the_run_unless_it_is_not_wanted(config_file, tmp_path):
    store = Store(tmp_path / "data")
    for number in range(40, 60):
        store.add(record(f"s{number}", number, details={}))
    store.pack()
    with pytest.raises(DatasetError, match=r"has no label 'opd'.*set loss\.opd to 0"):
        run(config_file, tmp_path / "run")
    run(config_file, tmp_path / "other", "loss.opd=0", "loss.ccm=0", "schedule.epochs=1")


def test_a_structure_that_the_network_cannot_read_is_named(config_file, tmp_path):
    def graph(*arguments):
        raise UnsupportedElementError("the network does not know Xe", "leave it out")

    with pytest.raises(UnsupportedElementError, match=r"record r\d+: the network does not know Xe"):
        run(config_file, tmp_path / "run", architecture=dataclasses.replace(tiny_architecture(), graph=graph))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("network.start_orbitals=gfn1-pbe",), r"labels are of gfn1, .* start from gfn1-pbe.*start_orbitals: gfn1}"),
        (("network.start_orbitals=gfn1", "data.cd=length"), "data.cd is length"),
    ],
)
def test_a_network_begins_at_the_labels_that_its_response_can_be(config_file, tmp_path, words, message):
    words = ("network={preset: S, start: response}", *words)
    with pytest.raises(OptionError, match=message):
        run(config_file, tmp_path / "run", *words, architecture=shipped())
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_tensorboard_is_an_option(config_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(OptionError, match="tensorboard is not installed"):
        run(config_file, tmp_path / "run", "tensorboard=true")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("data.parents=[nobody]",), DatasetError),
        (("data.method=nothing",), DatasetError),
        (("data.split=gone.json",), DatasetError),
        (("data.by=parent", "data.held_out=[nobody]"), OptionError),
        (("data.dataset=gone",), DatasetError),
        (("init_from=gone",), ReleaseError),
        (("loss.ccm=1", "data.kinds=[reference]"), DatasetError),
        (("network={preset: XXL}",), OptionError),
        (("network={channels: 10000000}",), OptionError),
        (("network={graph: {metals: [47], elements: [47]}}",), UnsupportedElementError),
    ],
    ids=str,
)
def test_a_wrong_configuration_leaves_the_folder_to_the_corrected_one(config_file, tmp_path, words, error):
    folder = tmp_path / "run"
    real = shipped() if words[0].startswith("network") else None
    with pytest.raises(error):
        run(config_file, folder, *words, architecture=real)
    assert not folder.exists() or [path.name for path in folder.iterdir()] == [".lock"]
    done = run(config_file, folder, "schedule.epochs=1")
    assert done.epochs == 1


def test_two_runs_do_not_share_a_folder(config_file, tmp_path):
    (tmp_path / "run").mkdir()
    with exclusive(tmp_path / "run"), pytest.raises(FolderInUseError, match="another process is working in it"):
        run(config_file, tmp_path / "run", resume=True)


def test_a_run_does_not_write_through_links_in_its_folder(config_file, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("checkpoints", "release"):
        folder = tmp_path / f"run-{name}"
        folder.mkdir()
        (folder / name).symlink_to(elsewhere)
        with pytest.raises(OutputError, match=f"{name} is a symbolic link"):
            run(config_file, folder, "schedule.epochs=1")
        assert list(elsewhere.iterdir()) == []
