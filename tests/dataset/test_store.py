from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from dataclasses import fields, replace

import numpy as np
import pytest

from clusterml.dataset.record import FINE, Record, SpectralGrid, stored_positions
from clusterml.dataset.runner import Event, Ledger
from clusterml.dataset.shards import Shard, write_shard
from clusterml.dataset.store import Dataset, Store, damaged_shards, read_index
from clusterml.dataset.verify import verify
from clusterml.errors import DatasetError, OptionError, OutputError


def assert_same(got: Record, expected: Record) -> None:
    """Numbers of an integer type and text exactly, curves to half a step of their largest value."""
    for f in fields(Record):
        a, b = getattr(got, f.name), getattr(expected, f.name)
        if isinstance(b, np.ndarray) and b.ndim and len(b) == expected.grid.n_points:
            parts = {"absorption_tensor": 4.0, "rotatory_tensor": 8.0, "epsilon_velocity": 8.0}.get(f.name, 1.0)
            of = expected.absorption_tensor if f.name == "epsilon_velocity" else b
            assert np.abs(a - b).max() <= parts * np.abs(of).max() / expected.grid.levels
        elif isinstance(b, np.ndarray):
            np.testing.assert_allclose(a, b, atol=1e-9)
        else:
            assert a == b


def test_a_shard_gives_back_what_was_written(tmp_path, make_record):
    records = [make_record(f"r{k}", k) for k in range(5)]
    write_shard(tmp_path / "a.h5", records)
    shard = Shard(tmp_path / "a.h5")
    for got, expected in zip(shard, records, strict=True):
        assert_same(got, expected)
    np.testing.assert_array_equal(shard.column("charge"), [-1] * 5)
    assert shard.column("id") == [f"r{k}" for k in range(5)]
    np.testing.assert_array_equal(shard.n_atoms(), [r.n_atoms for r in records])
    with pytest.raises(DatasetError, match="no column 'colour'"):
        shard.column("colour")


@pytest.mark.parametrize("size", [0.0, 1e-320, 1e-50, 1e-30, 1e30])
def test_tensors_of_any_size_can_be_kept(tmp_path, make_record, size):
    tensor = size * np.linspace(-1.0, 1.0, 251 * 9).reshape(251, 3, 3)
    write_shard(tmp_path / "s.h5", [make_record("a", rotatory_tensor=tensor), make_record("b")])
    first, second = Shard(tmp_path / "s.h5")
    np.testing.assert_allclose(
        first.rotatory_tensor, tensor if size > 1e-33 else np.zeros((251, 3, 3)), atol=3e-4 * size
    )
    assert np.abs(second.rotatory_tensor).max() > 1.0


def test_a_record_is_small(tmp_path, make_record):
    """Spectra of 30 bands on the grid of 0.06 eV, 70 atoms; 0.4 kB of 2.7 are the file's own, which few share here."""
    grid = SpectralGrid(low_ev=0.44, step_ev=0.06, n_points=88, fwhm_ev=0.2, levels=4095, lowest=False)
    records = []
    for number in range(64):
        rng = np.random.default_rng(number)
        bands = np.exp(-(((grid.energy_ev[:, None] - rng.uniform(1.5, 6.5, 30)) / 0.12) ** 2))
        electric, magnetic = rng.normal(size=(2, 30, 3))
        absorption, rotatory = (
            np.einsum("ek,ki,kj->eij", bands, electric, electric),
            np.einsum("ek,ki,kj->eij", bands, electric, magnetic),
        )
        changes = {name: np.trace(absorption, axis1=1, axis2=2) for name in ("epsilon", "epsilon_velocity")}
        changes |= {name: np.trace(rotatory, axis1=1, axis2=2) for name in ("delta_epsilon", "delta_epsilon_length")}
        changes |= {
            "numbers": np.sort(rng.choice([1, 6, 16, 47], size=70)),
            "shell_charges": np.round(rng.normal(size=160) / 9, 3),
        }
        changes |= {"positions": np.cumsum(rng.normal(size=(70, 3)), axis=0) - 3.0}
        changes |= {f"lowest_{key}": np.zeros(10) for key in ("ev", "f", "r_cgs")}
        tensors = {"absorption_tensor": absorption, "rotatory_tensor": rotatory}
        records.append(make_record(f"r{number}", number, grid=grid, **changes, **tensors))
    write_shard(tmp_path / "s.h5", records)
    assert (tmp_path / "s.h5").stat().st_size / len(records) < 2800
    assert_same(
        Shard(tmp_path / "s.h5").record(7), replace(records[7], positions=stored_positions(records[7].positions))
    )


def test_records_on_two_grids_are_not_mixed(tmp_path, make_record):
    grid = SpectralGrid(step_ev=0.02, n_points=251, fwhm_ev=0.2)
    with pytest.raises(DatasetError, match="record b: has other energies than a"):
        write_shard(tmp_path / "s.h5", [make_record("a"), make_record("b", grid=grid)])
    store = Store(tmp_path / "d")
    with pytest.raises(DatasetError, match="record b: its spectra are on"):
        store.add(make_record("b", grid=grid))
    with pytest.raises(DatasetError, match="holds spectra on"):
        Store(tmp_path / "d", grid)
    assert Store(tmp_path / "d", FINE).finished() == set()


def test_the_same_records_give_the_same_bytes(tmp_path, make_record):
    first = write_shard(tmp_path / "a.h5", [make_record("a", 1)])
    second = write_shard(tmp_path / "b.h5", [make_record("a", 1)])
    assert first == second
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epsilon", np.full(251, np.nan), "epsilon is not finite"),
        ("epsilon", np.zeros(7), "shape"),
        ("positions", np.full((2, 3), np.inf), "positions"),
        ("gap_ev", float("inf"), "gap_ev is not finite"),
        ("kind", "magic", "kind is 'magic'"),
    ],
)
def test_a_bad_record_is_refused(make_record, field, value, message):
    with pytest.raises(DatasetError, match=message):
        make_record("bad", **{field: value})


def test_mirroring_twice_changes_nothing_and_once_changes_every_sign_of_the_cd(make_record):
    record = make_record("a")
    image = record.mirrored("a-mirror", "S")
    np.testing.assert_array_equal(image.epsilon, record.epsilon)
    np.testing.assert_array_equal(image.delta_epsilon, -record.delta_epsilon)
    # trace of the rotatory tensor is the CD, trace of the absorption tensor the absorption
    for name, sign in (("rotatory_tensor", -1.0), ("absorption_tensor", 1.0)):
        traces = [np.trace(getattr(r, name), axis1=1, axis2=2) for r in (image, record)]
        np.testing.assert_allclose(traces[0], sign * traces[1], rtol=1e-12)
    back = image.mirrored("a", "R")
    np.testing.assert_array_equal(back.positions, record.positions)
    np.testing.assert_array_equal(back.rotatory_tensor, record.rotatory_tensor)


def test_a_mirror_image_carries_ligands_of_the_other_hand(make_record):
    details = {"ligands": {"R-TFL": 3, "SH": 24, "HCOO": 1}, "chirality": {"opd": 2e-4, "ccm_frame": 1.5}}
    image = make_record("a", shell="1HCOO+3R-TFL+24SH", details=details).mirrored("a-mirror", "S")
    assert image.shell == "1HCOO+3S-TFL+24SH"
    assert image.details["ligands"] == {"S-TFL": 3, "SH": 24, "HCOO": 1}
    assert image.details["chirality"] == {"opd": -2e-4, "ccm_frame": 1.5}
    assert image.mirrored("a", "R").shell == "1HCOO+3R-TFL+24SH"


def test_packing_keeps_every_record_once_and_changes_no_shard(tmp_path, make_record, monkeypatch):
    monkeypatch.setattr("clusterml.dataset.store.RECORDS_PER_SHARD", 4)
    store = Store(tmp_path / "d")
    records = {f"r{k:02d}": make_record(f"r{k:02d}", k) for k in range(14)}
    seen: dict[str, bytes] = {}
    for count, record in enumerate(records.values(), start=1):
        store.add(record)
        if count in (3, 6, 13):
            if count == 6:
                store.pack_full()  # three are too few
            else:
                store.pack()
            assert len(read_index(store.folder).ids) == {3: 3, 6: 3, 13: 13}[count]
            now = {path.name: path.read_bytes() for path in (tmp_path / "d" / "shards").iterdir()}
            assert seen.items() <= now.items()
            seen = now
    assert store.finished() == set(records)
    assert store.pack({"name": "test"}) == 14
    assert not list((tmp_path / "d" / "staging").iterdir())
    dataset = Dataset(tmp_path / "d")
    assert sorted(dataset.ids) == sorted(records)
    assert dataset.about == {"name": "test"}
    for record in dataset:
        assert_same(record, records[record.id])
    assert_same(dataset.find("r07"), records["r07"])
    assert [r.id for r in dataset[-2:]] == list(dataset.ids[-2:])
    assert [len(e.ids) for e in read_index(tmp_path / "d").shards] == [3, 4, 4, 2, 1]
    assert list(damaged_shards(tmp_path / "d")) == []


def test_the_index_is_left_alone_until_a_shard_is_full(tmp_path, make_record, monkeypatch):
    """It names all records: reading and writing it takes longer the larger the dataset is."""
    monkeypatch.setattr("clusterml.dataset.store.RECORDS_PER_SHARD", 3)
    store, written = Store(tmp_path), []
    write = Store._write_index
    monkeypatch.setattr(Store, "_write_index", lambda self, index: (written.append(len(index.ids)), write(self, index)))
    for k in range(8):
        store.add(make_record(f"r{k}", k))
        store.pack_full()
    assert written == [3, 6]
    assert store.finished() == {f"r{k}" for k in range(8)}


def test_records_that_belong_together_are_kept_together(tmp_path, make_record, monkeypatch):
    monkeypatch.setattr("clusterml.dataset.store.RECORDS_PER_SHARD", 2)
    store = Store(tmp_path)
    store.add(make_record("mean"), make_record("mean-000", 1), make_record("mean-001", 2))
    store.add(make_record("next", 3))
    assert store.finished() == {"mean", "next"}
    assert store.pack() == 4
    assert [len(e.ids) for e in read_index(tmp_path).shards] == [3, 1]


def test_a_crash_between_index_and_sweep_doubles_nothing(tmp_path, make_record, monkeypatch):
    store = Store(tmp_path)
    for k in range(3):
        store.add(make_record(f"r{k}", k))
    monkeypatch.setattr(Store, "_sweep", lambda self, entries: None)
    store.pack()
    monkeypatch.undo()
    assert len(list((tmp_path / "staging").iterdir())) == 3
    assert Store(tmp_path).pack() == 3
    assert sorted(Dataset(tmp_path).ids) == ["r0", "r1", "r2"]
    assert not list((tmp_path / "staging").iterdir())


def test_a_crash_before_the_index_leaves_the_old_dataset(tmp_path, make_record, monkeypatch):
    store = Store(tmp_path)
    store.add(make_record("a", 1))
    store.pack()
    store.add(make_record("b", 2))

    def crash(self, index):
        raise OutputError("no space")

    monkeypatch.setattr(Store, "_write_index", crash)
    with pytest.raises(OutputError):
        store.pack()
    monkeypatch.undo()
    assert Dataset(tmp_path).ids == ("a",)
    assert list(damaged_shards(tmp_path)) == []
    assert Store(tmp_path).pack() == 2


def test_damage_is_found_and_named(tmp_path, make_record):
    store = Store(tmp_path)
    store.add(make_record("a", 1))
    store.pack()
    path = next((tmp_path / "shards").iterdir())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert list(damaged_shards(tmp_path)) == [(path.name, "has changed since it was written (checksum)")]
    path.write_bytes(content[:100])
    with pytest.raises(DatasetError, match=path.name):
        _ = Dataset(tmp_path)[0]
    path.unlink()
    assert list(damaged_shards(tmp_path)) == [(path.name, "is missing")]


def test_a_folder_without_index_and_a_newer_schema_are_refused(tmp_path, make_record):
    with pytest.raises(DatasetError, match="not a dataset"):
        Dataset(tmp_path)
    store = Store(tmp_path)
    content = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(content | {"schema_version": 99}))
    with pytest.raises(DatasetError, match="schema version 99"):
        store.pack()
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(DatasetError, match=r"index\.json"):
        Dataset(tmp_path)


def test_a_dataset_can_be_sent_to_another_process(tmp_path, make_record):
    store = Store(tmp_path)
    store.add(make_record("a", 1))
    store.pack()
    dataset = Dataset(tmp_path)
    assert dataset[0].id == "a"
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert copy[0].id == "a"
    dataset.close()
    assert dataset[0].id == "a"


def test_the_ledger_remembers_the_last_event_and_survives_a_torn_line(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.add(Event("a", "planned"), Event("b", "planned"))
    ledger.add(Event("a", "done", seconds=1.5))
    with (tmp_path / "ledger.jsonl").open("a") as handle:
        handle.write('{"job": "b", "state": "do')
    again = Ledger(tmp_path / "ledger.jsonl")
    assert again.states() == {"a": Event("a", "done", seconds=1.5), "b": Event("b", "planned")}
    again.add(Event("b", "rejected", "clash"))
    assert Ledger(tmp_path / "ledger.jsonl").states()["b"].reason == "clash"


def test_a_ledger_that_was_edited_is_refused(tmp_path):
    (tmp_path / "ledger.jsonl").write_text('{"job": "a", "state": "done"}\n{"jobs": 3}\n')
    with pytest.raises(DatasetError, match="line 2"):
        Ledger(tmp_path / "ledger.jsonl")


def test_a_process_killed_while_it_adds_and_packs_loses_only_what_it_was_doing(tmp_path):
    script = textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(os.path.dirname(__file__))!r})
        from conftest import fake_record
        from clusterml.dataset.store import Store
        store = Store({str(tmp_path / "d")!r})
        for k in range(10**6):
            store.add(fake_record(f"r{{k:06d}}", k))
            print(k, flush=True)
            if k % 3 == 2:
                store.pack()
    """)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(7)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert said[-1].strip() == "6"
        store = Store(tmp_path / "d")
        total = store.pack()
        dataset = Dataset(tmp_path / "d")
        assert total == len(dataset) == len(set(dataset.ids)) >= 7
        assert {f"r{k:06d}" for k in range(7)} <= set(dataset.ids)
        assert [record.id for record in dataset] == list(dataset.ids)
        assert list(damaged_shards(tmp_path / "d")) == []


def test_grids_are_compared_by_their_numbers_whether_or_not_their_energies_were_asked_for():
    asked, unasked, other = SpectralGrid(), SpectralGrid(), SpectralGrid(n_points=200)
    assert asked.energy_ev[-1] == pytest.approx(5.5)
    assert other.energy_ev[-1] == pytest.approx(4.48)
    assert asked == unasked == SpectralGrid(low_ev=0.5)
    assert asked != other


def test_records_are_not_drawn_with_a_negative_seed(tmp_path, make_record, write_dataset):
    write_dataset(tmp_path / "d", [make_record("a")])
    with pytest.raises(OptionError, match="seed is -1"):
        verify(tmp_path / "d", share=1.0, seed=-1)
