"""What mkdocs asks while it builds the pages: docstrings are written for the source, and shown as HTML likes them."""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):<code>~?(?:clusterml\.(?:\w+\.)*)?([^<]+)</code>")
_PARAGRAPH = re.compile(r"<p>([^<]*(?:<code>[^<]*</code>[^<]*)*)</p>")
_ENTRY = re.compile(r"^([a-z]\w*(?:, [a-z]\w*)*) {2,}", re.MULTILINE)


def on_page_content(html: str, **_: Any) -> str:
    """``html`` of a page with roles as plain names, and columns of names and meanings as lists."""
    return _PARAGRAPH.sub(_listed, _ROLE.sub(r"<code>\1</code>", html))


def _listed(paragraph: re.Match[str]) -> str:
    """A paragraph of lines ``name   meaning`` as a list; any other one as it is."""
    entries = list(_ENTRY.finditer(paragraph[1]))
    if len(entries) < 2 or entries[0].start() != 0:
        return paragraph[0]
    ends = [*(entry.start() for entry in entries[1:]), len(paragraph[1])]
    items = (
        f"<li><code>{entry[1]}</code>: {paragraph[1][entry.end() : end].strip()}</li>"
        for entry, end in zip(entries, ends, strict=True)
    )
    return f"<ul>{''.join(items)}</ul>"
