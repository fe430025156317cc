"""Options that verbs share: every verb that reads structures reads them in the same way."""

from __future__ import annotations

from dataclasses import fields
from typing import get_type_hints

import pytest
import typer

from clusterml.cli.main import app
from clusterml.structure.options import ReadKeywords, ReadOptions

VERBS = ("chirality", "complete", "distort", "explain", "inspect", "label", "predict", "relax", "substitute")


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_read_with_the_same_options(verb):
    command = typer.main.get_command(app).commands[verb]
    options = {parameter.name: parameter for parameter in command.params}
    reference = {p.name: p for p in typer.main.get_command(app).commands["predict"].params}
    for field in fields(ReadOptions):
        assert options[field.name].default == field.default
        assert options[field.name].help == reference[field.name].help


def test_keywords_are_the_fields():
    names = {field.name for field in fields(ReadOptions)}
    assert names == set(get_type_hints(ReadKeywords))
    assert get_type_hints(ReadKeywords) == get_type_hints(ReadOptions)


def test_explain_reads_what_predict_reads(run, tmp_path):
    """Both refuse the same file for the same reason and accept it with the same option."""
    path = tmp_path / "two.xyz"
    path.write_text("4\n\nAg 0 0 0\nS 2.4 0 0\nH 2.7 1.3 0\nHe 0 0 9\n")
    for verb, more in (("predict", ()), ("explain", ("--band", "2..3"))):
        assert "2 separate molecules" in run(verb, str(path), *more).err
        accepted = run(verb, str(path), *more, "--allow-several", "--charge", "0", "--json").err
        assert "separate molecules" not in accepted


@pytest.mark.parametrize(
    "words",
    [("predict", "x.xyz", "--ensemble", "8"), ("label", "x.xyz", "--ensemble", "8"), ("dataset", "split", "data"),
     ("dataset", "verify", "data")],
)  # fmt: skip
def test_no_seed_is_negative(run, words):
    done = run(*words, "--seed", "-1")
    assert done.code == 2
    assert "Invalid value for '--seed'" in done.err
