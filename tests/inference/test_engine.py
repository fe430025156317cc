"""When the engine computes instead of the network, what it says, and what keeps it from it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import clusterml
from clusterml.engine import label as label_module
from clusterml.engine.cost import label_cost, number_of_functions
from clusterml.engine.orbitals.source import OrbitalSource
from clusterml.engine.protocol import ThermalEnsemble
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.inference.predict import Engine, EngineOptions, advise_engine, why_engine
from clusterml.inference.predictor import Predictor
from clusterml.run.progress import SILENT
from clusterml.structure.charge import ChargeWitness
from clusterml.structure.read import read
from helpers import Heard


@pytest.fixture(scope="module")
def predictor(checkpoint) -> Predictor:
    return Predictor.load(checkpoint, device="cpu")


@pytest.fixture
def sure(predictor, make_molecule):
    """A prediction in the domain with a significant CD, of a molecule without symmetry."""
    atoms = make_molecule("agsch3")
    atoms.positions += 0.05 * np.random.default_rng(3).normal(size=(6, 3))
    prediction = predictor(atoms)
    spectrum = dataclasses.replace(
        prediction.spectrum, delta_epsilon_std=1e-3 * np.abs(prediction.spectrum.delta_epsilon)
    )
    return dataclasses.replace(prediction, spectrum=spectrum, in_domain=True)


@pytest.fixture
def unsure(sure):
    spectrum = dataclasses.replace(sure.spectrum, delta_epsilon_std=np.full(241, 1e6))
    return dataclasses.replace(sure, spectrum=spectrum)


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """A computer that does nothing else."""
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))


def engine(predictor, reporter=SILENT, **options) -> Engine:
    return Engine(EngineOptions(**options), predictor, reporter)


def test_reasons(sure, unsure):
    assert why_engine(sure) == ""
    assert why_engine(unsure) == "the network's CD is not significant"
    assert why_engine(dataclasses.replace(sure, in_domain=False)) == "out of the network's domain"
    outside = dataclasses.replace(
        sure, in_domain=False, warnings=("charge 0", "out of domain: no Au", "out of domain: b")
    )
    assert why_engine(outside) == "out of the network's domain: no Au"
    none = dataclasses.replace(sure.spectrum, delta_epsilon_std=None)
    assert why_engine(dataclasses.replace(sure, spectrum=none)) == "nothing says how sure the network's CD is"
    achiral = dataclasses.replace(unsure.spectrum, delta_epsilon=np.zeros(241))
    assert why_engine(dataclasses.replace(unsure, spectrum=achiral)) == ""


def test_the_engine_is_not_begun_unasked_for_hours_or_a_guessed_charge(sure):
    atoms, decision = sure.atoms, sure.decision
    assert advise_engine(atoms, decision, "why", 60.0).to_dict()["objection"] == ""
    slow = advise_engine(atoms, decision, "why", 0.5).to_dict()
    assert (slow["objection"], slow["cost"]) == ("it would take about 1 s and 0.4 GB", "about 1 s and 0.4 GB")
    unsettled = (ChargeWitness("ground state", None, "not computed"),)
    guess = dataclasses.replace(decision, witnesses=unsettled, assumption="charge 0 assumed")
    assert advise_engine(atoms, guess, "why", 60.0).objection == "its charge is a guess: charge 0 assumed"
    atoms.symbols[0] = "U"
    assert advise_engine(atoms, decision, "why", 60.0).objection == "element 'U' has no GFN1-xTB parameters"


def test_a_sure_network_answers_itself(predictor, sure):
    answer = engine(predictor).answer(sure)
    assert (answer.source, answer.reason, answer.label) == ("network", "", None)
    assert answer.significance == sure.significance
    assert answer.agreement.cd is None
    assert answer.to_dict()["computed_by"] == "network"
    assert "network, in domain; strongest CD" in repr(answer)


def test_the_engine_answers_for_an_unsure_network(predictor, unsure, tmp_path):
    heard = Heard()
    answer = engine(predictor, heard).answer(unsure, charge=0, name="shaken")
    assert (answer.source, answer.reason) == ("engine", "the network's CD is not significant")
    assert heard.begun == ["shaken: engine, 6 atoms, about 1 s and 0.4 GB: the network's CD is not significant"]
    how = {"orbitals": predictor.orbitals, "emax_ev": 5.3}
    expected = clusterml.label(unsure.atoms, 0, grid=predictor.energy_ev, **how).spectrum
    np.testing.assert_allclose(answer.spectrum.delta_epsilon, expected.delta_epsilon, rtol=1e-6, atol=1e-9)
    assert answer.spectrum.meta["computed_by"] == "engine"
    assert answer.significance.verdict == "computed"
    compared = clusterml.compare(answer.spectrum, unsure.spectrum, fit_shift=False, random_spectra=0)
    assert answer.agreement.absorption == pytest.approx(compared.absorption.cosine, abs=1e-3)
    assert answer.agreement.cd == pytest.approx(compared.cd.cosine, abs=1e-3)
    answer.write(tmp_path, "shaken")
    result = json.loads((tmp_path / "shaken.json").read_text())
    assert result["network"]["significance"]["verdict"] == "not significant"
    assert len(repr(answer)) < 220


def test_never_means_never(predictor, unsure):
    answer = engine(predictor, use="never").answer(unsure)
    assert (answer.source, answer.warnings) == ("network", unsure.warnings)


def test_what_the_engine_cannot_is_the_networks_with_the_reason(predictor, unsure, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise ElectronicStructureError("the HOMO-LUMO gap is 0.00010 eV", "raise --temperature")

    monkeypatch.setattr(label_module, "find_source", lambda _: OrbitalSource("gfn1", fails))
    answer = engine(predictor).answer(unsure)
    assert answer.source == "network"
    words = answer.warnings[-1]
    assert words.startswith(
        "the network's CD is not significant, but the engine did not compute it: the HOMO-LUMO gap is 0.00010 eV ("
    )
    assert "clusterml label's --" in words
    assert words.endswith("raise --temperature)")
    assert answer.to_dict()["warnings"][-1] == answer.warnings[-1]


def test_the_bound_is_of_all_structures_together(predictor, unsure):
    runner = engine(predictor, minutes=0.05)
    assert runner.answer(unsure).source == "engine"
    runner._spent_s = 3.0
    answer = runner.answer(unsure)
    assert answer.source == "network"
    assert "more than the 0 min that are left of the limit (raise --engine-limit" in answer.warnings[-1]


def test_an_ensemble_costs_as_many_labels(predictor, unsure):
    heard = Heard()
    answer = engine(predictor, heard, thermal=ThermalEnsemble(3, 100.0)).answer(unsure)
    assert answer.label.provenance["ensemble"]["members"] == 3
    assert "about 4 s" in heard.begun[0]


@pytest.mark.parametrize("options", [{"use": "sometimes"}, {"minutes": -1.0}, {"minutes": float("nan")}])
def test_bad_options(options):
    with pytest.raises(OptionError):
        EngineOptions(**options)


@pytest.mark.parametrize(
    ("name", "seconds", "memory_gb"),
    [("ag25_sch3", 1.0, 0.49), ("ag29_bdt_ph3_R", 2.9, 0.63), ("ag29_bdt_pph3_R", 8.0, 0.94)],
)
def test_the_cost_is_about_what_was_measured(name, seconds, memory_gb):
    cost = label_cost(read(f"shipped:datasets/structures/{name}.xyz"))
    assert cost.seconds == pytest.approx(seconds, rel=0.3, abs=1.2)  # a second to start
    assert cost.memory_gb == pytest.approx(memory_gb, rel=0.15)


@pytest.mark.parametrize(
    ("load", "threads", "factor"), [(0.0, 2, 1.0), (2.0, 2, 2.0), (0.0, 8, 1.0), (0.5, 1, 1.0), (6.0, 2, 4.0)]
)
def test_a_busy_computer_takes_longer(predictor, make_molecule, monkeypatch, load, threads, factor):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    atoms = make_molecule("agsch3")
    cost = engine(predictor)._cost(atoms)
    assert cost.seconds == pytest.approx(factor * label_cost(atoms, threads).seconds)


def test_the_cost_grows_with_the_cluster(make_molecule):
    atoms = make_molecule("agsch3")
    large = sum((atoms for _ in range(39)), atoms)
    assert label_cost(atoms).seconds == pytest.approx(1.0, abs=0.01)
    assert label_cost(large).seconds > 1.5 * label_cost(atoms).seconds
    assert label_cost(large, threads=4).seconds < label_cost(large).seconds
    assert (
        number_of_functions(large)
        == 40 * number_of_functions(atoms)
        == 40 * clusterml.label(atoms, emax_ev=2.0).orbitals.basis.n_ao
    )


def test_predict_from_python(checkpoint, make_molecule):
    assert clusterml.predict(make_molecule("h2o2"), model=checkpoint, engine="never").source == "network"
    answer = clusterml.predict(make_molecule("h2o2"), model=checkpoint, device="cpu", engine="always")
    assert (answer.source, answer.name, answer.charge) == ("engine", "h2o2", 0)
    assert isinstance(answer, clusterml.Answer)


def test_where_refitted_orbitals_have_no_gap_those_as_published_answer(sure):
    """A ground state that fails is the same for both, and is not computed twice."""
    from clusterml.errors import ElectronicStructureError, NoGapError
    from clusterml.inference.predict import _label_with_any_gap

    asked, error = [], NoGapError("no gap", "relax it")

    def compute(protocol):
        asked.append(protocol.orbitals)
        if protocol.orbitals == "gfn1-pbe":
            raise error
        return clusterml.label(sure.atoms, 0, protocol)

    answer = _label_with_any_gap(compute, clusterml.Protocol(emax_ev=4.0))
    assert answer.warnings[0] == "computed with gfn1 orbitals: no gap"
    assert (answer.orbitals.method, asked) == ("GFN1-xTB", ["gfn1-pbe", "gfn1"])
    asked, error = [], ElectronicStructureError("no convergence", "relax it")
    with pytest.raises(ElectronicStructureError, match="no convergence"):
        _label_with_any_gap(compute, clusterml.Protocol())
    assert asked == ["gfn1-pbe"]
