"""YAML that somebody else wrote: bounded in size, depth and aliases."""

from __future__ import annotations

import os

import pytest

from clusterml.config.schema import Strict, load, read_yaml, validated
from clusterml.errors import InputFileError


class Model(Strict):
    a: int
    b: tuple[int, ...] = ()


def written(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return path


def bomb(levels):
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def merges(levels):
    lines = ["a0: &a0 {x: 1, y: 2, z: 3}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bomb(9), "holds more than 200,000 values"),
        (merges(9), "holds more than 200,000 values"),
        ("a: &a [*a]", "an alias stands inside what it repeats"),
        ("a: &a {b: {c: *a}}", "an alias stands inside what it repeats"),
        ("a: " + "[" * 100_000, "is not YAML"),
        ("a: " + "[" * 900 + "]" * 900 + "\nb: {c: 1, c: 2}", "'c' is given twice|is not YAML"),
        ("a: !!python/object/apply:os.system [id]", "is not YAML"),
        ("a: " + "9" * 10_000, "is not YAML"),
        ("\x00", "is not YAML"),
        ("x" * 9_000_000, "is larger than 8 MiB"),
    ],
    ids=["aliases", "merges", "self", "deep self", "depth", "deep", "python", "digits", "binary", "size"],
)
def test_yaml_beyond_what_a_configuration_can_be_is_refused(tmp_path, text, problem):
    with pytest.raises(InputFileError, match=problem):
        read_yaml(written(tmp_path, text))


def test_a_sparse_or_endless_yaml_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "x.yaml").open("wb") as handle:
        handle.truncate(20 * 10**9)
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name, problem in {"x.yaml": "larger than 8 MiB", "pipe.yaml": "is a pipe", "zero.yaml": "is a device"}.items():
        with pytest.raises(InputFileError, match=problem):
            read_yaml(tmp_path / name)


def test_a_few_aliases_are_fine(tmp_path):
    text = "a: &x {k: [1, 2]}\nb: *x\nc: {<<: *x, d: 1}"
    assert read_yaml(written(tmp_path, text)) == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}, "c": {"k": [1, 2], "d": 1}}


def test_an_error_quotes_a_value_shortened(tmp_path):
    for values in ({"a": "x" * 10**6}, {"a": [[[[[[[[[1]]]]]]]]]}, {"a": 1, "b": ["y"] * 10**5}, "z" * 10**6):
        with pytest.raises(InputFileError) as raised:
            validated(Model, values, "x.yaml")
        assert len(str(raised.value)) < 4000
    with pytest.raises(InputFileError, match="did you mean 'a'"):
        load(Model, written(tmp_path, "aa: 1"))
