"""``report.html`` of a screen: what was screened, the ranked candidates, their spectra, geometries and verification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clusterml.errors import InputFileError
from clusterml.io.display import Markup, tag
from clusterml.io.files import write_text
from clusterml.screening.output import RUN
from clusterml.screening.page.figures import (
    MOST_COORDINATES,
    MOST_CURVES,
    MOST_LINES,
    MOST_PANELS,
    pareto_pictures,
    parity_pictures,
    trend_pictures,
)
from clusterml.screening.page.markup import page, table
from clusterml.screening.page.results import Results
from clusterml.screening.page.tables import (
    agreement_table,
    card,
    drops_table,
    facts,
    hits_sentence,
    lines_table,
    provenance,
    ranked_table,
    trends_table,
)

REPORT = "report.html"
"""The report's name in the results folder."""
MOST_SHOWN = 12
"""Candidates that are shown with spectra and geometry; the others of top.extxyz only stand in the table."""
MOST_ROWS = 500
"""Rows of the table of candidates; ranked.csv has all."""
MOST_TRENDS = 60
"""Rows of the table of trends; trends.csv has all."""


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into the results ``folder`` of a screen, from what is in there; returns its path.

    Raises :class:`~clusterml.errors.InputFileError` for a folder without results or with damaged ones, and
    :class:`~clusterml.errors.OutputError`.
    """
    results = Results(folder)
    try:
        title = results.run.get("title") or results.run["name"]
        text = page(f"{title} - screen", _body(results, title), ("table.js", "molecule.js"))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputFileError(
            f"{folder}: {RUN} or another file is damaged or incomplete ({error!r})",
            "run the screen again with --resume",
        ) from error
    return write_text(results.folder / REPORT, text)


def _body(results: Results, title: str) -> Iterator[Markup]:
    run = results.run
    yield tag("h1", title)
    yield tag("p", f"Screen {run['name']}, status {run['status']}", class_="soft")
    yield facts(run)
    yield lines_table(results)
    if run["counts"]["dropped"] or run["counts"]["lost"]:
        yield tag("h2", "Candidates that were dropped")
        yield drops_table(run["counts"])
    yield from _candidates(results)
    yield from _front(results)
    yield from _trends(results)
    yield from _verification(results)
    yield from _best(results)
    yield tag("h2", "Provenance")
    yield provenance(run)


def _candidates(results: Results) -> Iterator[Markup]:
    rows = results.ranked[:MOST_ROWS]
    yield tag("h2", "Ranked candidates")
    more = f" The first {len(rows)} of {len(results.ranked)} in ranked.csv." if len(rows) < len(results.ranked) else ""
    yield tag("p", f"Sorted by a click on a heading; values with one standard deviation.{more}", class_="soft")
    yield tag("div", ranked_table(results, rows), class_="tall")


def _front(results: Results) -> Iterator[Markup]:
    pictures = pareto_pictures(results)
    if not pictures:
        return
    front = results.run["front"]
    cut = " It was cut to the highest scores." if front["cut"] else ""
    yield tag("h2", "Pareto front")
    yield tag("p", f"{front['members']} members; grey: the other candidates of ranked.csv.{cut}", class_="soft")
    yield tag("div", *pictures, class_="plots")


def _trends(results: Results) -> Iterator[Markup]:
    if not results.trends:
        return
    yield tag("h2", "Trends")
    words = "Means over all valid candidates with one amount or number, whatever else differs. Bands: their spread, or "
    words += "the uncertainty where each place has one candidate. Circles: labels of those of the random candidates "
    words += (
        "that are there, squares: of the best. Linear share: what a straight line explains of the variance between all "
    )
    words += f"candidates, or between the labels of random ones. Drawn are at most {MOST_COORDINATES} coordinates, "
    words += f"{MOST_LINES} measures, {MOST_PANELS} parents and {MOST_CURVES} curves"
    words += f", in the table are the first {MOST_TRENDS} trends; trends.csv has the numbers of all."
    yield tag("p", words, class_="soft")
    yield tag("div", *trend_pictures(results), class_="plots")
    yield tag("div", trends_table(results, MOST_TRENDS), class_="tall")


def _best(results: Results) -> Iterator[Markup]:
    shown = results.shown(MOST_SHOWN)
    if shown:
        yield tag("h2", "The best candidates")
        more = "" if len(shown) < MOST_SHOWN else " Further ones are in top.extxyz and spectra."
        yield tag("p", f"Bands: one standard deviation of the prediction.{more}", class_="soft")
        yield from (card(each, results) for each in shown)


def _verification(results: Results) -> Iterator[Markup]:
    found = results.verification
    if found is None:
        return
    yield tag("h2", "Verification by the engine")
    yield tag("p", hits_sentence(found, results.run))
    yield agreement_table(found["statistics"], results.lines)
    yield tag("div", *parity_pictures(results), class_="plots")
    labelled = (each for part in ("best", "random") for each in found[part])
    problems = [(each["name"], each["problem"]) for each in labelled if each["problem"]]
    if problems:
        yield tag("h3", "Without a label")
        yield table(("candidate", "why"), sorted(set(problems)))
