"""Networks whose spectra start from the rapid response: what they say untrained, and what symmetry demands then."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clusterml.engine.response.rapid import rapid_response
from clusterml.errors import OptionError
from clusterml.model.graph import batched
from clusterml.model.network import Network
from clusterml.model.spec import read_spec
from clusterml.model.start import network_graph
from clusterml.structure.build.build import build

SPEC = read_spec({"channels": 6, "layers": 1, "start": "response", "head_options": {"bands": 2}})
GRID = SPEC.grid.energy_ev
MIRROR = np.diag([1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def cluster():
    """Ag4 with thiolates, its symmetry broken."""
    atoms = build("ag4", thiolate="SH")
    atoms.positions += np.random.default_rng(4).normal(0.0, 0.08, (len(atoms), 3))
    return atoms


@pytest.fixture(scope="module")
def graph(cluster):
    return network_graph(cluster.numbers, cluster.positions, cluster.info["charge"], SPEC, torch.float64)


def network(trained):
    """A network in double precision; ``trained``: with corrections of every kind."""
    torch.manual_seed(2)
    net = Network(SPEC, torch.float64).eval()
    if trained:
        with torch.no_grad():
            net.start.sizes.copy_(torch.tensor([15.0, 3.5, -3.0, 4.0, 11.0]))
            net.start.share.fill_(0.6)
            net.start.gap.fill_(0.2)
    return net


def of(net, *graphs):
    with torch.no_grad():
        return net(batched(graphs))


def turned(cluster, graph, turn):
    """The graph of the turned cluster, its response turned too: what rounding of orbitals changes is left out."""
    place = np.zeros((9, 9), dtype=int)
    rows, columns = np.triu_indices(9)
    place[rows, columns] = place[columns, rows] = np.arange(45)
    response = graph.response[0].numpy() @ np.array([1.0, 1.0j])
    whole = response[:, place.ravel()].reshape(-1, 9, 9)
    both = np.kron(np.diag([1.0, 1.0, 0.0]), turn) + np.kron(np.diag([0.0, 0.0, 1.0]), np.linalg.det(turn) * turn)
    whole = (both @ whole @ both.T)[:, rows, columns]
    made = type(graph)(**{name: graph[name] for name in graph})
    made.pos = torch.from_numpy(cluster.positions @ turn.T)
    made.response = torch.from_numpy(np.stack([whole.real, whole.imag], axis=-1))[None]
    return made


def test_untrained_it_says_what_the_rapid_response_says(cluster, graph):
    response = rapid_response(cluster.get_chemical_symbols(), cluster.positions, cluster.info["charge"])
    wanted, tensors = response.broaden(GRID), response.broaden_tensors(GRID)
    said = of(network(trained=False), graph)
    np.testing.assert_allclose(said["epsilon"][0], wanted.epsilon, atol=1e-6 * wanted.epsilon.max())
    np.testing.assert_allclose(
        said["delta_epsilon"][0], wanted.delta_epsilon, atol=1e-6 * np.abs(wanted.delta_epsilon).max()
    )
    for name, tensor in zip(("absorption_tensor", "rotatory_tensor"), tensors, strict=True):
        np.testing.assert_allclose(said[name][0], tensor, atol=1e-6 * np.abs(tensor).max())
    assert float(said["gap_ev"]) == pytest.approx(response.gap_ev)


@pytest.mark.parametrize("matrix", ["rotation", "reflection"])
def test_turned_and_mirrored_it_turns_exactly(cluster, graph, matrix):
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    turn = turn * np.linalg.det(turn)
    turn = turn if matrix == "rotation" else turn @ MIRROR
    net = network(trained=True)
    first, second = of(net, graph), of(net, turned(cluster, graph, turn))
    sign = np.linalg.det(turn)
    for name, factor in (("epsilon", 1.0), ("delta_epsilon", sign), ("gap_ev", 1.0)):
        size = float(first[name].abs().max())
        assert float((factor * first[name] - second[name]).abs().max()) < 1e-10 * size, name
    tensor = turn @ first["rotatory_tensor"].numpy() @ turn.T
    np.testing.assert_allclose(second["rotatory_tensor"], sign * tensor, atol=1e-9 * np.abs(tensor).max())


def test_corrections_change_every_output(graph):
    before, after = (of(network(trained), graph) for trained in (False, True))
    for name in ("epsilon", "delta_epsilon", "absorption_tensor", "rotatory_tensor", "gap_ev"):
        assert not torch.allclose(before[name], after[name], rtol=1e-3), name


def test_screening_is_that_of_a_uniform_field(graph):
    net = network(trained=False)
    x = torch.complex(*graph.response.unbind(-1))
    whole = torch.zeros(1, x.shape[1], 9, 9, dtype=x.dtype)
    rows, columns = np.triu_indices(9)
    whole[..., rows, columns] = whole[..., columns, rows] = x
    field = torch.diag(torch.tensor([1e-3, 2e-3, 3e-3], dtype=torch.float64))[None]
    screened = net.start._screened(whole, field)
    inverse = torch.linalg.inv(whole[..., :3, :3]) + field.to(x)[:, None]
    torch.testing.assert_close(screened[..., :3, :3], torch.linalg.inv(inverse))


def test_a_batch_gives_what_single_runs_give_and_all_of_it_learns(cluster, graph):
    net, other = network(trained=True), build("ag2")
    second = network_graph(other.numbers, other.positions, other.info["charge"], SPEC, torch.float64)
    both = net(batched([graph, second]))
    for name in ("epsilon", "delta_epsilon", "gap_ev"):
        alone = torch.cat([of(net, each)[name] for each in (graph, second)])
        torch.testing.assert_close(both[name], alone, rtol=1e-9, atol=1e-9)
    sum(both[name].square().mean() for name in ("epsilon", "delta_epsilon", "gap_ev")).backward()
    for name in ("sizes", "share", "gap", "readout.weight"):
        assert torch.isfinite(gradient := net.start.get_parameter(name).grad).all(), name
        assert (gradient != 0).any(), name


def test_an_achiral_cluster_has_no_cd():
    atoms = build("ag2")
    graph = network_graph(atoms.numbers, atoms.positions, atoms.info["charge"], SPEC, torch.float64)
    said = of(network(trained=True), graph)
    assert float(said["delta_epsilon"].abs().max()) < 1e-6 * float(said["epsilon"].max())


def test_another_head_cannot_correct_a_response():
    with pytest.raises(OptionError, match="orbital cannot correct"):
        read_spec({"head": "orbital", "start": "response"})
