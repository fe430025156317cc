"""Records for tests: random numbers of the right shape, so that storage can be tested without computing labels."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.dataset.record import N_LOWEST, SCHEMA_VERSION, Record, stored_positions
from clusterml.dataset.shards import write_shard
from clusterml.dataset.store import Dataset, Index, ShardEntry, Store

M = 251


def fake_record(name: str, seed: int = 0, **changes) -> Record:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    vectors = rng.normal(size=(M, 3))
    values = {
        "id": name,
        "kind": "mode",
        "parent": "ag4",
        "family": "ag4",
        "shell": "SH",
        "hand": "R",
        "pair": name,
        "method": "GFN1-xTB",
        "charge": -1,
        "numbers": rng.choice([1, 16, 47], size=n),
        "positions": stored_positions(rng.normal(size=(n, 3)) * 3.0),
        "gap_ev": float(np.float32(rng.uniform(0.1, 2.0))),
        "absorption_tensor": vectors[:, :, None] * vectors[:, None, :] * 1e4,
        "rotatory_tensor": rng.normal(size=(M, 3, 3)),
        "lowest_ev": np.sort(rng.uniform(1, 3, N_LOWEST)).astype(np.float32).astype(float),
        "lowest_f": rng.uniform(0, 1, N_LOWEST).astype(np.float32).astype(float),
        "lowest_r_cgs": rng.normal(size=N_LOWEST).astype(np.float32).astype(float),
        "shell_charges": np.round(rng.normal(size=2 * n), 3),
        "levels_ev": np.round(rng.normal(size=16), 3),
        "level_histogram": rng.integers(0, 40, 80).astype(float),
        "details": {"distortions": [{"mode": "breathing", "amount": 1.5}]},
    }
    for key in ("epsilon", "epsilon_velocity", "delta_epsilon", "delta_epsilon_length"):
        values[key] = rng.normal(size=M)
    return Record(**(values | changes))


@pytest.fixture(scope="session")
def make_record():
    return fake_record


@pytest.fixture(scope="session")
def write_dataset():
    """Write records as a packed dataset, at once: a store adds them one by one, each in a file of its own."""

    def write(folder, records) -> Dataset:
        Store(folder)
        records = sorted(records, key=lambda record: record.id)
        name = f"00000-{len(records):04d}.h5"
        checksum = write_shard(folder / "shards" / name, records)
        entry = ShardEntry(name=name, sha256=checksum, ids=tuple(record.id for record in records))
        index = Index(schema_version=SCHEMA_VERSION, about={}, grid=records[0].grid, shards=(entry,))
        (folder / "index.json").write_text(index.model_dump_json())
        return Dataset(folder)

    return write
