from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny import CONFIG, tiny_architecture, write_records

from clusterml.cli.progress import reporter
from clusterml.cli.train import _shown, _words


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("clusterml.training.run.shipped", tiny_architecture)
    write_records(tmp_path / "data", 12)
    (tmp_path / "run.yaml").write_text(CONFIG)
    return tmp_path


def test_a_network_is_trained_and_the_run_goes_on(run, folder):
    done = run("train", "run.yaml", "schedule.epochs=2", "--device", "cpu")
    assert done.code == 0
    assert done.out.startswith("results/tiny/release: 2 epochs, best 2: validation ")
    assert json.loads((folder / "results" / "tiny" / "release" / "spec.json").read_text())["network"]["width"] == 6
    assert (folder / "results" / "tiny" / "curves.png").stat().st_size > 10_000
    again = run("train", "run.yaml", "schedule.epochs=3", "--device", "cpu")
    assert again.code == 1
    assert "results/tiny: holds a run already (add --resume" in again.err
    assert run("train", "run.yaml", "schedule.epochs=3", "--resume", "--device", "cpu").code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "give a CONFIG"),
        (("nothing.yaml",), 1, "nothing.yaml: there is no such file"),
        (("run.yaml", "optimizer.lrate=1"), 1, "did you mean 'optimizer.lr'?"),
        (("run.yaml", "preset=xxl"), 1, "there is no key 'preset' (did you mean 'network.preset'?)"),
        (("run.yaml", "channels=32"), 1, "did you mean 'network.channels'?"),
        (("run.yaml", "schedule.epochs=0"), 1, "schedule.epochs is 0, not a whole number"),
        (("run.yaml", "data.dataset=nowhere"), 1, "nowhere: is not a dataset"),
        (("run.yaml", "init_from=nobody"), 1, "there is no checkpoint 'nobody'"),
        (("run.yaml", "--device", "tpu"), 1, "choose auto, cpu or cuda"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, folder, words, code, message):
    done = run("train", *words)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err


def test_keys_are_printed_with_their_meaning(run):
    done = run("train", "--keys")
    assert done.code == 0
    for word in ("optimizer.lr", "0.002", "a learning rate after warm-up", "data.dataset", "needed"):
        assert word in done.out


def test_progress_is_a_line_with_the_time_left(capsys):
    from clusterml.training.loop import Progress

    row = {"validation_loss": 0.5, "absorption_cosine": 0.9, "cd_cosine": None, "cd_r2": 0.25}
    progress = Progress(2, 10, 3, 7, 0.125, row, 4000.0, "skipped a batch")
    with reporter() as shown:
        _shown(shown, progress)
    message, line = capsys.readouterr().err.splitlines()
    assert message == "skipped a batch"
    words = "epoch 2/10, batch 3/7: loss 0.1250; validation 0.500, absorption cosine 0.900, CD R2 0.250"
    assert _words(progress) == words
    assert line[20:] == f"batches: 10 of 70; {words}; 54/h, 1 h 07 min left"
