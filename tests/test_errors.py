"""The words errors are made of: durations, and the name that was most likely meant."""

from __future__ import annotations

from importlib import import_module

import pytest

from clusterml.errors import ClusterMLError, did_you_mean, duration, nearest
from clusterml.server.refusals import RefusalError


def test_durations():
    seconds = (4.4, 89.0, 91.0, 3599.0, 7740.0)
    assert [duration(s) for s in seconds] == ["4 s", "89 s", "2 min", "1 h 00 min", "2 h 09 min"]


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("SPh", ["SPh", "SPH2"], "SPh"),
        ("thiolat", ["thiolate", "phosphine"], "thiolate"),
        ("GFN1", ["stda-xtb", "gfn1"], "gfn1"),
        ("lable", ["Label", "label"], "label"),
        ("zzz", ["thiolate", "phosphine"], ""),
        ("a", [], ""),
    ],
)
def test_the_nearest_name_whatever_its_case(name, known, meant):
    assert nearest(name, known) == meant


def test_a_hint_stands_behind_a_wrong_name_or_is_nothing():
    assert did_you_mean("gfn1") == " (did you mean 'gfn1'?)"
    assert did_you_mean("") == ""


def test_every_error_can_be_raised_again_with_other_words():
    """Those of a file, a record or a structure are raised anew with its name."""
    for name in ("engine.orbitals.newton", "inference.calculator", "training.state", "training.catalogue"):
        import_module(f"clusterml.{name}")
    kinds, waiting = set(), [ClusterMLError]
    while waiting:
        kinds.add(kind := waiting.pop())
        waiting += [each for each in kind.__subclasses__() if each.__module__.startswith("clusterml.")]
    assert len(kinds) > 15
    for kind in kinds - {RefusalError}:  # which begins with a status
        error = kind("a: the problem", "the remedy")
        assert (type(error), error.problem, error.remedy) == (kind, "a: the problem", "the remedy")
