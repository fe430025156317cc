"""The names of the package: complete, listed, imported on first use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import clusterml

ROOT = Path(__file__).resolve().parents[1]


def test_every_name_is_there():
    assert clusterml.__all__ == sorted(clusterml.__all__, key=lambda name: (name[0].islower(), name))
    for name in clusterml.__all__:
        assert getattr(clusterml, name) is not None
    assert set(clusterml.__all__) - {"__version__"} == set(clusterml._HOMES)


def test_dir_lists_them_and_nothing_else():
    listed = dir(clusterml)
    assert {name for name in listed if not name.startswith("__")} == set(clusterml.__all__) - {"__version__"}
    assert "__doc__" in listed


def test_everything_can_be_imported_at_once():
    names: dict[str, object] = {}
    exec("from clusterml import *", names)
    assert set(clusterml.__all__) <= set(names)
    assert callable(names["chirality_report"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("predictor", "Predictor"),
        ("lable", "label"),
        ("reed", "read"),
        ("compleat", "complete"),
        ("distorts", "distort"),
    ],
)
def test_a_mistyped_name_is_corrected(name, hint):
    with pytest.raises(AttributeError, match=rf"has no attribute '{name}'; did you mean '{hint}'\?"):
        getattr(clusterml, name)


def test_other_names_are_not_guessed():
    with pytest.raises(AttributeError, match=r"has no attribute 'quux'$"):
        getattr(clusterml, "qu" + "ux")
    assert not hasattr(clusterml, "__wrapped__")


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
)
def test_the_docs_use_names_that_exist(page):
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), flags=re.M | re.S))
    used = re.sub(r"^(from|import) .*", "", code, flags=re.M)
    for name in re.findall(r"(?<![\w./])clusterml\.(\w+)", used):
        getattr(clusterml, name)
    for module, names in re.findall(r"^from (clusterml[\w.]*) import ([\w, ]+)", code, flags=re.M):
        imported = __import__(module, fromlist=["_"])
        for name in names.split(","):
            getattr(imported, name.strip())
