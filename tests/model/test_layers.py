"""The layers against e3nn's own: the same weights give the same numbers, and weights kept by these still load."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import product

import pytest
import torch

from clusterml.model.irreps import Irreps, spherical_harmonics, wigner_3j
from clusterml.model.layers import (
    ChannelProduct,
    Linear,
    NeighbourProduct,
    Readout,
    double_precision,
    harmonics,
    hidden_irreps,
)

CHANNELS, ATOMS = 5, 7
PARITIES = ("both", "natural")


@pytest.fixture(autouse=True)
def exact():
    torch.manual_seed(3)
    with double_precision():
        yield


@cache
def o3():
    """e3nn's, imported without its deprecation warnings and without compiling by TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import e3nn
        from e3nn import o3 as module

    e3nn.set_optimization_defaults(jit_script_fx=False, jit_mode="eager")
    return module


def theirs(irreps):
    return o3().Irreps(str(irreps))


def test_irreps_are_read_and_written_as_by_e3nn():
    text = "2x0e + 3x1o+1e + 0x2o"
    own, reference = Irreps(text), o3().Irreps(text)
    assert str(own) == str(reference)
    assert (own.dim, len(own)) == (reference.dim, len(reference))
    assert [(mul, (ir.l, ir.p, ir.dim)) for mul, ir in own] == [(mul, (ir.l, ir.p, ir.dim)) for mul, ir in reference]
    for _, one in own:
        assert own.holds(one) == (one != (2, -1))
        for (_, a), (_, b) in zip(own, reference, strict=True):
            assert [str(c) for c in one.products(a)] == [str(c) for c in o3().Irrep(str(one)) * b]
    assert own != Irreps("2x0e + 3x1o + 1e")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_couplings_are_those_of_e3nn(dtype):
    for one, two in product(range(5), range(5)):
        for l in range(abs(one - two), one + two + 1):
            torch.testing.assert_close(
                wigner_3j(one, two, l, dtype), o3().wigner_3j(one, two, l, dtype=dtype), rtol=0.0, atol=0.0
            )


@pytest.mark.parametrize("lmax", range(7))
def test_harmonics_are_those_of_e3nn(lmax):
    for vectors in (torch.randn(50, 3), torch.zeros(1, 3), torch.eye(3)):
        reference = o3().spherical_harmonics(list(range(lmax + 1)), vectors, normalize=True, normalization="component")
        exact = 0.0 if lmax <= 2 else 1e-12
        torch.testing.assert_close(spherical_harmonics(lmax, vectors), reference, rtol=exact, atol=exact)


def flat(features, irreps):
    """Features (d, n, channels) as e3nn's rows (n, dim)."""
    blocks = features.split([irrep.dim for _, irrep in irreps])
    return torch.cat([block.permute(1, 2, 0).flatten(1) for block in blocks], dim=1)


def features_of(irreps):
    return torch.randn(irreps.dim // CHANNELS, ATOMS, CHANNELS)


def copied(layer, reference, prefix=""):
    """``layer`` with the weights and all else that e3nn's ``reference`` keeps."""
    layer.load_state_dict({prefix + key: value for key, value in reference.state_dict().items()})
    return layer


@pytest.mark.parametrize("lmax", [1, 2, 3])
@pytest.mark.parametrize(("one", "two"), [("both", "both"), ("natural", "natural"), ("natural", "both")])
def test_linear_layers(one, two, lmax):
    inner, outer = hidden_irreps(CHANNELS, lmax, one), hidden_irreps(CHANNELS, lmax, two)
    reference = o3().Linear(theirs(inner), theirs(outer))
    x = features_of(inner)
    found = flat(copied(Linear(inner, outer), reference)(x), outer)
    torch.testing.assert_close(found, reference(flat(x, inner)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parity", PARITIES)
@pytest.mark.parametrize("out", ["4x0e", "3x0o", "2x0e + 3x1o + 1x1e + 2x2e + 0x2o", "2x2o + 1x0o + 4x1e + 2x0e"])
def test_readouts(parity, out):
    inner = hidden_irreps(CHANNELS, 2, parity)
    reference = o3().Linear(theirs(inner), out)
    x = features_of(inner)
    found = copied(Readout(inner, out), reference)(x)
    torch.testing.assert_close(found, reference(flat(x, inner)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lmax", [1, 2, 3])
@pytest.mark.parametrize(
    "kinds", [("both",) * 3, ("natural",) * 3, ("natural", "natural", "both"), ("natural", "both", "both")]
)
def test_products_of_features(kinds, lmax):
    left, right, out = (hidden_irreps(CHANNELS, lmax, kind) for kind in kinds)
    ours = left, right, out
    left, right, out = map(theirs, ours)
    every = [
        (i, j, k, "uuu", True)
        for i, (_, a) in enumerate(left)
        for j, (_, b) in enumerate(right)
        for k, (_, c) in enumerate(out)
        if c in a * b
    ]
    reference = o3().TensorProduct(left, right, out, every)
    x, y = features_of(left), features_of(right)
    found = copied(ChannelProduct(*ours), reference, "product.")(x, y)
    torch.testing.assert_close(flat(found, out), reference(flat(x, left), flat(y, right)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("lmax", [1, 2])
@pytest.mark.parametrize("parity", PARITIES)
def test_products_with_neighbours(parity, lmax):
    """One path after the other by e3nn, summed over neighbours, and mixed by e3nn's linear layer."""
    ours, near = hidden_irreps(CHANNELS, lmax, parity), 4
    irreps = theirs(ours)
    sphere = o3().Irreps.spherical_harmonics(lmax)
    paths = [
        (i, j, c) for _, c in irreps for i, (_, a) in enumerate(irreps) for j, (_, b) in enumerate(sphere) if c in a * b
    ]
    layer = NeighbourProduct(ours, lmax, ours)
    x, sender = features_of(irreps), torch.randint(ATOMS, (ATOMS, near))
    values = harmonics(lmax, torch.randn(ATOMS * near, 3)).expand(CHANNELS, -1, -1) * torch.randn(CHANNELS, 1, 1)
    rows, parts = flat(x, irreps), []
    for i, j, c in paths:
        one, two = irreps[i].ir, sphere[j].ir
        a = rows[:, irreps.slices()[i]].reshape(ATOMS, CHANNELS, one.dim)[sender]
        b = values[..., sphere.slices()[j]].reshape(CHANNELS, ATOMS, near, two.dim)
        table = o3().wigner_3j(one.l, two.l, c.l) * c.dim**0.5
        parts.append((c, torch.einsum("nkci,cnkj,ijm->ncm", a, b, table)))
    order = o3().Irreps([(CHANNELS * sum(c == d for d, _ in parts), c) for _, c in irreps])
    reference = o3().Linear(order, irreps)
    joined = torch.cat([torch.cat([p for d, p in parts if d == c], dim=1).flatten(1) for _, c in irreps], dim=1)
    found = copied(layer, reference, "mix.")(x, sender, values)
    torch.testing.assert_close(flat(found, irreps), reference(joined), rtol=1e-11, atol=1e-11)
