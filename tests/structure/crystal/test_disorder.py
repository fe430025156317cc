"""Disorder: named components, what was dropped, and groups that their own symmetry images exclude."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.distance import pdist

from clusterml.errors import OptionError, StructureError
from clusterml.structure.crystal.cell import cut
from clusterml.structure.crystal.molecules import count_formulas, fill_cell
from clusterml.structure.elements import formula
from clusterml.structure.formats.cif import parse_cif


def fill(writer, disorder="major"):
    return fill_cell(parse_cif(writer.text(), "model.cif"), disorder, "model.cif")


def contents(filled):
    return count_formulas(filled, range(len(filled.molecules)))


@pytest.fixture
def split(crystal):
    """Ag with a ligand in two parts: S-Cl (0.7, part 1) and O-Br (0.3, part 2), and a chloride that is ordered."""
    ag = Atoms("AgCl", [[0, 0, 0], [0, 0, -2.4]])
    major, minor = Atoms("SCl", [[2.4, 0, 0], [3.6, 1.6, 0]]), Atoms("OBr", [[2.2, 0.7, 0.3], [3.2, -0.9, 0.6]])
    writer = crystal("P 1", (12, 12, 12)).add(ag, (0.5, 0.5, 0.5))
    return writer.add(major, (0.5, 0.5, 0.5), occupancy=0.7, part=1).add(minor, (0.5, 0.5, 0.5), occupancy=0.3, part=2)


@pytest.mark.parametrize(
    ("choice", "known", "labels"),
    [("major", "AgCl2S", ["O5", "Br6"]), ("A", "AgCl2S", ["O5", "Br6"]), ("B", "AgBrClO", ["S3", "Cl4"])],
)
def test_the_component_chosen_is_kept_and_the_other_named(split, choice, known, labels):
    atoms = cut(fill_cell(parse_cif(split.text(), "x"), choice))
    assert formula(atoms.numbers) == known
    (dropped,) = atoms.info["provenance"]["dropped"]
    assert dropped["labels"] == labels
    assert dropped["occupancy"] == [0.7 if choice == "B" else 0.3] * 2
    assert f"2 sites ({', '.join(labels)}; occupancy" in atoms.info["provenance"]["warnings"][0]


def test_error_refuses_any_choice(split, crystal):
    with pytest.raises(
        StructureError, match=r"disordered: 2 sites \(O5, Br6; occupancy 0.30\).*--disorder major, A or B"
    ):
        fill(split, "error")
    ordered = crystal("P 1", (12, 12, 12)).add(Atoms("AgCl", [[0, 0, 0], [0, 0, -2.4]]))
    assert len(fill(ordered, "error").numbers) == 2
    overlapping = ordered.add(Atoms("Br", [[0, 0.3, -2.5]]), occupancy=0.4)
    with pytest.raises(StructureError, match=r"Br3; occupancy 0\.40"):
        fill(overlapping, "error")


def test_choices_that_are_not_there(split, crystal):
    with pytest.raises(OptionError, match="major, A, B or error"):
        fill(split, "C")
    single = crystal("P 1", (12, 12, 12)).add(Atoms("AgCl", [[0, 0, 0], [0, 0, -2.4]]), occupancy=0.6, part=1)
    assert len(fill(single, "A").numbers) == 2
    with pytest.raises(OptionError, match=r"no disordered part .* has a component B"):
        fill(single, "B")


def test_assemblies_named_apart_are_one_where_they_overlap(crystal):
    """Some programs give every group an assembly of its own."""
    ag = Atoms("AgCl", [[0, 0, 0], [0, 0, -2.4]])
    writer = crystal("P 1", (12, 12, 12)).add(ag, (0.5, 0.5, 0.5))
    writer.add(Atoms("S", [[2.4, 0, 0]]), (0.5, 0.5, 0.5), occupancy=0.5, part=1, assembly="A")
    writer.add(Atoms("S", [[2.3, 0.7, 0]]), (0.5, 0.5, 0.5), occupancy=0.5, part=2, assembly="D")
    assert contents(fill(writer)) == {"AgClS": 1}


@pytest.mark.parametrize("part", [-1, 0, 1])
@pytest.mark.parametrize("listed", ["all atoms", "no hydrogens"])
def test_a_solvent_disordered_about_an_inversion_centre_stays_one_molecule(crystal, molecule, part, listed):
    hexane = molecule("CCCCCC")
    hexane.rotate(20, "z")
    hexane.translate([0.3, 0.2, 0.1])  # off the centre, so that its image is on top of it but not the same
    writer = crystal("P -1", (16, 16, 16)).add(Atoms("AgCl", [[0, 0, 0], [0, 0, 2.4]]), (0.3, 0.3, 0.3))
    only = None if listed == "all atoms" else ("C",)
    writer.add(hexane, (0.5, 0.0, 0.5), occupancy=0.5, part=part, whole=True, only=only)
    filled = fill(writer)
    assert contents(filled) == {"AgCl": 2, "C6H14" if only is None else "C6": 1}
    assert len(set(filled.dropped[0].labels)) == len(filled.dropped[0].labels)


def test_a_counter_ion_whose_centre_is_on_the_symmetry_element(crystal):
    """BF4 on an inversion centre: two orientations share the boron."""
    a = 1.38 / np.sqrt(3)
    bf4 = Atoms("BF4", np.array([[0, 0, 0], [a, a, a], [a, -a, -a], [-a, a, -a], [-a, -a, a]]))
    writer = crystal("P -1", (14, 14, 14)).add(Atoms("AgCl", [[0, 0, 0], [0, 0, 2.4]]), (0.3, 0.3, 0.3))
    writer.add(bf4[[0]], (0.5, 0.5, 0.5)).add(bf4[1:], (0.5, 0.5, 0.5), occupancy=0.5, whole=True)
    assert contents(fill(writer)) == {"AgCl": 2, "BF4": 1}


def test_dichloromethane_about_a_site_of_order_twelve(crystal, molecule):
    """Twelve orientations, the carbon within 0.3 A of the centre of symmetry -3m in F d -3 m."""
    writer = crystal("F d -3 m:1", (20, 20, 20)).add(Atoms("Ag", [[0, 0, 0]]))
    solvent = molecule("ClCCl")
    solvent.rotate(25, (1, 2, 3))
    writer.add(solvent, (5 / 8, 5 / 8, 5 / 8), occupancy=0.083, part=-1, whole=True)
    assert contents(fill(writer)) == {"Ag": 8, "CH2Cl2": 16}


def on_the_axis(ag29, dmf):
    """The cluster without one PH3, its threefold axis along z, and a DMF tilted away from that axis on the bare Ag."""
    cluster = ag29.copy()
    cluster.rotate((-1, -1, -1), (0, 0, 1))
    p = max(np.flatnonzero(cluster.numbers == 15), key=lambda i: cluster.positions[i, 2])
    ph3 = np.linalg.norm(cluster.positions - cluster.positions[p], axis=1) < 1.6
    metal = cluster.positions[cluster.numbers == 47]
    vertex = metal[np.argmin(np.linalg.norm(metal - cluster.positions[p], axis=1))]
    oxygen = int(np.flatnonzero(dmf.numbers == 8)[0])
    carbon = min(np.flatnonzero(dmf.numbers == 6), key=lambda i: dmf.get_distance(i, oxygen))
    dmf.translate(-dmf.positions[oxygen])
    dmf.rotate(dmf.positions[carbon], (np.sin(0.96), 0, np.cos(0.96)))
    dmf.translate(vertex + np.array([0, 0, 2.35]))
    return cluster[~ph3], dmf[[oxygen]], dmf[[i for i in range(len(dmf)) if i != oxygen]]


@pytest.mark.parametrize("part", [-1, 0])
@pytest.mark.parametrize("hydrogens", [True, False])
def test_a_coordinated_solvent_disordered_about_a_threefold_axis(crystal, ag29, molecule, part, hydrogens):
    """P -3 c 1: the cluster on a threefold axis, DMF on an Ag of that axis in three orientations."""
    cluster, oxygen, rest = on_the_axis(ag29, molecule("CN(C)C=O"))
    only = None if hydrogens else ("C", "N")
    writer = crystal("P -3 c 1", (34, 34, 60), (90, 90, 120)).add(cluster, (1 / 3, 2 / 3, 0.06))
    writer.add(oxygen, (1 / 3, 2 / 3, 0.06))
    writer.add(rest, (1 / 3, 2 / 3, 0.06), occupancy=0.3333, part=part, whole=True, only=only)
    filled = fill(writer)
    assert contents(filled) == {f"Ag29C3H{40 if hydrogens else 33}NOP3S24": 4}
    first, *others = [cut(filled, cluster=k, hydrogens=True) for k in (1, 2, 3, 4)]
    assert formula(first.numbers) == "Ag29C3H40NOP3S24"
    for other in others:  # the same orientation was chosen in every copy
        assert np.allclose(np.sort(pdist(first.positions)), np.sort(pdist(other.positions)), atol=2e-3)


def test_hydrogens_of_a_dropped_group_go_with_it(crystal, molecule):
    """Unlabelled disorder of a tert-butyl group in the ratio 0.6 : 0.4, as old files list it."""
    butane = molecule("CC(C)(C)S")
    s, c = (int(np.flatnonzero(butane.numbers == 16)[0]), 1)
    inner = [s, c]
    outer = [i for i in range(len(butane)) if i not in inner and butane.get_distance(i, s) > 1.5]
    turned = butane.copy()
    turned.rotate(50, butane.positions[c] - butane.positions[s], center=butane.positions[c])
    writer = crystal("P 1", (14, 14, 14)).add(butane[inner], (0.5, 0.5, 0.5))
    writer.add(butane[outer], (0.5, 0.5, 0.5), occupancy=0.6).add(turned[outer], (0.5, 0.5, 0.5), occupancy=0.4)
    assert contents(fill(writer)) == {"C4H9S": 1}
