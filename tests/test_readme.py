"""The README promises only what works: its Python runs, its commands and options exist, its links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clusterml.cli.main import Globals, app

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def small(tmp_path) -> Path:
    """A small molecule in place of the example, which takes too long here."""
    data = json.loads((ROOT / "tests" / "data" / "stda" / "agsch3.json").read_text())
    rows = [f"{s} {x} {y} {z}" for s, (x, y, z) in zip(data["symbols"], np.array(data["xyz_angstrom"]), strict=True)]
    path = tmp_path / "small.xyz"
    path.write_text("\n".join([str(len(rows)), "charge=0", *rows]) + "\n")
    return path


def test_python_runs(small, tmp_path):
    (code,) = blocks("python")
    shortened = code.replace("datasets/examples/ag29_model.cif", str(small)).replace("charge=-3", "charge=0")
    assert shortened.count(str(small)) == 1
    assert "charge=0" in shortened
    subprocess.run([sys.executable, "-W", "error", "-c", shortened], cwd=tmp_path, check=True, timeout=120)
    assert (tmp_path / "ag29.png").stat().st_size > 10_000
    assert (tmp_path / "ag29.csv").is_file()


def test_commands_and_options_exist():
    commands = [line.split() for block in blocks("bash") for line in block.splitlines() if line.startswith("clusterml")]
    verbs = {"inspect", "label", "chirality", "compare", "build", "complete", "relax", "distort", "substitute"}
    verbs |= {"predict", "train", "evaluate", "models", "screen", "explain", "design", "dataset"}
    assert {command[1] for command in commands} == verbs
    for command in commands:
        verb = command[1:3] if command[1] == "dataset" else command[1:2]
        shown = CliRunner().invoke(app, [*verb, "--help"], obj=Globals()).output
        words = [word.split("=")[0] for word in command if word.startswith("-")]
        for option in (word for word in words if not word[1:2].isdigit()):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), f"{option} of {command}"


def test_scripts_and_links_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT) + re.findall(r"\./(scripts/\w+)", TEXT)
    assert len(targets) >= 6
    assert [target for target in targets if not (ROOT / target).exists()] == []
