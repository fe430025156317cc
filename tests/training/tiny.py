"""Helpers that tests and the processes they start share; see conftest.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from clusterml.config.schema import Strict
from clusterml.dataset.record import GRID_EV, N_LOWEST, Record, stored_positions
from clusterml.dataset.store import Store
from clusterml.model.graph import Graph
from clusterml.model.spec import Grid, NetworkSpec
from clusterml.training.run import Architecture

M = len(GRID_EV)
GRID = Grid(low_ev=0.5, high_ev=5.3, step_ev=0.04)

CONFIG = """
name: tiny
seed: 3
network: {width: 6}
data: {dataset: data, validation: 0.25, test: 0.1}
optimizer: {lr: 0.01}
schedule: {epochs: 4, warmup_epochs: 1}
batches: {edges: 60, structures: 4}
ema: 0.9
"""


def record(name: str, seed: int, **changes) -> Record:
    """Three to eight atoms whose spectra follow from their geometry: two bands each, of opposite sign in the CD."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    positions = stored_positions(rng.normal(size=(n, 3)) * 2.0)
    size = float(np.sqrt((positions**2).mean()))
    hand = float(np.linalg.det(positions[:3]))
    bands = np.exp(-(((GRID_EV[None] - np.array([[2.0], [3.5]])) / 0.1) ** 2))
    epsilon = 1e3 * size * (bands[0] + 2.0 * bands[1])
    cd = 3.0 * np.tanh(hand / 5.0) * (bands[0] - bands[1])
    zeros = np.zeros((M, 3, 3))
    values = {
        "id": name,
        "kind": "mode",
        "parent": "ag4" if seed % 2 else "ag6",
        "family": "ag4",
        "shell": "SH",
        "hand": "0",
        "pair": name,
        "method": "gfn1",
        "charge": -1,
        "numbers": rng.choice([1, 16, 47], size=n),
        "positions": positions,
        "gap_ev": 1.0 + 0.1 * size,
        "epsilon": epsilon,
        "epsilon_velocity": 0.9 * epsilon,
        "delta_epsilon": cd,
        "delta_epsilon_length": 0.9 * cd,
        "absorption_tensor": zeros,
        "rotatory_tensor": zeros,
        "lowest_ev": np.ones(N_LOWEST),
        "lowest_f": np.ones(N_LOWEST),
        "lowest_r_cgs": np.zeros(N_LOWEST),
        "details": {"chirality": {"opd_local_frame": 1e-3 * hand, "ccm_frame": abs(hand)}},
    }
    return Record(**(values | changes))


def write_records(folder: Path, count: int, **changes) -> Path:
    store = Store(folder)
    for number in range(count):
        store.add(record(f"r{number:03d}", number, **changes))
    store.pack({"name": "tiny-records"})
    return folder


class TinyNetwork(nn.Module):
    """Two layers on a few sums over atoms; not equivariant, which the training does not ask for."""

    def __init__(self, spec):
        super().__init__()
        self.spec = spec
        self.hidden = nn.Linear(12, spec.width)
        self.spectra = nn.Linear(spec.width, 242)
        self.numbers = nn.Linear(spec.width, 3)
        self.register_buffer("unit", torch.tensor([1000.0, 2.0]))
        self.to(getattr(torch, spec.graph.dtype))

    def forward(self, batch):
        position = batch.pos
        atoms = torch.cat([position, position**2, position**3, position.roll(1, 1) * position], dim=1)
        pooled = torch.zeros(batch.num_graphs, 12, dtype=position.dtype).index_add_(0, batch.batch, atoms)
        hidden = torch.tanh(self.hidden(0.1 * pooled))
        both = self.spectra(hidden)
        numbers = self.numbers(hidden)
        return {
            "epsilon": self.unit[0] * both[:, :121] ** 2,
            "delta_epsilon": self.unit[1] * both[:, 121:],
            "gap_ev": numbers[:, 0],
            "opd": numbers[:, 1],
            "ccm": numbers[:, 2],
            "features": hidden,
        }


def tiny_graph(numbers, positions, charge, rules):
    near = torch.cdist(torch.as_tensor(positions), torch.as_tensor(positions)) < rules.cutoff
    near.fill_diagonal_(False)
    return Graph(
        z=torch.as_tensor(numbers),
        pos=torch.as_tensor(positions, dtype=getattr(torch, rules.dtype)),
        charge=torch.tensor([float(charge)]),
        edge_index=torch.nonzero(near).T.contiguous(),
    )


class TinyRules(Strict):
    cutoff: float = 3.0
    dtype: str = "float32"


class TinySpec(NetworkSpec):
    width: int = 4
    poison: str = ""
    graph: TinyRules = TinyRules()


def tiny_spec(wanted):
    return TinySpec(**wanted)


def tiny_architecture() -> Architecture:
    return Architecture(tiny_spec, TinyNetwork, tiny_graph)
