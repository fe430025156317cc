"""The example in the docstring of each public function and class runs, and prints what it says."""

from __future__ import annotations

import doctest
import inspect

import pytest

import clusterml as cm

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
RESULTS = {
    "Anatomy",
    "Answer",
    "BatchChirality",
    "ChiralityReport",
    "Comparison",
    "Contributions",
    "Inspection",
    "Label",
}
"""What a function returns; the function has the example."""
NAMES = sorted(set(cm.__all__) - RESULTS - {"__version__", "Prediction"})


@pytest.mark.parametrize("name", NAMES)
def test_the_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(getattr(cm, name))
    example = doctest.DocTestParser().get_doctest(text, {}, f"cm.{name}", None, None)
    assert example.examples, "give its docstring an example"
    assert f"cm.{name}" in text.split(">>>", 1)[1]
    told: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=told.append)
    assert not told, "".join(told)
