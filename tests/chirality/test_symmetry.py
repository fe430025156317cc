"""Continuous symmetry measures: closed forms, brute force, an independent program, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.chirality.continuous import SymmetrySearch
from clusterml.chirality.pointgroups import _derivatives, _tables, best_orientation, overlap, point_group
from clusterml.chirality.representation import best_permutations, is_consistent
from clusterml.errors import OptionError
from clusterml.structure.rotations import rotation_vector_matrix
from clusterml.structure.superpose import Kinds

# Distorted molecules and their measures by cosymlib 0.12.1 (Llunell, Alemany, Alvarez et al., pip install cosymlib).
# Only values that brute force over all permutations confirms are listed: its own search misses others.
COSYMLIB = {
    "CH4": (
        [6, 1, 1, 1, 1],
        [[0.00018, 0.04481, -0.04112], [0.49572, 0.56111, 0.48056], [0.63833, -0.42828, -0.70314],
         [-0.72238, 0.70279, -0.57578], [-0.6135, -0.76888, 0.62492]],
        {"Cs": 0.04466, "S4": 1.08322, "C2": 0.34049, "C3": 0.29967, "Ci": 32.46722},
    ),
    "CHFClBr": (
        [6, 1, 9, 17, 35],
        [[0.0, 0.0, 0.0], [0.62931, 0.62931, 0.62931], [0.7852, -0.7852, -0.7852], [-1.02191, 1.02191, -1.02191],
         [-1.12006, -1.12006, 1.12006]],
        {"Cs": 19.57788, "C2": 52.63214, "C3": 52.63214},
    ),
    "S6 prism, twisted": (
        [16] * 6,
        [[1.7, 0.0, 1.36], [-0.85, 1.47224, 1.36], [-0.85, -1.47224, 1.36], [1.54072, 0.71845, -1.36],
         [-1.39256, 0.97508, -1.36], [-0.14816, -1.69353, -1.36]],
        {"Ci": 5.51366, "Cs": 2.24525, "S4": 4.29127, "S6": 5.51366, "C2": 0.0, "C3": 0.0, "C4": 6.15514},
    ),
    "H2O2": (
        [8, 8, 1, 1],
        [[0.0, 0.734, -0.05], [0.0, -0.734, -0.05], [0.84, 0.88, 0.42], [-0.84, -0.88, 0.42]],
        {"Ci": 5.18738, "Cs": 5.18738, "S4": 15.05924, "C2": 0.0, "C3": 15.05924, "C4": 15.05924},
    ),
}  # fmt: skip


def measure(positions, name, labels=None):
    labels = np.ones(len(positions), dtype=int) if labels is None else np.asarray(labels)
    return SymmetrySearch(Kinds.of(labels), np.asarray(positions, dtype=float)).measure(name)


@pytest.mark.parametrize("molecule", COSYMLIB)
def test_an_independent_program_finds_the_same(molecule):
    labels, positions, expected = COSYMLIB[molecule]
    search = SymmetrySearch(Kinds.of(np.array(labels)), np.array(positions))
    assert {name: search.measure(name).value for name in expected} == pytest.approx(expected, abs=2e-4)


def test_closed_forms(turn, disphenoid):
    a, b, c = 1.3, 1.0, 0.8
    total = a * a + b * b + c * c
    rectangle = np.array([[a, b, 0], [-a, b, 0], [-a, -b, 0], [a, -b, 0]]) @ turn.T
    assert measure(rectangle, "C4").value == pytest.approx(50.0 * (a - b) ** 2 / (a * a + b * b))
    corners = disphenoid(a, b, c) @ turn.T
    mean = (a + b + c) / 3
    regular = 100.0 * ((a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2) / total
    assert measure(corners, "Td").value == pytest.approx(regular)
    assert measure(corners, "T").value == pytest.approx(regular)
    assert measure(corners, "S4").value == pytest.approx(50.0 * (b - c) ** 2 / total)
    assert measure(corners, "D2").value == pytest.approx(0.0, abs=1e-12)
    assert measure(corners, "Ci", [1, 2, 3, 4]).value == pytest.approx(100.0)


@pytest.mark.parametrize("name", ["Cs", "Ci", "C2"])
def test_involutions_are_exact_for_random_clouds(rng, brute, name):
    for n_atoms in (4, 5, 6):
        for labels in (np.ones(n_atoms, int), np.arange(n_atoms) % 2):
            positions = rng.normal(size=(n_atoms, 3))
            assert measure(positions, name, labels).value == pytest.approx(brute(labels, positions, name), abs=1e-7)


@pytest.mark.parametrize("name", ["C3", "S4", pytest.param("S6", marks=pytest.mark.slow)])
def test_higher_axes_are_exact_for_distorted_molecules_and_close_for_random_clouds(rng, brute, name):
    group = point_group(name)
    orbit = group.elements @ np.array([1.5, 0.2, 0.7])
    atoms = np.concatenate([[[0, 0, 0.0]], orbit])[:6]
    labels = np.array([2] + [1] * (len(atoms) - 1))
    distorted = atoms + rng.normal(scale=0.15, size=atoms.shape)
    assert measure(distorted, name, labels).value == pytest.approx(brute(labels, distorted, name), abs=1e-7)
    for _ in range(2):
        cloud = rng.normal(size=(5, 3))
        exact = brute(np.ones(5, int), cloud, name)
        assert exact - 1e-7 <= measure(cloud, name).value <= 1.2 * exact


@pytest.mark.parametrize("name", ["C2", "C3", "D3", "D3d", "S4", "T", "Td", "Th", "O", "Oh", "I", "Ih", "C4v", "D2d"])
def test_symmetric_geometries_measure_zero_and_noise_measures_what_it_is(rng, turn, name):
    group = point_group(name)
    seeds = rng.normal(scale=3.0, size=(2, 3)) if group.order < 40 else [[0.5, 1.5, 3.0]]
    ideal = np.concatenate([group.elements @ seed for seed in np.asarray(seeds)]) @ turn.T
    assert measure(ideal, name).value == pytest.approx(0.0, abs=1e-10)
    noise = rng.normal(scale=0.02, size=ideal.shape)
    measured = measure(ideal + noise, name)
    assert 0.0 < measured.value < 100.0 * (noise**2).sum() / (ideal**2).sum()


@pytest.mark.parametrize("name", ["Cs", "S4", "C3", "D3", "T", "Td", "Oh"])
def test_the_nearest_structure_has_the_symmetry_and_is_that_far(rng, ag70, name):
    atoms = ag70(5.0)
    positions = atoms.positions + rng.normal(scale=0.05, size=atoms.positions.shape)
    measured = measure(positions, name, atoms.numbers)
    centred = positions - positions.mean(axis=0)
    for matrix, image in zip(measured.operations, measured.permutations, strict=True):
        assert np.allclose(measured.nearest @ matrix.T, measured.nearest[image], atol=1e-8)
        assert np.array_equal(atoms.numbers[image], atoms.numbers)
    assert is_consistent(measured.permutations, point_group(name).table)
    distance = ((centred - measured.nearest) ** 2).sum(axis=1)
    assert measured.value == pytest.approx(100.0 * distance.sum() / (centred**2).sum())
    assert measured.contributions.sum() == pytest.approx(measured.value)
    assert measured.contributions == pytest.approx(100.0 * distance / (centred**2).sum())


def test_turning_moving_shuffling_scaling_and_mirroring_change_nothing(rng, turn, ag70):
    atoms = ag70(6.0)
    positions = atoms.positions + rng.normal(scale=0.05, size=atoms.positions.shape)
    order = rng.permutation(len(positions))
    moved = 1.7 * (positions @ turn.T)[order] * [1, 1, -1] + [5.0, -3.0, 1.0]
    for name in ("Cs", "S4", "T", "Td"):
        assert measure(moved, name, atoms.numbers[order]).value == pytest.approx(
            measure(positions, name, atoms.numbers).value, rel=1e-6
        )


def test_a_subgroup_is_never_farther(rng, ag70):
    atoms = ag70(4.0)
    positions = atoms.positions + rng.normal(scale=0.1, size=atoms.positions.shape)
    search = SymmetrySearch(Kinds.of(atoms.numbers), positions)
    values = {name: search.measure(name).value for name in ("Cs", "C2", "C3", "D2", "S4", "T", "Td")}
    for small, large in (("C2", "D2"), ("D2", "T"), ("C3", "T"), ("T", "Td"), ("S4", "Td"), ("Cs", "Td")):
        assert values[small] <= values[large] + 1e-9


def test_a_ceiling_only_ends_hopeless_searches(ag70):
    atoms = ag70(8.0)
    search = SymmetrySearch(Kinds.of(atoms.numbers), atoms.positions)
    value = search.measure("Cs").value
    assert search.below("Cs", value - 1e-3) is None
    measure = search.below("Cs", value + 1e-3)
    assert measure is not None
    assert measure.value == pytest.approx(value)
    with pytest.raises(OptionError, match="no point group"):
        search.measure("Q7")


def test_orientations_are_optimal(rng, turn):
    group = point_group("Td")
    correlation = rng.normal(size=(2, group.order, 3, 3))
    gradient, hessian = _derivatives(_tables(group.elements), np.stack([turn, np.eye(3)]), correlation)

    def value(step):
        return overlap(group.elements, turn @ rotation_vector_matrix(np.asarray(step)), correlation[0])

    tiny = 1e-4 * np.eye(3)
    slopes = [(value(e) - value(-e)) / 2e-4 for e in tiny]
    curves = [[(value(e + f) - value(e - f) - value(f - e) + value(-e - f)) / 4e-8 for f in tiny] for e in tiny]
    assert gradient[0] == pytest.approx(np.array(slopes), abs=1e-5)
    assert hessian[0] == pytest.approx(np.array(curves), abs=1e-4)
    points = group.elements @ np.array([0.4, 1.1, 2.3]) @ turn.T
    kinds = Kinds.of(np.ones(24, dtype=int))
    images = best_permutations(kinds, points, turn @ group.elements @ turn.T, group.table)
    product = np.swapaxes(points[images], -1, -2) @ points
    start = turn @ rotation_vector_matrix(np.array([0.1, -0.15, 0.05]))
    orientation = best_orientation(group.elements, start, product)
    assert overlap(group.elements, orientation, product) == pytest.approx(group.order * (points**2).sum())


def _involutions(atoms: list[int]):
    """Every permutation of ``atoms`` that is its own inverse, as a dictionary."""
    if not atoms:
        yield {}
        return
    first, *rest = atoms
    yield from ({first: first, **others} for others in _involutions(rest))
    for k, partner in enumerate(rest):
        yield from ({first: partner, partner: first, **d} for d in _involutions(rest[:k] + rest[k + 1 :]))


@pytest.mark.parametrize("seed", [*range(10), 42, 49, 94, 107, 112, 124, 164, 199])
def test_inversion_is_measured_exactly(seed):
    """Shells of 5 to 9 equal atoms: no pairing of them is nearer to a centre, odd ones too."""
    rng, count = np.random.default_rng(100 + seed), 5 + seed % 5
    points = rng.normal(size=(count, 3))
    points *= (1.0 + 0.1 * rng.normal(size=(count, 1))) / np.linalg.norm(points, axis=1, keepdims=True)
    points -= points.mean(axis=0)
    gram, size = points @ points.T, float((points**2).sum())
    least = min(sum(gram[i, j] for i, j in pairing.items()) for pairing in _involutions(list(range(count))))
    exact = 100.0 * (1.0 - (size - least) / 2.0 / size)
    search = SymmetrySearch(Kinds.of(np.zeros(count, dtype=np.int64)), points)
    assert search.measure("Ci").value == pytest.approx(exact, abs=1e-6)
