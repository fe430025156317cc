"""The files of an explained CD: JSON, extxyz with a column of contributions, and a coloured view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clusterml.engine.contributions import UNIT, Contributions
from clusterml.errors import counted
from clusterml.io.display import Markup, tag
from clusterml.io.files import make_folder, write_text
from clusterml.io.json import write_json
from clusterml.screening.page.figures import picture
from clusterml.screening.page.markup import page, table, viewer
from clusterml.screening.page.tables import number
from clusterml.spectrum.plot import draw
from clusterml.structure.picture import element_colours, signed_colours
from clusterml.structure.write import extxyz


def write_explained(contributions: Contributions, folder: str | Path, name: str) -> list[Path]:
    """Write ``NAME_contributions.extxyz``, ``.html`` and, last, ``.json`` into ``folder``; returns the paths.

    Raises :class:`~clusterml.errors.OutputError`.
    """
    stem = make_folder(folder) / f"{name}_contributions"
    return [
        write_text(stem.with_name(f"{stem.name}.extxyz"), _extxyz_with_contributions(contributions)),
        write_text(
            stem.with_name(f"{stem.name}.html"),
            page(contributions.title, _body(contributions), ("molecule.js", "table.js")),
        ),
        write_json(contributions.to_dict(), stem.with_name(f"{stem.name}.json")),
    ]


def _extxyz_with_contributions(contributions: Contributions) -> str:
    """The structure as extended xyz, with contributions (L mol-1 cm-1 eV) behind the coordinates."""
    std = np.zeros_like(contributions.per_atom) if contributions.per_atom_std is None else contributions.per_atom_std
    count, comment, *rows = extxyz(contributions.atoms).removesuffix("\n").split("\n")
    columns = "pos:R:3:contribution:R:1:contribution_std:R:1"
    lines = (f"{row} {a:16.8e} {b:16.8e}" for row, a, b in zip(rows, contributions.per_atom, std, strict=True))
    return "\n".join([count, comment.replace("pos:R:3", columns, 1), *lines]) + "\n"


def _body(contributions: Contributions) -> Iterator[Markup]:
    atoms = contributions.atoms
    yield tag("h1", contributions.title)
    yield tag(
        "p",
        f"{contributions.method}, charge {contributions.charge:+d}, {counted(len(atoms), 'atom')}",
        class_="soft",
    )
    yield from (tag("p", tag("span", warning, class_="flag warn")) for warning in contributions.warnings)
    total = f"{number(contributions.total.value, contributions.significance.std)} {UNIT} ({contributions.verdict})"
    agree = "; their ± is that of the networks, which says how far they agree; that of the integral is calibrated"
    yield tag("p", f"Integral of the CD: {total}. The parts add up to it{agree if contributions.total.std else ''}.")
    yield table(("part", "atoms", f"contribution / {UNIT}", "per atom"), _rows(contributions), class_="sortable")
    yield tag("h2", "Contributions of atoms")
    yield _scale(contributions)
    yield _view(contributions)
    yield tag("h2", "Spectrum")
    marks = {"delta_epsilon": (contributions.low_ev, contributions.high_ev)}
    yield picture(draw([contributions.spectrum], marks=marks), "spectrum with the band")


def _rows(contributions: Contributions) -> Iterator[list[Markup]]:
    for name, part in contributions.parts.items():
        values = (str(len(part.atoms)), number(part.value, part.std), f"{part.value / len(part.atoms):.4g}")
        keys = (str(len(part.atoms)), repr(part.value), repr(part.value / len(part.atoms)))
        cells = (tag("td", value, class_="n", data_v=key) for value, key in zip(values, keys, strict=True))
        yield [tag("td", name), *cells]


def _view(contributions: Contributions) -> Markup:
    atoms = contributions.atoms
    std = [None] * len(atoms) if contributions.per_atom_std is None else contributions.per_atom_std.tolist()
    part_of = {int(k): name for name, part in contributions.parts.items() for k in part.atoms}
    notes = [f"{number(v, s)} ({part_of[k]})" for k, (v, s) in enumerate(zip(contributions.per_atom, std, strict=True))]
    colours = {
        "contribution": signed_colours(contributions.per_atom, _reach(contributions)),
        "element": element_colours(atoms),
    }
    return viewer(atoms, "molecule", colours, notes, large=True)


def _scale(contributions: Contributions) -> Markup:
    reach = _reach(contributions)
    steps = ",".join(signed_colours(np.linspace(-reach, reach, 9), reach))
    bar = tag("i", style=f"background:linear-gradient(90deg,{steps})")
    return tag("div", f"-{reach:.3g}", bar, f"+{reach:.3g} {UNIT}", class_="scale")


def _reach(contributions: Contributions) -> float:
    return float(np.abs(contributions.per_atom).max())
