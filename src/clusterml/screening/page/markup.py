"""HTML put together so that nothing can be forgotten to escape: whatever is not :class:`Markup` is text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from clusterml.printable import printable
from clusterml.spectrum.jsonio import plain

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
