"""The least certain candidates become records like those of a campaign, which a training run can start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clusterml.dataset.record import FINE, SpectralGrid
from clusterml.dataset.store import Dataset, Store
from clusterml.dataset.verify import verify
from clusterml.errors import OptionError, StructureError
from clusterml.io.log import Log
from clusterml.run.launcher import Lost
from clusterml.screening.board import Row, rows_in
from clusterml.screening.merit import Merit
from clusterml.screening.run import RESULTS, screen, setting_of
from clusterml.screening.uncertain import label_uncertain, least_certain, record_of_candidate, uncertainty
from clusterml.structure.read import read_all

CHANGES = {
    "parents": {"ag3": {"build": {"name": "ag3", "thiolate": ["SH", "SCH3"]}}},
    "exchanges": [{"old": "SH", "new": "SCH3", "counts": [0, 1]}],
    "conformers": {"temperature_k": 200.0, "snapshots": 1, "at_rest": True},
    "distortions": [{"modes": {"shear": "-2..2 by 4 %"}}],
    "engine": {"dtype": "float64", "tolerance": 0.001},
    "objectives": [{"cd_at": "3.5 eV", "weight": 2.0}, {"strain": "elastic"}],
    "top": 20,
}


@pytest.fixture(scope="module")
def done(tmp_path_factory, checkpoint, make_screen):
    return screen(make_screen(**CHANGES), tmp_path_factory.mktemp("u") / "out", model=checkpoint)


@pytest.fixture(scope="module")
def added(done):
    return label_uncertain(done, 3, done.folder / "dataset")


def rows_of(done):
    return list(rows_in(Log(done.folder / RESULTS)))


def least(done, count):
    return least_certain(rows_of(done), done.run.bench.space, done.run.bench.merit, count)


def test_the_least_certain_ones_are_found_in_every_shell(done):
    """Two parents with and without an exchange: the first four are the least certain of each, then the second ones."""

    def order(row):
        return -2.0 * row.values[0].std / 10.0, row.number

    shells: dict[tuple[str, bool], list[Row]] = {}
    hands = {}  # a shear of a flat ring by 2 or -2 % is one geometry, mirrored: the first of them counts
    for row in rows_of(done):
        if hands.setdefault(round(row.repulsion, 6), row) is not row:
            continue
        recipe = done.run.bench.space.recipe(row.number)
        shells.setdefault((recipe.variant.name, bool(recipe.steps)), []).append(row)
    assert len(shells) > 2
    assert len(hands) == len(rows_of(done)) - 2

    expected = []
    for place in range(max(map(len, shells.values()))):
        expected += sorted((sorted(rows, key=order)[place] for rows in shells.values() if len(rows) > place), key=order)
    for count in (1, 3, len(shells) + 1, len(expected) + 5):
        assert [row.number for row in least(done, count)] == [row.number for row in expected[:count]]


def test_rows_that_are_too_certain_are_compared_with_none(done, monkeypatch):
    rows = sorted(rows_of(done), key=lambda row: -uncertainty(row, done.run.bench.merit))
    compared, alike = [], Row.alike
    monkeypatch.setattr(Row, "alike", lambda row, other: compared.append(row.number) or alike(row, other))
    space, merit = done.run.bench.space, done.run.bench.merit
    first = least_certain(rows, space, merit, 1)
    assert compared == []  # the least certain of each shell came first
    assert least_certain(reversed(rows), space, merit, 1) == first
    assert compared


def test_one_geometry_turned_or_mirrored_is_labelled_once(done):
    rows = rows_of(done)
    first = rows[0]
    mirrored = tuple(replace(value, value=-value.value) for value in first.values)
    twins = [replace(first, number=row.number, name=row.name, values=mirrored) for row in rows[1:4]]
    distinct = least_certain([first, *twins, rows[4]], done.run.bench.space, done.run.bench.merit, 5)
    assert len(distinct) == 2
    assert rows[4] in distinct


def test_a_block_that_is_twice_in_the_log_counts_once(done):
    log = list(Log(done.folder / RESULTS))
    assert list(rows_in([*log, *log])) == rows_of(done)


def test_records_are_those_of_their_geometries(done, added):
    numbers = [row.number for row in least(done, 3)]
    records = list(Dataset(added.folder))
    assert {int(record.id[-7:]) for record in records} == set(numbers)
    assert (added.before, added.failed) == (0, {})
    shown = {atoms.info["provenance"]["recipe"]["number"]: atoms for atoms in read_all(done.folder / "top.extxyz")}
    for record in records:
        number = int(record.id[-7:])
        recipe = done.run.bench.space.recipe(number)
        assert record.kind == "mode"
        assert record.parent == recipe.variant.name
        assert record.details["recipe"]["number"] == number
        assert record.details["distortions"][-1]["mode"] == "shear"
        assert sum(record.details["ligands"].values()) == 3
        if number in shown:
            atoms = shown[number]
            np.testing.assert_allclose(record.positions, atoms.positions - atoms.positions.mean(axis=0), atol=6e-4)


def test_the_dataset_stands_its_own_check(added):
    damaged, checks = verify(added.folder, share=1.0)
    assert damaged == []
    assert len(checks) == 3
    assert all(check.good for check in checks), checks


def test_what_is_there_is_not_labelled_again_and_failures_are_told(done, added):
    class Losing:
        def __init__(self) -> None:
            self.asked: list[int] = []

        def run(self, function, tasks):
            for task in tasks:
                self.asked.append(task.number)
                yield task, Lost("killed", "") if len(self.asked) == 1 else function(task)

    launcher = Losing()
    more = label_uncertain(done, 5, added.folder, launcher=launcher)
    assert len(launcher.asked) == 2
    assert (more.before, len(more.names)) == (3, 1)
    assert list(more.failed.values()) == ["killed"]
    assert len(Dataset(added.folder)) == 4
    assert len(label_uncertain(done, 5, added.folder).names) == 1
    assert label_uncertain(done, 5, added.folder).names == ()


def test_a_network_without_uncertainty_has_its_domain_or_nothing(make_screen, single, tmp_path):
    from clusterml.screening.measures.measure import Value

    done = screen(make_screen(), tmp_path / "o", model=single)
    with pytest.raises(OptionError, match="neither an uncertainty nor a domain"):
        label_uncertain(done, 2, tmp_path / "data")
    with pytest.raises(OptionError, match="0 candidates"):
        label_uncertain(done, 0, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    merit = Merit(make_screen())
    assert uncertainty(Row(1, "a", (Value(1.0),), 0, 1.0, False, 1.7), merit) == 1.7
    assert uncertainty(Row(1, "a", (Value(1.0, 2e-3),), 0, 1.0, False, 1.7), merit) == pytest.approx(2.0)


def test_records_have_their_parents_hand_and_failures_of_one_are_told(make_screen, checkpoint, tmp_path, monkeypatch):
    twisted = make_screen(parents={"x": {"build": {"name": "ag29", "thiolate": "SH", "hand": "R"}}}, distortions=[])
    setting, mine = setting_of(twisted, tmp_path, checkpoint, "cpu", None)
    row, hands = Row(0, "x-0000000", (), -3, 1.0, None, None), []

    def record_of(identity, atoms, protocol, compute, grid):
        hands.append(identity.hand)
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr("clusterml.dataset.labelling.record_of", record_of)
    assert record_of_candidate(setting, mine, FINE, row) == "LinAlgError: singular"
    assert hands == ["R"]

    def anatomy(atoms):
        raise StructureError("no anatomy")

    monkeypatch.setattr("clusterml.structure.anatomy.anatomy.anatomy", anatomy)
    assert record_of_candidate(setting, mine, FINE, row) == "no anatomy"


def test_a_users_candidates_are_not_kept(make_screen, checkpoint, tmp_path):
    from clusterml.structure.build.build import build

    settings = make_screen(parents={}, distortions=[])
    done = screen(settings, tmp_path / "o", model=checkpoint, candidates=[build("ag3")], reference=build("ag3"))
    with pytest.raises(OptionError, match="from Python are not kept"):
        label_uncertain(done, 1, tmp_path / "data")


def test_spectra_that_go_above_the_computed_excitations_are_refused(done, tmp_path):
    """They would end in nothing, where the cluster absorbs."""
    Store(tmp_path / "data", SpectralGrid(n_points=290))
    with pytest.raises(OptionError, match=r"go to 6.28 eV, and engine.emax_ev is 6"):
        label_uncertain(done, 1, tmp_path / "data")


def test_a_training_run_starts_from_the_checkpoint_with_the_new_records(done, added, checkpoint, tmp_path):
    from clusterml.training.config import load_config
    from clusterml.training.run import train

    (tmp_path / "tune.yaml").write_text(
        f"name: tuned\ninit_from: {checkpoint}\n"
        f"data: {{dataset: {added.folder}, validation: 0.25, test: 0.25}}\nschedule: {{epochs: 1}}\n"
    )
    train(load_config(tmp_path / "tune.yaml"), tmp_path / "run", device="cpu")
    assert (tmp_path / "run" / "release" / "spec.json").exists()
