"""Run the notebooks of the documentation anew and keep what they show: python scripts/make_notebooks.py [NAME ..].

Each runs in an empty folder, so that it has to do with what is installed.  Edit a notebook in Jupyter or by hand, then
run this; what is committed has no times, no names of machines, and nothing that two runs would not share.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
SECONDS = 600
"""A cell that takes longer is stopped."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_KEPT = ("image/png", "text/html", "text/plain")


def run(path: Path) -> Any:
    """The notebook at ``path``, executed; raises ``nbclient.exceptions.CellExecutionError`` where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    inline = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline", "NO_COLOR": "1"}
    with TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": folder}})
        client.execute(env=inline)
    return cleaned(notebook)


def cleaned(notebook: Any) -> Any:
    """``notebook`` without what differs between two runs, and with one form of each output."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells, start=1):
        cell.metadata, cell["id"] = {}, f"cell-{number}"
        for output in cell.get("outputs", []):
            output.pop("metadata", None)
            if "data" in output:
                output.metadata = {}
                output.data = {kind: _ADDRESS.sub("", output.data[kind]) for kind in _KEPT if kind in output.data}
    return notebook


def main(names: list[str]) -> None:
    """Run the notebooks called ``names``, or all."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if not names or path.stem in names:
            nbformat.write(run(path), path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
