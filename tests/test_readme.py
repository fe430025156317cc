"""The pages for users promise only what works: Python runs, commands and options exist, links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from clusterml.cli.main import Globals, app
from clusterml.io.shipped import PREFIX, locate

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README, QUICKSTART, INDEX = ROOT / "README.md", DOCS / "quickstart" / "crystallographer.md", DOCS / "index.md"
PAGES = sorted([README, *DOCS.rglob("*.md"), *(ROOT / "datasets").glob("*/README.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FLAGS = re.MULTILINE | re.DOTALL
FENCE = r"^```\w*\n(.*?)^```"
EXAMPLE, MEASURED = "datasets/examples/ag29_model.cif", "datasets/examples/ag29_invented_jasco.txt"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), FLAGS)


def commands(page: Path) -> list[list[str]]:
    """Words after ``clusterml`` of every command on a page, in blocks and in the text, without brackets."""
    text = page.read_text()
    lines = [line for block in re.findall(FENCE, text, FLAGS) for line in block.splitlines()]
    lines += re.findall(r"`(clusterml [^`]+)`", text)
    plain = [re.sub(r" #.*|[\[\]]", "", line).split() for line in lines]
    return [words[1:] for words in plain if words[:1] == ["clusterml"] and words[1:2] not in (["VERB"], [".."])]


@lru_cache
def help_of(*verb: str) -> str:
    shown = CliRunner().invoke(app, [*verb, "--help"], obj=Globals())
    assert shown.exit_code == 0, verb
    return shown.output


def anchors(page: Path) -> set[str]:
    """Names of the sections of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def small(tmp_path) -> Path:
    """A small molecule in place of the example, which takes too long here."""
    data = json.loads((ROOT / "tests" / "data" / "engine" / "agsch3.json").read_text())
    rows = [f"{s} {x} {y} {z}" for s, (x, y, z) in zip(data["symbols"], np.array(data["xyz_angstrom"]), strict=True)]
    path = tmp_path / "small.xyz"
    path.write_text("\n".join([str(len(rows)), "charge=0", *rows]) + "\n")
    return path


def run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        check=False,
        timeout=240,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_of_the_readme_runs(small, tmp_path):
    (code,) = blocks(README, "python")
    shortened = code.replace(PREFIX + EXAMPLE, str(small)).replace("charge=-3", "charge=0")
    assert shortened.count(str(small)) == shortened.count("charge=0") == 1
    assert MEASURED in shortened
    shown = run(shortened, tmp_path)
    assert "absorption cosine" in shown  # a molecule with a mirror plane has no CD
    picture = imread(tmp_path / "ag29.png")[..., :3]
    assert 0.01 < (picture < 0.5).any(axis=-1).mean() < 0.5  # curves and words on a white ground
    assert (tmp_path / "ag29.csv").is_file()


def test_python_of_the_quickstart_runs(small, tmp_path):
    (code,) = blocks(QUICKSTART, "python")
    shortened = code.replace("mycluster.cif", str(small)).replace("measured.txt", str(ROOT / MEASURED))
    assert shortened.count(str(tmp_path)) == shortened.count(str(ROOT / MEASURED)) == 1
    assert "absorption cosine" in run(shortened, tmp_path)


def test_the_first_pages_show_commands():
    assert {words[0] for words in commands(README)} >= {"inspect", "predict", "compare", "chirality"}
    assert {words[0] for words in commands(QUICKSTART)} == {"inspect", "predict", "compare"}


def test_python_of_the_engine_runs(small, tmp_path):
    (code,) = blocks(DOCS / "guide" / "spectra.md", "python")
    shown = run(code.replace("mycluster.xyz", str(small)).replace("charge=-3", "charge=0"), tmp_path)
    assert "absorption" in shown
    assert (tmp_path / "mycluster.png").is_file()


SAID = re.compile(r"^print\(.*\)  # (.+)$", re.MULTILINE)
"""What stands behind a line of a page is what it prints."""
QUIET = "import warnings\nwarnings.filterwarnings('ignore', '.*torch.jit.script', DeprecationWarning)\n"
"""PyTorch Geometric warns when it is imported."""


@pytest.mark.slow
@pytest.mark.parametrize("screens", [False, True])
def test_python_of_other_libraries_prints_what_it_says(screens, outputs, tmp_path):
    every = blocks(DOCS / "guide" / "python-libraries.md", "python")
    chosen = [block for block in every if ("cm.screen" in block) is screens]
    assert len(chosen) == (1 if screens else 7)
    (tmp_path / "calc.log").write_text(outputs.gaussian())
    code = "\n".join(f"exec({block!r}, {{}})" for block in chosen)
    shown = run(QUIET + code, tmp_path)
    assert shown.splitlines() == [said for block in chosen for said in SAID.findall(block)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_options_exist(page):
    for words in commands(page):
        count = 0 if words[0].startswith("-") else 2 if words[0] == "dataset" and words[1:2] != ["--help"] else 1
        options = [part for word in words if re.match(r"--?[a-z]", word) for part in word.split("=")[0].split("|")]
        for option in options:
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_of(*words[:count])), f"{option}: {words}"
        for word in words:
            if word.startswith(PREFIX) and word != f"{PREFIX}NAME":
                assert locate(word).exists()


def test_the_table_of_verbs_is_complete():
    table = README.read_text().split("| `clusterml ..`")[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z]+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:])))
    listed = CliRunner().invoke(app, ["--help"], obj=Globals()).output.split("Commands:")[1]
    assert named == set(re.findall(r"^  ([a-z]+) ", listed, flags=re.MULTILINE))


def test_the_readme_fits_on_a_page_and_names_the_scripts():
    text = README.read_text()
    assert len(text.splitlines()) <= 130
    assert set(re.findall(r"\./scripts/(\w+)", text)) == {"setup", "demo", "test"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)  # SMILES look like links
    for target_name, anchor in LINK.findall(prose):
        target = page.parent / target_name if target_name else page
        assert target.exists(), target_name
        assert not anchor or anchor in anchors(target), f"{target_name}#{anchor}"


def test_the_index_lists_every_page_for_users():
    linked = {(INDEX.parent / linked_name).resolve() for linked_name, _ in LINK.findall(INDEX.read_text())}
    for_users = {page for page in DOCS.rglob("*.md") if page.parent.name != "dev"}  # those are in the menu
    assert for_users - {INDEX} <= linked


def test_the_invented_measurement_says_what_it_is():
    head = (ROOT / MEASURED).read_text()[:200]
    assert "INVENTED, no measurement" in head
