"""A small real network with random weights as a checkpoint, and a dataset of small molecules with made-up spectra."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from clusterml.dataset.record import GRID_EV, N_LOWEST, Record, stored_positions
from clusterml.dataset.split import save_split
from clusterml.dataset.splits import make_split
from clusterml.dataset.store import Store
from helpers import random_release

DATA = Path(__file__).resolve().parents[1] / "data" / "engine"
PARENTS = {"agsch3": 0, "ag2_tfa2": 0}


def molecule(name: str) -> Atoms:
    data = json.loads((DATA / f"{name}.json").read_text())
    return Atoms(data["symbols"], data["xyz_angstrom"], info={"charge": data["charge"], "name": name})


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """Two networks, without calibration; tests must not change it."""
    return random_release(tmp_path_factory.mktemp("models") / "tiny", 2)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    store = Store(tmp_path_factory.mktemp("made-up"))
    for number in range(24):
        store.add(record(number))
    store.pack({"name": "made-up"})
    return store.folder


@pytest.fixture(scope="session")
def split_file(dataset) -> Path:
    from clusterml.dataset.store import Dataset

    path = dataset / "random.json"
    save_split(make_split(Dataset(dataset), "random", fractions=(0.25, 0.25)), path)
    return path


def record(number: int) -> Record:
    """A shaken molecule whose CD follows the handedness of its displacement."""
    rng = np.random.default_rng(number)
    name = list(PARENTS)[number % 2]
    atoms = molecule(name)
    positions = stored_positions(atoms.positions + 0.05 * rng.normal(size=(len(atoms), 3)))
    hand = float(np.linalg.det(positions[:3] - positions.mean(axis=0)))
    bands = np.exp(-(((GRID_EV[None] - np.array([[2.0], [3.5]])) / 0.1) ** 2))
    epsilon, cd = 1e3 * (bands[0] + 2.0 * bands[1]), 3.0 * np.tanh(hand) * (bands[0] - bands[1])
    return Record(
        id=f"r{number:03d}",
        kind="thermal" if number % 3 else "mode",
        parent=name,
        family=name,
        shell="SH",
        hand="0",
        pair=f"r{number:03d}",
        method="gfn1",
        charge=atoms.info["charge"],
        numbers=np.asarray(atoms.numbers, dtype=np.int64),
        positions=positions,
        gap_ev=1.5,
        epsilon=epsilon,
        epsilon_velocity=epsilon,
        delta_epsilon=cd,
        delta_epsilon_length=cd,
        absorption_tensor=np.zeros((len(GRID_EV), 3, 3)),
        rotatory_tensor=np.zeros((len(GRID_EV), 3, 3)),
        lowest_ev=np.ones(N_LOWEST),
        lowest_f=np.ones(N_LOWEST),
        lowest_r_cgs=np.zeros(N_LOWEST),
        details={"chirality": {"opd_local_frame": 1e-3 * hand, "ccm_frame": abs(hand)}},
    )


@pytest.fixture
def make_molecule():
    return molecule
