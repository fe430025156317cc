"""Evaluations: rows by kind and model, the reference of R2, refusals, and the files that are left."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny import GRID, record, tiny_spec

from clusterml.dataset.split import Split
from clusterml.dataset.store import Dataset, Store
from clusterml.errors import DatasetError
from clusterml.training.baselines import Spectra
from clusterml.training.evaluation import ACHIRAL, ALL, CHIRAL, MEAN, Judged, evaluate
from clusterml.training.tables import cells, markdown, write_evaluations
from clusterml.training.targets import broadening_matrix

SPEC = tiny_spec({})


@pytest.fixture
def labels(tmp_path):
    store = Store(tmp_path / "labels")
    for number in range(24):
        store.add(record(f"r{number:03d}", number, kind=("mode", "thermal")[number // 2 % 2]))
    store.pack({"name": "tiny"})
    return Dataset(store.folder)


@pytest.fixture
def split(labels):
    return Split("random", 0, labels.ids[:12], labels.ids[12:16], labels.ids[16:])


def oracle(records) -> Judged:
    """Says the truth, with a number of its own that is unknown for thermal geometries."""
    matrix = broadening_matrix(GRID.energy_ev, 0.2)
    spectra = (np.stack([matrix @ getattr(r, key) for r in records]) for key in ("epsilon", "delta_epsilon"))
    mine = np.array([1.0 if r.kind == "mode" else np.nan for r in records])
    return Judged(Spectra(*spectra), 0.01, {"in_domain": mine})


def test_rows_by_kind_and_model(labels, split):
    found = evaluate(labels, split, "tiny split", SPEC, {"oracle": oracle})
    assert found.kinds() == ["mode", "thermal", ALL]
    rows = {(row["kind"], row["model"]): row for row in found.table()}
    assert len(rows) == 3 * 4
    for kind, count in (("mode", 4), ("thermal", 4), (ALL, 8)):
        best = rows[kind, "oracle"]
        assert best["structures"] == count
        assert best["absorption_cosine"] == pytest.approx(1.0)
        assert best["cd_r2"] == pytest.approx(1.0)
        assert best["sign_accuracy"] > 0.99
        assert rows[kind, MEAN]["cd_r2"] == pytest.approx(0.0)
        assert np.isnan(rows[kind, MEAN]["seconds"])
    assert rows["mode", "oracle"]["in_domain"] == 1.0
    assert np.isnan(rows["thermal", "oracle"]["in_domain"])
    assert found.n_train == 12


def test_rows_by_parent(tmp_path):
    store = Store(tmp_path / "handed")
    for number in range(24):
        kind = ("mode", "thermal")[number // 2 % 2]
        store.add(record(f"r{number:03d}", number, kind=kind, hand="R" if number % 2 else "0"))  # odd ones are of ag4
    store.pack({"name": "handed"})
    dataset = Dataset(store.folder)
    split = Split("random", 0, dataset.ids[:12], dataset.ids[12:16], dataset.ids[16:23])

    def zero(records) -> Judged:
        said = oracle(records)
        return Judged(Spectra(said.spectra.epsilon, 0.0 * said.spectra.delta_epsilon))

    found = evaluate(dataset, split, "s", SPEC, {"oracle": oracle, "zero": zero})
    rows = {(row["kind"], row["group"]): row for row in found.table_by_group("oracle")}
    groups = ("ag4", "ag6", CHIRAL, ACHIRAL)
    assert list(rows) == [(kind, group) for kind in ("mode", "thermal") for group in groups]
    assert [row["structures"] for row in rows.values()] == [2, 2, 2, 2, 1, 2, 1, 2]
    assert all(row["cd_r2"] == pytest.approx(1.0) and row["model"] == "oracle" for row in rows.values())
    assert rows["mode", "ag4"]["in_domain"] == 1.0
    nothing = {(row["kind"], row["group"]): row for row in found.table_by_group("zero")}
    truth, mean = found.part.truth.delta_epsilon, found.judged[MEAN].spectra.delta_epsilon
    for name in ("ag4", "ag6"):
        own = found.rows_of("mode") & found.groups()[name]
        wanted = 1.0 - np.square(truth[own]).sum() / np.square(truth[own] - mean[own]).sum()
        assert nothing["mode", name]["cd_r2"] == pytest.approx(wanted)
    text = markdown([found], "zero")
    assert "### mode, by parent: zero" in text
    assert f"| {CHIRAL} | 2 |" in text


def test_no_groups_of_hand_where_all_are_alike(labels, split):
    found = evaluate(labels, split, "s", SPEC, {"oracle": oracle})
    assert list(found.groups()) == ["ag4", "ag6"]


def test_the_mean_is_always_there(labels, split):
    found = evaluate(labels, split, "s", SPEC, {}, baselines={})
    assert list(found.judged) == [MEAN]


def test_what_cannot_be_judged_is_refused(labels, split):
    with pytest.raises(DatasetError, match="no record is left"):
        evaluate(labels, split, "s", SPEC, {}, method="gfn2")
    with pytest.raises(DatasetError, match="no record 'gone'"):
        evaluate(labels, Split("random", 0, split.train, split.validation, ("gone",)), "s", SPEC, {})


def test_a_label_that_ends_within_the_grid_is_refused(tmp_path):
    store = Store(tmp_path / "short")
    for number in range(6):
        store.add(record(f"r{number}", number, details={"reaches_ev": 3.0} if number == 5 else {}))
    store.pack()
    dataset = Dataset(store.folder)
    with pytest.raises(DatasetError, match=r"record r5: its excitations end at 3\.00 eV, within the network's grid"):
        evaluate(dataset, Split("random", 0, dataset.ids[:3], dataset.ids[3:4], dataset.ids[4:]), "s", SPEC, {})


def test_protocols_are_not_mixed(tmp_path):
    store = Store(tmp_path / "two")
    for number in range(6):
        store.add(record(f"r{number}", number, method=("gfn1", "gfn2")[number % 2]))
    store.pack()
    dataset = Dataset(store.folder)
    ids = dataset.ids
    with pytest.raises(DatasetError, match="gfn1, gfn2"):
        evaluate(dataset, Split("random", 0, ids[:2], ids[2:4], ids[4:]), "s", SPEC, {})


def test_tables_and_figures(labels, split, tmp_path, figures):
    found = evaluate(labels, split, "tiny", SPEC, {"oracle": oracle})
    curve = [{**row, "n_train": n} for n in (10, 100) for row in found.table() if row["model"] == "oracle"]
    written = write_evaluations([found], "oracle", tmp_path / "out", curve)
    assert sorted(path.name for path in written) == [
        "evaluation.json",
        "evaluation.md",
        "examples-tiny.png",
        "learning-curve.png",
        "similarity-tiny.png",
    ]
    assert len(figures) == 3
    learning = next(figure for figure in figures if figure.axes[0].get_xlabel() == "training records")
    drawn = {tuple(line.get_ydata()) for line in learning.axes[1].lines if list(line.get_xdata()) == [10, 100]}
    assert drawn == {(row[key], row[key]) for row in curve for key in ("cd_r2", "cd_cosine")}
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["schema_version"] == 1
    assert len(content["rows"]) == 12
    assert {(row["kind"], row["group"], row["model"]) for row in content["groups"]} == {
        (kind, parent, "oracle") for kind in ("mode", "thermal") for parent in ("ag4", "ag6")
    }
    assert content["rows"][0]["seconds"] is None
    text = markdown([found], "oracle", curve)
    assert "## tiny (random): 12 training, 8 test records" in text
    assert "| tiny, mode, 10 |" in text
    head, *rows = cells([row for row in found.table() if row["kind"] == "mode"], "model")
    assert head[0] == "model"
    assert {len(row) for row in rows} == {len(head)}
    assert rows[0][head.index("s per structure")] == "-"
