"""The layers against e3nn's own: the same weights give the same numbers, and weights kept by these still load."""

from __future__ import annotations

import pytest
import torch

from clusterml.model.equivariant import (
    ChannelProduct,
    Linear,
    NeighbourProduct,
    Readout,
    double_precision,
    harmonics,
    hidden_irreps,
    o3,
)

CHANNELS, ATOMS = 5, 7
PARITIES = ("both", "natural")


@pytest.fixture(autouse=True)
def exact():
    torch.manual_seed(3)
    with double_precision():
        yield


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
    reference = o3().Linear(inner, outer)
    x = features_of(inner)
    found = flat(copied(Linear(inner, outer), reference)(x), outer)
    torch.testing.assert_close(found, reference(flat(x, inner)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parity", PARITIES)
@pytest.mark.parametrize("out", ["4x0e", "3x0o", "2x0e + 3x1o + 1x1e + 2x2e + 0x2o", "2x2o + 1x0o + 4x1e + 2x0e"])
def test_readouts(parity, out):
    inner = hidden_irreps(CHANNELS, 2, parity)
    reference = o3().Linear(inner, out)
    x = features_of(inner)
    found = copied(Readout(inner, out), reference)(x)
    torch.testing.assert_close(found, reference(flat(x, inner)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lmax", [1, 2, 3])
@pytest.mark.parametrize(
    "kinds", [("both",) * 3, ("natural",) * 3, ("natural", "natural", "both"), ("natural", "both", "both")]
)
def test_products_of_features(kinds, lmax):
    left, right, out = (hidden_irreps(CHANNELS, lmax, kind) for kind in kinds)
    every = [
        (i, j, k, "uuu", True)
        for i, (_, a) in enumerate(left)
        for j, (_, b) in enumerate(right)
        for k, (_, c) in enumerate(out)
        if c in a * b
    ]
    reference = o3().TensorProduct(left, right, out, every)
    x, y = features_of(left), features_of(right)
    found = copied(ChannelProduct(left, right, out), reference, "product.")(x, y)
    torch.testing.assert_close(flat(found, out), reference(flat(x, left), flat(y, right)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("lmax", [1, 2])
@pytest.mark.parametrize("parity", PARITIES)
def test_products_with_neighbours(parity, lmax):
    """One path after the other by e3nn, summed over neighbours, and mixed by e3nn's linear layer."""
    irreps, near = hidden_irreps(CHANNELS, lmax, parity), 4
    sphere = o3().Irreps.spherical_harmonics(lmax)
    paths = [
        (i, j, c) for _, c in irreps for i, (_, a) in enumerate(irreps) for j, (_, b) in enumerate(sphere) if c in a * b
    ]
    layer = NeighbourProduct(irreps, lmax, irreps)
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
