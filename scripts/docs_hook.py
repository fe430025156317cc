"""What mkdocs asks while it builds the pages: roles of reStructuredText in docstrings are shown as plain names."""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):<code>~?(?:clusterml\.(?:\w+\.)*)?([^<]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """``html`` of a page with ``:class:`clusterml.errors.InputFileError` `` shown as ``InputFileError``."""
    return _ROLE.sub(r"<code>\1</code>", html)
