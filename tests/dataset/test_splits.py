from __future__ import annotations

import pytest

from clusterml.dataset.reader import Dataset
from clusterml.dataset.splits import Split, leaks, load_split, make_split, save_split
from clusterml.dataset.store import Store
from clusterml.errors import DatasetError, OptionError


@pytest.fixture
def dataset(tmp_path, make_record):
    store = Store(tmp_path / "d")
    seed = 0
    for family in ("ag25", "ag29", "ag70", "ag12"):
        for shell in ("SH", "SCH3", "SiPr"):
            for k in range(5):
                seed += 1
                name = f"{family}-{shell}-{k}"
                record = make_record(name, seed, family=family, parent=family, shell=shell, pair=name)
                store.add(record)
                store.add(record.mirrored(f"{name}-mirror", "S"))
    store.pack()
    return Dataset(tmp_path / "d")


@pytest.mark.parametrize("question", ["random", "shell", "parent"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_geometry_and_its_mirror_image_fall_on_two_sides(dataset, question, seed):
    split = make_split(dataset, question, seed=seed, fractions=(0.2, 0.2))
    assert leaks(dataset, split) == []
    assert sorted(split.train + split.validation + split.test) == sorted(dataset.ids)
    assert split.test
    assert split == make_split(dataset, question, seed=seed, fractions=(0.2, 0.2))


def test_unseen_clusters_and_unseen_shells_are_unseen(dataset):
    column = {name: dict(zip(dataset.ids, dataset.column(name), strict=True)) for name in ("family", "shell")}
    split = make_split(dataset, "parent", held_out=["ag70"])
    assert {column["family"][i] for i in split.test} == {"ag70"}
    assert "ag70" not in {column["family"][i] for i in split.train + split.validation}
    split = make_split(dataset, "shell", seed=3, fractions=(0.1, 0.2))
    tested = {(column["family"][i], column["shell"][i]) for i in split.test}
    assert not tested & {(column["family"][i], column["shell"][i]) for i in split.train + split.validation}


def test_a_leak_is_seen(dataset):
    names = dataset.ids
    bad = Split("random", 0, names[:1], (), tuple(n for n in names if n != names[0]))
    assert any("pair" in leak for leak in leaks(dataset, bad))


def test_a_split_survives_storage_and_damage_is_named(dataset, tmp_path):
    split = make_split(dataset, "random")
    assert load_split(save_split(split, tmp_path / "split.json")) == split
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"split\.json"):
        load_split(tmp_path / "split.json")


def test_what_cannot_be_divided_is_refused(dataset):
    with pytest.raises(OptionError, match="fractions"):
        make_split(dataset, "random", fractions=(0.5, 0.5))
    with pytest.raises(OptionError, match="ag99"):
        make_split(dataset, "parent", held_out=["ag99"])
    with pytest.raises(DatasetError, match="too few"):
        make_split(dataset, "parent", held_out=["ag12", "ag25", "ag29", "ag70"])
