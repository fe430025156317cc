"""The domain: known clusters are inside, others are not and it says why; the file survives and damage is seen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import DatasetError, InputFileError
from clusterml.inference.domain import KnownCompositions, composition, fit_domain, read_domain, write_domain


@pytest.fixture
def features(rng):
    """Two clouds in 12 dimensions, most of them idle: (training, held out)."""
    axes = rng.normal(size=(4, 12))
    centres = np.array([[0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]])
    points = centres[rng.integers(0, 2, 600)] + rng.normal(size=(600, 4))
    return points[:400] @ axes, points[400:] @ axes, axes


@pytest.fixture
def domain(features, make_molecule):
    one, other = (composition(make_molecule(name), 0) for name in ("agsch3", "ag2_tfa2"))
    return fit_domain(features[0], features[1], [one] * 399 + [other], [one] * 200)


def test_held_out_records_are_inside_and_others_outside(domain, features):
    training, held_out, axes = features
    assert np.mean(domain.scores(held_out, [1] * 200) <= 1.0) == pytest.approx(0.99, abs=0.006)
    assert domain.scores(training, [1] * 400).max() <= 2.0
    between = np.array([[4.5, 8.0, 0.0, 0.0]]) @ axes
    assert domain.scores(between, [1])[0] > 1.5
    assert domain.axes.shape == (12, 4)


def test_what_happens_to_all_atoms_alike_counts_more_in_a_large_cluster(rng, make_molecule):
    """Families of 4 and 100 metals whose atoms scatter alike, so that their means do by 1/2 and 1/10: a shift within
    the scatter of the small one is far outside that of the large one; how families differ does not matter."""
    small = composition(make_molecule("agsch3"), 0)
    small, large = replace(small, n_metals=4), replace(small, n_metals=100, core="Ag100")
    far = np.array([50.0, 0.0, 0.0])

    def made(count: int):
        return np.concatenate([rng.normal(size=(count, 3)) / 2.0, far + rng.normal(size=(count, 3)) / 10.0])

    known, held_out = [small] * 300 + [large] * 300, [small] * 100 + [large] * 100
    domain = fit_domain(made(300), made(100), known, held_out)
    shift = np.array([0.0, 0.9, 0.0])
    assert domain.scores(shift[None], [4])[0] < 1.0
    assert domain.scores((far + shift)[None], [100])[0] > 2.0
    assert domain.scores((far + shift / 10.0)[None], [100])[0] < 1.0
    assert domain.scores(0.5 * far[None], [4])[0] > 20.0


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
    report = domain.report(0.1, composition(amine, 1))
    assert any("class N neutral" in reason for reason in report.reasons)
    assert any("charge +1" in reason for reason in report.reasons)
    large = replace(composition(make_molecule("agsch3"), 0), n_metals=55)
    assert any("55 metal atoms" in reason for reason in domain.report(0.1, large).reasons)


def test_files_come_back(domain, features, tmp_path):
    path = write_domain(domain, tmp_path / "d.safetensors")
    again = read_domain(path)
    counts = [3] * len(features[1])
    scores = domain.scores(features[1], counts)
    np.testing.assert_allclose(again.scores(features[1], counts), scores, rtol=1e-4, atol=1e-5)
    assert again.compositions == domain.compositions


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
    write_domain(replace(domain, size_power=7.0), path)
    with pytest.raises(InputFileError, match="do not fit"):
        read_domain(path)
    with pytest.raises(InputFileError, match="missing"):
        read_domain(tmp_path / "missing.safetensors")
    with pytest.raises(InputFileError, match="composition"):
        KnownCompositions.from_dict({"elements": 3}, "x")


def test_too_few_records():
    with pytest.raises(DatasetError, match="1 training"):
        fit_domain(np.zeros((1, 3)), np.zeros((1, 3)), [], [])


def test_a_file_of_version_0_1_is_read_as_it_was_meant(domain, features, tmp_path):
    from safetensors.numpy import load_file, save_file

    path = write_domain(domain, tmp_path / "d.safetensors")
    arrays = load_file(path)
    save_file(arrays, path, metadata={"known": json.dumps(domain.compositions.to_dict())})
    old = read_domain(path)
    np.testing.assert_allclose(old.scores(features[1], [9] * 200), old.scores(features[1], [1] * 200))
