"""Band assignments: shares of atoms in hole and electron."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from clusterml.engine import label as engine
from clusterml.engine.fragments import extrema
from clusterml.engine.response.response import atom_shares

label = partial(engine.label, orbitals="stda-xtb")


@pytest.fixture(scope="module")
def found(molecule):
    return label(molecule("ag3_sch3_3"), solver="states")


def test_shares_of_one_configuration_are_the_orbitals_populations(found):
    space = found.response.space
    x = torch.zeros(1, *space.shape, dtype=torch.float64)
    x[0, 2, 5] = 0.7
    hole, electron = atom_shares(space, x)
    np.testing.assert_allclose(hole[0], space.atom_sum(space.l_o[:, 2] ** 2), atol=1e-12)
    np.testing.assert_allclose(electron[0], space.atom_sum(space.l_v[:, 5] ** 2), atol=1e-12)


def test_shares_of_a_state(found):
    """Populations of X X^T and X^T X, written out."""
    space = found.response.space
    x = found.response.amplitudes(np.array([4]))
    hole, electron = atom_shares(space, x)
    low_o, low_v, x0 = space.l_o.numpy(), space.l_v.numpy(), x[0].numpy()
    rows = space.atom_of_row.numpy()
    expected_hole = np.bincount(rows, np.diag(low_o @ x0 @ x0.T @ low_o.T))
    expected_electron = np.bincount(rows, np.diag(low_v @ x0.T @ x0 @ low_v.T))
    np.testing.assert_allclose(hole[0], expected_hole, atol=1e-10)
    np.testing.assert_allclose(electron[0], expected_electron, atol=1e-10)
    assert hole.sum() == pytest.approx(1.0)


def test_bands_lie_on_extrema_and_shares_add_up(found):
    spectrum = found.spectrum
    assert {b.kind for b in found.bands} == {"absorption", "cd"}
    for band in found.bands:
        curve = spectrum.epsilon if band.kind == "absorption" else spectrum.delta_epsilon
        at = int(np.argmin(np.abs(spectrum.energy_ev - band.energy_ev)))
        assert band.height == curve[at]
        assert abs(curve[at]) >= max(abs(curve[at - 1]), abs(curve[at + 1]))
        for shares in (band.hole, band.electron):
            assert sum(shares.values()) == pytest.approx(1.0, abs=1e-9)
            assert min(shares.values()) >= 0.0


def test_both_solvers_assign_alike(molecule, found):
    quick = label(molecule("ag3_sch3_3"), solver="spectrum")
    first, second = (next(b for b in x.bands if b.kind == "absorption") for x in (found, quick))
    assert first.energy_ev == pytest.approx(second.energy_ev, abs=0.021)
    for side in ("hole", "electron"):
        for name, share in getattr(first, side).items():
            assert getattr(second, side)[name] == pytest.approx(share, abs=0.02)


def test_own_groups_are_used(molecule):
    groups = {"first ring half": np.arange(9), "rest": np.arange(9, 18)}
    bands = label(molecule("ag3_sch3_3"), groups=groups).bands
    assert all(set(b.hole) == set(b.electron) == set(groups) for b in bands)


def test_extrema():
    x = np.array([0.0, 1.0, 0.0, -3.0, -1.0, 0.01, 0.0, 2.0, 2.0, 0.0])
    np.testing.assert_array_equal(extrema(x), [1, 3, 8])
    assert len(extrema(np.zeros(5))) == 0
