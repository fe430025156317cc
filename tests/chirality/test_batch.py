"""Many distortions at once: the numbers of the full searches, and batches of any size."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.chirality.batch import chirality_batch
from clusterml.chirality.continuous import SymmetrySearch
from clusterml.chirality.measures import continuous_chirality
from clusterml.chirality.report import chirality_report
from clusterml.errors import OptionError, StructureError
from clusterml.structure.read import read
from clusterml.structure.superpose import Kinds, superpose


def test_a_batch_equals_full_searches(rng, ag70):
    parent = ag70(0.0)
    scales = np.array([0.05, 0.25])[:, None, None]
    positions = parent.positions + scales * rng.normal(size=(2, *parent.positions.shape))
    full = []
    for points in positions:
        search = SymmetrySearch(Kinds.of(parent.numbers), points)
        misfit = superpose(parent.numbers, points, points, improper=True).rmsd
        full.append([continuous_chirality(search).value, misfit, search.measure("T").value, search.measure("Td").value])
    for assign in (True, False):
        batch = chirality_batch(
            parent.numbers, positions, parent=parent.positions, groups=("T", "Td"), assign=assign, samples=0
        )
        together = np.stack([batch.ccm, batch.misfit, batch.symmetry["T"], batch.symmetry["Td"]], axis=1)
        assert together == pytest.approx(np.array(full), rel=1e-6)


def test_distortions_of_a_chiral_parent_are_bounded_by_the_full_search(rng, examples):
    atoms = read(examples / "ag29_model.xyz")
    frame = atoms[(atoms.numbers == 47) | (atoms.numbers == 16)]
    positions = frame.positions + 0.05 * rng.normal(size=(3, *frame.positions.shape))
    batch = chirality_batch(frame.numbers, positions, parent=frame.positions, samples=2)
    for k, points in enumerate(positions):
        full = continuous_chirality(SymmetrySearch(Kinds.of(frame.numbers), points)).value
        assert batch.ccm[k] == pytest.approx(full, rel=1e-3)


def test_the_twist_scan_is_symmetric_and_signed(ag70):
    angles = np.linspace(-10.0, 10.0, 5)
    parent = ag70(0.0)
    batch = chirality_batch(
        parent.numbers, np.stack([ag70(a).positions for a in angles]), parent=parent.positions, assign=False, samples=0
    )
    assert batch.ccm == pytest.approx(batch.ccm[::-1], abs=1e-9)
    assert batch.ccm[2] == pytest.approx(0.0, abs=1e-9)
    assert np.all(np.diff(batch.ccm[2:]) > 0)
    assert np.all(np.diff(batch.misfit[2:]) > 0)
    assert batch.opd_local == pytest.approx(-batch.opd_local[::-1], abs=1e-15)
    assert np.all(np.diff(batch.opd_local) < 0)


def test_one_geometry_is_a_batch(ag70):
    atoms = ag70(3.0)
    batch = chirality_batch(atoms.numbers, atoms.positions[None])
    assert batch.ccm.shape == batch.misfit.shape == batch.opd.shape == (1,)
    search = SymmetrySearch(Kinds.of(atoms.numbers), atoms.positions)
    assert batch.ccm[0] == pytest.approx(continuous_chirality(search).value, rel=1e-6)


def test_wrong_shapes_and_numbers_are_refused(ag70):
    atoms = ag70(0.0)
    for positions in (atoms.positions, np.zeros((0, 98, 3)), np.zeros((2, 97, 3))):
        with pytest.raises(StructureError, match="cannot be measured"):
            chirality_batch(atoms.numbers, positions)
    broken = atoms.positions[None].copy()
    broken[0, 3, 1] = np.nan
    with pytest.raises(StructureError, match="not finite"):
        chirality_batch(atoms.numbers, broken)
    for parent in (atoms.positions[1:], broken[0]):
        with pytest.raises(StructureError, match="parent has shape"):
            chirality_batch(atoms.numbers, atoms.positions[None], parent=parent)
    with pytest.raises(StructureError, match="no atoms"):
        chirality_batch([], np.zeros((2, 0, 3)))
    with pytest.raises(OptionError, match="samples is -1"):
        chirality_batch(atoms.numbers, atoms.positions[None], samples=-1)


def test_without_a_metal_the_frame_is_the_whole_as_in_a_report():
    from ase import Atoms

    from clusterml.chirality.part import FrameChirality

    molecule = Atoms("CHFClBr", [(0, 0, 0), (0, 0, 1.1), (1.3, 0, -0.4), (-0.9, 1.5, -0.5), (-1.0, -1.7, -0.6)])
    frame, report = FrameChirality(molecule), chirality_report(molecule)
    assert len(frame.positions) == 5
    assert frame.opd == pytest.approx(report.whole.opd)
    assert frame.ccm == pytest.approx(report.whole.ccm)
