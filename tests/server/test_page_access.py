"""The page and the reports for those who use keys, a screen reader or little light; and fields beside the sliders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import clusterml
from clusterml.screening.page.markup import Markup, table, viewer
from clusterml.screening.page.markup import page as whole_page
from clusterml.server.app import page_folder
from clusterml.structure.picture import element_colours

from .conftest import show, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STATE = """import("./js/store.js").then(({ state }) => [state.index, state.seed])"""
VIEW = "document.querySelector('canvas').toDataURL()"


def contrast(one: str, other: str) -> float:
    """Of two colours #rrggbb, as WCAG 2.2 defines it."""

    def light(colour: str) -> float:
        parts = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_lines_borders_and_numbers_stand_out():
    curves = (page_folder() / "js" / "curves.js").read_text()
    cards, lines = (re.findall(rf'{name}: "(#\w+)"', curves) for name in ("card", "rest"))
    assert len(cards) == len(lines) == 2
    for card, line in zip(cards, lines, strict=True):
        assert contrast(card, line) >= 3
    style = (page_folder() / "style.css").read_text()
    edges, *behind = (
        re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", style).groups()
        for name in ("edge", "back", "card", "field")
    )
    for place in behind:
        for edge, ground in zip(edges, place, strict=True):
            assert contrast(edge, ground) >= 3
    chosen, words = re.search(r"\.site\[aria-pressed=true\] {.*?(#\w+);.* color: (#\w+)", style).groups()
    assert contrast(chosen, words) >= 4.5


def test_dialogs_have_names(page):
    show(page, "ag12_sch3_hcoo")
    page.click("#command-open")
    assert page.get_by_role("dialog", name="As a command").is_visible()
    assert page.get_attribute("#token", "aria-labelledby") == "token-title"
    assert "token" in page.text_content("#token-title")
    assert page.get_attribute("#readout", "aria-live") == "polite"


def test_which_normal_mode_and_another_draw(page):
    show(page, "ag12_sch3_hcoo")
    bodies: list[dict] = []
    page.on("request", lambda each: bodies.append(each.post_data_json) if "/v1/distort" in each.url else None)
    page.fill("#mode-index", "2")
    page.press("#mode-index", "Tab")
    page.fill("#mode-index", "0")
    page.press("#mode-index", "Tab")
    page.wait_for_selector("#news:has-text('This is a whole number from 1.')")
    page.click("#mode-seed")
    assert page.evaluate(STATE) == [2, 1]
    page.locator("#mode-thermal-noise").fill("0.1")
    page.locator("#mode-normal-mode").fill("0.2")
    wait_for(lambda: any("index" in body and "seed" in body for body in (page.evaluate("1"), bodies)[1]))
    assert all(body.get("index", 2) == 2 and body.get("seed", 1) == 1 for body in bodies)


@pytest.fixture
def report(browser: Browser, tmp_path) -> Page:
    """A report's page with a view of a molecule and a table."""
    atoms = clusterml.build("ag2")
    sortable = str(table(["a"], [["2"], ["1"]])).replace("<table", '<table class="sortable"', 1)
    parts = [
        viewer(atoms, "m", {"a": element_colours(atoms)}),
        Markup(sortable),
        Markup("<div style='height:3000px'></div>"),
    ]
    path = tmp_path / "report.html"
    path.write_text(whole_page("report", parts, ("molecule.js", "table.js")))
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(path.as_uri())
    yield opened
    context.close()


def test_views_of_reports_are_turned_by_keys_and_leave_the_wheel_to_the_page(report):
    first = report.evaluate(VIEW)
    report.locator("canvas").hover()
    report.mouse.wheel(0, 100)
    wait_for(lambda: report.evaluate("scrollY") > 0)
    assert report.evaluate(VIEW) == first
    report.evaluate("scrollTo(0, 0)")
    report.focus("canvas")
    for key in ("ArrowRight", "+"):
        before = report.evaluate(VIEW)
        report.keyboard.press(key)
        assert report.evaluate(VIEW) != before
    report.keyboard.press("Home")
    assert report.evaluate(VIEW) == first
    report.locator("canvas").hover()
    report.mouse.wheel(0, 100)
    wait_for(lambda: report.evaluate(VIEW) != first)
    assert report.evaluate("scrollY") == 0


def test_the_space_bar_sorts_a_table_of_a_report(report):
    report.focus("th")
    report.keyboard.press("Space")
    assert report.locator("tbody td").all_inner_texts() == ["1", "2"]
    assert report.evaluate("scrollY") == 0
