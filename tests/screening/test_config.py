"""Screens as YAML: ranges and lines, and what is wrong with them said with file, key and the nearest name."""

from __future__ import annotations

import re

import pytest

from clusterml.errors import InputFileError, OptionError
from clusterml.screening.config import load_screen
from clusterml.screening.quantities import parse_band, parse_counts, parse_energy, parse_range

TEXT = """
name: tiny
parents:
  ag3: {build: {name: ag3}}
distortions:
  - {modes: {shear: -4..4 by 1 %}}
objectives:
  - {max_g: 2..3 eV}
constraints:
  - {absorption_within: 5 % in 2..3 eV}
"""


def test_ranges():
    assert parse_range("-20..20 by 5 deg").values() == (-20, -15, -10, -5, 0, 5, 10, 15, 20)
    assert parse_range("0..1 by 0.4").values() == (0.0, 0.4, 0.8)
    assert parse_range("-1e-1..0.2").low == -0.1
    assert parse_band("400..620 nm") == (pytest.approx(1.99974, rel=1e-4), pytest.approx(3.09960, rel=1e-4))
    assert parse_band("400..620 nm", "eV") == parse_band("400..620 nm")
    assert parse_band("2..3.5", "eV") == (2.0, 3.5)
    with pytest.raises(ValueError, match="give the unit"):
        parse_band("2..3.5")
    assert parse_energy("450 nm") == pytest.approx(2.75520, rel=1e-5)
    assert parse_counts("0..20 by 10") == (0, 10, 20)
    assert parse_counts([4, 1, 4]) == (1, 4)
    assert parse_counts(7) == (7,)


def test_a_file_is_seen_from_the_yaml_file(tmp_path):
    path = tmp_path / "a" / "screen.yaml"
    path.parent.mkdir()
    path.write_text(TEXT.replace("build: {name: ag3}", "file: ../x.xyz").replace("max_g: 2..3 eV", "similar_to: t.csv"))
    loaded = load_screen(path)
    assert loaded.parents["ag3"].file == str(tmp_path / "x.xyz")
    assert loaded.objectives[0].similar_to == str(tmp_path / "a" / "t.csv")


def test_words_of_the_command_line_go_before_the_file(tmp_path):
    path = tmp_path / "screen.yaml"
    path.write_text(TEXT)
    words = ["verify=7", "engine.dtype=float64", "parents.ag3.build.thiolate=SCH3", "objectives=[{similar_to: t.csv}]"]
    words += ["conformers.snapshots=3"]
    loaded = load_screen(path, words)
    assert (loaded.verify, loaded.engine.dtype) == (7, "float64")
    assert loaded.parents["ag3"].build == {"name": "ag3", "thiolate": "SCH3"}
    assert (loaded.objectives[0].similar_to, loaded.conformers.snapshots) == ("t.csv", 3)
    with pytest.raises(OptionError, match=r"no key 'verfy' \(did you mean 'verify'\?\).*clusterml screen --keys"):
        load_screen(path, ["verfy=7"])
    with pytest.raises(OptionError, match=r"inside the list 'exchanges'.*exchanges=\[\.\.\]"):
        load_screen(path, ["exchanges.draws=7"])
    with pytest.raises(OptionError, match="'verify' is not key=value"):
        load_screen(path, ["verify"])


def test_lines_are_short_for_more(tmp_path):
    path = tmp_path / "screen.yaml"
    path.write_text(TEXT)
    loaded = load_screen(path)
    assert loaded.objectives[0].aim == "maximise"
    assert loaded.constraints[0].measure == ("absorption_change", "2..3 eV")
    assert loaded.constraints[0].limits == (None, 5.0)


def test_the_remedy_names_the_keys_of_the_place(tmp_path):
    path = tmp_path / "screen.yaml"
    path.write_text(TEXT.replace("max_g:", "nope:"))
    with pytest.raises(InputFileError) as caught:
        load_screen(path)
    assert caught.value.remedy.startswith("keys of objectives.0 are ")
    assert {"max_g", "function", "weight"} <= set(re.split(r"[ ,]+", caught.value.remedy))
    path.write_text(TEXT.replace("2..3 eV}\nconstraints", "3..2 eV}\nconstraints"))
    with pytest.raises(InputFileError) as caught:
        load_screen(path)
    assert caught.value.remedy == "correct the value"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("max_g:", "max_gg:"), r"unknown key 'objectives.0.max_gg' \(did you mean 'max_g'\?\)"),
        (("{max_g: 2..3 eV}", "{max_g: 2..3 eV, strain: gfn1}"), "exactly one of ccm"),
        (("2..3 eV}\nconstraints", "3..2 eV}\nconstraints"), r"objectives\.0\.max_g is '3\.\.2 eV'"),
        (("2..3 eV}\nconstraints", "2..3}\nconstraints"), "max_g is '2..3': give the unit"),
        (("{max_g: 2..3 eV}", "{strain: dft}"), "strain is 'dft', not elastic or gfn1"),
        (("{max_g: 2..3 eV}", "{max_g: 2..3 eV, goal: best}"), "goal is 'best', not maximise, minimise"),
        (("absorption_within: 5 % in 2..3 eV", "absorption_within: 5"), "absorption_within"),
        (("absorption_within: 5 % in 2..3 eV", "strain: gfn1"), "at_most or at_least"),
        (("-4..4 by 1 %", "-4..4 %"), "shear: a grid needs steps"),
        (("-4..4 by 1 %}", "-4..4 by 1 %}, sampling: sobol, points: 3"), "draws between two amounts"),
        (("-4..4 by 1 %}", "-4..4 %}, sampling: sobol"), "points belong to sampling random and sobol"),
        (("build: {name: ag3}", "bild: {name: ag3}"), "did you mean 'build'"),
        (("build: {name: ag3}", "build: {thiolate: SH}"), "needs the name of a blueprint"),
        (("name: tiny", "name: tiny\nvalue: hopeful"), "value is 'hopeful', not expected, optimistic or pessimistic"),
        (("name: tiny", "name: tiny\nobjectives: []"), "given twice"),
        (("{max_g: 2..3 eV}", "{max_g: 2..3 eV, goal: .nan}"), "goal is nan, not maximise, minimise"),
        (("{absorption_within: 5 % in 2..3 eV}", "{strain: elastic, at_most: .inf}"), "at_most is inf, not a number"),
        (("name: tiny", "name: tiny\nsigmas: .inf"), "sigmas is inf, not a number"),
        (("name: tiny", "name: tiny\nexchanges: [{old: SH, new: SEt, counts: 0..1e999}]"), "counts are at most"),
    ],
)
def test_a_wrong_screen_is_explained(tmp_path, change, message):
    path = tmp_path / "screen.yaml"
    path.write_text(TEXT.replace(*change))
    with pytest.raises(InputFileError, match=message) as caught:
        load_screen(path)
    assert str(caught.value).startswith(str(path))
