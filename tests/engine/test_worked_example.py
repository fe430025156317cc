"""H2O2 step by step, against numbers of the original programs for every intermediate: a ladder to find an error on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh

from clusterml.engine import atomic as charges
from clusterml.engine import integrals
from clusterml.engine.basis import stage_basis
from clusterml.engine.orbitals.stda_xtb import (
    core_hamiltonian,
    coulomb_kernel,
    hamiltonian,
    stage_one_charges,
    stda_xtb_orbitals,
)
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.active import active_space, coulomb_integrals, exchange_integrals, k_shift, window
from clusterml.engine.response.singles import reference_states, select
from clusterml.errors import ChargeError
from clusterml.units import REFERENCE_BOHR_ANGSTROM, REFERENCE_OUTPUT_HARTREE_EV

SYMBOLS = ["O", "O", "H", "H"]
POSITIONS = np.array([[0.0, 0.7, 0.0], [0.0, -0.7, 0.0], [0.8, 0.9, 0.45], [-0.8, -0.9, 0.45]])
COORDS = POSITIONS / REFERENCE_BOHR_ANGSTROM
EMAX = 9.0
S1, S2, PY2, H1 = 0, 4, 6, 8  # stage 1: O 2s 2p(xyz), O 2s 2p, H 1s, H 1s


@pytest.fixture(scope="module")
def cn():
    return charges.coordination_numbers(SYMBOLS, COORDS)


@pytest.fixture(scope="module")
def history(cn):
    return stage_one_charges(SYMBOLS, COORDS, cn, 0)


@pytest.fixture(scope="module")
def orbitals():
    return stda_xtb_orbitals(SYMBOLS, POSITIONS, 0)


@pytest.fixture(scope="module")
def space(orbitals):
    return active_space(orbitals, *window(orbitals, EMAX), loewdin="cartesian")


@pytest.fixture(scope="module")
def diagonal(space):
    k = exchange_integrals(space)
    return space.gaps - coulomb_integrals(space) + 2.0 * k + k_shift(k)


def stage_matrices(stage, cn, q):
    """Basis, overlap, potential (eV) and Hamiltonian (eV) of one stage in the field of charges ``q``."""
    basis = stage_basis(SYMBOLS, COORDS, cn, stage)
    s, t = integrals.overlap(basis), integrals.kinetic(basis)
    potential = coulomb_kernel(SYMBOLS, COORDS, stage) @ q
    h = hamiltonian(basis, core_hamiltonian(basis, cn, stage, s, t), s, potential, stage)
    return basis, s, t, potential, h


def test_coordination_numbers_and_starting_charges(cn, history):
    np.testing.assert_allclose(cn, [1.963660, 1.963660, 1.002858, 1.002858], atol=6e-7)
    np.testing.assert_allclose(history[0], [-0.1536437, -0.1536437, 0.1536437, 0.1536437], atol=6e-8)


def test_stage_one_integrals(cn, history):
    _, s, t, _, _ = stage_matrices(1, cn, history[0])
    assert s.shape == (10, 10)
    np.testing.assert_allclose([s[S1, S2], s[S1, PY2], s[S1, H1]], [0.16100447, 0.16196801, 0.48424385], atol=6e-9)
    np.testing.assert_allclose([t[S1, S1], t[S1, S2], t[S1, H1]], [0.94312625, -0.02406434, 0.13202951], atol=6e-9)


def test_stage_one_hamiltonian(cn, history):
    _, _, _, potential, h = stage_matrices(1, cn, history[0])
    np.testing.assert_allclose(potential[[0, 2]], [-1.50064402, 0.68851400], atol=1e-7)
    elements = [h[S1, S1], h[S1 + 1, S1 + 1], h[S1, S2], h[S1, H1]]
    np.testing.assert_allclose(elements, [-21.18962409, -16.75454715, -6.00040706, -16.61032998], atol=1e-7)


STAGE_ONE_ENERGIES = (
    "-26.432136 -24.332455 -22.106396 -19.156216 -18.415529 -16.385846 -15.557120 -4.631099 10.360896 11.476178",
    "-25.708788 -23.889848 -21.395657 -18.156383 -17.406572 -15.399361 -14.557116 -3.648016 10.502882 11.622166",
)


@pytest.mark.parametrize("stage_pass", [0, 1])
def test_stage_one_orbital_energies(cn, history, stage_pass):
    _, s, _, _, h = stage_matrices(1, cn, history[stage_pass])
    expected = np.array(STAGE_ONE_ENERGIES[stage_pass].split(), float)
    np.testing.assert_allclose(eigh(h, s, eigvals_only=True), expected, atol=2e-6)


@pytest.mark.parametrize(("stage_pass", "mulliken", "cm5"), [(1, -0.223180, -0.417741), (2, -0.161721, -0.356282)])
def test_charges_after_each_pass(history, stage_pass, mulliken, cm5):
    q = history[stage_pass]
    np.testing.assert_allclose(q, [cm5, cm5, -cm5, -cm5], atol=6e-7)
    np.testing.assert_allclose((q - charges.cm5_correction(SYMBOLS, COORDS))[0], mulliken, atol=6e-7)


# first column: exponents; second: contraction coefficients including the norm of each primitive
STAGE_TWO_SHELLS = {
    ("O", 0, "valence"): (
        "77.40969531 13.33059007 1.07116979 0.40824932",
        "-0.22290133 -0.27208048 0.43566230 0.17363204",
    ),
    ("O", 0, "rydberg"): (
        "0.57971233 0.07115450 0.03359728 77.40969531 13.33059007 1.07116979 0.40824932",
        "-0.08854586 0.08871653 0.01327091 0.07067288 0.08626557 -0.13813066 -0.05505160",
    ),
    ("O", 1, "rydberg"): (
        "2.76717072 0.15304476 0.05897927",
        "-0.05969789 0.07868389 0.02495075 -0.51377977 -0.47544600 -0.24939629 -0.03762442",
    ),
    ("H", 0, "rydberg"): (
        "0.92936822 0.05643440 0.02166600",
        "-0.04542095 0.05524545 0.02071253 -0.10122978 -0.12982241 -0.10175461 -0.02435142",
    ),
}


@pytest.mark.parametrize("which", STAGE_TWO_SHELLS, ids=str)
def test_stage_two_contractions(cn, which):
    basis = stage_basis(SYMBOLS, COORDS, cn, 2)
    shell = next(s for s in basis.shells if (SYMBOLS[s.atom], s.l, s.kind) == which)
    exponents, coefficients = (np.array(text.split(), float) for text in STAGE_TWO_SHELLS[which])
    norm = (2.0 * shell.exponents / np.pi) ** 0.75 * (4.0 * shell.exponents) ** (shell.l / 2)
    np.testing.assert_allclose(shell.exponents[: len(exponents)], exponents, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(shell.coefficients * norm, coefficients, atol=1.1e-8)


def test_stage_two_levels_and_hamiltonian(cn, history):
    basis, _, _, potential, h = stage_matrices(2, cn, history[2])
    oxygen = [s.level_ev for s in basis.shells if s.atom == 0]
    np.testing.assert_allclose(oxygen, [-33.859, -22.175911, -4.959392, -3.559392], atol=1e-9)
    np.testing.assert_allclose(potential[[0, 2]], [-3.47981856, 1.59658371], atol=1e-6)
    diagonal = [h[k, k] for k in (0, 1, 4, 5)]
    np.testing.assert_allclose(diagonal, [-32.17434563, -19.87183305, -1.74251455, -0.26828820], atol=1e-6)


def test_stage_two_orbital_energies(orbitals):
    expected = (
        "-36.203810 -32.833486 -26.573787 -25.964907 -23.643984 -19.537197 -17.287964 "
        "-4.336398 -4.152166 -2.585955 -1.984296 0.536995 0.932965 1.634406 2.314531 7.200988 7.212916"
    )
    assert (orbitals.n_occupied, len(orbitals.energies_ev), orbitals.basis.n_ao) == (7, 22, 26)
    np.testing.assert_allclose(orbitals.energies_ev[:17], np.array(expected.split(), float), atol=2e-6)
    assert orbitals.raw_gap_ev == pytest.approx(-4.336398 + 17.287964 - 3.1, abs=2e-6)


def test_active_window(orbitals):
    occupied, virtual = window(orbitals, EMAX)
    np.testing.assert_array_equal(occupied, np.arange(2, 7))
    np.testing.assert_array_equal(virtual, np.arange(7, 17))


def test_kernels_and_loewdin_charges(space):
    pairs = [(0, 0), (0, 1), (0, 2), (2, 2)]
    np.testing.assert_allclose(
        [float(space.gamma_j[p]) for p in pairs], [0.29345931, 0.27158001, 0.26173593, 0.23629644], atol=6e-9
    )
    np.testing.assert_allclose(
        [float(space.gamma_k[p]) for p in pairs], [0.58691863, 0.31778448, 0.38590963, 0.47259288], atol=6e-9
    )
    homo = space.atom_sum(space.l_o[:, -1] ** 2).numpy()
    np.testing.assert_allclose(homo, [0.46329723, 0.46329723, 0.03670277, 0.03670277], atol=1e-7)


@pytest.mark.parametrize(
    ("virtual", "expected"),
    [
        (0, [12.951563, 7.111152, 0.009448, 0.499960, 6.359267]),
        (3, [15.303664, 7.072623, 0.158560, 0.068298, 8.616460]),
    ],
)
def test_configuration_energies(space, diagonal, virtual, expected):
    k, j = exchange_integrals(space), coulomb_integrals(space)
    found = [float(x[-1, virtual]) * REFERENCE_OUTPUT_HARTREE_EV for x in (space.gaps, j, k, k_shift(k), diagonal)]
    np.testing.assert_allclose(found, expected, atol=1.5e-6)


def test_selection_and_lowering(space, diagonal):
    chosen = select(space, diagonal, EMAX)
    assert (chosen.n_primary, len(chosen.index)) == (6, 28)
    energies = diagonal.flatten()[chosen.index]
    lowered = (energies - chosen.matrix.diagonal())[energies.argsort()][:6]
    expected = [0.005603, 0.002220, 0.002974, 0.004472, 0.004174, 0.004527]
    np.testing.assert_allclose(lowered.numpy() * REFERENCE_OUTPUT_HARTREE_EV, expected, atol=1.5e-6)
    np.testing.assert_allclose(chosen.matrix, chosen.matrix.T, atol=1e-15)


def test_states(orbitals):
    protocol = Protocol(mode="reference", solver="states", emax_ev=EMAX)
    t = reference_states(orbitals, protocol, Compute()).transitions
    np.testing.assert_allclose(t.energy_ev, [6.3278, 6.5592, 8.0941, 8.4905, 8.6955, 8.8892], atol=6e-5)
    tables = {
        "f_length": "0.004969 0.005122 0.005752 0.006512 0.038329 0.000002",
        "f_velocity": "0.335460 0.013329 0.038031 0.018834 0.220402 0.010891",
        "r_length_cgs": "-1.205693 -5.531769 -5.078718 -3.454314 19.373787 0.436848",
        "r_velocity_cgs": "-12.000844 -35.905521 12.915937 -3.855521 29.630043 32.782004",
    }
    for name, values in tables.items():
        np.testing.assert_allclose(getattr(t, name), np.array(values.split(), float), atol=2e-6, err_msg=name)
    uncorrected = 2 * 235.7220 * (t.velocity_au * t.magnetic_au).sum(1) / (t.energy_ev / 27.21139 + 1e-8)
    expected = "-9.906940 -38.110707 13.058893 -6.372561 27.376676 32.672519"
    np.testing.assert_allclose(uncorrected, np.array(expected.split(), float), atol=2e-6)


@pytest.fixture
def agh(molecule):
    """The same for a d element: the first rungs, and the states."""
    return molecule("agh")


def test_silver_hydride_charges(agh):
    symbols, coords = ["Ag", "H"], agh.positions / REFERENCE_BOHR_ANGSTROM
    cn = charges.coordination_numbers(symbols, coords)
    np.testing.assert_allclose(cn, 0.987444, atol=6e-7)
    q = stage_one_charges(symbols, coords, cn, 0)
    np.testing.assert_allclose([x[0] for x in q], [-0.066061, 0.212623, 0.123719], atol=1e-6)
    np.testing.assert_allclose([x.sum() for x in q], 0.0, atol=1e-9)


def test_silver_hydride_orbital_energies(agh):
    energies = stda_xtb_orbitals(["Ag", "H"], agh.positions, 0).energies_ev
    expected = "-17.137025 -15.459091 -15.459091 -15.458903 -15.458903 -14.730395 -7.808868 -3.780999 -3.780999"
    np.testing.assert_allclose(energies[:9], np.array(expected.split(), float), atol=5e-6)


def test_silver_hydride_states(agh):
    orbitals = stda_xtb_orbitals(["Ag", "H"], agh.positions, 0)
    t = reference_states(orbitals, Protocol(mode="reference", solver="states", emax_ev=6.5), Compute()).transitions
    np.testing.assert_allclose(t.energy_ev, [3.3984, 4.3684, 4.3684, 4.3709, 4.3709, 5.3274], atol=1e-4)
    np.testing.assert_allclose(t.f_length, [0.0411, 0.0098, 0.0098, 0.0, 0.0, 0.1900], atol=6e-5)


def test_an_odd_number_of_electrons_is_refused():
    with pytest.raises(ChargeError, match="7 valence electrons are an odd number"):
        stda_xtb_orbitals(["O", "H"], np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.97]]), 0)
