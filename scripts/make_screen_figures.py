"""Draw the figures of docs/science/screens.md from results folders: python scripts/make_screen_figures.py RESULTS.

RESULTS holds the folders ag29-shells, ag70-twist and ag70-deracemisation of screens with labels; what is absent is left
out.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clusterml.io.files import make_folder
from clusterml.screening.page.results import RankedRow, Results
from clusterml.spectrum.plot import COLOURS
from make_figures import ROOT, with_few_colours

INTEGRAL = "integrated CD / L mol$^{-1}$ cm$^{-1}$ eV"
COLOURED = 48


def labels_of(results: Results, line: str) -> dict[str, float]:
    """The label's value of a line, by name of the candidate."""
    verification = results.verification or {"best": [], "random": []}
    entries = [*verification["best"], *verification["random"]]
    return {entry["name"]: entry["verified"][line] for entry in entries if entry["verified"] is not None}


def curve(
    axes: Axes,
    rows: Sequence[RankedRow],
    labels: Mapping[str, float],
    at: Callable[[RankedRow], float],
    colour: str,
    name: str,
) -> None:
    """The network as a line, labels as circles."""
    rows = sorted(rows, key=at)
    axes.plot(
        [at(row) for row in rows], [row.values["integrated_cd"][0] for row in rows], color=colour, lw=1.3, label=name
    )
    known = [row for row in rows if row.name in labels]
    axes.plot(
        [at(row) for row in known], [labels[row.name] for row in known], "o", color=colour, mec="black", mew=0.6, ms=4.5
    )


def panels(count: int, width: float) -> Iterator[Any]:
    """A figure, and its axes in a row."""
    figure = Figure(figsize=(width, 3.3), layout="constrained")
    yield figure
    for axes in figure.subplots(1, count, squeeze=False)[0]:
        axes.tick_params(direction="in", top=True, right=True)
        axes.axhline(0.0, color="black", lw=0.5, zorder=1)
        yield axes


def twist(results: Results) -> Figure:
    """The integrated CD against the angle of each mode."""
    labels = labels_of(results, "integrated_cd")
    figure, *both = panels(2, 8.0)
    for axes, mode, colour in zip(both, ("trigon-rotation", "motif-twist"), COLOURS, strict=False):
        rows = [row for row in results.ranked if mode in row.recipe["distortions"]]
        curve(axes, rows, labels, partial(_angle, mode), colour, "network")
        axes.set_xlabel(f"{mode} / deg")
        axes.legend(frameon=False, fontsize="small")
    both[0].set_ylabel(INTEGRAL)
    return figure


def deracemisation(results: Results) -> Figure:
    """The integrated CD against the number of exchanged ligands, by turn of the trigons."""
    labels = labels_of(results, "integrated_cd")
    figure, axes = panels(1, 5.2)
    for turn, colour in zip((-3.0, 0.0, 3.0), COLOURS, strict=False):
        rows = [row for row in results.ranked if row.recipe["distortions"]["trigon-rotation"] == turn]
        series = [row for row in rows if {step["new"] for step in _steps(row)} <= {"R-TFL"}]
        curve(axes, series, labels, _exchanged, colour, f"trigons turned by {turn:g} deg")
    axes.set(xlabel="CF3COO exchanged for R-TFL", ylabel=INTEGRAL, xticks=range(0, 13, 4))
    axes.legend(frameon=False, fontsize="small")
    return figure


def _angle(mode: str, row: RankedRow) -> float:
    return float(row.recipe["distortions"][mode])


def _steps(row: RankedRow) -> list[dict[str, Any]]:
    return list(row.recipe.get("exchanges", []))


def _exchanged(row: RankedRow) -> float:
    return float(sum(step["count"] for step in _steps(row)))


def shells(results: Results) -> Figure:
    """The largest abs(g) by the network against that of the label, by parent."""
    labels = labels_of(results, "max_g")
    figure, axes = panels(1, 4.6)
    parents = sorted({_shell_of(row) for row in results.ranked})
    for parent, colour in zip(parents, COLOURS, strict=False):
        rows = [row for row in results.ranked if row.name in labels and _shell_of(row) == parent]
        x, y = [1e3 * labels[row.name] for row in rows], [1e3 * row.values["max_g"][0] for row in rows]
        axes.plot(x, y, "o", color=colour, mec="black", mew=0.5, ms=5.0, label=parent)
    high = 1.05e3 * max(labels.values())
    axes.plot([0.0, high], [0.0, high], color="black", lw=0.7, zorder=1)
    axes.set(
        xlabel="largest abs(g) of the label / 10$^{-3}$",
        ylabel="of the network / 10$^{-3}$",
        xlim=(0.0, high),
        ylim=(0.0, high),
    )
    axes.legend(frameon=False, fontsize="small")
    return figure


def _shell_of(row: RankedRow) -> str:
    return f"{row.recipe['parent'].capitalize()}, {row.recipe['build']['phosphine']}"


FIGURES: Mapping[str, Callable[[Results], Figure]] = {
    "ag29-shells": shells,
    "ag70-twist": twist,
    "ag70-deracemisation": deracemisation,
}


def main(results: str, folder: str | Path = ROOT / "docs" / "images") -> None:
    for name, draw in FIGURES.items():
        place = Path(results) / name
        if not place.is_dir():
            continue
        picture = io.BytesIO()
        draw(Results(place)).savefig(picture, format="png", dpi=130)
        path = make_folder(folder) / f"screen_{name.replace('-', '_')}.png"
        path.write_bytes(with_few_colours(picture.getvalue(), COLOURED))
        print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:3])
