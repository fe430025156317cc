"""HTML put together so that nothing can be forgotten to escape, and structures as the page's viewer wants them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import printable
from clusterml.io.json import plain
from clusterml.structure.bonds import bonds
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms


_DATA = files(__package__) / "data"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""A page may fetch nothing at all: its pictures, styles and scripts are inside."""
_VOID = ("img", "meta")
_MARK = re.compile("<[^>]*>")


class Markup(str):
    """A piece of HTML that is right as it is."""

    __slots__ = ()


def tag(name: str, *parts: object, **attributes: object) -> Markup:
    """An element; ``parts`` that are no :class:`Markup` are escaped.

    ``class_`` stands for ``class`` and ``data_v`` for ``data-v``; attributes that are None are left out.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{html.escape(printable(str(value)))}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if name in _VOID else f"{start}{joined(parts)}</{name}>")


def joined(parts: Iterable[object]) -> Markup:
    """Several parts one after the other."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(printable(str(part))) for part in parts))


def table(headings: Sequence[object], rows: Iterable[Sequence[object]], class_: str | None = None) -> Markup:
    """A table; a heading or cell that is an element ``th`` or ``td`` already stays as it is.

    Each cell knows its heading, which stands before it where a screen is too narrow for columns.
    """
    head = tag("thead", tag("tr", *(_cell("th", heading) for heading in headings)))
    names = [
        _MARK.sub("", heading) if isinstance(heading, Markup) else html.escape(str(heading)) for heading in headings
    ]
    body = (tag("tr", *(_headed(cell, name) for cell, name in zip(row, names, strict=True))) for row in rows)
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


def _headed(cell: object, heading: str) -> Markup:
    """A cell that knows its ``heading`` (escaped)."""
    return Markup(_cell("td", cell).replace("<td", f'<td data-h="{heading}"', 1))


def _cell(kind: str, content: object) -> Markup:
    return content if isinstance(content, Markup) and content.startswith(f"<{kind}") else tag(kind, content)


def _read(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")


Colours = Sequence[str]
"""A colour #rrggbb for each atom."""
_SHARE = {"metal": 0.62, "other": 0.42}
"""Discs are drawn with this share of the covalent radius."""
_METAL = {"Ag": "#b9bec9"}  # ASE's colour of silver is nearly white


def viewer(
    atoms: Atoms, name: str, colours: Mapping[str, Colours], notes: Sequence[str] | None = None, large: bool = False
) -> Markup:
    """A view of ``atoms``; ``name`` is its id on the page, ``colours``: ways to colour the atoms, the first one at the
    start; ``notes``: text for each atom, behind its label."""
    numbers, positions = np.asarray(atoms.numbers), broadside(np.asarray(atoms.positions))
    pairs = bonds(np.asarray(numbers, dtype=np.int64), np.asarray(atoms.positions, dtype=np.float64))
    radii = _radii(atoms)
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
        options = (tag("option", each, value=each) for each in colours)
        choice = [tag("select", *options, class_="choice", aria_label="colours")]
    canvas = tag("canvas", role="img", aria_label=f"three-dimensional view of {atoms.info.get('name', 'a structure')}")
    tip = tag("div", "drag to turn, wheel to zoom", class_="tip")
    box = tag("div", canvas, tip, *choice, class_="view large" if large else "view", data_of=name)
    return joined([box, data_block(name, content)])


def element_colours(atoms: Atoms) -> list[str]:
    """Jmol's colours of the elements, silver darker."""
    from ase.data.colors import jmol_colors

    return [
        _METAL.get(symbol) or _hex(jmol_colors[number])
        for symbol, number in zip(atoms.get_chemical_symbols(), atoms.numbers, strict=True)
    ]


def signed_colours(values: FloatArray, reach: float) -> list[str]:
    """Blue for ``-reach`` over light grey for 0 to red for ``reach``, of ``values`` (n,)."""
    shares = np.clip(np.asarray(values) / reach, -1.0, 1.0) if reach > 0.0 else np.zeros(len(values))
    return [_hex(_between(float(share))) for share in shares]


def broadside(positions: FloatArray) -> FloatArray:
    """``positions`` (n, 3) centred and turned, never mirrored: the longest direction is x, the shortest one z."""
    centred = positions - positions.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return np.asarray(centred @ axes)


def _radii(atoms: Atoms) -> FloatArray:
    from ase.data import covalent_radii

    from clusterml.structure.elements import is_metal

    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    return np.asarray(covalent_radii[numbers] * np.where(is_metal(numbers), _SHARE["metal"], _SHARE["other"]))


def _between(share: float) -> FloatArray:
    zero, end = np.array([0.88, 0.88, 0.88]), np.array([0.70, 0.05, 0.12] if share > 0 else [0.02, 0.30, 0.66])
    return zero + abs(share) ** 0.7 * (end - zero)


def _hex(rgb: FloatArray) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgb)
