"""xyz files with a lattice: molecules are made whole over the cell and told apart, as in a crystal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from clusterml.errors import InputFileError, OptionError, StructureError
from clusterml.structure.elements import formula
from clusterml.structure.read import read, read_all

EDGE = 12.0
CELL = f"{EDGE} 0 0 0 {EDGE} 0 0 0 {EDGE}"
CLUSTER = [("Ag", 0.0, 0.0, 0.0), ("Ag", 2.8, 0.0, 0.0), ("S", 1.4, 2.0, 0.0), ("H", 1.4, 2.9, 0.9)]
DISTANCES = np.sort(pdist(np.array([row[1:] for row in CLUSTER])))


def text(rows, comment, after=""):
    return f"{len(rows)}\n{comment}\n" + "".join(f"{s} {x} {y} {z}\n" for s, x, y, z in rows) + after


def wrapped(rows, origin):
    """The rows about ``origin``, each coordinate put into the cell."""
    return [(s, *np.mod(np.array(xyz) + origin, EDGE)) for s, *xyz in rows]


def save(tmp_path, content, name="x.extxyz"):
    path = tmp_path / name
    path.write_text(content)
    return path


@pytest.mark.parametrize("origin", [(5, 5, 5), (11, 11, 11.5), (0, 10.5, 0)])
@pytest.mark.parametrize("flags", ['pbc="T T T"', "pbc=[True, True, True]", ""])
def test_a_wrapped_cluster_is_made_whole(tmp_path, origin, flags):
    rows = wrapped(CLUSTER, origin)
    atoms = read(save(tmp_path, text(rows, f'Lattice="{CELL}" Properties=species:S:1:pos:R:3 {flags} energy=-3.5')))
    assert atoms.get_chemical_symbols() == ["Ag", "Ag", "S", "H"]
    assert np.sort(pdist(atoms.positions)) == pytest.approx(DISTANCES)
    assert not atoms.pbc.any()
    assert atoms.info["provenance"]["warnings"] == []


def test_a_lattice_that_does_not_repeat_is_a_box(tmp_path):
    path = save(tmp_path, text(CLUSTER, f'Lattice="{CELL}" pbc="F F F"'))
    assert read(path).positions.tolist() == [list(row[1:]) for row in CLUSTER]


def test_a_slab_repeats_in_two_directions(tmp_path):
    """Wrapped along x; along z, where nothing repeats, the cluster lies across the face."""
    rows = [(s, (x + 11) % EDGE, y + 5, z - 0.5) for s, x, y, z in CLUSTER]
    atoms = read(save(tmp_path, text(rows, f'Lattice="{CELL}" pbc="T T F"')))
    assert np.sort(pdist(atoms.positions)) == pytest.approx(DISTANCES)


def test_several_molecules_in_the_cell_are_told_apart(tmp_path):
    water = [("O", 6.0, 7.0, 7.0), ("H", 6.96, 7.0, 7.0), ("H", 5.76, 7.93, 7.0)]
    two = wrapped(CLUSTER, (11, 0, 0)) + wrapped(water, (0, 0, 0)) + wrapped([CLUSTER[0], ("Cl", 2.4, 0, 0)], (3, 3, 5))
    path = save(tmp_path, text(two, f'Lattice="{CELL}" charge=1'))
    atoms = read(path)
    assert formula(atoms.numbers) == "Ag2HS"
    assert "charge" not in atoms.info
    said = " | ".join(atoms.info["provenance"]["warnings"])
    assert "2 clusters (1 x Ag2HS, 1 x AgCl)" in said
    assert "left out: 1 x H2O" in said
    assert "states the charge +1 of the whole cell" in said
    second = read(path, cluster=2)
    assert formula(second.numbers) == "AgCl"
    assert second.info["name"] == "x_cluster2"


def test_a_stated_charge_is_that_of_the_only_cluster(tmp_path):
    assert read(save(tmp_path, text(CLUSTER, f'Lattice="{CELL}" total_charge=1'))).info["charge"] == 1


@pytest.mark.parametrize("word", ["VEC", "Vec", "\nVEC"])
def test_vectors_after_the_atoms_are_the_lattice(tmp_path, word):
    rows = wrapped(CLUSTER, (11, 11, 11))
    vectors = "".join(f"{word}{k + 1} {' '.join(str(x) for x in row)}\n" for k, row in enumerate(np.eye(3) * EDGE))
    frames = list(read_all(save(tmp_path, text(rows, "a", vectors) * 2, "x.xyz")))
    assert [atoms.info["name"] for atoms in frames] == ["x_1", "x_2"]
    for atoms in frames:
        assert np.sort(pdist(atoms.positions)) == pytest.approx(DISTANCES)


def test_a_lattice_in_brackets(tmp_path):
    rows = wrapped(CLUSTER, (11, 11, 11))
    lattice = f"Lattice=[[{EDGE}, 0, 0], [0, {EDGE}, 0], [0, 0, {EDGE}]]"
    assert np.sort(pdist(read(save(tmp_path, text(rows, lattice))).positions)) == pytest.approx(DISTANCES)


def test_one_vector_is_a_chain(tmp_path):
    rows = [(s, (x + 11) % EDGE, y, z) for s, x, y, z in CLUSTER]
    atoms = read(save(tmp_path, text(rows, "", f"VEC1 {EDGE} 0 0\n"), "x.xyz"))
    assert np.sort(pdist(atoms.positions)) == pytest.approx(DISTANCES)


def test_a_network_is_refused(tmp_path):
    rows = [("Ag", 0, 0, 0), ("S", 2.4, 0, 0)]
    with pytest.raises(StructureError, match="polymer or network"):
        read(save(tmp_path, text(rows, 'Lattice="4.8 0 0 0 12 0 0 0 12"')))


BAD = {
    "short": ('Lattice="12 0 0 0 12 0"', InputFileError, "line 2: Lattice has 6 numbers"),
    "flags": (f'Lattice="{CELL}" pbc="yes no no"', InputFileError, "line 2: pbc=yes no no"),
    "flat": ('Lattice="12 0 0 12 0 0 0 0 12"', StructureError, "enclose no cell"),
    "tiny": ('Lattice="0.1 0 0 0 0.1 0 0 0 0.1"', StructureError, "enclose no cell"),
    "nan": ('Lattice="nan 0 0 0 12 0 0 0 12"', StructureError, "enclose no cell"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_lattice_that_cannot_be(tmp_path, case):
    comment, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        read(save(tmp_path, text(CLUSTER, comment)))


def test_there_is_no_third_cluster(tmp_path):
    with pytest.raises(OptionError, match="the cell holds 1"):
        read(save(tmp_path, text(CLUSTER, f'Lattice="{CELL}"')), cluster=3)


def test_options_that_change_nothing_on_a_lattice_are_refused_or_told(tmp_path):
    path = save(tmp_path, text(wrapped(CLUSTER, (5, 5, 5)), f'Lattice="{CELL}"'))
    for choice in ("A", "B"):
        with pytest.raises(OptionError, match=rf"lists no disorder \(--disorder {choice} would change nothing\)"):
            read(path, disorder=choice)
    assert read(path, disorder="error").info["provenance"]["warnings"] == []
    (warning,) = read(path, allow_several=True).info["provenance"]["warnings"]
    assert warning.startswith("--allow-several changes nothing")


@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_vectors_without_atoms_are_no_structure(vectors):
    rows = ["Tv 10 0 0", "Tv 0 10 0", "Tv 0 0 10"][:vectors]
    with pytest.raises(StructureError, match="there are no atoms"):
        read("\n".join([str(vectors), "", *rows, ""]).encode(), format="xyz")
