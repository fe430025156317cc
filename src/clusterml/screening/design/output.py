"""The folder of a design: the path as a trajectory, the best end with its spectra, everything as JSON, and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clusterml.screening.design.page import design_page
from clusterml.screening.design.path import Designed
from clusterml.screening.labels import Verified
from clusterml.screening.output import SPECTRA, provenance_of
from clusterml.spectrum.files import make_folder, write_text
from clusterml.spectrum.jsonio import SCHEMA_VERSION, write_json
from clusterml.structure.distort.frames import write_frames
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.verify import compare

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
