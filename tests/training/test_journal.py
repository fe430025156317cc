from __future__ import annotations

import csv
import json

import numpy as np

from clusterml.training.journal import TensorBoard, draw_curves, write_logs

HISTORY = [
    {
        "epoch": epoch,
        "lr": 0.1 / epoch,
        "train_loss": 1.0 / epoch,
        "validation_loss": 2.0 / epoch,
        "validation_epsilon": 1.0,
        "validation_failed": 0.0,
        "absorption_cosine": 0.5,
        "cd_cosine": None if epoch == 2 else 0.1,
        "absorption_r2": -3.0,
        "cd_r2": None,
    }
    for epoch in range(1, 4)
]


def test_logs_say_what_the_history_says(tmp_path):
    write_logs(tmp_path, HISTORY, [])
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == HISTORY
    with (tmp_path / "log.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["cd_cosine"] for row in rows] == ["0.1", "", "0.1"]
    assert not (tmp_path / "skipped.jsonl").exists()
    write_logs(tmp_path, HISTORY[:1], [{"epoch": 0, "batch": 1, "records": ["a"]}])  # after a crash: shorter again
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1
    assert json.loads((tmp_path / "skipped.jsonl").read_text())["records"] == ["a"]


def test_curves_are_drawn_also_where_numbers_are_missing(tmp_path, figures):
    assert draw_curves(tmp_path / "curves.png", HISTORY).read_bytes().startswith(b"\x89PNG")
    (figure,) = figures
    curves = {line.get_label(): line.get_xydata() for axes in figure.axes for line in axes.lines}
    epochs = [1.0, 2.0, 3.0]
    assert curves["validation_loss"].tolist() == [[epoch, 2.0 / epoch] for epoch in epochs]
    np.testing.assert_array_equal(curves["cd_cosine"], [[1.0, 0.1], [2.0, np.nan], [3.0, 0.1]])
    assert np.isnan(curves["cd_r2"][:, 1]).all()
    assert "validation_failed" not in curves


def test_tensorboard_gets_the_numbers_of_an_epoch(tmp_path, monkeypatch):
    import sys
    from types import SimpleNamespace

    said = []
    writer = SimpleNamespace(add_scalar=lambda *values: said.append(values), flush=lambda: said.append("flush"))
    module = SimpleNamespace(SummaryWriter=lambda folder: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    TensorBoard(tmp_path).add(HISTORY[1])
    assert ("train_loss", 0.5, 2) in said
    assert said[-1] == "flush"
    assert not any(values[0] in ("epoch", "cd_cosine") for values in said if values != "flush")


def test_an_epoch_whose_batches_were_all_skipped_has_no_training_loss(tmp_path, figures):
    history = [{k: v for k, v in HISTORY[0].items() if k != "train_loss"}, *HISTORY[1:]]
    draw_curves(tmp_path / "curves.png", history)
    curves = {line.get_label(): line.get_ydata() for axes in figures[0].axes for line in axes.lines}
    np.testing.assert_array_equal(curves["train_loss"], [np.nan, 0.5, 1.0 / 3.0])
    write_logs(tmp_path, history, [])
    with (tmp_path / "log.csv").open() as handle:
        assert [row["train_loss"] for row in csv.DictReader(handle)] == ["", "0.5", str(1.0 / 3.0)]
