"""The file of a split, and the recipe by which a checkpoint's split is made again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from clusterml.dataset.split import Split, load_split, save_split
from clusterml.dataset.splits import find_split, make_split
from clusterml.dataset.store import Dataset, Store
from clusterml.errors import DatasetError

NAMES = ("a-mode-00000", "a-mode-00001", "a-mode-00001-gfn1", "b2-7", "b2-10")
NAMES += ("c", "d_3", f"e{'9' * 30}", "a-mode-00900")
SPLIT = Split("shell", 4, NAMES[:5], NAMES[5:7], NAMES[7:], ("SiPr",), (0.2, 0.1), ("SiPr",))


class Ordered:
    """As much of a dataset as the order of records needs."""

    ids = NAMES


def test_any_names_survive_in_few_characters(tmp_path):
    path = save_split(SPLIT, tmp_path / "s.json")
    assert load_split(path, Ordered()) == SPLIT
    assert load_split(path).sha256 == SPLIT.sha256
    many = tuple(f"ag29-mode-{number:05d}" for number in range(5000))
    split = Split("random", 0, many[:4000], many[4000:4500], many[4500:])
    assert save_split(split, tmp_path / "many.json").stat().st_size < 5500
    assert load_split(tmp_path / "many.json") == split


def test_records_come_in_the_order_of_the_dataset(tmp_path):
    backwards = replace(SPLIT, train=SPLIT.train[::-1])
    assert backwards.sha256 == SPLIT.sha256
    assert load_split(save_split(backwards, tmp_path / "s.json"), Ordered()).train == SPLIT.train


def test_the_checksum_is_of_which_record_is_where():
    moved = replace(SPLIT, train=SPLIT.train[1:], test=(*SPLIT.test, SPLIT.train[0]))
    assert moved.sha256 != SPLIT.sha256
    assert Split("random", 0, ("a",), ("b",), ()).sha256 == (
        "7c3441ff5215840adfab8affe59765ca6430c8e8259d97d6b79c1ea0cc1d7aa7"
    )


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"schema_version": 3}, r"schema version 3, newer than 2 \(update clusterml\)"),
        ({"records": {"a{1}": "x"}}, r"records: a\{1\} is 'x'"),
        ({"records": {"a": ".."}}, "records: a has no number"),
        ({"records": 3}, "records is missing"),
        ({"records": {"c": "."}}, "has changed since it was written"),
        ({"question": "colour"}, "question"),
        ({"sha256": 3}, "has changed"),
    ],
    ids=str,
)
def test_damage_is_named(tmp_path, change, what):
    path = save_split(SPLIT, tmp_path / "s.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DatasetError, match=what) as error:
        load_split(path)
    assert "s.json" in str(error.value)


@pytest.fixture
def dataset(tmp_path, make_record):
    store = Store(tmp_path / "data")
    for number in range(12):
        store.add(make_record(f"r{number:02d}", number))
    store.pack()
    return Dataset(store.folder)


def test_a_split_is_drawn_again_from_its_recipe(dataset, tmp_path):
    split = make_split(dataset, "random", seed=5, fractions=(0.25, 0.25))
    assert find_split(split.recipe(), dataset, tmp_path / "model") == split
    other = split.recipe().model_copy(update={"seed": 6})
    with pytest.raises(DatasetError, match=r"data: has no split as .*model was .*drawn again it is another"):
        find_split(other, dataset, tmp_path / "model")


def test_one_made_in_several_steps_comes_from_a_file(dataset, tmp_path):
    split = replace(make_split(dataset, "random", seed=5, fractions=(0.25, 0.25)), fractions=None)
    with pytest.raises(DatasetError, match=r"made in several steps.*--split FILE"):
        find_split(split.recipe(), dataset, tmp_path / "run" / "release")
    (tmp_path / "run").mkdir()
    save_split(replace(split, train=split.train[1:]), tmp_path / "run" / "split.json")
    (dataset.folder / "splits").mkdir()
    save_split(split, dataset.folder / "splits" / "mine.json")
    assert find_split(split.recipe(), dataset, tmp_path / "run" / "release") == split
