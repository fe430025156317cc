from __future__ import annotations

import numpy as np
import pytest

from clusterml.errors import OptionError
from clusterml.structure.distort.apply import distort, distorted_positions
from clusterml.structure.distort.fields import FIELDS
from clusterml.structure.distort.modes import MIXTURE, MODES, NORMAL_MODE, THERMAL_NOISE
from clusterml.structure.distort.subject import Subject


def test_every_mode_is_described_and_has_a_path():
    assert set(FIELDS) | {MIXTURE, NORMAL_MODE, THERMAL_NOISE} == set(MODES)
    for name, mode in MODES.items():
        assert mode.name == name
        assert all((mode.unit, mode.meaning, mode.sign))
        assert mode.low < 0 < mode.high


@pytest.mark.parametrize("amount", [46.0, -46.0, float("nan"), float("inf")])
def test_amount_out_of_range(td, amount):
    with pytest.raises(OptionError, match=r"trigon-rotation is .* \(give a number between -45 and 45 deg\)"):
        distort(td, "trigon-rotation", amount)


def test_unknown_mode_lists_the_modes(td):
    with pytest.raises(OptionError, match=r"'twirl'.*trigon-rotation, crown-rotation"):
        distort(td, "twirl", 1.0)


def test_missing_motifs_name_the_modes_there_are(ag29):
    with pytest.raises(OptionError, match=r"needs trigons, and ag29_model has none.*crown-rotation.*breathing"):
        distort(ag29, "trigon-rotation", 1.0)


def test_molecule_without_metal_has_the_general_modes_only(thiol):
    names = {mode.name for mode in thiol.available()}
    assert names == {"breathing", "shear", MIXTURE, THERMAL_NOISE, NORMAL_MODE}
    with pytest.raises(OptionError, match="core-shell-twist needs kernel inside a shell of metals"):
        distort(thiol, "core-shell-twist", 1.0)


@pytest.mark.parametrize("mode", [MIXTURE, THERMAL_NOISE])
def test_random_modes_want_a_generator(td, mode):
    with pytest.raises(OptionError, match=r"random numbers \(give rng="):
        distort(td, mode, 0.1)


@pytest.mark.parametrize("axis", [(0, 0, 0), (1, 2), (1, float("nan"), 0)])
def test_axis_without_direction(td, axis):
    with pytest.raises(OptionError, match="three numbers that are not all zero"):
        distorted_positions(td, "shear", [1.0], axis=axis)


def test_factors_belong_to_thermal_noise(td):
    with pytest.raises(OptionError, match="thermal-noise only"):
        distorted_positions(td, "breathing", [1.0], factors={"Ag": 1.0})


def test_a_mixture_draws_the_same_weights_for_related_clusters(td, ag29):
    weights = [
        distort(s, MIXTURE, 0.1, rng=np.random.default_rng(3), problems="warn").info["provenance"]["distortions"][0][
            "weights"
        ]
        for s in (td, ag29)
    ]
    shared = set(weights[0]) & set(weights[1])
    assert {"breathing", "shear"} <= shared
    assert all(weights[0][name] == weights[1][name] for name in shared)
    assert "trigon-rotation" in weights[0]
    assert "crown-rotation" in weights[1]


NAMED = {"breathing": 1.0, "core-shell-twist": -3.0}


def test_a_mixture_of_named_modes_adds_them_up(built):
    atoms = built("ag29", hand="R")
    frame = Subject(atoms)
    moved = [distorted_positions(atoms, mode, [amount])[0] - frame.positions for mode, amount in NAMED.items()]
    mixed = distort(atoms, "mixture", 1.0, weights=NAMED)
    metals = frame.metal
    assert np.allclose((mixed.positions - frame.positions)[metals], sum(moved)[metals], atol=1e-9)
    assert mixed.info["provenance"]["distortions"][-1]["weights"] == NAMED
    half = distort(atoms, "mixture", 0.5, weights={mode: 2.0 * amount for mode, amount in NAMED.items()})
    assert np.allclose(half.positions, mixed.positions, atol=1e-9)


@pytest.mark.parametrize(
    ("mode", "weights", "words"),
    [
        ("shear", NAMED, "weights of modes are given"),
        ("mixture", {}, "a mixture of no modes"),
        ("mixture", {"normal-mode": 0.1}, "normal-mode cannot be part of a mixture"),
        ("mixture", {"breathing": 50.0}, "amount of breathing is 50 %"),
        ("mixture", {"braething": 1.0}, "mode is 'braething'"),
        ("mixture", {"crown-rotation": 1.0}, "crown-rotation needs crowns"),
    ],
)
def test_what_cannot_be_added_up_is_refused(built, mode, weights, words):
    with pytest.raises(OptionError, match=words):
        distort(built("ag3", thiolate="SH"), mode, 1.0, weights=weights)
