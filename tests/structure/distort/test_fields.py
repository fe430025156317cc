"""What each mode does to the frame, measured on the result."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from clusterml.structure.distort.apply import distorted_positions
from clusterml.structure.distort.fields import TD_TO_T_DEG, TD_TO_T_OTHERS, turn
from clusterml.structure.distort.subject import Subject
from clusterml.structure.read import read


def angle_about(axis: np.ndarray, centre: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Signed rotation (deg) of points about an axis through ``centre``."""
    flat = [p - centre - np.outer((p - centre) @ axis, axis) for p in (before, after)]
    return np.degrees(np.arctan2(np.cross(*flat) @ axis, np.sum(flat[0] * flat[1], axis=1)))


def test_rodrigues_formula_is_right_handed():
    moved = turn(np.array([[1.0, 0.0, 2.0]]), np.array([0.0, 0.0, 1.0]), np.array([[np.pi / 2], [-np.pi / 2]]))
    assert moved[0, 0] == pytest.approx([-1.0, 1.0, 0.0])
    assert moved[1, 0] == pytest.approx([-1.0, -1.0, 0.0])


def sulfurs_of(td, motif) -> list[int]:
    return [d for d in td.donors if td.numbers[d] == 16 and np.isin(td.metals_of(d), motif.metals).sum() == 2]


@pytest.mark.parametrize(("mode", "amount", "metals", "donors"), [
    ("trigon-rotation", 7.0, 7.0, 3.5),
    ("motif-twist", 4.0, 4.0, 4.0),
    ("td-to-t", 2.0, 2 * TD_TO_T_DEG, 2 * TD_TO_T_DEG),
])  # fmt: skip
def test_trigons_turn_by_the_amount(td, mode, amount, metals, donors):
    moved = distorted_positions(td, mode, [amount])[0]
    trigons = td.motifs(("trigon",))
    assert len(trigons) == 4
    for motif in trigons:
        assert len(motif.metals) == 3
        sulfurs = sulfurs_of(td, motif)
        assert len(sulfurs) == 3
        for atoms, expected in ((motif.metals, metals), (sulfurs, donors)):
            angle = angle_about(motif.axis, motif.centre, td.positions[atoms], moved[atoms])
            assert angle == pytest.approx(np.full(3, expected), abs=1e-6)


def test_trigon_rotation_leaves_the_inner_frame_alone(td):
    moved = distorted_positions(td, "trigon-rotation", [7.0])[0]
    inner = td.metal & (np.linalg.norm(td.positions, axis=1) < 7.0)
    assert inner.sum() == 58
    assert np.array_equal(moved[inner], td.positions[inner])


def test_td_to_t_turns_the_other_thiolates_back(td):
    moved = distorted_positions(td, "td-to-t", [1.0])[0]
    trigons = td.motifs(("trigon",))
    inside = {s for motif in trigons for s in sulfurs_of(td, motif)}
    thiolates = [d for d in td.donors if td.numbers[d] == 16 and any(td.numbers[j] == 1 for j in td.bonded[d])]
    others = [s for s in thiolates if s not in inside]
    assert len(others) == 12
    for motif in trigons:
        near = [s for s in others if motif is max(trigons, key=lambda m, s=s: float(td.positions[s] @ m.axis))]
        angle = angle_about(motif.axis, motif.centre, td.positions[near], moved[near])
        assert angle == pytest.approx(np.full(3, TD_TO_T_OTHERS * TD_TO_T_DEG), abs=1e-6)


def test_core_shell_twist_turns_outside_against_the_kernel(td):
    axis = np.array([0.0, 0.0, 1.0])
    moved = distorted_positions(td, "core-shell-twist", [10.0], axis=axis)[0]
    radius = np.linalg.norm(td.positions, axis=1)
    outer = np.flatnonzero(td.metal & (radius > 7.0))
    angle = angle_about(axis, td.centre, td.positions[outer], moved[outer])
    assert angle == pytest.approx(np.full(12, 10.0), abs=1e-6)
    assert np.array_equal(moved[td.anatomy.kernel], td.positions[td.anatomy.kernel])
    middle = np.flatnonzero(td.metal & (radius > 4.0) & (radius < 7.0))
    between = angle_about(axis, td.centre, td.positions[middle], moved[middle])
    between = between[np.abs(td.positions[middle][:, :2]).max(axis=1) > 0.5]
    assert between.min() > 0.0
    assert between.max() < 10.0


def test_breathing_scales_the_frame(td):
    moved = distorted_positions(td, "breathing", [3.0])[0]
    frame = np.flatnonzero(td.metal)
    assert moved[frame] == pytest.approx(1.03 * td.positions[frame], abs=1e-9)


def test_shear_strains_one_plane_without_rotation(td):
    moved = distorted_positions(td, "shear", [4.0], axis=(0.0, 0.0, 1.0))[0]
    frame = np.flatnonzero(td.metal)
    gradient = np.linalg.lstsq(td.positions[frame], moved[frame], rcond=None)[0]
    assert gradient == pytest.approx(gradient.T, abs=1e-9)
    assert np.linalg.eigvalsh(gradient) == pytest.approx([0.98, 1.0, 1.02], abs=1e-9)


def test_crowns_of_ag29_turn_by_the_amount(ag29):
    moved = distorted_positions(ag29, "crown-rotation", [5.0])[0]
    crowns = ag29.motifs(("crown",))
    assert len(crowns) == 4
    for motif in crowns:
        angle = angle_about(motif.axis, motif.centre, ag29.positions[motif.metals], moved[motif.metals])
        assert angle == pytest.approx(np.full(len(motif.metals), 5.0), abs=1e-6)


def test_td_to_t_leads_to_the_relaxed_t_model(shared):
    """The frame of the Td model comes closest to that of the relaxed T model at amount 1, not at 0, -1 or 2."""
    folder = shared / "geometry"
    if not folder.is_dir():
        pytest.skip("no model geometries")
    parent = Subject(read(folder / "Ag70S4_SH24_HCOO12_Cl8_Td_GFN1.xyz", allow_several=True))
    target = read(folder / "Ag70S4_SH24_HCOO12_Cl8_T_P.xyz", allow_several=True)
    frame = np.isin(parent.numbers, (47, 16))
    rms = []
    for moved in distorted_positions(parent, "td-to-t", [-1.0, 0.0, 1.0, 2.0]):
        square = np.sum((moved[:, None] - target.positions) ** 2, axis=2)
        square += 1e3 * (parent.numbers[:, None] != target.numbers)
        rows, columns = linear_sum_assignment(square)
        rms.append(np.sqrt(square[rows, columns][frame].mean()))
    assert np.argmin(rms) == 2
    assert rms[0] > rms[1] > rms[2] + 0.01
