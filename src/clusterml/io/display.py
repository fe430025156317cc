"""What notebooks and pages show: HTML put together so that nothing can be forgotten to escape, and reprs."""

from __future__ import annotations

import html
import io
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from clusterml.errors import printable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from matplotlib.figure import Figure

_VOID = ("img", "meta")
_WIDTH, _MOST_LINES = 100, 12
_MOST_NOTES = 8
_SCREEN_DPI = 90.0
_CARD = "background:#fff;color:#222;font:13px/1.4 sans-serif;padding:8px;max-width:960px"


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


def card(title: str, parts: Iterable[Markup], notes: Sequence[str] = ()) -> str:
    """What a notebook shows of an object: a title, pictures and tables beside each other, warnings below."""
    shown = [*notes[:_MOST_NOTES], *([f".. and {len(notes) - _MOST_NOTES} more"] if len(notes) > _MOST_NOTES else [])]
    below = tag("ul", *(tag("li", note) for note in shown), style="margin:4px 0;color:#8a4b00")
    beside = tag("div", *parts, style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start")
    head = tag("div", title, style="font-weight:bold;white-space:pre-line;margin-bottom:4px")
    return tag("div", head, beside, *([below] if shown else []), style=_CARD)


def small_table(rows: Iterable[Sequence[object]], headings: Sequence[object] = ()) -> Markup:
    """A table of a card."""
    style = "text-align:left;padding:1px 10px 1px 0;background:#fff;color:#222"
    head = [tag("tr", *(tag("th", heading, style=style) for heading in headings))] if headings else []
    body = [tag("tr", *(tag("td", value, style=style) for value in row)) for row in rows]
    return tag("table", *head, *body, style="border-collapse:collapse;margin:0;font:inherit;color:inherit")


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure of matplotlib, in inches, that notebooks show whether or not they have loaded pyplot."""
    return _figure_class()(figsize=(width, height), dpi=_SCREEN_DPI, **options)


def png_of(figure: Figure, dpi: float, compression: int = 1) -> bytes:
    """``figure`` as PNG; ``compression`` 1 is quick, 9 small.

    A name in a script that the font lacks is drawn as boxes: that is no reason to fail.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer, before = io.BytesIO(), figure.dpi
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        try:
            figure.dpi = dpi
            FigureCanvasAgg(figure).print_png(
                buffer, metadata={"Software": "clusterml"}, pil_kwargs={"compress_level": compression}
            )
        finally:
            figure.dpi = before
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            return png_of(self, _SCREEN_DPI, 9)

    return ShownFigure


def choices_repr(choices: DataclassInstance) -> str:
    """The repr of a data class: the fields that are not at their defaults."""
    given = [f"{f.name}={getattr(choices, f.name)!r}" for f in fields(choices) if getattr(choices, f.name) != f.default]
    return wrapped(f"{type(choices).__name__}({', '.join(given)})")


class Sentences(tuple[str, ...]):
    """Warnings: a tuple that reads well where it is printed."""

    __slots__ = ()

    def __str__(self) -> str:
        """One in a line; ``no warnings`` for none."""
        return "\n".join(self) or "no warnings"


class WithWarnings:
    """A result with ``warnings``, sentences for people.

    Examples:
        >>> import clusterml as cm
        >>> print(cm.predict(cm.build("ag3", thiolate="SH"), engine="never").warnings)
        no warnings
    """

    def __post_init__(self) -> None:
        """Let the warnings read well."""
        object.__setattr__(self, "warnings", Sentences(vars(self)["warnings"]))


def wrapped(text: str) -> str:
    """A repr that fits on a screen: at most 100 columns and 12 lines."""
    plain = printable(" ".join(text.split()))
    lines = textwrap.wrap(plain, _WIDTH, subsequent_indent="    ", max_lines=_MOST_LINES, placeholder=" ..)")
    return "\n".join(lines)
