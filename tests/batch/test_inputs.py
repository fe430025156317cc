"""From files and folders to inputs: order, folders, and names that never collide."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterml.batch.inputs import Names, expand


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "d/b.xyz",
        "d/a.CIF",
        "d/c.extxyz",
        "d/.hidden.xyz",
        "d/notes.txt",
        "d/deeper/z.xyz",
        "a.xyz",
        "b.xyz",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "empty").mkdir()
    return tmp_path


def bases(*paths: str) -> list[str]:
    return [entry.base for entry in expand(paths)[0]]


def test_a_folder_stands_for_its_structures(tree):
    inputs, problems = expand(["d"])
    assert [str(i.path) for i in inputs] == ["d/a.CIF", "d/b.xyz", "d/c.extxyz"]
    assert problems == []


def test_a_folder_without_any_is_a_problem_and_a_missing_file_is_kept(tree):
    inputs, problems = expand(["empty", "gone.xyz"])
    assert [i.base for i in inputs] == ["gone"]
    assert "empty: holds no structure files" in str(problems[0])


def test_equal_stems_get_their_ending_then_a_number(tree):
    assert bases("a.xyz") == ["a"]
    assert bases("a.xyz", "d") == ["a_xyz", "a_cif", "b", "c"]
    assert bases("b.xyz", "d/b.xyz", "a.xyz") == ["b_xyz_1", "b_xyz_2", "a"]


def test_a_file_counts_once(tree):
    assert bases("a.xyz", "./a.xyz", str(tree / "a.xyz")) == ["a"]


@given(st.lists(st.sampled_from(["a", "A", "a_2", "a_2_2", "b"]), max_size=12))
def test_names_differ_even_without_case(wanted):
    names = Names()
    given_out = [names.unique(name) for name in wanted]
    assert len({name.casefold() for name in given_out}) == len(wanted)
    assert all(got.startswith(name) for got, name in zip(given_out, wanted, strict=True))


def test_refinement_files_of_one_crystal_in_a_folder_count_once(tmp_path):
    for name in ("a.cif", "a.res", "a.ins", "a.xyz", "b.ins", "b.res", "c.res"):
        (tmp_path / name).write_text("x")
    notes = {item.path.name: item.note for item in expand([tmp_path])[0]}
    assert list(notes) == ["a.cif", "a.xyz", "b.res", "c.res"]
    assert notes["a.cif"].startswith("a.res and a.ins beside it taken to be the same crystal")
    assert notes["b.res"].startswith("b.ins beside it")
    assert notes["a.xyz"] == notes["c.res"] == ""
    named = expand([tmp_path / "a.cif", tmp_path / "a.res"])[0]
    assert [(item.path.name, item.note) for item in named] == [("a.cif", ""), ("a.res", "")]
