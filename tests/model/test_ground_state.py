"""What a network says of the ground state: invariant, atom by atom, and counts that add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from clusterml.model.graph import batched, cluster_graph
from clusterml.model.network import Network
from clusterml.model.spec import read_spec

NUMBERS = np.array([47, 47, 47, 79, 16, 1, 15, 1, 1, 1])
POSITIONS = np.random.default_rng(4).normal(size=(10, 3)) * 2.5


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(2)
    return Network(read_spec({"preset": "S", "ground_state": True}), torch.float64).eval()


def run(network, *places, numbers=NUMBERS):
    graphs = [cluster_graph(numbers, place, -1, network.spec.graph, torch.float64) for place in places]
    with torch.no_grad():
        return network(batched(graphs))


def test_turned_or_mirrored_it_is_the_same(network):
    expected = run(network, POSITIONS)
    assert expected["shell_charges"].shape == (6, 3)
    assert expected["level_histogram"].shape == (1, 80)
    turn = Rotation.random(random_state=1).as_matrix()
    for moved in (POSITIONS @ turn.T + 3.0, POSITIONS * [-1.0, 1.0, 1.0]):
        other = run(network, moved)
        for key in ("shell_charges", "level_histogram"):
            torch.testing.assert_close(other[key], expected[key], rtol=1e-9, atol=1e-12)


def test_charges_follow_their_atoms_and_levels_add_up(network):
    order = np.random.default_rng(0).permutation(10)
    one, other = run(network, POSITIONS), run(network, POSITIONS[order], numbers=NUMBERS[order])
    core = [k for k in range(10) if NUMBERS[k] != 1]
    places = [core.index(k) for k in order if k in core]
    torch.testing.assert_close(other["shell_charges"], one["shell_charges"][places], rtol=1e-9, atol=1e-12)
    both = run(network, POSITIONS, 1.1 * POSITIONS)
    assert both["shell_charges"].shape == (12, 3)
    torch.testing.assert_close(both["level_histogram"][:1], one["level_histogram"], rtol=1e-9, atol=1e-12)
    assert float(one["level_histogram"].min()) > 0.0
