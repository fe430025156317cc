"""The reference pages are what the code says, and the site is told of every page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import browser, script_module

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def make_docs():
    with script_module("make_docs") as module:
        yield module


@pytest.mark.parametrize("page", ["api", "commands", "conventions", "options"])
def test_generated_parts_are_current(make_docs, page):
    text = (DOCS / "reference" / f"{page}.md").read_text()
    assert "<!-- generated: " in text
    assert make_docs.renewed(text) == text, "run python scripts/make_docs.py"


def test_keys_of_a_configuration_have_type_default_and_meaning(make_docs):
    page = (DOCS / "reference" / "options.md").read_text()
    assert "| `verify_random` | whole number | `0` |" in page
    assert "| `betas` | 2 numbers | `[0.9, 0.99]` |" in page
    assert "### `exchanges[].then[]`" in page
    assert make_docs.type_words(dict[str, list[int]]) == "mapping to list of whole numbers"


def test_every_option_of_a_verb_is_on_the_page_of_commands():
    page = (DOCS / "reference" / "commands.md").read_text()
    predict = page.split("## `predict`")[1].split("\n## ")[0]
    assert "| `--engine` | `auto`, `never`, `always` | `auto` |" in predict
    assert "| `--hydrogens`, `--no-hydrogens` | on or off |" in predict


def test_the_site_has_every_page():
    named = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = [*DOCS.rglob("*.md"), *(notebook.with_suffix(".md") for notebook in DOCS.rglob("*.ipynb"))]
    assert named == {str(page.relative_to(DOCS)) for page in pages}


def test_pictures_are_small_and_shown():
    shown = "\n".join(page.read_text() for page in [ROOT / "README.md", *DOCS.rglob("*.md")])
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size < 80_000, picture.name
        assert f"images/{picture.name}" in shown, picture.name


@pytest.mark.slow
def test_the_site_searches_from_the_disk_and_fetches_nothing(tmp_path):
    driver = pytest.importorskip("playwright.sync_api")
    path = browser()
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    subprocess.run(build, cwd=ROOT, check=True, timeout=300, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    asked: list[str] = []
    with driver.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = opened.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "site" / "notebooks" / "cif-to-spectrum.html").as_uri())
        page.keyboard.press("/")
        page.keyboard.type("continuous chirality measure")
        page.locator(".md-search-result__item").first.wait_for(timeout=60_000)
        assert page.locator(".md-search-result__item").count() > 1
        assert page.locator("article.md-content__inner h1").first.inner_text().startswith("From a CIF")
        opened.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
