"""The low-rank response against the textbook matrices, built here configuration by configuration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.linalg import sqrtm

from clusterml.engine import integrals
from clusterml.engine.kernels import hybrid_kernels, local_kernels
from clusterml.engine.orbitals.gfn import gfn_orbitals
from clusterml.engine.parameters import tables
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response import linear as response
from clusterml.engine.response.contour import contour_spectra
from clusterml.engine.response.linear import response_problem, response_states
from clusterml.errors import ElectronicStructureError, MemoryLimitError, OptionError
from clusterml.units import HARTREE_EV, ROTATORY_AU_TO_CGS

CHIRAL = "S-chfclbr"
CLUSTER = "ag3_sch3_3"


@pytest.fixture(scope="module")
def orbitals(molecule):
    known = {}

    def get(name):
        if name not in known:
            known[name] = gfn_orbitals(molecule(name), 0, "gfn1")
        return known[name]

    return get


@pytest.fixture
def everything_explicit(monkeypatch):
    monkeypatch.setattr(response, "_LEAST_WINDOW_EV", 1e4)


def states(emax_ev=8.0, memory_gb=None, **options):
    return Protocol(emax_ev=emax_ev, solver="states", **options), Compute(memory_gb=memory_gb)


class Textbook:
    """Dense A and B of stda-xtb.md, 11 and 12.1, with a_x = 0, from explicit loops over atoms; hartree."""

    def __init__(self, orbitals):
        basis, n_occ = orbitals.basis, orbitals.n_occupied
        c, e = orbitals.coefficients, orbitals.energies_ev / 27.2113957
        loewdin = sqrtm(integrals.overlap(basis)).real @ c
        q = np.array(
            [
                (loewdin[rows][:, :n_occ].T @ loewdin[rows][:, n_occ:]).ravel()
                for rows in (basis.atom_of_ao == a for a in range(basis.n_atoms))
            ]
        )
        self.k = q.T @ local_kernels(orbitals.symbols, basis.coords_bohr).k @ q
        self.gaps = (e[None, n_occ:] - e[:n_occ, None]).ravel()
        moved = basis.translated(-basis.coords_bohr.mean(axis=0))
        self.r, self.v, self.m = (
            np.array([(c[:, :n_occ].T @ x @ c[:, n_occ:]).ravel() for x in matrices])
            for matrices in (integrals.dipole(moved), integrals.gradient(moved), integrals.angular(moved))
        )

    @property
    def a(self):
        return np.diag(self.gaps) + 2.0 * self.k

    def casida(self):
        """Energies, X + Y and X - Y from the unsymmetric problem [[A, B], [-B, -A]]."""
        b = 2.0 * self.k
        w, xy = np.linalg.eig(np.block([[self.a, b], [-b, -self.a]]))
        order = [i for i in np.argsort(w.real) if w[i].real > 0]
        x, y = np.split(xy[:, order].real, 2)
        norm = np.sqrt((x**2 - y**2).sum(0))
        return w[order].real, (x + y) / norm, (x - y) / norm


def test_the_kernel_is_the_hardness_on_one_atom_and_coulomb_far_away():
    gamma = local_kernels(("Ag", "S"), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1e4]])).k
    eta = [tables()["elements"][s]["eta_stda_hartree"] for s in ("Ag", "S")]
    assert np.allclose(np.diag(gamma), eta, rtol=1e-12)
    assert gamma[0, 1] == gamma[1, 0] == pytest.approx(1e-4, rel=1e-4)


def test_the_kernel_knows_elements_that_stda_xtb_does_not():
    assert local_kernels(("Xe", "Ce"), np.array([[0.0, 0, 0], [0.0, 0, 4]])).k.shape == (2, 2)


def test_kernels_of_hybrids_are_those_of_the_paper():
    """PBE0, two hydrogen atoms 2 bohr apart: beta of gamma^J is 0.6575, alpha of gamma^K 1.54."""
    symbols, coords = ("H", "H"), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    eta = float(local_kernels(("H",), coords[:1]).k[0, 0])
    kernels = hybrid_kernels(symbols, coords, 0.25)
    np.testing.assert_allclose(np.diag(kernels.j), 0.25 * eta)
    np.testing.assert_allclose(np.diag(kernels.k), eta)
    assert kernels.j[0, 1] == pytest.approx(1.0 / (2.0**0.6575 + (0.25 * eta) ** -0.6575) ** (1.0 / 0.6575))
    assert kernels.k[0, 1] == pytest.approx(1.0 / (2.0**1.54 + eta**-1.54) ** (1.0 / 1.54))
    unlike = hybrid_kernels(("H", "Ag"), coords, 0.25)
    mean = 0.5 * (unlike.k[0, 0] + unlike.k[1, 1])
    assert unlike.k[0, 1] == pytest.approx(1.0 / (2.0**1.54 + mean**-1.54) ** (1.0 / 1.54))
    other = hybrid_kernels(symbols, coords, 0.38, alpha=0.9, beta=1.86)
    assert other.ax == 0.38
    assert other.k[0, 1] == pytest.approx(1.0 / (2.0**0.9 + eta**-0.9) ** (1.0 / 0.9))


@pytest.mark.usefixtures("everything_explicit")
def test_casida_gives_the_states_of_the_full_matrix(orbitals):
    textbook = Textbook(orbitals(CHIRAL))
    w, plus, minus = textbook.casida()
    found = response_states(orbitals(CHIRAL), *states()).transitions
    n = len(found)
    assert n > 5
    assert np.abs(found.energy_ev - w[:n] * HARTREE_EV).max() < 1e-5
    r, v, m = textbook.r @ plus[:, :n], textbook.v @ minus[:, :n], textbook.m @ minus[:, :n]
    assert np.allclose(found.f_length, 4.0 / 3.0 * w[:n] * (r**2).sum(0), rtol=1e-6, atol=1e-9)
    assert np.allclose(found.f_velocity, 4.0 / 3.0 * (v**2).sum(0) / w[:n], rtol=1e-6, atol=1e-9)
    assert np.allclose(found.r_length_cgs, ROTATORY_AU_TO_CGS * (r * m).sum(0), rtol=1e-5, atol=1e-5)
    assert np.allclose(found.r_velocity_cgs, ROTATORY_AU_TO_CGS * (v * m).sum(0) / w[:n], rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("everything_explicit")
def test_tamm_dancoff_gives_the_states_of_a_with_the_velocity_correction(orbitals):
    textbook = Textbook(orbitals(CHIRAL))
    w, x = np.linalg.eigh(textbook.a)
    found = response_states(orbitals(CHIRAL), *states(), form="tda").transitions
    n = len(found)
    w, x = w[:n], x[:, :n]
    assert np.abs(found.energy_ev - w * HARTREE_EV).max() < 1e-5
    y = textbook.k @ x / w
    r, v, m = (z @ x for z in (textbook.r, textbook.v, textbook.m))
    strength = (v * m + (textbook.v @ y) * m + v * (textbook.m @ y)).sum(0) / w
    assert np.allclose(found.f_length, 4.0 / 3.0 * w * (r**2).sum(0), rtol=1e-6, atol=1e-9)
    assert np.allclose(found.r_velocity_cgs, ROTATORY_AU_TO_CGS * strength, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("everything_explicit")
def test_the_casida_form_keeps_the_mixed_sum_rule(orbitals):
    """Sum over all states of r.v does not depend on the coupling: it is the sum over configurations."""
    textbook = Textbook(orbitals(CHIRAL))
    problem = response_problem(orbitals(CHIRAL), *states())
    values, vectors = torch.linalg.eigh(problem.matrix())
    found = problem.intensities(values, vectors.T @ problem.starts.T, vectors.T @ problem.targets.T)
    total = (found.electric_au * found.velocity_au).sum()
    assert total == pytest.approx((textbook.r * textbook.v).sum(), rel=1e-10)


@pytest.mark.parametrize("form", ["casida", "tda"])
class TestBothForms:
    def test_pseudo_states_give_the_spectrum_of_the_states(self, orbitals, deviation, monkeypatch, form):
        monkeypatch.setattr(response, "_EVERY_CONFIGURATION", 0)
        grid = np.arange(0.5, 5.5, 0.02)
        exact = response_states(orbitals(CLUSTER), *states(6.5), form=form)
        quick = response_states(orbitals(CLUSTER), Protocol(emax_ev=6.5), Compute(), form=form)
        assert quick.converged
        assert quick.counts["n_krylov"] <= quick.counts["n_csf"]
        assert max(deviation(*(s.transitions.broaden(grid, 0.2) for s in (quick, exact)))) < 2e-3

    def test_the_operator_is_its_matrix(self, orbitals, rng, form):
        problem = response_problem(orbitals(CHIRAL), *states(), form)
        x = torch.as_tensor(rng.normal(size=(4, len(problem.gaps))))
        assert torch.allclose(problem.operator()(x), x @ problem.matrix(), rtol=1e-12, atol=1e-12)

    def test_a_turned_mirror_image_has_the_opposite_cd(self, molecule, form):
        atoms = molecule(CLUSTER)
        image = Atoms(atoms.symbols, atoms.positions * [1, 1, -1])
        image.rotate(77, (1, 2, 3))
        image.translate([3.0, -5.0, 8.0])
        grid = np.arange(0.5, 6.0, 0.02)
        how = Protocol(emax_ev=6.0), Compute()
        one, other = (
            response_states(gfn_orbitals(a, 0, charge_tolerance=1e-9), *how, form=form).transitions.broaden(grid)
            for a in (atoms, image)
        )
        assert np.abs(one.epsilon - other.epsilon).max() < 1e-6 * one.epsilon.max()
        scale = np.abs(one.delta_epsilon).max()
        assert np.abs(one.delta_epsilon + other.delta_epsilon).max() < 1e-6 * scale

    def test_float32_is_enough_for_a_spectrum(self, orbitals, deviation, form):
        single, double = (
            response_states(orbitals(CLUSTER), Protocol(dtype=t), Compute(), form=form).transitions.broaden()
            for t in ("float32", "float64")
        )
        assert max(deviation(single, double)) < 2e-3


def test_states_of_a_small_molecule_take_every_configuration(orbitals, deviation):
    """They give the spectrum of the contour, which knows no window."""
    molecule = orbitals(CHIRAL)
    states_of = response_states(molecule, *states(9.0))
    assert states_of.counts["n_csf"] == molecule.n_occupied * molecule.n_virtual
    grid = np.arange(0.5, 7.5, 0.02)
    exact = contour_spectra(molecule, Protocol(emax_ev=7.5), Compute()).broaden(grid, 0.2)
    assert max(deviation(states_of.transitions.broaden(grid, 0.2), exact)) < 1e-4


def test_adiabatic_configurations_stand_for_explicit_ones(orbitals, deviation, monkeypatch):
    """With a third of the configurations the spectrum stays; without the response of the others it does not."""

    monkeypatch.setattr(response, "_EVERY_CONFIGURATION", 0)

    def spectrum(least_window_ev, adiabatic_ev=3.0):
        monkeypatch.setattr(response, "_LEAST_WINDOW_EV", least_window_ev)
        monkeypatch.setattr(response, "_ADIABATIC_EV", adiabatic_ev)
        found = response_states(orbitals(CLUSTER), *states(5.5))
        return found.counts["n_csf"], found.transitions.broaden(np.arange(0.5, 5.0, 0.02), 0.2)

    (few, short), (many, long), (same, without) = spectrum(10.0), spectrum(30.0), spectrum(10.0, 1e6)
    assert few == same < 0.4 * many
    absorption, cd = deviation(short, long)
    lost_absorption, lost_cd = deviation(without, long)
    assert absorption < 0.01
    assert cd < 0.03
    assert lost_absorption > 5 * absorption
    assert lost_cd > 2 * cd


def test_amplitudes_are_normalised(orbitals):
    """|X|^2 - |Y|^2 = 1 and Y is small, so |X|^2 is a little above one in Casida's form and one in Tamm-Dancoff's."""
    for form, excess in (("casida", 0.1), ("tda", 1e-10)):
        found = response_states(orbitals(CHIRAL), *states(), form=form)
        x = found.amplitudes(np.arange(len(found.transitions)))
        norms = (x**2).sum((1, 2)).numpy()
        assert x.shape[1:] == found.space.shape
        assert (norms > 1.0 - 1e-10).all()
        assert (norms < 1.0 + excess).all()


def test_an_achiral_molecule_has_no_cd(molecule):
    found = response_states(
        gfn_orbitals(molecule("ag2_tfa2"), 0, charge_tolerance=1e-9), Protocol(), Compute()
    ).transitions
    spectrum = found.broaden()
    assert np.abs(spectrum.delta_epsilon).max() < 1e-6 * spectrum.epsilon.max()


def test_what_cannot_be_done_is_said(orbitals, monkeypatch):
    good = orbitals(CLUSTER)
    with pytest.raises(OptionError, match=r"form is 'rpa'.*casida, tda"):
        response_states(good, *states(), form="rpa")
    with pytest.raises(MemoryLimitError, match="without --states"):
        response_states(good, *states(memory_gb=0.005))
    monkeypatch.setattr(response, "_LEAST_WINDOW_EV", 30.0)
    with pytest.raises(MemoryLimitError, match="float32"):
        response_states(good, Protocol(), Compute(memory_gb=0.0015))
    levels = good.energies_ev.copy()
    levels[good.n_occupied :] -= good.gap_ev
    with pytest.raises(ElectronicStructureError, match=r"gap of GFN1-xTB is .*0\.00000 eV"):
        response_states(replace(good, energies_ev=levels), *states())
