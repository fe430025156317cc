"""What is built and drawn must not depend on the last digits of sums, in which processors differ."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms

from clusterml.structure.build import attach
from clusterml.structure.build import build as building
from clusterml.structure.build.build import build
from clusterml.structure.distort.subject import Subject, axis_of
from clusterml.structure.distort.substitute import substitute
from clusterml.structure.distort.vibrations import noise_direction, stiffness_modes
from clusterml.structure.points import index_of_least, rank_stably, snap_to_grid

ROUNDING = 1e-13


def shaken(atoms: Atoms) -> Atoms:
    noise = np.random.default_rng(0).normal(size=atoms.positions.shape)
    copy = atoms.copy()
    copy.positions += ROUNDING * noise
    return copy


def test_equal_values_keep_their_order():
    values = np.array([2.0, 1.0, 3.0, 1.0, 2.0])
    for seed in range(20):
        noisy = values + ROUNDING * np.random.default_rng(seed).normal(size=5)
        assert index_of_least(noisy) == 1
        assert rank_stably(noisy).tolist() == [1, 3, 0, 4, 2]
    assert index_of_least(np.array([np.inf, 5.0, 5.0 - 1e-6])) == 2


def test_the_grid_swallows_noise_and_moves_little():
    written = np.round(np.random.default_rng(1).normal(size=(500, 3)) * 10.0, 4)  # as in a file
    halves = np.concatenate([written, written / 2.0, written / 4.0, np.zeros((1, 3))])
    snapped = snap_to_grid(halves)
    assert np.abs(snapped - halves).max() < 1e-6
    assert not np.signbit(snapped[-1]).any()
    for seed in range(5):
        noise = ROUNDING * np.random.default_rng(seed).normal(size=halves.shape)
        assert np.array_equal(snap_to_grid(halves + noise), snapped)


@pytest.mark.parametrize(
    ("name", "ligands"),
    [
        ("ag3", {"thiolate": "SiPr"}),
        ("ag12", {"thiolate": "SCH3", "carboxylate": "HCOO"}),
        ("ag29", {"thiolate": "SH", "phosphine": "PMe3", "hand": "S"}),
        ("ag70", {"thiolate": "SH", "carboxylate": "HCOO", "cap": "Cl"}),
    ],
)
def test_a_model_does_not_depend_on_rounding(name, ligands, monkeypatch):
    first = build(name, **ligands)
    place = building.place
    monkeypatch.setattr(building, "place", lambda atoms, *given, **named: place(shaken(atoms), *given, **named))
    second = build(name, **ligands)
    assert not np.array_equal(first.positions, second.positions)
    assert np.abs(first.positions - second.positions).max() < 1e-10


@pytest.mark.parametrize("name", ["ag2", "ag12"])
def test_the_default_axis_does_not_depend_on_rounding(name):
    atoms = build(name)  # two equal moments of inertia, or three
    first, second = (axis_of(Subject(structure), None) for structure in (atoms, shaken(atoms)))
    assert np.linalg.norm(first) == pytest.approx(1.0)
    assert np.abs(first - second).max() < 1e-8


def test_a_model_is_the_same_on_another_processor(tmp_path):
    code = (
        "import sys, numpy as np; from clusterml.structure.build.build import build;"
        "np.save(sys.argv[1], build('ag29', thiolate='SH', phosphine='PH3', hand='S').positions)"
    )
    models = []
    for kind in ("", "Prescott"):  # numpy's linear algebra as here, and as on a processor without AVX
        path = tmp_path / f"as{kind}.npy"
        environment = os.environ | ({"OPENBLAS_CORETYPE": kind} if kind else {})
        subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True, timeout=120)
        models.append(np.load(path))
    assert np.abs(models[0] - models[1]).max() < 1e-10


def test_an_exchange_does_not_depend_on_rounding(monkeypatch):
    parent = build("ag29", thiolate="SH", phosphine="PH3", hand="S")
    first = substitute(parent, "SH", "SCH3", 3, rng=np.random.default_rng(4))
    place = attach.place
    monkeypatch.setattr(attach, "place", lambda atoms, *given, **named: place(shaken(atoms), *given, **named))
    second = substitute(parent, "SH", "SCH3", 3, rng=np.random.default_rng(4))
    assert not np.array_equal(first.positions, second.positions)
    assert np.abs(first.positions - second.positions).max() < 1e-10


def test_snapshots_do_not_depend_on_the_vectors_of_degenerate_modes():
    atoms = build("ag29", thiolate="SH", phosphine="PH3", hand="S")  # T: three modes in four are degenerate
    subjects = [Subject(structure) for structure in (atoms, shaken(atoms))]
    modes = [stiffness_modes(subject).displacement for subject in subjects]
    turned = np.abs(np.einsum("mnx,mnx->m", *modes)).min()
    assert turned < 0.9, "the modes are those of another basis"
    first, second = (noise_direction(subject, np.random.default_rng(3)) for subject in subjects)
    assert np.abs(first - second).max() < 1e-8
