"""The rapid response beside the label it stands for, and what turning, mirroring and symmetry may not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clusterml.engine import integrals
from clusterml.engine.basis import gfn_basis
from clusterml.engine.label import label
from clusterml.engine.pair_tables import one_electron
from clusterml.engine.response.rapid import rapid_response
from clusterml.errors import ChargeError, ElectronicStructureError, MemoryLimitError
from clusterml.structure.build.build import build

GRID = np.arange(0.5, 5.31, 0.04)
MIRROR = np.diag([1.0, 1.0, -1.0])


@pytest.fixture(scope="module")
def cluster():
    """Ag3 with thiolates, its symmetry broken."""
    atoms = build("ag3", thiolate="SH")
    atoms.positions += np.random.default_rng(3).normal(0.0, 0.08, (len(atoms), 3))
    return atoms


def of(atoms, turn=None, **options):
    positions = atoms.positions if turn is None else atoms.positions @ np.asarray(turn).T + 1.5
    return rapid_response(atoms.get_chemical_symbols(), positions, atoms.info["charge"], **options)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def rotation():
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    return turn * np.linalg.det(turn)


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_integrals_from_tables_are_those_of_libcint(precision):
    symbols = ("Ag", "Ag", "Au", "C", "H", "P", "S")
    coords = np.random.default_rng(1).normal(0.0, 5.0, (7, 3))
    basis = gfn_basis(symbols, coords, "gfn1")
    made = one_electron(symbols, coords, precision)
    close = {"rtol": 0.0, "atol": 5e-6 if precision == torch.float64 else 2e-5}
    for name in ("overlap", "kinetic", "dipole", "gradient", "angular"):
        np.testing.assert_allclose(getattr(made, name).numpy(), getattr(integrals, name)(basis), err_msg=name, **close)


def test_integrals_along_the_axis_and_of_touching_pairs_are_right():
    symbols, coords = ("Ag", "Ag", "S"), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -5.4], [0.0, 0.0, 4.6]])
    made = one_electron(symbols, coords, torch.float64)
    wanted = integrals.angular(gfn_basis(symbols, coords, "gfn1"))
    np.testing.assert_allclose(made.angular.numpy(), wanted, rtol=0.0, atol=5e-6)


@pytest.mark.parametrize("orbitals", ["gfn1", "gfn1-pbe"])
def test_the_spectrum_is_nearly_that_of_a_label(cluster, orbitals):
    result, response = label(cluster, grid=GRID, orbitals=orbitals), of(cluster, orbitals=orbitals)
    truth, said = result.spectrum, response.broaden(GRID)
    assert response.gap_ev == pytest.approx(result.orbitals.raw_gap_ev, abs=0.02)
    assert cosine(said.epsilon, truth.epsilon) > 0.998
    assert cosine(said.delta_epsilon, truth.delta_epsilon) > 0.97
    assert said.epsilon.max() == pytest.approx(truth.epsilon.max(), rel=0.05)


@pytest.mark.parametrize("orbitals", ["gfn1", "gfn1-pbe"])
def test_turned_it_turns_and_mirrored_its_cd_changes_sign(cluster, orbitals):
    turn, how = rotation(), {"orbitals": orbitals, "precision": "float64"}
    straight, turned, mirrored = (of(cluster, matrix, **how) for matrix in (None, turn, MIRROR))
    spectra = [response.broaden(GRID) for response in (straight, turned, mirrored)]
    size = spectra[0].epsilon.max()
    for spectrum, sign in zip(spectra[1:], (1.0, -1.0), strict=True):
        np.testing.assert_allclose(spectrum.epsilon, spectra[0].epsilon, rtol=0.0, atol=1e-6 * size)
        np.testing.assert_allclose(spectrum.delta_epsilon, sign * spectra[0].delta_epsilon, rtol=0.0, atol=1e-8 * size)
    tensors, wanted = (response.broaden_tensors(GRID)[0] for response in (turned, straight))
    np.testing.assert_allclose(tensors, turn @ wanted @ turn.T, rtol=0.0, atol=1e-6 * size)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_an_achiral_cluster_has_no_cd(precision):
    spectrum = of(build("ag2"), precision=precision).broaden(GRID)
    assert np.abs(spectrum.delta_epsilon).max() < {"float64": 1e-8, "float32": 1e-6}[precision] * spectrum.epsilon.max()


def test_an_odd_number_of_electrons_is_refused(cluster):
    with pytest.raises(ChargeError, match="odd"):
        rapid_response(cluster.get_chemical_symbols(), cluster.positions, cluster.info["charge"] + 1)


def test_what_memory_cannot_hold_is_refused_before_it_is_allocated():
    positions = 3.0 * np.random.default_rng(0).normal(size=(4000, 3))
    with pytest.raises(MemoryLimitError, match="4000 atoms"):
        rapid_response(["Ag"] * 4000, positions, 0)


def test_without_a_gap_there_is_no_response():
    with pytest.raises(ElectronicStructureError, match="gap"):
        rapid_response(["Ag", "Ag"], np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 40.0]]), 0)
