"""Staples, crowns and trigons: how many, of what, and where their axes point."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from clusterml.structure.anatomy.anatomy import find_motifs
from clusterml.structure.anatomy.kernel import metal_frame
from clusterml.structure.read import read


def motifs(atoms):
    return find_motifs(np.asarray(atoms.numbers, dtype=np.int64), atoms.positions, metal_frame(atoms))


def kinds(atoms):
    """(kind, metals, sulfurs) -> how many."""
    present = motifs(atoms)
    metals = [m for motif in present for m in motif.metals.tolist()]
    assert len(metals) == len(set(metals))
    for motif in present:
        assert set(motif.metals) <= set(motif.atoms)
        assert np.linalg.norm(motif.axis) == pytest.approx(1.0)
        assert np.allclose(motif.centre, atoms.positions[motif.metals].mean(axis=0))
        assert motif.axis @ (motif.centre - metal_frame(atoms).centre) > 0
    return dict(Counter((m.kind, len(m.metals), len(m.atoms) - len(m.metals)) for m in present))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("structures/Ag25_methylthiol.xyz", {("staple", 2, 3): 6}),
        ("structures/Ag25_final.xyz", {("staple", 2, 3): 6}),
        ("structures/Ag24Pt_methylthiol.xyz", {("staple", 2, 3): 6}),
        ("structures/au25_pet18_opt.xyz", {("staple", 2, 3): 6}),
        ("structures/au38_pet24q_opt.xyz", {("staple", 2, 3): 6, ("staple", 1, 2): 3}),
        ("geometry/Ag29_BDT12_PH3_4_T_M.xyz", {("crown", 3, 6): 4}),
        ("geometry/Ag32_SH24_PH3_10_C3.xyz", {("crown", 3, 6): 4}),
        ("geometry/Ag33_SH24_PH3_11_C1_P.xyz", {("crown", 3, 6): 4}),
        ("geometry/Ag70S28_core_Td_scaled.xyz", {("trigon", 3, 0): 4}),
        ("geometry/Ag70S28_core_T_twistM8.xyz", {("trigon", 3, 0): 4}),
        ("geometry/Ag70S4_SH24_HCOO12_Cl8_T_P.xyz", {("trigon", 3, 0): 4}),
    ],
)
def test_known_clusters(shared, name, expected):
    atoms = read(shared / name, allow_several=True)
    assert kinds(atoms) == expected
    rng = np.random.default_rng(3)
    same = 0
    for _ in range(10):
        moved = atoms.copy()
        moved.positions += rng.normal(scale=0.05, size=moved.positions.shape)
        same += kinds(moved) == expected
    assert same == 10


def test_crowns_of_ag29_are_tetrahedral_and_hold_all_sulfur(examples):
    atoms = read(examples / "ag29_model.xyz")
    assert kinds(atoms) == {("crown", 3, 6): 4}
    present = motifs(atoms)
    assert (
        sorted({s for m in present for s in set(m.atoms) - set(m.metals)})
        == np.flatnonzero(atoms.numbers == 16).tolist()
    )
    axes = np.array([m.axis for m in present])
    cosines = (axes @ axes.T)[np.triu_indices(4, 1)]
    assert np.allclose(cosines, -1 / 3, atol=1e-3)


def test_trigons_of_ag70_lie_on_its_threefold_axes(ag70_core):
    assert kinds(ag70_core) == {("trigon", 3, 0): 4}
    present = motifs(ag70_core)
    assert np.allclose(np.abs(np.array([m.axis for m in present])), 3**-0.5, atol=1e-6)
    outermost = metal_frame(ag70_core).shells[-1]
    assert sorted(m for motif in present for m in motif.metals) == outermost.tolist()


def test_trigons_are_found_when_turned_open(ag70_core):
    """In the T-distorted model the Ag-Ag contacts of a trigon are 3.6 A long."""
    for motif in motifs(ag70_core):
        spread = ag70_core.positions[motif.metals] - motif.centre
        ag70_core.positions[motif.metals] = motif.centre + 1.12 * spread
    assert kinds(ag70_core) == {("trigon", 3, 0): 4}


def test_staple_axes_point_along_their_twofold_axes(shared):
    """In Ag25 the axis of a staple passes through its middle S and the cluster's centre."""
    atoms = read(shared / "structures" / "Ag25_methylthiol.xyz")
    for motif in motifs(atoms):
        outward = motif.centre - metal_frame(atoms).centre
        assert motif.axis @ outward / np.linalg.norm(outward) > 0.97


def test_nothing_is_found_where_there_is_nothing(ag12, centred):
    assert motifs(ag12) == ()
    assert motifs(centred("icosahedron")) == ()
