"""Hands of clusters and crystals: by symmetry, by superposition, and where neither can tell."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from clusterml.structure.crystal.molecules import fill_cell
from clusterml.structure.crystal.surroundings import compare_hands
from clusterml.structure.formats.cif import parse_cif
from clusterml.structure.options import ReadOptions
from clusterml.structure.read import read


def judge(writer):
    filled = fill_cell(parse_cif(writer.text(), "x"))
    hands = compare_hands(filled)
    return filled, hands


def mirrored(atoms):
    image = atoms.copy()
    image.positions *= -1
    return image


def tetrahedral(distort=0.0, seed=0):
    """Ag4 tetrahedron, S on its faces, Cl on its corners: Td."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    atoms = Atoms("Ag4S4Cl4", np.concatenate([1.75 * corners, -2.3 * corners, 4.1 * corners]))
    atoms.positions += np.random.default_rng(seed).normal(0, distort, atoms.positions.shape)
    return atoms


def test_an_inversion_centre_makes_a_racemic_crystal(crystal, ag29):
    _, hands = judge(crystal("P -1", (30, 30, 30)).add(ag29, (0.26, 0.3, 0.3)))
    assert [h.hand for h in hands.hands] == ["A", "B"]
    assert [h.basis for h in hands.hands] == ["first", "symmetry"]
    assert hands.hands[0].mirror_misfit == pytest.approx(1.315, abs=0.02)
    assert hands.kind == {"Ag29H36P4S24": "racemic"}


@pytest.mark.parametrize(
    ("group", "place", "kind", "says"),
    [
        ("P -1", (0.26, 0.3, 0.3), "racemic", ["the crystal is racemic: the sample has no CD; this is cluster 2"]),
        ("P 1 21 1", (0.3, 0.1, 0.3), "enantiopure", []),
        ("P 1", (0.3, 0.1, 0.3), None, []),
    ],
)
def test_a_structure_says_what_hands_its_crystal_holds(crystal, ag29, tmp_path, group, place, kind, says):
    path = tmp_path / "crystal.cif"
    path.write_text(crystal(group, (32, 30, 34)).add(ag29, place).text())
    atoms = read(path, options=ReadOptions(cluster=1 if group == "P 1" else 2))
    provenance = atoms.info["provenance"]
    assert provenance.get("handedness") == kind
    assert [w.split(", of hand B,")[0] for w in provenance["warnings"] if "CD" in w] == says


def test_a_screw_axis_makes_an_enantiopure_crystal(crystal, ag29):
    filled, hands = judge(crystal("P 1 21 1", (32, 30, 34), (90, 95, 90)).add(ag29, (0.3, 0.1, 0.3)))
    assert filled.crystal.sohncke
    assert hands.count("Ag29H36P4S24", filled) == {"A": 2}
    assert hands.kind == {"Ag29H36P4S24": "enantiopure"}


def test_a_glide_plane_and_a_threefold_axis(crystal, ag29):
    cluster = ag29.copy()
    cluster.rotate((-1, -1, -1), (0, 0, 1))
    filled, hands = judge(crystal("P -3 c 1", (32, 32, 60), (90, 90, 120)).add(cluster, (1 / 3, 2 / 3, 0.06)))
    assert hands.count("Ag29H36P4S24", filled) == {"A": 2, "B": 2}
    assert {len(filled.molecules[k].stabilizer) for k in filled.clusters} == {3}
    assert hands.kind["Ag29H36P4S24"] == "racemic"


@pytest.mark.parametrize("shuffled", [False, True])
def test_independent_clusters_are_compared_by_their_frames(crystal, ag29, rng, shuffled):
    second, third = mirrored(ag29), ag29.copy()
    if shuffled:
        order = rng.permutation(len(ag29))
        second, third = second[order], third[order]
        third.rotate(40, (1, 2, 3))
    writer = crystal("P 1", (66, 28, 28)).add(ag29, (0.17, 0.5, 0.5)).add(second, (0.5, 0.5, 0.5))
    _, hands = judge(writer.add(third, (0.84, 0.5, 0.5)))
    assert [h.hand for h in hands.hands] == ["A", "B", "A"]
    assert hands.kind == {"Ag29H36P4S24": "mixed"}
    _, hands = judge(crystal("P 1", (50, 28, 28)).add(ag29, (0.2, 0.5, 0.5)).add(second, (0.7, 0.5, 0.5)))
    assert hands.kind == {"Ag29H36P4S24": "racemic"}
    assert "kryptoracemic" in hands.notes[0]


def test_a_site_of_improper_symmetry_is_achiral(crystal):
    filled, hands = judge(crystal("F d -3 m:1", (30, 30, 30)).add(tetrahedral()))
    assert [h.hand for h in hands.hands] == ["achiral"] * 8
    assert {h.basis for h in hands.hands} == {"symmetry"}
    assert {len(filled.molecules[k].stabilizer) for k in filled.clusters} == {24}


def test_a_cluster_can_be_achiral_without_the_crystal_saying_so(crystal):
    _, hands = judge(crystal("P 1 21 1", (20, 20, 20)).add(tetrahedral(0.01), (0.3, 0.1, 0.3)))
    assert [h.hand for h in hands.hands] == ["achiral", "achiral"]
    assert hands.hands[0].basis == "frame"
    assert 0 < hands.hands[0].mirror_misfit < 0.05
    assert hands.kind["Ag4Cl4S4"] == "achiral"
    _, hands = judge(crystal("P 1 21 1", (20, 20, 20)).add(tetrahedral(0.2), (0.3, 0.1, 0.3)))
    assert hands.kind["Ag4Cl4S4"] == "enantiopure"


def test_both_hands_on_one_site(crystal, ag29):
    """A chiral cluster disordered over a mirror image of itself: one is kept, both are in the crystal."""
    writer = crystal("P -1", (26, 26, 26)).add(ag29, (0.5, 0.5, 0.5), occupancy=0.5, part=-1, whole=True)
    filled, hands = judge(writer)
    assert len(filled.clusters) == 1
    assert filled.molecules[filled.clusters[0]].formula == "Ag29H36P4S24"
    assert hands.kind == {"Ag29H36P4S24": "racemic"}
    assert "disordered over a site" in hands.notes[0]


def test_frames_that_differ_are_not_compared(crystal):
    ag3 = Atoms("Ag3SClBr", [[0, 0, 0], [2.9, 0, 0], [1.4, 2.5, 0], [1.4, 0.8, 2.0], [-2.4, 0, 0.3], [4.0, -2.1, 0.2]])
    distorted = ag3.copy()
    distorted.positions[3:] += [[0.5, 0.4, 0.1], [0.4, 1.9, 0.3], [0.5, 0.9, 1.7]]
    writer = crystal("P 1", (30, 15, 15)).add(ag3, (0.2, 0.5, 0.5)).add(distorted, (0.7, 0.5, 0.5))
    _, hands = judge(writer)
    assert [h.hand for h in hands.hands] == ["A", None]
    assert hands.kind == {"Ag3BrClS": None}
    assert "could not be compared" in hands.notes[0]
