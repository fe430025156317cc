"""From a CIF to one whole cluster: symmetry, cell faces, special positions, disorder, choice, and bad files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from clusterml.errors import ClusterMLError, InputFileError, OptionError, StructureError, UnsupportedElementError
from clusterml.structure.check import connected_molecules
from clusterml.structure.crystal import cell
from clusterml.structure.crystal.crystal import expand, unit_cell
from clusterml.structure.crystal.molecules import fill_cell
from clusterml.structure.elements import formula
from clusterml.structure.formats.cif import parse_cif
from clusterml.structure.read import read

SITE_TAGS = (
    "label",
    "type_symbol",
    "fract_x",
    "fract_y",
    "fract_z",
    "occupancy",
    "disorder_group",
    "disorder_assembly",
)


def cif(sites, edges=(10, 10, 10), angles=(90, 90, 90), ops=("x,y,z",)):
    """CIF text of sites (label, symbol, x, y, z[, occupancy, group, assembly])."""
    lines = ["data_test"]
    lines += [f"_cell_length_{k} {v}" for k, v in zip("abc", edges, strict=True)]
    lines += [f"_cell_angle_{k} {v}" for k, v in zip(("alpha", "beta", "gamma"), angles, strict=True)]
    lines += ["loop_", "_space_group_symop_operation_xyz", *(f"'{op}'" for op in ops), "loop_"]
    lines += [f"_atom_site_{tag}" for tag in SITE_TAGS]
    lines += [" ".join(str(v) for v in (*site, *(1, ".", ".")[len(site) - 5 :])) for site in sites]
    return "\n".join(lines) + "\n"


def cut(text, **options):
    return cell.cut(fill_cell(parse_cif(text, "test.cif"), source="test.cif"), source="test.cif", **options)


def warnings_of(atoms):
    return " | ".join(atoms.info["provenance"]["warnings"])


def kabsch(a, b):
    """Root mean square distance (A) of two ordered point sets after the best proper rotation."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return float(np.sqrt(np.mean(np.sum((a @ turn - b) ** 2, axis=1))))


def signed_volumes(atoms):
    """Sorted signed volumes spanned by each Ag-S-Ag-centre tetrahedron: rotation-free, changes sign in a mirror."""
    x = atoms.positions - atoms.positions[atoms.numbers == 47].mean(axis=0)
    distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    silver = np.flatnonzero(atoms.numbers == 47)
    volumes = []
    for s in np.flatnonzero(atoms.numbers == 16):
        near, far = silver[np.argsort(distance[s][silver])][:2]
        volumes.append(np.dot(x[s], np.cross(x[near], x[far])))
    return np.sort(volumes)


def test_the_example_crystal_gives_the_example_cluster(examples):
    crystal, free = read(examples / "ag29_model.cif"), read(examples / "ag29_model.xyz")
    assert formula(crystal.numbers) == formula(free.numbers) == "Ag29H36P4S24"
    assert np.abs(np.sort(pdist(crystal.positions)) - np.sort(pdist(free.positions))).max() < 1e-4
    # the cell axes are the axes of the xyz file, so that the nearest atom is the same atom
    a = crystal.positions - crystal.positions.mean(axis=0)
    b = free.positions - free.positions.mean(axis=0)
    partner = np.argmin(np.linalg.norm(a[:, None] - b[None], axis=2), axis=1)
    assert sorted(partner) == list(range(93))
    assert np.array_equal(crystal.numbers, free.numbers[partner])
    assert kabsch(a, b[partner]) < 1e-3
    hand = signed_volumes(free)
    assert np.allclose(signed_volumes(crystal), hand, atol=1e-3)
    mirrored = free.copy()
    mirrored.positions[:, 0] *= -1
    assert np.abs(signed_volumes(mirrored) - hand).max() > 1.0
    provenance = crystal.info["provenance"]
    assert provenance["space_group"] == "P 2 3"
    assert provenance["sohncke"] is True
    assert provenance["warnings"] == []
    assert "charge" not in crystal.info


def test_the_example_lists_a_part_of_the_cluster_in_the_cell(examples):
    crystal = parse_cif((examples / "ag29_model.cif").read_text(), "x")
    assert len(crystal.numbers) < 93 / 5
    assert crystal.fractional.min() >= 0.0
    assert crystal.fractional.max() < 1.0
    assert np.ptp(crystal.fractional, axis=0).min() > 0.5


def test_au25_on_an_inversion_centre(shared):
    atoms = read(shared / "structures" / "cif" / "Au25_PET18_COD1540567.cif")
    assert formula(atoms.numbers) == "Au25C144H162S18"
    assert len(connected_molecules(atoms)) == 1
    image = 2 * atoms.positions[np.argmin(np.linalg.norm(atoms.positions - atoms.positions.mean(0), axis=1))]
    image = image - atoms.positions
    nearest = np.linalg.norm(image[:, None] - atoms.positions[None], axis=2).min(axis=1)
    assert nearest.max() < 1e-3
    assert "2 x C7H9" in warnings_of(atoms)


def test_real_crystals_give_the_molecules_of_their_papers(shared):
    folder = shared / "structures" / "cif"
    expected = {
        "2225095.cif": "CuC21H33N9",  # Cu on a threefold axis
        "2105019-symmetry-and-disorder.cif": "NiH12O6",
        "4300013.cif": "Cu3C57H54ClN9O3",
        "7011014-occupancy-is-a-dot.cif": "Fe2C24H60Cl2N4O2Si4",  # unlabelled disorder
        "2204368.cif": "Sn4C96H124O14",  # labelled disorder
        "8100877-bump.cif": "RhC33H32O2P2",
    }
    for name, known in expected.items():
        assert formula(read(folder / name).numbers) == known, name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2213608.cif", "polymer or network"),
        ("BALPAH_freeONLY.cif", "polymer or network"),
        ("FIXVUE_freeONLY.cif", "polymer or network"),
        ("FIQKIB_freeONLY.cif", "O150 and O185 are 0.375 A apart"),
        ("malformed.cif", "not a readable CIF"),
    ],
)
def test_real_crystals_without_a_cluster_say_so(shared, name, message):
    path = shared / "structures" / "cif" / name
    with pytest.raises(ClusterMLError, match=message) as caught:
        read(path)
    assert str(path) in caught.value.problem
    assert caught.value.remedy


def test_a_molecule_is_made_whole_across_the_faces():
    text = cif([("Ag1", "Ag", 0.99, 0.5, 0.01), ("S1", "S", 0.23, 0.5, 0.01), ("Cl1", "Cl", 0.75, 0.5, 0.01)])
    atoms = cut(text)
    assert formula(atoms.numbers) == "AgClS"
    assert np.allclose(sorted(pdist(atoms.positions)), [2.4, 2.4, 4.8])


def test_an_oblique_cell_keeps_the_hand():
    """Both enantiomers of a centrosymmetric crystal can be had, each with the hand it has in the crystal."""
    sites = [("Ag1", "Ag", 0.95, 0.25, 0.25), ("Cl1", "Cl", 0.14, 0.25, 0.25), ("S1", "S", 0.95, 0.44, 0.25),
             ("P1", "P", 0.95, 0.25, 0.45)]  # fmt: skip
    volumes = []
    for cluster in (1, 2):
        atoms = cut(cif(sites, (12, 12, 12), (80, 75, 70), ("x,y,z", "-x,-y,-z")), cluster=cluster)
        assert atoms.info["provenance"]["sohncke"] is False
        at = {symbol: atoms.positions[k] for k, symbol in enumerate(atoms.get_chemical_symbols())}
        volumes.append(np.linalg.det([at["Cl"] - at["Ag"], at["S"] - at["Ag"], at["P"] - at["Ag"]]))
    assert volumes[0] > 1.0
    assert volumes[1] == pytest.approx(-volumes[0])


def test_which_cluster_is_taken():
    sites = [("Ag1", "Ag", 0.1, 0.1, 0.1), ("Cl1", "Cl", 0.34, 0.1, 0.1), ("O1", "O", 0.5, 0.5, 0.9),
             ("Ag2", "Ag", 0.6, 0.6, 0.3), ("Ag3", "Ag", 0.88, 0.6, 0.3), ("S1", "S", 0.74, 0.8, 0.3)]  # fmt: skip
    first = cut(cif(sites))
    assert formula(first.numbers) == "Ag2S"
    assert "2 clusters (1 x Ag2S, 1 x AgCl)" in warnings_of(first)
    assert "left out: 1 x H2O" in warnings_of(first)
    assert formula(cut(cif(sites), cluster=2).numbers) == "AgCl"
    for wrong in (0, 3, -1):
        with pytest.raises(OptionError, match="1 x Ag2S, 1 x AgCl"):
            cut(cif(sites), cluster=wrong)


def test_without_metal_the_largest_molecule_is_taken():
    sites = [("O1", "O", 0.1, 0.1, 0.1), ("C1", "C", 0.5, 0.5, 0.5), ("N1", "N", 0.62, 0.5, 0.5)]
    assert formula(cut(cif(sites)).numbers) == "CN"


def test_a_special_position_is_one_atom():
    text = cif([("Ag1", "Ag", 0.001, 0, 0), ("Cl1", "Cl", 0.24, 0, 0)], ops=("x,y,z", "-x,-y,-z"))
    assert formula(cut(text).numbers) == "AgCl2"


@pytest.mark.parametrize("assembly", ["A", "."])
def test_the_minor_component_is_dropped(assembly):
    sites = [("Ag1", "Ag", 0.5, 0.5, 0.5), ("S1", "S", 0.74, 0.5, 0.5, 0.3, 1, assembly),
             ("S2", "S", 0.73, 0.57, 0.5, 0.7, 2, assembly)]  # fmt: skip
    atoms = cut(cif(sites))
    assert formula(atoms.numbers) == "AgS"
    assert np.linalg.norm(atoms.positions[1] - atoms.positions[0]) == pytest.approx(np.hypot(2.3, 0.7))
    assert "1 site (S1; occupancy 0.30) left out" in warnings_of(atoms)


def test_independent_disorders_are_decided_apart():
    """SHELXL numbers the parts of every disorder 1 and 2; which is the major one differs."""
    sites = [("Ag1", "Ag", 0.5, 0.5, 0.5), ("S1", "S", 0.74, 0.5, 0.5, 0.3, 1), ("S2", "S", 0.73, 0.57, 0.5, 0.7, 2),
             ("Cl1", "Cl", 0.26, 0.5, 0.5, 0.8, 1), ("Br2", "Br", 0.26, 0.57, 0.5, 0.2, 2)]  # fmt: skip
    assert formula(cut(cif(sites)).numbers) == "AgClS"


def test_unlabelled_overlap_keeps_the_more_occupied_atom():
    sites = [("Au1", "Au", 0.5, 0.5, 0.5, 0.4), ("Ag1", "Ag", 0.5, 0.5, 0.5, 0.6), ("S1", "S", 0.74, 0.5, 0.5)]
    atoms = cut(cif(sites))
    assert formula(atoms.numbers) == "AgS"
    assert "1 mixed site: Au1/Ag1 (Au 0.40, Ag 0.60)" in warnings_of(atoms)
    assert "partial occupancy" not in warnings_of(atoms)


def test_a_chain_is_a_polymer():
    with pytest.raises(StructureError, match="polymer or network"):
        cut(cif([("Ag1", "Ag", 0, 0, 0), ("S1", "S", 0.5, 0, 0)], edges=(4.8, 10, 10)))


def test_a_counter_ion_does_not_join_clusters():
    sites = [("Ag1", "Ag", 0, 0, 0), ("S1", "S", 0.24, 0, 0), ("Na1", "Na", 0.5, 0, 0)]
    assert formula(cut(cif(sites)).numbers) == "AgS"


GOOD = [("Ag1", "Ag", 0.1, 0.1, 0.1), ("S1", "S", 0.34, 0.1, 0.1)]
BAD = {
    "garbage": ("this is no cif", InputFileError, "not a readable CIF"),
    "no sites": ("data_x\n_cell_length_a 5\n", InputFileError, "no atom sites"),
    "truncated": (cif(GOOD)[:-12], InputFileError, "not a readable CIF"),
    "no cell": (cif(GOOD).replace("_cell_length_b 10", ""), InputFileError, "_cell_length_b is missing"),
    "negative cell": (cif(GOOD, edges=(10, -10, 10)), InputFileError, "_cell_length_b is -10"),
    "flat cell": (cif(GOOD, angles=(60, 60, 120)), InputFileError, "enclose no volume"),
    "bad number": (cif([("Ag1", "Ag", "0.1x", 0, 0)]), InputFileError, "site Ag1"),
    "nan": (cif([("Ag1", "Ag", "nan", 0, 0)]), InputFileError, "site Ag1"),
    "no position": (cif([("Ag1", "Ag", "?", 0, 0)]), InputFileError, "no atom site has coordinates"),
    "element": (cif([("Qq1", "Qq", 0, 0, 0)]), UnsupportedElementError, "site Qq1.*Qq"),
    "occupancy": (cif([("Ag1", "Ag", 0, 0, 0, "half")]), InputFileError, "occupancy of site Ag1"),
    "occupancy as SHELX writes it": (cif([("Ag1", "Ag", 0, 0, 0, 11)]), InputFileError, "occupancy of site Ag1 is 11"),
    "negative occupancy": (cif([("Ag1", "Ag", 0, 0, 0, -0.5)]), InputFileError, "occupancy of site Ag1 is -0.5"),
    "not a group": (cif(GOOD, ops=("x,y,z", "-x,-y,z+1/3")), InputFileError, "not those of a space group"),
    "empty site": (cif([("Ag1", "Ag", 0, 0, 0, 0)]), StructureError, "occupancy 0"),
    "operation": (cif(GOOD, ops=("x,y,z", "x,y")), InputFileError, "cannot be read"),
    "singular operation": (cif(GOOD, ops=("x,x,z",)), InputFileError, "not those of a space group"),
    "wrong setting": (cif(GOOD, edges=(10, 12, 10), ops=("x,y,z", "y,x,z")), InputFileError, "do not fit"),
    "coincident": (cif([*GOOD, ("Cl1", "Cl", 0.12, 0.1, 0.1)]), StructureError, "0.200 A"),
    "too dense": (cif(GOOD, edges=(1, 1, 1)), StructureError, "in a cell of 1 A"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_say_what_is_wrong(tmp_path, case):
    text, kind, message = BAD[case]
    path = tmp_path / "bad.cif"
    path.write_text(text)
    with pytest.raises(kind, match=message) as caught:
        read(path)
    assert str(path) in caught.value.problem
    assert caught.value.remedy


def test_the_site_cap_holds_before_anything_is_expanded():
    sites = [("C1", "C", 0.5, 0.5, 0.5)] * 50_001
    with pytest.raises(StructureError, match="50001 atom sites"):
        parse_cif(cif(sites), "x")


def test_symmetry_from_names_and_its_absence():
    head, sites = cif(GOOD).split("loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n")
    for line in ("_symmetry_space_group_name_Hall '-P 1'", "_space_group_name_H-M_alt 'P -1'"):
        assert len(parse_cif(head + line + "\n" + sites, "x").rotations) == 2
    numbered = parse_cif(head + "_space_group_IT_number 2\n" + sites, "x")
    assert len(numbered.rotations) == 2
    assert "standard setting" in numbered.warnings[0]
    nothing = parse_cif(head + sites, "x")
    assert len(nothing.rotations) == 1
    assert "took P 1" in nothing.warnings[0]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("_symmetry_space_group_name_H-M 'P 1'\n_space_group_name_H-M_alt 'P -1'", "P -1 and as P 1"),
        ("_space_group_name_H-M_alt 'P -1'\n_space_group_name_H-M_alt 'P 1'", "P -1 and as P 1"),
        ("_space_group_name_H-M_alt 'P -1'\n_space_group_IT_number 1", "P -1 and as number 1"),
        ("_space_group_name_H-M_alt 'P -1'\n_symmetry_space_group_name_H-M 'P-1'\n_symmetry_Int_Tables_number 2", None),
        ("_space_group_name_H-M_alt 'P -1'\n_symmetry_space_group_name_H-M '?'\n_symmetry_Int_Tables_number ?", None),
    ],
)
def test_two_space_groups_are_refused(lines, said):
    head, sites = cif(GOOD).split("loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n")
    if said is None:
        assert len(parse_cif(f"{head}{lines}\n{sites}", "x").rotations) == 2
        return
    with pytest.raises(InputFileError, match=f"x: the space group is given as {said}"):
        parse_cif(f"{head}{lines}\n{sites}", "x")


def test_the_content_by_formula_and_z():
    head = "data_x\n_chemical_formula_sum 'Ag29 H36 P4 S24'\n_cell_formula_units_Z 2\n"
    assert parse_cif(cif(GOOD).replace("data_test\n", head), "x").stated == ((1, 72), (15, 8), (16, 48), (47, 58))
    for broken in ("Ag29 Qq2", "?", "'(Ag)n'", "Ag1 C.", "Ag1..5", "Ag1 C1.2.3"):
        text = head.replace("'Ag29 H36 P4 S24'", f"'{broken}'" if broken[0] != "'" else broken)
        assert parse_cif(cif(GOOD).replace("data_test\n", text), "x").stated == ()


def test_counts_of_the_formula_may_begin_or_end_with_the_point():
    head = "data_x\n_chemical_formula_sum 'Ag1. C.5 H'\n_cell_formula_units_Z 2\n"
    assert parse_cif(cif(GOOD).replace("data_test\n", head), "x").stated == ((1, 2), (6, 1), (47, 2))


@pytest.mark.parametrize("length", [0.0, -10.0, float("nan"), float("inf")])
def test_a_length_that_cannot_be_is_named(length):
    for values in ((length, 10, 10, 90, 90, 90), (10, length, length, 90, 90, 90)):
        with pytest.raises(InputFileError, match=rf"x: the cell lengths .*{length}.* not all positive"):
            unit_cell(values, "x")
    with pytest.raises(InputFileError, match=r"x: the cell angles .*nan.* enclose no volume"):
        unit_cell((10, 10, 10, 90, float("nan"), 90), "x")


@pytest.mark.parametrize(("offset", "count"), [(0.149, 1), (0.151, 2)])
def test_images_less_than_three_tenths_of_an_angstrom_apart_are_one_atom(offset, count):
    crystal = parse_cif(cif([("Ag1", "Ag", offset / 10, 0.2, 0.3)], ops=("x,y,z", "-x,y,z")), "x")
    assert len(expand(crystal).numbers) == count


def test_elements_from_labels():
    head, _ = cif(GOOD).split("loop_\n_atom_site_label")
    rows = ["Ag1", "AG2", "Cl1", "CL2", "CA1", "C1A", "HO1", "S1", "Pt1"]
    sites = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    sites += "".join(f"{label} {k / 10} 0 0\n" for k, label in enumerate(rows))
    assert parse_cif(head + sites, "x").numbers.tolist() == [47, 47, 17, 17, 6, 6, 1, 16, 78]
