"""Geometries with known symmetry, and brute force over all permutations to judge the searches by."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from ase import Atoms

from clusterml.chirality.pointgroups import point_group
from clusterml.chirality.template import ag70_td
from clusterml.structure.rotations import axis_rotation, quaternion_matrices


@pytest.fixture
def turn(rng: np.random.Generator) -> np.ndarray:
    """A random proper rotation."""
    quaternion = rng.normal(size=4)
    return quaternion_matrices(quaternion / np.linalg.norm(quaternion))


@pytest.fixture(scope="session")
def ag70() -> Callable[[float], Atoms]:
    """Trigon turn (degrees, counter-clockwise from outside) -> the Ag70S28 core, Td for 0 and T else."""
    model = ag70_td()
    trigons = np.array([name == "Ag12 (trigons)" for name in model.shells])
    axes = np.array([[-1, -1, 1], [-1, 1, -1], [1, -1, -1], [1, 1, 1]]) / np.sqrt(3)

    def build(angle: float) -> Atoms:
        positions = model.positions.copy()
        owner = np.argmax(positions @ axes.T, axis=1)
        for number, axis in enumerate(axes):
            mine = trigons & (owner == number)
            assert mine.sum() == 3
            positions[mine] = positions[mine] @ axis_rotation(axis, np.radians(angle)).T
        numbers = np.where(model.numbers == 0, 47, model.numbers)
        return Atoms(numbers, positions, info={"name": f"Ag70S28 {angle:g}"})

    return build


@pytest.fixture(scope="session")
def disphenoid() -> Callable[..., np.ndarray]:
    """Half edges a, b, c -> the corners of a D2 tetrahedron."""

    def corners(a: float, b: float, c: float) -> np.ndarray:
        return np.array([[a, b, c], [a, -b, -c], [-a, b, -c], [-a, -b, c]])

    return corners


@pytest.fixture(scope="session")
def brute() -> Callable[[np.ndarray, np.ndarray, str], float]:
    """Measure of a cyclic group by all permutations, each with its best axis found exactly."""
    return brute_measure


def brute_measure(labels: np.ndarray, positions: np.ndarray, name: str) -> float:
    """With a permutation given, the overlap is a quadratic function of the axis: maximised through its polynomial."""
    positions = positions - positions.mean(axis=0)
    group = point_group(name)
    powers = next(p for p in (cycle(group.table, g) for g in range(group.order)) if len(p) == group.order)
    best = -np.inf
    for choice in permutations(range(len(labels))):
        step = np.array(choice)
        images = [np.arange(len(labels))]
        for _ in powers[1:]:
            images.append(step[images[-1]])
        closed = np.array_equal(step[images[-1]], images[0])
        if closed and np.array_equal(labels[step], labels):
            best = max(best, best_axis(group.elements[powers], positions, images))
    return 100.0 * (1.0 - best / (group.order * (positions**2).sum()))


def cycle(table: np.ndarray, element: int) -> list[int]:
    order = [0]
    while (following := int(table[order[-1], element])) != 0:
        order.append(following)
    return order


def best_axis(operations: np.ndarray, positions: np.ndarray, images: list[np.ndarray]) -> float:
    constant, quadratic, linear = 0.0, np.zeros((3, 3)), np.zeros(3)
    for operation, image in zip(operations, images, strict=True):
        correlation = positions[image].T @ positions
        determinant = round(np.linalg.det(operation))
        cosine = (np.trace(operation) - determinant) / 2
        sine = (operation[1, 0] - operation[0, 1]) / 2
        constant += cosine * np.trace(correlation)
        quadratic += (determinant - cosine) * (correlation + correlation.T) / 2
        skew = correlation - correlation.T
        linear += sine * np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    return constant + sphere_maximum(quadratic, linear)


def sphere_maximum(quadratic: np.ndarray, linear: np.ndarray) -> float:
    """Largest m.A.m + b.m over unit vectors m, from the roots of the secular equation."""
    values, vectors = np.linalg.eigh(quadratic)
    along = vectors.T @ linear
    factors = [np.poly1d([1.0, -value]) ** 2 for value in values]
    secular = factors[0] * factors[1] * factors[2]
    for k in range(3):
        secular = secular - np.poly1d([along[k] ** 2 / 4]) * factors[k - 1] * factors[k - 2]
    best = max(value + abs(slope) for value, slope in zip(values, along, strict=True))
    for root in secular.roots:
        gap = root.real - values
        if abs(root.imag) < 1e-6 and np.abs(gap).min() > 1e-9 and np.abs(along).max() > 1e-12:
            direction = along / gap
            direction /= np.linalg.norm(direction)
            best = max(best, direction @ (values * direction) + along @ direction)
    return float(best)
