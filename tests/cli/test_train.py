from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny import CONFIG, tiny_architecture, write_records


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("clusterml.training.run.shipped", tiny_architecture)
    write_records(tmp_path / "data", 12)
    (tmp_path / "run.yaml").write_text(CONFIG)
    return tmp_path


def test_a_network_is_trained_and_the_run_goes_on(run, folder, figures):
    done = run("train", "run.yaml", "schedule.epochs=2", "--device", "cpu")
    assert done.code == 0
    assert done.out.startswith("results/tiny/release: 2 epochs, best 2: validation ")
    assert json.loads((folder / "results" / "tiny" / "release" / "spec.json").read_text())["network"]["width"] == 6
    rows = [json.loads(line) for line in (folder / "results" / "tiny" / "log.jsonl").read_text().splitlines()]
    assert (folder / "results" / "tiny" / "curves.png").read_bytes().startswith(b"\x89PNG")
    losses = next(line for line in figures[-1].axes[0].lines if line.get_label() == "validation_loss")
    assert losses.get_ydata().tolist() == [row["validation_loss"] for row in rows]
    again = run("train", "run.yaml", "schedule.epochs=3", "--device", "cpu")
    assert again.code == 1
    assert "results/tiny: holds a run already (add --resume" in again.err
    assert run("train", "run.yaml", "schedule.epochs=3", "--resume", "--device", "cpu").code == 0


def test_every_member_is_fine_tuned(run, folder):
    words = ("run.yaml", "schedule.epochs=1", "schedule.warmup_epochs=0", "--device", "cpu")
    assert run("train", *words, "-o", "base").code == 0
    done = run("train", *words, "init_from=base/release", "--members", "-o", "tuned")
    assert done.code == 0, done.err
    assert done.out.startswith("tuned/member-0/release: 1 epoch, best 1: validation ")
    assert done.out.splitlines()[-1] == "tuned/release: 1 member"
    assert (folder / "tuned" / "release" / "spec.json").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "give a CONFIG"),
        (("nothing.yaml",), 1, "nothing.yaml: there is no such file"),
        (("run.yaml", "optimizer.lrate=1"), 2, "did you mean 'optimizer.lr'?"),
        (("run.yaml", "preset=xxl"), 2, "there is no key 'preset' (did you mean 'network.preset'?)"),
        (("run.yaml", "channels=32"), 2, "did you mean 'network.channels'?"),
        (("run.yaml", "schedule.epochs=0"), 1, "schedule.epochs is 0, not a whole number"),
        (("run.yaml", "data.dataset=nowhere"), 1, "nowhere: is not a dataset"),
        (("run.yaml", "init_from=nobody"), 1, "there is no checkpoint 'nobody'"),
        (("run.yaml", "--members"), 2, "init_from is not given"),
        (("run.yaml", "--device", "tpu"), 2, "choose auto, cpu or cuda"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, folder, words, code, message):
    done = run("train", *words)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err


def test_keys_are_printed_with_their_meaning(run):
    done = run("train", "--keys")
    assert {"network.channels", "network.head_options.bands"} <= set(done.out.split())
    assert done.code == 0
    for word in ("optimizer.lr", "0.002", "a learning rate after warm-up", "data.dataset", "needed"):
        assert word in done.out
