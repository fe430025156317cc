"""The folder of a design: the path as a trajectory, the best end with its spectra, and its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.io.display import Markup, tag
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import write_json
from clusterml.screening.design.path import Designed, Step
from clusterml.screening.labels import Verified
from clusterml.screening.output import SPECTRA, provenance_of
from clusterml.screening.page.figures import framed, legend_below, picture
from clusterml.screening.page.markup import page, table, viewer
from clusterml.screening.page.tables import number
from clusterml.screening.space import recipe_words
from clusterml.screening.strain import superposed
from clusterml.screening.verification import FOLDER
from clusterml.spectrum.blocks import SCHEMA_VERSION, read_spectrum
from clusterml.spectrum.plot import COLOURS, draw
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import compare
from clusterml.structure.picture import element_colours, signed_colours
from clusterml.structure.write import write_frames

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


DESIGN = "design.json"
"""Written last: where it is there, the design is complete."""


def write_design(found: Designed, folder: Path) -> None:
    """Write ``path.extxyz``, ``best.extxyz``, ``spectra/NAME.json`` of starts and ends, ``design.html`` and, last,
    ``design.json``; raises :class:`~clusterml.errors.OutputError`."""
    frames = [found.named(step) for path in found.paths for step in path]
    write_frames(frames, folder / "path.extxyz")
    write_frames([found.named(found.best)], folder / "best.extxyz")
    place = make_folder(folder / SPECTRA, within=folder)
    for step in (step for path in found.paths for step in (path[0], path[-1])):
        content = {**step.climbed.judged.prediction.to_dict(), "name": step.name}
        write_json(content, place / f"{step.name}.json", indent=1)
    write_text(folder / "design.html", design_page(found, folder))
    write_json(_content(found), folder / DESIGN, indent=1)


def _content(found: Designed) -> dict[str, Any]:
    bench, best = found.bench, found.best
    rest = bench.origin(best.climbed.recipe.number).rest()
    notes = compare(Subject(rest), best.climbed.judged.atoms.positions)
    return {
        "schema_version": SCHEMA_VERSION,
        "program": "clusterml",
        "name": bench.screen.name,
        "title": bench.screen.title,
        "config": found.screen.model_dump(mode="json", exclude_none=True),
        "lines": bench.merit.described(),
        "screen": _screened(found),
        "climbs": [[found.described(step) for step in path] for path in found.paths],
        "best": {
            "name": best.name,
            **found.described(best),
            "domain_score": best.climbed.judged.prediction.domain_score,
            "warnings": list(best.climbed.judged.prediction.warnings),
            "chemistry": {"wrong": list(notes.wrong), "notes": list(notes.notes)},
            "label": None if found.label is None else _label(found, found.label),
        },
        "provenance": provenance_of(bench),
    }


def _label(found: Designed, label: Verified) -> dict[str, Any]:
    values = {name: value.value for name, value in zip(found.bench.merit.names, label.values, strict=not label.problem)}
    return label.to_dict() | {"values": values}


def _screened(found: Designed) -> dict[str, Any] | None:
    """The screen that was started from, the score of its best candidate, and whether the design ends below it."""
    best = found.screens_best
    if best is None:
        return None
    return {
        "folder": str(found.screened),
        "best": best.climbed.recipe.number,
        "score": best.climbed.judged.standing.score,
        "ends_worse": found.is_worse,
    }
