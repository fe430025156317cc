"""The files of an explained prediction: JSON, extxyz with a column of contributions, and a coloured view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clusterml.errors import counted
from clusterml.inference.explain import UNIT, Contributions
from clusterml.io.display import Markup, tag
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import write_json
from clusterml.screening.page.figures import picture
from clusterml.screening.page.markup import page, table, viewer
from clusterml.screening.page.tables import number
from clusterml.spectrum.plot import draw
from clusterml.structure.picture import element_colours, signed_colours
from clusterml.structure.write import extxyz


def write_explained(found: Contributions, folder: str | Path, name: str) -> list[Path]:
    """Write ``NAME_contributions.extxyz``, ``.html`` and, last, ``.json`` into ``folder``; returns the paths.

    Raises :class:`~clusterml.errors.OutputError`.
    """
    stem = make_folder(folder) / f"{name}_contributions"
    title = f"{found.prediction.name}: CD from {found.low_ev:g} to {found.high_ev:g} eV"
    return [
        write_text(stem.with_name(f"{stem.name}.extxyz"), _with_columns(found)),
        write_text(stem.with_name(f"{stem.name}.html"), page(title, _body(found, title), ("molecule.js", "table.js"))),
        write_json(found.to_dict(), stem.with_name(f"{stem.name}.json")),
    ]


def _with_columns(found: Contributions) -> str:
    """The structure as extended xyz, with contributions (L mol-1 cm-1 eV) behind the coordinates."""
    std = np.zeros_like(found.per_atom) if found.per_atom_std is None else found.per_atom_std
    count, comment, *rows = extxyz(found.prediction.atoms).removesuffix("\n").split("\n")
    columns = "pos:R:3:contribution:R:1:contribution_std:R:1"
    lines = (f"{row} {a:16.8e} {b:16.8e}" for row, a, b in zip(rows, found.per_atom, std, strict=True))
    return "\n".join([count, comment.replace("pos:R:3", columns, 1), *lines]) + "\n"


def _body(found: Contributions, title: str) -> Iterator[Markup]:
    prediction = found.prediction
    yield tag("h1", title)
    yield tag(
        "p",
        f"{prediction.model}, charge {prediction.charge:+d}, {counted(len(prediction.atoms), 'atom')}",
        class_="soft",
    )
    yield from (tag("p", tag("span", warning, class_="flag warn")) for warning in prediction.warnings)
    total = f"{number(found.total.value, found.significance.std)} {UNIT} ({found.verdict})"
    yield tag("p", f"Integral of the CD: {total}. The parts add up to it; their ± is the spread of the networks.")
    yield table(("part", "atoms", f"contribution / {UNIT}", "per atom"), _rows(found), class_="sortable")
    yield tag("h2", "Contributions of atoms")
    yield _scale(found)
    yield _view(found)
    yield tag("h2", "Spectrum")
    marks = {"delta_epsilon": (found.low_ev, found.high_ev)}
    yield picture(draw([prediction.spectrum], marks=marks), "predicted spectrum with the band")


def _rows(found: Contributions) -> Iterator[list[Markup]]:
    for name, part in found.parts.items():
        values = (str(len(part.atoms)), number(part.value, part.std), f"{part.value / len(part.atoms):.4g}")
        keys = (str(len(part.atoms)), repr(part.value), repr(part.value / len(part.atoms)))
        cells = (tag("td", value, class_="n", data_v=key) for value, key in zip(values, keys, strict=True))
        yield [tag("td", name), *cells]


def _view(found: Contributions) -> Markup:
    atoms = found.prediction.atoms
    std = [None] * len(atoms) if found.per_atom_std is None else found.per_atom_std.tolist()
    part_of = {int(k): name for name, part in found.parts.items() for k in part.atoms}
    notes = [f"{number(v, s)} ({part_of[k]})" for k, (v, s) in enumerate(zip(found.per_atom, std, strict=True))]
    colours = {"contribution": signed_colours(found.per_atom, _reach(found)), "element": element_colours(atoms)}
    return viewer(atoms, "molecule", colours, notes, large=True)


def _scale(found: Contributions) -> Markup:
    reach = _reach(found)
    steps = ",".join(signed_colours(np.linspace(-reach, reach, 9), reach))
    bar = tag("i", style=f"background:linear-gradient(90deg,{steps})")
    return tag("div", f"-{reach:.3g}", bar, f"+{reach:.3g} {UNIT}", class_="scale")


def _reach(found: Contributions) -> float:
    return float(np.abs(found.per_atom).max())
