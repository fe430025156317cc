"""The domain: known clusters are inside, others are not and it says why; the file survives and damage is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import DatasetError, InputFileError
from clusterml.inference.composition import KnownCompositions, composition
from clusterml.inference.domain import fit_domain, read_domain, write_domain


@pytest.fixture
def features(rng):
    """Two clouds in 12 dimensions, most of them idle: (training, held out)."""
    axes = rng.normal(size=(4, 12))
    centres = np.array([[0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]])
    points = centres[rng.integers(0, 2, 600)] + rng.normal(size=(600, 4))
    return points[:400] @ axes, points[400:] @ axes, axes


@pytest.fixture
def domain(features, make_molecule):
    found = [composition(make_molecule(name), 0) for name in ("agsch3", "ag2_tfa2")]
    return fit_domain(features[0], features[1], found)


def test_held_out_records_are_inside_and_others_outside(domain, features):
    training, held_out, axes = features
    assert np.mean(domain.scores(held_out) <= 1.0) == pytest.approx(0.99, abs=0.006)
    assert domain.scores(training).max() <= 2.0
    between = np.array([[4.5, 8.0, 0.0, 0.0]]) @ axes
    assert domain.scores(between)[0] > 1.5
    assert domain.axes.shape == (12, 4)


def test_a_known_cluster_is_inside(domain, make_molecule):
    report = domain.report(0.5, composition(make_molecule("agsch3"), 0))
    assert report.in_domain
    assert report.reasons == ()
    assert not domain.report(3.0, composition(make_molecule("agsch3"), 0)).in_domain
    assert not domain.report(float("nan"), composition(make_molecule("agsch3"), 0)).in_domain


def test_an_organic_molecule_and_gold_are_outside(domain, make_molecule):
    organic = domain.report(0.1, composition(make_molecule("propylene_oxide"), 0))
    assert any("no metal" in reason for reason in organic.reasons)
    gold = make_molecule("agsch3")
    gold.numbers[gold.numbers == 47] = 79
    assert any("elements Au" in reason for reason in domain.report(0.1, composition(gold, 0)).reasons)


def test_ligands_size_and_charge_are_compared(domain, make_molecule):
    amine = Atoms("AgNHHH", [[0, 0, 0], [2.2, 0, 0], [2.6, 0.9, 0], [2.6, -0.5, 0.8], [2.6, -0.5, -0.8]])
    found = domain.report(0.1, composition(amine, 1))
    assert any("class N neutral" in reason for reason in found.reasons)
    assert any("charge +1" in reason for reason in found.reasons)
    large = replace(composition(make_molecule("agsch3"), 0), n_metals=55)
    assert any("55 metal atoms" in reason for reason in domain.report(0.1, large).reasons)


def test_files_come_back(domain, features, tmp_path):
    path = write_domain(domain, tmp_path / "d.safetensors")
    again = read_domain(path)
    np.testing.assert_allclose(again.scores(features[1]), domain.scores(features[1]), rtol=1e-4, atol=1e-5)
    assert again.known == domain.known


def test_damage_is_named(domain, tmp_path):
    path = write_domain(domain, tmp_path / "d.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputFileError, match=r"d\.safetensors"):
        read_domain(path)
    write_domain(replace(domain, references=domain.references[:, :2]), path)
    with pytest.raises(InputFileError, match="do not fit"):
        read_domain(path)
    write_domain(replace(domain, limit=0.0), path)
    with pytest.raises(InputFileError, match="do not fit"):
        read_domain(path)
    with pytest.raises(InputFileError, match="missing"):
        read_domain(tmp_path / "missing.safetensors")
    with pytest.raises(InputFileError, match="composition"):
        KnownCompositions.from_dict({"elements": 3}, "x")


def test_too_few_records():
    with pytest.raises(DatasetError, match="1 training"):
        fit_domain(np.zeros((1, 3)), np.zeros((1, 3)), [])
