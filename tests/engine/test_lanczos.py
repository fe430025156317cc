"""Block Lanczos against exact diagonalisation of small matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clusterml.engine.response import lanczos
from clusterml.engine.response.lanczos import BlockLanczos, Resolvent, converged_ritz_pairs, orthonormalised
from clusterml.errors import ElectronicStructureError


@pytest.fixture
def random():
    generator = torch.Generator().manual_seed(11)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def matrix_with(spectrum, random):
    """A symmetric matrix with the given eigenvalues, and its eigenvectors in columns."""
    rotation, _ = torch.linalg.qr(random(len(spectrum), len(spectrum)))
    return (rotation * spectrum) @ rotation.T, rotation


def grown(matrix, start, blocks, capacity=10_000, targets=None):
    space = BlockLanczos(lambda x: x @ matrix, start, start if targets is None else targets, capacity)
    for _ in range(blocks):
        if space.exhausted:
            break
        space.expand()
    return space


def broadened(values, strengths, width=0.2):
    """sum_n strengths_n exp(-((E - values_n) / width)^2) on a grid."""
    grid = np.linspace(0.0, 12.0, 200)
    return np.exp(-(((grid[:, None] - values[None, :]) / width) ** 2)) @ strengths


@pytest.mark.parametrize("blocks", [1, 3, 6])
def test_moments_are_exact_up_to_twice_the_number_of_blocks(random, blocks):
    matrix, _ = matrix_with(torch.rand(80, dtype=torch.float64) * 2.0 - 1.0, random)
    start = random(3, 80)
    pairs = grown(matrix, start, blocks).ritz()
    power = start
    for k in range(2 * blocks):
        exact = start @ power.T
        found = pairs.starts.T @ (pairs.values[:, None] ** k * pairs.starts)
        np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-9 * float(exact.abs().max()))
        power = power @ matrix
    exact = start @ power.T
    found = pairs.starts.T @ (pairs.values[:, None] ** (2 * blocks) * pairs.starts)
    assert float((found - exact).abs().max()) > 1e-4 * float(exact.abs().max()), "and not beyond"


def test_an_exhausted_space_gives_the_exact_spectral_functions(random):
    matrix, vectors = matrix_with(torch.arange(1, 41, dtype=torch.float64) / 4.0, random)
    start, targets = random(3, 40), random(2, 40)
    space = grown(matrix, start, 1000, targets=targets)
    pairs = space.ritz()
    assert space.exhausted
    assert not space.truncated
    assert len(pairs.values) == 40
    np.testing.assert_allclose(pairs.values, torch.arange(1, 41) / 4.0, atol=1e-12)
    exact = (vectors.T @ start.T)[:, :, None] * (vectors.T @ targets.T)[:, None, :]
    np.testing.assert_allclose(pairs.starts[:, :, None] * pairs.targets[:, None, :], exact, atol=1e-10)


def test_ritz_vectors_are_eigenvectors(random):
    matrix, _ = matrix_with(torch.arange(1, 41, dtype=torch.float64), random)
    space = grown(matrix, random(4, 40), 1000)
    pairs = space.ritz()
    chosen = pairs.select(torch.tensor([0, 7, 39]))
    vectors = space.vectors(chosen)
    np.testing.assert_allclose(vectors @ matrix, chosen.values[:, None] * vectors, atol=1e-9)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-10)


def test_dependent_start_vectors_are_deflated(random):
    matrix, _ = matrix_with(torch.rand(50, dtype=torch.float64), random)
    a, b = random(2, 50)
    dependent = torch.stack([a, b, a - 2.0 * b, torch.zeros_like(a), 1e-3 * a])
    assert len(orthonormalised(dependent)) == 2
    pairs = grown(matrix, dependent, 5).ritz()
    assert len(pairs.values) == 10
    for k in range(4):
        exact = dependent @ torch.linalg.matrix_power(matrix, k) @ dependent.T
        found = pairs.starts.T @ (pairs.values[:, None] ** k * pairs.starts)
        np.testing.assert_allclose(found, exact, atol=1e-9 * float(exact.abs().max()))


def test_an_invariant_subspace_ends_the_expansion(random):
    matrix, vectors = matrix_with(torch.arange(1, 61, dtype=torch.float64), random)
    start = (vectors[:, [3, 10, 30]] @ random(3, 2)).T
    space = grown(matrix, start, 1000)
    assert space.exhausted
    assert not space.truncated
    assert space.size == 3
    np.testing.assert_allclose(space.ritz().values, [4.0, 11.0, 31.0], atol=1e-10)


def test_a_degenerate_level_counts_once_per_start_vector(random):
    """Of a fivefold level only the two directions that two start vectors see appear."""
    levels = torch.tensor([1.0] * 5 + [2.0, 3.0, 4.0, 5.0, 6.0], dtype=torch.float64)
    matrix, _ = matrix_with(levels, random)
    values = grown(matrix, random(2, 10), 100).ritz().values
    np.testing.assert_allclose(values, [1, 1, 2, 3, 4, 5, 6], atol=1e-10)


def test_capacity_truncates_and_says_so(random):
    matrix, _ = matrix_with(torch.rand(100, dtype=torch.float64), random)
    space = BlockLanczos(lambda x: x @ matrix, random(3, 100), random(1, 100), 20)
    pairs, converged = converged_ritz_pairs(space, lambda pairs: False)
    assert space.truncated
    assert not converged
    assert len(pairs.values) <= 20


def test_completeness_counts_as_convergence(random):
    matrix, _ = matrix_with(torch.rand(30, dtype=torch.float64), random)
    seen = []
    space = BlockLanczos(lambda x: x @ matrix, random(3, 30), random(1, 30), 1000)
    pairs, converged = converged_ritz_pairs(space, lambda pairs: False, seen.append)
    assert converged
    assert len(pairs.values) == 30
    assert seen == list(range(1, space.n_blocks + 1))


def test_acceptance_ends_the_expansion(random):
    matrix, _ = matrix_with(torch.rand(2000, dtype=torch.float64), random)
    space = BlockLanczos(lambda x: x @ matrix, random(2, 2000), random(1, 2000), 2000)
    _, converged = converged_ritz_pairs(space, lambda space: space.size > 60)
    assert converged
    assert space.n_blocks < 60


@pytest.mark.parametrize("full", [True, False])
def test_a_resolvent_grows_with_its_space(random, monkeypatch, full):
    """It is the sum over Ritz pairs at any number of blocks, also where directions were dropped."""
    if not full:
        monkeypatch.setattr(lanczos, "_FULL_ORTHOGONALISATION", 0)
    matrix, _ = matrix_with(torch.rand(90, dtype=torch.float64), random)
    start, targets = random(3, 90), random(2, 90)
    start = torch.cat([start, start[:1] - start[1:2]])  # dependent
    space = grown(matrix, start, 2, targets=targets)
    points = torch.tensor([0.1 + 0.05j, 0.6 + 0.05j, 2.0 + 0.01j], dtype=torch.complex128)
    resolvent = Resolvent(points)
    for blocks in (2, 9, 40):
        while space.n_blocks < blocks and not space.exhausted:
            space.expand()
        pairs = space.ritz()
        overlaps = torch.cat([pairs.starts, pairs.targets], dim=1).to(points)
        poles = 1.0 / (pairs.values[None, :] - points[:, None])
        expected = torch.einsum("nx,jn,ns->jxs", overlaps, poles, overlaps[:, :4])
        assert float((resolvent.of(space) - expected).abs().max()) < 1e-9 * float(expected.abs().max())


def test_lost_orthogonality_does_not_spoil_broadened_spectra(random, monkeypatch):
    """Blocks orthogonalised against two predecessors only: states reappear as copies that share their intensity."""
    monkeypatch.setattr(lanczos, "_FULL_ORTHOGONALISATION", 0)
    n = 500
    levels = torch.cat([torch.linspace(1.0, 3.0, n - 3, dtype=torch.float64), torch.tensor([6.0, 8.0, 11.0]).double()])
    start = random(2, n)
    pairs = grown(torch.diag(levels), start, 120).ritz()
    assert int((pairs.values > 10.9).sum()) > 2, "the isolated level has been found again and again"
    for i, j in ((0, 0), (0, 1)):
        exact = broadened(levels.numpy(), (start[i] * start[j]).numpy())
        found = broadened(pairs.values.numpy(), (pairs.starts[:, i] * pairs.starts[:, j]).numpy())
        np.testing.assert_allclose(found, exact, atol=1e-8 * np.abs(exact).max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_broadened_spectra_converge_in_both_precisions(random, dtype):
    n = 1500
    levels = torch.rand(n, dtype=torch.float64) * 10.0
    start = random(3, n)
    operator = levels.to(dtype)
    space = BlockLanczos(lambda x: x * operator, start.to(dtype), start.to(dtype), n)
    for _ in range(100):
        space.expand()
    pairs = space.ritz()
    exact = broadened(levels.numpy(), start[0].numpy() ** 2)
    found = broadened(pairs.values.numpy(), pairs.starts[:, 0].numpy() ** 2)
    assert np.abs(found - exact).max() < (1e-3 if dtype is torch.float32 else 1e-5) * exact.max()


def test_a_dark_molecule_is_an_error(random):
    with pytest.raises(ElectronicStructureError, match="transition moments vanish"):
        BlockLanczos(lambda x: x, torch.zeros(3, 10, dtype=torch.float64), random(1, 10), 10)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_numbers_are_an_error(random, bad):
    space = BlockLanczos(lambda x: x * bad, random(2, 10), random(1, 10), 10)
    with pytest.raises(ElectronicStructureError, match="non-finite"):
        space.expand()
