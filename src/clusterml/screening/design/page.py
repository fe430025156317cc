"""``design.html``: how the score rose, what the best end looks like, and its spectra beside those it began with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clusterml.screening.design.path import Designed, Step
from clusterml.screening.page.cards import number
from clusterml.screening.page.figures import framed, legend_below, picture
from clusterml.screening.page.markup import Markup, page, table, tag
from clusterml.screening.page.molecule import element_colours, signed_colours, viewer
from clusterml.screening.strain import superposed
from clusterml.screening.verification import FOLDER
from clusterml.screening.words import recipe_words
from clusterml.spectrum.jsonio import read_spectrum
from clusterml.spectrum.plot import COLOURS, draw

_MARKS = {"start": "o", "amounts": "s", "free": "^"}


def design_page(found: Designed, folder: Path) -> str:
    """The page of a design; the engine's spectrum is read from the ``folder``."""
    title = found.bench.screen.title or found.bench.screen.name
    return page(f"{title} - design", _body(found, folder, title), ("molecule.js",))


def _body(found: Designed, folder: Path, title: str) -> Iterator[Markup]:
    best = found.best
    start = found.paths[best.climb - 1][0]
    yield tag("h1", title)
    yield tag("p", f"Design with {found.bench.predictor.name}; the best end is {best.name}", class_="soft")
    if found.is_worse:
        words = f"It ends below the best candidate of {found.screened}, which is kept"
        yield tag("p", tag("span", words, class_="flag warn"))
    prediction = best.climbed.judged.prediction
    yield from (tag("p", tag("span", warning, class_="flag warn")) for warning in prediction.warnings)
    yield _table(found, start, best)
    yield tag("p", recipe_words(best.climbed.recipe.to_dict(found.bench.screen)), class_="soft")
    if found.label is not None and found.label.problem:
        yield tag("p", f"The engine has no label: {found.label.problem}")
    yield tag("h2", "The way up")
    yield _ways(found)
    yield tag("h2", "Spectra and geometry")
    yield tag("div", tag("div", _spectra(found, folder, start, best)), _view(start, best), class_="pair")


def _table(found: Designed, start: Step, best: Step) -> Markup:
    label = found.label
    rows = []
    for at, line in enumerate(found.bench.merit.described()):
        values = [step.climbed.judged.values[at] for step in (start, best)]
        cells = [number(value.value, value.std) for value in values]
        cells += [] if label is None else ["" if label.problem else number(label.values[at].value, None)]
        unit = "" if line["unit"] == "1" else f" / {line['unit']}"
        rows.append([f"{line['name']} {line['of']}{unit}", *(tag("td", cell, class_="n") for cell in cells)])
    heads = ["start, predicted", "end, predicted", *([] if label is None else ["end, engine"])]
    return table(["measure", *(tag("th", head, class_="n") for head in heads)], rows)


def _ways(found: Designed) -> Markup:
    figure, axes = framed(6.4, 3.8)
    for at, path in enumerate(found.paths):
        colour = COLOURS[at % len(COLOURS)]
        scores = [step.climbed.judged.score for step in path]
        axes.plot(range(len(path)), scores, "-", color=colour, lw=1.0, label=f"climb {path[0].climb}")
        for stage, mark in _MARKS.items():
            chosen = [k for k, step in enumerate(path) if step.stage == stage]
            axes.plot(chosen, [scores[k] for k in chosen], mark, color=colour, ms=4.5)
    axes.set_xlabel("step (circle: start, squares: amounts, triangles: free coordinates)")
    axes.set_ylabel("score less the cost of strain")
    legend_below(figure, [axes])
    return picture(figure, "score of every step")


def _spectra(found: Designed, folder: Path, start: Step, best: Step) -> Markup:
    curves = {name: step.climbed.judged.prediction.spectrum for name, step in (("end", best), ("start", start))}
    path = folder / FOLDER / f"{best.name}.json"
    if found.label is not None and path.is_file():
        curves["end, engine"] = read_spectrum(path)
    return picture(draw(list(curves.values()), labels=list(curves)), "spectra of start and end")


def _view(start: Step, best: Step) -> Markup:
    atoms = best.climbed.judged.atoms
    left = superposed(atoms.positions, start.climbed.judged.atoms.positions)[1]
    moved = np.asarray(np.linalg.norm(left, axis=1))
    colours = {
        "element": element_colours(atoms),
        "displacement": signed_colours(moved, float(moved.max())),
    }
    return viewer(atoms, "molecule", colours, [f"moved by {each:.3f} A" for each in moved])
