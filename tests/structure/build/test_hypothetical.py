"""Hypothetical clusters: skeletons of known shape, donors at usual distances, charges that close a shell."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from clusterml.errors import OptionError, StructureError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.library import load_library
from clusterml.structure.anatomy.superatom import superatom_electrons
from clusterml.structure.bonds import bonds, neighbours
from clusterml.structure.build.build import build
from clusterml.structure.build.contacts import CLOSEST, find_closest_contact
from clusterml.structure.build.coverage import add_donors, add_staples, bare_frame, settle_frame
from clusterml.structure.build.dopants import dope, draw_dopant
from clusterml.structure.build.hypothetical import Hypothetical, build_hypothetical
from clusterml.structure.build.outfit import draw_substitute, ligand_role
from clusterml.structure.build.skeleton import CONTACT, POLYHEDRA, Skeleton, draw_skeleton, hull_faces

SMALL = ["SH", "Cl", "HCOO", "PH3"]


def rng(seed=0):
    return np.random.default_rng(seed)


def core_of(atoms):
    return np.flatnonzero(np.isin(atoms.numbers, [29, 46, 47, 78, 79]))


def skeleton_of(points):
    return Skeleton("shelled", points, "", np.empty((0, 3)))


@pytest.mark.parametrize(
    ("name", "corners", "faces"),
    [
        ("tetrahedron", 4, 4),
        ("octahedron", 6, 8),
        ("cube", 8, 6),
        ("trigonal prism", 6, 5),
        ("square antiprism", 8, 10),
        ("icosahedron", 12, 20),
        ("cuboctahedron", 12, 14),
        ("anticuboctahedron", 12, 14),
        ("rhombic dodecahedron", 14, 12),
    ],
)
def test_polyhedra_have_their_corners_and_faces(name, corners, faces):
    points, _ = POLYHEDRA[name]
    assert len(points) == corners
    assert len(hull_faces(points)) == faces
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + 9.0 * np.eye(len(points))
    assert gaps.min() == pytest.approx(CONTACT, rel=0.09)


@pytest.mark.parametrize("kind", ["compact", "shelled", "cage", "ring", "chain"])
def test_skeletons_have_the_wanted_size_and_no_metals_in_each_other(kind):
    for seed in range(6):
        skeleton = draw_skeleton(kind, 9, rng(seed))
        assert skeleton.positions.shape == (9, 3)
        gaps = np.linalg.norm(skeleton.positions[:, None] - skeleton.positions[None], axis=-1) + 9.0 * np.eye(9)
        assert gaps.min() > 2.3
        if skeleton.metallic:
            assert gaps.min(axis=1).max() < 3.2
    with pytest.raises(StructureError, match=kind):
        draw_skeleton(kind, 1, rng())


def test_a_settled_donor_is_at_usual_distances_from_the_metals_it_bridges():
    points, _ = POLYHEDRA["octahedron"]
    frame = settle_frame(add_donors(bare_frame(skeleton_of(points), np.full(6, 47)), 6, rng()))
    assert len(frame.donors) == 6
    assert frame.load.max() <= 4
    for at, group in zip(frame.donors, frame.binds, strict=True):
        length = np.linalg.norm(frame.positions - at, axis=1)
        assert np.abs(length[list(group)] - 2.5).max() < 0.25
        assert np.delete(length, group).min() > 2.9
    gaps = np.linalg.norm(frame.donors[:, None] - frame.donors[None], axis=-1) + 9.0 * np.eye(6)
    assert gaps.min() > 3.3


def test_a_staple_is_straight_and_ends_on_two_metals():
    points = np.concatenate([np.zeros((1, 3)), POLYHEDRA["icosahedron"][0]])
    frame = settle_frame(add_staples(bare_frame(skeleton_of(points), np.full(13, 47)), 2, 47, rng()))
    assert frame.straight == (13, 14)
    for metal in frame.straight:
        ends = [k for k, group in enumerate(frame.binds) if metal in group]
        first, second = (frame.donors[k] - frame.positions[metal] for k in ends)
        assert np.degrees(np.arccos(first @ second / np.linalg.norm(first) / np.linalg.norm(second))) > 145.0
        feet = [m for k in ends for m in frame.binds[k] if m != metal]
        assert len(set(feet)) == 2
        assert max(feet) < 13


def test_a_ring_of_silver_thiolate():
    choice = Hypothetical(kinds={"ring": 1.0}, metals=(5, 5), ligands=["SH"], dopants=0.0)
    atoms = build_hypothetical(3, choice)
    assert (atoms.info["name"], atoms.info["charge"]) == ("[Ag5(SH)5]", 0)
    table = neighbours(len(atoms), bonds(atoms.numbers, atoms.positions))
    sulfur, silver = set(np.flatnonzero(atoms.numbers == 16)), set(np.flatnonzero(atoms.numbers == 47))
    assert all(len(silver & set(table[s])) == 2 for s in sulfur)
    for metal in silver:
        ends = sorted(sulfur & set(table[metal]))
        assert len(ends) == 2
        assert atoms.get_angle(ends[0], metal, ends[1]) > 145.0


@pytest.mark.parametrize("number", range(4))
def test_a_cluster_closes_a_shell_and_nothing_clashes(number):
    choice = Hypothetical(metals=(4, 16), ligands=SMALL, most_atoms=80, kinds={"compact": 1.0, "shelled": 1.0})
    atoms = build_hypothetical(number, choice)
    known = atoms.info["provenance"]
    assert known["electrons"] in (2, 8)
    assert superatom_electrons(atoms, atoms.info["charge"]) == known["electrons"]
    assert (int(atoms.numbers.sum()) - atoms.info["charge"]) % 2 == 0
    assert abs(atoms.info["charge"]) <= 3
    assert anatomy(atoms).ligand_counts() == known["ligands"]
    assert find_closest_contact(atoms).ratio >= CLOSEST
    assert "hypothetical" in known["model"]


def test_small_clusters_have_small_charges_and_no_core_is_naked():
    draw = Hypothetical(metals=(2, 8), ligands=[*SMALL, "SCH3"], most_charge=6, most_atoms=60)
    for number in range(12):
        atoms = build_hypothetical(number, draw)
        core = core_of(atoms)
        assert abs(atoms.info["charge"]) <= 1 + len(core) // 6
        others = np.delete(atoms.positions, core, axis=0)
        near = np.linalg.norm(atoms.positions[core][:, None] - others, axis=-1).min(axis=1) < 3.0
        assert near.mean() >= 0.7


def test_seed_and_number_give_the_cluster():
    choice = Hypothetical(metals=(3, 9), ligands=SMALL, most_atoms=50)
    first = build_hypothetical(1, choice)
    others = [build_hypothetical(0, choice), build_hypothetical(1, choice.model_copy(update={"seed": 1}))]
    again = build_hypothetical(1, choice)
    np.testing.assert_array_equal(first.positions, again.positions)
    assert again.info == first.info
    for other in others:
        assert len(other) != len(first) or np.abs(other.positions - first.positions).max() > 0.1


def test_cages_of_silver_i_have_no_free_electrons():
    choice = Hypothetical(kinds={"cage": 1.0}, metals=(4, 6), ligands=["Cl", "PH3"], dopants=0.0)
    atoms = build_hypothetical(0, choice)
    assert superatom_electrons(atoms, atoms.info["charge"]) == 0
    assert set(atoms.info["provenance"]["ligands"]) <= {"Cl", "PH3"}


def test_a_dopant_sits_where_most_metals_meet():
    points = np.concatenate([POLYHEDRA["icosahedron"][0], np.zeros((1, 3))])
    drawn = Counter(draw_dopant(points, 8, rng(seed)) for seed in range(60))
    assert {site for site, _ in drawn} == {12}
    assert {number for _, number in drawn} == {79, 29, 46, 78}
    assert {draw_dopant(points, 2, rng(seed))[1] for seed in range(40)} == {79, 29}
    assert {draw_dopant(points, 8, rng(seed), ["Pd", "Cu"])[1] for seed in range(40)} == {46, 29}
    with pytest.raises(StructureError, match="no metal can become Pd"):
        draw_dopant(points, 2, rng(0), ["Pd"])


def test_doping_keeps_the_electrons():
    """[Ag24Pd(SH)18]2- and [Ag24Au(SH)18]- hold eight electrons, as [Ag25(SH)18]- does."""
    parent = build("ag25", thiolate="SH")
    charges = {}
    for seed in range(12):
        atoms, symbol = dope(parent, rng=rng(seed))
        assert superatom_electrons(atoms, atoms.info["charge"]) == 8
        assert np.linalg.norm(atoms.positions[atoms.symbols == symbol]) < 0.1
        charges[symbol] = atoms.info["charge"]
    assert charges == {"Au": -1, "Cu": -1, "Pd": -2, "Pt": -2}
    with pytest.raises(StructureError, match="no silver"):
        dope(parent[parent.numbers != 47], rng=rng())


def test_ligands_by_what_they_do():
    book = load_library()
    roles = {"SCH3": "thiolate", "HCOO": "carboxylate", "R-TFL": "carboxylate", "S2CNEt2": "dithiolate", "Br": "halide",
             "PPh3": "phosphine", "dppm": "diphosphine", "CCPh": "alkynyl", "DMF": "solvent", "BDT": None, "H": None,
             "S": None, "BF4-": None, "SPy": None, "CH2Cl2": None}  # fmt: skip
    assert {name: ligand_role(book.entry(name)) for name in roles} == roles
    drawn = {draw_substitute(book.entry("PH3"), book, rng(seed)).name for seed in range(60)}
    assert "PMe3" in drawn
    assert all(ligand_role(book.entry(name)) == "phosphine" and name != "PH3" for name in drawn)


def test_ligands_that_cannot_be_drawn_are_named():
    with pytest.raises(OptionError, match="BDT"):
        build_hypothetical(0, Hypothetical(ligands=["SH", "BDT"]))
    with pytest.raises(OptionError, match="bridges"):
        build_hypothetical(0, Hypothetical(ligands=["PH3"]))


def test_a_choice_that_never_fits_says_why(monkeypatch):
    def refuse(kind, n, rng):
        raise StructureError("there is no room")

    monkeypatch.setattr("clusterml.structure.build.hypothetical.draw_skeleton", refuse)
    with pytest.raises(StructureError, match="cluster 7: none of 60 draws could be built, the last: there is no room"):
        build_hypothetical(7, Hypothetical(ligands=SMALL))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"metals": (9, 3)}, "smaller number first"),
        ({"metals": (3, 3), "kinds": {"shelled": 1.0}}, "no kind"),
        ({"metals": (20, 30), "kinds": {"ring": 1.0}}, "no kind"),
        ({"kinds": {"sheet": 1.0}}, "compact"),
    ],
)
def test_choices_that_cannot_be_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        Hypothetical(**values)
