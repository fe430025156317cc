"""Sites that elements share: which element is taken, what is said, and that the hand does not depend on the choice."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.errors import StructureError
from clusterml.structure.elements import formula
from clusterml.structure.inspect import inspect
from clusterml.structure.read import read

HEAD = "data_x\n_cell_length_a {edge}\n_cell_length_b {edge}\n_cell_length_c {edge}\n_cell_angle_alpha 90\n" \
       "_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n_space_group_symop_operation_xyz\n{ops}\nloop_\n"  # fmt: skip
TAGS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "disorder_group")


@pytest.fixture
def save(tmp_path):
    def write(rows, edge=10, ops=("x,y,z",)):
        path = tmp_path / "x.cif"
        text = HEAD.format(edge=edge, ops="\n".join(f"'{op}'" for op in ops))
        text += "".join(f"_atom_site_{tag}\n" for tag in TAGS)
        path.write_text(text + "\n".join(f"{row}{' .' if len(row.split()) == 6 else ''}" for row in rows) + "\n")
        return path

    return write


def said(atoms):
    return " | ".join(atoms.info["provenance"]["warnings"])


S = "S1 S 0.74 0.5 0.5 1"


def test_the_largest_share_is_taken_and_said(save):
    atoms = read(save(["Ag1 Ag 0.5 0.5 0.5 0.30(2)", "Au1 Au 0.5 0.5 0.5 0.70(2)", S]))
    assert formula(atoms.numbers) == "AuS"
    assert "1 mixed site: Ag1/Au1 (Ag 0.30, Au 0.70)" in said(atoms)
    assert "average Ag 0.30, Au 0.70" in said(atoms)
    assert "equal shares" not in said(atoms)
    assert atoms.info["provenance"]["mixed_sites"] == [
        {"labels": ["Ag1", "Au1"], "shares": {"Ag": 0.3, "Au": 0.7}, "taken": "Au", "equal": False}
    ]


@pytest.mark.parametrize(("choice", "metal"), [("major", "Au"), ("A", "Ag"), ("B", "Au")])
@pytest.mark.parametrize("parts", ["12", "21", "11", ".."])
def test_components_of_metals_in_parts(save, choice, metal, parts):
    """With PARTs, A is that of the first group; without, what is listed first."""
    rows = [f"Ag1 Ag 0.5 0.5 0.5 0.4 {parts[0]}", f"Au1 Au 0.502 0.5 0.5 0.6 {parts[1]}", S]
    atoms = read(save(rows), disorder=choice)
    if parts == "21" and choice != "major":
        metal = {"Ag": "Au", "Au": "Ag"}[metal]
    assert formula(atoms.numbers) == f"{metal}S"


def test_equal_shares_are_a_choice_that_is_told(save):
    atoms = read(save(["Cu1 Cu 0.5 0.5 0.5 0.5", "Ag1 Ag 0.5 0.5 0.5 0.5", S]))
    assert formula(atoms.numbers) == "CuS"
    assert "equal shares at Cu1/Ag1 (Cu 0.50, Ag 0.50): the element listed first was taken" in said(atoms)
    assert "larger share" not in said(atoms)


def test_three_elements(save):
    rows = ["Cu1 Cu 0.5 0.5 0.5 0.2", "Ag1 Ag 0.5 0.5 0.5 0.5", "Au1 Au 0.5 0.5 0.5 0.3", S]
    assert formula(read(save(rows)).numbers) == "AgS"


def test_images_by_symmetry_share_a_site(save):
    rows = ["Ag1 Ag 0.26 0.25 0.25 0.4", "Au1 Au 0.74 0.75 0.75 0.6", "S1 S 0.5 0.25 0.25 1"]
    atoms = read(save(rows, ops=("x,y,z", "-x,-y,-z")))
    assert formula(atoms.numbers) == "AuS"
    assert "mixed site" in said(atoms)


def test_halides_and_chalcogens(save):
    rows = ["Ag1 Ag 0.5 0.5 0.5 1", "Cl1 Cl 0.74 0.5 0.5 0.6", "Br1 Br 0.75 0.5 0.5 0.4"]
    atoms = read(save(rows))
    assert formula(atoms.numbers) == "AgCl"
    assert "mixed site: Cl1/Br1" in said(atoms)


@pytest.mark.parametrize(
    "rows",
    [
        ["Ag1 Ag 0.5 0.5 0.5 1", "S1 S 0.74 0.5 0.5 0.6 1", "Cl1 Cl 0.75 0.5 0.5 0.4 2"],  # two ligands, in groups
        ["Ag1 Ag 0.5 0.5 0.5 0.6", "Ag2 Ag 0.5 0.52 0.5 0.4", S],  # one metal in two places
        ["Ag1 Ag 0.5 0.5 0.5 0.7", "Ag2 Ag 0.5 0.6 0.5 0.3", S],
    ],
)
def test_other_disorder_is_not_mixed(save, rows):
    atoms = read(save(rows))
    assert "mixed site" not in said(atoms)
    assert len(atoms) == 2


def test_refused_where_disorder_is(save):
    with pytest.raises(StructureError, match=r"1 site shared.*Ag1/Au1"):
        read(save(["Ag1 Ag 0.5 0.5 0.5 0.3", "Au1 Au 0.5 0.5 0.5 0.7", S]), disorder="error")


SQUARE = np.array([[2.0, 2.0, 0], [-2.0, 2.0, 0], [-2.0, -2.0, 0], [2.0, -2.0, 0], [0, 0, 1.9], [0, 0, -1.9]])


@pytest.mark.parametrize("shares", [(0.6, 0.6, 0.4, 0.3, 0.7, 0.2), (0.4, 0.6, 0.7, 0.5, 0.2, 0.9), (0.1,) * 6])
def test_the_hand_is_that_of_the_frame_with_both_metals_alike(save, shares):
    """An octahedron is achiral, whichever of its places gold and silver take in the cluster that is cut out."""
    rows = []
    for k, (point, share) in enumerate(zip(SQUARE / 20 + 0.5, shares, strict=True)):
        where = " ".join(f"{x:.5f}" for x in point)
        rows += [f"Ag{k} Ag {where} {share}", f"Au{k} Au {where} {1 - share}"]
    data = inspect(save(rows, edge=20)).to_dict()
    assert data["crystal"]["handedness"] == "achiral"
    assert len(data["crystal"]["mixed_sites"]) == 6


def test_a_chiral_frame_stays_chiral(save):
    """A bent and twisted chain of metals: chiral with both metals alike, and its mirror image has the other hand."""
    points = np.array([[0, 0, 0], [2.9, 0, 0], [2.9, 2.8, 0.0], [2.9, 2.8, 2.8]])
    kinds = []
    for ops in (("x,y,z",), ("x,y,z", "-x,-y,-z")):
        rows = []
        for k, point in enumerate(points / 20 + 0.25):
            where = " ".join(f"{x:.5f}" for x in point)
            rows += [f"Ag{k} Ag {where} {0.45 + 0.02 * k}", f"Au{k} Au {where} {0.55 - 0.02 * k}"]
        kinds.append(inspect(save(rows, edge=20, ops=ops)).to_dict()["crystal"]["handedness"])
    assert kinds == ["enantiopure", "racemic"]


def test_the_shared_case(shared):
    folder = shared / "cases" / "cif"
    if not folder.is_dir():
        pytest.skip("needs the case files")
    data = inspect(folder / "alloy-sites.cif").to_dict()
    assert data["formula"] == "Au20Ag5C18H54S18"
    assert data["crystal"]["handedness"] == "achiral"
    assert len(data["crystal"]["mixed_sites"]) == 12
