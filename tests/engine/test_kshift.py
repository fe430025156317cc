"""The K-shift, and that its average does not depend on how degenerate orbitals are rotated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clusterml.engine.response.active import averaged, k_shift

EV = 0.03674932


def test_shift_of_single_configurations():
    k = torch.tensor([0.0, 0.1, 0.2, 1.0], dtype=torch.float64) * EV
    np.testing.assert_allclose(k_shift(k) / EV, [0.5, 0.25, 0.5 / 17, 0.5 / 10001], rtol=1e-6)


@pytest.fixture
def charges():
    """Random transition charges q^A_ia of 5 atoms, 6 occupied and 7 virtual orbitals, and a positive kernel."""
    generator = torch.Generator().manual_seed(3)
    q = torch.randn(5, 6, 7, generator=generator, dtype=torch.float64) * 0.1
    return q, torch.eye(5, dtype=torch.float64) * 0.3 + 0.1


E_O = torch.tensor([-0.9, -0.6, -0.6, -0.6, -0.5, -0.4], dtype=torch.float64)
E_V = torch.tensor([0.1, 0.1, 0.2, 0.3, 0.3, 0.3, 0.7], dtype=torch.float64)


def exchange(q, gamma):
    return torch.einsum("Aia,AB,Bia->ia", q, gamma, q)


def rotated(q, seed):
    """The charges after random rotations within the degenerate sets of E_O and E_V."""
    generator = torch.Generator().manual_seed(seed)
    out = q.clone()
    for energies, axis in ((E_O, 1), (E_V, 2)):
        for level in energies.unique():
            members = (energies == level).nonzero().flatten()
            u, _ = torch.linalg.qr(torch.randn(len(members), len(members), generator=generator, dtype=torch.float64))
            out = out.movedim(axis, 0).clone()
            out[members] = torch.einsum("ij,j...->i...", u, out[members])
            out = out.movedim(0, axis)
    return out


def test_the_average_is_invariant_within_degenerate_sets(charges):
    q, gamma = charges
    turned = rotated(q, seed=5)
    assert float((exchange(turned, gamma) - exchange(q, gamma)).abs().max()) > 1e-3, "single integrals change"
    before, after = (averaged(exchange(x, gamma), E_O, E_V, 1e-3) for x in (q, turned))
    np.testing.assert_allclose(after, before, rtol=1e-12)


def test_the_average_of_far_levels_is_the_integral_itself(charges):
    q, gamma = charges
    k = exchange(q, gamma)
    e_o, e_v = torch.arange(6.0).double(), torch.arange(7.0).double()
    np.testing.assert_allclose(averaged(k, e_o, e_v, 0.01), k, rtol=1e-12)


def test_the_average_of_degenerate_levels_is_their_mean():
    k = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.float64)
    e = torch.zeros(2, dtype=torch.float64)
    np.testing.assert_allclose(averaged(k, e, e, 0.01), 3.0)


def test_the_average_changes_smoothly_as_a_degeneracy_is_lifted(charges):
    q, gamma = charges
    k = exchange(q, gamma)
    width = 1e-3
    shifts = torch.linspace(0.0, 6.0 * width, 61, dtype=torch.float64)
    path = torch.stack([averaged(k, E_O + torch.eye(6)[3] * s, E_V, width) for s in shifts])
    steps = (path[1:] - path[:-1]).abs().amax((1, 2))
    assert float(steps.max()) < 0.1 * float((path[-1] - path[0]).abs().max())
    assert float((path[-1] - path[0]).abs().max()) > 1e-4
