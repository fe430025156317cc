"""The folder of a design: the path as a trajectory, the best end with its spectra, and its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clusterml.io.display import Markup, tag
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import write_json
from clusterml.screening.design.path import DesignResult, DesignStep
from clusterml.screening.folder import SPECTRA, provenance_of
from clusterml.screening.labels import CandidateLabel
from clusterml.screening.page.figures import legend_below, make_axes, picture
from clusterml.screening.page.markup import page, table, viewer
from clusterml.screening.page.tables import number
from clusterml.screening.space import recipe_words
from clusterml.screening.strain import superpose
from clusterml.screening.verification import FOLDER
from clusterml.spectrum.export import SCHEMA_VERSION, read_spectrum
from clusterml.spectrum.plot import COLOURS, draw
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import compare
from clusterml.structure.picture import element_colours, signed_colours
from clusterml.structure.write import write_frames

_MARKS = {"start": "o", "amounts": "s", "free": "^"}


def design_page(result: DesignResult, folder: Path) -> str:
    """The page of a design; the engine's spectrum is read from the ``folder``."""
    title = result.bench.screen.title or result.bench.screen.name
    return page(f"{title} - design", _body(result, folder, title), ("molecule.js",))


def _body(result: DesignResult, folder: Path, title: str) -> Iterator[Markup]:
    best = result.best
    start = result.start
    yield tag("h1", title)
    yield tag("p", f"Design with {result.bench.predictor.name}; the best end is {best.name}", class_="soft")
    if result.is_worse:
        words = f"It ends below the best candidate of {result.screen_folder}, which is kept"
        yield tag("p", tag("span", words, class_="flag warn"))
    prediction = best.point.evaluation.prediction
    yield from (tag("p", tag("span", warning, class_="flag warn")) for warning in prediction.warnings)
    yield _table(result, start, best)
    yield tag("p", recipe_words(best.point.recipe.to_dict(result.bench.screen)), class_="soft")
    if result.label is not None and result.label.problem:
        yield tag("p", f"The engine has no label: {result.label.problem}")
    yield tag("h2", "The way up")
    yield _climbs_picture(result)
    yield tag("h2", "Spectra and geometry")
    yield tag("div", tag("div", _spectra(result, folder, start, best)), _view(start, best), class_="pair")


def _table(result: DesignResult, start: DesignStep, best: DesignStep) -> Markup:
    label = result.label
    rows = []
    for at, line in enumerate(result.bench.merit.describe()):
        values = [step.point.evaluation.values[at] for step in (start, best)]
        cells = [number(value.value, value.std) for value in values]
        cells += [] if label is None else ["" if label.problem else number(label.values[at].value, None)]
        unit = "" if line["unit"] == "1" else f" / {line['unit']}"
        rows.append([f"{line['name']} {line['of']}{unit}", *(tag("td", cell, class_="n") for cell in cells)])
    heads = ["start, predicted", "end, predicted", *([] if label is None else ["end, engine"])]
    return table(["measure", *(tag("th", head, class_="n") for head in heads)], rows)


def _climbs_picture(result: DesignResult) -> Markup:
    figure, axes = make_axes(6.4, 3.8)
    for at, path in enumerate(result.paths):
        colour = COLOURS[at % len(COLOURS)]
        scores = [step.point.evaluation.score for step in path]
        axes.plot(range(len(path)), scores, "-", color=colour, lw=1.0, label=f"climb {path[0].climb}")
        for stage, mark in _MARKS.items():
            of_stage = [k for k, step in enumerate(path) if step.stage == stage]
            axes.plot(of_stage, [scores[k] for k in of_stage], mark, color=colour, ms=4.5)
    axes.set_xlabel("step (circle: start, squares: amounts, triangles: free coordinates)")
    axes.set_ylabel("score less the cost of strain")
    legend_below(figure, [axes])
    return picture(figure, "score of every step")


def _spectra(result: DesignResult, folder: Path, start: DesignStep, best: DesignStep) -> Markup:
    curves = {name: step.point.evaluation.prediction.spectrum for name, step in (("end", best), ("start", start))}
    path = folder / FOLDER / f"{best.name}.json"
    if result.label is not None and path.is_file():
        curves["end, engine"] = read_spectrum(path)
    return picture(draw(list(curves.values()), labels=list(curves)), "spectra of start and end")


def _view(start: DesignStep, best: DesignStep) -> Markup:
    atoms = best.point.evaluation.atoms
    displacements = superpose(atoms.positions, start.point.evaluation.atoms.positions)[1]
    distances = np.asarray(np.linalg.norm(displacements, axis=1))
    colours = {
        "element": element_colours(atoms),
        "displacement": signed_colours(distances, float(distances.max())),
    }
    return viewer(atoms, "molecule", colours, [f"moved by {distance:.3f} A" for distance in distances])


DESIGN = "design.json"
"""Written last: where it is there, the design is complete."""


def write_path(result: DesignResult, folder: Path) -> None:
    """Write ``path.extxyz``, ``best.extxyz`` and ``spectra/NAME.json`` of starts and ends; raises
    :class:`~clusterml.errors.OutputError`."""
    frames = [result.frame_of(step) for path in result.paths for step in path]
    write_frames(frames, folder / "path.extxyz")
    write_frames([result.frame_of(result.best)], folder / "best.extxyz")
    place = make_folder(folder / SPECTRA, within=folder)
    for step in (step for path in result.paths for step in (path[0], path[-1])):
        content = {**step.point.evaluation.prediction.to_dict(), "name": step.name}
        write_json(content, place / f"{step.name}.json", indent=1)


def write_design(result: DesignResult, folder: Path) -> None:
    """Write ``design.html`` and, last, ``design.json``; raises :class:`~clusterml.errors.OutputError`."""
    write_text(folder / "design.html", design_page(result, folder))
    write_json(_content(result), folder / DESIGN, indent=1)


def _content(result: DesignResult) -> dict[str, Any]:
    bench, best = result.bench, result.best
    rest = bench.origin(best.point.recipe.number).rest()
    chemistry = compare(Subject(rest), best.point.evaluation.atoms.positions)
    return {
        "schema_version": SCHEMA_VERSION,
        "program": "clusterml",
        "name": bench.screen.name,
        "title": bench.screen.title,
        "config": result.screen.model_dump(mode="json", exclude_none=True),
        "lines": bench.merit.describe(),
        "screen": _screen_dict(result),
        "climbs": [[result.step_to_dict(step) for step in path] for path in result.paths],
        "best": {
            "name": best.name,
            **result.step_to_dict(best),
            "domain_score": best.point.evaluation.prediction.domain_score,
            "warnings": list(best.point.evaluation.prediction.warnings),
            "chemistry": {"wrong": list(chemistry.wrong), "notes": list(chemistry.notes)},
            "label": None if result.label is None else _label(result, result.label),
        },
        "provenance": provenance_of(bench),
    }


def _label(result: DesignResult, label: CandidateLabel) -> dict[str, Any]:
    values = {
        name: value.value for name, value in zip(result.bench.merit.names, label.values, strict=not label.problem)
    }
    return label.to_dict() | {"values": values}


def _screen_dict(result: DesignResult) -> dict[str, Any] | None:
    """The screen that was started from, the score of its best candidate, and whether the design ends below it."""
    best = result.best_of_screen
    if best is None:
        return None
    return {
        "folder": str(result.screen_folder),
        "best": best.point.recipe.number,
        "score": best.point.evaluation.standing.score,
        "ends_worse": result.is_worse,
    }
