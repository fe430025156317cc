"""Sums over transitions between two sets of orbitals: values, and derivatives where levels are degenerate."""

import pytest
import torch

from clusterml.model.spectral import gaussian, transition_density

GRID = torch.linspace(0.5, 6.5, 61, dtype=torch.float64)
PRODUCTS = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 2]])
SIGMA = 0.25


def symmetric(n, centre, degenerate):
    h = torch.randn(n, n, dtype=torch.float64)
    h = 0.2 * (h + h.T) + centre * torch.eye(n, dtype=torch.float64)
    if degenerate:
        levels, states = torch.linalg.eigh(h)
        levels[:3] = levels[1]
        h = states @ torch.diag(levels) @ states.T
    return h


def parts(degenerate=False, n=5, m=6):
    torch.manual_seed(3)
    h_o, h_v = symmetric(n, -1.0, degenerate), symmetric(m, 2.0, degenerate)
    return h_o, h_v, torch.randn(n, m, 3, dtype=torch.float64)


def density(h_o, h_v, w):
    return transition_density(0.5 * (h_o + h_o.T), 0.5 * (h_v + h_v.T), w, PRODUCTS, GRID, SIGMA)


def test_values_are_sums_over_transitions():
    h_o, h_v, w = parts(n=20, m=30)
    (e_o, u_o), (e_v, u_v) = torch.linalg.eigh(h_o), torch.linalg.eigh(h_v)
    moments = torch.einsum("pi,qa,pqd->iad", u_o, u_v, w)
    bands = gaussian((e_v - e_o[:, None]).flatten(), GRID, SIGMA)
    left, right = (moments[..., side].flatten(0, 1) for side in PRODUCTS)
    found, gap = density(h_o, h_v, w)
    torch.testing.assert_close(found, bands.T @ (left * right), rtol=1e-9, atol=1e-8)
    assert float(gap) == pytest.approx(float(e_v[0] - e_o[-1]), abs=0.02)


@pytest.mark.parametrize("degenerate", [False, True])
def test_derivatives_are_exact_with_and_without_degeneracy(degenerate):
    inputs = [x.requires_grad_() for x in parts(degenerate)]
    assert torch.autograd.gradcheck(density, inputs, eps=1e-5, atol=1e-6)


def test_orbitals_beyond_the_grid_change_nothing():
    h_o, h_v, w = parts()
    far = torch.block_diag(h_v, torch.full((1, 1), 50.0, dtype=torch.float64))
    wide = torch.cat([w, torch.ones_like(w[:, :1])], dim=1)
    for found, expected in zip(density(h_o, far, wide), density(h_o, h_v, w), strict=True):
        torch.testing.assert_close(found, expected)


def test_degenerate_levels_count_as_one_in_the_gap():
    h_o, h_v, w = parts()
    _, gap = density(h_o, h_v, w)
    twice = [torch.block_diag(h, h) for h in (h_o, h_v)]
    _, same = density(*twice, torch.block_diag(*w.unbind(-1)[:1], *w.unbind(-1)[:1]).unsqueeze(-1).expand(-1, -1, 3))
    torch.testing.assert_close(gap, same)


@pytest.mark.parametrize(("n", "m", "far"), [(1, 1, 0.0), (0, 3, 0.0), (3, 0, 0.0), (2, 2, 40.0)])
def test_little_or_nothing_to_sum(n, m, far):
    torch.manual_seed(0)
    h_o = torch.eye(n, dtype=torch.float32, requires_grad=True)
    h_v = (torch.eye(m) * (2.0 + far)).requires_grad_()
    w = torch.randn(n, m, 3, requires_grad=True)
    found, _ = transition_density(h_o, h_v, w, PRODUCTS, GRID.float(), SIGMA)
    assert found.shape == (len(GRID), 4)
    assert bool(found.abs().max() > 0.0) == (n * m > 0 and far == 0.0)
    found.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in (h_o, h_v, w))


def test_several_threads_give_the_same():
    inputs = parts(n=80, m=90)
    before = torch.get_num_threads()
    one, _ = density(*inputs)
    torch.set_num_threads(2)
    two, _ = density(*inputs)
    torch.set_num_threads(before)
    torch.testing.assert_close(one, two)
