"""Shards and indices that somebody else made: what leads out of a file, or is larger than it can be, is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from clusterml.dataset.record import stored_positions
from clusterml.dataset.runner import Event, Ledger
from clusterml.dataset.shards import Shard, write_shard
from clusterml.dataset.split import Split, load_split, save_split
from clusterml.dataset.store import Dataset, Store, damaged_shards
from clusterml.errors import ClusterMLError, DatasetError

SECRET = np.arange(10.0)


@pytest.fixture(scope="module")
def sound(tmp_path_factory, make_record):
    store = Store(tmp_path_factory.mktemp("sound"))
    for number in range(3):
        store.add(make_record(f"r{number}", number))
    store.pack({"name": "three"})
    return store.folder


@pytest.fixture
def folder(sound, tmp_path):
    """A dataset of three records."""
    return Path(shutil.copytree(sound, tmp_path / "d"))


def shard_of(folder):
    return next((folder / "shards").iterdir())


def sign(folder):
    """Give the index the checksum that the shard now has, as whoever made the dataset would."""
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["sha256"] = hashlib.sha256(shard_of(folder).read_bytes()).hexdigest()
    (folder / "index.json").write_text(json.dumps(index))


def external_link(file, outside):
    file["lowest_ev"] = h5py.ExternalLink(str(outside), "secret")


def soft_link(file, outside):
    file["lowest_ev"] = h5py.SoftLink("/lowest_f")


def external_storage(file, outside):
    outside = [(str(outside.with_suffix(".bin")), 0, 3 * 10 * 4)]
    file.create_dataset("lowest_ev", shape=(3, 10), dtype="f4", external=outside)


def virtual(file, outside):
    layout = h5py.VirtualLayout(shape=(3, 10), dtype="f4")
    layout[0] = h5py.VirtualSource(str(outside), "secret", shape=(10,))
    file.create_virtual_dataset("lowest_ev", layout)


def references(file, outside):
    file.create_dataset("lowest_ev", data=np.full((3, 10), file["numbers"].ref, dtype=object), dtype=h5py.ref_dtype)


def group(file, outside):
    file.create_group("lowest_ev")


def huge(file, outside):  # 36 TiB in a few bytes
    file.create_dataset("lowest_ev", shape=(40_000_000_000, 10), dtype="f4", chunks=(1, 10))


def huge_row(file, outside):
    file.create_dataset("lowest_ev", shape=(3, 10), dtype="f4", chunks=(3, 10), maxshape=(None, None))
    file["lowest_ev"].resize((3, 10**12))


def other_type(file, outside):
    file.create_dataset("lowest_ev", data=np.ones((3, 10), "f8"))


def short_text(file, outside):
    file.create_dataset("lowest_ev", data=np.full((3, 10), b"text"))


def plug_in(file, outside):
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk((1, 10))
    created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # Zstandard, from wherever HDF5 finds it
    h5py.h5d.create(file.id, b"lowest_ev", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((3, 10)), created)


def bomb(file, outside):
    data = file.create_dataset("lowest_ev", shape=(3, 10), dtype="f4", chunks=(1, 10), compression="gzip")
    for row in range(3):
        data.id.write_direct_chunk((row, 0), zlib.compress(bytes(20_000_000)))  # 20 MB, not the 1 kB declared


CRAFTED = {
    external_link: "is a link",
    soft_link: "is a link",
    external_storage: "is stored in other files",
    virtual: "is stored in other files",
    references: "has type object",
    group: "is no HDF5 dataset",
    huge: "has shape",
    huge_row: "has shape",
    other_type: "has type float64",
    short_text: "has type",
    plug_in: "is stored with a filter",
    bomb: "has a chunk that is larger than it declares",
}


@pytest.mark.parametrize("craft", CRAFTED, ids=lambda craft: craft.__name__)
def test_a_shard_that_leads_out_of_itself_or_declares_too_much_is_refused(folder, tmp_path, craft):
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["secret"] = SECRET.astype("f4")
    outside.with_suffix(".bin").write_bytes(SECRET.astype("f4").tobytes() * 3)
    with h5py.File(shard_of(folder), "r+") as file:
        del file["lowest_ev"]
        craft(file, outside)
    sign(folder)
    with pytest.raises(DatasetError, match=rf"{shard_of(folder).name}: 'lowest_ev' {CRAFTED[craft]}"):
        _ = Dataset(folder)[0]
    assert [name for name, _ in damaged_shards(folder)] == [shard_of(folder).name]


def test_a_shard_holds_nothing_but_its_columns(folder):
    with h5py.File(shard_of(folder), "r+") as file:
        file["more"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(DatasetError, match="holds 'more'"):
        Shard(shard_of(folder))
    with h5py.File(shard_of(folder), "r+") as file:
        for number in range(100):
            file.create_group(f"g{number}")
    with pytest.raises(DatasetError, match="holds 118 datasets"):
        Shard(shard_of(folder))


@pytest.mark.parametrize("counts", [[2, 10**6, 3], [0, 3, 4], [4, 4, 4], [0, 0, 0]])
def test_numbers_that_count_no_atoms_are_refused(folder, counts):
    with h5py.File(shard_of(folder), "r+") as file:
        file["n_atoms"][:] = counts
    with pytest.raises(DatasetError, match=r"n_atoms|numbers"):
        Shard(shard_of(folder))


@pytest.mark.parametrize(
    "text", [b"[]", b"{}\n{}\n{}", b'["a"]\n[3]\n[null]', b"[" * 9000 + b"\n\n", b"\xff\n\xff\n\xff"]
)
def test_text_that_is_no_record_is_refused(folder, text):
    with h5py.File(shard_of(folder), "r+") as file:
        del file["text"]
        file["text"] = np.frombuffer(text, dtype="u1")
    sign(folder)
    with pytest.raises(DatasetError, match="'text' has"):
        _ = Dataset(folder)[0]


@pytest.mark.parametrize(
    "grid", ['{"low_ev": 0.5, "step_ev": 1e-9}', "[]", "\udcff".encode("utf-8", "surrogateescape"), 7.0]
)
def test_a_grid_that_is_none_is_refused(folder, grid):
    with h5py.File(shard_of(folder), "r+") as file:
        file.attrs["grid"] = grid
    with pytest.raises(DatasetError, match="grid"):
        Shard(shard_of(folder))


def test_a_large_honest_chunk_is_read(tmp_path, make_record):
    rng = np.random.default_rng(0)
    n = 40_000
    record = make_record("big", numbers=rng.integers(1, 80, n), positions=rng.normal(size=(n, 3)).astype("f4"))
    write_shard(tmp_path / "big.h5", [record])
    got = Shard(tmp_path / "big.h5").record(0).positions
    np.testing.assert_array_equal(got, stored_positions(record.positions))


@pytest.mark.parametrize("name", ["../../outside.h5", "/etc/passwd", "..", "a/b.h5", "shard.txt", "", 3, None])
def test_an_index_that_names_what_is_not_in_its_folder_is_refused(folder, name):
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["name"] = name
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(DatasetError, match=r"index\.json: shards\.0\.name is"):
        Dataset(folder)


@pytest.mark.parametrize("name", ["../../../etc/cron.d/x", "a/b", "", "\x1b[31m", ".hidden", "x" * 500, 7])
def test_records_have_names_that_can_be_names_of_files(folder, name, make_record):
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["ids"][0] = name
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(DatasetError, match=r"index\.json: shards\.0\.ids"):
        Dataset(folder)
    if isinstance(name, str):
        with pytest.raises(DatasetError, match="is not the name of a record"):
            make_record(name)


def test_links_in_place_of_index_shard_or_shards_are_refused(folder, tmp_path):
    for path in (folder / "index.json", shard_of(folder), folder / "shards"):
        moved = tmp_path / path.name
        path.rename(moved)
        path.symlink_to(moved)
        with pytest.raises(DatasetError, match=f"{path.name} is a symbolic link"):
            _ = Dataset(folder)[0]
        path.unlink()
        moved.rename(path)
    (tmp_path / "link").symlink_to(folder)  # the folder that the user names may be one
    assert len(Dataset(tmp_path / "link")) == 3


def test_an_index_that_never_ends_or_is_a_pipe_is_refused(folder):
    (folder / "index.json").unlink()
    os.mkfifo(folder / "index.json")
    with pytest.raises(DatasetError, match="is a pipe"):
        Dataset(folder)
    (folder / "index.json").unlink()
    (folder / "index.json").write_text('{"a":' * 100_000)
    with pytest.raises(DatasetError, match="not usable JSON"):
        Dataset(folder)


def test_a_changed_shard_is_refused_by_all_that_opens_a_dataset(folder):
    with h5py.File(shard_of(folder), "r+") as file:
        file["gap_ev"][0] = 7.0
    for use in (lambda d: d[0], lambda d: d.column("gap_ev"), lambda d: d.find("r1"), list):
        with pytest.raises(DatasetError, match=r"has changed since it was written \(checksum\)"):
            use(Dataset(folder))


def test_a_shard_that_is_replaced_while_the_dataset_is_open_is_checked_again(folder, make_record):
    dataset = Dataset(folder)
    assert dataset[0].id == "r0"
    dataset.close()
    assert dataset[1].id == "r1"
    dataset.close()
    write_shard(shard_of(folder), [make_record(f"r{number}", 7) for number in range(3)])
    with pytest.raises(DatasetError, match="checksum"):
        _ = dataset[0]


def test_new_records_are_not_written_through_a_link(folder, tmp_path, make_record):
    (tmp_path / "elsewhere").mkdir()
    (folder / "staging").rmdir()
    (folder / "staging").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="staging is a symbolic link"):
        Store(folder)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_counts_that_declare_terabytes_are_refused_before_they_are_read(folder):
    with h5py.File(shard_of(folder), "r+") as file:
        del file["n_atoms"]
        file.create_dataset("n_atoms", shape=(5 * 10**12,), dtype="u4", chunks=(1000,))
    with pytest.raises(DatasetError, match=r"'n_atoms' declares 5e\+12 values"):
        Shard(shard_of(folder))


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_of_a_signed_shard_is_a_dataset_error_or_no_damage(folder, seed):
    rng = np.random.default_rng(seed)
    content = bytearray(shard_of(folder).read_bytes())
    reach = 3000 if seed % 3 else len(content)  # the first bytes say what is where
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(reach))
        content[place : place + 8] = b"\xff" * 8 if rng.random() < 0.2 else bytes([int(rng.integers(256))])
    shard_of(folder).write_bytes(content)
    sign(folder)
    with contextlib.suppress(DatasetError):
        dataset = Dataset(folder)
        assert [record.id for record in dataset] == list(dataset.ids)


@pytest.mark.parametrize("name", ["index.json", "ledger.jsonl", "split.json"])
def test_random_damage_of_json_is_a_typed_error_or_no_damage(folder, name):
    Ledger(folder / "ledger.jsonl").add(Event("r0", "done"), Event("r1", "failed", "why", 2.0))
    save_split(Split("random", 0, ("r0",), ("r1",), ("r2",)), folder / "split.json")
    sound = (folder / name).read_bytes()
    use = {"index.json": lambda path: len(Dataset(path.parent)), "ledger.jsonl": Ledger, "split.json": load_split}[name]
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        content = bytearray(sound)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(content)))
            content[place : place + int(rng.integers(3))] = bytes(rng.integers(256, size=int(rng.integers(3))).tolist())
        (folder / name).write_bytes(content)
        try:
            use(folder / name)
        except ClusterMLError:
            refused += 1
    assert refused > 20
