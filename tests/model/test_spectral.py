"""The spectral functions of the exciton head: values, and derivatives where levels are degenerate."""

import torch

from clusterml.model.spectral import gaussian, spectra_of, spectral_functions

GRID = torch.linspace(0.5, 4.5, 21, dtype=torch.float64)


def parts(n, seed, degenerate=False):
    torch.manual_seed(seed)
    h = torch.randn(n, n, dtype=torch.float64)
    h = 0.3 * (h + h.T) + 2.0 * torch.eye(n, dtype=torch.float64)
    if degenerate:
        levels, states = torch.linalg.eigh(h)
        levels[1:4] = levels[2]
        h = states @ torch.diag(levels) @ states.T
    return h, torch.randn(n, 3, dtype=torch.float64), torch.randn(n, 3, dtype=torch.float64)


def functions(h, p, m):
    return spectral_functions(0.5 * (h + h.transpose(-1, -2)), p, m, GRID, 0.15)


def test_values_are_sums_over_states():
    h, p, m = parts(6, 0)
    levels, states = torch.linalg.eigh(h)
    a, c = functions(h, p, m)
    bands = gaussian(levels, GRID, 0.15)
    torch.testing.assert_close(a, ((states.T @ p) ** 2).sum(1) @ bands)
    torch.testing.assert_close(c, ((states.T @ p) * (states.T @ m)).sum(1) @ bands)


def test_derivatives_are_exact_with_and_without_degeneracy():
    for degenerate in (False, True):
        inputs = [x.requires_grad_() for x in parts(6, 1, degenerate)]
        assert torch.autograd.gradcheck(functions, inputs, eps=1e-5, atol=1e-6)


def test_a_batch_of_matrices_is_done_at_once():
    first, second = parts(5, 2), parts(5, 3)
    together = functions(*(torch.stack(pair) for pair in zip(first, second, strict=True)))
    for k, alone in enumerate((functions(*first), functions(*second))):
        for x, y in zip(together, alone, strict=True):
            torch.testing.assert_close(x[k], y)


def test_several_threads_give_the_same():
    h, p, m = parts(120, 4)
    before = torch.get_num_threads()
    one = functions(h, p, m)
    torch.set_num_threads(2)
    two = functions(h, p, m)
    torch.set_num_threads(before)
    torch.testing.assert_close(one, two)


def test_systems_of_different_sizes_give_the_same_padded_and_alone():
    systems = [
        tuple(torch.stack(pair).requires_grad_() for pair in zip(parts(n, seed), parts(n, seed + 10), strict=True))
        for n, seed in ((5, 2), (9, 3), (1, 4))
    ]
    results, gradients = [], []
    for padded in (False, True):
        found = spectra_of(systems, GRID, 0.15, padded)
        total = (found[0] ** 2).sum() + (found[1] * GRID).sum()
        gradients.append(torch.autograd.grad(total, [x for system in systems for x in system]))
        results.append(found)
    for x, y in zip((*results[0], *gradients[0]), (*results[1], *gradients[1]), strict=True):
        torch.testing.assert_close(x, y)
