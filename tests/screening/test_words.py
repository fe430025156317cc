"""Candidates in words, and how much a number of labels says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clusterml.screening.board import Row
from clusterml.screening.run import screen
from clusterml.screening.space import Space, recipe_words
from clusterml.screening.verification import LabelPairs, count_hits, hits_words, wilson


def test_a_recipe_is_told_with_amounts_and_units(make_screen):
    space = Space(
        make_screen(
            parents={"ag3": {"build": {"name": "ag3", "thiolate": ["SH", "SCH3"]}}},
            exchanges=[{"old": "SH", "new": "SCH3", "counts": [0, 2]}],
            conformers={"temperature_k": 200.0, "snapshots": 1},
            distortions=[{"modes": {"shear": [-3.25], "normal-mode 3": [0.1], "breathing": [0.0]}}],
        )
    )
    words = [recipe_words(space.recipe(number).to_dict(space.screen)) for number in range(len(space))]
    amounts = "snapshot 0 at 200 K; shear -3.25 %; normal-mode 3 +0.1 A; breathing 0 %"
    assert words[0] == f"ag3 (thiolate SH); {amounts}"
    assert words[1] == f"ag3 (thiolate SH); 2 x SH to SCH3; {amounts}"
    assert len(set(words)) == len(words)


def test_few_labels_say_how_many_it_takes():
    truth = np.arange(100.0)
    few = count_hits(LabelPairs(truth[:3], truth[:3]), LabelPairs(truth[:6], truth[:6]), 0.1)
    assert (few["enough"], few["needed"]) == (False, {"best": 10, "random": 50})
    assert hits_words(few) == (
        "3 best and 6 random labels are too few for a hit rate: it takes 10 and 50 "
        "(verify=10 verify_random=50; fewer with a larger hit_share)"
    )
    assert count_hits(LabelPairs(truth[:3], truth[:3]), LabelPairs(truth, truth), 0.3)["needed"]["random"] == 17
    many = count_hits(LabelPairs(truth[-12:], truth[-12:]), LabelPairs(truth, truth), 0.1)
    assert many["enough"]
    assert hits_words(many).startswith("83 % of the best are hits (95 % interval 55 to 95 %; as good as the best 10 %")


def test_the_interval_is_wilsons():
    assert wilson(0.0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson(0.5, 20) == (pytest.approx(0.2993, abs=1e-4), pytest.approx(0.7007, abs=1e-4))


def test_a_row_keeps_its_sign_and_older_logs_are_read():
    row = Row(3, "ag3-0000003", (), -1, 1.5, True, 0.4, ((1, 2),), "as the engine: 97 %", 4711.5)
    assert Row.from_list(row.to_list()) == row
    assert Row.from_list(row.to_list()[:-1]) == replace(row, repulsion=None)
    assert Row.from_list(row.to_list()[:-2]) == replace(row, repulsion=None, sign="")


def test_a_screen_never_computes_with_the_engine_unless_it_is_asked_to_verify(
    make_screen, checkpoint, tmp_path, monkeypatch
):
    def refuse(*arguments, **options):
        raise AssertionError("the engine was called")

    monkeypatch.setattr("clusterml.engine.label.label", refuse)
    done = screen(make_screen(), tmp_path / "out", model=checkpoint)
    assert done.board.valid == 9
    assert all(entry.row.sign for entry in done.board.ranked)
