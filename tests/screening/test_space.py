"""Candidates by number: how many, in which order, drawn evenly, and made the same whatever else was made."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from clusterml.errors import OptionError
from clusterml.screening.config import ScreenDistortion, load_screen
from clusterml.screening.making import DISTORTION, MODE, SHELL, Maker, Rejection
from clusterml.screening.space import Space, number_of_points, split_mode

SCREENS = Path(__file__).parents[2] / "configs" / "screen"
EXCHANGES = [
    {"old": "SH", "new": ["SCH3", "SiPr"], "counts": "0..2", "draws": 2},
    {"old": "SH", "new": "SCH3", "counts": [1, 3], "then": [{"old": "SCH3", "new": "SEt", "counts": [0, 1]}]},
]


def made(maker: Maker, number: int):
    atoms = maker.make(maker.space.recipe(number))
    assert not isinstance(atoms, Rejection), atoms
    return atoms


def test_every_combination_has_a_number(make_screen):
    screen = make_screen(
        parents={"a": {"build": {"name": "ag3", "thiolate": ["SH", "SCH3"]}}, "b": {"build": {"name": "ag4"}}},
        exchanges=EXCHANGES,
        conformers={"temperature_k": 100.0, "snapshots": 2, "at_rest": True},
        distortions=[
            {"modes": {"shear": "-1..1 by 1 %", "breathing": [0.5, 1.0]}},
            {"modes": {"mixture": "-1..1"}, "sampling": "random", "points": 3},
        ],
    )
    space = Space(screen)
    shells = (1 + 2 * 2 * 2) + 2 * 2
    assert len(space) == space.size == 3 * shells * 3 * (6 + 3)
    recipes = [space.recipe(number).to_dict(screen) for number in range(len(space))]
    assert len({str(recipe) for recipe in recipes}) == len(recipes)
    assert recipes[0] == {
        "parent": "a",
        "build": {"name": "ag3", "thiolate": "SH"},
        "distortions": {"shear": -1.0, "breathing": 0.5},
    }
    exchanged = [r["exchanges"] for r in recipes if len(r.get("exchanges", [])) == 2]
    assert [e["count"] for e in exchanged[0]] == [1, 1]
    with pytest.raises(IndexError):
        space.recipe(len(space))


def test_parents_from_aliases_have_names_that_files_and_records_can_have(make_screen):
    build = {"name": "ag3", "thiolate": ["SH", "2,4-dimethylbenzenethiolate"]}
    names = [variant.name for variant in Space(make_screen(parents={"a": {"build": build}})).variants]
    assert names == ["a_SH", "a_2_4-dimethylbenzenethiolate"]


def test_most_draws_from_spaces_of_any_size(make_screen):
    fine = dict.fromkeys(("shear", "breathing", "normal-mode 3", "normal-mode 4"), "-1..1 by 1e-5")
    space = Space(make_screen(distortions=[{"modes": fine}], most=40))
    assert space.size == 200_001**4 > 40 * 2**63
    recipes = [space.recipe(number) for number in range(40)]
    first = [amount for _, amount in (recipe.amounts[0] for recipe in recipes)]
    assert first == sorted(first)
    np.testing.assert_allclose(first, np.linspace(-1.0, 1.0, 81)[1::2], atol=0.026)
    assert np.std([recipe.amounts[-1][1] for recipe in recipes]) > 0.3
    with pytest.raises(OptionError, match=r"more than .* candidates"):
        len(Space(make_screen(distortions=[{"modes": fine}])))


def test_most_draws_evenly_over_all(make_screen):
    whole = {"modes": {"shear": "-5..5 by 0.01 %", "breathing": "-5..5 by 0.01 %"}}
    screen = make_screen(distortions=[whole], most=500)
    space = Space(screen)
    assert (len(space), space.size) == (500, 1001**2)
    shear = np.array([dict(space.recipe(number).amounts)["shear"] for number in range(500)])
    assert np.all(np.diff(shear) > -1e-9)
    assert np.abs(shear - np.linspace(-5, 5, 500)).max() < 0.05
    breathing = np.array([dict(space.recipe(number).amounts)["breathing"] for number in range(500)])
    assert abs(breathing.mean()) < 0.5
    assert len(Space(make_screen(distortions=[{"modes": {"shear": [1.0, 2.0]}}], most=10))) == 2


def test_sobol_points_fill_the_box_better_than_random_ones(make_screen):
    from scipy.stats import qmc

    def cube(sampling: str) -> np.ndarray:
        modes = {"shear": "-4..4 %", "breathing": "0..10 %"}
        space = Space(make_screen(distortions=[{"modes": modes, "sampling": sampling, "points": 2048 + 64}]))
        points = np.array([[a for _, a in space.recipe(n).amounts] for n in range(2048)])
        assert np.all(points.min(axis=0) >= [-4.0, 0.0])
        assert np.all(points.max(axis=0) <= [4.0, 10.0])
        return np.clip((points - [-4.0, 0.0]) / [8.0, 10.0], 0.0, 1.0)

    assert qmc.discrepancy(cube("sobol")) < 0.1 * qmc.discrepancy(cube("random"))


def test_a_geometry_depends_on_its_number_alone(make_screen):
    screen = make_screen(
        exchanges=[{"old": "SH", "new": "SiPr", "counts": "0..3", "draws": 2, "placement": "sampled"}],
        conformers={"temperature_k": 100.0, "snapshots": 2},
        distortions=[{"modes": {"shear": "-2..2", "mixture": "-0.5..0.5"}, "sampling": "random", "points": 2}],
    )
    first = Maker(Space(screen))
    numbers = [27, 3, 12, 20]
    there = {number: first.make(first.space.recipe(number)) for number in range(len(first.space))}
    for number in numbers:
        again = made(Maker(Space(screen)), number)
        np.testing.assert_array_equal(again.positions, there[number].positions)
        assert again.info == there[number].info
    apart = [
        np.abs(there[a].positions[:3] - there[b].positions[:3]).max() for a, b in itertools.combinations(numbers, 2)
    ]
    assert min(apart) > 1e-3


def test_series_of_one_draw_are_nested_and_draws_differ(make_screen):
    four = {"build": {"name": "ag4", "thiolate": "SCH3"}}
    screen = make_screen(
        parents={"ag4": four}, distortions=[], exchanges=[{"old": "SCH3", "new": "SH", "counts": "0..4", "draws": 3}]
    )
    maker = Maker(Space(screen))
    assert len(maker.space) == 1 + 3 * 4
    assert made(maker, 0).info["provenance"]["recipe"].get("exchanges") is None
    orders = set()
    for draw in range(3):
        sites = [made(maker, 1 + 4 * draw + n).info["provenance"]["substitutions"][-1]["sites"] for n in range(4)]
        assert [len(each) for each in sites] == [1, 2, 3, 4]
        assert all(longer[: len(shorter)] == shorter for shorter, longer in itertools.pairwise(sites))
        orders.add(tuple(sites[-1]))
    assert len(orders) > 1
    first = make_screen(
        parents={"ag4": four}, exchanges=[{"old": "SCH3", "new": "SH", "counts": 2, "sites": "first"}], distortions=[]
    )
    assert made(Maker(Space(first)), 0).info["provenance"]["substitutions"][-1]["sites"] == [1, 2]


def test_what_cannot_be_made_is_counted_by_reason(make_screen):
    screen = make_screen(distortions=[{"modes": {"normal-mode 4": [0.0, 2.0]}}, {"modes": {"crown-rotation": [3.0]}}])
    maker = Maker(Space(screen))
    results = [maker.make(maker.space.recipe(number)) for number in range(3)]
    assert not isinstance(results[0], Rejection)
    assert [result.reason for result in results[1:]] == [DISTORTION, MODE]
    assert "normal-mode +2 A" in results[1].example
    many = make_screen(exchanges=[{"old": "SH", "new": "SCH3", "counts": [1, 9]}], distortions=[])
    maker = Maker(Space(many))
    assert not isinstance(maker.make(maker.space.recipe(0)), Rejection)
    assert maker.make(maker.space.recipe(1)) == Rejection(SHELL, "ag3: there are 3 sites with SH")


def test_normal_modes_by_their_number(make_screen):
    screen = make_screen(distortions=[{"modes": {"normal-mode 3": [0.1]}}, {"modes": {"normal-mode 5": [0.1]}}])
    maker = Maker(Space(screen))
    done = [made(maker, number).info["provenance"]["distortions"][0] for number in range(2)]
    assert [each["index"] for each in done] == [3, 5]
    assert split_mode("normal-mode ²") == ("normal-mode ²", 1)


def test_snapshots_differ_and_the_one_at_rest_is_the_parent(make_screen):
    screen = make_screen(distortions=[], conformers={"temperature_k": 150.0, "snapshots": 2, "at_rest": True})
    maker = Maker(Space(screen))
    at_rest, one, other = (made(maker, number).positions for number in range(3))
    np.testing.assert_array_equal(at_rest, maker.parent(maker.space.variants[0]).positions)
    assert min(np.abs(at_rest - one).max(), np.abs(one - other).max()) > 0.01


def test_a_grid_has_the_product_of_its_modes():
    block = ScreenDistortion.model_validate({"modes": {"shear": "-1..1 by 0.5 %", "breathing": [1, 2, 3]}})
    assert number_of_points(block) == 15


@pytest.mark.parametrize("file", sorted(SCREENS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_shipped_screens_name_what_exists(file):
    from clusterml.screening.check import check_names

    screen = load_screen(file)
    check_names(screen)
    assert screen.name == file.stem
    assert len(Space(screen)) >= 24
