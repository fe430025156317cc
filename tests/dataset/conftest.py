"""Records for tests: random numbers of the right shape, so that storage can be tested without computing labels."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.dataset.record import N_LOWEST, Record, stored_positions

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
        "details": {"distortions": [{"mode": "breathing", "amount": 1.5}]},
    }
    for key in ("epsilon", "epsilon_velocity", "delta_epsilon", "delta_epsilon_length"):
        values[key] = rng.normal(size=M).astype(np.float32).astype(float)
    return Record(**(values | changes))


@pytest.fixture(scope="session")
def make_record():
    return fake_record
