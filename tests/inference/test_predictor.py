"""Predictions from Python: one structure or many, mirror images, charges, batches, names in errors, the domain."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

import clusterml
from clusterml.dataset.store import Dataset
from clusterml.engine.protocol import ThermalEnsemble
from clusterml.errors import (
    ChargeError,
    InputFileError,
    MemoryLimitError,
    OptionError,
    SeveralMoleculesError,
    StructureError,
)
from clusterml.inference.calculator import SpectrumCalculator
from clusterml.inference.calibration import ABSORBS
from clusterml.inference.ensemble import choose_device, refine_grid
from clusterml.inference.judge import output_of
from clusterml.inference.predictor import Predictor
from clusterml.spectrum.compare import broaden_to


@pytest.fixture(scope="module")
def predictor(checkpoint) -> Predictor:
    return Predictor.load(checkpoint, device="cpu")


def test_a_structure_gives_a_spectrum_with_spread(predictor, make_molecule):
    prediction = predictor(make_molecule("agsch3"))
    assert isinstance(prediction, clusterml.Prediction)
    assert (prediction.model, prediction.charge, prediction.name) == ("tiny", 0, "agsch3")
    energy = prediction.spectrum.energy_ev
    assert (energy[0], energy[-1], len(energy)) == (0.5, pytest.approx(5.3), 241)
    assert prediction.spectrum.epsilon_std.max() > 0.0
    assert prediction.spectrum.meta["fwhm_ev"] == 0.2
    assert prediction.spectrum.epsilon.min() >= 0.0
    assert prediction.gap_ev > 0.0
    assert (prediction.in_domain, prediction.domain_score) == (None, None)
    assert prediction.warnings == ("the uncertainty is not calibrated",)
    assert prediction.atoms.info["name"] == "agsch3"


def test_a_larger_width_is_made_by_broadening_and_a_smaller_one_refused(predictor, make_molecule):
    own, wider = predictor(make_molecule("agsch3")), predictor.at_width(0.5)(make_molecule("agsch3"))
    assert (own.spectrum.meta["fwhm_ev"], wider.spectrum.meta["fwhm_ev"]) == (0.2, 0.5)
    expected = broaden_to(own.spectrum, 0.5)
    for key in ("epsilon", "delta_epsilon", "epsilon_std", "delta_epsilon_std"):
        np.testing.assert_allclose(getattr(wider.spectrum, key), getattr(expected, key), rtol=1e-5, atol=1e-8)
    assert wider.spectrum.epsilon.max() < own.spectrum.epsilon.max()
    assert predictor.at_width(None) is predictor
    for width in (0.1, 0.0, -1.0, math.nan, math.inf):
        with pytest.raises(OptionError, match=r"below that of the network tiny, 0\.2 eV"):
            predictor.at_width(width)


def test_where_nothing_absorbs_the_deviation_is_unknown(make_molecule):
    """Nothing was measured there, and the shipped network says so; where it absorbs every energy has a deviation."""
    spectrum = Predictor.load(device="cpu")(make_molecule("ag2_tfa2")).spectrum
    silent = spectrum.epsilon <= ABSORBS * spectrum.epsilon.max()
    assert 0.1 < silent.mean() < 0.9
    for std in (spectrum.epsilon_std, spectrum.delta_epsilon_std):
        np.testing.assert_array_equal(np.isnan(std), silent)
        assert std[~silent].max() < 2.0 * spectrum.epsilon.max()
    assert spectrum.energy_ev[silent].max() < spectrum.energy_ev[~silent].max()


def test_the_mirror_image_has_the_opposite_cd(predictor, make_molecule):
    one = make_molecule("propylene_oxide")
    other = one.copy()
    other.positions[:, 0] *= -1.0
    a, b = predictor([one, other])
    scale = np.abs(a.spectrum.delta_epsilon).max()
    assert scale > 0.0
    np.testing.assert_allclose(b.spectrum.delta_epsilon, -a.spectrum.delta_epsilon, atol=1e-4 * scale)
    np.testing.assert_allclose(b.spectrum.epsilon, a.spectrum.epsilon, rtol=1e-4, atol=1e-2)
    assert b.chirality.opd_local_frame == pytest.approx(-a.chirality.opd_local_frame, rel=1e-3)
    assert b.chirality.ccm_frame == pytest.approx(a.chirality.ccm_frame, rel=1e-4)


def test_many_in_small_batches_are_the_same_as_one_by_one(predictor, make_molecule, monkeypatch):
    structures = [make_molecule(name) for name in ("agsch3", "ag2_tfa2", "h2o2", "agsch3")]
    alone = [predictor(atoms) for atoms in structures]
    monkeypatch.setattr(predictor.ensemble, "_most_edges", 20)
    for one, other in zip(alone, predictor(structures), strict=True):
        np.testing.assert_allclose(one.spectrum.epsilon, other.spectrum.epsilon, rtol=1e-4, atol=1e-2)
    assert next(predictor.stream(iter(structures))).name == "agsch3"
    assert predictor([]) == []


def test_a_thermal_spectrum_is_the_mean_over_snapshots(predictor, make_molecule):
    atoms, thermal = make_molecule("agsch3"), ThermalEnsemble(members=3, temperature_k=300.0, seed=4)
    mean_prediction = predictor(atoms, thermal=thermal)
    each = predictor(thermal.snapshots(atoms), charge=mean_prediction.charge)
    mean = np.mean([one.spectrum.delta_epsilon for one in each], axis=0)
    scale = np.abs(mean).max()
    assert np.abs(mean - predictor(atoms).spectrum.delta_epsilon).max() > 1e-2 * scale
    np.testing.assert_allclose(mean_prediction.spectrum.delta_epsilon, mean, atol=1e-4 * scale)
    assert mean_prediction.provenance["ensemble"] == {
        "members": 3, "temperature_k": 300.0, "seed": 4, "motion": "elastic network",
    }  # fmt: skip
    np.testing.assert_array_equal(mean_prediction.atoms.positions, atoms.positions)
    spread = np.std([one.spectrum.delta_epsilon for one in each], axis=0, ddof=1)
    thermal_block = mean_prediction.to_dict()["thermal"]
    np.testing.assert_allclose(thermal_block["delta_epsilon_std"], spread, atol=1e-4 * scale)
    assert thermal_block["members"] == 3
    assert mean_prediction.sign_error > each[0].sign_error
    own = np.mean([one.spectrum.epsilon_std**2 for one in each], axis=0)
    assert (mean_prediction.spectrum.delta_epsilon_std >= spread / np.sqrt(3.0) * (1.0 - 1e-3)).all()
    spread = np.std([one.spectrum.epsilon for one in each], axis=0, ddof=1)
    assert (mean_prediction.spectrum.epsilon_std**2 <= (own + spread**2 / 3.0) * (1.0 + 1e-3)).all()
    assert "thermal" not in each[0].to_dict()
    with pytest.raises(OptionError, match="ensemble is 1"):
        ThermalEnsemble(members=1)


def test_labelled_thermal_spectra_are_judged_on_snapshots(predictor, dataset):
    records = list(Dataset(dataset))[:2]
    thermal = dataclasses.replace(records[0], kind="ensemble", details={"ensemble": {"temperature_k": 300.0}})
    static, mean, other = output_of(predictor.ensemble, [records[0], thermal, records[1]]).epsilon.mean(axis=0)
    assert np.abs(mean - static).max() > 1e-3 * static.max()
    np.testing.assert_allclose(other, output_of(predictor.ensemble, [records[1]]).epsilon.mean(axis=0)[0], rtol=1e-4)


def test_files_and_names_in_errors(predictor, make_molecule, tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("2\n\nAg 0 0 0\nCl 0 0 2.3\n")
    assert predictor(str(path)).name == "a"
    assert predictor(path).charge == 0
    with pytest.raises(InputFileError, match="gone"):
        predictor(tmp_path / "gone.xyz")
    close = make_molecule("h2o2")
    close.positions[1] = close.positions[0]
    with pytest.raises(StructureError, match=r"^h2o2: atoms"):
        predictor([make_molecule("agsch3"), close])
    nameless = make_molecule("agsch3")
    nameless.info = {"charge": 1}
    with pytest.raises(ChargeError, match=r"^structure 2: charge \+1 gives"):
        predictor([make_molecule("agsch3"), nameless])
    far = make_molecule("agsch3") + make_molecule("h2o2")
    far.positions[-4:] += 20.0
    with pytest.raises(SeveralMoleculesError):
        predictor(far)
    assert predictor.prepare(far, 0, allow_several=True).charge == 0


def test_what_the_network_cannot_take_in_is_out_of_its_domain(predictor, make_molecule):
    gallane = make_molecule("agh")
    gallane.numbers[gallane.numbers == 47] = 31
    with pytest.raises(clusterml.errors.UnsupportedElementError, match=r"out of the domain of tiny: .* Ga"):
        predictor(gallane)


def test_the_proposed_charge_is_a_warning(predictor, make_molecule):
    atoms = make_molecule("agsch3")
    del atoms.info["charge"]
    assert any("charge 0 assumed" in warning for warning in predictor(atoms).warnings)


def test_calculator_computes_again_only_when_needed(predictor, make_molecule, monkeypatch):
    atoms = make_molecule("agsch3")
    atoms.calc = SpectrumCalculator(predictor)
    calls = []
    original = predictor.predict
    monkeypatch.setattr(predictor, "predict", lambda prepared: calls.append(1) or original(prepared))
    first = atoms.calc.get_spectrum(atoms)
    assert atoms.calc.get_spectrum(atoms) is first
    assert atoms.calc.results["gap_ev"] == atoms.calc.get_prediction(atoms).gap_ev
    assert len(calls) == 1
    atoms.positions[0] += 0.1
    assert atoms.calc.get_spectrum(atoms) is not first
    atoms.info["charge"] = 2
    assert atoms.calc.get_prediction(atoms).charge == 2
    assert len(calls) == 3


def test_a_batch_too_large_for_the_memory_is_halved(checkpoint, make_molecule, monkeypatch):
    from clusterml.model.network import Network

    structures = [make_molecule(name) for name in ("agsch3", "agh", "h2o2")]
    predictor = Predictor.load(checkpoint, device="cpu")
    together = predictor(structures)
    before, forward, sizes = predictor.ensemble.most_edges, Network.forward, []

    def small(network, batch):
        sizes.append(batch.num_graphs)
        if batch.num_graphs > 1:
            raise torch.OutOfMemoryError("too large")
        return forward(network, batch)

    monkeypatch.setattr(Network, "forward", small)
    for ours, expected in zip(predictor(structures), together, strict=True):
        assert ours.name == expected.name
        np.testing.assert_allclose(ours.spectrum.epsilon, expected.spectrum.epsilon, rtol=1e-4, atol=1e-2)
    assert sizes == [3, 1, 1, 2, 1, 1, 1, 1]  # halves; one molecule for each of the two networks
    assert predictor.ensemble.most_edges < before


def test_one_structure_too_large_for_the_memory_is_told_what_helps(predictor, make_molecule, monkeypatch):
    from clusterml.model.network import Network

    def small(network, batch):
        raise torch.OutOfMemoryError("too large")

    monkeypatch.setattr(Network, "forward", small)
    with pytest.raises(MemoryLimitError, match=r"edges.*memory of device cpu.*--device cpu"):
        predictor(make_molecule("agsch3"))


def test_members_are_the_networks_of_the_checkpoint(predictor, checkpoint, make_molecule):
    from clusterml.model.graph import batched
    from clusterml.model.network import Network
    from clusterml.training.release import open_release

    release = open_release(checkpoint)
    graph = predictor.prepare(make_molecule("ag2_tfa2")).graphs[0]
    output = predictor.ensemble([graph, graph])
    for number, state in enumerate(release.networks):
        network = Network(release.spec)
        network.load_state_dict(state)
        with torch.no_grad():
            alone = network(batched([graph]))
        scale = float(alone["epsilon"].max())
        np.testing.assert_allclose(output.epsilon[number, 1], alone["epsilon"][0].numpy(), atol=1e-4 * scale)
    assert np.abs(output.epsilon[0] - output.epsilon[1]).max() > 1e-2 * scale


@pytest.mark.parametrize("name", ["abacus", "meta", "cuda:99"])
def test_devices_that_are_not_there(name):
    with pytest.raises(OptionError, match=name):
        choose_device(name)


def test_finer_grid_passes_through_the_points():
    energy = np.linspace(0.5, 5.3, 121)
    grid, matrix = refine_grid(energy, 0.02)
    values = np.exp(-(((energy - 3.0) / 0.12) ** 2))
    fine = matrix @ values
    np.testing.assert_allclose(fine[::2], values, atol=1e-12)
    assert np.abs(fine - np.exp(-(((grid - 3.0) / 0.12) ** 2))).max() < 1e-2
    assert math.isclose(grid[1] - grid[0], 0.02)


def test_significance_domain_and_repr(predictor, make_molecule):
    prediction = dataclasses.replace(predictor(make_molecule("h2o2")), in_domain=True)
    assert prediction.significance.height is not None
    assert prediction.significance.verdict in ("significant", "not significant")
    assert prediction.to_dict()["significance"]["verdict"] == prediction.significance.verdict
    assert prediction.summary.startswith("in domain; strongest CD ")
    for novelty, place in (("cluster", "new core"), ("ligand", "new ligand")):
        new = dataclasses.replace(prediction, novelty=novelty)
        assert (new.domain, new.place) == ("in", place)
        assert new.summary.startswith(f"{place}; strongest CD ")
        assert dataclasses.replace(new, in_domain=False).place == "out"
    outside = dataclasses.replace(prediction, in_domain=False)
    assert outside.significance.verdict == "unknown"
    assert outside.to_dict()["significance"]["sign_probability"] is None
    assert "out of domain; strongest CD " in repr(outside)
    assert len(repr(outside)) < 160
    assert (prediction.domain, outside.domain) == ("in", "out")
