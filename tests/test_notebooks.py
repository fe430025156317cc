"""The notebooks of the documentation: run to their end, small, and what they show is what they show when run anew."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path

import pytest

from helpers import script_module

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#[^)\s]+)?\)")
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def cells(path: Path, kind: str = "code") -> list[dict]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def text_of(outputs: list[dict]) -> str:
    """What a cell shows as text, and of which kinds its outputs are."""
    shown = []
    for output in outputs:
        data = output.get("data", {})
        shown.append(f"[{' '.join(sorted(data))}]" if data else f"[{output['name']}]")
        shown.append("".join(data.get("text/plain", output.get("text", ""))))
    return "\n".join(shown)


def differences(old: str, new: str, relative: float = 0.05, smallest: float = 1.0) -> list[str]:
    """Words that differ, and numbers that are apart by more than rounding on another machine makes them."""
    words = [NUMBER.sub("#", text).split() for text in (old, new)]
    if words[0] != words[1]:
        return [f"{old!r} is now {new!r}"]
    pairs = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
    return [
        f"{a} is now {b} in {old!r}"
        for a, b in pairs
        if not math.isclose(float(a), float(b), rel_tol=relative, abs_tol=smallest if "." not in a else 0.02)
    ]


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ["cif-to-spectrum", "screen-and-design"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_was_run_in_order(path):
    assert path.stat().st_size < 400_000
    for number, cell in enumerate(cells(path), start=1):
        assert cell["execution_count"] == number
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
            for picture in output.get("data", {}).get("image/png", "").split():
                assert len(base64.b64decode(picture)) < 90_000
        assert max(map(len, "".join(cell["source"]).splitlines())) <= 86  # longer lines are cut on the page
    for place in ("/work/", "/tmp/", "/home/", " at 0x"):
        assert place not in path.read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path):
    texts = ["".join(cell["source"]) for cell in cells(path, "markdown")]
    assert texts[0].startswith("# ")
    linked = [target for text in texts for target in LINK.findall(text)]
    assert len(linked) > 3
    for target in linked:
        assert (path.parent / target).is_file(), target


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_page_of_a_notebook_has_text_code_and_what_it_showed(path):
    with script_module("make_docs_hook") as hook:
        page = hook.notebook_page(path)
        assert hook.on_page_markdown("[a](../notebooks/x.ipynb#b) [c](d.md)") == "[a](../notebooks/x.md#b) [c](d.md)"
    assert page.startswith("# ")
    assert f'<a href="{path.name}" download>' in page
    assert page.count("```python\n") == len(cells(path))
    shown = re.findall(r'^<div class="output">.*</div>$', page, re.MULTILINE)
    assert len(shown) == sum(len(cell["outputs"]) for cell in cells(path))
    assert sum("<img alt=" in output for output in shown) == 1


def test_what_counts_as_a_difference():
    assert differences("cosine 0.982 at 365 nm", "cosine 0.979 at 366 nm") == []
    assert differences("cosine 0.98", "cosine 0.88") == ["0.98 is now 0.88 in 'cosine 0.98'"]
    assert differences("hand: same", "hand: opposite") == ["'hand: same' is now 'hand: opposite'"]
    assert differences("cd_at: 147", "cd_at: -147")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_the_same_when_run_anew(path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    with script_module("make_notebooks") as script:
        again = script.run(path)
    shown = [cell for cell in again.cells if cell.cell_type == "code"]
    changed = [
        difference
        for old, new in zip(cells(path), shown, strict=True)
        for difference in differences(text_of(old["outputs"]), text_of(new.outputs))
    ]
    assert not changed, "run python scripts/make_notebooks.py, and read the notebook again: " + "; ".join(changed)
