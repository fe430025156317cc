"""The contour against all eigenpairs, against itself, and what may not happen to an achiral or a mirrored molecule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clusterml.engine.label import label
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response import linear, quadrature
from clusterml.engine.response.contour import contour_spectra, resolvent
from clusterml.engine.response.far import FarBasis, far_pairs
from clusterml.engine.response.linear import response_states
from clusterml.engine.response.quadrature import Contour, NodeSums
from clusterml.errors import MemoryLimitError, OptionError

GRID = np.linspace(0.5, 6.0, 276)


@pytest.fixture(scope="module")
def orbitals(molecule):
    known = {}

    def get(name):
        if name not in known:
            atoms = molecule(name)
            known[name] = gfn_orbitals(atoms, atoms.info["charge"])
        return known[name]

    return get


def every_state(orbitals, monkeypatch):
    """All eigenpairs up to 15 eV, every configuration explicit."""
    monkeypatch.setattr(linear, "_LEAST_WINDOW_EV", 1e4)
    return response_states(orbitals, Protocol(solver="states", emax_ev=15.0), Compute()).transitions


def spectra_of(response, fwhm_ev=0.2):
    """Absorption and CD in both gauges, and both tensors."""
    curves = []
    for gauge in ("velocity", "length"):
        spectrum = response.broaden(GRID, fwhm_ev, gauge=gauge, absorption_gauge=gauge)
        curves += [spectrum.epsilon, spectrum.delta_epsilon]
    return [*curves, *response.broaden_tensors(GRID, fwhm_ev)]


@pytest.mark.parametrize("name", ["agsch3", "ag2_tfa2", "S-chfclbr"])
def test_spectra_and_tensors_are_those_of_all_eigenpairs(orbitals, monkeypatch, name):
    response = contour_spectra(orbitals(name), Protocol(), Compute())
    exact = spectra_of(every_state(orbitals(name), monkeypatch))
    rounding = 3e-10 * exact[0].max()  # Ag2(CF3COO)2 has no CD to speak of
    for ours, theirs in zip(spectra_of(response), exact, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max() + rounding


@pytest.mark.parametrize(("fwhm_ev", "inner"), [(0.3, slice(None)), (0.8, slice(30, -50))])
def test_larger_widths_follow_from_the_same_response(orbitals, monkeypatch, fwhm_ev, inner):
    """Very wide ones up to a band's width before the ends of the range, as with pseudo-states."""
    response = contour_spectra(orbitals("S-chfclbr"), Protocol(), Compute())
    exact = every_state(orbitals("S-chfclbr"), monkeypatch)
    for ours, theirs in zip(spectra_of(response, fwhm_ev), spectra_of(exact, fwhm_ev), strict=True):
        assert np.abs(ours - theirs)[inner].max() <= 1e-5 * np.abs(theirs).max()
    with pytest.raises(OptionError, match=r"0\.1, less than the 0\.2"):
        response.broaden(GRID, 0.1)


def test_a_narrow_width_too(orbitals, monkeypatch):
    response = contour_spectra(orbitals("S-chfclbr"), Protocol(fwhm_ev=0.05), Compute())
    exact = every_state(orbitals("S-chfclbr"), monkeypatch)
    ours, theirs = (x.broaden(GRID, 0.05).delta_epsilon for x in (response, exact))
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_single_precision(orbitals):
    double, single = (
        contour_spectra(orbitals("S-chfclbr"), Protocol(dtype=d), Compute()) for d in ("float64", "float32")
    )
    for ours, theirs in zip(spectra_of(single), spectra_of(double), strict=True):
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_a_mirror_image_has_the_opposite_cd(molecule):
    atoms = molecule("ag13_sch3_6_minus")
    mirrored = atoms.copy()
    mirrored.positions[:, 0] *= -1.0
    one, other = (label(a, emax_ev=5.0).spectrum for a in (atoms, mirrored))
    scale = one.epsilon.max()
    np.testing.assert_allclose(other.epsilon, one.epsilon, atol=1e-8 * scale)
    np.testing.assert_allclose(other.delta_epsilon, -one.delta_epsilon, atol=1e-8 * scale)


def test_an_achiral_molecule_has_no_cd(molecule):
    spectrum = label(molecule("agh")).spectrum
    assert np.abs(spectrum.delta_epsilon).max() <= 1e-8 * spectrum.epsilon.max()


def test_blocks_of_configurations_add_up(orbitals, monkeypatch):
    whole = contour_spectra(orbitals("agsch3"), Protocol(), Compute())
    seen = []
    monkeypatch.setattr("clusterml.engine.response.contour.BLOCK", 500)
    monkeypatch.setattr("clusterml.engine.response.contour.configurations.__defaults__", (500,))
    parts = contour_spectra(orbitals("agsch3"), Protocol(), Compute(), seen.append)
    assert len(seen) > 1
    np.testing.assert_allclose(parts.response, whole.response, rtol=1e-6, atol=1e-7 * np.abs(whole.response).max())


def test_far_pairs_summed_by_orbitals_are_what_they_are_one_by_one(orbitals, monkeypatch):
    """Most pairs are far; without any, all are explicit."""
    response = contour_spectra(orbitals("ag13_sch3_6_minus"), Protocol(), Compute())
    space = response.space
    far = far_pairs(space, response.contour.far)
    explicit = len(space.e_o[far.occupied]) * len(space.e_v[far.virtual])
    assert 0 < explicit < 0.4 * space.n_csf
    monkeypatch.setattr(quadrature, "_FAR_EV", 1e3)
    one_by_one = contour_spectra(orbitals("ag13_sch3_6_minus"), Protocol(), Compute())
    assert not far_pairs(space, one_by_one.contour.far).blocks
    for ours, theirs in zip(spectra_of(response), spectra_of(one_by_one), strict=True):
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_threads_change_no_number(orbitals):
    """Charges and moments in single precision are multiplied in other portions: nothing else differs."""
    ground, before, results = orbitals("ag13_sch3_6_minus"), torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            response = contour_spectra(ground, Protocol(), Compute())
            shares = response.shares([("absorption", 3.0), ("cd", 4.1), ("cd", 5.0)], response.broaden(GRID))
        finally:
            torch.set_num_threads(before)
        results.append([*spectra_of(response), *shares])
    for ours, theirs in zip(*results, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max()


@pytest.mark.parametrize("high", [1.5, 8.0])
def test_functions_of_far_pairs_make_up_the_resolvent(high):
    """Exponentials 4 D / (D^2 - z^2), polynomials 1 / (D^2 - z^2), at all D and z, relative to what they are."""
    contour = Contour.spanning(0.02, 0.22, 0.003)
    basis = FarBasis(contour.far, high, float(contour.points.real[-1]))
    points, gaps = torch.as_tensor(contour.points), torch.linspace(basis.low, high, 200, dtype=torch.float64)
    exact = 1.0 / (gaps**2 - points[:, None] ** 2)
    decays = torch.exp(-(gaps - basis.low) * torch.as_tensor(basis.times)[:, None]).to(points.dtype)
    by_decays = basis.coefficients(points) @ decays / (4.0 * gaps)
    by_polynomials = basis.terms(points) @ basis.polynomials(gaps).to(points.dtype)
    for ours in (by_decays, by_polynomials):
        assert float(((ours - exact).abs() / exact.abs()).max()) <= 5e-4


def test_nothing_but_far_pairs_gives_a_dark_response(molecule):
    """Below the gap there is nothing, and no explicit pair either."""
    spectrum = label(molecule("h2o2"), emax_ev=1.0, grid=np.linspace(0.5, 1.0, 26)).spectrum
    assert np.abs(spectrum.epsilon).max() == 0.0


def test_sums_of_parts_are_those_of_the_whole():
    """In double precision to rounding, however configurations are divided."""
    torch.manual_seed(5)
    contour = Contour.spanning(0.1, 0.5, 0.03)
    gaps = 0.2 + 0.3 * torch.rand(40, dtype=torch.float64)
    charges, moments = (torch.randn(40, n, dtype=torch.float64) for n in (5, 9))
    whole, parts = (NodeSums(contour.intervals(gaps), charges, moments) for _ in range(2))
    whole.add(gaps, charges, moments)
    for some in (slice(0, 13), slice(13, 40)):
        parts.add(gaps[some], charges[some], moments[some])
    points = torch.as_tensor(contour.points)
    expected = whole.at(points, lambda products: products)
    torch.testing.assert_close(parts.at(points, lambda products: products), expected, rtol=1e-9, atol=1e-9)


def test_bands_are_where_those_of_the_states_are(molecule):
    """Shares of a band from the response vector and from the states under it, where one state makes the band."""
    ours, states = (label(molecule("agh"), solver=solver) for solver in ("contour", "states"))
    first, same = (next(b for b in x.bands if b.kind == "absorption") for x in (ours, states))
    assert first.energy_ev == pytest.approx(same.energy_ev, abs=0.021)
    for side in ("hole", "electron"):
        for group, share in getattr(same, side).items():
            assert getattr(first, side)[group] == pytest.approx(share, abs=0.02)
        assert sum(getattr(first, side).values()) == pytest.approx(1.0, abs=1e-9)


def test_it_is_the_default_of_orbitals_without_exchange(molecule):
    assert label(molecule("agsch3")).provenance["solver"] == "contour"
    assert label(molecule("agsch3"), orbitals="stda-xtb").provenance["solver"] == "krylov"
    with pytest.raises(OptionError, match=r"without excitations .*--states"):
        _ = label(molecule("agsch3")).transitions
    with pytest.raises(OptionError, match="'contour'"):
        label(molecule("agsch3"), orbitals="stda-xtb", solver="contour")


def test_memory_is_said_before(orbitals):
    with pytest.raises(MemoryLimitError, match=r"needs .* GB; 0.001 GB allowed"):
        contour_spectra(orbitals("agsch3"), Protocol(), Compute(memory_gb=0.001))


def test_derivatives_by_energies_charges_and_moments():
    """The spectrum is differentiable in all it is made of, with a degenerate pair of configurations too."""
    torch.manual_seed(3)
    sigma = 0.03
    contour = Contour.spanning(0.1, 0.5, sigma)
    weights = torch.as_tensor(contour.weights(np.array([0.2, 0.35]), sigma))
    gaps = torch.tensor([0.21, 0.30, 0.30, 0.44], dtype=torch.float64, requires_grad=True)
    charges = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    moments = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    inverse = torch.linalg.inv(torch.eye(3, dtype=torch.float64) * 0.3 + 0.05)
    intervals = contour.intervals(torch.tensor([0.2, 0.45]))

    def spectra(gaps, charges, moments):
        root = gaps.sqrt()
        scale = torch.cat([root.expand(3, -1), (1.0 / root).expand(6, -1)])
        sums = NodeSums(intervals, charges.T, moments.T)
        sums.add(gaps, (2.0 * root * charges).T, (scale * moments).T)
        points = torch.as_tensor(contour.points)
        response = sums.at(points, lambda products: resolvent(products, inverse))
        return (weights @ response.flatten(1)).imag

    assert torch.autograd.gradcheck(spectra, (gaps, charges, moments), atol=1e-5)
