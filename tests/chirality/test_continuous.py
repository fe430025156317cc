"""The continuous chirality measure and the Hausdorff measure: closed forms, zero for achiral, growth with the twist."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from clusterml.chirality.continuous import SymmetrySearch
from clusterml.chirality.measures import continuous_chirality, hausdorff_chirality
from clusterml.structure.read import read
from clusterml.structure.rotations import rotation_vector_matrix
from clusterml.structure.superpose import Kinds, superpose


def ccm(labels, positions):
    return continuous_chirality(SymmetrySearch(Kinds.of(np.asarray(labels)), np.asarray(positions, dtype=float)))


def test_a_disphenoid_has_its_closed_form(turn, disphenoid):
    a, b, c = 1.4, 1.0, 0.75
    measure = ccm([1] * 4, disphenoid(a, b, c) @ turn.T)
    assert measure.value == pytest.approx(50.0 * (b - c) ** 2 / (a * a + b * b + c * c))
    assert measure.nearest.group in ("Cs", "S4")


@pytest.mark.parametrize(
    ("labels", "positions"),
    [
        ([1, 1, 1, 2], [[0, 0, 0], [1, 0, 0], [0, 2, 0], [3, 1, 0]]),  # plane
        ([1, 1, 1, 1], [[1, 1, 0.3], [-1, -1, 0.3], [1, -1, -0.3], [-1, 1, -0.3]]),  # S4 or D2d
        ([1, 2], [[0, 0, 0], [0, 0, 1]]),
        ([1], [[1, 2, 3]]),
    ],
)
def test_achiral_geometries_measure_zero(turn, labels, positions):
    points = np.array(positions, dtype=float) @ turn.T
    assert ccm(labels, points).value == pytest.approx(0.0, abs=1e-10)
    assert hausdorff_chirality(Kinds.of(np.array(labels)), points).value == pytest.approx(0.0, abs=1e-6)


def test_a_geometry_with_s4_only_is_achiral(rng, turn):
    from clusterml.chirality.pointgroups import point_group

    points = np.concatenate([point_group("S4").elements @ p for p in rng.normal(size=(3, 3))]) @ turn.T
    measure = ccm([1] * 12, points)
    assert measure.value == pytest.approx(0.0, abs=1e-10)
    assert measure.nearest.group == "S4"


def test_td_ag70_is_achiral_and_the_twist_makes_it_chiral(ag70):
    assert ccm(ag70(0).numbers, ag70(0).positions).value < 1e-10
    values = [ccm(ag70(angle).numbers, ag70(angle).positions).value for angle in (1.0, 2.0, 4.0, 8.0)]
    assert np.all(np.diff(values) > 0)
    assert values[1] / values[0] == pytest.approx(4.0, rel=0.01)  # quadratic in a small twist
    mirrored = ccm(ag70(-8.0).numbers, ag70(-8.0).positions).value
    assert mirrored == pytest.approx(values[-1], rel=1e-9)


def test_averaging_with_a_reflected_image_halves_the_misfit(ag70):
    atoms = ag70(8.0)
    points = atoms.positions - atoms.positions.mean(axis=0)
    misfit = superpose(atoms.numbers, points, points, improper=True).rmsd
    assert ccm(atoms.numbers, points).value == pytest.approx(25.0 * misfit**2 / (points**2).sum(axis=1).mean())


def test_the_hand_and_the_order_do_not_matter(rng, turn, examples):
    atoms = read(examples / "ag29_model.xyz")
    order = rng.permutation(len(atoms))
    value = ccm(atoms.numbers, atoms.positions).value
    assert 0.5 < value < 5.0
    moved = (atoms.positions @ turn.T)[order] * [-1, 1, 1]
    assert ccm(atoms.numbers[order], moved).value == pytest.approx(value, rel=1e-8)


def test_real_frames_measure_as_their_mirror_misfits_say(shared):
    values = {}
    for name in ("au25_pet18_opt", "au38_pet24q_opt", "Ag25_final", "Ag25_methylthiol"):
        atoms = read(shared / "structures" / f"{name}.xyz")
        frame = atoms[(atoms.numbers == 16) | (atoms.numbers > 40)]
        values[name] = ccm(frame.numbers, frame.positions).value
    assert values["au25_pet18_opt"] < 1e-6
    order = ["au25_pet18_opt", "Ag25_methylthiol", "Ag25_final", "au38_pet24q_opt"]
    assert sorted(values, key=values.__getitem__) == order


def test_the_hausdorff_measure_is_a_minimum(disphenoid):
    """Against a search of its own over all six coordinates of the mirror image, without knowledge of the atoms."""
    rng = np.random.default_rng(5)
    for points in (disphenoid(1.6, 1.0, 0.41), rng.normal(size=(5, 3))):
        kinds = Kinds.of(np.ones(len(points), dtype=int))
        measure = hausdorff_chirality(kinds, points)
        span = np.linalg.norm(points[:, None] - points[None], axis=-1)
        centred = points - points.mean(axis=0)

        def distance(x, centred=centred):
            image = -centred @ rotation_vector_matrix(x[:3]).T + x[3:]
            apart = np.linalg.norm(image[:, None] - centred[None], axis=-1)
            return max(apart.min(axis=0).max(), apart.min(axis=1).max())

        starts = [np.concatenate([rng.uniform(-np.pi, np.pi, 3), np.zeros(3)]) for _ in range(25)]
        best = min(minimize(distance, x, method="Nelder-Mead", options={"maxiter": 600}).fun for x in starts)
        assert measure.diameter == pytest.approx(span.max())
        assert measure.distance <= best * 1.002
        assert measure.value == pytest.approx(measure.distance / measure.diameter)
        assert measure.distance > 0.5 * best


def test_the_hausdorff_measure_grows_with_the_twist_and_not_with_the_size(ag70):
    values = []
    for angle in (0.0, 2.0, 6.0):
        atoms = ag70(angle)
        values.append(hausdorff_chirality(Kinds.of(atoms.numbers), atoms.positions).value)
    assert values[0] == pytest.approx(0.0, abs=1e-8)
    assert values[0] < values[1] < values[2]
    twice = hausdorff_chirality(Kinds.of(ag70(6.0).numbers), 2.0 * ag70(-6.0).positions).value
    assert twice == pytest.approx(values[2], rel=1e-3)
