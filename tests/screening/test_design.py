"""Inverse design: slopes of the score, the climb itself, and whole designs that find what they were asked for."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clusterml.errors import FolderInUseError, OptionError, ScreeningError
from clusterml.inference.predictor import Predictor
from clusterml.io.files import exclusive
from clusterml.io.shipped import DEFAULT_MODEL
from clusterml.screening.bench import Bench
from clusterml.screening.design.amounts import climb_amounts
from clusterml.screening.design.climb import Aim, climb
from clusterml.screening.design.run import design
from clusterml.screening.making import Maker, Rejection
from clusterml.screening.merit import merit, merit_slope
from clusterml.screening.messages import describe_design
from clusterml.screening.run import setting_of
from clusterml.screening.space import Space
from clusterml.screening.strain import elastic_slope, elastic_strain
from clusterml.structure.build.build import build
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import compare
from clusterml.structure.read import read_all

SHAKEN = {
    "parents": {"ag3": {"build": {"name": "ag3", "thiolate": "SCH3"}}},
    "conformers": {"temperature_k": 300.0, "snapshots": 1},
}


@pytest.fixture(scope="module")
def target(tmp_path_factory, checkpoint, make_screen):
    """The predicted spectrum of the snapshot with 1.7 % breathing, as a file."""
    screen = make_screen(**SHAKEN, distortions=[{"modes": {"breathing": [1.7]}}])
    maker = Maker(Space(screen))
    atoms = maker.make(maker.space.recipe(0))
    assert not isinstance(atoms, Rejection)
    path = tmp_path_factory.mktemp("target") / "target.csv"
    Predictor.load(checkpoint)(atoms).spectrum.to_csv(path)
    return path


def objectives(target) -> list[dict]:
    return [
        {"max_g": "2..5 eV"},
        {"cd_at": "3.51 eV", "goal": "magnitude"},
        {"integrated_cd": "2..4 eV", "goal": 2000.0},
        {"similar_to": str(target), "goal": "minimise"},
        {"similar_absorption_to": str(target)},
        {"absorption_change": "2..4 eV", "goal": "maximise"},
        {"strain": "elastic"},
    ]


@pytest.mark.parametrize("at", range(7))
def test_the_slope_is_that_of_the_score(at, target, checkpoint, make_screen, tmp_path, rng):
    line = objectives(target)[at]
    screen = make_screen(**SHAKEN, distortions=[{"modes": {"breathing": [0.5]}}], objectives=[line])
    bench = Bench(setting_of(screen, tmp_path, checkpoint, "cpu", None)[0])
    recipe = bench.space.recipe(0)
    atoms = bench.maker.make(recipe)
    assert not isinstance(atoms, Rejection)
    aim = Aim(bench, recipe)
    penalty = 0.7 if at == 0 else 0.0
    slope = aim.slope(atoms, penalty)
    along = slope / np.linalg.norm(slope) + 0.2 * rng.normal(size=slope.shape) / np.sqrt(slope.size)
    step, scores = 2e-3, []
    for sign in (-1.0, 1.0):
        moved = atoms.copy()
        moved.positions += sign * step * along
        scores.append(aim.evaluate(moved, penalty).score)
    assert (scores[1] - scores[0]) / (2.0 * step) == pytest.approx(np.sum(slope * along), rel=5e-2)


def test_merits_rise_with_their_slopes():
    from clusterml.screening.measures.measure import Value

    for aim in ("maximise", "minimise", "magnitude", 1.0):
        for value in (-2.0, 0.3, 2.5):
            moved = [merit(aim, Value(value + step), 0.0) for step in (-1e-6, 1e-6)]
            assert (moved[1] - moved[0]) / 2e-6 == pytest.approx(merit_slope(aim, value))


def test_elastic_slopes_do_not_depend_on_where_the_molecule_is(rng):
    rest = build("ag3", thiolate="SCH3")
    atoms = rest.copy()
    atoms.positions += 0.03 * rng.normal(size=atoms.positions.shape)
    slope = elastic_slope(atoms, rest)
    along = rng.normal(size=slope.shape)
    ends = []
    for sign in (-1.0, 1.0):
        moved = atoms.copy()
        moved.positions += sign * 1e-4 * along
        ends.append(elastic_strain(moved, rest))
    assert np.sum(slope * along) == pytest.approx((ends[1] - ends[0]) / 2e-4, rel=1e-2)
    turned = atoms.copy()
    turned.rotate(50.0, (1.0, 1.0, 0.0))
    turned.positions += 2.0
    rotation = np.linalg.lstsq(
        atoms.positions - atoms.positions.mean(axis=0), turned.positions - turned.positions.mean(axis=0), rcond=None
    )[0]
    np.testing.assert_allclose(elastic_slope(turned, rest), slope @ rotation, atol=1e-6 * np.abs(slope).max())


def hill(where: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(score=-float(np.sum((where - [3.0, -1.0]) ** 2 * [1.0, 10.0])), violated=())


def uphill(where: np.ndarray, here: SimpleNamespace) -> np.ndarray:
    return -2.0 * (where - [3.0, -1.0]) * [1.0, 10.0]


def test_a_climb_reaches_the_top_and_never_goes_down():
    path = [*climb((np.zeros(2), hill(np.zeros(2))), uphill, hill, 200, 0.4)]
    scores = [hill(np.zeros(2)).score, *(evaluation.score for _, evaluation in path)]
    assert all(b > a for a, b in itertools.pairwise(scores))
    places = np.array([np.zeros(2), *(where for where, _ in path)])
    assert np.abs(np.diff(places, axis=0)).max() <= 0.4 + 1e-12
    np.testing.assert_allclose(places[-1], [3.0, -1.0], atol=0.05)


def test_a_cluster_that_is_only_moved_as_a_whole_has_no_strain():
    rest = build("ag3", thiolate="SCH3")
    moved = rest.copy()
    moved.rotate(50.0, (1.0, 1.0, 0.0))
    moved.positions += 2.0
    assert elastic_strain(moved, rest) == 0.0
    moved.positions[0] += 1e-3
    assert elastic_strain(moved, rest) > 1e-7


def test_a_climb_stops_at_walls_and_at_constraints():
    def walled(where):
        return None if where[0] > 2.0 else hill(where)

    def limited(where):
        return SimpleNamespace(score=hill(where).score, violated=("x",) if where[0] > 2.0 else ())

    for look in (walled, limited):
        end = [where for where, _ in climb((np.zeros(2), hill(np.zeros(2))), uphill, look, 300, 0.4)][-1]
        assert 1.5 < end[0] <= 2.0
    flat = climb((np.zeros(2), hill(np.zeros(2))), lambda where, here: np.zeros(2), hill, 5, 0.4)
    assert [*flat] == []


def test_an_amount_is_found_again_from_its_spectrum(target, checkpoint, make_screen, tmp_path):
    screen = make_screen(
        **SHAKEN,
        distortions=[{"modes": {"breathing": "-4..4 by 2.5 %"}}],
        objectives=[{"similar_absorption_to": str(target)}],
        design={"starts": 4, "climbs": 1, "steps": 40},
    )
    done = design(screen, tmp_path / "o", model=checkpoint)
    amount = dict(done.best.point.recipe.amounts)["breathing"]
    assert amount == pytest.approx(1.7, abs=0.15)
    (value,) = done.best.point.evaluation.values
    assert value.value > 0.9999
    assert value.value > done.paths[0][0].point.evaluation.values[0].value


def test_a_search_keeps_ranges_and_slides_along_a_constraint(make_screen):
    """Of x + 2 y within a circle of radius 1, with a hole where there is no geometry."""
    screen = make_screen(
        distortions=[{"modes": {"shear": "-4..4 by 4 %", "breathing": "-1..1 by 1 %", "core-shell-twist": [2.0]}}],
        constraints=[{"opd": "measured", "at_most": 1.0}],
    )
    unit = screen.constraints[0].kind.step
    screen = screen.model_copy(update={"constraints": [screen.constraints[0].model_copy(update={"at_most": unit})]})
    recipe = Space(screen).recipe(0)
    recipe = replace(recipe, amounts=(("shear", -1.2), ("breathing", -0.2), ("core-shell-twist", 2.0)))

    def at(recipe):
        x, y = dict(recipe.amounts)["shear"] / 4.0, dict(recipe.amounts)["breathing"]
        size = unit * float(np.hypot(x, y))
        violated = ("opd",) if size > unit else ()
        values = (SimpleNamespace(value=x + 2.0 * y), SimpleNamespace(value=size))
        return SimpleNamespace(score=x + 2.0 * y, values=values, violated=violated)

    def made(recipe):
        x, y = (dict(recipe.amounts)[name] for name in ("shear", "breathing"))
        return Rejection("torn", "here") if np.hypot(x / 4.0 - 0.6, y) < 0.2 else recipe

    taken = []
    start = SimpleNamespace(recipe=recipe, evaluation=at(recipe))
    climb_amounts(SimpleNamespace(evaluate=at), SimpleNamespace(make=made), screen, start, 60, taken.append)
    scores = [start.evaluation.score, *(point.evaluation.score for point in taken)]
    assert all(b > a for a, b in itertools.pairwise(scores))
    end = dict(taken[-1].recipe.amounts)
    assert end["core-shell-twist"] == 2.0
    assert (end["shear"] / 4.0, end["breathing"]) == pytest.approx((5.0**-0.5, 2.0 * 5.0**-0.5), abs=0.03)
    assert taken[-1].evaluation.violated == ()


@pytest.mark.parametrize("line", [{"cd_at": "3.5 eV", "goal": "magnitude"}, {"ccm": "predicted"}])
def test_the_default_network_is_climbed_and_right(line, make_screen, tmp_path):
    screen = make_screen(
        **SHAKEN,
        distortions=[{"modes": {"shear": "-6..6 %"}, "sampling": "sobol", "points": 2}],
        objectives=[line],
        engine={"dtype": "float32", "tolerance": 0.003},
        design={"starts": 2, "climbs": 1, "steps": 6, "label": True},
    )
    done = design(screen, tmp_path / "o")
    start, best = done.start.point.evaluation, done.best.point.evaluation
    assert done.bench.predictor.name == DEFAULT_MODEL
    assert best.score > start.score
    if "cd_at" in line:
        assert best.values[0].value == pytest.approx(done.label.values[0].value, rel=2e-2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("design") / "o"


@pytest.fixture(scope="module")
def done(folder, checkpoint, make_screen):
    screen = make_screen(
        **SHAKEN,
        title="<b>up</b>",
        distortions=[{"modes": {"shear": "-6..6 %", "breathing": "-2..2 %"}, "sampling": "sobol", "points": 8}],
        objectives=[{"cd_at": "3.5 eV", "goal": "magnitude"}],
        constraints=[{"absorption_within": "30 %"}],
        engine={"dtype": "float32", "tolerance": 0.003},
        design={"starts": 6, "climbs": 2, "steps": 6, "free": {"steps": 8, "penalty": 0.05}, "label": True},
    )
    return design(screen, folder, model=checkpoint)


def test_every_stage_rises_and_stays_where_it_may(done):
    assert len(done.paths) == 2
    rest = build("ag3", thiolate="SCH3")
    for path in done.paths:
        assert path[0].stage == "start"
        assert {step.stage for step in path[1:]} == {"amounts", "free"}
        for stage in ("amounts", "free"):
            scores = [step.point.evaluation.score for step in path if step.stage == stage]
            assert scores == sorted(scores)
        amounts = [step.point.evaluation for step in path if step.stage != "free"]
        assert amounts[-1].score > amounts[0].score
        for step in path:
            amounts_of_mode = dict(step.point.recipe.amounts)
            assert abs(amounts_of_mode["shear"]) <= 6.0
            assert abs(amounts_of_mode["breathing"]) <= 2.0
            assert len(step.point.evaluation.violated) <= len(path[0].point.evaluation.violated)
            assert compare(Subject(rest), step.point.evaluation.atoms.positions).wrong == ()
        free = [step for step in path if step.stage == "free"]
        before = path[path.index(free[0]) - 1].point.evaluation
        assert [step.count for step in free] == list(range(len(free)))
        assert free[0].point.evaluation.standing.score == pytest.approx(before.standing.score, rel=1e-2)
        assert free[0].point.evaluation.cost == pytest.approx(0.05 * elastic_strain(before.atoms, rest))
        assert path[-1].point.evaluation.cost == pytest.approx(
            0.05 * elastic_strain(path[-1].point.evaluation.atoms, rest)
        )
    assert done.best.point.evaluation.score == max(path[-1].point.evaluation.score for path in done.paths)


def test_a_design_that_ends_below_its_screen_keeps_the_screens_best(done):
    """The free stage may pay strain with score: of the paths of a design, turned round so that they go down."""
    down = replace(done, paths=[path[::-1] for path in done.paths], screen_folder=Path("somewhere"))
    ends = [path[-1].point.evaluation.standing.order for path in down.paths]
    assert max(ends) < down.paths[0][0].point.evaluation.standing.order
    assert (down.is_worse, down.best) == (True, down.paths[0][0])
    told = [*describe_design(down)]
    assert told[1].startswith("warning: the design ends below it, at ")
    assert not any(line.startswith("best end") for line in told)
    up = replace(done, screen_folder=Path("somewhere"))
    assert (up.is_worse, up.best) == (False, done.best)


def test_a_step_on_amounts_is_a_candidate_that_a_screen_can_make(done):
    step = [step for step in done.paths[0] if step.stage == "amounts"][-1]
    again = Maker(done.bench.space).make(step.point.recipe)
    assert not isinstance(again, Rejection)
    np.testing.assert_array_equal(again.positions, step.point.evaluation.atoms.positions)


def test_the_folder_of_a_design(done, folder, checkpoint):
    content = json.loads((folder / "design.json").read_text())
    frames = list(read_all(folder / "path.extxyz"))
    steps = [step for path in done.paths for step in path]
    assert [frame.info["provenance"]["design"] for frame in frames] == [s for path in content["climbs"] for s in path]
    for frame, step in zip(frames, steps, strict=True):
        np.testing.assert_allclose(frame.positions, step.point.evaluation.atoms.positions, atol=1e-7)
    best = content["best"]
    (end,) = read_all(folder / "best.extxyz")
    again = Predictor.load(checkpoint)(end).spectrum
    name = best["name"]
    kept = json.loads((folder / f"spectra/{name}.json").read_text())
    size = np.abs(again.delta_epsilon).max()
    np.testing.assert_allclose(kept["spectrum"]["delta_epsilon"], again.delta_epsilon, atol=2e-3 * size)
    assert best["values"]["cd_at"][0] == pytest.approx(np.interp(3.5, again.energy_ev, again.delta_epsilon), rel=1e-2)
    assert best["chemistry"]["wrong"] == []
    engine = json.loads((folder / f"verified/{name}.json").read_text())["spectrum"]
    at = np.interp(3.5, engine["energy_ev"], engine["delta_epsilon"])
    assert best["label"]["values"]["cd_at"] == pytest.approx(at, rel=1e-6)
    page = (folder / "design.html").read_text()
    assert "<h1>&lt;b&gt;up&lt;/b&gt;</h1>" in page
    assert page.count("data:image/svg+xml") == 2


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        (
            {"objectives": [{"ccm": "predicted"}], "design": {"free": {}}},
            OptionError,
            "objective ccm: predicted has no derivative by positions .leave design.free out",
        ),
        ({"objectives": [{"strain": "gfn1"}], "design": {"free": {}}}, OptionError, "no derivative by positions"),
        ({"distortions": []}, OptionError, "nothing that may change"),
        ({"distortions": [{"modes": {"shear": [1.0], "breathing": 2.0}}]}, OptionError, "nothing that may change"),
        ({"distortions": [{"modes": {"sheer": [1.0]}}]}, OptionError, "did you mean 'shear'"),
        ({"distortions": [{"modes": {"normal-mode 4": [2.0, 1.9]}}]}, ScreeningError, "none of 2 candidates is valid"),
    ],
)
def test_what_cannot_be_designed(make_screen, checkpoint, tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        design(make_screen(**changes), tmp_path / "o", model=checkpoint)
    assert not (tmp_path / "o").exists()


def test_expected_values_are_climbed_whatever_candidates_rank_by(single, make_screen, tmp_path):
    screen = make_screen(value="pessimistic", most=5, design={"starts": 2, "climbs": 1, "steps": 1})
    done = design(screen, tmp_path / "o", model=single)
    assert len(done.bench.space) == 2
    config = json.loads((tmp_path / "o" / "design.json").read_text())["config"]
    assert (config["value"], config["most"]) == ("pessimistic", 5)


def test_a_strained_start_relaxes_where_strain_is_all_that_counts(checkpoint, make_screen, tmp_path):
    screen = make_screen(
        **SHAKEN, distortions=[], objectives=[{"strain": "elastic"}], design={"free": {"steps": 40, "penalty": 1.0}}
    )
    done = design(screen, tmp_path / "o", model=checkpoint)
    first, last = (done.paths[0][k].point.evaluation.values[0].value for k in (0, -1))
    assert last < 0.05 * first
    with pytest.raises(ScreeningError, match="holds a design already"):
        design(screen, tmp_path / "o", model=checkpoint)


def test_a_finished_climb_outlives_the_next(checkpoint, make_screen, tmp_path):
    def stop(step):
        if step.climb == 2:
            raise KeyboardInterrupt

    screen = make_screen(
        distortions=[{"modes": {"shear": "-4..4 by 2 %"}}], design={"starts": 4, "climbs": 2, "steps": 1}
    )
    with pytest.raises(KeyboardInterrupt):
        design(screen, tmp_path / "o", model=checkpoint, watch=stop)
    assert {atoms.info["provenance"]["design"]["climb"] for atoms in read_all(tmp_path / "o" / "path.extxyz")} == {1}
    assert not (tmp_path / "o" / "design.json").exists()


def test_starts_that_memory_has_no_room_for_are_named(checkpoint, make_screen, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise MemoryError("no room")

    monkeypatch.setattr(Predictor, "predict", full)
    screen = make_screen(distortions=[{"modes": {"shear": "-4..4 by 4 %"}}], design={"starts": 2})
    with pytest.raises(ScreeningError, match=r"none of 2 candidates is valid: MemoryError: no room .free memory"):
        design(screen, tmp_path / "o", model=checkpoint)


def test_two_designs_do_not_share_a_folder(checkpoint, make_screen, tmp_path):
    screen = make_screen(
        distortions=[{"modes": {"shear": "-4..4 by 2 %"}}], design={"starts": 2, "climbs": 1, "steps": 1}
    )
    (tmp_path / "o").mkdir()
    with exclusive(tmp_path / "o"), pytest.raises(FolderInUseError, match="another process is working in it"):
        design(screen, tmp_path / "o", model=checkpoint)
