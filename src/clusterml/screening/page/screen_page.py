"""``report.html`` of a screen: what was screened, the ranked candidates, their spectra, geometries and verification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clusterml.errors import InputFileError
from clusterml.io.display import Markup, tag
from clusterml.io.files import write_text
from clusterml.screening.folder import RUN
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
"""Candidates that are shown with spectra and geometry; the others of top.extxyz are only in the table."""
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
    yield tag("p", f"Click a heading to sort; values with one standard deviation.{more}", class_="soft")
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
    words = "Means over all valid candidates with the same amount or number, whatever else differs. Bands: their "
    words += "spread, or the uncertainty where each place has one candidate. Circles: labels of random candidates, "
    words += "squares: of the best. Linear share: how much of the variance between all candidates, or between the "
    words += f"labels of random ones, a straight line explains. At most {MOST_COORDINATES} coordinates, {MOST_LINES} "
    words += f"measures, {MOST_PANELS} parents and {MOST_CURVES} curves are drawn; the table has the first "
    words += f"{MOST_TRENDS} trends, and trends.csv has all."
    yield tag("p", words, class_="soft")
    yield tag("div", *trend_pictures(results), class_="plots")
    yield tag("div", trends_table(results, MOST_TRENDS), class_="tall")


def _best(results: Results) -> Iterator[Markup]:
    candidates = results.top_candidates(MOST_SHOWN)
    if candidates:
        yield tag("h2", "The best candidates")
        more = "" if len(candidates) < MOST_SHOWN else " More are in top.extxyz and spectra."
        yield tag("p", f"Bands: one standard deviation of the prediction.{more}", class_="soft")
        yield from (card(candidate, results) for candidate in candidates)


def _verification(results: Results) -> Iterator[Markup]:
    verification = results.verification
    if verification is None:
        return
    yield tag("h2", "Verification by the engine")
    yield tag("p", hits_sentence(verification, results.run))
    yield agreement_table(verification["statistics"], results.lines)
    yield tag("div", *parity_pictures(results), class_="plots")
    labelled = (entry for part in ("best", "random") for entry in verification[part])
    problems = [(entry["name"], entry["problem"]) for entry in labelled if entry["problem"]]
    if problems:
        yield tag("h3", "Without a label")
        yield table(("candidate", "why"), sorted(set(problems)))
