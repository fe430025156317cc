"""Ligands on sites that are not theirs are placed, and the structure says so."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.structure.build.build import build
from clusterml.structure.distort.substitute import substitute


def test_a_diphosphine_on_one_phosphorus_says_that_the_other_is_free():
    warnings = build("ag1", phosphine="dppm").info["provenance"]["warnings"]
    assert warnings == ["2 x dppm: 1 of 2 donors (P) binds, the rest is free"]
    assert build("ag1").info["provenance"]["warnings"] == []


@pytest.mark.parametrize(
    ("old", "new", "count", "warning"),
    [
        ("SH", "BDT", 2, "2 x BDT: 1 of 2 donors (S) binds, the rest is free, with its charge"),
        ("SH", "PMe3", 1, "1 x PMe3: its P binds 3 metals, as a neutral donor with one lone pair hardly does"),
        ("PH3", "dppm", 2, "2 x dppm: 1 of 2 donors (P) binds, the rest is free"),
    ],
)
def test_substitution_says_what_does_not_bind_as_it_should(old, new, count, warning):
    parent = build("ag29", dithiolate=None, thiolate="SH")
    rng = np.random.default_rng(0)
    (said,) = substitute(parent, old, new, count, rng=rng, problems="warn").info["provenance"]["warnings"]
    assert said == warning


@pytest.mark.parametrize("new", ["PMe3", "CO", "pyridine", "MeCN"])
def test_terminal_ligands_in_each_others_place_are_no_fault(new):
    parent = build("ag29", thiolate="SH")
    assert substitute(parent, "PH3", new, 2, rng=np.random.default_rng(0)).info["provenance"]["warnings"] == []
