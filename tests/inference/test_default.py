"""The network that is used where none is named: right away from its training, and plain where it cannot start."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase import Atoms

import clusterml as cm
from clusterml.engine.cost import response_seconds
from clusterml.engine.orbitals.newton import StuckError
from clusterml.engine.protocol import ThermalEnsemble
from clusterml.engine.response import rapid
from clusterml.errors import ElectronicStructureError, MemoryLimitError, OptionError, OutsideNetworkError
from clusterml.inference import predict as predict_module
from clusterml.io.shipped import DEFAULT_MODEL, QUICK_MODEL
from clusterml.structure.elements import PLATINUM_IN_SILVER
from helpers import Heard

MIRROR = np.diag([1.0, 1.0, -1.0])


@pytest.fixture(scope="module")
def moved():
    """A shipped model as no network has seen it: smaller by 2 % and shaken by 0.1 A."""
    atoms = cm.read("shipped:datasets/structures/ag12_sch3_hcoo.xyz")
    atoms.positions = 0.98 * atoms.positions + np.random.default_rng(7).normal(0.0, 0.1, atoms.positions.shape)
    return atoms


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_a_geometry_away_from_training_has_the_labels_spectrum(moved):
    answer = cm.predict(moved)
    assert (answer.source, answer.network.model) == ("network", DEFAULT_MODEL)
    truth = cm.label(moved, grid=answer.spectrum.energy_ev, groups={}).spectrum
    assert cosine(answer.spectrum.epsilon, truth.epsilon) > 0.998
    assert cosine(answer.spectrum.delta_epsilon, truth.delta_epsilon) > 0.98
    assert answer.significance.verdict == "significant"
    quick = cm.predict(moved, model=QUICK_MODEL, engine="never").spectrum
    assert cosine(quick.delta_epsilon, truth.delta_epsilon) < 0.8  # what the default is for


def test_the_mirror_image_has_the_opposite_cd(moved):
    image = moved.copy()
    image.positions = moved.positions @ MIRROR
    straight, mirrored = (cm.predict(atoms, engine="never").spectrum for atoms in (moved, image))
    size = straight.epsilon.max()
    np.testing.assert_allclose(mirrored.epsilon, straight.epsilon, rtol=0.0, atol=5e-5 * size)
    np.testing.assert_allclose(mirrored.delta_epsilon, -straight.delta_epsilon, rtol=0.0, atol=5e-7 * size)
    assert np.abs(straight.delta_epsilon).max() > 1e-4 * size


def test_only_the_quick_network_has_derivatives():
    starts = {name: cm.Predictor.load(name).ensemble.spec.start for name in (DEFAULT_MODEL, QUICK_MODEL)}
    assert starts == {DEFAULT_MODEL: "response", QUICK_MODEL: "zero"}


@pytest.mark.parametrize("error", [ElectronicStructureError("no gap", "x"), MemoryLimitError("too large", "x")])
def test_without_orbitals_to_start_from_the_engine_answers_alone(monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(rapid, "rapid_response", fails)
    atoms = cm.build("ag3", thiolate="SH")
    answer = cm.predict(atoms)
    assert (answer.source, answer.network) == ("engine", None)
    assert answer.reason == f"{DEFAULT_MODEL} has no orbitals to start from: {error.problem}"
    with pytest.raises(
        OutsideNetworkError, match=rf"{error.problem} \(predict --model {QUICK_MODEL}, which needs none"
    ):
        cm.predict(atoms, engine="never")
    assert cm.predict(atoms, engine="never", model=QUICK_MODEL).source == "network"


def test_a_ground_state_that_is_stuck_is_not_tried_again(monkeypatch):
    """Atoms are named by element and number in the structure, which the rapid response sorts by element."""
    atoms = cm.build("ag3", thiolate="SH")
    atoms.symbols[0] = "Pt"
    atoms = atoms[[1, 2, 0, *range(3, len(atoms))]]

    def stuck(parts, *_, **__):
        raise StuckError("no step makes that less", atom=next(k for k, s in enumerate(names) if s == "Pt"))

    monkeypatch.setattr(rapid, "self_consistent", stuck)
    monkeypatch.setattr("clusterml.inference.predict.Engine._label", lambda *_: pytest.fail("computed again"))
    names = sorted(atoms.get_chemical_symbols())
    for use in ("auto", "never"):
        with pytest.raises(OutsideNetworkError, match="no step makes that less; most of all on Pt3") as raised:
            cm.predict(atoms, charge=1, engine=use)
        assert raised.value.remedy == f"{PLATINUM_IN_SILVER}; or predict --model {QUICK_MODEL}, which needs none"
    monkeypatch.undo()
    monkeypatch.setattr("clusterml.engine.orbitals.newton.self_consistent", stuck)
    names = atoms.get_chemical_symbols()
    with pytest.raises(ElectronicStructureError, match="most of all on Pt3") as raised:
        cm.label(atoms, 1)
    assert raised.value.remedy == PLATINUM_IN_SILVER


def test_where_the_engine_fails_too_both_reasons_are_told():
    far = cm.read("shipped:datasets/structures/ag12_sch3_hcoo.xyz")[[0, 1]]
    far.positions = [[0.0, 0.0, 0.0], [0.0, 0.0, 40.0]]
    far.symbols[:] = "Ag"
    far.info = {"name": "far", "charge": 0}
    reading = cm.ReadOptions(allow_several=True)
    with pytest.raises(ElectronicStructureError) as raised:
        cm.predict(far, reading=reading)
    assert raised.value.problem.startswith(f"{DEFAULT_MODEL} has no orbitals to start from: the HOMO-LUMO gap")
    assert "; and the engine: " in raised.value.problem
    assert raised.value.remedy.endswith(f"or predict --model {QUICK_MODEL}, which needs none")


def test_snapshots_are_counted_while_they_are_computed():
    heard, atoms = Heard(), cm.build("ag3", thiolate="SH")
    cm.predict(atoms, engine="never", thermal=ThermalEnsemble(3, 100.0), reporter=heard)
    assert [re.sub(r", \d+ s left$", "", words) for words in heard.notes] == [
        f"{atoms.info['name']}: network, snapshot {number} of 3" for number in (1, 2, 3)
    ]


def test_a_small_gap_is_told_with_the_charge_that_opens_it(monkeypatch):
    atoms = cm.build("ag3", thiolate="SH")
    monkeypatch.setattr("clusterml.inference.predictor.SMALL_GAP_EV", 9.0)
    monkeypatch.setattr("clusterml.structure.charge.SMALL_GAP_EV", 9.0)
    asked = []
    monkeypatch.setattr("clusterml.engine.charge.gap_advice", lambda *which: asked.append(which) or "try --charge=2")
    answer = cm.predict(atoms, engine="never")
    assert answer.warnings[-1] == "try --charge=2"
    assert f"the predicted HOMO-LUMO gap is only {answer.network.gap_ev:.2f} eV: check charge and geometry" in (
        answer.warnings
    )
    assert asked == [(answer.atoms, 0)]


def test_advice_of_the_engine_says_whose_options_it_names():
    said = predict_module._of_label("check it, raise it (--electronic-temperature 1000), or --charge=1")
    assert said == "check it, raise it (clusterml label's --electronic-temperature 1000), or --charge=1"


def test_what_takes_more_than_a_moment_says_so_beforehand(monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    predictor, quick = cm.Predictor.load(DEFAULT_MODEL, "cpu"), cm.Predictor.load(QUICK_MODEL, "cpu")
    small, large = cm.build("ag3", thiolate="SH"), cm.build("ag25", thiolate="SH")
    assert 0.05 < predictor.seconds_of_start(small) == response_seconds(small) < 0.1
    heard = Heard()
    for atoms, thermal in ((small, None), (large, None), (large, ThermalEnsemble(32))):
        predict_module.note_cost(predictor, atoms, thermal, "it", heard)
        predict_module.note_cost(quick, atoms, thermal, "it", heard)
    seconds = 32 * response_seconds(large)
    assert heard.notes == [f"it: network, 61 atoms, about {seconds:.0f} s"]
    assert predictor.seconds_of_start(Atoms("U")) == 0.0


def test_bands_of_another_width():
    ring = cm.build("ag3", thiolate="SH")
    narrow, wide = (cm.predict(ring, engine="never", fwhm_ev=width).spectrum for width in (None, 0.4))
    assert wide.meta["fwhm_ev"] == 0.4
    np.testing.assert_allclose(wide.epsilon, cm.Predictor.load().at_width(0.4)(ring).spectrum.epsilon, rtol=1e-6)
    assert wide.epsilon.max() < 0.8 * narrow.epsilon.max()
    with pytest.raises(OptionError, match=r"below that of the network ag-response-v1, 0\.2 eV"):
        cm.predict(ring, fwhm_ev=0.1)
