"""Exactness of every preset and head in double precision: what symmetry and locality demand of the outputs."""

import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from clusterml.errors import OptionError, StructureError, UnsupportedElementError
from clusterml.model.graph import batched, cluster_graph
from clusterml.model.heads.registry import REGISTRY
from clusterml.model.network import Network
from clusterml.model.spec import GraphRules, NetworkSpec, presets, read_spec

EXACT = 1e-10
SINGLE = 1e-5
HEADS = [kind.name for kind in REGISTRY.all()]
SIGNS = {"epsilon": 1.0, "gap_ev": 1.0, "ccm": 1.0, "delta_epsilon": -1.0, "opd": -1.0}

HEAVY = {("L", "moments"), ("L", "atomic")}
CASES = [
    pytest.param((preset, head, "both"), marks=[pytest.mark.slow] if (preset, head) in HEAVY else [])
    for preset in presets()
    for head in HEADS
] + [pytest.param(("S", head, "natural")) for head in HEADS]


def cluster(seed=3, metals=7, ligands=4):
    """A chiral heap of silver with SH and a carboxyl-like group: numbers, positions."""
    rng = np.random.default_rng(seed)
    numbers, points = [], []
    wanted = [47] * metals + [16, 1] * ligands + [8, 6]
    while len(points) < len(wanted):
        trial = rng.uniform(-4.0, 4.0, 3)
        if all(np.linalg.norm(trial - p) > 1.6 for p in points):
            numbers.append(wanted[len(points)])
            points.append(trial)
    return np.array(numbers), np.array(points)


def network(preset, head, parity, dtype=torch.float64, **more):
    torch.manual_seed(11)
    return Network(read_spec({"preset": preset, "head": head, "parity": parity, **more}), dtype).eval()


def run(net, *clusters, charge=-1, dtype=torch.float64):
    graphs = [cluster_graph(n, x, charge, net.spec.graph, dtype) for n, x in clusters]
    with torch.no_grad():
        return net(batched(graphs))


def distance(key, sign, first, second, floor=1e-4):
    """Largest difference of an output of two runs, relative to its size.

    The CD of untrained weights is often a millionth of the absorption; its size is taken as ``floor`` of that at least.
    """
    size = first[key].abs().max()
    if key == "delta_epsilon":
        size = torch.maximum(size, floor * first["epsilon"].abs().max())
    return float((sign * first[key] - second[key]).abs().max() / size.clamp(min=1e-12))


def row(outputs, k):
    return {key: value[k : k + 1] for key, value in outputs.items()}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def made(request):
    net = network(*request.param)
    numbers, positions = cluster()
    return net, numbers, positions, run(net, (numbers, positions))


def test_rotation_and_translation_change_nothing(made):
    net, numbers, positions, out = made
    turned = positions @ Rotation.random(random_state=5).as_matrix().T + [3.0, -20.0, 7.0]
    other = run(net, (numbers, turned))
    for key in SIGNS:
        assert distance(key, 1.0, out, other) < EXACT, key


def test_reflections_change_the_sign_of_cd_exactly(made):
    net, numbers, positions, out = made
    turn = Rotation.random(random_state=8).as_matrix()
    for mirror in (np.diag([-1.0, 1.0, 1.0]), -np.eye(3), turn @ np.diag([1.0, 1.0, -1.0]) @ turn.T):
        other = run(net, (numbers, positions @ mirror.T))
        for key, sign in SIGNS.items():
            assert distance(key, sign, out, other) < EXACT, key


def test_tensors_turn_with_the_cluster(made):
    net, numbers, positions, out = made
    if net.spec.head == "atomic":
        assert "rotatory_tensor" not in out
        return
    turn = Rotation.random(random_state=5).as_matrix() @ np.diag([1.0, -1.0, 1.0])
    other, by = run(net, (numbers, positions @ turn.T + [1.0, 2.0, 3.0])), torch.as_tensor(turn)
    for key, sign in (("absorption_tensor", 1.0), ("rotatory_tensor", -1.0)):
        expected = sign * by @ out[key] @ by.T
        assert float((expected - other[key]).abs().max()) < EXACT * float(out[key].abs().max()), key
    trace = out["rotatory_tensor"].diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, out["delta_epsilon"])
    assert float(torch.linalg.eigvalsh(out["absorption_tensor"]).min()) > -1e-9
    assert float(out["rotatory_tensor"].abs().max()) > float(out["delta_epsilon"].abs().max())


def test_the_order_of_atoms_does_not_matter(made):
    net, numbers, positions, out = made
    order = np.random.default_rng(0).permutation(len(numbers))
    other = run(net, (numbers[order], positions[order]))
    for key in SIGNS:
        assert distance(key, 1.0, out, other) < EXACT, key


def test_a_batch_gives_what_single_runs_give(made):
    net, numbers, positions, out = made
    more = cluster(seed=9, metals=4, ligands=2)
    batch = run(net, more, (numbers, positions), more)
    alone = run(net, more)
    for key in (*SIGNS, "features"):
        assert distance(key, 1.0, out, row(batch, 1)) < EXACT, key
        assert distance(key, 1.0, alone, row(batch, 0)) < EXACT, key
        assert distance(key, 1.0, row(batch, 0), row(batch, 2)) < EXACT, key


def test_pytorch_geometric_joins_graphs_as_we_do():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch_geometric's own import
        from torch_geometric.data import Batch
    rules = GraphRules()
    graphs = [cluster_graph(*cluster(seed), -1, rules) for seed in (3, 4, 5)]
    ours, theirs = batched(graphs), Batch.from_data_list([graph.to_data() for graph in graphs])
    for name in ours:
        torch.testing.assert_close(theirs[name], ours[name], rtol=0.0, atol=0.0)


def test_one_graph_does_not_feel_another(made):
    net, numbers, positions, _ = made
    graphs = [cluster_graph(n, x, 0, net.spec.graph, torch.float64) for n, x in [(numbers, positions)] * 2]
    graphs[0].pos.requires_grad_()
    out = net(batched(graphs))
    mine, theirs = (
        torch.autograd.grad(out["epsilon"][k].sum() + out["opd"][k], graphs[0].pos, retain_graph=True)[0]
        for k in (0, 1)
    )
    assert float(mine.abs().max()) > 0.0
    assert float(theirs.abs().max()) == 0.0


def test_cd_is_there_and_bounded(made):
    net, _, _, out = made
    assert bool((out["epsilon"] >= 0.0).all())
    largest = float(out["delta_epsilon"].abs().max() / out["epsilon"].max())
    without = net.spec.head == "atomic" and net.spec.parity == "natural"
    assert (largest == 0.0) if without else (1e-8 < largest < 1.0)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("shape", ["tetrahedron", "icosahedron", "planar"])
def test_achiral_clusters_have_no_cd_but_absorb(head, shape):
    net = network("S", head, "both")
    numbers, positions = achiral(shape)
    out = run(net, (numbers, positions @ Rotation.random(random_state=1).as_matrix().T))
    assert float(out["delta_epsilon"].abs().max()) < 1e-8 * float(out["epsilon"].max())
    assert float(out["epsilon"].max()) > 10.0
    assert abs(float(out["opd"])) < 1e-10


def achiral(shape):
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    if shape == "tetrahedron":
        return np.array([47] * 4 + [16] * 4), np.concatenate([corners, -1.9 * corners])
    if shape == "planar":
        return np.array([47, 47, 47, 16]), np.array([[0, 0, 0], [2.8, 0, 0], [1.1, 2.7, 0], [-1.4, -1.9, 0]])
    from ase.cluster import Icosahedron

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = Icosahedron("Ag", 2)
    return atoms.numbers, atoms.positions


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("which", ["metal_cutoff", "donor_cutoff", "other_cutoff", "pair_cutoff"])
def test_nothing_jumps_at_a_cutoff(head, which):
    net = network("S", head, "both")
    partner = {"metal_cutoff": 47, "donor_cutoff": 16, "other_cutoff": 1, "pair_cutoff": 47}[which]
    numbers = np.array([47, 47, 16, partner])
    start = np.array([[0, 0, 0], [0, 2.8, 0.3], [0.2, 0.3, 2.5], [0, 0, 0]], dtype=float)
    values = []
    for offset in (-1e-4, -1e-9, 1e-9, 1e-4):
        positions = start.copy()
        positions[3] = [getattr(net.spec.graph, which) + offset, 0.0, 0.0]
        values.append(run(net, (numbers, positions)))
    slope = distance("epsilon", 1.0, values[0], values[3])
    assert distance("epsilon", 1.0, values[1], values[2]) < 1e-4 * slope + 1e-9


@pytest.mark.parametrize("head", HEADS)
def test_single_precision_is_close(head):
    double = network("S", head, "both")
    single = network("S", head, "both", torch.float32)
    single.load_state_dict({key: value.float() for key, value in double.state_dict().items()})
    numbers, positions = cluster()
    fine, coarse = run(double, (numbers, positions)), run(single, (numbers, positions), dtype=torch.float32)
    for key in SIGNS:
        assert distance(key, 1.0, fine, coarse, floor=1e-2) < SINGLE, key


@pytest.mark.parametrize("head", HEADS)
def test_half_precision_learns_in_the_same_direction(head):
    net = network("S", head, "both", torch.float32)
    graph = batched([cluster_graph(*cluster(), -1, net.spec.graph, torch.float32)] * 2)
    slopes, spectra = [], []
    for half in (False, True):
        net.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = net(graph)
        (out["epsilon"].float().square().mean() + 1e4 * out["delta_epsilon"].float().square().mean()).backward()
        slopes.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
        spectra.append(out["epsilon"].detach().float())
    assert float((spectra[0] - spectra[1]).abs().max() / spectra[0].max()) < 0.1
    assert float(torch.cosine_similarity(*slopes, dim=0)) > 0.95


@pytest.mark.parametrize("head", HEADS)
def test_contributions_of_atoms_add_up_to_the_cd(head):
    net = network("S", head, "both")
    numbers, positions = cluster()
    graphs = [cluster_graph(numbers, x, -1, net.spec.graph, torch.float64) for x in (positions, -positions + 5.0)]
    weights = torch.linspace(0.0, 1.0, 121, dtype=torch.float64)
    shares = net.contributions(batched(graphs), weights).reshape(2, -1)
    total = (run(net, (numbers, positions))["delta_epsilon"] * weights).sum()
    assert shares[0].sum() == pytest.approx(float(total), rel=1e-10)
    assert float(shares[0].abs().max()) > 1e-3 * abs(float(total))
    torch.testing.assert_close(shares[1], -shares[0], rtol=1e-9, atol=float(1e-12 * shares.abs().max()))
    assert torch.all(shares[0][torch.tensor(np.isin(numbers, [1, 6]))] == 0.0)


@pytest.mark.parametrize("head", ["resolvent", "orbital"])
def test_far_apart_clusters_add_up(head):
    """Size consistency of two clusters that do not touch (charge 0, so that nothing else changes)."""
    net = network("S", head, "both", head_options={"scalar": 1} if head == "resolvent" else {})
    numbers, positions = cluster(metals=5)
    twice = (np.tile(numbers, 2), np.concatenate([positions, positions + np.array([60.0, 0.0, 0.0])]))
    # the number of metals enters the features by its logarithm: switch that off for the comparison
    with torch.no_grad():
        net.backbone.mixing.scalars[0].weight[:, -1] = 0.0
    one, two = run(net, (numbers, positions), charge=0), run(net, twice, charge=0)
    assert distance("epsilon", 2.0, one, two) < EXACT
    if head == "orbital":
        assert distance("gap_ev", 1.0, one, two) < EXACT
        assert distance("delta_epsilon", 2.0, one, two) < EXACT


@pytest.mark.parametrize("head", HEADS)
def test_a_single_atom_is_a_cluster_too(head):
    out = run(network("S", head, "both"), ([47], [[0.0, 0.0, 0.0]]), charge=1)
    assert all(torch.isfinite(value).all() for value in out.values())
    assert float(out["delta_epsilon"].abs().max()) < 1e-8 * max(float(out["epsilon"].abs().max()), 1.0)


@pytest.mark.parametrize(
    ("occupied", "virtual"),
    [
        ({"metal": [2, 0], "donor": [1, 2]}, {"metal": [0, 2], "donor": [1, 0]}),
        ({"metal": [0, 1], "donor": [0, 1]}, {"metal": [1, 0], "donor": [1, 0]}),
    ],
)
def test_any_number_of_shells_is_mirror_exact(occupied, virtual):
    net = network("S", "orbital", "both", channels=8, head_options={"occupied": occupied, "virtual": virtual})
    numbers, positions = cluster()
    out, mirrored = run(net, (numbers, positions)), run(net, (numbers, -positions))
    for key, sign in SIGNS.items():
        assert distance(key, sign, out, mirrored) < EXACT, key


def test_what_cannot_be_read_is_named():
    rules = GraphRules()
    with pytest.raises(UnsupportedElementError, match="U"):
        cluster_graph([92, 16], np.eye(3)[:2], 0, rules)
    with pytest.raises(StructureError, match="no metal"):
        cluster_graph([6, 1], np.eye(3)[:2], 0, rules)
    for values, what in (
        ({"chanels": 3}, r"network: unknown key 'chanels' \(did you mean 'channels'\?\)"),
        ({"graph": {"metal_cutof": 3}}, r"unknown key 'graph.metal_cutof' \(did you mean 'metal_cutoff'\?\)"),
        ({"head": "moment"}, "network head is 'moment' .did you mean 'moments'"),
        ({"head": 3}, "network: head is 3, not the name of a head"),
        ({"preset": "XL"}, r"network preset is 'XL' \(choose S, M, L\)"),
        ({"presett": "S"}, "unknown key 'presett'"),
        ({"graph": 3}, "network: graph is 3, not a mapping"),
        ({"head_options": 3}, "head_options is 3"),
        ({"head_options": {"band": 3}}, r"head_options: unknown key 'band' \(did you mean 'bands'\?\)"),
        ({"orbitals": {}}, "orbitals is of the head orbital, not of resolvent .*head_options"),
    ):
        with pytest.raises(OptionError, match=what):
            read_spec(values)
    for bad, what in (
        ({"metal": [1]}, r"occupied.metal is \[1\], not two whole numbers"),
        ({"donor": 3}, "occupied.donor is 3, not two"),
        ({"metal": [-1, 1]}, r"occupied.metal is \[-1, 1\]|occupied.metal.0 is -1"),
        ({"first_ev": -1.0}, "occupied.first_ev is -1.0, not two energies"),
        ({"donor": [0, 0]}, "without orbitals"),
    ):
        with pytest.raises(OptionError, match=what):
            read_spec({"head": "orbital", "head_options": {"occupied": bad}})


@pytest.mark.parametrize(
    "wanted",
    [
        {"channels": 10_000_000},
        {"channels": 0},
        {"channels": 16.0},
        {"channels": "16"},
        {"channels": True},
        {"layers": 1_000_000},
        {"lmax": 40},
        {"lmax": 0},
        {"n_radial": 10**9},
        {"radial_width": 10**9},
        {"element_width": -1},
        {"message_scale": 0.0},
        {"density_scale": float("nan")},
        {"graph": {"metal_cutoff": 1e9}},
        {"graph": {"elements": list(range(1, 10**5))}},
        {"graph": {"elements": [47, 47]}},
        {"graph": {"metals": []}},
        {"graph": {"donors": "S"}},
        {"head_options": {"bands": 10**6}},
        {"head_options": {"triplet": 10**6}},
        {"head_options": {"strength": True}},
        {"head": "orbital", "head_options": {"occupied": {"metal": [10**6, 1]}}},
        {"head": "orbital", "head_options": {"virtual": {"first_ev": [1.0, float("inf")]}}},
        {"head": "moments", "head_options": {"channels": 10**6}},
        {"head": "atomic", "head_options": {"dissymmetry": 3.0}},
        {"grid": {"step_ev": 1e-9}},
        {"grid": {"high_ev": 99.0, "step_ev": 0.001}},
        {"grid": {"high_ev": 0.1}},
        {"grid": {"step_ev": 0.07}},
        {"fwhm_ev": 0.0},
        {"fwhm_ev": None},
    ],
    ids=str,
)
def test_a_spec_beyond_what_can_be_built_is_refused_before_anything_is_allocated(wanted):
    key = list(wanted)[-1]
    inner = next(iter(wanted[key])) if isinstance(wanted[key], dict) and key != "grid" else ""
    with pytest.raises(OptionError, match=rf"network.*{key}.*{inner}"):
        read_spec(wanted)


def test_a_resolvent_head_without_oscillators_is_refused():
    with pytest.raises(OptionError, match="without oscillators; give metals or donors one"):
        read_spec({"head": "resolvent", "head_options": {"triplet": 0, "donor_triplet": 0}})


def options():
    return [(kind.options, kind.name) for kind in REGISTRY.all()]


@pytest.mark.parametrize(("model", "name"), [(NetworkSpec, "network"), *options()], ids=lambda value: str(value))
def test_every_key_of_a_spec_says_what_it_means_and_every_number_has_limits(model, name):
    from clusterml.config.schema import described

    for key, field in described(model):
        assert field.description, key
        schema = model.model_json_schema()
    numbers = [entry for entry in walk(schema) if entry.get("type") in ("integer", "number")]
    assert len(numbers) > 1
    assert all("minimum" in entry and "maximum" in entry for entry in numbers), name


def walk(schema):
    """Every part of a JSON schema that is a mapping."""
    if isinstance(schema, dict):
        yield schema
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from walk(value)


def test_presets_differ_from_the_defaults_only_where_they_are_larger():
    small, medium, large = (presets()[name] for name in ("S", "M", "L"))
    assert (small.channels, medium.channels, large.channels) == (24, 32, 64)
    assert small.head_options == NetworkSpec().head_options
    assert (medium.head_options.bands, large.head_options.donor_triplet) == (8, 2)
    assert read_spec({"layers": 3}, preset="M") == medium.model_copy(update={"layers": 3})
    assert read_spec({"head": "orbital"}, preset="M").head_options == read_spec({"head": "orbital"}).head_options
    for spec in (small, medium, large, read_spec({"head": "orbital", "head_options": {"moment": 0.5}})):
        assert read_spec(spec.to_dict()) == spec
