"""The nuclear-ensemble spectrum: an average over snapshots with the right spread, reproducible, mirror-exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clusterml.engine.label import label
from clusterml.engine.orbitals import newton
from clusterml.engine.orbitals.source import find_source
from clusterml.engine.protocol import ThermalEnsemble
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.structure.distort.draws import snapshots

OPTIONS = {"orbitals": "stda-xtb", "tolerance": 1e-6}


def ensemble(atoms, charge, ensemble, **options):
    """The label of an ensemble."""
    return label(atoms, charge, ensemble=ensemble, **OPTIONS, **options)


def test_it_is_the_mean_and_spread_of_the_labels_of_its_snapshots(molecule):
    atoms = molecule("ag3_sch3_3")
    found = ensemble(atoms, 0, ensemble=ThermalEnsemble(3, 200.0, 5))
    drawn = snapshots(atoms, 200.0, 3, rng=np.random.default_rng(5))
    single = np.stack([label(s, 0, **OPTIONS).spectrum.delta_epsilon for s in drawn])
    np.testing.assert_allclose(found.spectrum.delta_epsilon, single.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found.spectrum.delta_epsilon_std, single.std(axis=0, ddof=1), atol=1e-9)
    assert found.spectrum.epsilon_std.max() > 0.0
    assert found.provenance["ensemble"]["members"] == 3
    assert found.bands
    again = ensemble(atoms, 0, ensemble=ThermalEnsemble(3, 200.0, 5))
    np.testing.assert_array_equal(again.spectrum.epsilon, found.spectrum.epsilon)


def test_snapshots_begin_with_the_charges_of_the_geometry(molecule, monkeypatch):
    starts = []
    run = newton.self_consistent

    def noted(*args):
        starts.append(args[5])
        return run(*args)

    monkeypatch.setattr(newton, "self_consistent", noted)
    label(molecule("agsch3"), 0, emax_ev=4.0, ensemble=ThermalEnsemble(members=3, temperature_k=100.0))
    central, *snapshots = starts  # the ground state of the geometry itself is computed once
    assert central is None
    assert len(snapshots) == 3
    assert all(start is snapshots[0] is not None for start in snapshots)


def test_colder_is_nearer_to_the_geometry_itself(molecule):
    atoms = molecule("ag3_sch3_3")
    still = label(atoms, 0, **OPTIONS).spectrum.epsilon
    far = [
        np.abs(ensemble(atoms, 0, ensemble=ThermalEnsemble(4, t, 1)).spectrum.epsilon - still).max() for t in (1, 100)
    ]
    assert far[0] < 0.3 * far[1]


def test_a_lost_snapshot_is_left_out_and_half_of_them_are_an_error(molecule, monkeypatch):
    from clusterml.engine import label as module

    calls, said = [], []

    def failing(protocol):
        source = find_source(protocol)

        def compute(*args):
            calls.append(protocol)
            if len(calls) in failures:
                raise ElectronicStructureError("no convergence")
            return source.compute(*args)

        return replace(source, compute=compute)

    monkeypatch.setattr(module, "find_source", failing)
    failures = {2}
    found = ensemble(molecule("agsch3"), 0, ensemble=ThermalEnsemble(3), progress=said.append)
    assert said == ["snapshot 1 of 3", "snapshot 2 of 3", "snapshot 3 of 3"]
    assert "1 of 3 snapshots are left out: no convergence" in found.warnings[-1]
    assert found.provenance["ensemble"]["members"] == 2
    calls.clear()
    failures = {2, 3}
    with pytest.raises(ElectronicStructureError, match="no convergence"):
        ensemble(molecule("agsch3"), 0, ensemble=ThermalEnsemble(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": 1}, "ensemble is 1"),
        ({"members": 2, "temperature_k": -5.0}, "temperature is -5"),
        ({"members": 2, "seed": -1}, "seed is -1"),
    ],
)
def test_impossible_ensembles(molecule, options, message):
    with pytest.raises(OptionError, match=message):
        ensemble(molecule("agsch3"), 0, ensemble=ThermalEnsemble(**options))
