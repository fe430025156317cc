"""Trends: means over whatever else differs, at the right place of the right series, and their lines."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from clusterml.errors import InputFileError
from clusterml.screening.measures.measure import Value
from clusterml.screening.page.figures import trend_figure
from clusterml.screening.page.results import Results
from clusterml.screening.page.screen_page import REPORT, write_report
from clusterml.screening.run import screen
from clusterml.screening.space import Space
from clusterml.screening.trends import BINS, COLUMNS, EXCHANGED, TRENDS, Trends, fit_line, read_trends


def found(screen_, values, labels=()):
    """Trends of candidate number -> values, read back from their rows."""
    trends = Trends(Space(screen_), ["one", "two"])
    for number in reversed(range(len(Space(screen_)))):  # blocks come in any order
        trends.add(number, [Value(v) for v in values(Space(screen_).recipe(number))])
    for number in labels:
        trends.add_label(number, [Value(10.0 * v) for v in values(Space(screen_).recipe(number))], best=False)
    lines = [",".join(COLUMNS), *(",".join(f'"{cell}"' for cell in row) for row in trends.rows())]
    return {(t.series.coordinate, t.series.parent, t.series.words, t.line): t for t in read_trends("\n".join(lines))}


def test_amounts_of_a_grid_are_told_apart_and_everything_else_is_averaged(make_screen):
    grid = [{"modes": {"shear": [-1, 0, 2], "breathing": [1, 3]}}]
    screen_ = make_screen(distortions=grid)
    trends = found(screen_, lambda r: (dict(r.amounts)["shear"], dict(r.amounts)["breathing"]), labels=[0])
    assert {key[0] for key in trends} == {"shear", "breathing"}
    shear = trends["shear", "ag3", "", "one"]
    assert shear.series.unit == "%"
    np.testing.assert_array_equal(shear.at, [-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(shear.mean, shear.at)
    np.testing.assert_array_equal(shear.count, 2)
    np.testing.assert_array_equal(shear.spread, 0)
    other = trends["shear", "ag3", "", "two"]
    np.testing.assert_array_equal(other.mean, 2.0)
    np.testing.assert_array_equal(other.spread, 1.0)
    np.testing.assert_array_equal(other.labels, [1, 0, 0])
    assert other.label[0] == 10.0


def test_exchanges_begin_with_the_shell_that_they_change(make_screen):
    exchanges = [
        {"old": "SH", "new": ["SCH3", "SPh"], "counts": "0..3", "draws": 2},
        {
            "old": "SH",
            "new": "SCH3",
            "counts": 3,
            "draws": 2,
            "then": [{"old": "SCH3", "new": "SPh", "counts": "1..3"}],
        },
    ]
    screen_ = make_screen(exchanges=exchanges, distortions=[], parents={"a": {"build": {"name": "ag3"}}})

    def values(recipe):
        last = recipe.steps[-1].count if recipe.steps else 0
        return last + 100.0 * (len(recipe.steps) == 2), recipe.steps[-1].draw if recipe.steps else 0.5

    trends = found(screen_, values)
    assert {key[2] for key in trends} == {"SH to SCH3", "SH to SPh", "3 SH to SCH3, SCH3 to SPh"}
    simple = trends[EXCHANGED, "a", "SH to SPh", "one"]
    np.testing.assert_array_equal(simple.at, [0, 1, 2, 3])
    np.testing.assert_array_equal(simple.mean, simple.at)
    np.testing.assert_array_equal(simple.count, [1, 2, 2, 2])
    assert trends[EXCHANGED, "a", "SH to SPh", "two"].spread[1] == 0.5
    after = trends[EXCHANGED, "a", "3 SH to SCH3, SCH3 to SPh", "one"]
    np.testing.assert_array_equal(after.at, [0, 1, 2, 3])
    np.testing.assert_array_equal(after.mean, [3, 101, 102, 103])


def test_every_exchange_of_a_chain_is_a_coordinate_and_equal_words_are_told_apart(make_screen):
    chain = {"old": "SH", "new": "SCH3", "counts": "1..2", "then": [{"old": "SH", "new": "SPh", "counts": [0, 1]}]}
    twice = [{"old": "SH", "new": "SEt", "counts": "1..3", "sites": sites} for sites in ("random", "first")]
    screen_ = make_screen(exchanges=[chain, *twice], distortions=[], parents={"a": {"build": {"name": "ag3"}}})
    trends = found(screen_, lambda r: (sum(s.count * 10.0**s.exchange for s in r.steps), r.steps[0].shell))
    words = {key[2] for key in trends}
    assert {"SH to SCH3", "SH to SCH3, 1 SH to SPh", "1 SH to SCH3, SH to SPh", "2 SH to SCH3, SH to SPh"} <= words
    np.testing.assert_array_equal(trends[EXCHANGED, "a", "SH to SCH3, 1 SH to SPh", "one"].mean, [11, 12])
    second = trends[EXCHANGED, "a", "2 SH to SCH3, SH to SPh", "one"]
    np.testing.assert_array_equal([second.at, second.mean], [[0, 1], [2, 12]])
    for shell in (2, 3):
        alone = trends[EXCHANGED, "a", f"SH to SEt (shell {shell})", "two"]
        np.testing.assert_array_equal(alone.mean, shell - 1)
        np.testing.assert_array_equal(alone.spread, 0)


def test_drawn_amounts_are_gathered_in_bins(make_screen):
    screen_ = make_screen(distortions=[{"modes": {"shear": "-4..4"}, "sampling": "random", "points": 500}])
    shear = found(screen_, lambda r: (r.amounts[0][1], 1.0))["shear", "ag3", "", "one"]
    assert len(shear.at) == BINS
    assert shear.count.sum() == 500
    assert np.all(np.abs(shear.mean - shear.at) <= 4.0 / BINS)


def test_the_line_is_that_through_every_single_candidate(rng):
    x, y = rng.integers(0, 4, 60).astype(float), rng.normal(size=60)
    groups = [y[x == at] for at in range(4)]
    count, mean, spread = (np.array([f(g) for g in groups]) for f in (len, np.mean, np.std))
    line = fit_line(np.arange(4.0), mean, count, spread)
    assert line.slope == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)
    assert line.share == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-9)
    assert fit_line(np.arange(4.0), np.arange(4.0), np.ones(4), np.zeros(4)) is None  # too few
    assert fit_line(np.arange(2.0), np.arange(2.0), np.full(2, 9.0), np.zeros(2)) is None  # every line fits two places
    assert fit_line(np.arange(9.0), np.ones(9), np.ones(9), np.zeros(9)) is None


def test_a_screen_shows_its_trends(make_screen, checkpoint, tmp_path):
    exchanges = [{"old": "SH", "new": ["SCH3"], "counts": [0, 1], "draws": 2}]
    screen_ = make_screen(
        exchanges=exchanges, verify=2, verify_random=5, keep=2, engine={"dtype": "float32", "tolerance": 0.003}
    )
    done = screen(screen_, tmp_path / "out", model=checkpoint)
    trends = Results(tmp_path / "out").trends
    shear = [t for t in trends if t.series.coordinate == "shear"]
    assert {t.series.words for t in shear} == {"", "1 SH to SCH3"}
    assert sum(t.count.sum() for t in shear) == done.board.valid  # of all, though two are kept
    assert (sum(t.labels.sum() for t in shear), sum(t.best_labels.sum() for t in shear)) == (5, 2)
    labels = json.loads((tmp_path / "out" / "verified.json").read_text())["random"]
    expected = sum(each["verified"]["max_g"] for each in labels)
    assert sum(np.nansum(t.labels * t.label) for t in shear) == pytest.approx(expected, rel=1e-6)
    panels = trend_figure(shear, "max g").axes
    assert [axes.get_title() for axes in panels] == ["ag3"]
    drawn = [line for line in panels[0].get_lines() if line.get_linestyle() == "-" and len(line.get_xdata()) > 2]
    np.testing.assert_allclose(drawn[0].get_ydata(), shear[0].mean)
    text = re.sub(r' data-h="[^"]*"', "", (tmp_path / "out" / REPORT).read_text())
    assert "max_g against shear" in text
    other = next(t for t in shear if t.series.words)
    cells = (int(other.count.sum()), f"{other.predicted.slope:.3g}", f"{other.predicted.share:.2f}")
    assert "<td>1 / %</td>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) in text
    (tmp_path / "out" / TRENDS).write_text("coordinate,unit\nshear,%\n")
    with pytest.raises(InputFileError, match=r"trends\.csv is damaged"):
        write_report(tmp_path / "out")
    (tmp_path / "out" / TRENDS).unlink()
    assert "max_g against shear" not in write_report(tmp_path / "out").read_text()
