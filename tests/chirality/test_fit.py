"""Templates on clusters: shells, misfits, and the signed turns of trigons and crowns."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from clusterml.chirality.pointgroups import point_group
from clusterml.chirality.template import (
    ag70_td,
    fit_template,
    icosahedron,
    load_template,
    suggest_template,
    template_of,
    turn_angle,
)
from clusterml.errors import InputFileError, StructureError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.read import read


def fit(atoms, template):
    where = anatomy(atoms)
    return fit_template(atoms.numbers, atoms.positions, template, np.arange(len(atoms)), where.motifs)


def test_shipped_templates_are_as_symmetric_as_they_say():
    model = ag70_td()
    assert len(model.numbers) == 98
    assert {name: model.shells.count(name) for name in dict.fromkeys(model.shells)} == {
        "Ag4": 4, "Ag12 (fcc)": 12, "Ag12 (hcp)": 12, "Ag6": 6, "Ag24": 24, "Ag12 (trigons)": 12,
        "S4": 4, "S12 (group 1)": 12, "S12 (group 2)": 12,
    }  # fmt: skip
    assert model.outer.sum() == 54
    for template in (model, icosahedron()):
        assert np.abs(template.positions.mean(axis=0)).max() < 1e-9
        for matrix in point_group(template.group).elements:
            moved = template.positions @ matrix.T
            assert np.linalg.norm(moved[:, None] - template.positions[None], axis=-1).min(axis=1).max() < 1e-6
    edges = np.linalg.norm(icosahedron().positions[1:, None] - icosahedron().positions[None, 1:], axis=-1)
    assert np.sort(edges, axis=1)[:, 1:6] == pytest.approx(2.85 * 1.0514622, rel=1e-6)


@pytest.mark.parametrize("angle", [8.0, -8.0, 2.5, 0.0])
def test_every_trigon_is_turned_as_it_was_made(rng, turn, ag70, angle):
    atoms = ag70(angle)
    order = rng.permutation(len(atoms))
    moved = Atoms(atoms.numbers[order], (1.03 * atoms.positions @ turn.T + 2.0)[order])
    template_fit = fit(moved, ag70_td())
    assert [t.kind for t in template_fit.turns] == ["trigon"] * 4
    assert [t.angle for t in template_fit.turns] == pytest.approx([angle] * 4, abs=1e-6)
    assert {t.reference for t in template_fit.turns} == {"ideal"}
    assert template_fit.scale == pytest.approx(1.03, rel=0.01)
    shells = {shell.name: shell for shell in template_fit.shells}
    assert list(shells)[-1] == "M54"
    assert len(shells["M54"].atoms) == 54
    twisted = shells.pop("Ag12 (trigons)").rmsd
    radius = 1.03 * 1.6  # rough distance of a trigon's metals from its axis
    assert twisted == pytest.approx(2 * radius * np.sin(abs(np.radians(angle)) / 2), rel=0.25, abs=1e-6)
    assert max(shells[name].rmsd for name in ("Ag4", "Ag12 (fcc)", "Ag12 (hcp)", "Ag6", "Ag24", "S4")) < 1e-5


def test_misfits_do_not_depend_on_bond_lengths_but_on_broken_symmetry(ag70):
    atoms = ag70(0.0)
    stretched = atoms.copy()
    model = ag70_td()
    outer = np.array([name == "Ag24" for name in model.shells])
    stretched.positions[outer] *= 1.04
    template_fit = fit(stretched, model)
    assert template_fit.rmsd < 1e-6
    assert template_fit.measure == pytest.approx(0.0, abs=1e-9)
    assert template_fit.template_rmsd > 0.05
    shifted = atoms.copy()
    shifted.positions[0] += [0.1, 0.0, 0.0]
    assert fit(shifted, model).rmsd > 0.005


def test_mirror_images_turn_the_other_way(examples):
    atoms = read(examples / "ag29_model.xyz")
    where = anatomy(atoms)
    template_fit = fit_template(atoms.numbers, atoms.positions, icosahedron(), where.kernel, where.motifs)
    assert [t.kind for t in template_fit.turns] == ["crown"] * 4
    assert {t.reference for t in template_fit.turns} == {"face beneath"}
    angles = [t.angle for t in template_fit.turns]
    assert min(abs(angle) for angle in angles) > 2.0
    image = Atoms(atoms.numbers, atoms.positions * [1, 1, -1])
    other = anatomy(image)
    opposite = fit_template(image.numbers, image.positions, icosahedron(), other.kernel, other.motifs)
    assert sorted(t.angle for t in opposite.turns) == pytest.approx(sorted(-angle for angle in angles), abs=1e-5)
    assert opposite.rmsd == pytest.approx(template_fit.rmsd)
    assert template_fit.rmsd < 0.2


def test_turn_angles_are_counter_clockwise_from_outside():
    triangle = np.array([[1.0, 0, 5], [-0.5, 0.8, 5], [-0.5, -0.8, 5]])
    angle = np.radians(10.0)
    turned = triangle @ np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    assert turn_angle(triangle, turned, np.array([0, 0, 1.0])) == pytest.approx(10.0)
    assert turn_angle(triangle, turned, np.array([0, 0, -1.0])) == pytest.approx(-10.0)


def test_a_users_file_is_a_template(tmp_path, ag70, turn):
    atoms = ag70(0.0)
    silver = atoms[atoms.numbers == 47]
    write(tmp_path / "core.xyz", silver, format="xyz")
    template = load_template(tmp_path / "core.xyz")
    assert template.group is None
    assert sum(name.startswith("Ag") for name in template.shells) == 70
    assert len(set(template.shells)) == 6
    twisted = ag70(5.0)
    twisted.positions = twisted.positions @ turn.T
    template_fit = fit(twisted, template)
    assert template_fit.group is None
    assert template_fit.measure is None
    assert [t.angle for t in template_fit.turns] == pytest.approx([5.0] * 4, abs=0.01)
    with pytest.raises(InputFileError, match="no such file"):
        load_template(tmp_path / "absent.xyz")


def test_a_template_larger_than_the_cluster_is_refused(ag70):
    small = Atoms("Ag4", np.eye(4, 3) * 3)
    with pytest.raises(StructureError, match="more atoms of every kind"):
        fit_template(small.numbers, small.positions, template_of(ag70(0.0)), np.arange(4))


def test_templates_are_suggested_by_size():
    assert suggest_template(np.arange(70), np.arange(16)) == "Ag70-Td"
    assert suggest_template(np.arange(25), np.arange(13)) == "icosahedron"
    assert suggest_template(np.arange(12), np.arange(0)) is None
