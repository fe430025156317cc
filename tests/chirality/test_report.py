"""The report: parts, signs, JSON, picture, restricted permutations, and what cannot be measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import clusterml
from clusterml.chirality.part import FrameChirality, bonds_kept, graph_labels, ligand_bonds
from clusterml.chirality.report import DEFAULT_GROUPS, chirality_report, write_report
from clusterml.errors import OptionError, OutputError, StructureError
from clusterml.io.json import json_text
from clusterml.structure.read import read


@pytest.fixture(scope="module")
def ag29(examples):
    return read(examples / "ag29_model.xyz")


@pytest.fixture(scope="module")
def reports(ag29):
    """Ag29 and its mirror image."""
    image = ag29.copy()
    image.positions *= [1.0, 1.0, -1.0]
    return chirality_report(ag29, groups=["T", "Cs"]), chirality_report(image, groups=["T", "Cs"])


def test_mirror_images_have_opposite_signs_and_equal_sizes(reports):
    left, right = reports
    assert [part.name for part in left.parts] == [part.name for part in right.parts]
    for part, mirrored in zip(left.parts, right.parts, strict=True):
        assert part.opd == pytest.approx(-mirrored.opd, rel=1e-9, abs=1e-16)
        assert part.opd_local == pytest.approx(-mirrored.opd_local, rel=1e-9, abs=1e-16)
        assert part.ccm == pytest.approx(mirrored.ccm, rel=1e-6, abs=1e-9)
        assert part.misfit == pytest.approx(mirrored.misfit, rel=1e-6, abs=1e-6)
        assert part.hausdorff.value == pytest.approx(mirrored.hausdorff.value, rel=0.02, abs=1e-6)
        assert part.symmetry == pytest.approx(mirrored.symmetry, rel=1e-6, abs=1e-9)
    assert abs(left.whole.opd_local) > 1e-5
    assert left.whole.point_groups[0].name == "T"
    assert left.frame.name == "metal + donor frame"
    assert left.frame.formula == "Ag29P4S24"
    assert {part.name: part.formula for part in left.parts}["metal + S frame"] == "Ag29S24"


def test_a_structure_too_large_to_measure_is_named():
    atoms = Atoms("Ag5001", positions=np.stack([3.0 * np.arange(5001), np.zeros(5001), np.zeros(5001)], axis=1))
    atoms.info["source"] = "wire.xyz"
    with pytest.raises(StructureError, match=r"wire.xyz: 5001 atoms, and at most 5000 can be computed"):
        chirality_report(atoms)


def test_chirality_is_in_the_shell(reports):
    parts = {part.name: part for part in reports[0].parts}
    assert {"whole", "kernel", "shell 1", "metal + donor frame", "ligand layer"} <= set(parts)
    assert parts["kernel"].ccm < 0.1 < 1.0 < parts["shell 1"].ccm
    assert parts["kernel"].point_groups[-1].name == "Ih"


def test_ag70_report_names_the_trigons(ag70):
    report = chirality_report(ag70(6.0), groups=["Td"], parts=False)
    assert len(report.parts) == 1
    assert report.template.template == "Ag70-Td"
    assert [t.angle for t in report.template.turns] == pytest.approx([6.0] * 4, abs=1e-5)
    assert report.whole.symmetry["Td"] == pytest.approx(report.template.measure, rel=1e-6)
    assert report.whole.ccm_contributions.sum() == pytest.approx(report.whole.ccm)
    trigons = report.template.shells[5].atoms
    share = report.whole.ccm_contributions[trigons].sum() / report.whole.ccm
    assert share > 0.4


def test_td_ag70_measures_zero_everywhere(ag70):
    report = chirality_report(ag70(0.0), groups=[])
    for part in report.parts:
        assert part.ccm == pytest.approx(0.0, abs=1e-8)
        assert part.misfit == pytest.approx(0.0, abs=1e-4)
        assert part.hausdorff.value == pytest.approx(0.0, abs=1e-5)
        assert abs(part.opd) < 1e-15
        assert abs(part.opd_local) < 1e-15
    assert report.template.rmsd < 1e-6


def test_the_json_is_plain_and_complete(reports, tmp_path):
    report = reports[0]
    data = json.loads(json_text(report.to_dict()))
    assert data["formula"] == "Ag29H36P4S24"
    assert data["n_atoms"] == 93
    whole = data["parts"][0]
    assert whole["atoms"] == list(range(1, 94))
    assert sum(whole["ccm_contributions"]) == pytest.approx(whole["ccm"])
    assert set(whole["symmetry_measures"]) == {"T", "Cs"}
    assert whole["point_groups"] == {"0.01": "T", "0.1": "T", "0.3": "T", "0.5": "T"}
    assert set(data["conventions"]) >= {"ccm", "opd", "angle_deg", "mirror_misfit_a", "hausdorff"}
    assert len(data["template"]["motifs"]) == 4
    assert min(min(motif["metals"]) for motif in data["template"]["motifs"]) >= 1
    table, picture = write_report(report, tmp_path / "new", "ag29")
    assert json.loads(table.read_text()) == data
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_picture_shows_the_chosen_part(reports, tmp_path):
    figure = reports[0].plot(part="kernel", title="Kernel $1")
    assert len(figure.axes) == 4
    assert len(figure.axes[0].collections[-1].get_array()) == 13
    figure = reports[0].plot()
    values = figure.axes[0].collections[-1].get_array()
    assert values.sum() == pytest.approx(100.0)
    with pytest.raises(OptionError, match="no part 'surface'"):
        reports[0].plot(part="surface")
    with pytest.raises(OutputError):
        reports[0].plot(tmp_path / "absent" / "a.png")


def test_the_public_function():
    water = Atoms("OHH", [[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]])
    report = clusterml.chirality_report(water)
    assert isinstance(report, clusterml.ChiralityReport)
    assert report.whole.ccm == pytest.approx(0.0, abs=1e-9)
    assert report.whole.point_groups[0].name == "C2v"
    assert tuple(report.whole.symmetry) == DEFAULT_GROUPS
    assert report.template is None
    assert report.name == "structure"


@pytest.mark.parametrize(
    ("name", "group"), [("H", "K*h"), ("CO", "C*v"), ("CO2", "D*h"), ("NH3", "C3v"), ("C6H6", "D6h"), ("C2H6", "D3d")]
)
def test_molecules_of_any_shape_are_measured_and_drawn(name, group):
    atoms = molecule(name) if name != "H" else Atoms("H", [[0, 0, 0]])
    report = chirality_report(atoms, groups=["C2", "Ci"])
    assert {found.name for found in report.whole.point_groups} == {group}
    assert report.whole.ccm == pytest.approx(0.0, abs=1e-8)
    assert report.whole.misfit == pytest.approx(0.0, abs=1e-4)
    assert abs(report.whole.opd) < 1e-14
    assert all(0.0 <= value <= 100.0 + 1e-9 for value in report.whole.symmetry.values())
    assert json_text(report.to_dict())
    assert len(report.plot().axes) == 4


def test_restricted_permutations_keep_bonds():
    """Two unequal methyl groups: exchanging their hydrogens would lower the measure, but breaks bonds."""
    numbers = np.array([6, 6, 1, 1, 1, 1, 1, 17])
    positions = np.array(
        [[0, 0, 0], [1.53, 0, 0], [-0.4, 1.0, 0.1], [-0.4, -0.5, 0.9], [-0.4, -0.5, -0.9], [1.9, 0.6, 0.8],
         [1.9, 0.4, -0.95], [2.1, -1.65, 0.1]]
    )  # fmt: skip
    atoms = Atoms(numbers, positions)
    pairs = ligand_bonds(atoms)
    labels = graph_labels(atoms.numbers, pairs)
    assert len(set(labels[2:5])) == 1
    assert len(set(labels[5:7])) == 1
    assert len(set(labels.tolist())) == 5
    free, bound = chirality_report(atoms, groups=["C3"]), chirality_report(atoms, groups=["C3"], keep_bonds=True)
    assert bound.whole.ccm_bonds_kept == 1.0
    assert bound.whole.symmetry["C3"] > free.whole.symmetry["C3"] + 1.0
    assert bonds_kept(np.array([[0, 1, 5, 3, 4, 2, 6, 7]]), pairs) == pytest.approx(5 / 7)


def test_colours_go_as_far_as_the_graph_does():
    chain = Atoms("C7", [[1.5 * k, 0.4 * (k % 2), 0] for k in range(7)])
    labels = graph_labels(chain.numbers, ligand_bonds(chain)).tolist()
    assert labels == labels[::-1]
    assert len(set(labels)) == 4


def test_what_cannot_be_measured_is_refused(ag29):
    with pytest.raises(OptionError, match="no point group 'Z3'"):
        chirality_report(ag29, groups=["Z3"])
    with pytest.raises(StructureError, match="no atoms"):
        chirality_report(Atoms())
    broken = ag29.copy()
    broken.positions[4, 0] = np.inf
    with pytest.raises(StructureError, match="not finite"):
        chirality_report(broken)


def test_large_parts_are_measured_for_named_groups_only(ag29):
    twice = ag29.copy()
    twice.positions += [40.0, 0.0, 0.0]
    pair = ag29 + twice
    report = chirality_report(pair, template=None, parts=False)
    assert report.whole.symmetry == {}
    assert any("unless groups are named" in warning for warning in report.warnings)
    assert any("not bonded to the cluster" in warning for warning in report.warnings)


def test_elements_that_share_sites_of_a_crystal_count_as_one():
    """An achiral frame whose sites hold Ag or Au: which atom is which was a choice, and makes nothing chiral."""
    phi = (1.0 + 5.0**0.5) / 2.0
    corners = [(0.0, a, b * phi) for a in (-1, 1) for b in (-1, 1)]
    icosahedron = 1.45 * np.array([np.roll(corner, k) for k in range(3) for corner in corners])
    atoms = Atoms("Ag12", icosahedron)
    atoms.numbers[[0, 1, 2, 4, 6]] = 79
    ordered = chirality_report(atoms, parts=False, template=None)
    assert ordered.whole.ccm > 1.0
    atoms.info["provenance"] = {"mixed_sites": [{"shares": {"Ag": 0.6, "Au": 0.4}}]}
    average = chirality_report(atoms, parts=False, template=None)
    assert average.whole.ccm < 1e-6
    assert average.whole.misfit < 1e-3
    assert average.whole.point_groups[0].name == "Ih"
    assert any("Ag and Au share sites" in warning for warning in average.warnings)
    assert FrameChirality(atoms).ccm < 1e-6
    atoms.info["provenance"] = {"mixed_sites": [{"shares": {"Ag": 0.6, "Pt": 0.4}}, "x", {}]}
    assert chirality_report(atoms, parts=False, template=None).whole.ccm == pytest.approx(ordered.whole.ccm)
