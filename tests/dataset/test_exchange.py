"""Records for other programs, and labels of one's own in: names that look like numbers, folders held by others."""

from __future__ import annotations

import json

import pytest
from ase.db import connect
from ase.io import read

from clusterml.dataset.exchange import export, import_labels
from clusterml.dataset.runner import generate
from clusterml.dataset.store import Dataset
from clusterml.errors import DatasetError, FolderInUseError
from clusterml.io.files import exclusive
from clusterml.run.launcher import Here


@pytest.fixture
def label(tmp_path):
    """A label in a file."""
    (tmp_path / "x.xyz").write_text("2\n\nAg 0 0 0\nAg 0 0 2.6\n")
    transitions = {"energy_ev": [2.5], "f_length": [0.5], "r_velocity_cgs": [30.0]}
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"structure": "x.xyz", "charge": 0, "transitions": transitions}))
    return path


@pytest.mark.parametrize("word", ["25_18", "nan", "inf", "True", "False", "1e3", "007", "3", ""])
def test_a_database_takes_words_that_look_like_numbers(tmp_path, make_record, word):
    export([make_record("a", family=word)], tmp_path / "a.db")
    (row,) = connect(tmp_path / "a.db").select()
    assert row.clusterml_family == f"_{word}"


def test_words_stay_as_they_are_in_a_database(tmp_path, make_record):
    export([make_record("a", family="ag25_s18")], tmp_path / "a.db")
    (row,) = connect(tmp_path / "a.db").select()
    assert row.clusterml_family == "ag25_s18"


def test_what_a_database_does_not_take_is_named(tmp_path, make_record, monkeypatch):
    monkeypatch.setattr("clusterml.dataset.exchange._quote", lambda pairs: pairs)
    with pytest.raises(DatasetError, match=r"record a does not fit into an ASE database: .*export to \.extxyz"):
        export([make_record("a", family="25_18")], tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []


def test_a_bare_cluster_keeps_what_follows_its_shell(tmp_path, make_record):
    export([make_record("a", shell="", hand="R", pair="a")], tmp_path / "a.xyz")
    atoms = read(tmp_path / "a.xyz")
    assert (atoms.info["clusterml_hand"], atoms.info["clusterml_pair"]) == ("R", "a")
    assert "clusterml_shell" not in atoms.info


def test_nothing_is_written_into_a_new_folder_that_another_process_holds(tmp_path, label):
    """The first index of one process would take the place of what the other has packed by then."""
    (tmp_path / "c.yaml").write_text(
        "name: c\ntitle: c\nseed: 1\nparents: {a: {build: {name: ag2}, family: a, counts: {reference: 1}}}\n"
    )
    folder = tmp_path / "d"
    folder.mkdir()
    with exclusive(folder):
        with pytest.raises(FolderInUseError):
            import_labels(folder, [label], "TDDFT", "ag2")
        with pytest.raises(FolderInUseError):
            generate(tmp_path / "c.yaml", folder, Here())
        assert [path.name for path in folder.iterdir()] == [".lock"]
    import_labels(folder, [label], "TDDFT", "ag2")
    assert Dataset(folder).ids == ("TDDFT-x",)
