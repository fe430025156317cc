from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import OptionError, StructureError
from clusterml.structure.distort.apply import distort, distorted_positions
from clusterml.structure.distort.draws import ensemble, snapshots
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.vibrations import (
    expected_rms,
    rms_at,
    temperature_of,
    vibrations,
    wavenumbers,
)
from clusterml.units import BOLTZMANN_EV


def draws(subject, amount: float, count: int, **options) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.array(
        [distorted_positions(subject, "thermal-noise", [amount], rng=rng, **options)[0] for _ in range(count)]
    )


def covalent(subject):
    return subject.pairs.select(~subject.metal[subject.pairs.first] & ~subject.metal[subject.pairs.second])


def test_stiff_bonds_keep_their_lengths_while_the_rest_moves(ag29):
    moved = draws(ag29, 0.15, 4)
    pairs = covalent(ag29)
    now = np.linalg.norm(moved[:, pairs.first] - moved[:, pairs.second], axis=2)
    assert np.abs(now - pairs.distance).max() < 1e-8
    metals = np.linalg.norm((moved - ag29.positions)[:, ag29.metal], axis=2)
    assert np.sqrt((metals**2).mean()) > 0.08


def test_the_amount_is_the_expected_rms_of_heavy_atoms(td):
    moved = draws(td, 0.06, 60)
    heavy = td.numbers != 1
    rms = np.sqrt(np.sum((moved - td.positions)[:, heavy] ** 2, axis=2).mean())
    assert rms == pytest.approx(0.06, rel=0.06)
    assert np.abs((moved - td.positions).mean(axis=(0, 1))).max() < 0.005


def test_amount_and_temperature_belong_together(ag29):
    assert rms_at(ag29, 300.0) == pytest.approx(2.0 * rms_at(ag29, 75.0))
    assert temperature_of(ag29, rms_at(ag29, 250.0)) == pytest.approx(250.0)
    assert rms_at(ag29, 0.0) == 0.0
    assert 0.1 < rms_at(ag29, 300.0) < 0.3
    assert expected_rms(ag29, 300.0)[ag29.numbers == 1].mean() > expected_rms(ag29, 300.0)[ag29.metal].mean()
    with pytest.raises(OptionError, match="temperature is -1 K"):
        rms_at(ag29, -1.0)


def test_snapshots_repeat_with_the_seed(ag29):
    first, again, other = (snapshots(ag29, 200.0, 2, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first[1].positions, again[1].positions)
    assert np.abs(first[0].positions - first[1].positions).max() > 0.05
    assert np.abs(first[0].positions - other[0].positions).max() > 0.05
    entry = first[0].info["provenance"]["distortions"][0]
    assert entry["temperature_k"] == pytest.approx(200.0, abs=0.2)
    assert set(entry["rms_a"]) == {"Ag", "S", "P", "H"}


def test_factors_scale_elements(ag29):
    moved = draws(ag29, 0.1, 3, factors={"Ag": 0.0})
    shift = np.linalg.norm(moved - ag29.positions, axis=2)
    assert shift[:, ag29.metal].max() < 1e-12
    assert shift[:, ~ag29.metal].max() > 0.05
    with pytest.raises(OptionError, match="for Au, which is not in the structure"):
        draws(ag29, 0.1, 1, factors={"Au": 1.0})
    with pytest.raises(OptionError, match="factor of Ag is -1"):
        draws(ag29, 0.1, 1, factors={"Ag": -1.0})


def test_broken_draws_are_drawn_again(ag29):
    members = ensemble(ag29, "thermal-noise", 0.25, 12, rng=np.random.default_rng(0))
    assert len(members) == 12
    with pytest.raises(StructureError, match="thermal-noise"):
        ensemble(ag29, "thermal-noise", 0.5, 1, rng=np.random.default_rng(0), factors={"S": 10.0})
    with pytest.raises(OptionError, match="draws no random numbers"):
        ensemble(ag29, "breathing", 1.0, 2, rng=np.random.default_rng(0))


def test_normal_mode_moves_its_largest_atom_by_the_amount(td):
    assert np.all(np.diff(wavenumbers(td)) >= -1e-9)
    for index in (1, 20, 100):
        direction = vibrations(td).displacement[index - 1]
        assert np.linalg.norm(direction, axis=1).max() == pytest.approx(1.0)
        largest = np.abs(direction) > np.abs(direction).max() - 1e-6
        assert direction[largest][0] > 0
        moved = distorted_positions(td, "normal-mode", [0.02], index=index)[0]
        assert moved - td.positions == pytest.approx(0.02 * direction, abs=2e-3)
    result = distort(td, "normal-mode", 0.1, index=7)
    assert result.info["provenance"]["distortions"][0]["wavenumber_cm"] == pytest.approx(wavenumbers(td)[6], abs=0.01)


def test_normal_mode_that_does_not_exist(thiol):
    with pytest.raises(OptionError, match=r"normal mode 13 does not exist .*1 to 12"):
        distort(thiol, "normal-mode", 0.1, index=13)


def test_bond_stretches_stretch_bonds(thiol):
    """The last mode of methanethiol is a C-H stretch: the correction of lengths must not undo it."""
    moved = distorted_positions(thiol, "normal-mode", [0.05], index=12)[0]
    pairs = covalent(thiol)
    now = np.linalg.norm(moved[pairs.first] - moved[pairs.second], axis=1)
    assert np.abs(now - pairs.distance).max() > 0.03


@pytest.mark.slow
def test_snapshots_cost_about_the_thermal_energy_in_gfn1(ag29):
    """Equipartition: kT/2 per coordinate that moves; independent noise of the same size costs many times more."""
    from tblite.interface import Calculator

    def energy_ev(positions: np.ndarray) -> float:
        calculator = Calculator("GFN1-xTB", ag29.numbers, positions / 0.529177210903, charge=-3)
        calculator.set("verbosity", 0)
        return 27.211386 * float(calculator.singlepoint().get("energy"))

    parent = energy_ev(ag29.positions)
    frames = snapshots(ag29, 100.0, 2, rng=np.random.default_rng(1))
    cost = np.mean([energy_ev(frame.positions) - parent for frame in frames])
    coordinates = 3 * len(ag29.numbers) - 6 - len(covalent(ag29).first)
    assert 0.3 < cost / (0.5 * BOLTZMANN_EV * 100.0 * coordinates) < 3.0
    sigma = rms_at(ag29, 100.0) / np.sqrt(3.0)
    noise = np.random.default_rng(2).normal(0.0, sigma, ag29.positions.shape)
    assert energy_ev(ag29.positions + noise) - parent > 5.0 * cost


def test_a_single_atom_has_no_vibrations():
    atom = Subject(Atoms("Ag", [[0, 0, 0]], info={"name": "ag", "provenance": {"warnings": []}}))
    rng = np.random.default_rng(0)
    for use in (
        lambda: distort(atom, "thermal-noise", 0.1, rng=rng),
        lambda: distort(atom, "normal-mode", 0.1, index=1),
        lambda: list(snapshots(atom, 300.0, 2, rng=rng)),
        lambda: rms_at(atom, 300.0),
        lambda: temperature_of(atom, 0.1),
    ):
        with pytest.raises(OptionError, match="a single atom has no vibrations"):
            use()
    assert len(wavenumbers(atom)) == 0
