"""The spectrum solver against all eigenpairs, single against double precision, and what may not depend on settings."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from clusterml.engine import label as engine
from clusterml.engine.response.singles import window_weight
from clusterml.errors import MemoryLimitError

label = partial(engine.label, orbitals="stda-xtb")

CASES = {"S-chfclbr": 9.0, "helicene4": 6.5, "ag3_sch3_3": 6.5}
EDGE_EV = 0.4
"""Spectra are compared up to here below emax: bands of states above emax reach in, which ``states`` leaves out."""


def spectrum_of(atoms, emax, **options):
    return label(atoms, emax_ev=emax, grid=np.arange(0.5, emax - EDGE_EV, 0.02), **options)


@pytest.mark.parametrize("mode", ["smooth", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_pseudo_states_give_the_spectrum_of_all_states(molecule, deviation, name, mode):
    exact, quick = (spectrum_of(molecule(name), CASES[name], mode=mode, solver=s) for s in ("states", "spectrum"))
    assert quick.response.converged
    assert max(deviation(quick.spectrum, exact.spectrum)) < 0.005


@pytest.mark.parametrize(("mode", "emax"), [("smooth", 3.0), ("reference", 4.0)])
def test_pseudo_states_are_fewer_than_states(molecule, deviation, mode, emax):
    """A dense spectrum (twisted Ag20, hundreds of states), represented by a part of the Krylov space."""
    atoms = molecule("ag20_c3_geometry")
    exact, quick = (spectrum_of(atoms, emax, mode=mode, solver=s, window_ev=8.0) for s in ("states", "spectrum"))
    assert quick.response.counts["n_krylov"] < exact.response.counts["n_csf"]
    assert max(deviation(quick.spectrum, exact.spectrum)) < 0.005


@pytest.mark.parametrize("mode", ["smooth", "reference"])
@pytest.mark.parametrize("solver", ["states", "spectrum"])
@pytest.mark.parametrize("name", CASES)
def test_single_precision(molecule, deviation, name, mode, solver):
    options = {"mode": mode, "solver": solver}
    exact, single = (spectrum_of(molecule(name), CASES[name], dtype=d, **options) for d in ("float64", "float32"))
    assert max(deviation(single.spectrum, exact.spectrum)) < 1e-3


def test_a_tighter_tolerance_takes_more_vectors(molecule):
    loose, tight = (label(molecule("helicene4"), tolerance=tolerance) for tolerance in (1e-2, 1e-10))
    assert tight.response.counts["n_krylov"] > loose.response.counts["n_krylov"]


def test_a_tighter_tolerance_is_met(molecule, deviation):
    exact, tight = (
        spectrum_of(molecule("ag3_sch3_3"), 6.5, solver=s, tolerance=1e-8).spectrum for s in ("states", "spectrum")
    )
    grid = exact.energy_ev < 5.5
    for field in ("epsilon", "delta_epsilon"):
        a, b = getattr(tight, field)[grid], getattr(exact, field)[grid]
        assert np.abs(a - b).max() < 1e-6 * np.abs(b).max()


def test_smooth_mode_does_not_depend_on_emax(molecule, deviation):
    """Its window is fixed, so a spectrum up to 4 eV is the beginning of the one up to 6 eV."""
    grid = np.arange(0.5, 4.0, 0.02)
    low, high = (label(molecule("ag3_sch3_3"), emax_ev=e, grid=grid).spectrum for e in (4.0, 6.0))
    assert max(deviation(low, high)) < 2e-3


@pytest.mark.parametrize("mode", ["smooth", "reference"])
def test_amplitudes_give_the_moments(molecule, mode):
    """X is normalised, and sum X_ia <i|nabla|a> (times the window's weight) is the reported transition moment."""
    found = label(molecule("ag3_sch3_3"), mode=mode, solver="states")
    states, space, which = found.response, found.response.space, np.array([0, 3, 5])
    x = states.amplitudes(which)
    assert tuple(x.shape) == (3, *space.shape)
    np.testing.assert_allclose((x**2).sum((1, 2)), 1.0, atol=1e-10)
    if mode == "smooth":
        x = x * window_weight(space.gaps, found.protocol.window)
    moments = np.einsum("kia,xia->kx", x, space.velocity)
    np.testing.assert_allclose(moments, states.transitions.velocity_au[which], atol=1e-10)


@pytest.mark.parametrize(
    ("memory_gb", "options", "words"),
    [
        (0.001, {"solver": "states"}, "792 configurations.*spectrum solver"),
        (0.001, {"solver": "spectrum"}, "792 configurations.*--dtype float32"),
        (0.001, {"mode": "reference", "solver": "states"}, "transition charges.*--mode smooth"),
        (0.008, {"mode": "reference", "solver": "states", "emax_ev": 9.0}, "selected configurations.*--mode smooth"),
        (0.008, {"mode": "reference", "solver": "spectrum", "emax_ev": 9.0}, r"\d configurations.*--dtype float32"),
    ],
)
def test_memory_limits_are_respected(molecule, memory_gb, options, words):
    with pytest.raises(MemoryLimitError, match=words):
        label(molecule("ag3_sch3_3"), memory_gb=memory_gb, **options)
    assert label(molecule("ag3_sch3_3"), memory_gb=0.1, **options).spectrum.epsilon.max() > 1e4


def test_progress_counts_the_blocks(molecule):
    seen = []
    found = label(molecule("helicene4"), progress=seen.append)
    last = found.response.counts["n_blocks"]
    assert seen == ["1 block", *(f"{number} blocks" for number in range(2, last + 1))]


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["smooth", "reference"])
@pytest.mark.parametrize("solver", ["states", "spectrum"])
@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 1e-6), ("float32", 1e-3)])
def test_the_gpu_gives_the_same_spectrum(molecule, deviation, mode, solver, dtype, allowed):
    atoms, options = molecule("ag3_sch3_3"), {"mode": mode, "solver": solver}
    cpu, gpu = (spectrum_of(atoms, 6.5, **options, **place) for place in ({}, {"device": "cuda", "dtype": dtype}))
    assert max(deviation(gpu.spectrum, cpu.spectrum)) < allowed
    assert len(gpu.bands) == len(cpu.bands)
