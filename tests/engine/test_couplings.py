"""The matrix-free products, and everything built on them, against dense matrices written straight from the formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from clusterml.engine import integrals
from clusterml.engine.orbitals.stda_xtb import stda_xtb_orbitals
from clusterml.engine.parameters import per_atom
from clusterml.engine.response.active import Couplings, active_space, coulomb_integrals, exchange_integrals
from clusterml.engine.response.excited import Moments, transitions
from clusterml.engine.response.singles import full_matrix, select, window_weight
from clusterml.units import REFERENCE_HARTREE_EV, REFERENCE_OUTPUT_HARTREE_EV

AX, BETA, ALPHA = 0.5, 4.0, 2.0


class Dense:
    """(pq|rs) = sum_AB q^A_pq gamma_AB q^B_rs over chosen orbitals, and the matrices A and B made of them."""

    def __init__(self, atoms, loewdin, n_o=4, n_v=5):
        symbols = atoms.get_chemical_symbols()
        self.orbitals = stda_xtb_orbitals(symbols, atoms.positions, atoms.info["charge"])
        n_occ = self.orbitals.n_occupied
        self.occupied, self.virtual = np.arange(n_occ - n_o, n_occ), np.arange(n_occ, n_occ + n_v)
        self.space = active_space(self.orbitals, self.occupied, self.virtual, loewdin)
        basis, c = self.orbitals.basis, self.orbitals.coefficients
        if loewdin == "spherical":
            s, atom_of = integrals.overlap(basis), basis.atom_of_ao
        else:
            s, to_cart = integrals.cartesian_overlap(basis)
            c, atom_of = to_cart @ c, integrals.cartesian_atoms(basis)
        low = np.real(sqrtm(s)) @ c
        q = np.stack([low[atom_of == a].T @ low[atom_of == a] for a in range(len(atoms))])
        eta = per_atom(symbols, "eta_stda_hartree")
        eta = 0.5 * (eta[:, None] + eta[None, :])
        r = np.linalg.norm(basis.coords_bohr[:, None] - basis.coords_bohr[None, :], axis=-1)
        gamma_j = (r**BETA + (AX * eta) ** -BETA) ** (-1 / BETA)
        gamma_k = (r**ALPHA + eta**-ALPHA) ** (-1 / ALPHA)
        o, v = self.occupied, self.virtual
        ov, oo, vv = q[:, o][:, :, v], q[:, o][:, :, o], q[:, v][:, :, v]
        self.iajb_k = np.einsum("Aia,AB,Bjb->iajb", ov, gamma_k, ov)
        self.ijab_j = np.einsum("Aij,AB,Bab->iajb", oo, gamma_j, vv)
        self.ibja_k = np.einsum("Aib,AB,Bja->iajb", ov, gamma_k, ov)

    @property
    def a(self):
        """Two-electron part of A, (n_o, n_v, n_o, n_v)."""
        return 2.0 * self.iajb_k - self.ijab_j

    @property
    def b(self):
        return 2.0 * self.iajb_k - AX * self.ibja_k


@pytest.fixture(scope="module", params=["spherical", "cartesian"])
def dense(request, molecule):
    return Dense(molecule("agsch3"), request.param)


@pytest.fixture
def random():
    generator = torch.Generator().manual_seed(7)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("weighted", [False, True])
def test_products_with_a_and_b(dense, random, weighted):
    space = dense.space
    x, diagonal = random(3, *space.shape), random(*space.shape).abs()
    weight = random(*space.shape).sigmoid() if weighted else None
    couplings = Couplings(space, diagonal, weight)
    w = np.ones(space.shape) if weight is None else weight.numpy()
    expected_a = diagonal.numpy() * x.numpy() + w * np.einsum("iajb,jb,kjb->kia", dense.a, w, x.numpy())
    expected_b = w * np.einsum("iajb,jb,kjb->kia", dense.b, w, x.numpy())
    np.testing.assert_allclose(couplings.apply_a(x), expected_a, atol=1e-12)
    np.testing.assert_allclose(couplings.apply_b(x), expected_b, atol=1e-12)


def test_products_leave_their_input_alone_and_are_symmetric(dense, random):
    couplings = Couplings(dense.space, random(*dense.space.shape))
    x, y = random(1, *dense.space.shape), random(1, *dense.space.shape)
    before = x.clone()
    for apply in (couplings.apply_a, couplings.apply_b):
        assert float((apply(x) * y).sum()) == pytest.approx(float((x * apply(y)).sum()), rel=1e-12)
    assert torch.equal(x, before)


def test_diagonal_integrals(dense):
    np.testing.assert_allclose(exchange_integrals(dense.space), np.einsum("iaia->ia", dense.iajb_k), atol=1e-13)
    np.testing.assert_allclose(coulomb_integrals(dense.space), np.einsum("iaia->ia", dense.ijab_j), atol=1e-13)


def test_loewdin_charges_add_up_to_the_overlap_of_orbitals(dense):
    space = dense.space
    np.testing.assert_allclose(space.transition_charges().sum(0), 0.0, atol=1e-10)
    np.testing.assert_allclose(space.l_o.T @ space.l_o, np.eye(space.shape[0]), atol=1e-10)
    np.testing.assert_allclose(space.l_v.T @ space.l_v, np.eye(space.shape[1]), atol=1e-10)


def test_full_matrix(dense, random):
    diagonal = random(*dense.space.shape)
    n = dense.space.n_csf
    expected = dense.a.reshape(n, n) - np.diag(np.diag(dense.a.reshape(n, n))) + np.diag(diagonal.flatten())
    np.testing.assert_allclose(full_matrix(dense.space, diagonal), expected, atol=1e-12)


def test_selection_by_perturbation(dense):
    """Primaries, accepted secondaries, matrix, lowered diagonals, by double loop (stda-xtb.md, 11.5 to 11.7)."""
    space = dense.space
    n = space.n_csf
    diagonal = (space.gaps + 2 * exchange_integrals(space) - coulomb_integrals(space)).flatten()
    a, emax = dense.a.reshape(n, n), float(diagonal.median()) * REFERENCE_HARTREE_EV
    primary = [int(k) for k in diagonal.argsort() if diagonal[k] <= emax / 27.21138505]
    accepted, lowering = [], dict.fromkeys(primary, 0.0)
    for u in set(range(n)) - set(primary):
        energy = {p: a[u, p] ** 2 / (float(diagonal[u] - diagonal[p]) + 1e-10) for p in primary}
        if sum(energy.values()) > 1e-4:
            accepted.append(u)
        else:
            lowering = {p: lowering[p] + energy[p] for p in primary}
    chosen = select(space, diagonal.reshape(space.shape), emax)
    index = chosen.index.tolist()
    assert 0 < len(primary) < len(index) < n
    assert max(lowering.values()) > 1e-6
    assert chosen.n_primary == len(primary)
    assert sorted(index) == sorted(primary + accepted)
    expected = a[np.ix_(index, index)].copy()
    np.fill_diagonal(expected, diagonal[index].numpy() - np.array([lowering.get(k, 0.0) for k in index]))
    np.testing.assert_allclose(chosen.matrix, expected, atol=1e-12)


def test_nothing_below_emax_gives_an_empty_selection(dense):
    chosen = select(dense.space, torch.full(dense.space.shape, 1.0, dtype=torch.float64), 5.0)
    assert (chosen.n_primary, len(chosen.index)) == (0, 0)


@pytest.mark.parametrize("damped", [False, True])
def test_intensities_from_eigenvectors(dense, damped):
    """f and R state by state, with the velocity correction Y = B X / (2 omega) written out."""
    space, n = dense.space, dense.space.n_csf
    a = dense.a.reshape(n, n) + np.diag(space.gaps.flatten())
    omega, x = np.linalg.eigh(a)
    r, v, m = (moment.reshape(3, n).numpy() @ x for moment in (space.position, space.velocity, space.angular))
    y = 0.5 * dense.b.reshape(n, n) @ x / (omega + 1e-8)
    v_y, m_y = (moment.reshape(3, n).numpy() @ y for moment in (space.velocity, space.angular))
    power = 1 - np.exp(-150 * omega**2) if damped else 1.0
    bx = dense.b.reshape(n, n) @ x
    found = transitions(
        omega,
        Moments(r.T, v.T, m.T, *((p.reshape(3, n).numpy() @ bx).T for p in (space.velocity, space.angular))),
        damped,
    )
    np.testing.assert_allclose(found.energy_ev, omega * REFERENCE_OUTPUT_HARTREE_EV)
    np.testing.assert_allclose(found.f_length, 4 / 3 * omega * (r**2).sum(0), atol=1e-12)
    np.testing.assert_allclose(found.f_velocity, 4 / 3 * (v**2).sum(0) / (omega + 1e-8), atol=1e-12)
    np.testing.assert_allclose(found.r_length_cgs, 2 * 235.7220 * (r * m).sum(0), atol=1e-9)
    expected = 2 * 235.7220 * (v * m + v_y * m + v * m_y).sum(0) / (omega**power + 1e-8)
    np.testing.assert_allclose(found.r_velocity_cgs, expected, atol=1e-9)


def test_window_weight_is_a_smooth_step():
    gaps = torch.linspace(14.0, 18.0, 401, dtype=torch.float64) / REFERENCE_HARTREE_EV
    weight = window_weight(gaps, 16.8).numpy()
    ev = gaps.numpy() * REFERENCE_HARTREE_EV
    assert (weight[ev < 15.8] == 1.0).all()
    assert (weight[ev > 16.8] == 0.0).all()
    assert (np.diff(weight) <= 0).all()
    slope = np.diff(weight)
    assert np.abs(np.diff(slope)).max() < 0.1 * np.abs(slope).max(), "no kink"
