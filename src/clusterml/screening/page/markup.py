"""Pages of reports: tables, data for scripts, and structures in the form that the page's viewer needs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.io.display import Markup, joined, tag
from clusterml.io.json import plain
from clusterml.structure.bonds import bonds
from clusterml.structure.picture import atom_radii, broadside

if TYPE_CHECKING:
    from ase import Atoms


_DATA = files(__package__) / "data"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""A page may fetch nothing at all: its pictures, styles and scripts are inside."""
_MARK = re.compile("<[^>]*>")


def table(headings: Sequence[object], rows: Iterable[Sequence[object]], class_: str | None = None) -> Markup:
    """A table; a heading or cell that is an element ``th`` or ``td`` already stays as it is.

    Each cell knows its heading, which stands before it where a screen is too narrow for columns.
    """
    head = tag("thead", tag("tr", *(_cell("th", heading) for heading in headings)))
    names = [
        _MARK.sub("", heading) if isinstance(heading, Markup) else html.escape(str(heading)) for heading in headings
    ]
    body = (tag("tr", *(_cell_with_heading(cell, name) for cell, name in zip(row, names, strict=True))) for row in rows)
    return tag("div", tag("table", head, tag("tbody", *body), class_=class_), class_="wide")


def data_block(name: str, value: Any) -> Markup:
    """Plain values for the page's scripts, as JSON that cannot end the script it is in."""
    text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
    safe = Markup(text.replace("<", "\\u003c"))
    return tag("script", safe, type="application/json", id=name)


def page(title: str, body: Iterable[object], scripts: Sequence[str]) -> str:
    """The whole page; ``scripts``: names of files in ``data`` that run at its end."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(_read("style.css"))),
    )
    code = (tag("script", Markup(_read(script))) for script in scripts)
    return f'<!DOCTYPE html>\n<html lang="en">{head}{tag("body", tag("main", *body), *code)}</html>\n'


def _cell_with_heading(cell: object, heading: str) -> Markup:
    """A cell that knows its ``heading`` (escaped)."""
    return Markup(_cell("td", cell).replace("<td", f'<td data-h="{heading}"', 1))


def _cell(kind: str, content: object) -> Markup:
    return content if isinstance(content, Markup) and content.startswith(f"<{kind}") else tag(kind, content)


def _read(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")


Colours = Sequence[str]
"""A colour #rrggbb for each atom."""


def viewer(
    atoms: Atoms, name: str, colours: Mapping[str, Colours], notes: Sequence[str] | None = None, large: bool = False
) -> Markup:
    """A view of ``atoms``; ``name`` is its id on the page, ``colours``: ways to colour the atoms, the first one at the
    start; ``notes``: text for each atom, behind its label."""
    numbers, positions = np.asarray(atoms.numbers), broadside(np.asarray(atoms.positions))
    pairs = bonds(np.asarray(numbers, dtype=np.int64), np.asarray(atoms.positions, dtype=np.float64))
    radii = atom_radii(atoms)
    labels = [f"{symbol}{number}" for number, symbol in enumerate(atoms.get_chemical_symbols(), start=1)]
    content = {
        "positions": np.round(positions, 3).ravel(),
        "bonds": np.stack([pairs.first, pairs.second], axis=1).ravel(),
        "radii": np.round(radii, 3),
        "reach": float((np.linalg.norm(positions, axis=1) + radii).max()),
        "labels": labels if notes is None else [f"{a}: {b}" for a, b in zip(labels, notes, strict=True)],
        "colours": dict(colours),
    }
    choice: list[Markup] = []
    if len(colours) > 1:
        options = (tag("option", scheme, value=scheme) for scheme in colours)
        choice = [tag("select", *options, class_="choice", aria_label="colours")]
    words = (
        f"three-dimensional view of {atoms.info.get('name', 'a structure')}; arrow keys turn it, plus and minus zoom"
    )
    canvas = tag("canvas", tabindex="0", role="img", aria_label=words)
    tip = tag("div", "drag to turn; click, then wheel to zoom", class_="tip")
    box = tag("div", canvas, tip, *choice, class_="view large" if large else "view", data_of=name)
    return joined([box, data_block(name, content)])
