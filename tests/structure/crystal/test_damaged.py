"""Damaged CIFs: an error that says what is wrong, or a finite structure; never a traceback or a silent NaN."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterml.errors import ClusterMLError
from clusterml.structure.crystal.cell import cut
from clusterml.structure.crystal.molecules import fill_cell
from clusterml.structure.crystal.surroundings import report_crystal
from clusterml.structure.formats.cif import parse_cif

TOKENS = ["nan", "inf", "-inf", "1e400", "?", ".", "0", "-1", "999", "0.5(", "'", '"', ";", "loop_", "data_", "Xx", "H",
          "-x,-y,-z", "x,y", "1/0", "\n", "_cell_length_a", "#", "0.333333", "2", "A"]  # fmt: skip


@pytest.fixture
def texts(examples, crystal):
    """A crystal of high symmetry, and a small disordered one with ions and solvent."""
    writer = crystal("P -1", (14, 13, 15), (80, 85, 95))
    writer.add(Atoms("Ag2SC", [[0, 0, 0], [2.9, 0, 0], [1.4, 2.0, 0], [1.5, 2.6, 1.7]]), (0.25, 0.25, 0.25))
    writer.add(Atoms("Cl", [[-2.4, 0, 0]]), (0.25, 0.25, 0.25), occupancy=0.6, part=1)
    writer.add(Atoms("Br", [[-2.4, 0.5, 0.2]]), (0.25, 0.25, 0.25), occupancy=0.4, part=2)
    writer.add(Atoms("BF4", [[0, 0, 0], [0.8, 0.8, 0.8], [0.8, -0.8, -0.8], [-0.8, 0.8, -0.8], [-0.8, -0.8, 0.8]]),
               (0.5, 0.0, 0.5), occupancy=0.5, part=-1, whole=True)  # fmt: skip
    return [(examples / "ag29_model.cif").read_text(), writer.text()]


def damage(text, seed, junk):
    rng = np.random.default_rng(seed)
    start = text.index("_cell_length_a")  # damage what is read, not the comments
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(0, 4)
        at = int(rng.integers(start, len(text)))
        if kind == 0:
            text = text[:at] + junk + text[at + int(rng.integers(0, 8)) :]
        elif kind == 1:  # a word replaced by another
            end = text.find(" ", at)
            text = text[:at] + " " + TOKENS[int(rng.integers(len(TOKENS)))] + (text[end:] if end > 0 else "")
        elif kind == 2:  # a line lost or doubled
            begin, end = text.rfind("\n", 0, at) + 1, text.find("\n", at) + 1
            text = text[:begin] + (text[begin:end] * 2 if rng.random() < 0.5 else "") + text[end:]
        else:
            text = text[: max(at, start + 20)] if rng.random() < 0.2 else text.replace(text[at], junk[:1] or "0", 3)
    return text


def check(text, choice):
    with suppress(ClusterMLError):
        filled = fill_cell(parse_cif(text, "damaged.cif"), choice, "damaged.cif")
        atoms = cut(filled, hydrogens=True, source="damaged.cif")
        assert len(atoms) > 0
        assert np.all(np.isfinite(atoms.positions))
        if len(atoms) < 60:
            report = report_crystal(filled, 1, choice)
            assert all(np.isfinite(hand.mirror_misfit) for hand in report.hands.hands)
            assert report.to_dict()["n_atoms_in_cell"] >= len(filled.numbers)


junk = st.text(alphabet="0123456789.-+?'_;# \nxyzAgSCl", max_size=8)
choices = st.sampled_from(["major", "A", "B", "error"])
quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=150, suppress_health_check=quiet)
@given(seed=st.integers(0, 2**32 - 1), junk=junk, which=st.integers(0, 1), choice=choices)
def test_damaged_cif_raises_only_our_errors(texts, seed, junk, which, choice):
    check(damage(texts[which], seed, junk), choice)


@pytest.mark.slow
@settings(max_examples=2000, suppress_health_check=quiet)
@given(seed=st.integers(2**32, 2**40), junk=junk, which=st.integers(0, 1), choice=choices)
def test_two_thousand_damaged_cifs(texts, seed, junk, which, choice):
    check(damage(texts[which], seed, junk), choice)


@settings(max_examples=50, suppress_health_check=quiet)
@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    check("data_x\n_cell_length_a 5\n" + text, "major")
