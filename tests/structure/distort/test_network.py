from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from clusterml.structure.distort.network import bend_rows, bond_constants, hessian, torsion_rows
from clusterml.structure.distort.subject import Subject
from clusterml.structure.distort.vibrations import vibrations, wavenumbers


def numeric_rows(value, points: np.ndarray, step: float = 1e-6) -> np.ndarray:
    rows = np.zeros_like(points)
    for k in np.ndindex(points.shape):
        ends = []
        for sign in (1.0, -1.0):
            moved = points.copy()
            moved[k] += sign * step
            ends.append(value(moved))
        rows[k] = (ends[0] - ends[1]) / (2.0 * step)
    return rows


def dihedral(p: np.ndarray) -> float:
    b = np.diff(p, axis=0)
    first, second = np.cross(b[0], b[1]), np.cross(b[1], b[2])
    return float(np.arctan2(np.linalg.norm(b[1]) * (b[0] @ second), first @ second))


def angle(p: np.ndarray) -> float:
    u, v = p[0] - p[1], p[2] - p[1]
    return float(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))


def test_rows_of_torsions_and_bends_are_derivatives(rng):
    for _ in range(5):
        points = np.array([[1.0, 0.2, 0], [0, 0, 0], [0, 0, 1.4], [0.3, 1.0, 1.9]]) + rng.normal(0, 0.15, (4, 3))
        rows, usable = torsion_rows(points[None])
        assert usable[0]
        assert np.abs(rows[0]) == pytest.approx(np.abs(numeric_rows(dihedral, points)), abs=1e-6)
        assert rows[0].sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)  # a shift turns nothing
        sign = np.sign(np.sum(rows[0] * numeric_rows(dihedral, points)))
        assert rows[0] == pytest.approx(sign * numeric_rows(dihedral, points), abs=1e-6)
        bend, usable = bend_rows(points[None, :3])
        assert usable[0]
        assert bend[0] == pytest.approx(numeric_rows(angle, points[:3]), abs=1e-6)


def test_straight_chains_are_not_usable():
    line = np.array([[0, 0, 0], [0, 0, 1.0], [0, 0, 2.0], [0.5, 0, 2.8]])
    assert not torsion_rows(line[None])[1][0]
    assert not bend_rows(line[None, :3])[1][0]


@pytest.mark.parametrize("name", ["thiol", "ag29", "td"])
def test_rigid_motions_are_free_and_nothing_else(request, name):
    subject = request.getfixturevalue(name)
    matrix = hessian(subject)
    assert np.abs(matrix - matrix.T).max() < 1e-9
    values = np.linalg.eigvalsh(matrix)
    assert np.abs(values[:6]).max() < 1e-8
    assert values[6] > 1e-4
    assert len(wavenumbers(subject)) == 3 * len(subject.numbers) - 6


def test_linear_and_planar_molecules_have_no_other_free_motion():
    for name, free in (("C6H6", 6), ("C2H2", 5), ("HCOOH", 6), ("CH3CN", 6)):
        values = np.linalg.eigvalsh(hessian(Subject(molecule(name))))
        assert np.abs(values[:free]).max() < 1e-8, name
        assert values[free] > 0.02, name


def test_wavenumbers_are_those_of_molecules(thiol, td):
    """Stretches and torsions of methanethiol within 15 % of the measured C-H 2931-3012, S-H 2610, C-S 708 cm-1."""
    frequencies = wavenumbers(thiol)
    assert frequencies[-3:] == pytest.approx([2931, 3012, 3012], rel=0.15)
    assert frequencies[-4] == pytest.approx(2610, rel=0.15)
    assert np.abs(frequencies / 708 - 1.0).min() < 0.15
    assert 100 < frequencies[0] < 400  # torsion of the methyl group
    frame = wavenumbers(td)
    assert frame[0] < 60  # the whole frame breathes and shears slowly
    lightest = np.abs(vibrations(td).displacement[-36:]).max(axis=2)
    assert np.all(td.numbers[np.argmax(lightest, axis=1)] == 1)


def test_badger_constants_grow_with_bond_order():
    carbon, oxygen = np.array([6, 6, 6]), np.array([6, 6, 8])
    constants = bond_constants(carbon, oxygen, np.array([1.54, 1.34, 1.21]))
    assert np.all(np.diff(constants) > 0)
    assert constants == pytest.approx([3.0, 6.5, 12.5], rel=0.1)


def test_network_moves_metals_more_than_bonds(ag29):
    """The softest motions leave C-H bonds as they are."""
    modes = vibrations(ag29)
    pairs = ag29.pairs.select((ag29.numbers[ag29.pairs.first] == 1) | (ag29.numbers[ag29.pairs.second] == 1))
    line = ag29.positions[pairs.first] - ag29.positions[pairs.second]
    shift = modes.displacement[:30][:, pairs.first] - modes.displacement[:30][:, pairs.second]
    assert np.abs(np.sum(shift * line, axis=2) / pairs.distance).max() < 0.02


def test_single_atoms_and_pairs():
    assert hessian(Subject(Atoms("Ag", [[0, 0, 0]]))).shape == (3, 3)
    assert len(wavenumbers(Subject(Atoms("Ag", [[0, 0, 0]])))) == 0
    stretch = wavenumbers(Subject(Atoms("Ag2", [[0, 0, 0], [0, 0, 2.53]])))
    assert len(stretch) == 1
    assert 80 < stretch[0] < 250  # measured 192 cm-1
