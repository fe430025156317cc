"""What mkdocs asks while it builds the pages: docstrings are written for the source, and shown as HTML likes them;
notebooks become pages, with what they showed when they were run."""

from __future__ import annotations

import html as markup
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):<code>~?(?:clusterml\.(?:\w+\.)*)?([^<]+)</code>")
_PARAGRAPH = re.compile(r"<p>([^<]*(?:<code>[^<]*</code>[^<]*)*)</p>")
_ENTRY = re.compile(r"^([a-z]\w*(?:, [a-z]\w*)*) {2,}", re.MULTILINE)

_NOTEBOOK_LINK = re.compile(r"\]\((?!https?:)([^)\s#]+)\.ipynb(#[^)\s]*)?\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """``files`` with a page for each notebook, which can be downloaded beside it."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            page = notebook_page(Path(file.abs_src_path or ""))
            files.append(File.generated(config, file.src_uri.replace(".ipynb", ".md"), content=page))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """``markdown`` whose links to notebooks lead to their pages; in the repository they lead to the notebooks."""
    return _NOTEBOOK_LINK.sub(lambda link: f"]({link[1]}.md{link[2] or ''})", markdown)


def notebook_page(path: Path) -> str:
    """The Markdown of a notebook: its text, its code, and what that showed."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [part for cell in cells for part in _cell_parts(cell)]
    download = f'*This page is a notebook:* <a href="{path.name}" download>download it</a>.'
    return "\n\n".join([parts[0], download, *parts[1:]]) + "\n"


def _cell_parts(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        shown = _output(output)
        if shown:
            yield f'<div class="output">{shown}</div>'


def _output(output: dict[str, Any]) -> str:
    """HTML of an output, in one line: the richest form that it has."""
    data = {kind: "".join(content) for kind, content in output.get("data", {}).items()}
    if "text/html" in data:
        return re.sub(r"\s*\n\s*", " ", data["text/html"])
    if "image/png" in data:
        return f'<img alt="what the code draws" src="data:image/png;base64,{"".join(data["image/png"].split())}">'
    text = data.get("text/plain") or "".join(output.get("text", ""))
    return f"<pre>{markup.escape(text.rstrip()).replace(chr(10), '&#10;')}</pre>" if text.strip() else ""


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
