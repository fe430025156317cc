"""``clusterml init``: what it writes is complete, runs, and destroys nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clusterml.config.schema import read_yaml
from clusterml.dataset.campaign import Campaign, load_campaign
from clusterml.io.shipped import shipped
from clusterml.screening.config import Screen, load_screen
from clusterml.training.config import Config, load_config

KINDS = {"screen": (load_screen, Screen), "campaign": (load_campaign, Campaign), "train": (load_config, Config)}
FOLDERS = {"screen": "screen", "campaign": "campaigns", "train": "train"}
EXAMPLES = [(kind, file.stem) for kind, name in FOLDERS.items() for file in shipped("configs").glob(f"{name}/*.yaml")]


def plain(value):
    """A value as JSON has it."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_what_is_shipped_with_all_other_keys_in_comments(run, kind):
    done = run("init", kind)
    assert (done.code, done.err) == (0, "")
    assert f"written to {kind}.yaml" in done.out
    text = Path(f"{kind}.yaml").read_text()
    assert f"configs/{FOLDERS[kind]}" not in text
    assert f" {kind}.yaml" in text
    load, schema = KINDS[kind]
    assert load(f"{kind}.yaml") == load(shipped("configs") / FOLDERS[kind] / "small.yaml")
    for name in schema.model_fields:
        assert f"\n{name}:" in text or f"\n# {name}:" in text


@pytest.mark.parametrize("kind", KINDS)
def test_the_comments_are_the_defaults(run, kind):
    run("init", kind)
    text = Path(f"{kind}.yaml").read_text().partition("# Every other key, with its default.\n")[2]
    lines = [line[2:] for line in text.splitlines()]
    given = {line.split(":")[0] for line in lines if line[:1].strip() and "(more keys of it)" in line}
    values = yaml.safe_load("\n".join(lines).replace("(more keys of it)", ""))
    model = KINDS[kind][1]
    for name, value in values.items():
        default = model.model_fields[name].get_default(call_default_factory=True)
        if name in given or hasattr(default, "model_dump"):
            inner = model.model_fields[name].annotation
            default = inner.model_construct()
            assert value == {key: plain(getattr(default, key)) for key in value}
        else:
            assert value == default


@pytest.mark.parametrize(("kind", "name"), EXAMPLES)
def test_every_shipped_configuration_can_be_started_from(run, kind, name):
    assert run("init", kind, "mine.yaml", "--example", name).code == 0
    load, _ = KINDS[kind]
    mine, original = load("mine.yaml"), load(shipped("configs") / FOLDERS[kind] / f"{name}.yaml")
    if kind == "campaign":
        assert "../" not in Path("mine.yaml").read_text()
    else:
        assert mine == original


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_overwritten(run, kind, tmp_path):
    (tmp_path / f"{kind}.yaml").write_text("mine")
    done = run("init", kind)
    assert done.code == 1
    assert done.err == f"error: {kind}.yaml: is there already (give another name, or remove it first)\n"
    assert (tmp_path / f"{kind}.yaml").read_text() == "mine"
    (tmp_path / "link.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert run("init", kind, "link.yaml").code == 1
    assert not (tmp_path / "elsewhere.yaml").exists()


def test_what_cannot_be_is_said(run):
    done = run("init", "screen", "x.yaml", "--example", "large")
    assert done.code == 2
    assert "no example 'large' of a screen" in done.err
    assert "ag70-twist" in done.err
    assert run("init", "screen", "nowhere/x.yaml").err.startswith("error: nowhere/x.yaml: cannot be written")
    assert run("init", "sreen").code == 2


def test_the_screen_runs_with_a_few_candidates(run):
    run("init", "screen")
    assert run("screen", "screen.yaml", "verify=0", "verify_random=0", "most=2", "-o", "out").code == 0
    assert Path("out/ranked.csv").is_file()


def test_the_campaign_runs_as_it_is(run):
    run("init", "campaign")
    done = run("dataset", "generate", "campaign.yaml", "-o", "out", "--limit", "2")
    assert done.code == 0
    assert "2 done" in done.out


@pytest.mark.slow
def test_the_screen_runs_as_it_is(run):
    run("init", "screen")
    assert run("screen", "screen.yaml", "-o", "out").code == 0
    assert Path("out/ranked.csv").is_file()


@pytest.mark.slow
def test_the_training_runs_as_it_is(run):
    run("init", "train")
    done = run("train", "train.yaml", "-o", "out")
    assert done.code == 0
    assert run("models", "out/release").code == 0


def test_a_short_training_runs(run):
    run("init", "train")
    done = run("train", "train.yaml", "data.fraction=0.1", "schedule.epochs=1", "-o", "out")
    assert done.code == 0
    assert read_yaml(Path("out/config.yaml"))["init_from"] == "ag-quick-v1"


def test_keys_of_a_campaign_are_explained(run):
    done = run("dataset", "generate", "--keys")
    assert done.code == 0
    for key in ("parents.counts", "amounts.noise_a", "second.share"):
        assert key in done.out
    assert run("dataset", "generate", "campaign.yaml").code == 2
