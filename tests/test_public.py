"""The names of the package: complete, listed, imported on first use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import clusterml
import clusterml.errors

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


ATOMS = clusterml.build("ag3", thiolate="SH")
SPECTRUM = clusterml.Spectrum([2.0, 3.0, 4.0], [1e4, 2e4, 1e4], [5.0, -20.0, 0.0])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: clusterml.predict([ATOMS, ATOMS]), "a list is not one structure .*Predictor"),
        (lambda: clusterml.predict(["x.xyz"]), "a list is not one structure .*Predictor"),
        (lambda: clusterml.label([ATOMS]), "a list is not one structure .*one by one"),
        (lambda: clusterml.find_consensus(None), "a NoneType is not one structure"),
        (lambda: clusterml.inspect(["x.xyz"]), "a list is not a path"),
        (lambda: clusterml.read(ATOMS), "an Atoms is not a path"),
        (lambda: clusterml.chirality_report([ATOMS]), "a list is not one structure .*chirality_batch"),
        (lambda: clusterml.chirality_report("x.xyz"), r"a str is not one structure .*read\(FILE\)"),
        (lambda: clusterml.anatomy([ATOMS]), "a list is not one structure"),
        (lambda: clusterml.relax([ATOMS]), "a list is not one structure"),
        (lambda: clusterml.distort([ATOMS], "breathing", 0.1), "a list is not one structure"),
        (lambda: clusterml.substitute([ATOMS], "SH", "SCH3", rng=None), "a list is not one structure"),
        (lambda: clusterml.complete([ATOMS], thiolate="SH", carboxylate="HCOO"), "a list is not one structure"),
        (lambda: clusterml.explain("ag-quick-v1", ATOMS, 4.0, 5.0), "a str is not a Predictor"),
        (lambda: clusterml.label_contributions(ATOMS, 4.0, 5.0), "an Atoms is not a label"),
        (lambda: clusterml.compare("a.json", SPECTRUM), "a str is not a spectrum .*read_spectrum"),
        (lambda: clusterml.compare(SPECTRUM, [SPECTRUM]), "a list is not a spectrum"),
    ],
)
def test_what_is_of_another_kind_is_refused_by_its_type(call, says):
    with pytest.raises(clusterml.errors.OptionError, match=says):
        call()


def test_a_predictor_refuses_what_is_no_structure():
    predictor = clusterml.Predictor.load("ag-quick-v1")
    for what, says in (
        ([ATOMS, 3], "an int is not one"),
        ([[ATOMS]], "a list is not one"),
        (None, "a NoneType is not"),
    ):
        with pytest.raises(clusterml.errors.OptionError, match=says):
            predictor(what)
    with pytest.raises(clusterml.errors.OptionError, match="a list is not one structure"):
        clusterml.explain(predictor, [ATOMS], 4.0, 5.0)
