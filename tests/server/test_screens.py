"""Screens over HTTP: the files that their keys name are those that were sent along."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterml.errors import OptionError
from clusterml.server.requests import NamedText
from clusterml.server.screens import ScreenRequest

SCREEN = {"name": "rings", "parents": {"a": {"build": {"name": "ag3"}}}, "objectives": [{"max_g": "3..5 eV"}]}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"library": ["x.yaml"]}, r"config\.library is \['x\.yaml'\]"),
        ({"library": {}}, r"config\.library is \{\}"),
        ({"parents": {"a": {"file": {}}}}, r"config\.parents\.a\.file is \{\}"),
        ({"parents": {"a": {"file": 3}}}, r"config\.parents\.a\.file is 3"),
        ({"objectives": [{"similar_to": ["x.csv"]}]}, r"config\.objectives\.0\.similar_to is \['x\.csv'\]"),
    ],
)
def test_a_key_that_names_a_file_holds_its_name(tmp_path, more, words):
    with pytest.raises(OptionError, match=words) as error:
        ScreenRequest(config={**SCREEN, **more}).screen(tmp_path)
    assert error.value.remedy == "give the name of a file that is sent along, a text"


def test_null_names_no_file(tmp_path):
    objectives = [{"max_g": "3..5 eV", "similar_to": None}, {"similar_to": "target.csv"}]
    file = NamedText(name="target.csv", text="x")
    screen = ScreenRequest(config={**SCREEN, "objectives": objectives, "library": None}, files=[file]).screen(tmp_path)
    assert [line.measure for line in screen.objectives] == [
        ("max_g", "3..5 eV"), ("similar_to", str(tmp_path / "target.csv")),
    ]  # fmt: skip
    assert Path(screen.objectives[1].measure[1]).read_text() == "x"
