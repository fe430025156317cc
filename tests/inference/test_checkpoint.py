"""Checkpoints with their uncertainty: measured, kept, read back, and refused where they do not belong together."""

from __future__ import annotations

import json
import shutil

import pytest

from clusterml.dataset.split import load_split
from clusterml.dataset.store import Dataset
from clusterml.errors import DatasetError
from clusterml.inference.checkpoint import DOMAIN, UNCERTAINTY, read_uncertainty
from clusterml.inference.judge import measure_uncertainty
from clusterml.inference.predictor import Predictor
from clusterml.training.catalogue import ReleaseError
from clusterml.training.release import open_release, write_release
from clusterml.training.targets import Wanted


@pytest.fixture(scope="module")
def measured(checkpoint, dataset, split_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured") / "tiny"
    shutil.copytree(checkpoint, folder)
    split = load_split(split_file)
    measure_uncertainty(folder, Dataset(dataset), split, method=None, wanted=Wanted(), device="cpu")
    return folder


@pytest.fixture
def copy(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "copy")
    return tmp_path / "copy"


def test_predictions_know_their_domain_and_uncertainty(measured, make_molecule):
    predictor = Predictor.load(measured, device="cpu")
    known = predictor(make_molecule("agsch3"))
    assert known.in_domain, known.warnings
    assert known.domain_score < 1.0
    assert known.warnings == ()
    organic = predictor(make_molecule("propylene_oxide"))
    gold = make_molecule("agsch3")
    gold.numbers[gold.numbers == 47] = 79
    for prediction in (organic, predictor(gold)):
        assert prediction.in_domain is False
        assert any(warning.startswith("out of domain: ") for warning in prediction.warnings)


def test_coverage_on_the_records_it_was_measured_with(measured, dataset, split_file):
    from clusterml.inference.judge import NetworkJudge
    from clusterml.training.evaluation import Records

    judge = NetworkJudge(measured, "cpu", Wanted())
    judged = judge(Records(Dataset(dataset), load_split(split_file).validation))
    assert judged.extra["absorption_coverage"].mean() >= 0.85
    assert judged.extra["cd_coverage"].mean() >= 0.85
    assert judged.extra["in_domain"].mean() >= 0.8
    assert judged.seconds > 0.0


def test_none_where_nothing_was_measured(checkpoint):
    assert read_uncertainty(checkpoint) == (None, None)


def test_uncertainty_of_other_networks_is_refused(copy):
    release = open_release(copy)
    write_release(copy, release.networks[:1], release.spec, "", {})
    with pytest.raises(ReleaseError, match="belongs to other networks"):
        Predictor.load(copy)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c | {"schema_version": 9}, "schema version 9"),
        (lambda c: c | {"calibration": {}}, "not a calibration"),
        (lambda c: c | {"domain_sha256": "0"}, "has changed"),
    ],
)
def test_damaged_uncertainty_is_refused(copy, change, expected):
    path = copy / UNCERTAINTY
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ReleaseError, match=expected):
        read_uncertainty(copy)


def test_missing_and_unreadable_files_are_named(copy):
    (copy / DOMAIN).unlink()
    with pytest.raises(ReleaseError, match=DOMAIN):
        read_uncertainty(copy)
    (copy / UNCERTAINTY).write_text("{")
    with pytest.raises(ReleaseError, match=UNCERTAINTY):
        read_uncertainty(copy)


def test_an_unknown_checkpoint_names_those_there_are(tmp_path, monkeypatch, checkpoint):
    monkeypatch.setenv("CLUSTERML_CHECKPOINTS", str(checkpoint.parent))
    assert Predictor.load("tiny", device="cpu").name == "tiny"
    with pytest.raises(ReleaseError, match=r"'tinny'.*tiny"):
        Predictor.load("tinny")


def test_too_few_records(copy, dataset):
    from clusterml.dataset.split import Split

    ids = Dataset(dataset).ids
    with pytest.raises(DatasetError):
        measure_uncertainty(copy, Dataset(dataset), Split("random", 0, ids, (), ()), method=None, wanted=Wanted())
    assert any(read_uncertainty(copy)[0].calibration.epsilon.factors)  # what was there before is still there
