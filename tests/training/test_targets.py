from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from tiny import GRID, record, tiny_spec

from clusterml.dataset.record import FINE, GRID_EV, SpectralGrid
from clusterml.dataset.split import Split
from clusterml.dataset.store import Dataset, Store
from clusterml.errors import DatasetError, OptionError
from clusterml.spectrum.transitions import gaussian
from clusterml.training.config import DataConfig
from clusterml.training.material import SMALLEST_G, attach_scales, chosen, labelled, spreads
from clusterml.training.targets import MEASURES, TENSORS, Broadening, Wanted, broadening_matrix, targets

SPEC = tiny_spec({})


@pytest.fixture
def graph(architecture):
    return lambda each: architecture.graph_of(each, SPEC)


@pytest.mark.parametrize("centre", [0.9, 2.013, 5.0])
def test_a_broadened_band_is_the_band_of_the_greater_width(centre):
    wanted = GRID.energy_ev
    made = broadening_matrix(wanted, 0.2) @ gaussian(GRID_EV - centre, 0.1)
    exact = gaussian(wanted - centre, 0.2)
    assert len(wanted) == 121
    np.testing.assert_allclose(made, exact, atol=3e-3 * exact.max())
    assert np.abs(made - exact)[wanted < 5.0].max() < 1e-8 + (3e-3 if centre == 5.0 else 0.0)


def test_what_lies_beyond_the_stored_range():
    wanted = GRID.energy_ev
    constant = broadening_matrix(wanted, 0.2) @ np.ones(len(GRID_EV))
    np.testing.assert_allclose(constant[wanted > 1.0], 1.0)  # the last value goes on
    assert 0.4 < constant[0] < 0.6  # nothing absorbs below


@pytest.mark.parametrize(
    ("grid", "fwhm"), [(GRID.model_copy(update={"high_ev": 6.0}), 0.2), (GRID, 0.1), (GRID, float("nan"))]
)
def test_what_the_labels_cannot_give_is_refused(grid, fwhm):
    with pytest.raises(OptionError, match="labels are stored"):
        broadening_matrix(grid.energy_ev, fwhm)


def test_targets_take_the_wanted_gauges_and_measures():
    each = record("a", 1)
    broadening, matrix = Broadening(GRID.energy_ev, 0.2), broadening_matrix(GRID.energy_ev, 0.2)
    asked = Wanted.of({"rotatory_tensor": 1.0, "absorption_tensor": 0.0, "opd": 0.1, "ccm": 0.1}, "velocity", "length")
    found = targets(each, asked, broadening)
    assert set(found) == {"epsilon", "delta_epsilon", "rotatory_tensor", "opd", "ccm"}
    assert found["rotatory_tensor"].shape == (1, 121, 3, 3)
    np.testing.assert_allclose(found["rotatory_tensor"][0, 60], np.einsum("e,eij", matrix[60], each.rotatory_tensor))
    np.testing.assert_allclose(found["epsilon"][0], matrix @ each.epsilon_velocity, rtol=1e-6, atol=1e-20)
    np.testing.assert_allclose(found["delta_epsilon"][0], matrix @ each.delta_epsilon_length, rtol=1e-5, atol=1e-6)
    assert found["opd"].tolist() == pytest.approx([1e3 * each.details["chirality"]["opd_local_frame"]])
    assert found["ccm"].tolist() == pytest.approx([each.details["chirality"]["ccm_frame"]])
    assert set(targets(each, Wanted(), broadening)) == {"epsilon", "delta_epsilon"}


COARSE = SpectralGrid(low_ev=0.44, step_ev=0.06, n_points=88, fwhm_ev=0.2, levels=4095)


@pytest.mark.parametrize(("width", "largest"), [(0.2, 1e-3), (0.25, 3e-3)])
@pytest.mark.parametrize(("count", "signed"), [(6, False), (1000, False), (3000, True)])
def test_a_coarse_grid_gives_the_spectrum_between_its_energies(width, largest, count, signed):
    """Bands from 0.6 to 6.2 eV, some beyond the grid: the values at 0.01 eV, rounded as they are stored."""
    rng = np.random.default_rng(count)
    between = np.arange(50, 551) / 100.0
    matrix = broadening_matrix(between, width, grid=COARSE)
    for _ in range(5):
        energies_ev, strengths = rng.uniform(0.6, 6.2, count), rng.normal(size=count)
        strengths = strengths if signed else np.abs(strengths)
        stored = gaussian(COARSE.energy_ev[:, None] - energies_ev, 0.2) @ strengths
        step = np.abs(stored).max() / COARSE.levels
        exact = gaussian(between[:, None] - energies_ev, width) @ strengths
        got = matrix @ (np.rint(stored / step) * step)
        assert np.abs(got - exact).max() < largest * np.abs(exact).max()


def test_a_grid_is_fine_enough_for_its_width():
    with pytest.raises(ValidationError, match=r"step_ev is 0\.08: give at most"):
        SpectralGrid(step_ev=0.08, n_points=60, fwhm_ev=0.2)


def test_records_of_two_grids_are_taught_to_one_network():
    """The same bands, stored finely at 0.1 eV and coarsely at 0.2 eV."""
    wanted, kept = Broadening(GRID.energy_ev, 0.2), {}
    for grid in (FINE, COARSE):
        curve = gaussian(grid.energy_ev - 2.5, grid.fwhm_ev)
        tensors = {name: np.zeros((grid.n_points, 3, 3)) for name in TENSORS}
        names = ("epsilon", "epsilon_velocity", "delta_epsilon", "delta_epsilon_length")
        each = record("a", 1, grid=grid, **dict.fromkeys(names, curve), **tensors)
        kept[grid] = targets(each, Wanted(), wanted)["epsilon"][0].numpy()
    exact = gaussian(GRID.energy_ev - 2.5, 0.2)
    for got in kept.values():
        np.testing.assert_allclose(got, exact, atol=1e-3 * exact.max())


@pytest.mark.parametrize(
    ("changes", "label", "absent"),
    [
        ({"details": {"chirality": {"ccm_frame": 1.0}}}, "opd", "opd_local_frame"),
        ({"details": {}}, "opd", "chirality"),
        ({"gap_ev": 0.0}, "gap_ev", "gap_ev, "),
        ({"details": {"missing": ["rotatory_tensor"]}}, "rotatory_tensor", "rotatory_tensor, "),
        ({"details": {"missing": ["epsilon_velocity"]}}, "epsilon", "epsilon_velocity, "),
    ],
)
def test_a_missing_label_is_an_error_that_names_what_there_is(changes, label, absent):
    broadening = Broadening(GRID.energy_ev, 0.2)
    with pytest.raises(DatasetError, match=f"record a has no label '{label}'") as raised:
        targets(record("a", 1, **changes), Wanted("velocity", others=(*TENSORS, *MEASURES)), broadening)
    known = raised.value.problem.partition("it has ")[2]
    assert "delta_epsilon" in known
    assert absent not in known


def test_charges_of_shells_are_told_apart_by_angular_momentum():
    """GFN1: H has two s shells, S s p d, Ag d s p, in this order."""
    changes = {"numbers": np.array([1, 16, 47]), "positions": 3.0 * np.eye(3), "level_histogram": np.arange(80.0)}
    each = record("a", 1, shell_charges=np.arange(1.0, 9.0), **changes)
    wanted = Wanted.of({"shell_charges": 1.0, "level_histogram": 1.0}, "length", "velocity")
    found = targets(each, wanted, Broadening(GRID.energy_ev, 0.2))
    assert found["shell_charges"].tolist() == [[3.0, 0.0, 0.0], [3.0, 4.0, 5.0], [7.0, 8.0, 6.0]]
    assert found["level_histogram"].tolist() == [list(range(80))]


@pytest.mark.parametrize(
    ("charges", "words"), [(0, "no label 'shell_charges'"), (5, "charges of 5 shells, GFN1 has 8")]
)
def test_charges_that_are_not_of_gfn1_are_refused(charges, words):
    each = record("a", 1, numbers=np.array([1, 16, 47]), positions=3.0 * np.eye(3), shell_charges=np.ones(charges))
    with pytest.raises(DatasetError, match=f"record a.*{words}"):
        targets(each, Wanted(others=("shell_charges",)), Broadening(GRID.energy_ev, 0.2))


def test_the_scale_of_a_weak_cd_is_that_of_its_parent_and_never_below_what_can_be_measured(tmp_path, graph):
    from clusterml.dataset.store import Store

    store = Store(tmp_path)
    for number, factor in enumerate((100.0, 100.0, 1.0, 0.0)):
        cd = factor * record("x", 1).delta_epsilon
        store.add(record(f"a{number}", 1, delta_epsilon=cd))
    store.add(record("b", 2, delta_epsilon=np.zeros(len(GRID_EV))))
    store.pack()
    part = labelled(
        Dataset(tmp_path), ("a0", "a1", "a2", "a3", "b"), graph, Wanted(others=("ccm", "rotatory_tensor")), SPEC
    )
    attach_scales([part], 0.3)
    scales = [float(sample.delta_epsilon_scale) for sample in part.samples]
    rms = np.sqrt(np.mean(part.spectra("delta_epsilon") ** 2, axis=1))
    assert scales[0] == pytest.approx(rms[0])
    middle = np.median(rms[:4])
    assert scales[2] == scales[3] == pytest.approx(0.3 * middle)
    assert scales[4] == pytest.approx(SMALLEST_G * float(part.samples[4].epsilon_scale))
    assert all(
        float(sample.rotatory_tensor_scale) >= 0.99 * SMALLEST_G * float(sample.epsilon_scale)
        for sample in part.samples
    )
    assert spreads(part)["ccm"] > 0.0
    assert [int(sample.row) for sample in part.samples] == list(range(5))


def test_records_are_chosen_by_kind_method_parent_and_share(tmp_path):
    from clusterml.dataset.store import Store

    store = Store(tmp_path)
    for number in range(20):
        store.add(record(f"r{number:02d}", number, kind="thermal" if number < 10 else "mode"))
    store.add(record("other", 3, method="stda-xtb"))
    store.add(record("drawn", 5, family="core-00000", parent="core-00000", details={"hypothetical": 0}))
    store.pack()
    dataset = Dataset(tmp_path)
    names = [name for name in dataset.ids if name not in ("other", "drawn")]
    split = Split("random", 0, (*names[:16], "other", "drawn"), tuple(names[16:18]), tuple(names[18:]))

    def pick(**changes):
        return chosen(dataset, split, DataConfig(dataset=str(tmp_path), **changes), 0)

    with pytest.raises(DatasetError, match=r"gfn1, stda-xtb.*data\.method"):
        pick()
    train, validation = pick(method="gfn1")
    assert (len(train), len(validation)) == (17, 2)
    assert pick(method="gfn1", hypothetical=False)[0] == [name for name in train if name != "drawn"]
    assert len(pick(method="gfn1", kinds=["thermal", "mode"], parents=["ag4"])[0]) == 8
    few, more = (set(pick(method="gfn1", fraction=share)[0]) for share in (0.25, 0.5))
    assert len(few) == 5
    assert few < more < set(train)
    with pytest.raises(DatasetError, match="no record is left for validation"):
        pick(kinds=["thermal"], method="gfn1")
    with pytest.raises(DatasetError, match=r"no parent 'ag9'.*ag4, ag6"):
        pick(parents=["ag9"])
    with pytest.raises(DatasetError, match="no record 'gone'"):
        chosen(dataset, Split("random", 0, ("gone",), (), ()), DataConfig(dataset=str(tmp_path), method="gfn1"), 0)


@pytest.mark.parametrize("stored", [0.1, 0.15, 0.19, 0.1999, 0.2])
def test_a_label_of_any_width_is_taught_as_what_the_network_has(stored):
    wanted = GRID.energy_ev
    label = record("a", 1, details={"fwhm_ev": stored}, epsilon=1e4 * gaussian(GRID_EV - 2.513, stored))
    taught = targets(label, Wanted(), Broadening(wanted, 0.2))["epsilon"][0].double().numpy()
    exact = 1e4 * gaussian(wanted - 2.513, 0.2)
    assert np.abs(taught - exact).max() < 2e-3 * exact.max()


@pytest.mark.parametrize("width", [0.25, 0.05, -1.0, True, "0.2", float("nan"), 1e9])
def test_a_label_that_is_wider_than_the_network_or_has_no_width_is_refused(width):
    label = record("a", 1, details={"fwhm_ev": width})
    with pytest.raises(DatasetError, match=r"record a: (its bands are 0\.25 eV wide|details\.fwhm_ev is)"):
        targets(label, Wanted(), Broadening(GRID.energy_ev, 0.2))


def test_a_label_is_known_up_to_a_width_below_its_last_excitation(graph):
    broadening = Broadening(GRID.energy_ev, 0.2)
    assert broadening.known(record("a", 1)).all()
    short = record("b", 2, details={"reaches_ev": 3.0})
    np.testing.assert_array_equal(broadening.known(short), GRID.energy_ev <= 2.8)
    for end, message in ((0.6, "end at 0.60 eV, below the network's grid"), ("x", "details.reaches_ev is 'x'")):
        with pytest.raises(DatasetError, match=message):
            broadening.known(record("c", 3, details={"reaches_ev": end}))


def test_scales_are_of_the_energies_that_are_known(tmp_path, graph):
    store = Store(tmp_path)
    whole, half = record("a", 1), record("b", 1, details={"reaches_ev": 3.0})
    for each in (whole, half):
        store.add(each)
    store.pack()
    part = labelled(Dataset(tmp_path), ["a", "b"], graph, Wanted(), SPEC)
    attach_scales([part], 0.0)
    low = GRID.energy_ev <= 2.8
    expected = np.sqrt(np.mean(part.spectra("epsilon")[:, low] ** 2, axis=1))
    assert float(part.samples[1].epsilon_scale) == pytest.approx(expected[1], rel=1e-5)
    assert float(part.samples[0].epsilon_scale) != pytest.approx(expected[0], rel=1e-3)
