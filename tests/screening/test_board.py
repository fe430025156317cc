"""What a screen remembers: the best, the front and the sample, whatever the order of the blocks; and its log."""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clusterml.errors import InputFileError, OutputError
from clusterml.io.log import Log
from clusterml.screening.board import (
    Board,
    BoardEntry,
    CandidateBlock,
    Rejections,
    Row,
    distinct_rows,
    nuclear_repulsion,
)
from clusterml.screening.labels import CandidateLabel
from clusterml.screening.making import Rejection
from clusterml.screening.measures.measure import Value
from clusterml.screening.merit import Merit
from clusterml.screening.messages import _wrong_signs
from clusterml.screening.verification import (
    LabelPairs,
    Verification,
    count_hits,
    errors,
    hits_words,
    same_sign,
    spearman,
)
from clusterml.structure.distort.apply import distort
from clusterml.structure.read import read

TWO = [{"cd_at": "3 eV"}, {"strain": "elastic"}]
LIMIT = [{"opd": "predicted", "at_least": 0.0}]


def row(number: int, *values: float) -> Row:
    pairs = tuple(Value(value, 0.1) for value in values)
    return Row(number, f"c-{number}", pairs, 0, 1.0, number % 3 > 0, 0.5, ((1, 2), (3,)))


def block(number: int, rows: list[Row], size: int) -> CandidateBlock:
    drops = Rejections()
    for _ in range(size - len(rows)):
        drops.add(Rejection("broken", "one"))
    return CandidateBlock(number, number * size, (number + 1) * size, tuple(rows), drops, {"network": 1.0})


def blocks(count: int, size: int = 10) -> list[CandidateBlock]:
    rng = np.random.default_rng(1)
    return [block(n, [row(n * size + k, *rng.normal(size=3)) for k in range(size - 1)], size) for n in range(count)]


def board(make_screen, keep: int = 7, front: int = 1000, sample: int = 6) -> Board:
    return Board(Merit(make_screen(objectives=TWO, constraints=LIMIT)), 5, keep, front, sample)


def state(board: Board) -> tuple:
    parts = (board.ranked, board.front, board.random)
    return (*([entry.row.number for entry in part] for part in parts), board.valid, board.feasible, board.out_of_domain)


def test_the_board_is_what_sorting_everything_gives(make_screen):
    all_blocks = blocks(30)
    filled = board(make_screen)
    for block in all_blocks:
        filled.add(block)
        assert filled.best == filled.ranked[0]
        assert filled.numbers == {entry.row.number for entry in (*filled.members, *filled.random)}
    rows = [row for block in all_blocks for row in block.rows]
    feasible = [row for row in rows if row.values[2].value >= 0.0]
    score = {row.number: row.values[0].value / 10.0 - row.values[1].value for row in feasible}
    assert [entry.row.number for entry in filled.ranked] == sorted(score, key=lambda n: -score[n])[:7]
    merits = {row.number: (row.values[0].value, -row.values[1].value) for row in feasible}
    front = {n for n, a in merits.items() if not any(b != a and b[0] >= a[0] and b[1] >= a[1] for b in merits.values())}
    assert {entry.row.number for entry in filled.front} == front
    assert (filled.evaluated, filled.valid, filled.feasible) == (300, 270, len(feasible))
    assert filled.out_of_domain == sum(row.in_domain is False for row in rows)
    assert filled.rejections.to_dict() == {"broken": {"count": 30, "example": "one"}}
    assert filled.seconds == {"network": 30.0}


def test_the_best_to_verify_are_different_geometries(make_screen):
    filled = board(make_screen)
    first = row(0, 3.0, 0.2, 0.0)
    mirrored = replace(row(1, -3.0, 0.2, 0.0), in_domain=first.in_domain)
    other = row(2, 1.0, 0.2, 0.0)
    filled.add(block(0, [mirrored, first, other], 3))
    assert [entry.row.number for entry in filled.ranked] == [0, 2, 1]
    assert [entry.row.number for entry in filled.distinct_entries(3)] == [0, 2]
    assert [entry.row.number for entry in filled.distinct_entries(1)] == [0]


@pytest.mark.parametrize("factor", [1.00004, 0.99996, -1.00004])
def test_numbers_of_one_geometry_may_differ_a_little(factor):
    first = row(0, 4.33345e-4, 36.15)
    again = row(1, factor * 4.33345e-4, factor * 36.15)
    other = row(2, 1.001 * 4.33345e-4, 36.15)
    charged = replace(row(3, 4.33345e-4, 36.15), charge=1)
    unknown = replace(row(4, 4.33345e-4, 36.15), domain_score=None)
    assert distinct_rows([first, again, other, charged, unknown], 9) == [first, other, charged, unknown]


def test_the_order_of_blocks_does_not_matter(make_screen):
    all_blocks, expected = blocks(20), None
    for seed in range(3):
        filled = board(make_screen)
        for block in random.Random(seed).sample(all_blocks, len(all_blocks)):
            filled.add(block)
        expected = expected or state(filled)
        assert state(filled) == expected


def test_the_sample_is_drawn_from_all_alike(make_screen):
    counts: Counter[bool] = Counter()
    for seed in range(40):
        filled = Board(Merit(make_screen(objectives=TWO, constraints=LIMIT)), seed, 5, 10, 10)
        for block in blocks(10):
            filled.add(block)
        counts.update(entry.row.number < 50 for entry in filled.random)
    assert abs(counts[True] - counts[False]) < 3.5 * np.sqrt(400)


def test_a_front_that_is_cut_keeps_the_best_and_says_so(make_screen):
    filled = board(make_screen, front=3)
    filled.add(block(0, [row(n, float(n), float(n) / 10.0, 1.0) for n in range(9)], 9))
    assert filled.front_cut
    assert len(filled.front) == 3
    assert not board(make_screen).front_cut


@pytest.mark.slow
def test_memory_does_not_grow_with_the_candidates(make_screen):
    def used(count: int) -> int:
        filled = board(make_screen, keep=50)
        rng = np.random.default_rng(2)
        tracemalloc.start()
        for n in range(count):
            filled.add(block(n, [row(n * 50 + k, *rng.normal(size=3)) for k in range(50)], 50))
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size

    used(3)
    assert used(400) < 1.5 * used(40)


def test_blocks_survive_the_log(tmp_path):
    log = Log(tmp_path / "a.jsonl")
    all_blocks = blocks(3)
    for block in all_blocks:
        log.add(block.to_dict())
    assert [CandidateBlock.from_dict(entry) for entry in Log(log.path)] == all_blocks


@pytest.mark.parametrize("cut", [1, 50, 400])
def test_a_line_that_was_cut_short_is_dropped(tmp_path, cut):
    log = Log(tmp_path / "a.jsonl")
    for block in blocks(3):
        log.add(block.to_dict())
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-cut])
    again = Log(log.path)
    assert [entry["block"] for entry in again] == [0, 1]
    again.add(blocks(3)[2].to_dict())
    assert log.path.read_bytes() == whole


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"b": \n{"c": 2}\n')
    with pytest.raises(InputFileError, match="line 2 is damaged"):
        list(Log(path))
    empty = tmp_path / "b.jsonl"
    empty.write_bytes(b"x" * 100_000)
    assert list(Log(empty)) == []
    assert list(Log(tmp_path / "none.jsonl")) == []


def test_a_full_disk_is_an_error_that_says_what_to_do(tmp_path):
    log = Log(tmp_path / "full.jsonl")
    log.path = Path("/dev/full")
    with pytest.raises(OutputError, match=r"full cannot be written: No space left on device.*--resume"):
        log.add({"a": 1})


def test_a_log_is_not_written_through_a_link_nor_read_from_one(tmp_path):
    (tmp_path / "precious").write_text('{"a": 1}\nno end of line')
    log = Log(tmp_path / "log.jsonl")
    log.path.symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match=r"log\.jsonl is a symbolic link"):
        log.add({"a": 2})
    with pytest.raises(InputFileError, match=r"log\.jsonl is a symbolic link"):
        list(log)
    assert (tmp_path / "precious").read_text() == '{"a": 1}\nno end of line'


def test_a_log_that_is_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((OutputError, InputFileError), match="pipe"):
        list(Log(tmp_path / "pipe"))


def test_a_right_order_of_the_wrong_hand_is_told_by_the_sign():
    label = np.array([-8.0, -4.0, 2.0, 1.0, 0.5, 1e-3])
    assert same_sign(LabelPairs(np.array([8.0, 4.0, 2.0, 1.0, 0.5, -1.0]), label)) == pytest.approx(0.6)
    assert same_sign(LabelPairs(-label, label)) == 0.0
    assert same_sign(LabelPairs(label, label)) == 1.0
    assert same_sign(LabelPairs(np.abs(label), np.abs(label))) is None
    assert same_sign(LabelPairs(label[:4], label[:4])) is None
    assert same_sign(LabelPairs(label[:0], label[:0])) is None


def test_a_screen_says_when_its_signs_are_wrong():
    lines = {"integrated_cd": 0.55, "max_g": None, "cd_at": 0.95}
    statistics = {"lines": {name: {"random": {"same_sign": share}} for name, share in lines.items()}}
    assert list(_wrong_signs(SimpleNamespace(statistics=lambda: statistics))) == [("integrated_cd", 0.55)]


def test_agreement_of_known_numbers():
    rng = np.random.default_rng(3)
    truth = np.arange(40.0)
    good, bad = LabelPairs(truth + 0.25, truth), LabelPairs(rng.permutation(truth), truth)
    assert errors(good) == {
        "count": 40, "spearman": 1.0, "mean_absolute_error": 0.25, "mean_error": 0.25, "same_sign": None
    }  # fmt: skip
    assert spearman(LabelPairs(-truth, truth)) == -1.0
    assert abs(spearman(bad)) < 0.4
    assert spearman(LabelPairs(np.ones(9), np.arange(9.0))) is None
    assert spearman(LabelPairs(truth[:4], truth[:4])) is None
    ties = LabelPairs(np.array([1.0, 1.0, 2.0, 2.0, 3.0]), np.array([1.0, 1.0, 2.0, 2.0, 3.0]))
    assert spearman(ties) == pytest.approx(1.0)
    top = LabelPairs(np.array([9.0, 8.0, 7.0, 6.0]), np.array([50.0, 39.0, 38.0, 2.0]))
    counts = count_hits(top, good, 0.1)
    assert counts["threshold"] == pytest.approx(35.1)
    assert (counts["rate"], counts["random_rate"], counts["enrichment"]) == (0.75, 0.1, pytest.approx(7.5))
    assert (counts["overlap"], counts["overlap_of"]) == (1.0, 10)
    assert count_hits(top, LabelPairs(-truth, truth), 0.1)["overlap"] == 0.0
    few = count_hits(top, LabelPairs(truth[:3], truth[:3]), 0.1)
    assert few["enrichment"] is None
    assert json.dumps(few)


def test_what_violates_a_constraint_is_no_hit(make_screen):
    """Nine in ten of the largest scores violate: a perfect predictor, which ranks them last, has all hits."""
    settings = make_screen(constraints=[{"absorption_within": "5 %"}], hit_share=0.25, verify=10)
    merit = Merit(settings)

    def entry(number, change):
        values = (Value(float(number)), Value(change))
        return BoardEntry(Row(number, f"c-{number}", values, 0, 1.0, True, 0.5), merit.standing(values))

    entries = [entry(number, 9.0 if number % 10 else 1.0) for number in range(400)]
    labels = {e.row.number: CandidateLabel(e.row.number, e.row.values, 1.0, 0.1) for e in entries}
    best = tuple(sorted(entries, key=lambda e: e.key, reverse=True)[:10])
    hits = Verification(settings, merit, best, tuple(entries), labels).statistics()["hits"]
    assert hits["feasible"] == {"best": 10, "random": 40}
    assert (hits["rate"], hits["random_rate"], hits["enrichment"]) == (1.0, 0.025, pytest.approx(40.0))
    assert (hits["overlap"], hits["enough"]) == (1.0, True)
    assert hits_words(hits).startswith("100 % of the best are hits")
    assert hits_words(hits).endswith(
        "25 % of the random ones that violate no constraint), 40.0 times the rate among all random ones"
    )

    blind = tuple(entry(number, 1.0) for number in range(390, 400))  # predicted to satisfy it: nine do not
    hits = Verification(settings, merit, blind, tuple(entries[:60]), labels).statistics()["hits"]
    assert (hits["rate"], hits["feasible"], hits["enough"]) == (0.1, {"best": 1, "random": 6}, False)
    assert "60 random labels without 54 that violate a constraint are too few" in hits_words(hits)
    assert hits_words(hits).endswith("9 of 10 best violate a constraint by label")
    mistaken = tuple(entry(number, 1.0) for number in range(60))
    hits = Verification(settings, merit, blind, mistaken, labels).statistics()["hits"]
    assert hits["overlap"] == 0.5  # 50, and 56 to 59, which violate
    none = Verification(settings, merit, blind, tuple(entries[1:10]), labels).statistics()["hits"]
    assert (none["threshold"], none["rate"], none["overlap"]) == (None, None, 1.0)


def test_errors_of_scores_are_without_optimism_and_ranks_are_with_it(make_screen):
    settings = make_screen(value="optimistic")
    merit = Merit(settings)
    rows = [Row(n, f"c-{n}", (Value(float(n), 20.0 - 2.0 * n),), 0, 1.0, True, 0.5) for n in range(6)]
    labels = {row.number: CandidateLabel(row.number, (Value(row.values[0].value),), 1.0, 0.1) for row in rows}
    entries = tuple(BoardEntry(row, merit.standing(row.values)) for row in rows)
    content = Verification(settings, merit, (), entries, labels).to_dict()
    assert content["statistics"]["score"]["random"] == {
        "count": 6, "spearman": -1.0, "mean_absolute_error": 0.0, "mean_error": 0.0, "same_sign": None
    }  # fmt: skip
    assert content["statistics"]["hits"]["overlap"] == 0.0
    second = content["random"][1]
    assert second["predicted"] == second["verified"] == {"max_g": 1.0, "score": 1000.0}
    assert second["ranked_by"] == 19_000.0


def test_pairs_of_the_front_never_beat_each_other(make_screen):
    filled = board(make_screen)
    for block in blocks(15):
        filled.add(block)
    for a, b in itertools.permutations([entry.standing.merits for entry in filled.front], 2):
        assert not all(x >= y for x, y in zip(a, b, strict=True))


def test_mirror_images_are_alike_however_noisy_their_predictions():
    """A network that starts from a response in single precision gives hands of one geometry gaps 1 meV apart."""
    rest = read(Path(__file__).parents[2] / "datasets" / "structures" / "ag70_td_cl4.xyz")

    def turned(number: int, degrees: float, gap_ev: float) -> Row:
        atoms = distort(rest, "trigon-rotation", degrees)
        return replace(row(number, 20.0), gap_ev=gap_ev, repulsion=nuclear_repulsion(atoms[::-1] if number else atoms))

    one, other = turned(0, -0.2, 0.2020), turned(1, 0.2, 0.2008)
    assert one.alike(other)
    assert Row.from_list(json.loads(json.dumps(other.to_list()))) == other
    # The nearest neighbours of a fine scan are others, and so is another charge.
    assert not any(one.alike(turned(2, degrees, 0.2005)) for degrees in (0.0, 0.1, 0.3))
    assert not one.alike(replace(other, charge=1))
    # Equivalent sites of a frame that is not exactly symmetric: nearly the same, by the predictions alone.
    assert one.alike(replace(one, repulsion=1.001 * one.repulsion))
    assert len(distinct_rows([one, other, turned(2, 0.3, 0.2)], 3)) == 2
