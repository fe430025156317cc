"""The plots of a report, as pictures that a page carries inside: spectra, front, trends, predicted against verified."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from clusterml.io.display import Markup, tag
from clusterml.screening.page.results import RankedRow, Results, TopCandidate
from clusterml.screening.trends import Trend
from clusterml.spectrum.plot import COLOURS, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _RED, _GREY = COLOURS[0], COLOURS[1], "#9aa3ad"
_MOST_PAIRS = 3  # of objectives in Pareto plots
_MOST_PARITIES = 4
MOST_COORDINATES, MOST_LINES, MOST_PANELS, MOST_CURVES = 6, 3, 4, len(COLOURS)
"""What is drawn of the trends."""
_HEAD = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)
_MORE_DIGITS, _BETWEEN_TAGS = re.compile(r"([1-9]\d*\.\d\d)\d+"), re.compile(r">\s+<")
"""What a picture can do without: head, hundredths of a point (but not of scales below one), indentation."""
_PLAIN = " '/:=;,()!?*+@"
"""Characters that stay as they are in the address of a picture (base64 would hide that pictures are alike)."""


def spectra_picture(candidate: TopCandidate) -> Markup | None:
    """Absorption, CD and g of a candidate, of its parent and of its label, if any; None if there is no spectrum."""
    source = "engine" if candidate.by_engine else "predicted"
    spectra = {source: candidate.spectrum, f"parent, {source}": candidate.parent}
    spectra |= {} if candidate.by_engine else {"engine": candidate.verified}
    curves = {label: spectrum for label, spectrum in spectra.items() if spectrum is not None}
    if not curves:
        return None
    return picture(draw(list(curves.values()), labels=list(curves)), f"spectra of {candidate.ranked.name}")


def pareto_pictures(results: Results) -> list[Markup]:
    """Each pair of the first objectives against each other, over the candidates of ranked.csv.

    The front is joined where it is a line: of two objectives, each maximised or minimised.
    """
    objectives = results.objectives
    pairs = [(a, b) for k, a in enumerate(objectives) for b in objectives[k + 1 :]][:_MOST_PAIRS]
    joined = len(objectives) == 2 and all(objective["goal"] in ("maximise", "minimise") for objective in objectives)
    return [_pareto(results.ranked, a, b, "o-" if joined else "o") for a, b in pairs]


def parity_pictures(results: Results) -> list[Markup]:
    """Predicted against verified score and first lines of the screen, of the best and of the random candidates."""
    verification = results.verification
    if verification is None:
        return []
    lines = [{"name": "score", "unit": ""}, *results.lines] if len(results.lines) > 1 else results.lines
    return [_parity(verification, line) for line in lines[:_MOST_PARITIES]]


def trend_pictures(results: Results) -> list[Markup]:
    """The first lines of the screen against the first coordinates: a panel for each parent, a curve for each series."""
    pictures = []
    for coordinate in list(dict.fromkeys(trend.series.coordinate for trend in results.trends))[:MOST_COORDINATES]:
        for line in results.lines[:MOST_LINES]:
            trends = [t for t in results.trends if (t.series.coordinate, t.line) == (coordinate, line["name"])]
            if trends:
                pictures.append(
                    picture(trend_figure(trends, _axis_label(line)), f"{line['name']} against {coordinate}")
                )
    return pictures


def trend_figure(trends: Sequence[Trend], label: str) -> Figure:
    """``trends`` of one line against one coordinate, ``label`` on the axis.

    Circles are labels of random candidates, open squares those of the best.
    """
    from matplotlib.figure import Figure

    parents = list(dict.fromkeys(trend.series.parent for trend in trends))[:MOST_PANELS]
    figure = Figure(figsize=(1.2 + 3.4 * max(len(parents), 1.3), 3.6), layout="constrained")
    panels = figure.subplots(1, len(parents), sharey=True, squeeze=False)[0]
    for axes, parent in zip(panels, parents, strict=True):
        of_parent = [trend for trend in trends if trend.series.parent == parent][:MOST_CURVES]
        for trend, colour in zip(of_parent, COLOURS, strict=False):
            _curve(axes, trend, colour)
        _ticks(axes)
        low, high = axes.get_ylim()
        if low < 0.0 < high:
            axes.axhline(0.0, color="black", lw=0.5, zorder=1)
        unit = f" / {of_parent[0].series.unit}" if of_parent[0].series.unit else ""
        axes.set_xlabel(f"{of_parent[0].series.coordinate}{unit}")
        axes.set_title(parent, fontsize="medium")
    if any(trend.series.words for trend in trends):
        legend_below(figure, panels)
    panels[0].set_ylabel(label)
    return figure


def _curve(axes: Axes, trend: Trend, colour: str) -> None:
    """Mean, band, and labels."""
    band = trend.band
    axes.plot(trend.at, trend.mean, "-", color=colour, lw=1.2, label=trend.series.words or "own shell", zorder=3)
    axes.fill_between(trend.at, trend.mean - band, trend.mean + band, color=colour, alpha=0.15, lw=0.0, zorder=2)
    axes.plot(trend.at, trend.label, "o", color=colour, mec="black", mew=0.6, ms=5.0, zorder=4)
    axes.plot(trend.at, trend.best_label, "s", mfc="none", mec=colour, mew=1.2, ms=5.0, zorder=4)


def picture(figure: Figure, text: str) -> Markup:
    """A figure as an SVG within the page; ``text`` describes it to those who cannot see it."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "clusterml"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": "clusterml"})
    short = _MORE_DIGITS.sub(r"\1", _BETWEEN_TAGS.sub("><", _HEAD.sub("", buffer.getvalue()).strip()))
    return tag("img", src=f"data:image/svg+xml,{quote(short, safe=_PLAIN)}", alt=text)


def make_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure of this size (inches) with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    _ticks(axes)
    return figure, axes


def legend_below(figure: Figure, panels: Iterable[Axes]) -> None:
    """One legend of all panels below them, where it covers no curve; each name once."""
    handles = {name: handle for axes in panels for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    longest = max(map(len, handles), default=0)
    columns = max(1, min(len(handles), int(13.0 * figure.get_figwidth()) // (longest + 8)))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize="small"
    )


def _ticks(axes: Axes) -> None:
    """Few enough ticks that their numbers do not touch; small numbers with a common power of ten."""
    from matplotlib.ticker import MaxNLocator

    axes.tick_params(direction="in", top=True, right=True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.ticklabel_format(scilimits=(-2, 4), useMathText=True)


def _pareto(ranked: Sequence[RankedRow], first: dict[str, Any], second: dict[str, Any], style: str) -> Markup:
    figure, axes = make_axes(5.6, 4.4)
    names = first["name"], second["name"]
    for label, colour, size, rows in (
        ("ranked", _GREY, 14, [r for r in ranked if not r.flags]),
        ("out of domain or beyond a constraint", _RED, 20, [r for r in ranked if r.flags]),
    ):
        if rows:
            x, y = ([row.values[name][0] for row in rows] for name in names)
            marker = "o" if colour == _GREY else "x"
            axes.scatter(x, y, s=size, c=colour, marker=marker, lw=0 if marker == "o" else 1.0, label=label, zorder=2)
    front = sorted((r for r in ranked if r.cells["on_front"] == "yes"), key=lambda r: r.values[names[0]][0])
    x, y = ([row.values[name][0] for row in front] for name in names)
    axes.plot(x, y, style, color=_BLUE, ms=5, lw=1.0, label="Pareto front", zorder=3)
    axes.set_xlabel(_axis_label(first))
    axes.set_ylabel(_axis_label(second))
    legend_below(figure, [axes])
    return picture(figure, f"{names[1]} against {names[0]}")


def _parity(verification: dict[str, Any], line: dict[str, Any]) -> Markup:
    figure, axes = make_axes(4.3, 4.0)
    name, everything = line["name"], []
    for part, colour, marker in (("random", _BLUE, "o"), ("best", _RED, "s")):
        entries = [entry for entry in verification[part] if entry["verified"] is not None]
        if not entries:
            continue
        x = np.array([entry["verified"][name] for entry in entries])
        y = np.array([entry["predicted"][name] for entry in entries])
        std = [entry["predicted_std"].get(name) for entry in entries]
        bars = None if None in std else np.array(std, dtype=np.float64)
        style: dict[str, Any] = {"fmt": marker, "ms": 4.5, "color": colour, "elinewidth": 0.8, "label": part}
        axes.errorbar(x, y, yerr=bars, zorder=3 if part == "best" else 2, alpha=0.85, **style)
        everything += [*x, *y]
    if everything:
        low, high = min(everything), max(everything)
        pad = 0.06 * (high - low) or 1.0
        axes.plot([low - pad, high + pad], [low - pad, high + pad], color="black", lw=0.7, zorder=1)
        legend_below(figure, [axes])
    axes.set_xlabel(f"engine: {_axis_label(line)}")
    axes.set_ylabel("predicted")
    return picture(figure, f"predicted against verified {name}")


def _axis_label(line: dict[str, Any]) -> str:
    of = (
        f" {line['of']}".replace("$", r"\$").replace("..", " to ")
        if "of" in line and not line["measure"].startswith("similar")
        else ""
    )
    unit = f" / {line['unit']}" if line["unit"] not in ("", "1") else ""
    return f"{line['name']}{of}{unit}"
