"""The spectral density of the exciton head: values, and derivatives where levels are degenerate."""

import torch

from clusterml.model.spectral import densities_of, gaussian, spectral_density

GRID = torch.linspace(0.5, 4.5, 21, dtype=torch.float64)


def parts(n, seed, degenerate=False):
    torch.manual_seed(seed)
    h = torch.randn(n, n, dtype=torch.float64)
    h = 0.3 * (h + h.T) + 2.0 * torch.eye(n, dtype=torch.float64)
    if degenerate:
        levels, states = torch.linalg.eigh(h)
        levels[1:4] = levels[2]
        h = states @ torch.diag(levels) @ states.T
    return h, torch.randn(n, 5, dtype=torch.float64)


def density(h, w):
    return spectral_density(0.5 * (h + h.transpose(-1, -2)), w, GRID, 0.15)


def test_values_are_sums_over_states():
    h, w = parts(6, 0)
    levels, states = torch.linalg.eigh(h)
    moments = states.T @ w
    expected = torch.einsum("ka,kb,km->mab", moments, moments, gaussian(levels, GRID, 0.15))
    torch.testing.assert_close(density(h, w), expected)


def test_derivatives_are_exact_with_and_without_degeneracy():
    for degenerate in (False, True):
        inputs = [x.requires_grad_() for x in parts(6, 1, degenerate)]
        assert torch.autograd.gradcheck(density, inputs, eps=1e-5, atol=1e-6)


def test_a_batch_of_matrices_is_done_at_once():
    first, second = parts(5, 2), parts(5, 3)
    together = density(*(torch.stack(pair) for pair in zip(first, second, strict=True)))
    torch.testing.assert_close(together, torch.stack([density(*first), density(*second)]))


def test_several_threads_give_the_same():
    h, w = parts(120, 4)
    before = torch.get_num_threads()
    one = density(h, w)
    torch.set_num_threads(2)
    two = density(h, w)
    torch.set_num_threads(before)
    torch.testing.assert_close(one, two)


def test_systems_of_different_sizes_give_the_same_padded_and_alone():
    systems = [
        tuple(torch.stack(pair).requires_grad_() for pair in zip(parts(n, seed), parts(n, seed + 10), strict=True))
        for n, seed in ((5, 2), (9, 3), (1, 4))
    ]
    results = []
    for padded in (False, True):
        found = densities_of(systems, GRID, 0.15, padded, torch.tensor([1.0, -0.5]))
        total = (found**2).sum() + (found[..., 1, 2] * GRID).sum()
        results.append([found, *torch.autograd.grad(total, [x for system in systems for x in system])])
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y)
