"""The user's groups of atoms: numbers from 1, a partition, and messages that name the group."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.batch.label import atom_groups, read_groups
from clusterml.errors import InputFileError


def test_numbers_count_from_1_and_the_rest_is_other(tmp_path):
    path = tmp_path / "g.json"
    path.write_text('{"kernel": [3, 1], "shell": [2]}')
    groups = atom_groups(read_groups(path), 5, str(path))
    assert {name: list(atoms) for name, atoms in groups.items()} == {"kernel": [0, 2], "shell": [1], "other": [3, 4]}
    assert list(np.sort(np.concatenate(list(groups.values())))) == [0, 1, 2, 3, 4]


def test_a_group_called_other_takes_the_rest_too():
    assert list(atom_groups({"other": [2], "a": [1]}, 3, "g")["other"]) == [1, 2]


def test_no_rest_no_other():
    assert list(atom_groups({"a": [1, 2]}, 2, "g")) == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "list"),
        ("{}", "no groups"),
        ('{"a": []}', "'a'"),
        ('{"a": [0]}', "'a'"),
        ('{"a": [true]}', "'a'"),
        ('{"a": ["1"]}', "'a'"),
        ('{"a": 1}', "'a'"),
        ('{"a": [1], "b": [2, 1]}', "atom 1 is in group 'a' and again in 'b'"),
        ('{"a": [1', "line 1"),
    ],
)
def test_bad_files_are_explained(tmp_path, text, message):
    path = tmp_path / "g.json"
    path.write_text(text)
    with pytest.raises(InputFileError, match=message) as error:
        read_groups(path)
    assert str(path) in str(error.value)


def test_an_atom_that_is_not_there():
    with pytest.raises(InputFileError, match=r"g\.json: group 'a' has atom 7, but the structure has 6 atoms"):
        atom_groups({"a": [7]}, 6, "g.json")
