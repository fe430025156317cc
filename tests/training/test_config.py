from __future__ import annotations

from pathlib import Path

import pytest

from clusterml.config.schema import keys
from clusterml.errors import InputFileError, OptionError
from clusterml.training.config import Config, load_config

ROOT = Path(__file__).resolve().parents[2]


def test_every_key_says_what_it_is():
    assert [name for name, field in keys(Config) if not field.description] == []
    assert {"optimizer.lr", "data.dataset", "loss.epsilon_sid", "network"} <= {name for name, _ in keys(Config)}


def test_overrides_reach_every_depth(config_file):
    words = ["optimizer.lr=1e-4", "stop_after=3", "data.kinds=[thermal]", "network.width=9", "network.graph.cutoff=2.5"]
    config = load_config(config_file, words)
    assert config.optimizer.lr == 1e-4
    assert config.stop_after == 3
    assert config.data.kinds == ["thermal"]
    assert config.network == {"width": 9, "graph": {"cutoff": 2.5}}
    assert config.schedule.epochs == 4


def test_paths_may_be_seen_from_the_file(config_file, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Path(load_config(config_file).data.dataset) == config_file.parent / "data"
    assert load_config(config_file, ["data.dataset=other"]).data.dataset == "other"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lr=0.1", "no key 'lr'.*'optimizer.lr'"),
        ("optimiser.lr=0.1", "'optimizer.lr'"),
        ("optimizer.learning=0.1", "no key 'optimizer.learning'"),
        ("loss.epsilon_cumulativ=1", "'loss.epsilon_cumulative'"),
        ("optimizer=3", "no key 'optimizer'"),
        ("epochs", "not key=value"),
        ("seed=[1", "not YAML"),
    ],
)
def test_an_override_that_cannot_be_names_the_nearest_key(config_file, word, message):
    with pytest.raises(OptionError, match=message):
        load_config(config_file, [word])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer.lr=-1", r"optimizer\.lr is -1, not a learning rate"),
        ("loss.floor=x", r"loss\.floor is 'x', not"),
        ("data.kinds=[magic]", r"data\.kinds"),
        ("precision=float16", "float32, tf32 or bf16"),
        ("name=a b", "letters, digits"),
    ],
)
def test_a_value_that_cannot_be_says_what_is_expected(config_file, word, message):
    with pytest.raises(InputFileError, match=message):
        load_config(config_file, [word])


def test_an_unknown_or_missing_key_in_the_file_is_named(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: x\ndata: {dataset: d}\noptimizer: {lrr: 1}\n")
    with pytest.raises(InputFileError, match=r"unknown key 'optimizer\.lrr' \(did you mean 'lr'"):
        load_config(path)
    path.write_text("name: x\ndata: {dataset: d}\npreset: M\n")
    with pytest.raises(InputFileError, match=r"unknown key 'preset' \(did you mean 'network\.preset'"):
        load_config(path)
    path.write_text("name: x\n")
    with pytest.raises(InputFileError, match="'data' is missing"):
        load_config(path)
    path.write_text("name: x\ndata: 3\n")
    with pytest.raises(OptionError, match="cannot be set"):
        load_config(path, ["data.dataset=d"])


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_sound(path):
    assert load_config(path).name == path.stem
