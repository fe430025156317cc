from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from clusterml.errors import OutputError
from clusterml.training.state import Average, Checkpoints, State, TrainingError, averaged, gathered, restore


def trained(steps: int, seed: int = 0) -> tuple[nn.Module, Average, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    average, optimizer = Average(network, 0.9), torch.optim.AdamW(network.parameters(), lr=0.1)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        network(torch.ones(4, 3)).square().mean().backward()
        optimizer.step()
        average.update(step)
    return network, average, optimizer


def test_tensors_come_back_to_the_bit(tmp_path):
    first, other = trained(3), trained(0, seed=1)
    Checkpoints(tmp_path).save(State(epoch=1), gathered(*first))
    state, tensors = Checkpoints(tmp_path).latest()
    restore(tensors, *other)
    assert state.epoch == 1
    for name, value in gathered(*first).items():
        assert torch.equal(gathered(*other)[name], value), name
    assert torch.equal(averaged(tensors)["0.weight"], first[1].weights["0.weight"])


def test_the_average_is_applied_and_taken_back():
    network, average, _ = trained(3)
    before = network[0].weight.detach().clone()
    with average.applied():
        assert torch.equal(network[0].weight, average.weights["0.weight"])
        assert not torch.equal(network[0].weight, before)
    assert torch.equal(network[0].weight, before)


def test_the_first_steps_are_forgotten_soon():
    network = nn.Linear(1, 1, bias=False)
    average = Average(network, 0.999)
    with torch.no_grad():
        network.weight.fill_(1.0)
    for step in range(1, 200):
        average.update(step)
    assert float((average.weights["weight"] - 1.0).abs()) < 1e-3


def test_the_last_and_the_best_are_kept(tmp_path):
    kept = Checkpoints(tmp_path)
    state = State()
    for epoch in range(1, 5):
        state.epoch = epoch
        kept.save(state, {"x": torch.tensor(epoch)}, best=epoch == 2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["00002-00000", "00004-00000"]
    assert kept.latest()[0] == state
    assert int(kept.best(state)["x"]) == 2
    assert int(kept.latest()[1]["x"]) == 4


@pytest.mark.parametrize("moment", ["write_bytes", "write_text", "_sync"])
def test_a_crash_while_saving_leaves_the_one_before(tmp_path, monkeypatch, moment):
    kept = Checkpoints(tmp_path)
    state = State(epoch=1)
    kept.save(state, {"x": torch.tensor(1)}, best=True)

    def crash(*arguments):
        raise OutputError("no space")

    monkeypatch.setattr(f"clusterml.training.state.{moment}", crash)
    state.epoch = 2
    with pytest.raises(OutputError):
        kept.save(state, {"x": torch.tensor(2)}, best=True)
    monkeypatch.undo()
    again, tensors = Checkpoints(tmp_path).latest()
    assert again.epoch == int(tensors["x"]) == int(kept.best(again)["x"]) == 1
    again.epoch = 2
    kept.save(again, {"x": torch.tensor(3)}, best=True)
    assert int(kept.best(again)["x"]) == 3
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_a_checkpoint_beside_latest_is_not_overwritten(tmp_path):
    kept = Checkpoints(tmp_path)
    (tmp_path / "checkpoints" / "00001-00000").mkdir(parents=True)
    kept.save(State(epoch=1), {"x": torch.tensor(1)})
    assert (tmp_path / "LATEST").read_text() == "00001-00000-2\n"


def test_damage_is_named(tmp_path):
    kept = Checkpoints(tmp_path)
    assert kept.latest() is None
    with pytest.raises(TrainingError, match="no epoch"):
        kept.best(State())
    kept.save(State(epoch=1), {"x": torch.tensor(1)})
    path = tmp_path / "checkpoints" / "00001-00000"
    content = json.loads((path / "state.json").read_text())
    for wrong in ({"schema_version": 9}, {"epoch": 1}, []):
        text = json.dumps(wrong if not isinstance(wrong, dict) or "epoch" in wrong else content | wrong)
        (path / "state.json").write_text(text)
        with pytest.raises(TrainingError, match="00001-00000: "):
            kept.latest()
    (path / "state.json").write_text(json.dumps(content))
    (path / "tensors.safetensors").write_bytes(b"x")
    with pytest.raises(TrainingError, match=r"tensors\.safetensors: cannot be read"):
        kept.latest()


def test_weights_of_another_network_are_refused():
    first, other = trained(1), trained(1)
    tensors = gathered(*first)
    tensors["network/0.weight"] = torch.zeros(5, 5)
    with pytest.raises(TrainingError, match="not of this network"):
        restore(tensors, *other)


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp", "..", "", "00001-00000/../../elsewhere", "x" * 10_000])
def test_a_run_names_checkpoints_of_its_own_only(tmp_path, name):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    for folder in (run, elsewhere):
        Checkpoints(folder).save(State(epoch=1), gathered(*trained(1)))
    (elsewhere / "checkpoints" / "00001-00000").rename(tmp_path / "run" / "elsewhere")
    (run / "LATEST").write_text(name)
    with pytest.raises(TrainingError, match=r"is no checkpoint of this run|is larger than|cannot be read"):
        Checkpoints(run).latest()
    with pytest.raises(TrainingError, match="is no checkpoint of this run"):
        Checkpoints(run).best(State(best=name))


def test_links_in_place_of_a_checkpoint_or_its_files_are_refused(tmp_path):
    run = tmp_path / "run"
    Checkpoints(run).save(State(epoch=1), gathered(*trained(1)))
    folder = run / "checkpoints" / "00001-00000"
    for path in (folder / "state.json", folder / "tensors.safetensors", folder, run / "checkpoints", run / "LATEST"):
        moved = tmp_path / "moved"
        path.rename(moved)
        path.symlink_to(moved)
        with pytest.raises(TrainingError, match=r"symbolic link|is no checkpoint of this run"):
            Checkpoints(run).latest()
        path.unlink()
        moved.rename(path)
    assert Checkpoints(run).latest() is not None
